//! The calls at one side of a socket, in clusters: calls that may have overlapped are in one.
//!
//! While one thread uses a side, its calls are told when they return and each is a cluster of its own. When several do,
//! beginnings are told as well, so whatever is in flight when a call returns is known.
//!
//! Invariant: two calls of which it is not certain that one was over before the other began are in the same cluster.
//! Tested by the table at the end.

use crate::event::{OpId, Task};

/// Calls kept open at one side; beyond, ends of some must have been lost.
const MOST: usize = 4096;

/// One side of a socket.
#[derive(Clone, Debug)]
pub struct Lane<T> {
    /// In flight: at most one of a thread.
    open: Vec<(OpId, Task)>,
    /// Over, but in one cluster with one in flight.
    done: Vec<T>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { open: Vec::new(), done: Vec::new() }
    }
}

impl<T> Lane<T> {
    /// A call is in flight.
    pub fn enter(&mut self, op: OpId, task: Task) {
        if self.open.iter().any(|(open, _)| *open == op) {
            return;
        }
        self.leave(task);
        if self.open.len() < MOST {
            self.open.push((op, task));
        }
    }

    /// Whatever call of that thread was in flight is over: it may have been told of by another thread, which is not
    /// always right about when it was entered.
    fn leave(&mut self, task: Task) {
        self.open.retain(|(_, other)| other.tid != task.tid);
    }

    /// A call is over, for the last time (`last`; a call may have several messages); gives the cluster that ends with it.
    pub fn exit(&mut self, task: Task, item: Option<T>, last: bool) -> Vec<T> {
        self.done.extend(item);
        if last {
            self.leave(task);
        }
        if self.open.is_empty() { std::mem::take(&mut self.done) } else { Vec::new() }
    }

    /// The one call in flight that no other overlaps with, so far.
    pub fn sole(&self) -> Option<(OpId, u32)> {
        match (self.open.as_slice(), self.done.is_empty()) {
            ([(op, task)], true) => Some((*op, task.pid)),
            _ => None,
        }
    }

    /// Nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Records are missing: nothing is known to be in flight. Gives what was over.
    pub fn lose(&mut self) -> Vec<T> {
        self.open.clear();
        std::mem::take(&mut self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(tid: u32) -> Task {
        Task { pid: tid, tid }
    }

    #[test]
    fn calls_that_overlap_are_one_cluster() {
        let mut lane = Lane::default();
        assert_eq!(lane.exit(task(7), Some('a'), true), ['a']);
        lane.enter(OpId(2), task(7));
        assert_eq!(lane.sole(), Some((OpId(2), 7)));
        lane.enter(OpId(3), task(8));
        assert_eq!((lane.sole(), lane.exit(task(8), Some('c'), true)), (None, vec![]));
        assert_eq!(lane.exit(task(7), Some('b'), true), ['c', 'b']);
        assert_eq!(lane.exit(task(9), None, true), []);
    }

    #[test]
    fn a_thread_is_in_one_call_at_a_time() {
        let mut lane = Lane::default();
        lane.enter(OpId(1), task(7));
        lane.enter(OpId(2), task(7));
        assert_eq!(lane.exit(task(7), Some('a'), true), ['a']);
    }

    #[test]
    fn a_call_of_several_messages_is_over_with_the_last() {
        let mut lane = Lane::default();
        lane.enter(OpId(1), task(7));
        assert_eq!(lane.exit(task(7), Some('a'), false), []);
        assert_eq!(lane.exit(task(7), Some('b'), true), ['a', 'b']);
    }
}
