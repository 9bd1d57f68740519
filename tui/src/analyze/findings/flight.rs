//! No end-of-file because the write end is in flight: passed through a socket (SCM_RIGHTS, unix(7)), closed by whoever had
//! it, and not received yet.
//!
//! No event tells of an end that is on its way. But a pipe that was made in the trace, whose write end nobody has a
//! descriptor of any more, would give its reader end-of-file; where the reader waits on, the kernel still has the end, and
//! a message that was not received is what can keep it. The messages that may be it are named: those that were sent, by
//! whoever had the end, into sockets from which not all was received.

use std::collections::BTreeMap;

use foldhash::HashMap;

use super::{
    Finding, Found,
    facts::{Facts, Wait},
    room::Room,
    telling::{list, name, name_of},
};
use crate::{
    analyze::duration,
    event::{Cause, ChannelChange, ChannelId, ChannelType, Event, Kind, Nanos, ThreadState},
    model::{Channel, ProcessKey, Side, World},
};

/// How long a reader must have waited since the last descriptor was closed: the end-of-file of that close is no finding.
const LONG: u64 = 500_000_000;
/// Messages and ends that are remembered.
const MOST: usize = 4096;

/// What may be on its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    /// The last message with sendmsg(2), by sender and socket.
    sent: BTreeMap<(ProcessKey, ChannelId), u64>,
    closed: HashMap<ChannelId, Closed>,
    room: Room,
}

/// Who closed the write ends of a pipe, and when and by which event the last one.
#[derive(Clone, Debug, Default)]
struct Closed {
    by: Vec<ProcessKey>,
    t: Nanos,
    seq: u64,
}

impl Flight {
    pub(super) fn apply(&mut self, facts: &Facts, world: &World, event: &Event, found: &mut Found) {
        let Some(task) = event.task else { return };
        let Some(key) = world.by_pid.get(&task.pid).copied() else { return };
        match &event.kind {
            Kind::Send(send)
                if is_unix(send.mechanism)
                    && send.error.is_none()
                    && matches!(send.call.syscall, "sendmsg" | "sendmmsg")
                    && self.sent.len() < MOST =>
            {
                self.sent.insert((key, send.channel.clone()), event.seq);
            }
            Kind::Channel(change) if change.event == ChannelChange::Closed && change.mechanism == ChannelType::Pipe => {
                let held =
                    world.process(task.pid).zip(change.fd).and_then(|(process, fd)| process.descriptors.get(&fd));
                if held.is_some_and(|(id, end)| *id == change.channel && end.writes()) {
                    self.close(world, key, &change.channel, event);
                }
            }
            Kind::Exit(exit) if !exit.thread => {
                let Some(process) = world.process(task.pid) else { return };
                for (id, _) in
                    process.descriptors.values().filter(|(id, end)| end.writes() && id.0.starts_with("pipe:"))
                {
                    self.close(world, key, id, event);
                }
                self.now(facts, world, event.t, found);
            }
            // It comes to light before a wait ends.
            Kind::State(change) if change.from == Some(ThreadState::Blocked) => {
                if let Some(wait) = facts.waits.get(&task.tid) {
                    self.look(facts, world, wait, event.t, found);
                }
            }
            _ => {}
        }
    }

    pub(super) fn now(&self, facts: &Facts, world: &World, now: Nanos, found: &mut Found) {
        for wait in facts.waits.values() {
            self.look(facts, world, wait, now, found);
        }
    }

    fn close(&mut self, world: &World, key: ProcessKey, id: &ChannelId, event: &Event) {
        if self.room.is_used_up(self.closed.len()) {
            self.closed.retain(|id, _| world.channels.contains_key(id));
            self.room.stayed(self.closed.len());
        }
        let closed = self.closed.entry(id.clone()).or_default();
        if !closed.by.contains(&key) && closed.by.len() < MOST {
            closed.by.push(key);
        }
        (closed.t, closed.seq) = (event.t, event.seq);
    }

    fn look(&self, facts: &Facts, world: &World, wait: &Wait, now: Nanos, found: &mut Found) {
        let on = &wait.on;
        let reads = on.cause == Cause::Call && matches!(on.syscall, Some("read" | "readv" | "preadv2"));
        if !reads || now.since(wait.since) < LONG || facts.lost() {
            return;
        }
        let Some(channel) = on.channel.as_ref().and_then(|id| world.channels.get(id)) else { return };
        let Some(process) = world.process(wait.pid).filter(|process| process.ended.is_none()) else { return };
        if channel.mechanism != ChannelType::Pipe
            || !facts.all_holders_known(&channel.id)
            || !world.holders_of(channel, Side::Send).is_empty()
        {
            return;
        }
        let Some(closed) = self.closed.get(&channel.id).filter(|closed| now.since(closed.t) >= LONG) else { return };
        let messages: Vec<_> = self
            .sent
            .iter()
            .filter(|((key, id), _)| closed.by.contains(key) && world.channels.get(id).is_some_and(is_unread))
            .collect();
        // Nothing that could keep it is known of.
        if messages.is_empty() {
            return;
        }
        found.report(format!("flight {} {}", channel.id, process.key.0), || {
            let sockets = messages
                .iter()
                .map(|((key, id), _)| format!("{id}, into which {} sent what nobody has received yet", name_of(world, *key)))
                .collect();
            Finding {
                rule: "no-end-of-file",
                t: now,
                what: format!(
                    "No end-of-file for {} on {}: it has been BLOCKED in read for {}, and no process has a descriptor of \
                     the write end any more: it is in flight, passed (SCM_RIGHTS) through {}.",
                    name(process),
                    channel.id,
                    duration(now.since(wait.since)),
                    list(sockets)
                ),
                advice: "Receive the message and close the descriptor that comes with it, or close the socket: an end in \
                         flight counts as open."
                    .to_owned(),
                evidence: messages.iter().map(|(_, seq)| **seq).chain([closed.seq, wait.seq]).collect(),
            }
        });
    }
}

fn is_unix(mechanism: ChannelType) -> bool {
    matches!(mechanism, ChannelType::UnixStream | ChannelType::UnixDgram | ChannelType::UnixSeqpacket)
}

/// More was sent into it than received.
fn is_unread(channel: &Channel) -> bool {
    let sum = |users: &BTreeMap<ProcessKey, crate::model::Hold>| {
        users.values().map(|hold| hold.bytes).fold(0_u64, u64::saturating_add)
    };
    channel.gone.is_none() && sum(&channel.senders) > sum(&channel.receivers)
}
