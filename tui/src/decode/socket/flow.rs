//! What goes from one socket to another: bytes in a stream, or messages one after the other.
//!
//! Clusters of sends ([`super::lane`]) go in, clusters of receives come out, both in the order of the kernel's queue. What
//! lies within a cluster of several has no known order: whoever gets bytes of it is told that sends overlapped.
//!
//! Invariants: a receive is answered once; an origin is exact or absent; what is unknown stays so until the queue has been
//! seen empty with nobody sending. Tested by the tables at the end and by the live tests.

use std::collections::VecDeque;

use crate::event::{FromUnknown, OpId, Origin};

use super::super::outbox::Place;

/// Sends or receives that wait for the other side; beyond, records of that side must be missing.
const MOST: usize = 1 << 16;

/// A send that moved bytes, or a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The call.
    pub op: OpId,
    /// Its process.
    pub pid: u32,
    /// Bytes.
    pub bytes: u64,
    /// When it was entered.
    pub entered: u64,
}

/// A receive that got bytes, or a message.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its event; `None`: it is told already.
    pub place: Option<Place>,
    /// Bytes.
    pub bytes: u64,
    /// They stayed.
    pub peek: bool,
    /// Bytes in front of them that were passed over; only if they stayed.
    pub skipped: u64,
}

/// What is known of a receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its event.
    pub place: Place,
    /// Whose bytes, their place in the stream, and how many of the message were cut off.
    pub of: Result<(Vec<Origin>, Option<u64>, u64), FromUnknown>,
}

/// In the queue: bytes of one send, or of several in no known order.
#[derive(Clone, Copy, Debug)]
struct Segment {
    sender: Option<(OpId, u32)>,
    bytes: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Flow {
    messages: bool,
    segments: VecDeque<Segment>,
    waiting: VecDeque<Vec<Received>>,
    /// Bytes that receives already have of the send in flight.
    ahead: u64,
    /// Place in the stream of the next byte sent, and received.
    put: Option<u64>,
    got: Option<u64>,
    /// Nothing can be said.
    unknown: Option<FromUnknown>,
    /// Not even when it has been seen empty.
    for_good: bool,
    /// When it was last seen empty, while unknown.
    empty_at: Option<u64>,
    /// When the last send was over.
    last_sent: u64,
    /// The connecting socket's inode number: tells connections of one address apart.
    pub tag: u64,
}

impl Flow {
    /// A new one: from its beginning, or with something in it that is unknown.
    pub fn new(messages: bool, tag: u64, unknown: Option<FromUnknown>) -> Self {
        let start = unknown.is_none().then_some(0);
        Self {
            messages,
            segments: VecDeque::new(),
            waiting: VecDeque::new(),
            ahead: 0,
            put: start,
            got: start,
            unknown,
            for_good: false,
            empty_at: None,
            last_sent: 0,
            tag,
        }
    }

    /// Not even when it has been seen empty can anything be said.
    pub fn is_lost_for_good(&self) -> bool {
        self.for_good
    }

    /// Sends that are over by `time`, in one cluster. Gives the place in the stream of the first byte.
    pub fn sent(&mut self, time: u64, sends: &[Sent]) -> Option<u64> {
        self.last_sent = time;
        let began = sends.iter().map(|sent| sent.entered).min()?;
        let bytes = sends.iter().fold(0, |sum: u64, sent| sum.saturating_add(sent.bytes));
        let offset = self.put.filter(|_| sends.len() == 1);
        self.put = self.put.map(|put| put.saturating_add(bytes));
        if self.unknown.is_some() {
            if self.for_good || self.empty_at.take().is_none_or(|empty| empty >= began) {
                return None;
            }
            (self.unknown, self.empty_at, self.ahead) = (None, None, 0);
        }
        let sender = |sent: &Sent| (sends.len() == 1).then_some((sent.op, sent.pid));
        if self.messages {
            self.segments.extend(sends.iter().map(|sent| Segment { sender: sender(sent), bytes: sent.bytes }));
        } else if let Some(left) = bytes.checked_sub(std::mem::take(&mut self.ahead)) {
            if left > 0 {
                self.segments.push_back(Segment { sender: sends.first().and_then(sender), bytes: left });
            }
        } else {
            // Receives got more than was sent: sends are missing.
            self.lose(FromUnknown::Lost, false);
        }
        if self.segments.len() > MOST {
            self.lose(FromUnknown::Lost, false);
        }
        offset
    }

