//! From options to a session: whom to trace, what of them, and where the recording goes.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use ipcscope_common::WIRE_VERSION;

use super::args::{KeepArgs, Target as Who, TargetArgs};
use crate::{
    event::Family,
    source::live::{Capture, Session, Target},
    sys::{
        file::FileSink,
        identity::User,
        launch::{Launch, Terminal},
    },
    trace::{Open, Recorder, RecordingHeader, Screen, WriteError},
};

/// Bytes that may wait to be written to a recording.
const RECORDER_QUEUE: usize = 256 << 20;

/// Starts tracing what the options say.
pub fn start(args: &TargetArgs, terminal: Terminal) -> anyhow::Result<Session> {
    let target = match args.target() {
        Who::Pids(pids) => Target::Attach(pids),
        Who::Command(argv) => {
            let user = match &args.user {
                Some(name) => Some(User::find(name)?),
                None => User::invoking(),
            };
            Target::Command(Launch { argv, user, terminal })
        }
    };
    Ok(Session::start(target, capture(args))?)
}

fn capture(args: &TargetArgs) -> Capture {
    let wants = |family| args.events.contains(family);
    Capture {
        follow: !args.no_follow,
        signals: wants(Family::Signal),
        pipes: wants(Family::Pipe) || wants(Family::Fifo),
        queues: wants(Family::SysvMq),
        mqueues: wants(Family::PosixMq),
        shm: wants(Family::Shm),
        sems: wants(Family::Sync),
        sockets: wants(Family::Unix) || wants(Family::Inet) || wants(Family::Rpc),
        terminals: wants(Family::Pty),
        events: wants(Family::Event),
        futexes: wants(Family::Sync),
        rpc: wants(Family::Rpc),
        // States tell what signals do to a thread, and who let whom go on.
        sched: wants(Family::Sched) || wants(Family::Signal) || wants(Family::Sync),
        payload: args.payload,
        ring: args.buffer.0,
        floor: std::env::var_os("IPCSCOPE_FLOOR").is_some_and(|value| value == "1"),
    }
}

/// Opens a file to write, as the invoking user. Before a command is started, so that it does not run for nothing.
pub fn sink(path: &Path) -> anyhow::Result<FileSink> {
    Ok(FileSink::create(path, User::invoking().as_ref())?)
}

/// Where a recording goes, and how much of it.
pub struct Place {
    first: FileSink,
    path: PathBuf,
    keep: KeepArgs,
}

/// Opens the first file of a recording, as [`sink`] does.
pub fn place(path: &Path, keep: &KeepArgs) -> anyhow::Result<Place> {
    Ok(Place { first: sink(path)?, path: path.to_owned(), keep: keep.clone() })
}

/// `a.ipcs` → `a.2.ipcs`
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

fn further(path: PathBuf) -> Open {
    Box::new(move |number| {
        let path = numbered(&path, number);
        let sink = FileSink::create(&path, User::invoking().as_ref())
            .map_err(|error| WriteError::Io(std::io::Error::other(error)))?;
        Ok((Box::new(sink) as Box<dyn Write + Send>, path.display().to_string()))
    })
}

/// Begins a recording of that session.
pub fn recorder(
    place: Place,
    session: &Session,
    args: &TargetArgs,
    screen: Option<Screen>,
) -> anyhow::Result<Recorder> {
    let (major, minor) = WIRE_VERSION;
    let mut header = RecordingHeader {
        header: session.header.clone(),
        wire: u32::from(major) << 16 | u32::from(minor),
        ring_bytes: u64::from(args.buffer.0),
        clock: "CLOCK_MONOTONIC".to_owned(),
        clock_start: session.clock_start,
        screen,
        ..RecordingHeader::default()
    };
    header.facts.insert("events".to_owned(), args.events.to_string().into());
    header.facts.insert("follow".to_owned(), (!args.no_follow).into());
    let Place { first, path, keep } = place;
    match (keep.last, keep.max_size) {
        (Some(last), size) => {
            Recorder::start_flight(Box::new(first), further(path), &header, (last, size), RECORDER_QUEUE)
        }
        (None, Some(size)) => Recorder::start_rotating(Box::new(first), further(path), &header, size, RECORDER_QUEUE),
        (None, None) => Recorder::start(first, &header, RECORDER_QUEUE),
    }
    .context("failed to write the recording")
}

/// Says what a flight recorder has saved.
pub fn tell_saved(recorder: &Recorder, mut say: impl FnMut(String)) {
    for saved in recorder.saved() {
        say(match saved {
            Ok(name) => format!("saved {name}"),
            Err(error) => format!("failed to save the recording: {error}"),
        });
    }
}

/// What a target is called, in a title.
pub fn title(args: &TargetArgs) -> String {
    match args.target() {
        Who::Pids(pids) => format!("pid {}", pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")),
        Who::Command(argv) => {
            argv.iter().map(|word| crate::event::text::escape(word.as_encoded_bytes())).collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_files_have_a_number_before_the_suffix() {
        for (path, second) in [("a.ipcs", "a.2.ipcs"), ("/x.y/a", "/x.y/a.2"), ("d/a.b.ipcs", "d/a.b.2.ipcs")] {
            assert_eq!(numbered(Path::new(path), 2), PathBuf::from(second));
        }
    }
}
