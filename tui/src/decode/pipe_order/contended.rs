//! Several readers or writers: what the sampled steps allow.
//!
//! Steps wait in a queue until [`WINDOW`] later ones are there, so that a call's result and a missing switch-in are
//! mostly known when its sections are looked for. Each step then filters the hypotheses: a stable sample by its
//! position, a sample with an owner by who is in its section now, an exit by what was done, a call asleep by what was
//! not. With no hypothesis left (or too many) everything is unknown until the pipe is seen again.
//!
//! Invariants: what really happened is among the hypotheses as long as the records are complete and the kernel's rules
//! are those of [`super::ring`]; only what all hypotheses share is reported. Tested in `truth_tests`.

mod filter;
mod settle;

use std::collections::VecDeque;

use super::calls::{Call, Calls};
use super::hypothesis::{Hypothesis, Setting, collapse};
use super::ring::{Ring, Seen};
use super::search::{Goal, reach};
use super::solo::Solo;
use super::{CallId, Layout, Method, Resolved, Sample, Side, Why};
use filter::view;
use settle::undecided;

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

#[derive(Clone, Debug)]
enum Kind {
    Enter,
    Exit,
    /// `stays`: the switch-in after it went missing, so the thread may be on a CPU from here on.
    Out {
        asleep: bool,
        stays: bool,
    },
    In,
    /// It found the mutex taken.
    Contends,
}

#[derive(Clone, Debug)]
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
    /// Records are missing until that time.
    Lost(u64),
    /// The exit of this call is missing.
    Stale(u32),
    /// A call whose entry is missing ends.
    UnseenEnds(CallId),
}

#[derive(Clone, Debug)]
struct Step {
    time: u64,
    event: Event,
}

/// A call that exited with bytes and whose outcome is not the same in all hypotheses yet.
#[derive(Clone, Debug)]
struct Pending {
    call: CallId,
    side: Side,
    since: u64,
}

/// The state of a pipe with several tasks at an end.
#[derive(Clone, Debug)]
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
    /// Records are missing until that time, and when the step is that is worked off.
    blind_until: u64,
    now: u64,
}

impl Contended {
    pub(super) fn new(solo: Solo, max_usage: u32, time: u64, layout: Option<Layout>, blind_until: u64) -> Self {
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
            blind_until,
            now: 0,
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

    pub(super) fn contends(&mut self, calls: &mut Calls, time: u64, slot: u32, sample: Option<Sample>) {
        self.call_step(calls, time, slot, Kind::Contends, sample);
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

    pub(super) fn lost(&mut self, time: u64, until: u64) {
        self.push(time, Event::Lost(until));
        self.wary_until = self.worked_off + self.steps.len() as u64 + WINDOW as u64;
    }

    pub(super) fn stale(&mut self, time: u64, slot: u32) {
        self.push(time, Event::Stale(slot));
    }

    /// A step of a call whose entry is missing. It may have acted during any step that still waits.
    pub(super) fn unseen(&mut self, time: u64, id: CallId, ends: bool) {
        if !self.unseen.contains(&id) {
            self.push_front(time, Event::Lost(0));
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
                Event::Lost(_) | Event::Stale(_) | Event::UnseenEnds(_) => break,
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
            self.now = step.time;
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
                Event::Lost(until) => {
                    self.blind_until = self.blind_until.max(until);
                    self.forget_all(calls, out);
                }
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
            Kind::In | Kind::Contends => {
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

    /// More records may be missing before those that come next.
    pub(super) fn is_blind(&self) -> bool {
        self.now < self.blind_until
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
}
