//! A listening socket whose accept queue is full: connections come faster than they are accepted (listen(2)).
//!
//! What waits in the queue is counted: connections that were made to the address and not accepted. With more of them than
//! the backlog it is full (`sk_acceptq_is_full`, `unix_recvq_full`), and the kernel then refuses a connect(2) on a UNIX
//! socket that must not block, lets others wait, and drops what comes for a TCP socket, which is tried again after a second.
//!
//! Invariant: told only of sockets that began to listen in the trace, and once a connect waited as long as a TCP one does
//! whose first try was dropped, or was refused. Where a connect that waits goes is known only when it returns: until then
//! it is told of if there is but one full queue it can wait for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Found, facts::Facts, telling::name_pid};
use crate::{
    analyze::duration,
    event::{Cause, ChannelChange, ChannelEvent, ChannelId, ChannelType, Event, Kind, Nanos, Task, ThreadState},
    model::World,
};

/// The first retransmission of a SYN is a second after it (RFC 6298); looked at a little earlier.
const LONG: u64 = 950_000_000;
/// Sockets, and threads, that are remembered.
const MOST: usize = 4096;

/// Who listens, and who waits to be connected.
#[derive(Clone, Debug, Default)]
pub(super) struct Overflow {
    /// By mechanism and address.
    listeners: BTreeMap<(&'static str, String), Listener>,
    /// Threads that are BLOCKED in connect(2).
    connects: BTreeMap<u32, Connect>,
}

#[derive(Clone, Debug)]
struct Listener {
    channel: ChannelId,
    pid: u32,
    seq: u64,
    backlog: u64,
    /// Connected and not accepted.
    queue: BTreeSet<ChannelId>,
    /// The last that came into it.
    last: u64,
    /// When it was full for the last time, if it is not any more.
    until: Option<Nanos>,
}

#[derive(Clone, Debug)]
struct Connect {
    task: Task,
    mechanism: &'static str,
    since: Nanos,
    seq: u64,
}

impl Listener {
    fn is_full(&self) -> bool {
        self.queue.len() as u64 > self.backlog
    }
}

impl Overflow {
    pub(super) fn apply(&mut self, facts: &Facts, world: &World, event: &Event, found: &mut Found) {
        let Some(task) = event.task else { return };
        match &event.kind {
            Kind::State(change) if change.to == ThreadState::Blocked => {
                let Some(on) = change.on.as_deref().filter(|on| on.cause == Cause::Call) else { return };
                let Some(channel) = on.channel.as_ref().filter(|_| on.syscall == Some("connect")) else { return };
                if let Some(mechanism) = world.channels.get(channel).and_then(|channel| listens(channel.mechanism))
                    && self.connects.len() < MOST
                {
                    let connect = Connect { task, mechanism, since: event.t, seq: event.seq };
                    self.connects.entry(task.tid).or_insert(connect);
                }
            }
            Kind::Channel(change) => self.change(facts, world, (task, change), event, found),
            Kind::Exit(_) => {
                if let Some(connect) = self.connects.remove(&task.tid) {
                    self.look(facts, world, &connect, event.t, found);
                }
            }
            Kind::Lost(_) => *self = Self::default(),
            _ => {}
        }
    }

    pub(super) fn now(&self, facts: &Facts, world: &World, now: Nanos, found: &mut Found) {
        for connect in self.connects.values() {
            self.look(facts, world, connect, now, found);
        }
    }

