//! System V shared memory: who has which segment attached, and where.
//!
//! Attachments are an address space's: fork(2) copies them, exec(2) and exit drop them, threads and vfork(2) share them.
//! What was attached before the trace began is not known; its shmdt(2) is not told, nor is a munmap(2) of attached memory.
//! What is read and written in the memory no kernel sees.
//!
//! Invariant: each attachment told ends in one detachment. Tests: tui/tests/live_shared.rs.

use std::collections::BTreeMap;

use foldhash::HashMap;

use ipcscope_common::shm::{self as wire, state};
use syscalls::Sysno;

use super::{
    Decoder,
    sysv::{self, IPC_RMID, Key, Lookup, Objects},
};
use crate::event::{Call, ChannelChange, ChannelEvent, ChannelId, ChannelType, End, Kind, PeerPid, Task};

/// A flag of shmat(2).
const SHM_RDONLY: i32 = 0o10000;
/// `CLONE_VM`: the new thread shares the address space.
const CLONE_VM: u64 = 0x100;

/// All segments, and who has attached them.
#[derive(Clone, Debug)]
pub struct Segments {
    known: Objects,
    /// The address space of each process that has attached something, or shares that of one.
    spaces: HashMap<u32, u64>,
    attached: HashMap<u64, Space>,
    next_space: u64,
}

impl Default for Segments {
    fn default() -> Self {
        Self { known: Objects::new("shm"), spaces: HashMap::default(), attached: HashMap::default(), next_space: 0 }
    }
}

/// An address space.
#[derive(Clone, Debug, Default)]
struct Space {
    /// Processes that have it.
    users: u32,
    /// By address.
    places: BTreeMap<u64, (Key, End)>,
}

impl Segments {
    fn space_of(&mut self, pid: u32) -> &mut Space {
        let next = &mut self.next_space;
        let id = *self.spaces.entry(pid).or_insert_with(|| {
            *next += 1;
            *next
        });
        self.attached.entry(id).or_insert_with(|| Space { users: 1, ..Space::default() })
    }

    /// The process has another address space now, or none: what it had attached, if nobody shares it.
    fn leave(&mut self, pid: u32) -> BTreeMap<u64, (Key, End)> {
        let Some(id) = self.spaces.remove(&pid) else { return BTreeMap::new() };
        let Some(space) = self.attached.get_mut(&id) else { return BTreeMap::new() };
        space.users = space.users.saturating_sub(1);
        if space.users > 0 {
            return BTreeMap::new();
        }
        self.attached.remove(&id).map(|space| space.places).unwrap_or_default()
    }
}

fn sysno(record: &wire::ShmCall) -> Option<Sysno> {
    usize::try_from(record.nr).ok().and_then(Sysno::new)
}

