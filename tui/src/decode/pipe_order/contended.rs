//! Several readers or writers: what the sampled steps allow.
//!
//! Steps wait in a queue until [`WINDOW`] later ones are there, so that a call's result and a missing switch-in are
//! mostly known when its sections are looked for. Each step then filters the hypotheses: a stable sample by its
//! position, a sample with an owner by who is in its section now, an exit by what was done, a call asleep by what was
//! not. With no hypothesis left (or too many) everything is unknown until the pipe is seen again.
//!
//! Invariants: what really happened is among the hypotheses as long as the records are complete and the kernel's rules
//! are those of [`super::ring`]; only what all hypotheses share is reported. Tested in `truth_tests`.

use std::collections::VecDeque;

use super::calls::{Call, Calls};
use super::hypothesis::{Hypothesis, Outcome, Setting, collapse};
use super::ring::{Ring, Seen};
use super::search::{Goal, reach};
use super::solo::{Solo, leftover};
use super::{CallId, Layout, Leftover, Method, Resolved, Sample, Side, Why};

/// Steps that wait for later ones.
const WINDOW: usize = 128;
/// Fewest steps between a contradiction and a new beginning; twice as many each time one comes soon.
const REST: u64 = 32;
/// And most.
const MOST_REST: u64 = 128;
/// Open calls without an entry that are remembered.
const MOST_UNSEEN: usize = 256;
/// Hypotheses kept after a step.
const MOST_HYPOTHESES: usize = 64;
/// Steps after its exit within which a call's outcome may still be settled.
const PATIENCE: u64 = 256;

#[derive(Debug)]
enum Kind {
    Enter,
    Exit,
    /// `stays`: the switch-in after it went missing, so the thread may be on a CPU from here on.
    Out {
        asleep: bool,
        stays: bool,
    },
    In,
}

#[derive(Debug)]
enum Event {
    Call {
        slot: u32,
        kind: Kind,
        sample: Option<Sample>,
    },
    Start {
        solo: Box<Solo>,
        layout: Option<Layout>,
    },
    Layout(Layout),
    Resize(u32),
    Lost,
    /// The exit of this call is missing.
    Stale(u32),
    /// A call whose entry is missing ends.
    UnseenEnds(CallId),
}

#[derive(Debug)]
struct Step {
    time: u64,
    event: Event,
}

/// What a sample tells.
struct View {
    /// The state was this, as far as the coordinates did not change while they were read.
    seen: Seen,
    /// A little earlier the writing side had stood there.
    passed: Option<Seen>,
    /// This call was in its section.
    inside: Option<u32>,
    /// Somebody else may have been in a section whose effect is in the state already.
    busy: bool,
}

/// A call that exited with bytes and whose outcome is not the same in all hypotheses yet.
#[derive(Debug)]
struct Pending {
    call: CallId,
    side: Side,
    since: u64,
}

/// The state of a pipe with several tasks at an end.
#[derive(Debug)]
pub(super) struct Contended {
    steps: VecDeque<Step>,
    /// Number of the first step in the queue.
    pub(super) worked_off: u64,
    quiet_until: u64,
    pub(super) setting: Setting,
    pub(super) hypotheses: Vec<Hypothesis>,
    pub(super) unknown: Option<Why>,
    /// Calls that may act.
    acting: Vec<u32>,
    pending: Vec<Pending>,
    /// Calls whose entry is missing and that are still open.
    pub(super) unseen: Vec<CallId>,
    rest: u64,
    /// Number of the step until which a new beginning has to wait.
    pub(super) rest_until: u64,
    /// Number of the step until which calls nobody knows of may still turn up.
    wary_until: u64,
}

impl Contended {
    pub(super) fn new(solo: Solo, max_usage: u32, time: u64, layout: Option<Layout>) -> Self {
        let event = Event::Start { solo: Box::new(solo), layout };
        Self {
            steps: VecDeque::from([Step { time, event }]),
            worked_off: 0,
            quiet_until: 0,
            setting: Setting { max_usage, exited: None },
            hypotheses: Vec::new(),
            unknown: Some(Why::Overlap),
            acting: Vec::new(),
            pending: Vec::new(),
            unseen: Vec::new(),
            rest: 0,
            rest_until: 0,
            wary_until: 0,
        }
    }

