//! System V shared memory: who has which segment attached, and where.
//!
//! Attachments are an address space's: fork(2) copies them, exec(2) and exit drop them, threads and vfork(2) share them.
//! What was attached before the trace began is not known; its shmdt(2) is not told, nor is a munmap(2) of attached memory.
//! What is read and written in the memory no kernel sees.
//!
//! Invariant: each attachment told ends in one detachment. Tests: tui/tests/live_shared.rs.

use std::collections::{BTreeMap, HashMap};

use ipcscope_common::shm::{self as wire, state};
use syscalls::Sysno;

use super::{Decoder, descriptor::new_name, names};
use crate::event::{Call, ChannelChange, ChannelEvent, ChannelId, ChannelType, End, Kind, PeerPid, Task};

/// Commands of shmctl(2).
const IPC_RMID: i32 = 0;
/// Flags of shmget(2) and shmat(2).
const IPC_CREAT: i32 = 0o1000;
const IPC_EXCL: i32 = 0o2000;
const SHM_RDONLY: i32 = 0o10000;
/// `CLONE_VM`: the new thread shares the address space.
const CLONE_VM: u64 = 0x100;

/// A segment by its namespace and id.
type Key = (u32, i32);

/// All segments, and who has attached them.
#[derive(Debug, Default)]
pub struct Segments {
    known: HashMap<Key, Segment>,
    /// The address space of each process that has attached something, or shares that of one.
    spaces: HashMap<u32, u64>,
    attached: HashMap<u64, Space>,
    next_space: u64,
}

#[derive(Debug)]
struct Segment {
    id: ChannelId,
    /// It cannot be attached any more, or its id is free for another.
    removed: bool,
}

/// An address space.
#[derive(Debug, Default)]
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
        self.push(header.time, task, Kind::Channel(ChannelEvent { call: Some(call), ..told }));
    }

    fn segment(&mut self, key: Key, created: bool) -> (ChannelId, bool) {
        if created {
            self.segments.known.remove(&key);
        }
        if let Some(segment) = self.segments.known.get(&key) {
            return (segment.id.clone(), false);
        }
        let id = new_name(&mut self.channels.names, format!("shm:{}", key.1));
        self.segments.known.insert(key, Segment { id: id.clone(), removed: false });
        (id, true)
    }

    fn shm_found(&mut self, record: &wire::ShmCall) -> ChannelEvent {
        if record.ret < 0 {
            // There is no segment to name: the key the caller asked for is all there is.
            let key = format!("{:#010x}", record.key);
            let id = ChannelId(format!("shm:{key}").into());
            return ChannelEvent { key: Some(key), ..shm_event(record, id, ChannelChange::Refused) };
        }
        let key = (record.namespace, record.id);
        let is_known = self.segments.known.get(&key).is_some_and(|segment| !segment.removed);
        let is_new = record.flags & IPC_EXCL != 0 && record.flags & IPC_CREAT != 0 || record.key == 0;
        let created = is_new || record.state & state::FRESH != 0 && record.flags & IPC_CREAT != 0 && !is_known;
        let (id, _) = self.segment(key, created || !is_known);
        shm_event(record, id, if created { ChannelChange::Created } else { ChannelChange::Opened })
    }

    fn shm_attached(&mut self, record: &wire::ShmCall, task: Task) -> ChannelEvent {
        let key = (record.namespace, record.id);
        let (id, _) = self.segment(key, false);
        if record.ret < 0 && record.ret > -4096 {
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
        let (id, _) = self.segment(of.0, false);
        let event = ChannelEvent::new(id, ChannelType::Shm, ChannelChange::Detached);
        let event = ChannelEvent { end: Some(of.1), address: Some(place(address)), call, ..event };
        self.push(time, task, Kind::Channel(event));
    }

    /// shmctl(2): what changes something.
    fn shm_controlled(&mut self, record: &wire::ShmCall) -> ChannelEvent {
        let key = (record.namespace, record.id);
        let (id, _) = self.segment(key, false);
        let removes = record.flags & 0xff == IPC_RMID;
        if removes
            && record.ret == 0
            && let Some(segment) = self.segments.known.get_mut(&key)
        {
            segment.removed = true;
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
            let (id, _) = self.segment(key, false);
            let event = ChannelEvent::new(id, ChannelType::Shm, ChannelChange::Inherited);
            let peer = Some(PeerPid { pid: parent.pid });
            let event = ChannelEvent { end: Some(end), address: Some(place(address)), peer, ..event };
            self.push(time, child, Kind::Channel(event));
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
        told.key = Some(format!("{:#010x}", record.key));
        told.owner = Some(record.uid);
        told.mode = Some(format!("{:03o}", record.mode & 0o777));
        told.capacity = Some(record.size);
        told.attached = Some(record.attached);
    }
    if record.ret < 0 && record.ret > -4096 {
        told.error = Some(names::errno(-record.ret as i32));
    }
    told
}