    fn change(
        &mut self,
        facts: &Facts,
        world: &World,
        (task, change): (Task, &ChannelEvent),
        event: &Event,
        found: &mut Found,
    ) {
        let Some(mechanism) = listens(change.mechanism) else { return };
        match change.event {
            ChannelChange::Listening if change.error.is_none() => {
                let Some((address, backlog)) = change.local.clone().zip(change.backlog) else { return };
                if self.listeners.len() >= MOST {
                    return;
                }
                let fresh = Listener {
                    channel: change.channel.clone(),
                    pid: task.pid,
                    seq: event.seq,
                    backlog: backlog.into(),
                    queue: BTreeSet::new(),
                    last: event.seq,
                    until: None,
                };
                let listener = self.listeners.entry((mechanism, address)).or_insert_with(|| fresh.clone());
                if listener.channel == change.channel {
                    // listen(2) once more changes the backlog.
                    (listener.backlog, listener.seq) = (backlog.into(), event.seq);
                } else {
                    *listener = fresh;
                }
            }
            ChannelChange::Connected => {
                let waited = self.connects.remove(&task.tid);
                let Some(address) = change.remote.clone() else { return };
                let Some(listener) = self.listeners.get_mut(&(mechanism, address.clone())) else { return };
                let waited = waited.filter(|waited| event.t.since(waited.since) >= LONG);
                match change.error {
                    Some("EAGAIN") if listener.is_full() => {
                        let end = "a connect of it failed with EAGAIN".to_owned();
                        tell(facts, world, &address, listener, (task.pid, end, event.seq), event.t, found);
                    }
                    Some("EAGAIN") => {}
                    error => {
                        let was_full = listener.is_full()
                            || (listener.until.zip(waited.as_ref()))
                                .is_some_and(|(until, waited)| until >= waited.since);
                        if let Some(waited) = waited.filter(|_| was_full) {
                            let how = if error.is_some() { "and then failed" } else { "until it was connected" };
                            let end = format!(
                                "it was BLOCKED in connect for {}, {how}",
                                duration(event.t.since(waited.since))
                            );
                            tell(facts, world, &address, listener, (task.pid, end, waited.seq), event.t, found);
                        }
                        if error.is_none() && listener.queue.len() < MOST {
                            listener.queue.insert(change.channel.clone());
                            listener.last = event.seq;
                        }
                    }
                }
            }
            ChannelChange::Accepted if change.error.is_none() => {
                for listener in self.listeners.values_mut() {
                    let full = listener.is_full();
                    if listener.queue.remove(&change.channel) && full {
                        listener.until = Some(event.t);
                    }
                }
            }
            ChannelChange::Closed => {
                let closer = world.by_pid.get(&task.pid).copied().zip(change.fd);
                let last = (world.channels.get(&change.channel))
                    .is_some_and(|channel| channel.holders.keys().all(|held| Some(*held) == closer));
                if last {
                    self.listeners.retain(|_, listener| listener.channel != change.channel);
                }
            }
            _ => {}
        }
    }

    /// A connect that has not returned.
    fn look(&self, facts: &Facts, world: &World, connect: &Connect, now: Nanos, found: &mut Found) {
        if now.since(connect.since) < LONG {
            return;
        }
        let mut full = self
            .listeners
            .iter()
            .filter(|((mechanism, _), listener)| *mechanism == connect.mechanism && listener.is_full());
        let (Some(((_, address), listener)), None) = (full.next(), full.next()) else { return };
        let end = format!("it has been BLOCKED in connect for {}", duration(now.since(connect.since)));
        tell(facts, world, address, listener, (connect.task.pid, end, connect.seq), now, found);
    }
}

/// Mechanisms that have such a queue.
fn listens(mechanism: ChannelType) -> Option<&'static str> {
    match mechanism {
        ChannelType::Tcp | ChannelType::UnixStream | ChannelType::UnixSeqpacket => Some(mechanism.name()),
        _ => None,
    }
}

/// `1 connection`
fn counted(connections: usize) -> String {
    if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") }
}

/// `client`: who, what became of the connect, and the event.
fn tell(
    facts: &Facts,
    world: &World,
    address: &str,
    listener: &Listener,
    (client, end, seq): (u32, String, u64),
    now: Nanos,
    found: &mut Found,
) {
    found.report(format!("{} {}", listener.channel, listener.seq), || Finding {
        rule: "listen-overflow",
        t: now,
        what: format!(
            "The accept queue of {address}, on which {} listens with a backlog of {}, is full: {} not yet \
             accepted. {} wants to connect: {end}.{}",
            name_pid(world, listener.pid),
            listener.backlog,
            counted(listener.queue.len()),
            name_pid(world, client),
            facts.caveat()
        ),
        advice: "Accept connections as they come, before serving those that were accepted, or listen with a larger \
                 backlog."
            .to_owned(),
        evidence: vec![listener.seq, listener.last, seq],
    });
}
