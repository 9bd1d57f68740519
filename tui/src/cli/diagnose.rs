//! `diagnose`: what is wrong in a recording, each finding with the events that show it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal as _, Write},
    path::Path,
};

use super::{args::DiagnoseArgs, lines::colours};
use crate::{
    analyze::{Finding, Findings, Lines},
    event::{Ending, Event, Nanos},
    model::World,
    source::recording::{Item, Recording},
    sys::outcome::Outcome,
};

/// Exit status if something was found.
const FOUND: i32 = 3;

/// What is wrong in a recording.
pub struct Diagnosis {
    /// Findings in order of time.
    pub findings: Vec<Finding>,
    /// The last line.
    pub ending: Ending,
    /// Names and sizes learned; the header.
    recording: Recording,
}

/// Reads a recording to its end.
pub fn diagnose(file: &Path) -> anyhow::Result<Diagnosis> {
    let mut recording = Recording::open(file)?;
    let (mut world, mut findings) = (World::new(), Findings::new().with_children(recording.follows()));
    each(&mut recording, |event| {
        findings.apply(&world, event);
        world.apply(event);
    })?;
    let now = Nanos(world.now.0.max(recording.until()));
    let ending = Ending { events: world.events, ..recording.ending() };
    Ok(Diagnosis { findings: findings.at(&world, now), ending, recording })
}

/// Calls `take` with every event.
pub fn each(recording: &mut Recording, mut take: impl FnMut(&Event)) -> anyhow::Result<()> {
    let mut events = Vec::new();
    while let Some(item) = recording.next_item(&mut events)? {
        if let Item::Events = item {
            events.drain(..).for_each(|event| take(&event));
        }
    }
    Ok(())
}

/// Diagnoses.
pub fn run(args: &DiagnoseArgs) -> anyhow::Result<Outcome> {
    let diagnosis = diagnose(&args.file)?;
    let mut out = io::BufWriter::new(io::stdout());
    if args.json {
        writeln!(out, "{}", diagnosis.recording.header().to_json())?;
        for finding in &diagnosis.findings {
            writeln!(out, "{}", finding.to_json())?;
        }
        writeln!(out, "{}", diagnosis.ending.to_json())?;
    } else {
        let colour = colours(args.color, io::stdout().is_terminal());
        write_text(&mut out, &diagnosis, &args.file, colour)?;
    }
    out.flush()?;
    note(&diagnosis.recording, &args.file);
    Ok(Outcome::Code(if diagnosis.findings.is_empty() { 0 } else { FOUND }))
}

/// What was not looked at.
pub fn note(recording: &Recording, file: &Path) {
    if recording.tells_states() {
        eprintln!(
            "ipcscope: {}: not everything was captured (-e); rules that need the rest are silent",
            file.display()
        );
    }
    if let Some(note) = recording.note() {
        eprintln!("ipcscope: {}: {note}", file.display());
    }
}

fn write_text(out: &mut impl Write, diagnosis: &Diagnosis, file: &Path, colour: bool) -> anyhow::Result<()> {
    let wanted = diagnosis.findings.iter().flat_map(|finding| finding.evidence.iter().copied()).collect();
    let evidence = lines_of(file, &wanted, colour)?;
    for finding in &diagnosis.findings {
        let (strong, plain) = if colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        writeln!(out, "! {strong}{}{plain} {}", finding.rule, finding.what)?;
        writeln!(out, "  {}", finding.advice)?;
        for seq in &finding.evidence {
            match evidence.get(seq) {
                Some(line) => writeln!(out, "    {line}")?,
                None => writeln!(out, "    event {seq}")?,
            }
        }
        writeln!(out)?;
    }
    let lost = match diagnosis.ending.lost {
        0 => String::new(),
        n => format!(", {n} records lost: what they would have shown is not known"),
    };
    let n = diagnosis.findings.len();
    let findings = if n == 1 { "1 finding".to_owned() } else { format!("{n} findings") };
    writeln!(out, "{findings} in {} events{lost}", diagnosis.ending.events)?;
    Ok(())
}

/// These events, as `print` shows them. Needs the recording once more: standard input is gone.
pub fn lines_of(file: &Path, wanted: &BTreeSet<u64>, colour: bool) -> anyhow::Result<BTreeMap<u64, String>> {
    let mut shown = BTreeMap::new();
    if wanted.is_empty() || file == Path::new("-") {
        return Ok(shown);
    }
    let mut lines = Lines::new();
    each(&mut Recording::open(file)?, |event| {
        if wanted.contains(&event.seq) {
            shown.insert(event.seq, lines.full_line(event, colour));
        } else {
            lines.learn(event);
        }
    })?;
    Ok(shown)
}
