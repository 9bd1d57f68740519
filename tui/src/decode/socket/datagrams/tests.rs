//! Which datagram is which, as a table of sends and receives.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;

use super::super::super::outbox::places;
use super::{datagram::arrives, *};

const S: Key = (1, 10);
const R: Key = (1, 20);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// What one who asks for the source gets.
fn received(time: u64, text: &str) -> Received {
    let payload = text.as_bytes().to_vec();
    Received {
        place: places(1).remove(0),
        time,
        from: Some(address(10)),
        at: address(20),
        bytes: payload.len() as u64,
        room: 9,
        payload,
        peek: false,
        alone: true,
        queued: false,
        born: true,
    }
}

struct Run {
    all: Datagrams,
    /// Calls send more than is told.
    partial: bool,
    told: Vec<String>,
}

impl Run {
    fn new() -> Self {
        Self { all: Datagrams::default(), partial: false, told: Vec::new() }
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
        self.send_until(op, text, op * 10 + 5);
    }

    fn send_until(&mut self, op: u64, text: &str, returned: u64) {
        let payload = text.as_bytes().to_vec();
        let bytes = payload.len() as u64;
        let (from, to) = (address(10), address(20));
        let entered = op * 10;
        let sent = Sent { op: OpId(op), pid: 1, entered, returned, from, to, bytes, payload, partial: self.partial };
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
        let received = received(time, text);
        self.receive_this(Ok(vec![S]), Received { alone, ..received });
    }

    fn receive_this(&mut self, senders: Senders, received: Received) {
        let mut answers = Vec::new();
        self.all.received(senders, R, 0, received, &mut answers);
        self.note(answers);
    }

    /// The first in the queue was received by somebody who did not ask for the source.
    fn receive_first(&mut self, time: u64, text: &str) {
        let received = received(time, text);
        self.receive_this(Err(FromUnknown::Overlap), Received { from: None, queued: true, ..received });
    }

    /// A call is sending.
    fn begin(&mut self, op: u64) {
        self.all.begin(op as u32, (S, OpId(op)), op * 10);
    }

    /// What it sends is put into the queue.
    fn come(&mut self, op: u64, time: u64, own: bool) {
        let mut answers = Vec::new();
        self.all.came(R, time, Some((op as u32, op * 10)), own, &mut answers);
        self.note(answers);
    }

    /// It is over.
    fn sent(&mut self, op: u64, text: &str) {
        self.send_until(op, text, op * 10 + 15);
        self.end(op as u32);
    }
}

