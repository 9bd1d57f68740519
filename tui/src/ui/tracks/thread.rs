//! A thread's states and deeds in order of time.

use std::collections::VecDeque;

use crate::event::{Comm, Event, Kind, Nanos, Phase, Task, ThreadState};

/// The course of a thread.
#[derive(Debug)]
pub(in crate::ui) struct Track {
    pub task: Task,
    /// When it appeared.
    pub born: Nanos,
    /// States by their beginning.
    pub stays: VecDeque<Stay>,
    /// What it did.
    pub acts: VecDeque<Act>,
    names: Vec<(Nanos, Comm)>,
}

/// A state from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) struct Stay {
    pub t: Nanos,
    /// The event that told; `None`: it was so before the events that are kept.
    pub index: Option<u64>,
    /// `None`: unknown.
    pub state: Option<ThreadState>,
}

/// A state with its beginning and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) struct Span {
    pub from: Nanos,
    pub to: Nanos,
    pub stay: Stay,
}

/// Something that the thread did, or that became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) struct Act {
    pub t: Nanos,
    pub index: u64,
    pub deed: Deed,
}

/// Kinds of deeds, what matters least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ui) enum Deed {
    /// A descriptor was made, copied, closed.
    Channel,
    Send,
    Receive,
    /// It called a remote procedure, or told of something that nobody answers.
    Call,
    /// It answered a call.
    Answer,
    Fork,
    Exec,
    /// It sent a signal.
    SignalSent,
    /// A signal was acted on, or its handler returned.
    SignalTaken,
    Exit,
}

impl Track {
    pub(super) fn new(task: Task, t: Nanos) -> Self {
        Self { task, born: t, stays: VecDeque::new(), acts: VecDeque::new(), names: Vec::new() }
    }

    /// What it was called at `t`.
    pub(in crate::ui) fn name(&self, t: Nanos) -> Comm {
        let known = self.names.partition_point(|(since, _)| *since <= t);
        self.names.get(known.saturating_sub(1)).map(|(_, comm)| *comm).unwrap_or_default()
    }

    /// The state at `t`.
    pub(in crate::ui) fn stay_at(&self, t: Nanos) -> Option<&Stay> {
        self.stays.get(self.stays.partition_point(|stay| stay.t <= t).checked_sub(1)?)
    }

    /// States that begin at `t` or later.
    pub(in crate::ui) fn stays_from(&self, t: Nanos) -> impl Iterator<Item = &Stay> {
        self.stays.range(self.stays.partition_point(|stay| stay.t < t)..)
    }

    /// States between two moments, cut to them.
    pub(in crate::ui) fn spans(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = Span> {
        let first = self.stays.partition_point(|stay| stay.t <= from).saturating_sub(1);
        let ends = self.stays.range(first.min(self.stays.len())..).skip(1).map(|stay| stay.t).chain([to]);
        self.stays
            .range(first.min(self.stays.len())..)
            .zip(ends)
            .take_while(move |(stay, _)| stay.t < to)
            .map(move |(stay, end)| Span { from: stay.t.max(from), to: end.min(to), stay: *stay })
            .filter(|span| span.from < span.to)
    }

    /// What it did between two moments, the second excluded.
    pub(in crate::ui) fn acts_between(&self, from: Nanos, to: Nanos) -> impl DoubleEndedIterator<Item = &Act> {
        let first = self.acts.partition_point(|act| act.t < from);
        let end = self.acts.partition_point(|act| act.t < to).max(first);
        self.acts.range(first..end)
    }

    /// The numbers of its events until `t`, states and deeds, the latest first.
    pub(in crate::ui) fn back(&self, t: Nanos) -> impl Iterator<Item = u64> {
        let mut stays = self.stays.range(..self.stays.partition_point(|stay| stay.t <= t)).rev().peekable();
        let mut acts = self.acts.range(..self.acts.partition_point(|act| act.t <= t)).rev().peekable();
        std::iter::from_fn(move || {
            while stays.peek().is_some_and(|stay| stay.index.is_none()) {
                stays.next();
            }
            let (stay, act) = (stays.peek().and_then(|stay| stay.index), acts.peek().map(|act| act.index));
            if stay > act { stays.next().and_then(|stay| stay.index) } else { acts.next().map(|act| act.index) }
        })
    }

    /// It was there between two moments.
    pub(in crate::ui) fn lives_in(&self, from: Nanos, to: Nanos) -> bool {
        self.born < to && !(self.is_over() && self.stays.back().is_some_and(|stay| stay.t <= from))
    }

    /// It has been reaped.
    pub(super) fn is_over(&self) -> bool {
        self.stays.back().is_some_and(|stay| stay.state == Some(ThreadState::Dead))
    }

    pub(super) fn called(&mut self, t: Nanos, comm: Comm) {
        if self.names.last().is_none_or(|(_, last)| *last != comm) {
            self.names.push((t, comm));
        }
    }

    pub(super) fn learn(&mut self, event: &Event, index: u64) {
        let t = event.t;
        if self.stays.is_empty() && !matches!(event.kind, Kind::State(_)) {
            self.stays.push_back(Stay { t, index: None, state: None });
        }
        let deed = match &event.kind {
            Kind::State(change) => {
                // What it was in since it appeared shows only now.
                if let [Stay { index: None, state: state @ None, .. }] = self.stays.make_contiguous() {
                    *state = change.from;
                }
                return self.enter(t, Some(index), Some(change.to));
            }
            Kind::Fork { .. } => Deed::Fork,
            Kind::Exec(_) => Deed::Exec,
            Kind::Exit(_) => {
                // Without the scheduler's word this is all that is known of its end.
                if self.stays.back().is_some_and(|stay| stay.state.is_none()) {
                    self.enter(t, Some(index), Some(ThreadState::Dead));
                }
                Deed::Exit
            }
            Kind::Channel(_) => Deed::Channel,
            Kind::Send(_) => Deed::Send,
            Kind::Recv(_) => Deed::Receive,
            Kind::Signal(step) if step.phase == Phase::Generated => Deed::SignalSent,
            Kind::Signal(_) => Deed::SignalTaken,
            Kind::Rpc(rpc) if rpc.role.is_answer() => Deed::Answer,
            Kind::Rpc(_) => Deed::Call,
            Kind::Lost(_) | Kind::Disposition(_) | Kind::Dispositions(_) | Kind::Mask(_) => return,
        };
        self.acts.push_back(Act { t, index, deed });
    }

    pub(super) fn enter(&mut self, t: Nanos, index: Option<u64>, state: Option<ThreadState>) {
        self.stays.push_back(Stay { t, index, state });
    }

    /// Records are missing since `t`, as the event with that number tells.
    pub(super) fn doubt(&mut self, t: Nanos, index: u64) {
        if let Some(last) = self.stays.back().filter(|last| last.state.is_some())
            && !self.is_over()
        {
            let t = t.max(last.t);
            self.enter(t, Some(index), None);
        }
    }

    pub(super) fn trim(&mut self, first: u64) {
        while self.acts.front().is_some_and(|act| act.index < first) {
            self.acts.pop_front();
        }
        // The newest of the old ones is still in force.
        while let Some(Stay { index: Some(next), .. }) = self.stays.get(1)
            && *next < first
        {
            self.stays.pop_front();
        }
        let oldest = self.stays.front().map_or(self.born, |stay| stay.t);
        let named = self.names.partition_point(|(since, _)| *since <= oldest).saturating_sub(1);
        self.names.drain(..named);
    }
}
