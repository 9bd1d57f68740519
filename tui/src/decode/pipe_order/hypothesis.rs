//! One way in which things may have happened so far.
//!
//! What observations can tell apart is the ring and the progress of calls in flight; hypotheses equal in those are one,
//! and keep of the rest (contents, outcomes) only what they share. Making a hypothesis vaguer is always sound, dropping
//! one is not. Tested through `truth_tests`.

use super::calls::Call;
use super::content::{Content, Sender};
use super::progress::{Done, Progress, Start};
use super::ring::{PAGE, Ring};
use super::{CallId, Method, Side, Why};

/// What a call turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The bytes a read took, their place in the stream, and how many of a packet it dropped.
    Read { content: Content, offset: Option<u64>, discarded: Option<u64> },
    /// The place of a write's first byte.
    Write { offset: Option<u64> },
}

impl Outcome {
    /// What both say.
    pub(super) fn agreed(&self, other: &Self) -> Self {
        match (self, other) {
            (
                Self::Read { content, offset, discarded },
                Self::Read { content: their_content, offset: their_offset, discarded: their_discarded },
            ) => Self::Read {
                content: content.agreed(their_content),
                offset: offset.filter(|_| offset == their_offset),
                discarded: discarded.filter(|_| discarded == their_discarded),
            },
            (Self::Write { offset }, Self::Write { offset: place }) => {
                Self::Write { offset: offset.filter(|_| offset == place) }
            }
            (Self::Read { content, .. }, Self::Write { .. }) => {
                let content = Content::of(Sender::Unknown(Why::Overlap), content.bytes());
                Self::Read { content, offset: None, discarded: None }
            }
            (Self::Write { .. }, Self::Read { .. }) => Self::Write { offset: None },
        }
    }
}

/// What all hypotheses have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) max_usage: u32,
    /// Bytes put by all writes that exited, if the pipe is known since its creation.
    pub(super) exited: Option<u64>,
}

/// A possible state, and how it came about.
#[derive(Clone, Debug)]
pub(super) struct Hypothesis {
    pub(super) ring: Ring,
    pub(super) content: Content,
    /// Sorted by slot; calls that are not in it have done nothing.
    progress: Vec<Progress>,
    /// The call that had the last section, as long as it may still hold the mutex.
    pub(super) last: Option<u32>,
    pub(super) outcomes: Vec<(CallId, Outcome)>,
}

impl Hypothesis {
    pub(super) fn new(ring: Ring, content: Content) -> Self {
        Self { ring, content, progress: Vec::new(), last: None, outcomes: Vec::new() }
    }

    fn progress(&self, slot: u32) -> Option<&Progress> {
        self.progress.iter().find(|progress| progress.slot == slot)
    }

    fn change(&mut self, slot: u32, write: bool, change: impl FnOnce(&mut Progress)) {
        let at = self.progress.partition_point(|progress| progress.slot < slot);
        match self.progress.get_mut(at) {
            Some(progress) if progress.slot == slot => change(progress),
            _ => {
                let mut progress = Progress::new(slot, write);
                change(&mut progress);
                self.progress.insert(at, progress);
            }
        }
    }

    /// The call will not act again.
    pub(super) fn is_finished(&self, slot: u32) -> bool {
        self.progress(slot).is_some_and(|progress| progress.finished)
    }

    /// It had a section that is the last one so far, so it may still be in it.
    pub(super) fn may_be_inside(&self, slot: u32) -> bool {
        self.last == Some(slot)
    }

    /// The call can have returned this many bytes.
    pub(super) fn has_done(&self, slot: u32, bytes: u64) -> bool {
        match self.progress(slot) {
            None => bytes == 0,
            Some(progress) => progress.done.can_be(bytes),
        }
    }

    /// The call can be asleep for want of bytes or room; takes note that it is.
    pub(super) fn falls_asleep(&mut self, slot: u32, call: &Call) -> bool {
        if self.is_finished(slot) {
            return false;
        }
        if self.last == Some(slot) {
            self.last = None;
        }
        if call.side == Side::Write && call.has_effect() {
            if self.progress(slot).is_none_or(|progress| progress.start == Start::No) {
                return false;
            }
            self.change(slot, true, |progress| progress.start = Start::Yes);
        }
        self.is_not_done(slot, call)
    }

    /// The call can be about to have a section; takes note that it is.
    pub(super) fn waits_for_mutex(&mut self, slot: u32, call: &Call) -> bool {
        if self.is_finished(slot) {
            return false;
        }
        if self.last == Some(slot) {
            self.last = None;
        }
        self.is_not_done(slot, call)
    }

