//! Events on their way out, in order, some of them still waiting for a fact.
//!
//! A receive may have to wait for the record of the send it got its bytes from. Events behind it wait too, so that lines
//! leave in order of time and `seq` has no gap; a quiet event has the number of the next one that is told. Nothing waits for longer than [`PATIENCE`].

use std::collections::VecDeque;

use super::{fill::Fills, rpc::Rpcs};
use crate::event::{ChannelId, Event, Family, FamilySet, FromUnknown, Kind, Nanos};

/// How long, in time of the data, an event may wait for a fact.
pub const PATIENCE: u64 = 1_000_000_000;

/// A place in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u64);

/// Events on their way out.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    first: u64,
    slots: VecDeque<Slot>,
    told: Told,
    /// What is told; the rest is left out before it gets a number.
    wanted: FamilySet,
    /// Calls of remote procedures, if they are to be told.
    rpcs: Option<Rpcs>,
    /// What is in the connections of sockets.
    fills: Fills,
    /// Channels that are gone, and the place of the first event behind.
    gone: VecDeque<(u64, ChannelId)>,
    /// Bytes kept of each payload; `None`: all that there are.
    payload: Option<usize>,
    /// Records are missing.
    has_losses: bool,
}

/// What has been handed over.
#[derive(Clone, Debug, Default)]
struct Told {
    /// The number of the next event.
    seq: u64,
    last: Nanos,
}

#[derive(Clone, Debug)]
struct Slot {
    event: Event,
    waits: bool,
}

impl Outbox {
    /// One that tells of certain families only, and so many bytes of each payload.
    pub fn new(wanted: FamilySet, payload: u32) -> Self {
        let rpcs = wanted.contains(Family::Rpc).then(Rpcs::default);
        Self { wanted, rpcs, payload: Some(payload as usize), ..Self::default() }
    }

    /// Adds an event that is complete.
    pub fn push(&mut self, event: Event) {
        self.slots.push_back(Slot { event, waits: false });
    }

    /// Adds an event that waits.
    pub fn hold(&mut self, event: Event) -> Place {
        self.slots.push_back(Slot { event, waits: true });
        Place(self.first + self.slots.len() as u64 - 1)
    }

    /// Completes an event, if it has not gone without.
    pub fn complete(&mut self, place: Place, change: impl FnOnce(&mut Event)) {
        let index = place.0.checked_sub(self.first).and_then(|i| usize::try_from(i).ok());
        if let Some(slot) = index.and_then(|i| self.slots.get_mut(i)) {
            change(&mut slot.event);
            slot.waits = false;
        }
    }

    /// Records are missing.
    pub fn lost(&mut self) {
        self.has_losses = true;
    }

    /// A channel is gone: no event tells of it any more, but for those on their way.
    pub fn forget(&mut self, channel: ChannelId) {
        self.gone.push_back((self.first + self.slots.len() as u64, channel));
    }

    /// About how many bytes a copy takes.
    pub fn weight(&self) -> usize {
        // An event, and what it has on the heap.
        self.slots.len() * 600 + self.fills.len() * 150
    }

    /// When the first event that waits happened.
    pub fn waits_from(&self) -> Option<Nanos> {
        self.slots.front().map(|slot| slot.event.t)
    }

    /// The events that can go. `now`: time of the data; `all`: nothing more will become known.
    pub fn drain(&mut self, now: Nanos, all: bool, out: &mut Vec<Event>) {
        // What goes is made ready where it waits, and moved once.
        while let Some(Slot { event, waits }) = self.slots.front_mut() {
            if *waits && !all && now.since(event.t) < PATIENCE {
                break;
            }
            if *waits {
                go_without(event);
            }
            if !self.has_losses {
                is_whole(event);
            }
            self.fills.take(event);
            while self.gone.front().is_some_and(|(behind, _)| *behind <= self.first)
                && let Some((_, channel)) = self.gone.pop_front()
            {
                self.fills.forget(&channel);
                if let Some(rpcs) = &mut self.rpcs {
                    rpcs.forget(channel);
                }
            }
            if let Some(rpcs) = &mut self.rpcs {
                self.told.tell(rpcs.overdue(event.t, self.told.seq), out);
            }
            let is_told = event.kind.family().is_none_or(|family| self.wanted.contains(family));
            let next = self.told.seq + u64::from(is_told && !event.kind.is_quiet());
            let calls = self.rpcs.as_mut().map(|rpcs| rpcs.take(event, next)).unwrap_or_default();
            if is_told {
                keep(event, self.payload);
                event.seq = self.told.seq;
                self.told.take(event);
            }
            self.first += 1;
            let slot = self.slots.pop_front();
            out.extend(slot.filter(|_| is_told).map(|slot| slot.event));
            self.told.tell(calls, out);
        }
        if all && let Some(rpcs) = &mut self.rpcs {
            self.told.tell(rpcs.overdue(Nanos(u64::MAX), self.told.seq), out);
        }
    }
}

