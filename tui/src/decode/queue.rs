//! System V message queues: calls become sends and receives, and every receive learns whose message it got.
//!
//! The kernel side tells when a message comes into being at an address, and when a receive freed the one at its own. The
//! message a receive got is the last one made at that address before: until it is freed the address belongs to nobody else.
//!
//! Invariants: what is not seen to be so is not claimed; after a loss nothing from before it counts any more. Tests: the
//! table at the end; programs that number their messages (tui/tests/live_queues.rs).

mod messages;
mod transfer;

use std::collections::HashMap;

use ipcscope_common::queue::{self as wire, state};
use syscalls::Sysno;

use crate::event::{Call, ChannelChange, ChannelEvent, ChannelId, ChannelType, FromUnknown, Kind, OpId, Task};

use super::{Decoder, call::On, names};
use messages::Messages;

/// Commands of msgctl(2).
const IPC_RMID: i32 = 0;
const IPC_SET: i32 = 1;

/// A queue by its namespace and id.
pub type Key = (u32, i32);

/// All queues and messages in the stream.
#[derive(Debug, Default)]
pub struct Queues {
    messages: Messages,
    known: HashMap<Key, Queue>,
    /// How often each name was given out.
    names: HashMap<String, u32>,
}

/// A queue in the stream.
#[derive(Debug)]
struct Queue {
    id: ChannelId,
    /// It has been removed; calls that waited on it tell of it still.
    removed: bool,
}

impl Queues {
    /// What the queue is called, if there is one.
    pub fn name(&self, namespace: u32, id: i32) -> Option<ChannelId> {
        self.known.get(&(namespace, id)).map(|queue| queue.id.clone())
    }

    /// The call that made a message failed: it never got anywhere.
    pub fn unmake(&mut self, message: u64, op: OpId) {
        self.messages.unmade(message, op);
    }

    /// Who sent the message that was freed at that time.
    pub fn sender_of(&mut self, message: u64, freed: u64) -> Result<(OpId, u32), FromUnknown> {
        self.messages.freed(message, freed)
    }

    /// There is a queue of that id now: not the one that was removed. `created`: it is from this moment on.
    fn appear(&mut self, key: Key, created: bool) {
        if created || self.known.get(&key).is_some_and(|queue| queue.removed) {
            self.known.remove(&key);
        }
    }

    /// What the queue is called; true: it is new here.
    fn ensure(&mut self, key: Key) -> (ChannelId, bool) {
        if let Some(queue) = self.known.get(&key) {
            return (queue.id.clone(), false);
        }
        let base = format!("sysv-mq:{}", key.1);
        let count = self.names.entry(base.clone()).or_default();
        *count += 1;
        let id = ChannelId(if *count > 1 { format!("{base}#{count}") } else { base }.into());
        self.known.insert(key, Queue { id: id.clone(), removed: false });
        (id, true)
    }
}

fn sysno(record: &wire::QueueCall) -> Option<Sysno> {
    usize::try_from(record.nr).ok().and_then(Sysno::new)
}

impl Decoder {
    /// A message came into being.
    pub(super) fn queue_message(&mut self, record: &wire::QueueMessage) {
        let header = &record.header;
        if header.tid == 0 {
            self.queues.messages.made(record.address, header.time, None);
            return;
        }
        self.tasks
            .resume(header.tid, record.entered, |interrupted| matches!(interrupted.on, On::Queue(_) | On::Mqueue(_)));
        let op = self.tasks.op(header.tid, header.tgid, record.entered);
        self.queues.messages.made(record.address, header.time, Some((op, header.tgid)));
    }

    /// A call on a queue returned.
    pub(super) fn queue_call(&mut self, record: &wire::QueueCall, payload: &[u8]) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let op = self.call_returned(task, record.nr, record.entered);
        match sysno(record) {
            Some(Sysno::msgsnd | Sysno::msgrcv) if (-516..=-512).contains(&record.ret) => {
                self.queue_interrupted(record, op);
            }
            Some(Sysno::msgsnd | Sysno::msgrcv) => self.queue_transfer(record, payload, op, task),
            Some(Sysno::msgget) => self.queue_found(record, task),
            Some(Sysno::msgctl) => self.queue_control(record, task),
            _ => {}
        }
    }

    /// The queue of a call, told of if it is new here and the call does not tell itself.
    fn queue_of(&mut self, record: &wire::QueueCall, task: Task) -> ChannelId {
        let key = (record.namespace, record.id);
        if record.state & state::FOUND != 0 {
            self.queues.appear(key, false);
        }
        let (id, is_new) = self.queues.ensure(key);
        if is_new && record.state & state::WHOLE != 0 {
            let mut event = Self::queue_event(record, id.clone(), ChannelChange::Attached);
            event.call = Some(self.queue_call_of(record, task));
            self.push(record.header.time, task, Kind::Channel(event));
        }
        id
    }

    fn queue_event(record: &wire::QueueCall, id: ChannelId, event: ChannelChange) -> ChannelEvent {
        let mut told = ChannelEvent::new(id, ChannelType::SysvMq, event);
        if record.state & state::WHOLE != 0 {
            told.key = Some(format!("{:#010x}", record.key));
            told.owner = Some(record.uid);
            told.mode = Some(format!("{:03o}", record.mode & 0o777));
            told.capacity = Some(record.capacity);
        }
        if record.ret < 0 {
            told.error = Some(names::errno(-record.ret as i32));
        }
        told
    }

    fn queue_call_of(&mut self, record: &wire::QueueCall, task: Task) -> Call {
        let op = self.tasks.op(task.tid, task.pid, record.entered);
        self.call(task, op, record.nr, (record.entered, record.header.time))
    }

    /// msgget(2).
    fn queue_found(&mut self, record: &wire::QueueCall, task: Task) {
        let call = self.queue_call_of(record, task);
        let mut event = if record.ret < 0 {
            // There is no queue to name: the key the caller asked for is all there is.
            let id = ChannelId(format!("sysv-mq:{:#010x}", record.key).into());
            let event = Self::queue_event(record, id, ChannelChange::Refused);
            ChannelEvent { key: Some(format!("{:#010x}", record.key)), ..event }
        } else {
            let change =
                if record.state & state::CREATED != 0 { ChannelChange::Created } else { ChannelChange::Opened };
            let key = (record.namespace, record.id);
            self.queues.appear(key, change == ChannelChange::Created);
            let (id, _) = self.queues.ensure(key);
            Self::queue_event(record, id, change)
        };
        event.call = Some(call);
        self.push(record.header.time, task, Kind::Channel(event));
    }

    /// msgctl(2): what changes something.
    fn queue_control(&mut self, record: &wire::QueueCall, task: Task) {
        let change = match record.flags & 0xff {
            IPC_RMID => ChannelChange::Removed,
            IPC_SET => ChannelChange::Changed,
            _ => return,
        };
        let call = self.queue_call_of(record, task);
        let (id, _) = self.queues.ensure((record.namespace, record.id));
        let mut event = Self::queue_event(record, id, change);
        event.call = Some(call);
        if change == ChannelChange::Removed
            && record.ret == 0
            && let Some(queue) = self.queues.known.get_mut(&(record.namespace, record.id))
        {
            queue.removed = true;
        }
        self.push(record.header.time, task, Kind::Channel(event));
    }

    /// Records are missing, from a moment on or up to one.
    pub(super) fn queues_lost(&mut self, over: bool) {
        self.queues.messages.lost(over);
    }
}
