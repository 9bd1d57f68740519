//! Address spaces: which shared memory is where in which process.
//!
//! fork(2) copies an address space, exec(2) and exit drop it, threads and vfork(2) share it. What was mapped before the
//! trace began is not known, so nothing is told when it goes. What is read and written in the memory no kernel sees.
//!
//! Invariant: each attachment told ends in one detachment, or in one for each part that is unmapped for itself. Tests: here,
//! and tui/tests/live_shared.rs, tui/tests/live_objects.rs.

use std::collections::BTreeMap;

use foldhash::HashMap;

use super::Decoder;
use crate::event::{Call, ChannelChange, ChannelEvent, ChannelId, ChannelType, End, Kind, PeerPid, Task};

/// `CLONE_VM`: the new thread shares the address space.
const CLONE_VM: u64 = 0x100;

/// Memory that is mapped somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// What it is.
    pub id: ChannelId,
    /// By which means.
    pub mechanism: ChannelType,
    /// What may be done with it.
    pub end: End,
    /// Bytes.
    pub len: u64,
    /// Which part of the object it begins with.
    pub offset: u64,
}

/// All address spaces in which something is mapped.
#[derive(Clone, Debug, Default)]
pub struct Spaces {
    /// That of each process that has mapped something, or shares that of one.
    of: HashMap<u32, u64>,
    by_number: HashMap<u64, Space>,
    next: u64,
}

/// An address space.
#[derive(Clone, Debug, Default)]
struct Space {
    /// Processes that have it.
    users: u32,
    /// By address.
    places: BTreeMap<u64, Mapping>,
}

impl Spaces {
    fn of(&mut self, pid: u32) -> &mut Space {
        let next = &mut self.next;
        let id = *self.of.entry(pid).or_insert_with(|| {
            *next += 1;
            *next
        });
        self.by_number.entry(id).or_insert_with(|| Space { users: 1, ..Space::default() })
    }

    fn known(&self, pid: u32) -> Option<&Space> {
        self.of.get(&pid).and_then(|id| self.by_number.get(id))
    }

    /// The process has another address space now, or none: what was mapped, if nobody shares it.
    fn leave(&mut self, pid: u32) -> BTreeMap<u64, Mapping> {
        let Some(id) = self.of.remove(&pid) else { return BTreeMap::new() };
        let Some(space) = self.by_number.get_mut(&id) else { return BTreeMap::new() };
        space.users = space.users.saturating_sub(1);
        if space.users > 0 {
            return BTreeMap::new();
        }
        self.by_number.remove(&id).map(|space| space.places).unwrap_or_default()
    }

    /// What is mapped at an address, and how far into the object that is.
    pub fn at(&self, pid: u32, address: u64) -> Option<(&Mapping, u64)> {
        let (start, mapping) = self.known(pid)?.places.range(..=address).next_back()?;
        let into = address - start;
        (into < mapping.len).then(|| (mapping, mapping.offset.saturating_add(into)))
    }

    /// The mapping that begins there is taken away.
    pub fn take(&mut self, pid: u32, address: u64) -> Option<Mapping> {
        let id = self.of.get(&pid)?;
        self.by_number.get_mut(id)?.places.remove(&address)
    }

    /// Nothing is mapped in that range any more: what was, cut to it.
    pub fn unmap(&mut self, pid: u32, address: u64, len: u64) -> Vec<(u64, Mapping)> {
        let Some(places) = self.of.get(&pid).and_then(|id| self.by_number.get_mut(id)).map(|space| &mut space.places)
        else {
            return Vec::new();
        };
        let end = address.saturating_add(len);
        if len == 0 {
            return Vec::new();
        }
        let touches =
            |(start, mapping): (&u64, &Mapping)| (start.saturating_add(mapping.len) > address).then_some(*start);
        let touched: Vec<u64> = places.range(..end).rev().map_while(touches).collect();
        let mut gone = Vec::new();
        for start in touched.into_iter().rev() {
            let Some(mapping) = places.remove(&start) else { continue };
            let until = start.saturating_add(mapping.len);
            let part = |from: u64, to: u64| Mapping {
                len: to - from,
                offset: mapping.offset.saturating_add(from - start),
                ..mapping.clone()
            };
            if start < address {
                places.insert(start, part(start, address));
            }
            if until > end {
                places.insert(end, part(end, until));
            }
            let (from, to) = (start.max(address), until.min(end));
            gone.push((from, part(from, to)));
        }
        gone
    }
}