/// Places of events that say nothing, for tests of who answers.
#[cfg(test)]
pub fn places(count: usize) -> Vec<Place> {
    let lost = || crate::event::Lost { count: 0, class: String::new(), t_from: Nanos(0), t_to: Nanos(0) };
    let kind = || Kind::Lost(Box::new(lost()));
    let event = || Event { t: Nanos(0), seq: 0, task: None, comm: None, ns_pid: None, host: None, kind: kind() };
    let mut outbox = Outbox::default();
    (0..count).map(|_| outbox.hold(event())).collect()
}

impl Told {
    /// Hands over events that have their numbers.
    fn tell(&mut self, events: Vec<Event>, out: &mut Vec<Event>) {
        for mut event in events {
            self.take(&mut event);
            out.push(event);
        }
    }

    /// This event is the next that goes.
    fn take(&mut self, event: &mut Event) {
        self.seq += u64::from(!event.kind.is_quiet());
        // A record that was late by more than the sequencer waits must not turn time back.
        event.t = event.t.max(self.last);
        self.last = event.t;
    }
}

/// More payload may have been captured than was asked for: calls of remote procedures were looked for in it.
fn keep(event: &mut Event, most: Option<usize>) {
    if let (Kind::Send(transfer) | Kind::Recv(transfer), Some(most)) = (&mut event.kind, most) {
        if let Some(payload) = &mut transfer.payload {
            payload.truncate(most);
        }
        transfer.payload = transfer.payload.take().filter(|payload| !payload.is_empty());
    }
}

/// No record is missing. What was counted does not fit together for another reason then: a call was under way when the trace
/// began, or something moved bytes that is not followed.
fn is_whole(event: &mut Event) {
    if let Kind::Recv(transfer) = &mut event.kind
        && transfer.from_unknown == Some(FromUnknown::Lost)
    {
        transfer.from_unknown = Some(FromUnknown::Overlap);
    }
}

/// What an event says when the fact it waited for never came.
fn go_without(event: &mut Event) {
    if let Kind::Recv(transfer) = &mut event.kind
        && transfer.from.is_none()
        && transfer.from_unknown.is_none()
    {
        transfer.from_unknown = Some(FromUnknown::Overlap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Call, ChannelType, OpId, Transfer};

    /// A receive of which something was missing.
    fn receive() -> Event {
        let call = Call {
            op: OpId(1),
            syscall: "read",
            took_ns: 0,
            blocked_ns: None,
            restarts: 0,
            interrupted_by: Vec::new(),
            via: None,
            unfinished: false,
        };
        let mut transfer = Transfer::new(ChannelId("pipe:[1]".into()), ChannelType::Pipe, Some(3), call);
        transfer.from_unknown = Some(FromUnknown::Lost);
        let kind = Kind::Recv(Box::new(transfer));
        Event { t: Nanos(0), seq: 0, task: None, comm: None, ns_pid: None, host: None, kind }
    }

    #[test]
    fn nothing_is_said_to_be_lost_where_no_record_is_missing() {
        let mut outbox = Outbox::new(FamilySet::all(), 0);
        let mut said = Vec::new();
        for is_lossy in [false, true] {
            if is_lossy {
                outbox.lost();
            }
            outbox.push(receive());
            let mut out = Vec::new();
            outbox.drain(Nanos(0), true, &mut out);
            said.extend(out.iter().map(|event| match &event.kind {
                Kind::Recv(transfer) => transfer.from_unknown,
                _ => None,
            }));
        }
        assert_eq!(said, [Some(FromUnknown::Overlap), Some(FromUnknown::Lost)]);
    }
}