    pub(super) fn enter(&mut self, calls: &mut Calls, time: u64, slot: u32, sample: Option<Sample>) {
        self.call_step(calls, time, slot, Kind::Enter, sample);
    }

    pub(super) fn exit(&mut self, calls: &mut Calls, time: u64, slot: u32, sample: Option<Sample>) {
        self.call_step(calls, time, slot, Kind::Exit, sample);
    }

    pub(super) fn switch_out(&mut self, calls: &mut Calls, time: u64, slot: u32, asleep: bool, sample: Option<Sample>) {
        // Nobody waits for bytes or room with the mutex: whatever puts it to sleep there is something else.
        let owns = |task| sample.is_some_and(|sample| task == sample.owner_before || task == sample.owner_after);
        let asleep = asleep && !calls.get(slot).is_some_and(|call| owns(call.task));
        self.call_step(calls, time, slot, Kind::Out { asleep, stays: false }, sample);
    }

    pub(super) fn switch_in(&mut self, calls: &mut Calls, time: u64, slot: u32, sample: Option<Sample>) {
        self.call_step(calls, time, slot, Kind::In, sample);
    }

    fn call_step(&mut self, calls: &mut Calls, time: u64, slot: u32, kind: Kind, sample: Option<Sample>) {
        let Some(call) = calls.get_mut(slot) else {
            return;
        };
        if let (Some(left_at), false) = (call.left_at, matches!(kind, Kind::In)) {
            // Its switch-in is missing: it has been on a CPU at some time since it left.
            let at = left_at.checked_sub(self.worked_off).and_then(|at| usize::try_from(at).ok());
            match at.and_then(|at| self.steps.get_mut(at)) {
                Some(Step { event: Event::Call { kind: Kind::Out { stays, .. }, .. }, .. }) => *stays = true,
                _ => {
                    // It left long ago; it has hardly been back for more than a window.
                    self.push_front(time, Event::Call { slot, kind: Kind::In, sample: None });
                }
            }
        }
        let number = self.worked_off + self.steps.len() as u64;
        call.left_at = matches!(kind, Kind::Out { .. }).then_some(number);
        self.push(time, Event::Call { slot, kind, sample });
    }

    fn push(&mut self, time: u64, event: Event) {
        self.steps.push_back(Step { time, event });
    }

    pub(super) fn layout(&mut self, time: u64, layout: Layout) {
        self.push(time, Event::Layout(layout));
    }

    pub(super) fn resize(&mut self, max_usage: u32) {
        let time = self.steps.back().map_or(self.quiet_until, |step| step.time);
        self.push(time, Event::Resize(max_usage));
    }

    pub(super) fn lost(&mut self, time: u64) {
        self.push(time, Event::Lost);
        self.wary_until = self.worked_off + self.steps.len() as u64 + WINDOW as u64;
    }

    pub(super) fn stale(&mut self, time: u64, slot: u32) {
        self.push(time, Event::Stale(slot));
    }

    /// A step of a call whose entry is missing. It may have acted during any step that still waits.
    pub(super) fn unseen(&mut self, time: u64, id: CallId, ends: bool) {
        if !self.unseen.contains(&id) {
            self.push_front(time, Event::Lost);
            if self.unseen.len() >= MOST_UNSEEN {
                self.unseen.remove(0);
            }
            self.unseen.push(id);
        }
        if ends {
            self.push(time, Event::UnseenEnds(id));
        }
    }

    fn push_front(&mut self, now: u64, event: Event) {
        let time = self.steps.front().map_or(now, |step| step.time);
        self.worked_off = self.worked_off.saturating_sub(1);
        self.steps.push_front(Step { time, event });
    }

    /// Records are missing: whoever is in flight may have done anything, and be anywhere; only who comes onto a CPU next
    /// cannot be on one.
    fn forget_all(&mut self, calls: &mut Calls, out: &mut Vec<Resolved>) {
        self.setting.exited = None;
        self.lose(Why::Lost, out);
        self.acting = calls.set_all_acting();
        let mut seen = Vec::new();
        for step in &self.steps {
            match &step.event {
                Event::Call { slot, kind, .. } if !seen.contains(slot) => {
                    seen.push(*slot);
                    if matches!(kind, Kind::In) {
                        self.acting.retain(|other| other != slot);
                    }
                }
                Event::Call { .. } | Event::Layout(_) | Event::Resize(_) | Event::Start { .. } => {}
                Event::Lost | Event::Stale(_) | Event::UnseenEnds(_) => break,
            }
        }
    }