    /// Receives that are over, in one cluster.
    pub fn received(&mut self, receives: Vec<Received>) {
        self.empty_at = None;
        if self.waiting.len() > MOST {
            self.lose(FromUnknown::Lost, false);
        }
        self.waiting.push_back(receives);
    }

    /// Nothing was in it at some moment between the two.
    pub fn empty(&mut self, from: u64, to: u64) {
        if self.unknown.is_some() && self.last_sent < from && self.waiting.is_empty() {
            self.empty_at = Some(to);
        }
    }

    /// It is over: whoever still waits is not told any more.
    pub fn end(&mut self, answers: &mut Vec<Answer>) {
        self.lose(FromUnknown::Lost, true);
        self.serve(None, answers);
    }

    /// Nothing can be said from here on; `for_good`: not even when it has been seen empty.
    pub fn lose(&mut self, why: FromUnknown, for_good: bool) {
        self.unknown.get_or_insert(why);
        self.for_good |= for_good;
        self.segments.clear();
        (self.put, self.got, self.ahead, self.empty_at) = (None, None, 0, None);
    }

    /// Answers the receives that can be, in order. `in_flight`: the only send under way.
    pub fn serve(&mut self, in_flight: Option<(OpId, u32)>, answers: &mut Vec<Answer>) {
        while let Some(first) = self.waiting.front() {
            let cluster = first.clone();
            if let Some(why) = self.unknown {
                let places = cluster.into_iter().filter_map(|receive| receive.place);
                answers.extend(places.map(|place| Answer { place, of: Err(why) }));
            } else if self.messages {
                if self.segments.len() < cluster.iter().filter(|r| !r.peek).count().max(1) {
                    return;
                }
                self.take_messages(&cluster, answers);
            } else if !self.take_bytes(&cluster, in_flight, answers) {
                return;
            }
            self.waiting.pop_front();
        }
    }

    fn take_messages(&mut self, cluster: &[Received], answers: &mut Vec<Answer>) {
        for receive in cluster {
            let segment = if receive.peek { self.segments.front().copied() } else { self.segments.pop_front() };
            // How many messages were passed over is not known.
            let is_first = cluster.len() == 1 && receive.skipped == 0;
            let sender = segment.and_then(|segment| segment.sender).filter(|_| is_first);
            let of = match (sender, segment) {
                (Some((op, pid)), Some(segment)) => {
                    let cut = segment.bytes.saturating_sub(receive.bytes);
                    Ok((vec![Origin { op, pid, host: None, bytes: receive.bytes }], None, cut))
                }
                _ => Err(FromUnknown::Overlap),
            };
            answers.extend(receive.place.map(|place| Answer { place, of }));
        }
    }

