//! A recording as a source: it plays at any speed, stands still, and goes to any moment of it.
//!
//! A thread of its own reads the file once from the beginning and keeps a [`Checkpoint`](index::Checkpoint) every few ten
//! thousand events: a copy of the decoder and of the world ([`index`]). To go somewhere is to take the last one before and
//! to fold on from there ([`walk`]), so the world at a moment is the same however it was come by. Why no copies in the
//! file: they are what this version of the decoder makes of the records, and reading is fast.
//!
//! Events are numbered from 0 as they come out of the decoder, quiet ones included. Tested by seeking anywhere in
//! recordings and comparing with a fold from the start.

mod find;
mod index;
mod player;
mod walk;

#[cfg(test)]
pub mod tests;

pub use index::Scene;
pub use player::play;

use crate::{
    analyze::Filter,
    event::{Event, Nanos},
    trace::Note,
};

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Right after the event with that number.
    Event(u64),
    /// Right after the event that is told under that number (`seq`).
    Seq(u64),
    /// Right after the last event that is not later; before the first one, right after that.
    Time(Nanos),
    /// Right after the last event.
    End,
}

/// What the application asks of a recording.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Go there and stand still.
    Go(Target),
    /// Go to the next event that matches, or the one before; then stand still.
    Find {
        /// What it must match.
        filter: Filter,
        /// The event from which to look, which is not looked at.
        from: u64,
        /// Later, not earlier.
        forward: bool,
    },
    /// Go to right after that event, or stay where it is, and play on, so many times as fast as it happened; 0: at once.
    Play {
        /// The event; `None`: the last one handed out.
        from: Option<u64>,
        /// The speed.
        speed: f64,
    },
    /// Stand still.
    Stop,
    /// Keep these notes and no others.
    Note(Vec<Note>),
    /// Some more events, at once, though it stands still; what the command wrote meanwhile is left out.
    More,
}

/// Where playing has gone to.
#[derive(Debug)]
pub struct Moved {
    /// The number of the first of `events`.
    pub first: u64,
    /// Everything right before it.
    pub scene: Scene,
    /// Events before the place; the last has just happened. Empty: nothing ever happens.
    pub events: Vec<Event>,
    /// The moment: that of the event, or the one that was asked for, if something comes later.
    pub now: Nanos,
    /// What the command wrote to its terminal until then: everything, or the last part of much.
    pub terminal: Vec<u8>,
    /// It plays on from here.
    pub plays: bool,
}

impl Moved {
    /// The number of the event that has just happened.
    pub fn cursor(&self) -> Option<u64> {
        (!self.events.is_empty()).then(|| self.first + self.events.len() as u64 - 1)
    }
}

/// How much of a recording is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    /// Read until then: any moment before can be gone to at once.
    pub indexed: Nanos,
    /// That is all.
    pub complete: bool,
}
