//! A trace in numbers: per process, per channel, per signal, per method called.
//!
//! A fold over events; with a filter only those that match are counted, but names and times are learned from all. Stays in
//! a state count if the event that began them does. Invariants: what is unknown is absent, never zero; latencies follow
//! `from` edges only. Tested by scripts (`tests.rs`).

mod channel;
mod latency;
mod process;
mod rpc;
mod signal;

pub use channel::ChannelStats;
pub use latency::Latency;
pub use process::{ProcessStats, Waited};
pub use rpc::RpcStats;
pub use signal::SignalStats;

use self::{channel::Channels, process::Processes, rpc::Rpcs, signal::Signals};
use super::Filter;
use crate::event::{Event, Kind, Nanos};

/// The fold.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    filter: Filter,
    processes: Processes,
    channels: Channels,
    signals: Signals,
    rpcs: Rpcs,
}

/// All tables.
#[derive(Clone, Debug)]
pub struct Tables {
    /// In order of appearance.
    pub processes: Vec<ProcessStats>,
    /// In order of appearance.
    pub channels: Vec<ChannelStats>,
    /// By number.
    pub signals: Vec<SignalStats>,
    /// In order of appearance.
    pub rpcs: Vec<RpcStats>,
}

impl Stats {
    /// Counts what passes `filter`.
    pub fn new(filter: Filter) -> Self {
        Self { filter, ..Self::default() }
    }

    /// Takes an event in.
    pub fn apply(&mut self, event: &Event) {
        let counted = self.filter.matches(event);
        self.processes.apply(event, counted);
        self.channels.apply(event, counted);
        match &event.kind {
            Kind::Signal(step) if counted => self.signals.apply(step),
            Kind::Rpc(rpc) if counted => self.rpcs.apply(rpc),
            _ => {}
        }
    }

    /// The tables when it is `now`.
    pub fn tables(&self, now: Nanos) -> Tables {
        Tables {
            processes: self.processes.table(now),
            channels: self.channels.table(),
            signals: self.signals.table(),
            rpcs: self.rpcs.table(),
        }
    }
}

#[cfg(test)]
mod tests;
