//! Where events come from: live, from a recording, from a script.

pub mod live;
pub mod merge;
pub mod recording;
pub mod replay;

use std::process::ExitStatus;

use crate::{
    event::{Ending, Event, Header},
    trace::{Note, Outline},
};

/// What a source tells the application.
#[derive(Debug)]
pub enum Update {
    /// First of all: what is traced.
    Started(Header),
    /// Events, in order of time and `seq`.
    Events(Vec<Event>),
    /// Another part of a recording: what was told before is to be forgotten.
    Moved(Box<replay::Moved>),
    /// Where in time how much happens in a recording.
    Outline(Outline),
    /// How much of a recording is known by now.
    Extent(replay::Extent),
    /// What is noted in a recording, in order of time.
    Notes(Vec<Note>),
    /// Bytes the command wrote to its terminal.
    Output(Vec<u8>),
    /// The command has ended; its descendants may live on.
    CommandEnded(ExitStatus),
    /// Something worth a word in the footer.
    Notice(String),
    /// The last: nothing more will come.
    Ended(Ending),
    /// Tracing had to stop.
    Failed(String),
}

/// What the application asks of its source.
#[derive(Debug)]
pub enum Request {
    /// Something about a recording.
    Replay(replay::Ask),
    /// Bytes typed into the command's terminal.
    Input(Vec<u8>),
    /// The command's terminal has a new size.
    Resize {
        /// Lines.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Stop tracing and let the command live on.
    Detach,
    /// End the command: SIGTERM to its process group, then SIGKILL after a while.
    EndCommand,
}
