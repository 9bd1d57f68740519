//! Which end of a connection a descriptor is: the two ends of a socket's channel have one name.
//!
//! Invariant: a descriptor whose end was not seen to come about (passed on, held before the trace) has none, and who holds
//! an end is told only if all descriptors of the channel have one and both ends were made in the trace.

use std::collections::BTreeMap;

use foldhash::HashMap;

use super::room::Room;
use crate::{
    event::{ChannelChange, ChannelEvent, ChannelId, ChannelType},
    model::{Channel, ProcessKey, World},
};

/// One of the two ends: who connected, or the first of a pair; who accepted, or the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    First,
    Second,
}

impl Half {
    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Descriptors of connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Sides {
    /// By process and descriptor.
    ends: HashMap<u32, BTreeMap<i32, (ChannelId, Half)>>,
    /// Which ends of a connection came about in the trace.
    seen: HashMap<ChannelId, (bool, bool)>,
    room: Room,
}

impl Sides {
    pub(super) fn apply(&mut self, world: &World, pid: u32, change: &ChannelEvent) {
        if !matches!(change.mechanism, ChannelType::UnixStream | ChannelType::UnixSeqpacket | ChannelType::Tcp) {
            return;
        }
        let of = |pid: u32, fd: Option<i32>| Some(self.ends.get(&pid)?.get(&fd?)?.1);
        match (change.event, change.fd) {
            // socketpair(2) is told by an event for each end.
            (ChannelChange::Created, Some(fd))
                if change.call.as_ref().is_some_and(|call| call.syscall == "socketpair") =>
            {
                let half = if self.seen.contains_key(&change.channel) { Half::Second } else { Half::First };
                self.set(world, pid, fd, &change.channel, half);
            }
            (ChannelChange::Connected, Some(fd)) => self.set(world, pid, fd, &change.channel, Half::First),
            (ChannelChange::Accepted, Some(fd)) => self.set(world, pid, fd, &change.channel, Half::Second),
            (ChannelChange::Duplicated, Some(fd)) => {
                if let Some(half) = of(pid, change.of_fd) {
                    self.put(pid, fd, &change.channel, half);
                }
            }
            (ChannelChange::Inherited, Some(fd)) => {
                if let Some(half) = change.peer.and_then(|parent| of(parent.pid, Some(fd))) {
                    self.put(pid, fd, &change.channel, half);
                }
            }
            (ChannelChange::Closed | ChannelChange::Passed | ChannelChange::Attached, Some(fd)) => {
                if let Some(ends) = self.ends.get_mut(&pid) {
                    ends.remove(&fd);
                }
            }
            _ => {}
        }
    }

    pub(super) fn ended(&mut self, pid: u32) {
        self.ends.remove(&pid);
    }

    /// Which end it is.
    pub(super) fn of(&self, pid: u32, fd: i32, channel: &ChannelId) -> Option<Half> {
        self.ends.get(&pid)?.get(&fd).filter(|(held, _)| held == channel).map(|(_, half)| *half)
    }

    /// Everybody who has that end; `None` if they may not all be known.
    pub(super) fn holders(&self, world: &World, channel: &Channel, half: Half) -> Option<Vec<(ProcessKey, i32)>> {
        if self.seen.get(&channel.id) != Some(&(true, true)) {
            return None;
        }
        let mut holders = Vec::new();
        for (key, fd) in channel.holders.keys() {
            let pid = world.processes.get(key)?.pid;
            if self.of(pid, *fd, &channel.id)? == half {
                holders.push((*key, *fd));
            }
        }
        Some(holders)
    }

    fn set(&mut self, world: &World, pid: u32, fd: i32, channel: &ChannelId, half: Half) {
        if self.room.is_used_up(self.seen.len()) {
            self.seen.retain(|id, _| world.channels.contains_key(id));
            self.room.stayed(self.seen.len());
        }
        let seen = self.seen.entry(channel.clone()).or_default();
        match half {
            Half::First => seen.0 = true,
            Half::Second => seen.1 = true,
        }
        self.put(pid, fd, channel, half);
    }

    fn put(&mut self, pid: u32, fd: i32, channel: &ChannelId, half: Half) {
        self.ends.entry(pid).or_default().insert(fd, (channel.clone(), half));
    }
}
