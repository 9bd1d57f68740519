//! Who is at a channel's other end, and the sets of channels that poll(2) and its kin wait for.
//!
//! Invariant: a peer is named only if it is the one process that holds the other end, and nobody else can.
//! Tests: `live_waits.rs`, and here.

use std::collections::BTreeSet;

use ipcscope_common::{descriptor as wire, sched};

use super::{Held, Key};
use crate::{
    decode::Decoder,
    event::{Blocked, End, OpId, PeerPid, Task},
};

/// `S_IFMT`, `S_IFIFO`.
const FORMAT: u16 = 0o170_000;
const FIFO: u16 = 0o010_000;

/// What a set waits for of one of its descriptors, and on which it is.
fn other_end(events: u16) -> Option<End> {
    match (events & wire::END_READ != 0, events & wire::END_WRITE != 0) {
        (true, false) => Some(End::W),
        (false, true) => Some(End::R),
        _ => None,
    }
}

impl Decoder {
    /// One of the descriptors that a thread is about to wait for.
    pub(in crate::decode) fn wait(&mut self, record: &sched::Wait) {
        let header = &record.header;
        let thread = self.tasks.ensure(header.tid, header.tgid);
        if thread.set.as_ref().is_none_or(|(time, ..)| *time != header.time) {
            thread.set = Some((header.time, None, Vec::new()));
        }
        if let Some((.., waits)) = thread.set.as_mut() {
            waits.push(*record);
        }
    }

    /// The set that a thread waits for, which was told at that time; or, of a call that goes on after an interruption, before.
    pub(in crate::decode) fn wait_for_set(&mut self, time: u64, task: Task, op: OpId, on: &mut Blocked) {
        let Some(thread) = self.tasks.get_mut(task.tid) else { return };
        let Some((_, call, waits)) = thread.set.as_mut().filter(|(told, call, _)| *told == time || *call == Some(op))
        else {
            return;
        };
        *call = Some(op);
        let waits = waits.clone();
        let mut peer = None;
        for wait in &waits {
            if wait.fd < 0 {
                on.cut = true;
                continue;
            }
            on.fds.push(wait.fd);
            if wait.mode & FORMAT == FIFO {
                on.channels.push(self.channels.name(wait.dev, wait.ino));
                peer = other_end(wait.events).and_then(|end| self.peer((wait.dev, wait.ino), end));
            } else if let Some(queue) = self.channels.mqueues.get((wait.dev, wait.ino)) {
                on.channels.push(queue.id.clone());
            } else if let Some((id, _)) = self.object_id((wait.dev, wait.ino)) {
                on.channels.push(id);
            }
        }
        // Of one channel the other end is a process's; of several none is the peer.
        if let [_] = waits.as_slice() {
            on.peer = peer;
        }
        on.channels.dedup();
    }

    /// The peer of a thread that waits on a descriptor of a pipe.
    pub(in crate::decode) fn peer_of(&mut self, task: Task, fd: i32, key: Key) -> Option<PeerPid> {
        let files = self.tasks.get(task.tid)?.files;
        let held: &Held = self.channels.tables.get(&files)?.held.get(&fd).filter(|held| held.key == key)?;
        match held.end {
            End::R => self.peer(key, End::W),
            End::W => self.peer(key, End::R),
            End::Rw => None,
        }
    }

    /// The one process that holds that end of a pipe.
    fn peer(&mut self, key: Key, end: End) -> Option<PeerPid> {
        if let Some(known) = self.channels.peers.get(&(key, end)) {
            return *known;
        }
        let pipe = self.channels.pipes.get(&key)?;
        let anybody = pipe.outside || pipe.on_the_way > 0;
        let holds = |held: &Held| held.key == key && (held.end == end || held.end == End::Rw);
        let tables = self.channels.tables.iter().filter(|(_, table)| table.held.values().any(holds));
        let tables: BTreeSet<u64> = tables.map(|(files, _)| *files).collect();
        let threads = self.tasks.all().filter(|thread| !thread.ended && tables.contains(&thread.files));
        let pids: BTreeSet<u32> = threads.map(|thread| thread.task.pid).collect();
        let found = match (anybody, pids.len()) {
            (false, 1) => pids.first().map(|&pid| PeerPid { pid }),
            _ => None,
        };
        self.channels.peers.insert((key, end), found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_bytes_waits_for_a_writer() {
        assert_eq!(other_end(wire::END_READ), Some(End::W));
        assert_eq!(other_end(wire::END_WRITE), Some(End::R));
        assert_eq!((other_end(0), other_end(wire::END_READ | wire::END_WRITE)), (None, None));
    }
}
