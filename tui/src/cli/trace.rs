//! `trace`: a line per event.

use std::{ops::ControlFlow, path::Path};

use super::{
    args::{KeepArgs, TraceArgs},
    follow::{Follow, Signals},
    lines::{Printer, To},
    setup,
};
use crate::{
    decode::Decoder,
    event::Ending,
    sys::{launch::Terminal, outcome::Outcome},
};

/// Traces and prints.
pub fn run(args: &TraceArgs) -> anyhow::Result<Outcome> {
    let signals = Signals::register(false)?;
    let to = match args.output.as_deref() {
        None => To::Error,
        Some(path) if path == Path::new("-") => To::Output,
        Some(path) => To::File(setup::sink(path)?),
    };
    let recording = args.record.as_deref().map(|path| setup::place(path, &KeepArgs::default())).transpose()?;
    let session = setup::start(&args.target, Terminal::Inherit)?;
    let states = !args.target.events.is_all();
    let mut printer = Printer::new(to, &args.lines, &session.header, states)?;
    let recorder = recording.map(|place| setup::recorder(place, &session, &args.target, None)).transpose()?;
    let mut decoder = Decoder::new(args.target.events, args.target.payload);
    let mut follow = Follow::new(session, recorder, signals, args.target.duration);
    let mut events = Vec::new();
    let mut problem = None;
    let most = args.target.count.unwrap_or(u64::MAX);
    let end = follow.run(|batch, session| {
        for record in batch.iter() {
            decoder.record(record, &mut events);
        }
        session.forget_pipes(&decoder.take_gone());
        for event in events.drain(..) {
            if let Err(error) = printer.event(&event) {
                problem = Some(error);
                return ControlFlow::Break(());
            }
            if printer.events == most {
                return ControlFlow::Break(());
            }
        }
        if let Err(error) = printer.flush() {
            problem = Some(error);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(decoder.is_anybody_left())
    });
    if problem.is_none() && printer.events < most {
        decoder.finish(&mut events);
        let told = events.iter().filter(|event| !event.kind.is_quiet());
        let room = usize::try_from(most - printer.events).unwrap_or(usize::MAX);
        problem = told.take(room).try_for_each(|event| printer.event(event)).err();
    }
    let ending = Ending { events: printer.events, lost: decoder.lost(), lost_by: decoder.lost_by().clone() };
    if problem.is_none() {
        problem = printer.end(&ending).err();
    }
    if let Some(recorder) = follow.recorder.take() {
        recorder.finish(ending)?;
    }
    let outcome = follow.outcome(end);
    match problem {
        Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(outcome),
    }
}
