//! System V message queues: calls become sends and receives, and every receive learns whose message it got.
//!
//! The kernel side tells when a message comes into being at an address, and when a receive freed the one at its own. The
//! message a receive got is the last one made at that address before: until it is freed the address belongs to nobody else.
//!
//! Invariants: what is not seen to be so is not claimed; after a loss nothing from before it counts any more. Tests: the
//! table at the end; programs that number their messages (tui/tests/live_queues.rs).

mod messages;
mod transfer;

use ipcscope_common::queue::{self as wire, state};
use syscalls::Sysno;

use crate::event::{Call, ChannelChange, ChannelEvent, ChannelId, ChannelType, FromUnknown, Kind, OpId, Task};

use super::{
    Decoder,
    call::On,
    names,
    sysv::{self, IPC_RMID, IPC_SET, Objects},
};
use messages::Messages;

/// All queues and messages in the stream.
#[derive(Clone, Debug)]
pub struct Queues {
    messages: Messages,
    known: Objects,
}

impl Default for Queues {
    fn default() -> Self {
        Self { messages: Messages::default(), known: Objects::new("sysv-mq") }
    }
}

impl Queues {
    /// What the queue is called, if there is one.
    pub fn name(&self, namespace: u32, id: i32) -> Option<ChannelId> {
        self.known.name((namespace, id))
    }

    /// The call that made a message failed: it never got anywhere.
    pub fn unmake(&mut self, message: u64, op: OpId) {
        self.messages.unmade(message, op);
    }

    /// Who sent the message that was freed at that time.
    pub fn sender_of(&mut self, message: u64, freed: u64) -> Result<(OpId, u32), FromUnknown> {
        self.messages.freed(message, freed)
    }
}

fn sysno(record: &wire::QueueCall) -> Option<Sysno> {
    names::sysno(record.nr)
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
            self.queues.known.appear(key, false);
        }
        let (id, is_new) = self.queues.known.ensure(key, &mut self.channels.names);
        if is_new && record.state & state::WHOLE != 0 {
            let mut event = Self::queue_event(record, id.clone(), ChannelChange::Attached);
            event.call = Some(self.queue_call_of(record, task));
            self.push(record.header.time, task, Kind::Channel(Box::new(event)));
        }
        id
    }

    fn queue_event(record: &wire::QueueCall, id: ChannelId, event: ChannelChange) -> ChannelEvent {
        let mut told = ChannelEvent::new(id, ChannelType::SysvMq, event);
        if record.state & state::WHOLE != 0 {
            sysv::describe(&mut told, record.key, record.uid, record.mode);
            told.capacity = Some(record.capacity);
        }
        told.error = sysv::error(record.ret);
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
            let event = Self::queue_event(record, self.queues.known.refused(record.key), ChannelChange::Refused);
            ChannelEvent { key: Some(sysv::hexadecimal(record.key)), ..event }
        } else {
            let change =
                if record.state & state::CREATED != 0 { ChannelChange::Created } else { ChannelChange::Opened };
            let key = (record.namespace, record.id);
            self.queues.known.appear(key, change == ChannelChange::Created);
            let (id, _) = self.queues.known.ensure(key, &mut self.channels.names);
            Self::queue_event(record, id, change)
        };
        event.call = Some(call);
        self.push(record.header.time, task, Kind::Channel(Box::new(event)));
    }

    /// msgctl(2): what changes something.
    fn queue_control(&mut self, record: &wire::QueueCall, task: Task) {
        let change = match record.flags & 0xff {
            IPC_RMID => ChannelChange::Removed,
            IPC_SET => ChannelChange::Changed,
            _ => return,
        };
        let call = self.queue_call_of(record, task);
        let (id, _) = self.queues.known.ensure((record.namespace, record.id), &mut self.channels.names);
        let mut event = Self::queue_event(record, id, change);
        event.call = Some(call);
        if change == ChannelChange::Removed && record.ret == 0 {
            self.queues.known.remove((record.namespace, record.id));
        }
        self.push(record.header.time, task, Kind::Channel(Box::new(event)));
    }

    /// Records are missing, from a moment on or up to one.
    pub(super) fn queues_lost(&mut self, over: bool) {
        self.queues.messages.lost(over);
    }
}
