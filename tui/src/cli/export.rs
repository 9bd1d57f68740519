//! `export`: a recording for other tools.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
};

use super::{args::ExportArgs, diagnose::note, setup};
use crate::{
    event::{Event, Nanos},
    export::Exporter,
    source::recording::{Item, Recording},
    sys::outcome::Outcome,
};

/// Exports.
pub fn run(args: &ExportArgs) -> anyhow::Result<Outcome> {
    let made = args.output.as_deref().filter(|path| !path.exists());
    let done = export(args);
    // What was refused leaves no empty file behind.
    if let Some(path) = made.filter(|path| done.is_err() && path.metadata().is_ok_and(|data| data.len() == 0)) {
        let _ = fs::remove_file(path);
    }
    done
}

fn export(args: &ExportArgs) -> anyhow::Result<Outcome> {
    let mut recording = Recording::open(&args.file)?;
    let out: Box<dyn Write> = match args.output.as_deref() {
        None => Box::new(io::stdout().lock()),
        Some(path) if path == Path::new("-") => Box::new(io::stdout().lock()),
        Some(path) => Box::new(setup::sink(path)?),
    };
    let filter = args.filter.clone().unwrap_or_default();
    let mut exporter = Exporter::new(args.to, recording.header(), filter, BufWriter::new(out))?;
    let mut events: Vec<Event> = Vec::new();
    while let Some(item) = recording.next_item(&mut events)? {
        if let Item::Events = item {
            for event in events.drain(..) {
                exporter.event(&event)?;
            }
        }
    }
    exporter.finish(Nanos(recording.until()), recording.ending().lost)?;
    note(&recording, &args.file);
    Ok(Outcome::Code(0))
}
