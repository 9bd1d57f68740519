//! System V shared memory: who makes, attaches and removes which segment.
//!
//! Where a segment is attached is kept with other mappings ([`super::space`]). Tests: tui/tests/live_shared.rs.

use ipcscope_common::shm::{self as wire, state};
use syscalls::Sysno;

use super::{
    Decoder,
    memory::pages,
    names,
    space::{Mapping, place},
    sysv::{self, IPC_RMID, Key, Lookup, Objects},
};
use crate::event::{Call, ChannelChange, ChannelEvent, ChannelId, ChannelType, End, Kind, Task};

/// A flag of shmat(2).
const SHM_RDONLY: i32 = 0o10000;

/// All segments.
#[derive(Clone, Debug)]
pub struct Segments {
    known: Objects,
}

impl Default for Segments {
    fn default() -> Self {
        Self { known: Objects::new("shm") }
    }
}

fn sysno(record: &wire::ShmCall) -> Option<Sysno> {
    names::sysno(record.nr)
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
        let mapping = Mapping { id: id.clone(), mechanism: ChannelType::Shm, end, len: pages(record.size), offset: 0 };
        // In place of what was there (SHM_REMAP).
        self.map(record.header.time, task, record.address, mapping);
        let event = shm_event(record, id, ChannelChange::Attached);
        ChannelEvent { end: Some(end), address: Some(place(record.address)), ..event }
    }

    fn shm_detached(&mut self, record: &wire::ShmCall, task: Task, call: Call) {
        if record.ret != 0 {
            return;
        }
        let Some(mapping) = self.spaces.take(task.pid, record.address) else { return };
        self.tell_detached(record.header.time, task, record.address, &mapping, Some(call));
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
