//! Everything that is known at an instant.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{Channel, Process, ProcessKey, SignalRow};
use crate::event::{ChannelId, Event, Nanos};

/// The state of everything in the trace at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// The time of the last event.
    pub now: Nanos,
    /// Events folded so far.
    pub events: u64,
    /// Records lost so far.
    pub lost: u64,
    /// All processes, living and ended, by key: in order of appearance.
    pub processes: BTreeMap<ProcessKey, Process>,
    /// The living process with that id.
    pub by_pid: HashMap<u32, ProcessKey>,
    /// All channels.
    pub channels: BTreeMap<ChannelId, Channel>,
    /// Signal instances, oldest first; the last thousand.
    pub signals: VecDeque<SignalRow>,
}

impl World {
    /// An empty world.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `event` changes.
    pub fn apply(&mut self, event: &Event) {
        self.now = event.t;
        self.events += 1;
    }
}