    pub(super) fn advance(&mut self, time: u64) {
        self.quiet_until = self.quiet_until.max(time);
    }

    /// Works off the steps that have waited long enough.
    pub(super) fn run(&mut self, calls: &mut Calls, out: &mut Vec<Resolved>, all: bool) {
        while let Some(first) = self.steps.front()
            && (all || self.steps.len() > WINDOW || first.time < self.quiet_until || self.is_settled(calls))
            && let Some(step) = self.steps.pop_front()
        {
            self.worked_off += 1;
            match step.event {
                Event::Call { slot, kind, sample } => {
                    self.work_off(slot, &kind, sample, calls, out);
                }
                Event::Start { solo, layout } => {
                    self.start(*solo, layout, calls, out);
                    self.acting = calls.set_all_acting();
                }
                Event::Layout(layout) => self.see(&layout, calls, out),
                Event::Resize(max_usage) => {
                    self.setting.max_usage = max_usage;
                    self.lose(Why::Overlap, out);
                }
                Event::Lost => self.forget_all(calls, out),
                Event::Stale(slot) => {
                    calls.remove(slot);
                    self.forget_all(calls, out);
                }
                Event::UnseenEnds(id) => {
                    self.forget_all(calls, out);
                    self.unseen.retain(|&unseen| unseen != id);
                }
            }
        }
        if all {
            self.settle(0, out);
        }
    }

    /// Every call is known, and how it ended.
    fn is_settled(&self, calls: &Calls) -> bool {
        calls.is_idle() && self.worked_off >= self.wary_until
    }

    fn work_off(&mut self, slot: u32, kind: &Kind, sample: Option<Sample>, calls: &mut Calls, out: &mut Vec<Resolved>) {
        let Some(call) = calls.get(slot) else { return };
        let view = view(call, sample.as_ref(), calls);
        if self.unknown.is_none() {
            let before = std::mem::take(&mut self.hypotheses);
            match self.filter(before, slot, kind, &view, calls) {
                Some(hypotheses) => self.hypotheses = hypotheses,
                None => self.lose(Why::Overlap, out),
            }
        }
        if let (Some(head), Some(call)) = (view.seen.head().filter(|_| !view.busy), calls.get_mut(slot)) {
            call.stood = Some(head);
        }
        // A call that begins or comes back here has done nothing of late; one that leaves, whatever it did is done.
        let empty = view.seen.empty().filter(|_| !view.busy).map(Ring::empty);

        let arrives = matches!(kind, Kind::Enter | Kind::In);
        if arrives && let Some(ring) = &empty {
            self.recover(ring, calls);
        }
        self.account(slot, kind, calls, out);
        if !arrives && let Some(ring) = &empty {
            self.recover(ring, calls);
        }
        self.settle(PATIENCE, out);
    }

