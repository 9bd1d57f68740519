//! The states of threads as spans of time, for formats that draw them.
//!
//! Invariant: the spans of a thread follow one another without gaps, from its first known state to its last.

use std::collections::BTreeMap;

use crate::event::{Event, Kind, Nanos, Task, ThreadState};

/// A thread in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Nanos,
    pub(super) until: Nanos,
    pub(super) state: ThreadState,
    /// What it was BLOCKED in, on what.
    pub(super) on: Option<String>,
}

/// Spans by thread.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    open: BTreeMap<Task, Span>,
}

impl Lanes {
    /// A change of state ends a span, which is given back.
    pub(super) fn event(&mut self, event: &Event) -> Option<(Task, Span)> {
        let (Some(task), Kind::State(change)) = (event.task, &event.kind) else { return None };
        let on = change.on.as_ref().map(|on| match (on.syscall, &on.channel) {
            (Some(call), Some(channel)) => format!("{call} on {channel}"),
            (Some(call), None) => call.to_owned(),
            (None, _) => "page fault".to_owned(),
        });
        let ended = if change.to == ThreadState::Dead {
            self.open.remove(&task)
        } else {
            self.open.insert(task, Span { from: event.t, until: event.t, state: change.to, on })
        };
        ended.map(|span| (task, Span { until: event.t, ..span }))
    }

    /// The recording is over: what was open ends here.
    pub(super) fn finish(self, until: Nanos) -> Vec<(Task, Span)> {
        self.open.into_iter().map(|(task, span)| (task, Span { until: until.max(span.from), ..span })).collect()
    }
}