    /// Whether all their bytes are there.
    fn take_bytes(&mut self, cluster: &[Received], flying: Option<(OpId, u32)>, answers: &mut Vec<Answer>) -> bool {
        let alone = cluster.len() == 1;
        let peek = alone && cluster.iter().any(|receive| receive.peek);
        let wanted: u64 = cluster.iter().filter(|r| peek || !r.peek).fold(0, |sum, r| sum.saturating_add(r.bytes));
        let mut skipped = if peek { cluster.iter().fold(0, |sum, receive| sum.max(receive.skipped)) } else { 0 };
        let there = self.segments.iter().fold(0, |sum: u64, segment| sum.saturating_add(segment.bytes));
        let missing = wanted.saturating_sub(there.saturating_sub(skipped));
        if missing > 0 && flying.is_none() {
            return false;
        }
        let offset = self.got.filter(|_| alone).map(|got| got.saturating_add(skipped));
        let mut parts: Vec<Segment> = Vec::new();
        let mut left = wanted - missing;
        for segment in &self.segments {
            let over = segment.bytes.min(skipped);
            skipped -= over;
            let run = (segment.bytes - over).min(left);
            if run > 0 {
                parts.push(Segment { sender: segment.sender, bytes: run });
            }
            left -= run;
        }
        if missing > 0 {
            parts.push(Segment { sender: flying, bytes: missing });
        }
        if !peek {
            self.take(wanted - missing);
            self.ahead = self.ahead.saturating_add(missing);
            self.got = self.got.map(|got| got.saturating_add(wanted));
        }
        for receive in cluster {
            let answer = |place| Answer { place, of: origins(&parts, receive, alone, offset) };
            answers.extend(receive.place.map(answer));
        }
        true
    }

    fn take(&mut self, bytes: u64) {
        let mut left = bytes;
        while let Some(segment) = self.segments.front_mut().filter(|_| left > 0) {
            let run = segment.bytes.min(left);
            segment.bytes -= run;
            left -= run;
            if segment.bytes == 0 {
                self.segments.pop_front();
            }
        }
    }
}

/// Whose bytes a receive got, where its cluster got these.
fn origins(
    parts: &[Segment],
    receive: &Received,
    alone: bool,
    offset: Option<u64>,
) -> Result<(Vec<Origin>, Option<u64>, u64), FromUnknown> {
    let mut origins: Vec<Origin> = Vec::new();
    for part in parts {
        let (op, pid) = part.sender.ok_or(FromUnknown::Overlap)?;
        match origins.last_mut().filter(|last| last.op == op) {
            Some(last) => last.bytes += part.bytes,
            None => origins.push(Origin { op, pid, host: None, bytes: part.bytes }),
        }
    }
    match origins.as_mut_slice() {
        // Several share the bytes of one send: whoever came first, they are its.
        [one] if !alone => one.bytes = receive.bytes,
        _ if !alone => return Err(FromUnknown::Overlap),
        _ => {}
    }
    Ok((origins, offset, 0))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]

    use super::super::super::outbox::places;
    use super::*;

    fn sent(op: u64, bytes: u64) -> Sent {
        Sent { op: OpId(op), pid: op as u32, bytes, entered: op * 10 }
    }

    fn told(flow: &mut Flow, flying: Option<(OpId, u32)>) -> Vec<String> {
        let mut answers = Vec::new();
        flow.serve(flying, &mut answers);
        let words = answers.into_iter().map(|answer| match answer.of {
            Ok((from, offset, cut)) => {
                let from: Vec<_> = from.iter().map(|o| format!("{}:{}", o.op.0, o.bytes)).collect();
                format!("{} at {offset:?} cut {cut}", from.join(" "))
            }
            Err(why) => why.name().to_owned(),
        });
        words.collect()
    }

    fn receive(place: Place, bytes: u64) -> Received {
        Received { place: Some(place), bytes, peek: false, skipped: 0 }
    }

    #[test]
    fn the_kth_byte_in_is_the_kth_byte_out() {
        let mut flow = Flow::new(false, 0, None);
        let p = places(4);
        assert_eq!(flow.sent(1, &[sent(1, 3)]), Some(0));
        flow.received(vec![Received { peek: true, ..receive(p[0], 2) }]);
        flow.received(vec![receive(p[1], 2)]);
        flow.received(vec![receive(p[2], 5)]);
        assert_eq!(told(&mut flow, None), ["1:2 at Some(0) cut 0", "1:2 at Some(0) cut 0"]);
        assert_eq!(flow.sent(1, &[sent(2, 4)]), Some(3));
        assert_eq!(told(&mut flow, None), ["1:1 2:4 at Some(2) cut 0"]);
    }