impl Decoder {
    /// A call on shared memory returned.
    pub(super) fn shm_call(&mut self, record: &wire::ShmCall) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let op = self.call_returned(task, record.nr, record.entered);
        let call = self.call(task, op, record.nr, (record.entered, header.time));
        let told = match sysno(record) {
            Some(Sysno::shmget) => self.shm_found(record),
            Some(Sysno::shmat) => self.shm_attached(record, task),
            Some(Sysno::shmdt) => return self.shm_detached(record, task, call),
            Some(Sysno::shmctl) => self.shm_controlled(record),
            _ => return,
        };
        self.push(header.time, task, Kind::Channel(Box::new(ChannelEvent { call: Some(call), ..told })));
    }

    fn segment(&mut self, key: Key) -> ChannelId {
        self.segments.known.ensure(key, &mut self.channels.names).0
    }

    fn shm_found(&mut self, record: &wire::ShmCall) -> ChannelEvent {
        if record.ret < 0 {
            let event = shm_event(record, self.segments.known.refused(record.key), ChannelChange::Refused);
            return ChannelEvent { key: Some(sysv::hexadecimal(record.key)), ..event };
        }
        let key = (record.namespace, record.id);
        let by = Lookup { key: record.key, flags: record.flags, fresh: record.state & state::FRESH != 0 };
        let made = self.segments.known.made(key, &by);
        // One that is removed lives on while it is attached, but no key leads to it.
        self.segments.known.appear(key, made);
        shm_event(record, self.segment(key), if made { ChannelChange::Created } else { ChannelChange::Opened })
    }

    fn shm_attached(&mut self, record: &wire::ShmCall, task: Task) -> ChannelEvent {
        let key = (record.namespace, record.id);
        let id = self.segment(key);
        // An address is no error, however high.
        if sysv::error(record.ret).is_some() {
            return shm_event(record, id, ChannelChange::Refused);
        }
        let end = if record.flags & SHM_RDONLY != 0 { End::R } else { End::Rw };
        if let Some(before) = self.segments.space_of(task.pid).places.insert(record.address, (key, end)) {
            // In place of what was there (SHM_REMAP).
            self.tell_detached(record.header.time, task, record.address, before, None);
        }
        let event = shm_event(record, id, ChannelChange::Attached);
        ChannelEvent { end: Some(end), address: Some(place(record.address)), ..event }
    }

    fn shm_detached(&mut self, record: &wire::ShmCall, task: Task, call: Call) {
        if record.ret != 0 {
            return;
        }
        let Some((key, end)) = self.segments.space_of(task.pid).places.remove(&record.address) else { return };
        self.tell_detached(record.header.time, task, record.address, (key, end), Some(call));
    }

    fn tell_detached(&mut self, time: u64, task: Task, address: u64, of: (Key, End), call: Option<Call>) {
        let id = self.segment(of.0);
        let event = ChannelEvent::new(id, ChannelType::Shm, ChannelChange::Detached);
        let event = ChannelEvent { end: Some(of.1), address: Some(place(address)), call, ..event };
        self.push(time, task, Kind::Channel(Box::new(event)));
    }

    /// shmctl(2): what changes something.
    fn shm_controlled(&mut self, record: &wire::ShmCall) -> ChannelEvent {
        let key = (record.namespace, record.id);
        let id = self.segment(key);
        let removes = record.flags & 0xff == IPC_RMID;
        if removes && record.ret == 0 {
            self.segments.known.remove(key);
        }
        shm_event(record, id, if removes { ChannelChange::Removed } else { ChannelChange::Changed })
    }

    /// A process was created: it has a copy of what its parent has attached, or the very same.
    pub(super) fn shm_inherited(&mut self, time: u64, child: Task, parent: Task, flags: u64) {
        if child.pid == parent.pid {
            return;
        }
        // Of an earlier process of that number whose end is missing.
        self.segments.leave(child.pid);
        if !self.segments.spaces.contains_key(&parent.pid) {
            return;
        }
        if flags & CLONE_VM != 0 {
            self.segments.space_of(parent.pid).users += 1;
            let id = self.segments.spaces.get(&parent.pid).copied().unwrap_or_default();
            self.segments.spaces.insert(child.pid, id);
            return;
        }
        let places = self.segments.space_of(parent.pid).places.clone();
        self.segments.space_of(child.pid).places.clone_from(&places);
        for (address, (key, end)) in places {
            let id = self.segment(key);
            let event = ChannelEvent::new(id, ChannelType::Shm, ChannelChange::Inherited);
            let peer = Some(PeerPid { pid: parent.pid });
            let event = ChannelEvent { end: Some(end), address: Some(place(address)), peer, ..event };
            self.push(time, child, Kind::Channel(Box::new(event)));
        }
    }

    /// The process lets go of its memory: exec, or its last thread ends.
    pub(super) fn shm_left(&mut self, time: u64, task: Task) {
        for (address, of) in self.segments.leave(task.pid) {
            self.tell_detached(time, task, address, of, None);
        }
    }
}

fn place(address: u64) -> String {
    format!("{address:#x}")
}

fn shm_event(record: &wire::ShmCall, id: ChannelId, event: ChannelChange) -> ChannelEvent {
    let mut told = ChannelEvent::new(id, ChannelType::Shm, event);
    if record.state & state::FOUND != 0 {
        sysv::describe(&mut told, record.key, record.uid, record.mode);
        told.capacity = Some(record.size);
        told.attached = Some(record.attached);
    }
    told.error = sysv::error(record.ret);
    told
}
