//! Which UDP datagram a receive got.
//!
//! The kernel tells a receiver where a datagram came from, but not which one it was. Where the probes tell what came into
//! its queue ([`queue`]), and one reads, it is the first in there, whoever else sends the same.
//!
//! Elsewhere (before Linux 6.4, or several read, or several sent at the same moment) it has to be found out ([`by_bytes`]).
//! Between two sockets of one machine datagrams keep their order, and those for which there was no room are told of; so the
//! next one sent is the next one received, if it has the same bytes. Where that is not the next one, some may be missing
//! unseen, or the network was told to change their order (tc(8)): then it has to be the only one with these bytes. One with
//! bytes that only what was received before has, while nobody is sending, is that one, doubled on its way.
//!
//! Invariants: an origin is exact or absent; a datagram is received once by a socket (a multicast by each of several).
//! Tested by a table of sends and receives and by tui/tests/live_datagrams.rs, live_sockets.rs and live_unruly.rs.

mod by_bytes;
mod by_queue;
mod datagram;
mod queue;

use std::collections::{BTreeSet, VecDeque};

use foldhash::HashMap;

use crate::event::{Arrival, FromUnknown, OpId};

use super::super::{descriptor::Key, outbox::Place};

use by_queue::First;
pub use datagram::{Known, Received, Sent};
use queue::{Arrival as Came, Queue};

/// Datagrams remembered of a sender, or in a queue.
const MOST: usize = 4096;
/// Receives that wait for a send to be over: it may be blocked.
const MOST_WAITING: usize = 256;
/// A datagram that nobody in the trace sent may have been in the queue for so long before that is told, ns.
const SLACK: u64 = 100_000;

/// Which sockets one can have come from by its addresses, or why that is unknown.
pub type Senders = Result<Vec<Key>, FromUnknown>;

/// What is known of a receive.
pub type Answer = (Place, Result<Known, FromUnknown>);

/// What a socket has sent.
#[derive(Clone, Debug, Default)]
struct Log {
    /// The number of the first that is remembered.
    first: u64,
    sent: VecDeque<Sent>,
    /// The number of the last message of each call that is remembered.
    last: HashMap<OpId, u64>,
    /// Received by somebody, where nobody else gets it.
    taken: BTreeSet<u64>,
    /// Receivers that had no room for a send that is not over yet.
    dropped: HashMap<OpId, Vec<Key>>,
    /// The same for those that are over.
    gone: BTreeSet<(u64, Key)>,
}

impl Log {
    fn forget_first(&mut self) {
        if let Some(sent) = self.sent.pop_front()
            && self.last.get(&sent.op) == Some(&self.first)
        {
            self.last.remove(&sent.op);
        }
        self.first += 1;
        while self.gone.first().is_some_and(|(number, _)| *number < self.first) {
            self.gone.pop_first();
        }
        while self.taken.first().is_some_and(|number| *number < self.first) {
            self.taken.pop_first();
        }
    }

    fn get(&self, number: u64) -> Option<&Sent> {
        self.sent.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The messages of a call, with their numbers.
    fn of_call(&self, op: OpId) -> impl Iterator<Item = (u64, &Sent)> {
        let last = self.last.get(&op).copied();
        let numbers = last.into_iter().flat_map(|last| (self.first..=last).rev());
        numbers.map_while(move |number| Some((number, self.get(number).filter(|sent| sent.op == op)?)))
    }

    /// That receiver does not get it any more: it or somebody else has, or there was no room for it.
    fn is_gone(&self, (number, sent): (u64, &Sent), receiver: Key, pair: &Pair) -> bool {
        let taken = if sent.to.ip().is_multicast() { &pair.had } else { &self.taken };
        taken.contains(&number) || self.gone.contains(&(number, receiver))
    }

    /// What was sent from that number on, with its number.
    fn since(&self, number: u64) -> impl Iterator<Item = (u64, &Sent)> {
        let from = number.max(self.first);
        let passed = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        (from..).zip(self.sent.iter().skip(passed))
    }
}

/// From one socket to another.
#[derive(Clone, Debug, Default)]
struct Pair {
    /// All before this one are, or did not get there.
    done: u64,
    /// Received already by this one.
    had: BTreeSet<u64>,
    /// The one behind the last that was received.
    next: u64,
    /// When the last of them was sent that were received, not before: when its call was entered.
    newest: u64,
    /// It cannot be said which is the next one.
    unordered: bool,
    /// Some came twice.
    doubles: bool,
}

/// One that was sent, from that socket, with that number in its log.
#[derive(Clone, Copy)]
struct Found {
    sender: Key,
    number: u64,
    /// The receiver had it before.
    again: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Datagrams {
    queues: HashMap<Key, Queue>,
    logs: HashMap<Key, Log>,
    pairs: HashMap<(Key, Key), Pair>,
    /// Threads that are sending just now: from where, in which call, since when.
    sending: HashMap<u32, (Key, OpId, u64)>,
    waiting: VecDeque<(Senders, Key, Received)>,
}

impl Datagrams {
    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.logs.values().map(|log| log.sent.len()).sum()
    }

