//! `demo`: the lessons.

use std::path::PathBuf;

use anyhow::bail;

use super::args::{Cli, Color, Command, DemoArgs};
use crate::sys::{doctor::Report, outcome::Outcome};
use clap::Parser as _;

/// A lesson: something to watch, and what to see in it.
struct Lesson {
    name: &'static str,
    line: &'static str,
    /// For sh.
    script: &'static str,
    /// What was recorded of it.
    recorded: &'static [u8],
}

const LESSONS: &[Lesson] = &[Lesson {
    name: "pipeline",
    line: "yes | head | sort | uniq: who blocks on a full or empty pipe, and signals that reach a blocked reader",
    script: include_str!("../../lessons/pipeline.sh"),
    recorded: include_bytes!("../../lessons/pipeline.ipcs"),
}];

/// Lists the lessons or plays one: live where that is allowed, else from a recording.
pub fn run(args: &DemoArgs) -> anyhow::Result<Outcome> {
    let Some(name) = &args.name else {
        for lesson in LESSONS {
            println!("{:<12} {}", lesson.name, lesson.line);
        }
        return Ok(Outcome::Code(0));
    };
    let Some(lesson) = LESSONS.iter().find(|lesson| lesson.name == name) else {
        let names: Vec<_> = LESSONS.iter().map(|lesson| lesson.name).collect();
        bail!("there is no lesson `{name}`; there are: {}", names.join(", "));
    };
    if !args.recorded && Report::new().can_trace() {
        let Cli { command: Command::Watch(watch), .. } =
            Cli::parse_from(["ipcscope", "watch", "--", "sh", "-c", lesson.script])
        else {
            bail!("the lesson's command line is not understood");
        };
        return super::watch::show(&watch, format!("lesson: {}", lesson.name));
    }
    if !args.recorded {
        eprintln!("ipcscope: tracing is not permitted here (`ipcscope doctor` tells why): this is a recording.");
        std::thread::sleep(std::time::Duration::from_secs(2));
    }
    let file: PathBuf = std::env::temp_dir().join(format!("ipcscope-{}-{}.ipcs", lesson.name, std::process::id()));
    std::fs::write(&file, lesson.recorded)?;
    let shown = super::replay::show(&file, &format!("lesson: {} (recorded)", lesson.name), Color::Auto, 1.0);
    std::fs::remove_file(&file)?;
    shown
}
