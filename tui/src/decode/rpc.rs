//! Remote procedure calls, out of the payload of sends on sockets.
//!
//! A connection is a [`Conversation`] of directions, each a stream of messages; what is known of a message beyond the bytes
//! that were kept is its length, so that the next one is found behind a long body. The receives of a socket whose
//! sender is not traced stand for that sender's sends. It follows events on their way out, since a call is named by its `seq`.
//!
//! Invariants: a connection is of a protocol only after a message of it was recognised whole; arbitrary payload never
//! panics and costs bounded memory; an answer names a call only if that is certain: by its number, in HTTP by order. Tested by tables and
//! arbitrary bytes (`tests.rs`), and by tui/tests/live_rpc.rs.

mod conversation;
mod dbus;
mod http;
mod onc;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use conversation::{Conversation, Pending};

use super::shared::Shared;
use crate::event::{
    Call, ChannelChange, ChannelId, ChannelType, Event, FromUnknown, Kind, Nanos, OpId, Protocol, Role, Rpc, Task,
    Transfer,
};

/// Connections remembered; beyond, all are forgotten.
const CONVERSATIONS: usize = 1 << 16;
/// Calls of a connection that wait for their answer.
const PENDING: usize = 1 << 10;
/// A call's send may return after that of its answer: so long an answer waits for its call, ns.
const EARLY: u64 = 10_000_000;

/// A message, as a protocol has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    role: Role,
    method: Option<String>,
    id: Option<u32>,
    status: Option<String>,
    cut: bool,
    /// Of a call: somebody will answer.
    answered: bool,
    /// What follows on the connection is of another protocol.
    last: bool,
}

impl Message {
    fn new(role: Role) -> Self {
        Self { role, method: None, id: None, status: None, cut: false, answered: role == Role::Call, last: false }
    }
}

/// What comes next in a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The bytes that are there are too few.
    Need,
    /// They are nothing of this protocol.
    Lost,
    /// A piece of so many bytes, most of which may not be there.
    Took { len: u64, message: Option<Message> },
}

/// Whether bytes are of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    No,
    /// They may be the beginning.
    Maybe,
    Yes,
}

/// A connection: a stream by its channel, datagrams by the two ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Stream(ChannelId),
    Ports(u64, u64),
}

/// What was sent, and by whom.
struct Sent<'a> {
    transfer: &'a Transfer,
    /// Which end sent it.
    side: u64,
    t: Nanos,
    of: Option<OpId>,
}

/// An answer that waits for its call.
#[derive(Clone, Debug)]
struct Early {
    key: Key,
    side: u64,
    event: Event,
}

/// All conversations.
#[derive(Clone, Debug, Default)]
pub(super) struct Rpcs {
    conversations: Shared<Key, Conversation>,
    early: VecDeque<Early>,
}

impl Rpcs {
    /// It is gone.
    pub(super) fn forget(&mut self, channel: ChannelId) {
        self.conversations.remove(&Key::Stream(channel));
    }

    /// Takes an event that is about to be told. Gives the messages that its bytes make whole; the first has the number `next`.
    pub(super) fn take(&mut self, event: &Event, next: u64) -> Vec<Event> {
        let mut found = Found { next, events: Vec::new() };
        match &event.kind {
            Kind::Send(transfer) => self.transferred(event, transfer, true, &mut found),
            Kind::Recv(transfer) if transfer.from_unknown == Some(FromUnknown::External) && !transfer.peek => {
                self.transferred(event, transfer, false, &mut found);
            }
            Kind::Channel(change) if matches!(change.event, ChannelChange::Removed | ChannelChange::Reset) => {
                self.forget(change.channel.clone());
            }
            Kind::Lost(lost) if !matches!(&*lost.class, "sched" | "signal" | "queue" | "pipe" | "pipe-sample") => {
                self.conversations.values_mut().for_each(Conversation::lose);
            }
            _ => {}
        }
        found.events
    }

    /// Answers whose call has not come until now.
    pub(super) fn overdue(&mut self, now: Nanos, next: u64) -> Vec<Event> {
        let mut found = Found { next, events: Vec::new() };
        while self.early.front().is_some_and(|early| now.since(early.event.t) >= EARLY) {
            let Some(Early { event, .. }) = self.early.pop_front() else { break };
            // An ONC answer alone is too little to be believed.
            if !matches!(&event.kind, Kind::Rpc(rpc) if rpc.protocol == Protocol::OncRpc) {
                found.push(event);
            }
        }
        found.events
    }

