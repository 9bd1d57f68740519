//! Which UDP datagram a receive got.
//!
//! The kernel tells a receiver where a datagram came from, but not which one it was. Between two sockets of one machine
//! datagrams keep their order, and those for which there was no room are told of; so the next one sent is the next one
//! received, if it has the same bytes. Where that is not the next one, some may be missing unseen, or the network was told
//! to change their order (tc(8)): then it has to be the only one with these bytes. One with bytes that only what was received
//! before has, while nobody is sending, is that one, doubled on its way.
//!
//! Invariants: an origin is exact or absent; a datagram is received once by a socket (a multicast by each of several).
//! Tested by a table of sends and receives and by tui/tests/live_sockets.rs and live_unruly.rs.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
};

use crate::event::{Arrival, FromUnknown, OpId, Origin};

use super::super::{descriptor::Key, outbox::Place};

/// Datagrams remembered of a sender, and receives that wait.
const MOST: usize = 4096;

/// A datagram that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The call.
    pub op: OpId,
    /// Its process.
    pub pid: u32,
    /// When it was entered.
    pub entered: u64,
    /// Where to.
    pub to: SocketAddr,
    /// Its length.
    pub bytes: u64,
    /// Its first bytes.
    pub payload: Vec<u8>,
}

impl Sent {
    fn known(&self, received: &Received, arrival: Option<Arrival>) -> Known {
        let origin = Origin { op: self.op, pid: self.pid, host: None, bytes: received.bytes };
        Known { origin, cut: self.bytes.saturating_sub(received.bytes), arrival }
    }
}

/// A datagram that was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its event.
    pub place: Place,
    /// When the call returned.
    pub time: u64,
    /// Where it came from.
    pub from: SocketAddr,
    /// The address of the socket that got it.
    pub at: SocketAddr,
    /// Bytes received, and room for them.
    pub bytes: u64,
    /// See `bytes`.
    pub room: u64,
    /// The first of them.
    pub payload: Vec<u8>,
    /// It stayed (`MSG_PEEK`).
    pub peek: bool,
    /// Nobody else reads from the socket.
    pub alone: bool,
}

/// What is known of a receive.
pub type Answer = (Place, Result<Known, FromUnknown>);

/// Which datagram it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its send.
    pub origin: Origin,
    /// Bytes for which there was no room.
    pub cut: u64,
    /// How it came.
    pub arrival: Option<Arrival>,
}

/// What a socket has sent.
#[derive(Clone, Debug, Default)]
struct Log {
    /// The number of the first that is remembered.
    first: u64,
    sent: VecDeque<Sent>,
    /// Receivers that had no room for a send that is not over yet.
    dropped: HashMap<OpId, Vec<Key>>,
    /// The same for those that are over.
    gone: BTreeSet<(u64, Key)>,
}

/// From one socket to another.
#[derive(Clone, Debug, Default)]
struct Pair {
    /// Received already, by whomever.
    taken: BTreeSet<u64>,
    /// Received already by this one.
    had: BTreeSet<u64>,
    /// The one behind the last that was received.
    next: u64,
    /// It cannot be said which is the next one.
    unordered: bool,
    /// Some came twice.
    doubles: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Datagrams {
    logs: HashMap<Key, Log>,
    pairs: HashMap<(Key, Key), Pair>,
    /// Threads that are sending just now: from where, since when.
    sending: HashMap<u32, (Key, u64)>,
    waiting: VecDeque<(Vec<Key>, Key, Received)>,
}

/// Whether a datagram to `to` gets to a socket bound to `at`, coming from `from`: only if it cannot have left the machine.
fn arrives(to: SocketAddr, at: SocketAddr, from: SocketAddr) -> bool {
    let own = to.ip().is_loopback() || to.ip().is_multicast() || to.ip() == from.ip();
    to.port() == at.port() && (to.ip() == at.ip() || at.ip().is_unspecified() && own)
}

/// What was sent, with its number, that can have come where this was received by then.
fn arrived<'a>(log: &'a Log, received: &Received) -> impl Iterator<Item = (u64, &'a Sent)> {
    (log.first..)
        .zip(&log.sent)
        .filter(|(_, sent)| sent.entered < received.time && arrives(sent.to, received.at, received.from))
}