/// An address as it is written.
pub fn place(address: u64) -> String {
    format!("{address:#x}")
}

impl Decoder {
    /// A process has mapped something; what was there before is gone.
    pub(super) fn map(&mut self, time: u64, task: Task, address: u64, mapping: Mapping) {
        self.unmap(time, task, (address, mapping.len), None);
        self.spaces.of(task.pid).places.insert(address, mapping);
    }

    /// Nothing is mapped in that range any more, by that call.
    pub(super) fn unmap(&mut self, time: u64, task: Task, (address, len): (u64, u64), call: Option<&Call>) {
        for (address, mapping) in self.spaces.unmap(task.pid, address, len) {
            self.tell_detached(time, task, address, &mapping, call.cloned());
        }
    }

    pub(super) fn tell_detached(&mut self, time: u64, task: Task, at: u64, mapping: &Mapping, call: Option<Call>) {
        let event = ChannelEvent::new(mapping.id.clone(), mapping.mechanism, ChannelChange::Detached);
        let event = ChannelEvent { end: Some(mapping.end), address: Some(place(at)), call, ..event };
        self.push(time, task, Kind::Channel(Box::new(event)));
    }

    /// A process was created: it has a copy of what its parent has mapped, or the very same.
    pub(super) fn space_inherited(&mut self, time: u64, child: Task, parent: Task, flags: u64) {
        if child.pid == parent.pid {
            return;
        }
        // Of an earlier process of that number whose end is missing.
        self.spaces.leave(child.pid);
        if !self.spaces.of.contains_key(&parent.pid) {
            return;
        }
        if flags & CLONE_VM != 0 {
            self.spaces.of(parent.pid).users += 1;
            let id = self.spaces.of.get(&parent.pid).copied().unwrap_or_default();
            self.spaces.of.insert(child.pid, id);
            return;
        }
        let places = self.spaces.of(parent.pid).places.clone();
        self.spaces.of(child.pid).places.clone_from(&places);
        for (address, mapping) in places {
            let event = ChannelEvent::new(mapping.id, mapping.mechanism, ChannelChange::Inherited);
            let peer = Some(PeerPid { pid: parent.pid });
            let event = ChannelEvent { end: Some(mapping.end), address: Some(place(address)), peer, ..event };
            self.push(time, child, Kind::Channel(Box::new(event)));
        }
    }

    /// The process lets go of its memory: exec, or its last thread ends.
    pub(super) fn space_left(&mut self, time: u64, task: Task) {
        for (address, mapping) in self.spaces.leave(task.pid) {
            self.tell_detached(time, task, address, &mapping, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(len: u64, offset: u64) -> Mapping {
        Mapping { id: "shm:/a".into(), mechanism: ChannelType::Shm, end: End::Rw, len, offset }
    }

    #[test]
    fn what_is_unmapped_in_the_middle_leaves_two_parts() {
        let mut spaces = Spaces::default();
        spaces.of(1).places.insert(100, mapping(100, 1000));
        assert_eq!(spaces.unmap(1, 120, 30), [(120, mapping(30, 1020))]);
        assert_eq!(spaces.at(1, 110), Some((&mapping(20, 1000), 1010)));
        assert_eq!(spaces.at(1, 130), None);
        assert_eq!(spaces.at(1, 150), Some((&mapping(50, 1050), 1050)));
        assert_eq!(spaces.unmap(1, 0, 1000), [(100, mapping(20, 1000)), (150, mapping(50, 1050))]);
        assert_eq!(spaces.unmap(1, 0, 1000), []);
        assert_eq!(spaces.unmap(2, 0, 1000), []);
    }

    #[test]
    fn neighbours_and_borders() {
        let mut spaces = Spaces::default();
        for start in [100, 200, 300] {
            spaces.of(1).places.insert(start, mapping(100, 0));
        }
        assert_eq!(spaces.unmap(1, 200, 100), [(200, mapping(100, 0))]);
        assert_eq!(spaces.at(1, 199).map(|(_, at)| at), Some(99));
        assert_eq!(spaces.at(1, 200), None);
        assert_eq!(spaces.at(1, 400), None);
        assert_eq!(spaces.unmap(1, 150, 200).len(), 2);
        assert_eq!(spaces.unmap(1, u64::MAX - 1, u64::MAX), []);
    }
}
