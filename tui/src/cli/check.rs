//! `check`: assertions over a recording, for grading and CI.

use std::{
    fs,
    io::{self, Write},
};

use anyhow::{Context as _, anyhow};

use super::{
    args::CheckArgs,
    diagnose::{each, lines_of, note},
};
use crate::{
    analyze::{Check, Findings, Rules},
    event::{Ending, Nanos},
    source::recording::Recording,
    sys::outcome::Outcome,
};

/// Exit status if a rule is broken.
const BROKEN: i32 = 3;

/// Checks.
pub fn run(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let path = args.rules.display();
    let text = fs::read_to_string(&args.rules).with_context(|| format!("failed to read {path}"))?;
    let rules = Rules::parse(&text).map_err(|error| {
        let line = text.lines().nth(error.line - 1).unwrap_or_default().replace('\t', " ");
        let line = crate::event::text::escape(line.as_bytes()).replace("\\\\", "\\");
        anyhow!("{path}: {error}\n  {line}\n  {:>1$}", "^", error.column)
    })?;
    let mut recording = Recording::open(&args.file)?;
    let findings = Findings::new().with_children(recording.follows());
    let mut check = Check::new(rules, findings);
    let (mut events, mut last) = (0, 0);
    each(&mut recording, |event| {
        check.apply(event);
        (events, last) = (events + u64::from(!event.kind.is_quiet()), event.t.0);
    })?;
    let mut ending = Ending { events, ..recording.ending() };
    // What a damaged file no longer tells counts as lost.
    ending.lost += u64::from(recording.note().is_some());
    let verdicts = check.verdicts(Nanos(last.max(recording.until())), &ending);
    let evidence = verdicts.iter().flat_map(|verdict| verdict.evidence.iter().copied()).collect();
    let shown = lines_of(&args.file, &evidence, false)?;
    let mut out = io::BufWriter::new(io::stdout());
    for verdict in &verdicts {
        writeln!(out, "{:<6} {}: {}", if verdict.holds { "ok" } else { "BROKEN" }, verdict.name, verdict.why)?;
        for seq in &verdict.evidence {
            match shown.get(seq) {
                Some(line) => writeln!(out, "         {line}")?,
                None => writeln!(out, "         event {seq}")?,
            }
        }
    }
    let broken = verdicts.iter().filter(|verdict| !verdict.holds).count();
    writeln!(out, "{} of {} rules hold", verdicts.len() - broken, verdicts.len())?;
    out.flush()?;
    note(&recording, &args.file);
    Ok(Outcome::Code(if broken == 0 { 0 } else { BROKEN }))
}
