//! The words for what is shared rather than sent through: semaphores and memory.

use super::{Lines, words::call_detail};
use crate::{
    analyze::span::{Role, Spans},
    event::{ChannelChange, ChannelEvent, ChannelType, End, SemOperation, Transfer},
};

impl Lines {
    /// `semop -1 on sysv-sem:5[0] (now 0), let go by sh 4711`
    pub(super) fn semaphores(&self, transfer: &Transfer, operations: &[SemOperation], out: &mut Spans) {
        out.add(Role::Call, transfer.call.syscall);
        for (index, operation) in operations.iter().enumerate() {
            let change = match operation.change {
                0 => "wait for 0".to_owned(),
                change => format!("{change:+}"),
            };
            out.plain(if index == 0 { " " } else { ", " }).add(Role::Bytes, change).plain(" on ");
            out.add(Role::Channel, format!("{}[{}]", transfer.channel.0, operation.semaphore));
            if let Some(value) = operation.value.filter(|_| transfer.error.is_none()) {
                out.dim(format!(" (now {value})"));
            }
        }
        if operations.is_empty() {
            out.plain(" on ").add(Role::Channel, &*transfer.channel.0);
        }
        for origin in transfer.from.iter().flatten() {
            out.plain(", let go by ").add(Role::Peer, self.name(origin.pid));
        }
        call_detail(transfer, "it would have to wait", out);
    }

    /// What is told of memory and semaphores alone.
    pub(super) fn shared(change: &ChannelEvent, out: &mut Spans) {
        if let Some(address) = &change.address {
            out.plain(format!(" at {address}"));
        }
        if change.mechanism == ChannelType::Shm && change.end == Some(End::R) {
            out.plain(" to read");
        }
        if let (Some(semaphore), Some(value)) = (change.semaphore, change.value) {
            out.plain(format!(": [{semaphore}] = {value}"));
        }
        match (change.mechanism, change.capacity, change.slots, change.attached) {
            (ChannelType::Shm, Some(size), _, Some(count)) if change.event != ChannelChange::Detached => {
                out.dim(format!(" ({size} B, attached {count}x)"));
            }
            (ChannelType::SysvSem, _, Some(count), _) if change.event != ChannelChange::Changed => {
                out.dim(format!(" ({count} semaphores)"));
            }
            _ => {}
        }
    }
}

/// What a process does to memory, in the imperative; `None`: as to any channel.
pub(super) fn verb(change: &ChannelEvent) -> Option<&'static str> {
    let call = change.call.as_ref().map_or("", |call| call.syscall);
    match (change.mechanism, change.event) {
        (ChannelType::Shm, ChannelChange::Attached) if call == "shmat" => Some("attach"),
        (ChannelType::Shm | ChannelType::Memfd, ChannelChange::Attached) if !call.is_empty() => Some("map"),
        (ChannelType::Shm | ChannelType::Memfd, ChannelChange::Created) if call == "mmap" => Some("map and share"),
        (ChannelType::Shm | ChannelType::Memfd, ChannelChange::Detached)
            if matches!(call, "munmap" | "mmap" | "mremap") =>
        {
            Some("unmap")
        }
        _ => None,
    }
}
