//! `demo`: the lessons.

use std::{ffi::OsString, path::PathBuf};

use anyhow::bail;

use super::args::{Cli, Color, Command, DemoArgs};
use crate::{
    lessons::{self, LESSONS, Program},
    sys::{doctor::Report, outcome::Outcome},
};
use clap::Parser as _;

/// Lists the lessons or plays one: live where that is allowed, else from a recording.
pub fn run(args: &DemoArgs) -> anyhow::Result<Outcome> {
    let Some(name) = &args.name else {
        for lesson in LESSONS {
            println!("{:<12} {}", lesson.name, lesson.line);
        }
        return Ok(Outcome::Code(0));
    };
    let lesson = lessons::find(name)?;
    if !args.recorded && Report::new().can_trace() {
        let command = match lesson.program {
            Program::Script(script) => vec!["sh".into(), "-c".into(), script.into()],
            Program::Here(_) => vec![std::env::current_exe()?.into(), "lesson".into(), lesson.name.into()],
        };
        let words = ["ipcscope", "watch", "--"].into_iter().map(OsString::from).chain(command);
        let Cli { command: Command::Watch(watch), .. } = Cli::parse_from(words) else {
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
