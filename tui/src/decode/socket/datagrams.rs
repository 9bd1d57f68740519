//! Which UDP datagram a receive got.
//!
//! The kernel tells a receiver where a datagram came from, but not which one it was. Between two sockets of one machine
//! datagrams keep their order, and those for which there was no room are told of; so the next one sent is the next one
//! received, if it has the same bytes. Where that is not the next one, some may be missing unseen: then it has to be the
//! only one with these bytes.
//!
//! Invariants: an origin is exact or absent; a datagram is received once by a socket (a multicast by each of several).
//! Tested by the table at the end and by tui/tests/live_sockets.rs.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
};

use crate::event::{FromUnknown, OpId, Origin};

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
}

/// What is known of a receive.
pub type Answer = (Place, Result<(Origin, u64), FromUnknown>);

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
    /// Received already.
    taken: BTreeSet<u64>,
    /// The one behind the last that was received.
    next: u64,
    /// It cannot be said which is the next one.
    unordered: bool,
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

    /// A socket has got one, from one of these. `since`: what was sent before cannot have come to it; `ordered`: nobody
    /// else reads from it.
    pub fn received(
        &mut self,
        senders: Vec<Key>,
        receiver: Key,
        since: u64,
        ordered: bool,
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
            pair.unordered |= !ordered;
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
    fn answer(
        &mut self,
        senders: &[Key],
        receiver: Key,
        received: &Received,
    ) -> Option<Result<(Origin, u64), FromUnknown>> {
        let mut fitting: Vec<(Key, u64)> = Vec::new();
        let mut is_next = false;
        for sender in senders {
            let (Some(log), Some(pair)) = (self.logs.get(sender), self.pairs.get(&(*sender, receiver))) else {
                continue;
            };
            let numbers = (log.first..).zip(&log.sent).filter(|(number, sent)| {
                sent.entered < received.time
                    && arrives(sent.to, received.at, received.from)
                    && !pair.taken.contains(number)
                    && !log.gone.contains(&(*number, receiver))
            });
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
            [] => return None,
            [first, ..] if is_next => *first,
            // The one on its way may be just like it.
            _ if self.is_sending(senders, received.time) => return None,
            [one] => *one,
            _ => {
                for sender in senders {
                    self.pairs.entry((*sender, receiver)).or_default().unordered = true;
                }
                return Some(Err(FromUnknown::Overlap));
            }
        };
        let log = self.logs.get(&sender)?;
        let sent = log.sent.get(usize::try_from(number - log.first).ok()?)?;
        let origin = Origin { op: sent.op, pid: sent.pid, host: None, bytes: received.bytes };
        let cut = sent.bytes.saturating_sub(received.bytes);
        if !received.peek
            && let Some(pair) = self.pairs.get_mut(&(sender, receiver))
        {
            pair.taken.insert(number);
            pair.next = pair.next.max(number + 1);
            if !sent.to.ip().is_multicast() {
                // Nobody else gets it.
                for (_, other) in self.pairs.iter_mut().filter(|((from, to), _)| *from == sender && *to != receiver) {
                    other.taken.insert(number);
                }
            }
        }
        Some(Ok((origin, cut)))
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
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::super::outbox::Outbox;
    use super::*;
    use crate::event::{Event, Kind, Lost, Nanos};

    const S: Key = (1, 10);
    const R: Key = (1, 20);

    fn place() -> Place {
        let lost = Lost { count: 0, class: String::new(), t_from: Nanos(0), t_to: Nanos(0) };
        let event =
            Event { t: Nanos(0), seq: 0, task: None, comm: None, ns_pid: None, host: None, kind: Kind::Lost(lost) };
        Outbox::default().hold(event)
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    struct Run {
        all: Datagrams,
        told: Vec<String>,
    }

    impl Run {
        fn new() -> Self {
            Self { all: Datagrams::default(), told: Vec::new() }
        }

        fn note(&mut self, answers: Vec<Answer>) {
            self.told.extend(answers.into_iter().map(|(_, of)| match of {
                Ok((origin, cut)) => format!("{}:{} cut {cut}", origin.op.0, origin.bytes),
                Err(why) => why.name().to_owned(),
            }));
        }

        fn send(&mut self, op: u64, text: &str) {
            let payload = text.as_bytes().to_vec();
            let bytes = payload.len() as u64;
            let sent = Sent { op: OpId(op), pid: 1, entered: op * 10, to: address(20), bytes, payload };
            let mut answers = Vec::new();
            self.all.sent(S, sent, &mut answers);
            self.note(answers);
        }

        fn receive(&mut self, time: u64, text: &str, ordered: bool) {
            let payload = text.as_bytes().to_vec();
            let (from, at, bytes) = (address(10), address(20), payload.len() as u64);
            let received = Received { place: place(), time, from, at, bytes, room: 9, payload, peek: false };
            let mut answers = Vec::new();
            self.all.received(vec![S], R, 0, ordered, received, &mut answers);
            self.note(answers);
        }
    }

    #[test]
    fn the_next_one_sent_is_the_next_one_received() {
        let mut run = Run::new();
        run.send(1, "same");
        run.send(2, "same");
        run.receive(30, "same", true);
        run.receive(30, "same", true);
        // Not sent yet, as far as is known.
        run.receive(40, "same", true);
        assert_eq!(run.told, ["1:4 cut 0", "2:4 cut 0"]);
        run.send(3, "same");
        run.send(4, "a long one");
        run.receive(50, "a long on", true);
        assert_eq!(run.told.split_off(2), ["3:4 cut 0", "4:9 cut 1"]);
    }

    #[test]
    fn one_on_its_way_may_look_alike() {
        let mut run = Run::new();
        run.send(1, "same");
        run.all.begin(7, S, 20);
        run.receive(30, "same", false);
        assert!(run.told.is_empty());
        run.send(2, "same");
        let mut answers = Vec::new();
        run.all.end(7, &mut answers);
        run.note(answers);
        assert_eq!(run.told, ["overlap"]);
    }

    #[test]
    fn what_was_dropped_is_not_received() {
        let mut run = Run::new();
        run.all.dropped(Some((S, OpId(1))), R);
        run.send(1, "same");
        run.send(2, "same");
        run.receive(30, "same", true);
        assert_eq!(run.told, ["2:4 cut 0"]);
    }

    #[test]
    fn several_that_look_alike_are_unknown_where_order_is() {
        let mut run = Run::new();
        for (op, text) in [(1, "same"), (2, "same"), (3, "other")] {
            run.send(op, text);
        }
        run.receive(40, "same", false);
        run.receive(40, "other", false);
        assert_eq!(run.told, ["overlap", "3:5 cut 0"]);
        // The one in front of it may have been dropped unseen.
        let mut run = Run::new();
        for (op, text) in [(1, "first"), (2, "same"), (3, "same")] {
            run.send(op, text);
        }
        run.receive(40, "same", true);
        assert_eq!(run.told, ["overlap"]);
    }

    #[test]
    fn only_what_stays_on_the_machine_counts() {
        let far: SocketAddr = "192.0.2.1:20".parse().unwrap();
        let any: SocketAddr = "0.0.0.0:20".parse().unwrap();
        let group: SocketAddr = "239.1.1.1:20".parse().unwrap();
        assert!(arrives(address(20), any, address(10)) && arrives(group, any, address(10)));
        assert!(!arrives(far, any, address(10)) && !arrives(address(20), address(21), address(10)));
        assert!(arrives(far, any, "192.0.2.1:10".parse().unwrap()));
    }
}
