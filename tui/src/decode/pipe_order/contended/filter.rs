//! Which hypotheses agree with a step.
//!
//! Invariant: a hypothesis is dropped only if it contradicts what was seen or the kernel's rules.

use super::super::Method;
use super::super::{
    Sample, Side,
    calls::{Call, Calls},
    hypothesis::{Hypothesis, collapse},
    ring::Seen,
    search::{Goal, reach},
};
use super::{Contended, Kind, MOST_HYPOTHESES};

/// What a sample tells.
pub(super) struct View {
    /// The state was this, as far as the coordinates did not change while they were read.
    pub(super) seen: Seen,
    /// A little earlier the writing side had stood there.
    pub(super) passed: Option<Seen>,
    /// This call was in its section.
    pub(super) inside: Option<u32>,
    /// Somebody else may have been in a section whose effect is in the state already.
    pub(super) busy: bool,
}

pub(super) fn view(call: &Call, sample: Option<&Sample>, calls: &Calls) -> View {
    let Some(sample) = sample else {
        return View { seen: Seen::default(), passed: None, inside: None, busy: true };
    };
    let owner = sample.owner_after;
    let held = owner != 0 && owner == sample.owner_before;
    let mut seen = Seen::unchanged(&sample.before, &sample.after);
    let holder = calls.live().find(|(_, call)| owner != 0 && call.task == owner);
    // Whoever holds the mutex leaves the other side alone: if that moved, the owner let go in between.
    let inside = holder.filter(|(_, call)| held && seen.sees(call.side.other())).map(|(slot, _)| slot);
    let exact = sample.before == sample.after && owner == 0;
    if inside.is_none() && owner != 0 {
        // The holder may be halfway, or only begin, though its section has been accounted for.
        let untouched = holder.filter(|_| !held).map(|(_, call)| seen.only(call.side.other()));
        seen = untouched.unwrap_or_default();
    }
    let passed = Seen::passed(&sample.before, &sample.after).filter(|passed| passed.has_head(call.stood));
    View { seen, passed, inside, busy: sample.owner_before != 0 || !exact }
}

impl Contended {
    /// The hypotheses that agree with a step; `None` if there are none, or too many.
    pub(super) fn filter(
        &self,
        before: Vec<Hypothesis>,
        slot: u32,
        kind: &Kind,
        view: &View,
        calls: &Calls,
    ) -> Option<Vec<Hypothesis>> {
        let call = calls.get(slot)?;
        let search = |from, goal| reach(from, goal, &self.acting, calls, &self.setting).ok();
        let leaves = match kind {
            Kind::Exit => true,
            Kind::Out { asleep, .. } => !asleep || call.side == Side::Write,
            _ => false,
        };
        let before = match view.passed {
            Some(passed) if Self::has_boundaries(calls) => {
                // The look back may reach beyond the step before.
                let (mut beyond, short): (Vec<_>, _) = before.into_iter().partition(|h| h.ring.is_beyond(&passed));
                beyond.extend(search(short, Goal::At(passed, None))?);
                collapse(beyond)
            }
            _ => before,
        };
        let mut left = if let Some(owner) = view.inside {
            let seen = view.seen.only(calls.get(owner)?.side.other());
            self.inside(search(before, Goal::Before(owner, seen))?, owner, calls.get(owner)?, &seen)
        } else if leaves || view.seen.is_any() {
            search(before, Goal::At(view.seen, leaves.then_some(slot)))?
        } else {
            before
        };
        if !view.busy {
            for hypothesis in &mut left {
                hypothesis.last = None;
            }
        }
        match kind {
            Kind::Exit => {
                let bytes = call.returned().filter(|_| call.method != Method::Peek).unwrap_or(0);
                left.retain(|hypothesis| hypothesis.has_done(slot, bytes));
                for hypothesis in &mut left {
                    hypothesis.forget(slot);
                }
            }
            Kind::Out { asleep: true, .. } => {
                left.retain_mut(|hypothesis| hypothesis.falls_asleep(slot, call));
            }
            Kind::Contends => left.retain_mut(|hypothesis| hypothesis.waits_for_mutex(slot, call)),
            _ => {}
        }
        let left = collapse(left);
        (1..=MOST_HYPOTHESES).contains(&left.len()).then_some(left)
    }

    /// Whatever is seen of the writing side is between two sections: no write can be between its merging and its first
    /// page. One that sleeps has merged before.
    fn has_boundaries(calls: &Calls) -> bool {
        calls.live().all(|(_, call)| call.asleep || !call.may_merge_and_go_on())
    }

    /// The states in which the owner of the mutex has just had its section.
    fn inside(&self, states: Vec<Hypothesis>, owner: u32, call: &Call, seen: &Seen) -> Vec<Hypothesis> {
        let mut inside = Vec::with_capacity(states.len());
        // Halfway through a write to an empty pipe, the start of the oldest buffer is still that of an older one.
        let place = seen.without_start();
        for mut state in states {
            if state.may_be_inside(owner) {
                if state.ring.is_at(&place) {
                    inside.push(state);
                }
                continue;
            }
            if state.is_finished(owner) || !state.ring.is_at(seen) {
                continue;
            }
            let known = inside.len();
            inside.extend(state.section(owner, call, &self.setting));
            // A write that has come in vain before does nothing where a first section would still merge.
            let in_vain = if inside.len() == known {
                call.side == Side::Write || !call.has_effect() || state.ring.is_empty()
            } else {
                state.may_come_again_in_vain(owner, &self.setting)
            };
            if in_vain {
                state.did_nothing(owner, call);
                inside.push(state);
            }
        }
        inside
    }
}