    fn transferred(&mut self, event: &Event, transfer: &Transfer, sends: bool, found: &mut Found) {
        let (Some(way), Some(bytes)) = (transfer.way, transfer.bytes.filter(|bytes| *bytes > 0)) else { return };
        let key = match transfer.mechanism {
            ChannelType::UnixStream | ChannelType::Tcp => Key::Stream(transfer.channel.clone()),
            ChannelType::Udp => Key::Ports(way.own.min(way.other), way.own.max(way.other)),
            _ => return,
        };
        let side = match (&key, sends) {
            (_, true) => way.own,
            (Key::Ports(..), false) => way.other,
            (Key::Stream(_), false) => !way.own,
        };
        let Call { op, took_ns, .. } = transfer.call;
        let entered = event.t.0.saturating_sub(took_ns);
        let sent = Sent { transfer, side, t: event.t, of: sends.then_some(op) };
        let who = event.task.filter(|_| sends);
        let payload = transfer.payload.as_deref().unwrap_or_default();
        if matches!(key, Key::Ports(..)) {
            if let Some(message) = onc::datagram(payload, bytes) {
                self.message(&key, &sent, Protocol::OncRpc, message, entered, who, event, found);
            }
            return;
        }
        if self.conversations.len() >= CONVERSATIONS && !self.conversations.contains_key(&key) {
            self.conversations.clear();
        }
        let conversation = self.conversations.ensure(key.clone(), Conversation::default);
        conversation.sent(side, payload, bytes, transfer.offset, entered);
        while let Some((protocol, message, began)) =
            self.conversations.get_mut(&key).and_then(|conversation| conversation.next(side))
        {
            self.message(&key, &sent, protocol, message, began, who, event, found);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a message and where it comes from")]
    fn message(
        &mut self,
        key: &Key,
        sent: &Sent<'_>,
        protocol: Protocol,
        message: Message,
        began: u64,
        who: Option<Task>,
        event: &Event,
        found: &mut Found,
    ) {
        let Message { role, method, id, status, cut, answered, .. } = message;
        let is_known = self.conversations.contains_key(key) || role == Role::Call;
        let (channel, mechanism) = (sent.transfer.channel.clone(), sent.transfer.mechanism);
        let mut rpc = Rpc {
            protocol,
            role,
            method,
            id,
            status,
            latency_ns: None,
            call: None,
            of: sent.of,
            channel,
            mechanism,
            cut,
        };
        let told = |rpc: Rpc| Event {
            t: sent.t,
            seq: 0,
            task: who,
            comm: event.comm.filter(|_| who.is_some()),
            ns_pid: event.ns_pid.filter(|_| who.is_some()),
            host: event.host.clone(),
            kind: Kind::Rpc(Box::new(rpc)),
        };
        if role.is_answer() {
            let pending = self.conversations.get_mut(key).and_then(|conversation| conversation.answers(sent.side, id));
            match pending {
                Some(call) => {
                    call.answered_by(&mut rpc, sent.t);
                    found.push(told(rpc));
                }
                None if is_known || protocol == Protocol::OncRpc => {
                    self.early.push_back(Early { key: key.clone(), side: sent.side, event: told(rpc) });
                }
                None => {}
            }
            return;
        }
        let method = rpc.method.clone();
        let seq = found.push(told(rpc));
        if role != Role::Call || !answered {
            return;
        }
        let call = Pending { side: sent.side, id, method, seq, began };
        let is_it = |early: &Early| {
            early.key == *key
                && early.side != call.side
                && early.event.t.0 >= call.began
                && matches!(&early.event.kind, Kind::Rpc(answer) if answer.protocol == protocol && answer.id == id)
        };
        if let Some(mut early) = self.early.iter().position(is_it).and_then(|place| self.early.remove(place)) {
            if let Kind::Rpc(answer) = &mut early.event.kind {
                call.answered_by(answer, early.event.t);
            }
            // Its line comes after that of its call.
            early.event.t = early.event.t.max(sent.t);
            found.push(early.event);
            return;
        }
        if self.conversations.len() >= CONVERSATIONS && !self.conversations.contains_key(key) {
            self.conversations.clear();
        }
        self.conversations.ensure(key.clone(), Conversation::default).wait(call);
    }
}

/// What a send has brought.
struct Found {
    next: u64,
    events: Vec<Event>,
}

impl Found {
    /// Gives it a number.
    fn push(&mut self, mut event: Event) -> u64 {
        let seq = self.next;
        event.seq = seq;
        self.next += 1;
        self.events.push(event);
        seq
    }
}