    /// A thread begins to send from a socket.
    pub fn begin(&mut self, tid: u32, (sender, op): (Key, OpId), entered: u64) {
        self.sending.insert(tid, (sender, op, entered));
    }

    /// The socket that a thread is sending from.
    pub fn sender(&self, tid: u32) -> Option<Key> {
        self.sending.get(&tid).map(|(sender, ..)| *sender)
    }

    /// Its call is over; what it has sent was told before.
    pub fn end(&mut self, tid: u32, answers: &mut Vec<Answer>) {
        self.sending.remove(&tid);
        self.serve(answers);
    }

    /// A socket has sent one.
    pub fn sent(&mut self, sender: Key, sent: Sent, answers: &mut Vec<Answer>) {
        let log = self.logs.entry(sender).or_default();
        let number = log.first + log.sent.len() as u64;
        for receiver in log.dropped.remove(&sent.op).unwrap_or_default() {
            log.gone.insert((number, receiver));
        }
        log.last.insert(sent.op, number);
        log.sent.push_back(sent);
        if log.sent.len() > MOST {
            log.forget_first();
        }
        self.serve(answers);
    }

    /// Whether one of these may have sent something by then that is not in the log yet.
    fn is_sending(&self, senders: &[Key], by: u64) -> bool {
        self.sending.values().any(|(sender, _, entered)| senders.contains(sender) && *entered < by)
    }

    /// A receiver had no room for what a call is sending; `None`: for something that somebody sent.
    pub fn dropped(&mut self, sender: Option<(Key, OpId)>, receiver: Key) {
        match sender {
            Some((sender, op)) => {
                self.logs.entry(sender).or_default().dropped.entry(op).or_default().push(receiver);
            }
            None => self.unordered(receiver),
        }
    }

    /// What comes to a socket next cannot be said any more: several read from it, or something was dropped unseen.
    pub fn unordered(&mut self, receiver: Key) {
        for (_, pair) in self.pairs.iter_mut().filter(|((_, to), _)| *to == receiver) {
            pair.unordered = true;
        }
    }

    /// Something was put into a socket's queue, by a thread whose call was entered then, if that is traced; `own`: it is
    /// what this call has sent, behind all that was there.
    pub fn came(&mut self, receiver: Key, time: u64, by: Option<(u32, u64)>, own: bool, answers: &mut Vec<Answer>) {
        let call = by.and_then(|(tid, entered)| self.sending.get(&tid).filter(|(.., since)| *since == entered));
        let during = call.map(|(sender, op, _)| (*sender, *op));
        let sent = during.filter(|_| own);
        let since = by.map_or(time.saturating_sub(SLACK), |(_, entered)| entered);
        let since = if own { time } else { since };
        self.queues.entry(receiver).or_default().arrived(Came { time, since, sent, during });
        self.serve(answers);
    }

    /// At some moment after `time` nothing was in a socket's queue.
    pub fn empty(&mut self, receiver: Key, time: u64) {
        if self.waiting.iter().any(|(_, other, _)| *other == receiver) {
            return;
        }
        let sending = self.sending.values().map(|(.., entered)| *entered).min();
        if let Some(queue) = self.queues.get_mut(&receiver) {
            queue.empty(time, sending);
        }
    }

    /// Something went from a socket's queue that nobody received.
    pub fn went(&mut self, receiver: Key) {
        self.queues.entry(receiver).or_default().lose();
    }

    /// Records are missing.
    pub fn lost(&mut self) {
        self.queues.values_mut().for_each(Queue::lost);
        self.logs.clear();
        self.sending.clear();
        // What is sent from now on is numbered anew.
        for pair in self.pairs.values_mut() {
            *pair = Pair { unordered: true, doubles: pair.doubles, ..Pair::default() };
        }
    }

