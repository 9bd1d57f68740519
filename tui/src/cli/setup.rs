//! From options to a session: whom to trace, what of them, and where the recording goes.

use std::path::Path;

use anyhow::Context as _;
use ipcscope_common::WIRE_VERSION;

use super::args::{Target as Who, TargetArgs};
use crate::{
    event::Family,
    source::live::{Capture, Session, Target},
    sys::{
        file::FileSink,
        identity::User,
        launch::{Launch, Terminal},
    },
    trace::{Recorder, RecordingHeader, Screen},
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

/// Begins a recording of that session.
pub fn recorder(
    sink: FileSink,
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
    Recorder::start(sink, &header, RECORDER_QUEUE).context("failed to write the recording")
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
