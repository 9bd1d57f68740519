//! Memory that processes share by mmap(2): files of shm_open(3) and memfd_create(2), and anonymous shared mappings, which
//! children inherit.
//!
//! Where what is mapped is kept with System V segments ([`super::space`]); the files themselves are objects with
//! descriptors ([`super::object`]). Tests: tui/tests/live_objects.rs.

use ipcscope_common::memory::MemoryCall;
use syscalls::Sysno;

use super::{
    Decoder,
    descriptor::new_name,
    names,
    object::mechanism_of,
    space::{Mapping, place},
};
use crate::event::{Call, ChannelChange, ChannelEvent, ChannelType, End, Kind, Task};

/// `PROT_READ`, `PROT_WRITE`.
const READ: u32 = 1;
const WRITE: u32 = 2;
/// `MAP_SHARED`, `MAP_ANONYMOUS`.
const SHARED: u32 = 1;
const ANONYMOUS: u32 = 0x20;
/// Page size of x86-64.
const PAGE: u64 = 4096;

/// Whole pages for so many bytes.
pub fn pages(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(PAGE).unwrap_or(bytes)
}

fn end_of(protection: u32) -> End {
    match (protection & READ != 0, protection & WRITE != 0) {
        (_, false) => End::R,
        (false, true) => End::W,
        (true, true) => End::Rw,
    }
}

impl Decoder {
    /// A call on mapped memory returned.
    pub(super) fn memory_call(&mut self, record: &MemoryCall) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let op = self.call_returned(task, record.nr, record.entered);
        let call = self.call(task, op, record.nr, (record.entered, header.time));
        match names::sysno(record.nr) {
            Some(Sysno::mmap) => self.mapped(record, task, call),
            Some(Sysno::munmap) => {
                self.unmap(header.time, task, (record.address, pages(record.length)), Some(&call));
            }
            Some(Sysno::mremap) => self.remapped(record, task, &call),
            Some(Sysno::ftruncate) => self.truncated(record, task, call),
            _ => {}
        }
    }

    fn mapped(&mut self, record: &MemoryCall, task: Task, call: Call) {
        let time = record.header.time;
        let (address, len) = (record.ret as u64, pages(record.length));
        let shared_anonymous = record.flags & (ANONYMOUS | SHARED) == ANONYMOUS | SHARED;
        let (id, mechanism, offset) = if shared_anonymous {
            // The place where it was made is all there is to call it by.
            let base = format!("shm:{}:{}", task.pid, place(address));
            (new_name(&mut self.channels.names, base), ChannelType::Shm, 0)
        } else if record.flags & SHARED != 0 && mechanism_of((0, record.ino)).is_some() {
            let Some((id, mechanism)) = self.object_id((0, record.ino)) else { return };
            (id, mechanism, record.offset)
        } else {
            // Something else is there now.
            self.unmap(time, task, (address, len), Some(&call));
            return;
        };
        let end = end_of(record.protection);
        self.map(time, task, address, Mapping { id: id.clone(), mechanism, end, len, offset });
        let change = if shared_anonymous { ChannelChange::Created } else { ChannelChange::Attached };
        let event = ChannelEvent {
            fd: (record.fd >= 0).then_some(record.fd),
            end: Some(end),
            address: Some(place(address)),
            capacity: Some(len),
            call: Some(call),
            ..ChannelEvent::new(id, mechanism, change)
        };
        self.push(time, task, Kind::Channel(Box::new(event)));
    }

    /// mremap(2): what is mapped is longer, shorter, or elsewhere.
    fn remapped(&mut self, record: &MemoryCall, task: Task, call: &Call) {
        let time = record.header.time;
        let before = self.spaces.at(task.pid, record.address);
        let Some((before, offset)) = before.map(|(mapping, offset)| (mapping.clone(), offset)) else { return };
        self.unmap(time, task, (record.address, pages(record.length)), Some(call));
        let (address, len) = (record.ret as u64, pages(record.offset));
        let event = ChannelEvent {
            end: Some(before.end),
            address: Some(place(address)),
            capacity: Some(len),
            call: Some(call.clone()),
            ..ChannelEvent::new(before.id.clone(), before.mechanism, ChannelChange::Attached)
        };
        self.map(time, task, address, Mapping { len, offset, ..before });
        self.push(time, task, Kind::Channel(Box::new(event)));
    }

    /// ftruncate(2) gives a file in memory its size.
    fn truncated(&mut self, record: &MemoryCall, task: Task, call: Call) {
        let Some((id, mechanism)) = self.object_id((0, record.ino)) else { return };
        let event = ChannelEvent {
            fd: Some(record.fd),
            capacity: Some(record.length),
            call: Some(call),
            ..ChannelEvent::new(id, mechanism, ChannelChange::Resized)
        };
        self.push(record.header.time, task, Kind::Channel(Box::new(event)));
    }
}