/// Whether these can be its bytes.
fn fits(sent: &Sent, received: &Received) -> bool {
    let shared = sent.payload.len().min(received.payload.len());
    let is_whole = sent.bytes == received.bytes || received.bytes == received.room && sent.bytes > received.room;
    is_whole && sent.payload.get(..shared) == received.payload.get(..shared)
}

impl Datagrams {
    /// A thread begins to send from a socket.
    pub fn begin(&mut self, tid: u32, sender: Key, entered: u64) {
        self.sending.insert(tid, (sender, entered));
    }

    /// The socket that a thread is sending from.
    pub fn sender(&self, tid: u32) -> Option<Key> {
        self.sending.get(&tid).map(|(sender, _)| *sender)
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
        log.sent.push_back(sent);
        if log.sent.len() > MOST {
            log.sent.pop_front();
            log.first += 1;
            log.gone = log.gone.split_off(&(log.first, (0, 0)));
            for (_, pair) in self.pairs.iter_mut().filter(|((from, _), _)| *from == sender) {
                pair.taken = pair.taken.split_off(&log.first);
                pair.had = pair.had.split_off(&log.first);
            }
        }
        self.serve(answers);
    }

    /// Whether one of these may have sent something by then that is not in the log yet.
    fn is_sending(&self, senders: &[Key], by: u64) -> bool {
        self.sending.values().any(|(sender, entered)| senders.contains(sender) && *entered < by)
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

    /// Records are missing.
    pub fn lost(&mut self) {
        self.logs.clear();
        self.sending.clear();
        for pair in self.pairs.values_mut() {
            pair.unordered = true;
        }
    }

    /// A socket has got one, from one of these. `since`: what was sent before cannot have come to it.
    pub fn received(
        &mut self,
        senders: Vec<Key>,
        receiver: Key,
        since: u64,
        received: Received,
        answers: &mut Vec<Answer>,
    ) {
        for sender in &senders {
            let log = self.logs.entry(*sender).or_default();
            let multicast = log.sent.iter().any(|sent| sent.to.ip().is_multicast());
            let pair = self.pairs.entry((*sender, receiver)).or_insert_with(|| Pair {
                next: log.first + log.sent.iter().take_while(|sent| sent.entered < since).count() as u64,
                // When it joined the group is not known.
                unordered: multicast,
                ..Pair::default()
            });
            pair.unordered |= !received.alone;
        }
        self.waiting.push_back((senders, receiver, received));
        if self.waiting.len() > MOST {
            self.waiting.pop_front();
        }
        self.serve(answers);
    }

    fn serve(&mut self, answers: &mut Vec<Answer>) {
        let waiting = std::mem::take(&mut self.waiting);
        for (senders, receiver, received) in waiting {
            match self.answer(&senders, receiver, &received) {
                Some(answer) => answers.push((received.place, answer)),
                None => self.waiting.push_back((senders, receiver, received)),
            }
        }
    }

    /// `None`: it is not in the log yet.
    fn answer(&mut self, senders: &[Key], receiver: Key, received: &Received) -> Option<Result<Known, FromUnknown>> {
        let mut fitting: Vec<(Key, u64)> = Vec::new();
        let mut is_next = false;
        for sender in senders {
            let (Some(log), Some(pair)) = (self.logs.get(sender), self.pairs.get(&(*sender, receiver))) else {
                continue;
            };
            let numbers = arrived(log, received)
                .filter(|(number, _)| !pair.taken.contains(number) && !log.gone.contains(&(*number, receiver)));
            let mut next = Some(());
            for (number, sent) in numbers {
                let is_first = number >= pair.next && next.take().is_some();
                if fits(sent, received) {
                    is_next |= is_first && fitting.is_empty() && !pair.unordered && senders.len() == 1;
                    fitting.push((*sender, number));
                }
            }
        }
        let (sender, number) = match fitting.as_slice() {
            [first, ..] if is_next => *first,
            // The one on its way may be just like it.
            _ if self.is_sending(senders, received.time) => return None,
            [] => return self.doubled(senders, receiver, received),
            [one] if !self.may_be_doubled(senders, receiver, received) => *one,
            _ => {
                for sender in senders {
                    self.pairs.entry((*sender, receiver)).or_default().unordered = true;
                }
                return Some(Err(FromUnknown::Overlap));
            }
        };
        let log = self.logs.get(&sender)?;
        let sent = log.sent.get(usize::try_from(number - log.first).ok()?)?;
        let mut known = sent.known(received, None);
        if !received.peek
            && let Some(pair) = self.pairs.get_mut(&(sender, receiver))
        {
            // With several who read, the order of their calls is not the order in which the datagrams came.
            if number < pair.next && received.alone {
                known.arrival = Some(Arrival::Reordered);
                pair.unordered = true;
            }
            pair.taken.insert(number);
            pair.had.insert(number);
            pair.next = pair.next.max(number + 1);
            if !sent.to.ip().is_multicast() {
                // Nobody else gets it.
                for (_, other) in self.pairs.iter_mut().filter(|((from, to), _)| *from == sender && *to != receiver) {
                    other.taken.insert(number);
                }
            }
        }
        Some(Ok(known))
    }

    /// What the receiver had before that has these bytes.
    fn had(&self, senders: &[Key], receiver: Key, received: &Received) -> Vec<(Key, u64)> {
        let mut had = Vec::new();
        for sender in senders {
            let (Some(log), Some(pair)) = (self.logs.get(sender), self.pairs.get(&(*sender, receiver))) else {
                continue;
            };
            let again =
                arrived(log, received).filter(|(number, sent)| pair.had.contains(number) && fits(sent, received));
            had.extend(again.map(|(number, _)| (*sender, number)));
        }
        had
    }

    /// Whether it may be one that the receiver had: only where that has been seen to happen.
    fn may_be_doubled(&self, senders: &[Key], receiver: Key, received: &Received) -> bool {
        let doubles = |sender: &Key| self.pairs.get(&(*sender, receiver)).is_some_and(|pair| pair.doubles);
        senders.iter().any(doubles) && !self.had(senders, receiver, received).is_empty()
    }

    /// Which one it is, if it is one that the receiver had; `None`: it is not.
    fn doubled(&mut self, senders: &[Key], receiver: Key, received: &Received) -> Option<Result<Known, FromUnknown>> {
        let had = self.had(senders, receiver, received);
        for (sender, _) in &had {
            if let Some(pair) = self.pairs.get_mut(&(*sender, receiver)) {
                // From now on the next one may be one that came before.
                (pair.unordered, pair.doubles) = (true, true);
            }
        }
        let [(sender, number)] = had.as_slice() else {
            return (!had.is_empty()).then_some(Err(FromUnknown::Overlap));
        };
        let log = self.logs.get(sender)?;
        let sent = log.sent.get(usize::try_from(number - log.first).ok()?)?;
        Some(Ok(sent.known(received, Some(Arrival::Duplicate))))
    }

    /// Somebody else has its address now: what it sent is not received any more.
    pub fn forget_sender(&mut self, sender: Key) {
        self.logs.remove(&sender);
        self.pairs.retain(|(from, _), _| *from != sender);
    }

    /// Nobody holds the socket any more. What it sent can still be received.
    pub fn forget_receiver(&mut self, receiver: Key) {
        self.pairs.retain(|(_, to), _| *to != receiver);
    }
}

#[cfg(test)]
mod tests;