    /// The call is not done yet; takes note of that. Tells whether it can be so.
    fn is_not_done(&mut self, slot: u32, call: &Call) -> bool {
        let Some(progress) = self.progress(slot) else { return true };
        let left = progress.done.unfinished(call.requested.unwrap_or(u64::MAX));
        let write = progress.write;
        let possible = left.is_some();
        if let Some(left) = left {
            self.change(slot, write, |progress| progress.done = left);
        }
        possible
    }

    /// The call had the mutex and could do nothing.
    pub(super) fn did_nothing(&mut self, slot: u32, call: &Call) {
        if !self.is_finished(slot) {
            if call.side == Side::Write {
                self.change(slot, true, |progress| progress.start = Start::Yes);
            }
            self.is_not_done(slot, call);
        }
    }

    /// It is a write that may have had the mutex before, and there is no room now.
    pub(super) fn may_come_again_in_vain(&self, slot: u32, setting: &Setting) -> bool {
        self.progress(slot).is_some_and(|progress| progress.write && progress.start != Start::No)
            && self.ring.is_full(setting.max_usage)
    }

    /// Takes note that a write may have come in vain just now. Tells whether that is news.
    pub(super) fn may_have_started(&mut self, slot: u32, call: &Call, setting: &Setting) -> bool {
        let Some(requested) = call.requested else {
            return false;
        };
        if call.side != Side::Write
            || !call.has_effect()
            || self.progress(slot).is_some_and(|progress| progress.start != Start::No)
            || !self.ring.refuses(requested, setting.max_usage)
        {
            return false;
        }
        self.change(slot, true, |progress| progress.start = Start::Maybe);
        true
    }

    /// Sets what a call in flight has done, from elsewhere than its sections.
    pub(super) fn set_done(&mut self, slot: u32, call: &Call, done: u64, outcome: Outcome) {
        let write = call.side == Side::Write;
        let finished = !write || Some(done) == call.requested;
        self.change(slot, write, |progress| {
            progress.done = Done::Bytes(done);
            progress.finished = finished;
            progress.start = Start::Yes;
        });
        self.outcomes.push((call.id, outcome));
    }

    /// The call in flight may have done anything it can have done. Tells whether that is not too much to keep.
    pub(super) fn set_anything(&mut self, slot: u32, call: &Call) -> bool {
        let Some(done) = Done::anything(call) else { return false };
        let write = call.side == Side::Write;
        if !write || call.has_effect() {
            let start = if call.asleep { Start::Yes } else { Start::Maybe };
            self.change(slot, write, |progress| (progress.done, progress.start) = (done, start));
        }
        true
    }

    /// It is not known whether the write has already come in vain.
    pub(super) fn set_maybe_started(&mut self, slot: u32) {
        self.change(slot, true, |progress| progress.start = Start::Maybe);
    }

    /// The call is gone; what it did stays.
    pub(super) fn forget(&mut self, slot: u32) {
        self.progress.retain(|progress| progress.slot != slot);
        if self.last == Some(slot) {
            self.last = None;
        }
    }

    /// Stream offset of the next byte put.
    fn put(&self, setting: &Setting) -> Option<u64> {
        let mut put = setting.exited?;
        for progress in self.progress.iter().filter(|progress| progress.write) {
            let Done::Bytes(done) = progress.done else { return None };
            put = put.saturating_add(done);
        }
        Some(put)
    }

    /// The states that one section of the call with an effect leads to; none if it has no effect or cannot be.
    pub(super) fn section(&self, slot: u32, call: &Call, setting: &Setting) -> Vec<Self> {
        let Some(wanted) = call.requested else { return Vec::new() };
        let idle = Progress::new(slot, call.side == Side::Write);
        let progress = self.progress(slot).unwrap_or(&idle);
        if progress.finished || !call.has_effect() || !call.is_modelled() {
            return Vec::new();
        }
        if call.side == Side::Read {
            return self.read(slot, call, wanted, setting).into_iter().collect();
        }
        let values = progress.done.values();
        let mut next = Vec::new();
        if progress.start != Start::Yes && values.first() == Some(&0) {
            next.extend(self.write(slot, call, wanted, 0, true, setting));
        }
        let room = self.ring.room(setting.max_usage).saturating_mul(u64::from(PAGE));
        let many = values.len() > 1;
        for &done in values {
            // Those that only fill the pipe stay together.
            if (done > 0 || progress.start != Start::No) && !(many && wanted.saturating_sub(done) > room) {
                let later = self.write(slot, call, wanted, done, false, setting);
                next.extend(later.filter(|later| next.first().is_none_or(|first: &Self| first.ring != later.ring)));
            }
        }
        if many && let Some(done) = progress.done.filling(room, wanted, call.returned().unwrap_or(wanted)) {
            next.extend(self.fill(slot, call, room, done));
        }
        next
    }

