//! What the rules look up: which event made a thread wait or stop, and from which event on an end was held.
//!
//! Invariant: whatever is here is of living threads and processes, so memory is bounded by them (and by the channels the
//! world knows).

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashSet};

use super::{room::Room, sides::Sides};
use crate::{
    event::{Blocked, ChannelChange, ChannelId, ChannelType, Event, Kind, Nanos, ThreadState},
    model::{Channel, Process, ProcessKey, World},
};

/// Ancestors looked at.
const GENERATIONS: usize = 64;

/// A thread is BLOCKED.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) pid: u32,
    pub(super) since: Nanos,
    /// The event that said so.
    pub(super) seq: u64,
    pub(super) on: Box<Blocked>,
}

/// A thread is in a state, and the event that said so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    pub(super) since: Nanos,
    pub(super) seq: u64,
}

/// Places of events, and what is known of channels.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Whoever is BLOCKED, by thread id.
    pub(super) waits: BTreeMap<u32, Wait>,
    /// Whoever is STOPPED by a signal, by thread id.
    pub(super) stopped: BTreeMap<u32, Stay>,
    /// Whoever is a ZOMBIE, by thread id.
    pub(super) zombies: BTreeMap<u32, Stay>,
    /// Children were not followed.
    pub(super) incomplete: bool,
    /// Something was lost.
    lost: bool,
    /// From which event on a process holds a descriptor of a channel.
    held: HashMap<u32, BTreeMap<i32, u64>>,
    /// Channels that were made in the trace.
    made: HashSet<ChannelId>,
    room_made: Room,
    /// Which end of a connection a descriptor is.
    pub(super) sides: Sides,
    /// Who made or looked up a set of semaphores or a message queue.
    knows: HashMap<ChannelId, BTreeSet<ProcessKey>>,
    room_known: Room,
}

impl Facts {
    pub(super) fn apply(&mut self, world: &World, event: &Event) {
        match (&event.kind, event.task) {
            (Kind::State(change), Some(task)) => {
                let stay = Stay { since: event.t, seq: event.seq };
                self.waits.remove(&task.tid);
                self.stopped.remove(&task.tid);
                self.zombies.remove(&task.tid);
                match (change.to, &change.on) {
                    (ThreadState::Blocked, Some(on)) => {
                        let wait = Wait { pid: task.pid, since: event.t, seq: event.seq, on: on.clone() };
                        self.waits.insert(task.tid, wait);
                    }
                    (ThreadState::Stopped, _) if !change.traced => {
                        self.stopped.insert(task.tid, stay);
                    }
                    (ThreadState::Zombie, _) => {
                        self.zombies.insert(task.tid, stay);
                    }
                    _ => {}
                }
            }
            (Kind::Channel(change), Some(task)) if change.error.is_none() => {
                self.sides.apply(world, task.pid, change);
                let held = self.held.entry(task.pid).or_default();
                match (change.event, change.fd, change.fds) {
                    (ChannelChange::Created, _, Some(fds)) => held.extend(fds.map(|fd| (fd, event.seq))),
                    (ChannelChange::Closed, Some(fd), _) => {
                        held.remove(&fd);
                    }
                    (ChannelChange::Resized, ..) => {}
                    (_, Some(fd), _) => {
                        held.insert(fd, event.seq);
                    }
                    _ => {}
                }
                if matches!(change.mechanism, ChannelType::SysvSem | ChannelType::SysvMq | ChannelType::PosixMq)
                    && let Some(process) = world.process(task.pid)
                {
                    if self.room_known.is_used_up(self.knows.len()) {
                        self.knows.retain(|id, _| world.channels.contains_key(id));
                        self.room_known.stayed(self.knows.len());
                    }
                    self.knows.entry(change.channel.clone()).or_default().insert(process.key);
                }
                if change.event == ChannelChange::Created {
                    if self.room_made.is_used_up(self.made.len()) {
                        self.made.retain(|id| world.channels.contains_key(id));
                        self.room_made.stayed(self.made.len());
                    }
                    self.made.insert(change.channel.clone());
                }
            }
            (Kind::Exit(exit), Some(task)) => {
                self.waits.remove(&task.tid);
                self.stopped.remove(&task.tid);
                if !exit.thread {
                    self.held.remove(&task.pid);
                    self.sides.ended(task.pid);
                }
            }
            (Kind::Lost(_), _) => self.lost = true,
            _ => {}
        }
    }

    /// Nobody outside the trace can hold an end, as far as the events tell.
    pub(super) fn all_holders_known(&self, channel: &ChannelId) -> bool {
        !self.incomplete && self.made.contains(channel)
    }

    /// Everybody alive who can know a set of semaphores or a queue: who made it, looked it up or used it, and their children.
    pub(super) fn knowers(&self, world: &World, set: &Channel) -> Vec<ProcessKey> {
        let first: BTreeSet<ProcessKey> = (self.knows.get(&set.id).into_iter().flatten())
            .chain(set.senders.keys())
            .chain(set.receivers.keys())
            .copied()
            .collect();
        let of_one = |process: &Process| {
            let parent = |key: &ProcessKey| world.processes.get(key).and_then(|process| process.parent);
            std::iter::successors(Some(process.key), parent).take(GENERATIONS).any(|key| first.contains(&key))
        };
        let alive = world.processes.values().filter(|process| process.ended.is_none());
        alive.filter(|process| of_one(process)).map(|process| process.key).collect()
    }

    /// The event that gave a process the descriptor.
    pub(super) fn held_since(&self, pid: u32, fd: i32) -> Option<u64> {
        self.held.get(&pid)?.get(&fd).copied()
    }

    /// Something was lost.
    pub(super) fn lost(&self) -> bool {
        self.lost
    }

    /// Said with findings that rest on nothing being missed.
    pub(super) fn caveat(&self) -> &'static str {
        if self.lost { " (Records were lost before: this may be wrong.)" } else { "" }
    }

    /// Every living thread of the process is stopped: since when, and by which event.
    pub(super) fn all_stopped(&self, process: &Process) -> Option<Stay> {
        let mut last: Option<Stay> = None;
        for thread in process.threads.values().filter(|thread| thread.is_alive()) {
            let stay = *self.stopped.get(&thread.tid)?;
            if last.is_none_or(|last| stay.since > last.since) {
                last = Some(stay);
            }
        }
        last
    }
}
