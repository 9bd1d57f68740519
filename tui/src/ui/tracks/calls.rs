//! Calls of remote procedures and their answers, as pairs in order of the answers.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Event, Kind, Nanos, Role, Task};

/// Calls that wait for their answer; the oldest go first.
const WAITING: usize = 1 << 16;

/// Who called whom, from when to when; both are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) struct Exchange {
    pub caller: Task,
    pub server: Task,
    pub called: Nanos,
    pub answered: Nanos,
    /// The number of the answer's event.
    index: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// By the event's `seq`.
    waiting: BTreeMap<u64, (Task, Nanos)>,
    done: VecDeque<Exchange>,
}

impl Calls {
    pub(super) fn learn(&mut self, event: &Event, index: u64) {
        let (Kind::Rpc(rpc), Some(task)) = (&event.kind, event.task) else { return };
        if rpc.role == Role::Call {
            if self.waiting.len() >= WAITING {
                self.waiting.pop_first();
            }
            self.waiting.insert(event.seq, (task, event.t));
        } else if let Some((caller, called)) = rpc.call.and_then(|call| self.waiting.remove(&call)) {
            self.done.push_back(Exchange { caller, server: task, called, answered: event.t, index });
        }
    }

    /// Those that were under way between two moments, the second excluded.
    pub(super) fn between(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = &Exchange> {
        let first = self.done.partition_point(|exchange| exchange.answered < from);
        self.done.range(first..).filter(move |exchange| exchange.called < to)
    }

    pub(super) fn trim(&mut self, first: u64) {
        while self.done.front().is_some_and(|exchange| exchange.index < first) {
            self.done.pop_front();
        }
    }
}
