//! Several traces as one: a decoder for each, their events on one time line.
//!
//! Each part is decoded as it would be alone, then its events get what makes them unique in the whole ([`label`]), are put
//! in order of time, and receives whose bytes were sent on another host get their senders ([`join`]). Last they go through
//! an outbox of the whole, which numbers them and reads remote procedure calls out of both directions.
//!
//! Invariants: as of one decoder: events leave in order of `t`, `seq` has no gap, an origin is exact or absent, the same
//! records give the same events. Nothing waits for longer than twice [`PATIENCE`](super::PATIENCE). Tested by `tests.rs`
//! and by tui/tests/live_merge.rs.

mod join;
mod label;
#[cfg(test)]
pub mod made;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use super::{Decoder, outbox::Outbox};
use crate::event::{Event, Family, FamilySet, Host, Nanos};

use join::Joints;
use label::{Label, Names};

/// What is to be known of a part of a merged trace.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// What its host is called; no other part's is called so.
    pub host: String,
    /// To be added to its times, ns.
    pub offset: u64,
    /// Parts with the same number were recorded on one machine during one boot.
    pub machine: usize,
    /// What is told of it.
    pub families: FamilySet,
    /// Bytes kept of each message.
    pub payload: u32,
    /// Channels that are called otherwise in the whole.
    pub renamed: BTreeMap<String, String>,
}

/// One part on its way.
#[derive(Clone, Debug)]
struct One {
    decoder: Decoder,
    label: Label,
    /// Decoded, and not yet told: other parts may have something earlier.
    ready: VecDeque<Event>,
    is_over: bool,
}

/// Turns the records of several traces into events of one.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    parts: Vec<One>,
    names: Names,
    joints: Joints,
    outbox: Outbox,
    now: Nanos,
    lost_elsewhere: u64,
    fresh: Vec<Event>,
}

impl Hosts {
    /// About how many bytes a copy takes, where so many events have happened since the last one.
    pub fn weight(&self, changed: usize) -> usize {
        let parts = self.parts.iter().map(|part| part.decoder.weight(changed) + part.ready.len() * 600);
        self.outbox.weight() + parts.sum::<usize>()
    }

    /// One that has seen nothing.
    pub fn new(parts: Vec<Part>) -> Self {
        let families = parts.iter().map(|part| part.families).reduce(FamilySet::union).unwrap_or_default();
        let payload = parts.iter().map(|part| part.payload).max().unwrap_or_default();
        let (count, names) = (parts.len(), Names::new(&parts));
        let one = |(place, part): (usize, Part)| One {
            // Calls of remote procedures are read out of the whole, and need all that was captured.
            decoder: Decoder::new(part.families.without(Family::Rpc), u32::MAX),
            label: Label { place, count, host: Host::from(part.host.as_str()), offset: part.offset },
            ready: VecDeque::new(),
            is_over: false,
        };
        Self {
            parts: parts.into_iter().enumerate().map(one).collect(),
            names,
            outbox: Outbox::new(families, payload),
            ..Self::default()
        }
    }

    /// Takes a record of a part, `time` being that of the whole; gives what became known.
    pub fn record(&mut self, part: usize, time: u64, bytes: &[u8], out: &mut Vec<Event>) {
        self.with(part, time, out, |decoder, fresh| decoder.record(bytes, fresh));
    }

    /// See [`Decoder::not_kept`].
    pub fn not_kept(&mut self, part: usize, time: u64, count: u64, out: &mut Vec<Event>) {
        self.with(part, time, out, |decoder, fresh| decoder.not_kept(count, fresh));
    }

    /// A part is over; so many of its records did not get into its recording.
    pub fn end(&mut self, part: usize, time: u64, lost: u64, out: &mut Vec<Event>) {
        if self.parts.get(part).is_none_or(|one| one.is_over) {
            return;
        }
        self.lost_elsewhere = self.lost_elsewhere.saturating_add(lost);
        self.with(part, time, out, |decoder, fresh| {
            decoder.lost_elsewhere(lost);
            decoder.finish(fresh);
        });
        if let Some(one) = self.parts.get_mut(part) {
            one.is_over = true;
        }
        self.flow(out);
    }

    /// All are over: what still waits goes as it is.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        for part in 0..self.parts.len() {
            self.end(part, self.now.0, 0, out);
        }
        self.outbox.drain(Nanos(u64::MAX), true, out);
    }

    /// Records that were lost, in all.
    pub fn lost(&self) -> u64 {
        self.parts.iter().fold(self.lost_elsewhere, |sum, one| sum.saturating_add(one.decoder.lost()))
    }

    /// The same, by class.
    pub fn lost_by(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        let own = (self.lost_elsewhere > 0).then(|| ("recording".to_owned(), self.lost_elsewhere));
        let classes = self.parts.iter().flat_map(|one| one.decoder.lost_by().clone());
        for (class, count) in classes.chain(own) {
            let sum = all.entry(class).or_insert(0_u64);
            *sum = sum.saturating_add(count);
        }
        all
    }

    /// Has a part's decoder do something, at a time of the whole.
    fn with(&mut self, part: usize, time: u64, out: &mut Vec<Event>, run: impl FnOnce(&mut Decoder, &mut Vec<Event>)) {
        let Some(one) = self.parts.get_mut(part).filter(|one| !one.is_over) else { return };
        self.now = self.now.max(Nanos(time));
        run(&mut one.decoder, &mut self.fresh);
        one.take(&mut self.fresh, &mut self.names);
        self.flow(out);
    }

    /// Tells what no part can have anything earlier than.
    fn flow(&mut self, out: &mut Vec<Event>) {
        while let Some((place, t)) = self.first() {
            if self.parts.iter().any(|one| one.may_precede(t, self.now)) {
                // Who gets no records does not notice that its patience is at an end.
                let mut has_more = false;
                for one in self.parts.iter_mut().filter(|one| one.may_precede(t, self.now)) {
                    one.decoder.wait_until(one.label.own(self.now), &mut self.fresh);
                    has_more |= !self.fresh.is_empty();
                    one.take(&mut self.fresh, &mut self.names);
                }
                if !has_more {
                    break;
                }
                continue;
            }
            let Some(event) = self.parts.get_mut(place).and_then(|one| one.ready.pop_front()) else { break };
            self.joints.take(event, &self.names, &mut self.outbox);
        }
        self.outbox.drain(self.now, false, out);
    }

    /// The part whose next event is the earliest, and when that is.
    fn first(&self) -> Option<(usize, Nanos)> {
        let heads = self.parts.iter().enumerate().filter_map(|(place, one)| Some((one.ready.front()?.t, place)));
        heads.min().map(|(t, place)| (place, t))
    }
}

impl One {
    /// Takes what its decoder gave.
    fn take(&mut self, fresh: &mut Vec<Event>, names: &mut Names) {
        for mut event in fresh.drain(..) {
            self.label.put(&mut event, names);
            self.ready.push_back(event);
        }
    }

    /// Something earlier may still come of it.
    fn may_precede(&self, t: Nanos, now: Nanos) -> bool {
        let waits_from = self.decoder.waits_from().map(|own| self.label.whole(own));
        !self.is_over && self.ready.is_empty() && waits_from.unwrap_or(now) < t
    }
}
