//! Which datagram is which, as a table of sends and receives.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::super::outbox::Outbox;
use super::*;
use crate::event::{Event, Kind, Lost, Nanos};

const S: Key = (1, 10);
const R: Key = (1, 20);

fn place() -> Place {
    let lost = Lost { count: 0, class: String::new(), t_from: Nanos(0), t_to: Nanos(0) };
    let event = Event { t: Nanos(0), seq: 0, task: None, comm: None, ns_pid: None, host: None, kind: Kind::Lost(lost) };
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

    /// One in which these were sent.
    fn of(sent: &[(u64, &str)]) -> Self {
        let mut run = Self::new();
        for (op, text) in sent {
            run.send(*op, text);
        }
        run
    }

    fn note(&mut self, answers: Vec<Answer>) {
        self.told.extend(answers.into_iter().map(|(_, of)| match of {
            Ok(Known { origin, cut, arrival }) => {
                let arrival = arrival.map(|arrival| format!(" {}", arrival.name())).unwrap_or_default();
                format!("{}:{} cut {cut}{arrival}", origin.op.0, origin.bytes)
            }
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

    fn end(&mut self, tid: u32) {
        let mut answers = Vec::new();
        self.all.end(tid, &mut answers);
        self.note(answers);
    }

    fn receive(&mut self, time: u64, text: &str, alone: bool) {
        let payload = text.as_bytes().to_vec();
        let (from, at, bytes) = (address(10), address(20), payload.len() as u64);
        let received = Received { place: place(), time, from, at, bytes, room: 9, payload, peek: false, alone };
        let mut answers = Vec::new();
        self.all.received(vec![S], R, 0, received, &mut answers);
        self.note(answers);
    }
}

#[test]
fn the_next_one_sent_is_the_next_one_received() {
    let mut run = Run::of(&[(1, "same"), (2, "same")]);
    run.receive(30, "same", true);
    run.receive(30, "same", true);
    // Its send has not returned yet.
    run.all.begin(7, S, 30);
    run.receive(40, "same", true);
    assert_eq!(run.told, ["1:4 cut 0", "2:4 cut 0"]);
    run.send(3, "same");
    run.end(7);
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
    run.end(7);
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
    let mut run = Run::of(&[(1, "same"), (2, "same"), (3, "other")]);
    run.receive(40, "same", false);
    run.receive(40, "other", false);
    assert_eq!(run.told, ["overlap", "3:5 cut 0"]);
    // The one in front of it may have been dropped unseen.
    let mut run = Run::of(&[(1, "first"), (2, "same"), (3, "same")]);
    run.receive(40, "same", true);
    assert_eq!(run.told, ["overlap"]);
}

#[test]
fn one_that_comes_late_or_twice_is_told_so() {
    let mut run = Run::of(&[(1, "one"), (2, "two"), (3, "three")]);
    for text in ["one", "three", "two", "three"] {
        run.receive(40, text, true);
    }
    assert_eq!(run.told.split_off(0), ["1:3 cut 0", "3:5 cut 0", "2:3 cut 0 reordered", "3:5 cut 0 duplicate"]);
    // Of several readers, who came first is not known. What is being sent may have the same bytes.
    let mut run = Run::of(&[(1, "one"), (2, "two")]);
    run.receive(40, "two", false);
    run.receive(40, "one", false);
    run.all.begin(7, S, 30);
    run.receive(40, "one", false);
    assert_eq!(run.told.split_off(0), ["2:3 cut 0", "1:3 cut 0"]);
    run.send(3, "one");
    run.end(7);
    assert_eq!(run.told.split_off(0), ["3:3 cut 0"]);
    // One that looks like two of them.
    run.receive(50, "one", false);
    assert_eq!(run.told.split_off(0), ["overlap"]);
    // Where some came twice, one that looks like an earlier one may be that again.
    run.send(4, "two");
    run.send(5, "five");
    run.receive(60, "two", false);
    run.receive(60, "five", false);
    assert_eq!(run.told, ["overlap", "5:4 cut 0"]);
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