#[test]
fn the_next_one_sent_is_the_next_one_received() {
    let mut run = Run::of(&[(1, "same"), (2, "same")]);
    run.receive(30, "same", true);
    run.receive(30, "same", true);
    // Its send has not returned yet.
    run.all.begin(7, (S, OpId(9)), 30);
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
    run.all.begin(7, (S, OpId(9)), 20);
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
    run.all.begin(7, (S, OpId(9)), 30);
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
fn the_first_in_the_queue_is_received_whatever_it_looks_like() {
    let mut run = Run::new();
    for op in [1, 2] {
        run.begin(op);
    }
    run.come(2, 23, true);
    run.come(1, 24, true);
    run.receive_first(25, "same");
    run.receive_first(26, "same");
    // What is still being sent may have been in front.
    assert!(run.told.is_empty());
    run.sent(1, "same");
    run.sent(2, "same");
    assert_eq!(run.told.split_off(0), ["2:4 cut 0", "1:4 cut 0"]);
    // One that stays is received again.
    run.begin(3);
    run.come(3, 31, true);
    run.sent(3, "three");
    let received = received(40, "three");
    run.receive_this(Err(FromUnknown::Overlap), Received { from: None, queued: true, peek: true, ..received });
    run.receive_first(41, "three");
    assert_eq!(run.told, ["3:5 cut 0", "3:5 cut 0"]);
}

#[test]
fn what_the_queue_tells_late_is_known_by_its_bytes_or_not_at_all() {
    // Two were put there at the same moment, one was told of as the last.
    for (texts, told) in [(["same", "same"], ["overlap", "overlap"]), (["one", "two"], ["2:3 cut 0", "1:3 cut 0"])] {
        let mut run = Run::new();
        for op in [1, 2] {
            run.begin(op);
        }
        run.come(1, 23, true);
        run.come(2, 24, false);
        for (op, text) in [1, 2].into_iter().zip(texts) {
            run.sent(op, text);
        }
        for text in texts.into_iter().rev() {
            let received = received(30, text);
            run.receive_this(Ok(vec![S]), Received { queued: true, ..received });
        }
        assert_eq!(run.told.split_off(0), told);
        // And then it is known again.
        run.begin(4);
        run.come(4, 42, true);
        run.sent(4, "same");
        run.receive_first(50, "same");
        assert_eq!(run.told, ["4:4 cut 0"]);
    }
}

#[test]
fn what_came_unseen_is_over_when_the_queue_was_empty() {
    let mut run = Run::new();
    run.begin(1);
    run.come(1, 11, true);
    run.sent(1, "same");
    let received = received(20, "same");
    run.receive_this(Err(FromUnknown::Overlap), Received { from: None, queued: true, born: false, ..received });
    run.all.empty(R, 25);
    run.begin(3);
    run.come(3, 31, true);
    run.sent(3, "same");
    run.receive_first(40, "same");
    assert_eq!(run.told, ["overlap", "3:4 cut 0"]);
    // Records are missing.
    run.begin(5);
    run.come(5, 51, true);
    run.sent(5, "same");
    run.all.lost();
    run.receive_first(60, "same");
    assert_eq!(run.told.split_off(2), ["overlap"]);
}

#[test]
fn one_that_came_twice_by_the_queue_is_a_duplicate() {
    let mut run = Run::new();
    for op in [1, 2] {
        run.begin(op);
        run.come(op, op * 10 + 1, true);
        run.come(op, op * 10 + 2, true);
        run.sent(op, "same");
    }
    (0..4).for_each(|_| run.receive_first(40, "same"));
    assert_eq!(run.told, ["1:4 cut 0", "1:4 cut 0 duplicate", "2:4 cut 0", "2:4 cut 0 duplicate"]);
}

#[test]
fn one_that_was_received_before_it_was_looked_at_is_the_only_one_it_can_be() {
    let mut run = Run::new();
    run.begin(1);
    run.come(1, 11, false);
    run.sent(1, "same");
    run.receive_first(25, "same");
    assert_eq!(run.told.split_off(0), ["1:4 cut 0"]);
    // One like it, which is not seen to come, may have been kept back until then.
    run.begin(3);
    run.sent(3, "same");
    run.begin(5);
    run.come(5, 51, false);
    run.sent(5, "same");
    run.receive_first(60, "same");
    assert_eq!(run.told, ["overlap"]);
}

#[test]
fn what_a_call_sends_untold_is_no_duplicate() {
    let mut run = Run::new();
    run.partial = true;
    run.begin(1);
    (11..=13).for_each(|time| run.come(1, time, true));
    run.sent(1, "same");
    run.partial = false;
    run.begin(3);
    run.come(3, 31, true);
    run.sent(3, "same");
    for text in ["same", "same", "other", "same"] {
        run.receive_first(40, text);
    }
    assert_eq!(run.told, ["1:4 cut 0", "overlap", "overlap", "3:4 cut 0"]);
}

#[test]
fn who_reads_first_of_several_is_not_known() {
    let mut run = Run::new();
    run.begin(1);
    run.come(1, 11, true);
    run.sent(1, "same");
    run.all.went(R);
    run.receive_first(40, "same");
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

#[test]
fn after_a_loss_nothing_is_taken_for_what_was_before() {
    let mut run = Run::of(&[(1, "a"), (2, "b")]);
    run.receive(100, "a", true);
    run.receive(101, "b", true);
    run.all.lost();
    run.send(20, "a");
    run.receive(300, "a", true);
    assert_eq!(run.told, ["1:1 cut 0", "2:1 cut 0", "20:1 cut 0"]);
}

#[test]
fn what_was_received_is_passed_over() {
    let mut run = Run::new();
    for op in 0..1000 {
        run.send(op, "a");
        run.receive(op * 10 + 9, "a", true);
    }
    let pair = run.all.pairs.get(&(S, R)).unwrap();
    assert_eq!((pair.done, run.told.len()), (1000, 1000));
    assert_eq!(run.told.last().unwrap(), "999:1 cut 0");
}