    /// A socket has got one. `since`: what was sent before cannot have come to it.
    pub fn received(
        &mut self,
        senders: Senders,
        receiver: Key,
        since: u64,
        received: Received,
        answers: &mut Vec<Answer>,
    ) {
        for sender in senders.iter().flatten() {
            let log = self.logs.entry(*sender).or_default();
            let pair = self.pairs.entry((*sender, receiver)).or_insert_with(|| Pair {
                next: log.first + log.sent.iter().take_while(|sent| sent.entered < since).count() as u64,
                // When it joined the group is not known.
                unordered: log.sent.iter().any(|sent| sent.to.ip().is_multicast()),
                ..Pair::default()
            });
            pair.unordered |= !received.alone;
        }
        self.waiting.push_back((senders, receiver, received));
        if self.waiting.len() > MOST_WAITING
            && let Some((_, receiver, received)) = self.waiting.pop_front()
        {
            answers.push((received.place, Err(FromUnknown::Overlap)));
            self.went(receiver);
        }
        self.serve(answers);
    }

    fn serve(&mut self, answers: &mut Vec<Answer>) {
        // What was received after one whose sender is not known yet: it was not the first in the queue.
        let mut behind: Vec<Key> = Vec::new();
        for _ in 0..self.waiting.len() {
            let Some((senders, receiver, received)) = self.waiting.pop_front() else { break };
            let answer = if behind.contains(&receiver) { None } else { self.answer(&senders, receiver, &received) };
            if let Some(answer) = answer {
                answers.push((received.place, answer));
                continue;
            }
            if received.queued && !behind.contains(&receiver) {
                behind.push(receiver);
            }
            self.waiting.push_back((senders, receiver, received));
        }
    }

    /// `None`: it may be one that is still being sent.
    fn answer(&mut self, senders: &Senders, receiver: Key, received: &Received) -> Option<Result<Known, FromUnknown>> {
        let candidates = match self.first(receiver, received) {
            First::Later => return None,
            First::Is(sent) => {
                let pair = self.pairs.entry((sent.sender, receiver));
                pair.or_insert_with(|| Pair { unordered: true, ..Pair::default() });
                self.take(receiver, received);
                return self.found(sent, receiver, received).map(Ok);
            }
            First::OneOf(candidates) => Some(candidates),
            First::Untold => None,
        };
        let answer = match senders {
            Ok(senders) => self.by_bytes(senders, receiver, received)?,
            Err(why) => {
                self.unordered(receiver);
                Err(*why)
            }
        };
        if let Some(candidates) = candidates {
            let op = answer.as_ref().ok().map(|known| known.origin.op);
            self.settle(receiver, received, &candidates, op);
        }
        Some(answer)
    }

    /// It is this one.
    fn found(&mut self, found: Found, receiver: Key, received: &Received) -> Option<Known> {
        let Found { sender, number, again } = found;
        let log = self.logs.get_mut(&sender)?;
        let sent = log.get(number)?;
        let mut known = sent.known(received, again.then_some(Arrival::Duplicate));
        if !received.peek
            && !again
            && let Some(pair) = self.pairs.get_mut(&(sender, receiver))
        {
            // With several who read, the order of their calls is not the order in which the datagrams came.
            if sent.returned < pair.newest && received.alone {
                known.arrival = Some(Arrival::Reordered);
                pair.unordered = true;
            }
            pair.had.insert(number);
            while pair.had.first().is_some_and(|number| *number < log.first) {
                pair.had.pop_first();
            }
            pair.next = pair.next.max(number + 1);
            pair.newest = pair.newest.max(sent.entered);
            if !sent.to.ip().is_multicast() {
                log.taken.insert(number);
            }
            pair.done = pair.done.max(log.first);
            while log.get(pair.done).is_some_and(|sent| log.is_gone((pair.done, sent), receiver, pair)) {
                pair.done += 1;
            }
        }
        Some(known)
    }

    /// Somebody else has its address now: what it sent is not received any more.
    pub fn forget_sender(&mut self, sender: Key) {
        self.logs.remove(&sender);
        self.pairs.retain(|(from, _), _| *from != sender);
    }

    /// Nobody holds the socket any more. What it sent can still be received.
    pub fn forget_receiver(&mut self, receiver: Key) {
        self.pairs.retain(|(_, to), _| *to != receiver);
        self.queues.remove(&receiver);
    }
}

#[cfg(test)]
mod tests;