    #[test]
    fn a_send_in_flight_serves_and_is_not_counted_twice() {
        let mut flow = Flow::new(false, 0, None);
        let p = places(2);
        flow.received(vec![receive(p[0], 6)]);
        assert_eq!(told(&mut flow, Some((OpId(1), 1))), ["1:6 at Some(0) cut 0"]);
        flow.sent(1, &[sent(1, 10)]);
        flow.received(vec![receive(p[1], 4)]);
        assert_eq!(told(&mut flow, None), ["1:4 at Some(6) cut 0"]);
    }

    #[test]
    fn what_overlaps_is_unknown_and_only_that() {
        let mut flow = Flow::new(false, 0, None);
        let p = places(5);
        flow.sent(1, &[sent(1, 3), sent(2, 3)]);
        flow.sent(1, &[sent(3, 4)]);
        flow.received(vec![receive(p[0], 6)]);
        flow.received(vec![receive(p[1], 1), receive(p[2], 1)]);
        flow.received(vec![receive(p[3], 2)]);
        let expected = ["overlap", "3:1 at None cut 0", "3:1 at None cut 0", "3:2 at Some(8) cut 0"];
        assert_eq!(told(&mut flow, None), expected);
    }

    #[test]
    fn who_peeks_may_pass_over_what_is_in_front() {
        let mut flow = Flow::new(false, 0, None);
        let p = places(3);
        flow.sent(1, &[sent(1, 3)]);
        flow.sent(1, &[sent(2, 3)]);
        flow.received(vec![Received { peek: true, skipped: 2, ..receive(p[0], 3) }]);
        flow.received(vec![Received { peek: true, skipped: 4, ..receive(p[1], 2) }]);
        flow.received(vec![receive(p[2], 4)]);
        let expected = ["1:1 2:2 at Some(2) cut 0", "2:2 at Some(4) cut 0", "1:3 2:1 at Some(0) cut 0"];
        assert_eq!(told(&mut flow, None), expected);
        let mut flow = Flow::new(true, 0, None);
        flow.sent(1, &[sent(1, 3)]);
        flow.sent(1, &[sent(2, 3)]);
        flow.received(vec![Received { peek: true, skipped: 3, ..receive(p[0], 3) }]);
        flow.received(vec![receive(p[1], 3)]);
        assert_eq!(told(&mut flow, None), ["overlap", "1:3 at None cut 0"]);
    }

    #[test]
    fn messages_keep_their_bounds() {
        let mut flow = Flow::new(true, 0, None);
        let p = places(3);
        flow.sent(1, &[sent(1, 0)]);
        flow.sent(1, &[sent(2, 9)]);
        flow.received(vec![receive(p[0], 0)]);
        flow.received(vec![receive(p[1], 4)]);
        assert_eq!(told(&mut flow, None), ["1:0 at None cut 0", "2:4 at None cut 5"]);
    }

    #[test]
    fn what_was_there_before_is_unknown_until_it_is_seen_empty() {
        let mut flow = Flow::new(false, 0, Some(FromUnknown::BeforeStart));
        let p = places(3);
        flow.sent(1, &[sent(1, 3)]);
        flow.received(vec![receive(p[0], 3)]);
        flow.empty(12, 15);
        assert_eq!(told(&mut flow, None), ["before-start"]);
        flow.sent(1, &[sent(1, 3)]);
        flow.received(vec![receive(p[1], 3)]);
        assert_eq!(told(&mut flow, None), ["before-start"]);
        flow.empty(12, 15);
        flow.sent(1, &[sent(2, 3)]);
        flow.received(vec![receive(p[2], 3)]);
        assert_eq!(told(&mut flow, None), ["2:3 at None cut 0"]);
    }
}