    /// The hypotheses that agree with a step; `None` if there are none, or too many.
    fn filter(
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

    /// Keeps the books on who may act and on calls that end.
    fn account(&mut self, slot: u32, kind: &Kind, calls: &mut Calls, out: &mut Vec<Resolved>) {
        let Some(call) = calls.get_mut(slot) else {
            return;
        };
        match *kind {
            Kind::Enter => {
                call.live = true;
                self.acts(slot, true);
                if !call.is_modelled() {
                    self.lose(Why::Overlap, out);
                }
            }
            Kind::In => {
                call.asleep = false;
                self.acts(slot, true);
            }
            Kind::Out { asleep, stays } => {
                call.asleep = asleep && !stays;
                self.acts(slot, stays);
            }
            Kind::Exit => {
                self.acts(slot, false);
                if let Some(call) = calls.remove(slot) {
                    self.ended(&call, out);
                }
            }
        }
    }

    fn acts(&mut self, slot: u32, acts: bool) {
        self.acting.retain(|&other| other != slot);
        if acts {
            self.acting.push(slot);
        }
    }

    fn ended(&mut self, call: &Call, out: &mut Vec<Resolved>) {
        let bytes = call.returned().unwrap_or(0);
        if bytes == 0 {
            return;
        }
        if call.side == Side::Write {
            self.setting.exited = self.setting.exited.map(|exited| exited.saturating_add(bytes));
        }
        match self.unknown {
            Some(why) => out.push(undecided(call.id, call.side, why)),
            None if call.method == Method::Peek => {
                out.push(undecided(call.id, call.side, Why::Overlap));
            }
            None => self.pending.push(Pending { call: call.id, side: call.side, since: self.worked_off }),
        }
    }

    /// Everything in the pipe and in flight is unknown.
    pub(super) fn lose(&mut self, why: Why, out: &mut Vec<Resolved>) {
        self.hypotheses.clear();
        out.extend(self.pending.drain(..).map(|pending| undecided(pending.call, pending.side, why)));
        self.unknown = Some(why);
        let soon = self.worked_off.saturating_sub(self.rest_until) < 8 * REST;
        self.rest = if soon { (2 * self.rest).clamp(REST, MOST_REST) } else { REST };
        self.rest_until = self.worked_off + self.rest;
    }

    /// Compares what is believed with a layout, or begins anew from it.
    fn see(&mut self, layout: &Layout, calls: &Calls, out: &mut Vec<Resolved>) {
        let Some(ring) = Ring::from_layout(layout) else {
            return;
        };
        if self.unknown.is_none() {
            let before = std::mem::take(&mut self.hypotheses);
            let seen = Seen::exactly(ring.position());
            let reached = reach(before, Goal::At(seen, None), &self.acting, calls, &self.setting);
            let mut at = collapse(reached.unwrap_or_default());
            at.retain(|hypothesis| hypothesis.ring.same_place(&ring));
            for hypothesis in &mut at {
                hypothesis.last = None;
            }
            if (1..=MOST_HYPOTHESES).contains(&at.len()) {
                self.hypotheses = at;
                return;
            }
            self.lose(Why::Overlap, out);
        }
        self.recover(&ring, calls);
    }

    /// Reports what all hypotheses share, and decides what has waited for more than `patience` steps.
    fn settle(&mut self, patience: u64, out: &mut Vec<Resolved>) {
        if self.pending.is_empty() {
            return;
        }
        let hypotheses = &mut self.hypotheses;
        let now = self.worked_off;
        self.pending.retain(|pending| {
            let late = now.saturating_sub(pending.since) >= patience;
            let mut outcomes = hypotheses.iter().map(|h| h.outcomes.iter().find(|(id, _)| *id == pending.call));
            let Some(Some((_, first))) = outcomes.next() else {
                out.push(undecided(pending.call, pending.side, Why::Overlap));
                return false;
            };
            let mut agreed = first.clone();
            for outcome in outcomes {
                match outcome {
                    Some((_, outcome)) if *outcome == agreed => {}
                    _ if !late => return true,
                    Some((_, outcome)) => agreed = agreed.agreed(outcome),
                    None => agreed = agreed.agreed(&Outcome::Write { offset: None }),
                }
            }
            out.push(report(pending.call, agreed));
            for hypothesis in hypotheses.iter_mut() {
                hypothesis.outcomes.retain(|(id, _)| *id != pending.call);
            }
            false
        });
    }

    pub(super) fn leftover(&self) -> Option<Vec<Leftover>> {
        let (first, others) = self.hypotheses.split_first()?;
        let same_length = others.iter().all(|other| other.content.bytes() == first.content.bytes());
        let agreed = others.iter().fold(first.content.clone(), |agreed, other| agreed.agreed(&other.content));
        same_length.then(|| leftover(&agreed))
    }
}

fn view(call: &Call, sample: Option<&Sample>, calls: &Calls) -> View {
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

fn undecided(call: CallId, side: Side, why: Why) -> Resolved {
    match side {
        Side::Read => Resolved::Unknown { call, why },
        Side::Write => Resolved::Write { call, offset: None },
    }
}

fn report(call: CallId, outcome: Outcome) -> Resolved {
    match outcome {
        Outcome::Write { offset } => Resolved::Write { call, offset },
        Outcome::Read { content, offset, discarded } => match content.parts() {
            Ok(parts) => Resolved::Read { call, parts, offset, discarded },
            Err(why) => Resolved::Unknown { call, why },
        },
    }
}
