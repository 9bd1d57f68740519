//! The hypotheses to begin with: where counting ends and sampling begins, and after a time of unknown state.
//!
//! In either case the pipe has just been seen while nobody held its mutex; calls in flight may have done their work
//! already. Invariant: every possible progress of every call in flight is among the hypotheses, or the state stays
//! unknown. Tested in `truth_tests`.

use super::calls::{Call, Calls};
use super::contended::Contended;
use super::content::{Content, Sender};
use super::hypothesis::{Hypothesis, Outcome};
use super::ring::Ring;
use super::solo::Solo;
use super::{Layout, Method, Resolved, Side, Why};

impl Contended {
    /// Begins where the solo mode ends.
    pub(super) fn start(&mut self, solo: Solo, layout: Option<Layout>, calls: &Calls, out: &mut Vec<Resolved>) {
        self.setting.exited = solo.put;
        let ring = layout.and_then(|layout| Ring::from_layout(&layout));
        let begun = match (solo.unknown, &ring) {
            (Some(why), _) => Err(why),
            (None, None) => Err(Why::Overlap),
            (None, Some(ring)) => Balance::new(&solo, ring, calls).and_then(|balance| balance.hypotheses(&solo)),
        };
        match begun {
            Ok((hypotheses, writer)) => {
                self.hypotheses = hypotheses;
                self.unknown = None;
                for mut read in solo.waiting {
                    if let Some(writer) = writer {
                        read.content.push(Sender::Call(writer), read.missing);
                    }
                    out.push(match read.content.parts() {
                        Ok(parts) => read.resolved(parts),
                        Err(why) => Resolved::Unknown { call: read.call, why },
                    });
                }
            }
            Err(why) => {
                out.extend(solo.waiting.iter().map(|read| Resolved::Unknown { call: read.call, why }));
                self.unknown = Some(why);
                if let Some(ring) = &ring {
                    self.recover(ring, calls);
                }
            }
        }
    }

    /// Ends a time of unknown state. The calls in flight may have done anything.
    pub(super) fn recover(&mut self, ring: &Ring, calls: &Calls) {
        let Some(why) = self.unknown else { return };
        if self.is_blind() || !self.unseen.is_empty() || self.worked_off < self.rest_until {
            return;
        }
        let lost = Content::of(Sender::Unknown(why), ring.bytes());
        let mut hypothesis = Hypothesis::new(ring.clone(), lost);
        for (slot, call) in calls.live() {
            if !call.is_modelled() || !hypothesis.set_anything(slot, call) {
                return;
            }
        }
        self.hypotheses = vec![hypothesis];
        self.unknown = None;
    }
}

/// The calls in flight when counting ends, and the bytes that must be theirs.
struct Balance<'a> {
    ring: &'a Ring,
    known: Content,
    writes: Vec<(u32, &'a Call)>,
    reads: Vec<(u32, &'a Call)>,
    /// Bytes that reads which exited have got from the write in flight.
    ahead: u64,
}

impl<'a> Balance<'a> {
    fn new(solo: &Solo, ring: &'a Ring, calls: &'a Calls) -> Result<Self, Why> {
        let mut balance =
            Self { ring, known: solo.content(), writes: Vec::new(), reads: Vec::new(), ahead: solo.missing() };
        for (slot, call) in calls.live().filter(|(_, call)| call.has_effect()) {
            if !call.is_modelled() || call.method == Method::Packet {
                return Err(Why::Overlap);
            }
            match call.side {
                Side::Read if call.asleep => {}
                Side::Read => balance.reads.push((slot, call)),
                Side::Write => balance.writes.push((slot, call)),
            }
        }
        if (solo.has_packets() || ring.has_packets()) && !(balance.reads.is_empty() && balance.writes.is_empty()) {
            // A read in flight may have dropped any number of bytes.
            return Err(Why::Overlap);
        }
        // A read may have had its section, and every subset of them must be tried.
        if balance.reads.len() > 4 || balance.writes.len() > 1 {
            return Err(Why::Overlap);
        }
        if let Some(ahead) = solo.ahead
            && balance.writes.first().is_none_or(|(_, write)| write.id != ahead.call)
        {
            return Err(Why::Lost);
        }
        if solo.waiting.iter().any(|read| balance.writes.iter().any(|(_, write)| write.entered > read.exited)) {
            return Err(Why::Lost);
        }
        Ok(balance)
    }

    /// All that fits, and the write that the waiting reads are served by.
    fn hypotheses(&self, solo: &Solo) -> Result<(Vec<Hypothesis>, Option<u64>), Why> {
        let mut all = Vec::new();
        for subset in 0_u32..1 << self.reads.len() {
            let took: Vec<_> =
                self.reads.iter().enumerate().filter(|(at, _)| subset >> at & 1 == 1).map(|(_, read)| *read).collect();
            if took.iter().any(|(_, read)| read.returned().is_none()) && !self.writes.is_empty() {
                return Err(Why::Overlap);
            }
            all.extend(self.hypothesis(&took, solo));
        }
        if all.is_empty() {
            return Err(Why::Lost);
        }
        Ok((all, self.writes.first().map(|(_, write)| write.id)))
    }

    /// The state if exactly these reads in flight have had their section.
    fn hypothesis(&self, took: &[(u32, &Call)], solo: &Solo) -> Option<Hypothesis> {
        let queued = self.ring.bytes();
        // Without a write in flight, one read of unknown result must have got what is missing.
        let unknown = took.iter().filter(|(_, read)| read.returned().is_none()).count();
        let known_taken: u64 = took.iter().filter_map(|(_, read)| read.returned()).sum();
        let rest = self.known.bytes().checked_sub(queued).and_then(|gone| gone.checked_sub(known_taken));
        let share = match unknown {
            0 => 0,
            1 => rest.filter(|&rest| rest > 0)?,
            _ => return None,
        };
        let taken = known_taken + share;
        let fresh = (queued + taken).checked_sub(self.known.bytes())?;
        let put = fresh + self.ahead;
        let mut content = self.known.clone();
        let mut started = None;
        match self.writes.first() {
            Some(&(slot, write)) => {
                let limit = write.returned().or(write.requested).unwrap_or(0);
                if put > limit {
                    return None;
                }
                content.push(Sender::Call(write.id), fresh);
                started = Some((slot, write));
            }
            None if put > 0 => return None,
            None => {}
        }
        let front = content.take(taken);
        let mut hypothesis = Hypothesis::new(self.ring.clone(), content);
        if let Some((slot, write)) = started {
            if put > 0 {
                hypothesis.set_done(slot, write, put, Outcome::Write { offset: solo.put });
            } else {
                hypothesis.set_maybe_started(slot);
            }
        }
        for &(slot, read) in took {
            let bytes = read.returned().unwrap_or(share);
            let outcome = if took.len() == 1 {
                let end = solo.put.map(|put_before| put_before + put);
                let offset = end.and_then(|end| end.checked_sub(queued + taken));
                Outcome::Read { content: front.clone(), offset, discarded: Some(0) }
            } else {
                let content = Content::of(Sender::Unknown(Why::Overlap), bytes);
                Outcome::Read { content, offset: None, discarded: None }
            };
            hypothesis.set_done(slot, read, bytes, outcome);
        }
        Some(hypothesis)
    }
}
