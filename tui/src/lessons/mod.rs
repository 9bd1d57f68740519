//! The lessons: small programs whose communication is worth watching, in the order in which they are best read.
//!
//! They are part of the binary, so that a lesson needs no compiler and no other program: `ipcscope demo NAME` watches
//! `ipcscope lesson NAME`. A lesson is written to be read by those who learn from it: one file, the system calls in the
//! order in which they happen. [`stage`] holds what all share: processes with names, pauses, and an end that leaves nothing.
//!
//! Invariants: nothing of the tracer is used here, and nothing here by the tracer, but for the list; whatever has a name
//! in the system (a FIFO, a socket, a queue) is held by the first process alone and removed by it, also when a signal
//! ends the lesson. Here, besides in `sys`, system calls are made: they are what the lessons are about.
//!
//! Tested by their recordings (tui/tests/lessons.rs) and, as root, by tracing each (tui/tests/live_lessons.rs).

mod connect;
mod dbus;
mod eintr;
mod fifo;
mod http;
mod multicast;
mod queue;
mod rpc;
mod stage;

use crate::sys::outcome::Outcome;
use stage::Stage;

/// A lesson: something to watch, and what to see in it.
#[derive(Clone, Copy, Debug)]
pub struct Lesson {
    /// What to type.
    pub name: &'static str,
    /// What it shows.
    pub line: &'static str,
    /// What it runs.
    pub program: Program,
    /// What was recorded of it.
    pub recorded: &'static [u8],
}

/// What a lesson runs.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// A script for sh.
    Script(&'static str),
    /// A file here.
    Here(fn(&Stage) -> anyhow::Result<()>),
}

macro_rules! here {
    ($name:ident, $line:literal) => {
        Lesson {
            name: stringify!($name),
            line: $line,
            program: Program::Here($name::run),
            recorded: include_bytes!(concat!("../../lessons/", stringify!($name), ".ipcs")),
        }
    };
}

/// All of them.
pub const LESSONS: &[Lesson] = &[
    Lesson {
        name: "pipeline",
        line: "yes | head | sort | uniq: who blocks on a full or empty pipe, and signals that reach a blocked reader",
        program: Program::Script(include_str!("../../lessons/pipeline.sh")),
        recorded: include_bytes!("../../lessons/pipeline.ipcs"),
    },
    here!(connect, "ls | wc by hand: pipe, fork, dup2, exec, and why every write end has to be closed"),
    here!(fifo, "a FIFO: open waits for the other side, and end-of-file is when the last writer closes"),
    here!(eintr, "three signals for a blocked read: EINTR, restarted, and pending until unblocked"),
    here!(queue, "a System V message queue: one queue, many clients, each answer finds its way by its type"),
    here!(http, "an HTTP echo server on port 6789: connections, requests, and a client that waits its turn"),
    here!(multicast, "UDP multicast: one datagram sent, three received"),
    here!(dbus, "D-Bus between two processes: a call, its return, an error, a signal"),
    here!(rpc, "ONC RPC: ask the port mapper where NFS is, then call it"),
];

/// The lesson of that name.
pub fn find(name: &str) -> anyhow::Result<&'static Lesson> {
    LESSONS.iter().find(|lesson| lesson.name == name).ok_or_else(|| {
        let names: Vec<_> = LESSONS.iter().map(|lesson| lesson.name).collect();
        anyhow::anyhow!("there is no lesson `{name}`; there are: {}", names.join(", "))
    })
}

/// Runs the program of a lesson; `fast`: with short pauses.
pub fn run(name: &str, fast: bool) -> anyhow::Result<Outcome> {
    match find(name)?.program {
        Program::Here(program) => {
            let stage = Stage::new(name, fast)?;
            let ran = program(&stage);
            stage.close(ran)
        }
        Program::Script(_) => anyhow::bail!("the lesson `{name}` is a script; `ipcscope demo {name}` shows it"),
    }
}
