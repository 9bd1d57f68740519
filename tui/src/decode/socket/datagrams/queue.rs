//! In which order datagrams came to a socket.
//!
//! The probes tell when one was put into its queue, right behind the moment itself. If it is the last in there then, and of
//! a call that is traced, it is known which one it is, and to be behind all that was told before. Of another one, as of
//! those that two put there at the same moment, only since when it can have been there. A receive takes the first.
//!
//! Invariant: while the queue is known, all that is in it is here and nothing else.

use std::collections::VecDeque;

use crate::event::OpId;

use super::{Key, MOST};

/// A datagram was put into the queue.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When.
    pub time: u64,
    /// Since when it can have been there.
    pub since: u64,
    /// From which socket, by which call; `None`: that is unknown.
    pub sent: Option<(Key, OpId)>,
    /// The call during which it was put there; most likely its own.
    pub during: Option<(Key, OpId)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    arrivals: VecDeque<Arrival>,
    /// `None`: nothing was received yet.
    known: Option<bool>,
    /// The longest from `since` to `time`, ns.
    longest: u64,
}

impl Queue {
    /// One more.
    pub fn arrived(&mut self, arrival: Arrival) {
        self.longest = self.longest.max(arrival.time.saturating_sub(arrival.since));
        self.arrivals.push_back(arrival);
        if self.arrivals.len() > MOST {
            self.arrivals.pop_front();
            self.lose();
        }
    }

    /// Whether all that is in it is known; `born`: it is if nothing was received yet.
    pub fn is_known(&mut self, born: bool) -> bool {
        *self.known.get_or_insert(born)
    }

    /// Something came or went unseen.
    pub fn lose(&mut self) {
        self.known = Some(false);
    }

    /// Records are missing.
    pub fn lost(&mut self) {
        self.arrivals.clear();
        self.lose();
    }

    /// At some moment after `time` nothing was in it; `sending`: when the first of the calls that are sending now was
    /// entered.
    pub fn empty(&mut self, time: u64, sending: Option<u64>) {
        while self.arrivals.front().is_some_and(|arrival| arrival.time < time) {
            self.arrivals.pop_front();
        }
        // What was put there before and is told later may have been received before.
        let begun = self.arrivals.iter().map(|arrival| arrival.since).chain(sending);
        let is_known = begun.min().is_none_or(|since| since > time);
        self.known = Some(is_known || self.known == Some(true));
    }

    /// The one that was told first.
    pub fn first(&self) -> Option<Arrival> {
        self.arrivals.front().copied()
    }

    /// Those of which each may be the first, by their place.
    pub fn firsts(&self) -> Vec<(usize, Arrival)> {
        let Some(first) = self.first() else { return Vec::new() };
        let last = first.time.saturating_add(self.longest);
        let all = self.arrivals.iter().copied().enumerate();
        let near = all.take_while(|(_, arrival)| arrival.time <= last);
        near.filter(|(index, arrival)| *index == 0 || arrival.since < first.time).collect()
    }

    /// It was received.
    pub fn take(&mut self, index: usize) {
        self.arrivals.remove(index);
    }

    /// Whether something of that call is known to be there.
    pub fn has(&self, op: OpId) -> bool {
        self.arrivals.iter().any(|arrival| arrival.sent.is_some_and(|(_, other)| other == op))
    }

    /// It may have been this one that was received, and the other one be still there.
    pub fn blur(&mut self, index: usize) {
        if let Some(arrival) = self.arrivals.get_mut(index) {
            (arrival.sent, arrival.during) = (None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of calls that were entered then, told then; of a call: the last in the queue.
    fn queue(arrivals: &[(u64, u64, u64)]) -> Queue {
        let mut queue = Queue::default();
        for (since, time, op) in arrivals {
            let sent = (*op != 0).then_some(((1, 1), OpId(*op)));
            queue.arrived(Arrival { time: *time, since: *since, sent, during: sent });
        }
        queue
    }

    fn firsts(arrivals: &[(u64, u64, u64)]) -> Vec<usize> {
        queue(arrivals).firsts().iter().map(|(index, _)| *index).collect()
    }

    #[test]
    fn what_is_told_late_may_have_been_in_front() {
        assert_eq!(firsts(&[(20, 20, 1), (30, 30, 2)]), [0]);
        assert_eq!(firsts(&[(20, 20, 1), (30, 30, 2), (21, 31, 0), (15, 40, 0), (12, 41, 0)]), [0, 3, 4]);
        assert_eq!(firsts(&[(10, 20, 0), (30, 30, 2)]), [0]);
        assert!(firsts(&[]).is_empty());
    }

    #[test]
    fn it_is_known_from_its_beginning_or_once_it_was_empty() {
        let mut known = queue(&[(10, 20, 1)]);
        assert!(known.is_known(true) && known.is_known(false));
        known.lose();
        assert!(!known.is_known(true));
        known.empty(30, None);
        assert!(known.is_known(false) && known.first().is_none());
        for (since, sending) in [(25, None), (40, Some(29))] {
            let mut unknown = queue(&[(10, 20, 1), (since, 45, 0)]);
            unknown.empty(30, sending);
            assert!(!unknown.is_known(true) && unknown.arrivals.len() == 1, "{since} {sending:?}");
        }
        let mut many = Queue::default();
        (0..=MOST as u64).for_each(|time| many.arrived(Arrival { time, since: time, sent: None, during: None }));
        assert!(!many.is_known(true));
    }
}
