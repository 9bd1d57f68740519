//! `print`: the events of a recording, as lines.

use super::{
    args::PrintArgs,
    lines::{Printer, To},
};
use crate::{
    event::{Ending, Event},
    source::recording::{Item, Recording},
    sys::outcome::Outcome,
};

/// Prints.
pub fn run(args: &PrintArgs) -> anyhow::Result<Outcome> {
    let mut recording = Recording::open(&args.file)?;
    let mut printer = Printer::new(To::Output, &args.lines, recording.header(), recording.tells_states())?;
    let mut events: Vec<Event> = Vec::new();
    while let Some(item) = recording.next_item(&mut events)? {
        if let Item::Events = item {
            for event in events.drain(..) {
                printer.event(&event)?;
            }
        }
    }
    let ending = Ending { events: printer.events, ..recording.ending() };
    printer.end(&ending)?;
    if let Some(note) = recording.note() {
        eprintln!("ipcscope: {}: {note}", args.file.display());
    }
    Ok(Outcome::Code(0))
}