    /// A later section of a write that fills the pipe; `done`: what it may have done then.
    fn fill(&self, slot: u32, call: &Call, room: u64, done: Done) -> Option<Self> {
        if room == 0 {
            return None;
        }
        let mut next = self.clone();
        let packet = call.method == Method::Packet;
        next.ring.put(room, false, packet, u32::MAX);
        next.content.push(Sender::Call(call.id), room);
        next.change(slot, true, |progress| (progress.done, progress.start) = (done, Start::Yes));
        next.last = Some(slot);
        Some(next)
    }

    fn read(&self, slot: u32, call: &Call, wanted: u64, setting: &Setting) -> Option<Self> {
        if self.ring.is_empty() {
            return None;
        }
        let mut ring = self.ring.clone();
        let taken = ring.take(wanted);
        if taken.got == 0 || call.returned().is_some_and(|ret| ret != taken.got) {
            return None;
        }
        let mut next = Self { ring, ..self.clone() };
        let queued = next.content.bytes();
        let offset = self.put(setting).and_then(|put| put.checked_sub(queued));
        let content = next.content.take(taken.got);
        next.content.take(taken.discarded);
        next.change(slot, false, |progress| {
            progress.done = Done::Bytes(taken.got);
            progress.finished = true;
        });
        next.last = Some(slot);
        next.outcomes.push((call.id, Outcome::Read { content, offset, discarded: Some(taken.discarded) }));
        Some(next)
    }

    fn write(&self, slot: u32, call: &Call, total: u64, done: u64, first: bool, setting: &Setting) -> Option<Self> {
        let mut ring = self.ring.clone();
        let put = ring.put(total.saturating_sub(done), first, call.method == Method::Packet, setting.max_usage);
        let sum = done.saturating_add(put);
        let limit = call.returned();
        if put == 0
            || limit.is_some_and(|limit| sum > limit)
            || (limit < Some(total) && limit.is_some() && sum == total)
        {
            return None;
        }
        let mut next = Self { ring, ..self.clone() };
        if done == 0 {
            next.outcomes.push((call.id, Outcome::Write { offset: self.put(setting) }));
        }
        next.content.push(Sender::Call(call.id), put);
        next.change(slot, true, |progress| {
            progress.start = Start::Yes;
            progress.done = Done::Bytes(sum);
            progress.finished = sum == total;
        });
        next.last = Some(slot);
        Some(next)
    }

    fn acted(&self) -> impl Iterator<Item = (u32, &Done, bool)> {
        let acted = self.progress.iter().filter(|progress| !progress.is_idle());
        acted.map(|progress| (progress.slot, &progress.done, progress.finished))
    }

    /// No future observation can tell the two apart.
    fn is_like(&self, other: &Self) -> bool {
        self.last == other.last && self.ring == other.ring && self.acted().eq(other.acted())
    }

    /// Becomes what this and a hypothesis like it have in common.
    fn join(&mut self, other: &Self) {
        for theirs in &other.progress {
            let start = self.progress(theirs.slot).map_or(Start::No, |ours| ours.start);
            if start != theirs.start {
                self.change(theirs.slot, theirs.write, |progress| {
                    progress.start = Start::Maybe;
                });
            }
        }
        for ours in &mut self.progress {
            if ours.start == Start::Yes && other.progress(ours.slot).is_none() {
                ours.start = Start::Maybe;
            }
        }
        if self.content != other.content {
            self.content = self.content.agreed(&other.content);
        }
        for (call, ours) in &mut self.outcomes {
            match other.outcomes.iter().find(|(id, _)| id == call) {
                Some((_, theirs)) if theirs == ours => {}
                Some((_, theirs)) => *ours = ours.agreed(theirs),
                None => *ours = ours.agreed(&Outcome::Write { offset: None }),
            }
        }
    }
}

/// Joins hypotheses that are alike.
pub(super) fn collapse(hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    if hypotheses.len() < 2 {
        return hypotheses;
    }
    let mut distinct: Vec<Hypothesis> = Vec::with_capacity(hypotheses.len());
    for hypothesis in hypotheses {
        match distinct.iter_mut().find(|known| known.is_like(&hypothesis)) {
            Some(known) => known.join(&hypothesis),
            None => distinct.push(hypothesis),
        }
    }
    distinct
}
