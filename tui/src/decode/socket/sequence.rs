//! One direction of a TCP connection, by the kernel's own count of its bytes.
//!
//! TCP counts the bytes it was given (`tcp_sock.write_seq`) and those that were read (`copied_seq`), from the same number
//! on both sides. A receive is told with the count at its first byte. A send is told with the counts from when it began
//! and when it was over: where nobody else was about, all bytes between are its own. What others are known to have put
//! between is taken off; if what is left is as long as the send, it is its place, whoever overlapped with whom.
//!
//! Invariants: a place is certain, or nobody's; so an origin is exact or absent, after a loss, too. Tested by the tables at
//! the end.

use std::collections::BTreeMap;

use crate::event::{FromUnknown, OpId, Origin};

use super::super::outbox::Place;
use super::flow::Answer;

/// Places, windows and receives kept; beyond, nobody reads what is sent, or records are missing.
const MOST: usize = 1 << 16;
/// Of what was read, so many sends are kept: a receive may be told after others that got later bytes, or look at them once
/// more.
const BEHIND: usize = 1024;
/// Sends that overlap and have no place yet.
const PENDING: usize = 256;

/// Who sent.
pub type Sender = (OpId, u32);

/// A send that may have put its bytes anywhere in these places.
#[derive(Clone, Debug)]
struct Window {
    sender: Sender,
    bytes: u64,
    free: Vec<(i64, i64)>,
}

/// The bytes that a receive got.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// The place of the first in the stream, if that was seen to begin.
    pub offset: Option<u64>,
    from: i64,
    to: i64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    place: Place,
    from: i64,
    to: i64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    /// A count and the place in the stream that it stands for.
    reference: Option<(u32, i64)>,
    /// The connection was seen to begin: places count from its first byte.
    fresh: bool,
    /// Where the first byte sent in the trace has its place, and the last.
    span: Option<(i64, i64)>,
    known: BTreeMap<i64, (i64, Sender)>,
    /// Behind the last byte that was read.
    read: i64,
    /// How many may be known before what was read long ago is dropped.
    room: usize,
    pending: Vec<Window>,
    waiting: Vec<Waiting>,
}

fn length(places: &[(i64, i64)]) -> u64 {
    places.iter().map(|(from, to)| to.abs_diff(*from)).sum()
}

fn without(places: &[(i64, i64)], (from, to): (i64, i64)) -> Vec<(i64, i64)> {
    let parts = places.iter().flat_map(|&(a, b)| [(a, b.min(from)), (a.max(to), b)]);
    parts.filter(|(a, b)| a < b).collect()
}

impl Sequence {
    /// One that begins with that count.
    pub fn begun(seq: u32) -> Self {
        Self { reference: Some((seq, 0)), fresh: true, ..Self::default() }
    }

    /// Sends that are remembered.
    pub fn sends(&self) -> usize {
        self.known.len()
    }

    /// Somebody in the trace has sent something.
    pub fn is_known(&self) -> bool {
        self.span.is_some()
    }

    /// Whether the byte with that count was sent in the trace, or is the first of all.
    pub fn has_place(&self, seq: u32) -> bool {
        let Some((count, place)) = self.reference else { return false };
        let place = place.saturating_add(i64::from(seq.wrapping_sub(count).cast_signed()));
        self.fresh && place == 0 || self.span.is_some_and(|(first, last)| (first..last).contains(&place))
    }

    fn place(&mut self, seq: u32) -> i64 {
        let (count, place) = *self.reference.get_or_insert((seq, 0));
        // Counts wrap around.
        let place = place.saturating_add(i64::from(seq.wrapping_sub(count).cast_signed()));
        self.reference = Some((seq, place));
        place
    }

    /// The place in the stream of a byte, if that was seen to begin.
    fn offset(&self, place: i64) -> Option<u64> {
        u64::try_from(place).ok().filter(|_| self.fresh)
    }

    /// It becomes known where in the stream the byte with that count is.
    pub fn begins(&mut self, seq: u32, offset: u64) {
        if self.fresh {
            return;
        }
        let by = i64::try_from(offset).unwrap_or(i64::MAX).saturating_sub(self.place(seq));
        let shift = |place: i64| place.saturating_add(by);
        self.fresh = true;
        self.reference = self.reference.map(|(count, place)| (count, shift(place)));
        self.span = self.span.map(|(from, to)| (shift(from), shift(to)));
        self.read = shift(self.read);
        let known = std::mem::take(&mut self.known);
        self.known = known.into_iter().map(|(from, (to, sender))| (shift(from), (shift(to), sender))).collect();
        for (from, to) in self.pending.iter_mut().flat_map(|window| &mut window.free) {
            (*from, *to) = (shift(*from), shift(*to));
        }
        for receive in &mut self.waiting {
            (receive.from, receive.to) = (shift(receive.from), shift(receive.to));
        }
    }

    /// A send is over, between two counts. Gives the place of its first byte.
    pub fn sent(&mut self, sender: Sender, seq: [u32; 2], bytes: u64) -> Option<u64> {
        let (from, to) = (self.place(seq[0]), self.place(seq[1]));
        if bytes == 0 || from >= to {
            return None;
        }
        let (first, last) = self.span.unwrap_or((from, to));
        self.span = Some((first.min(from), last.max(to)));
        let mut free = vec![(from, to)];
        for (&start, &(end, _)) in self.known.range(..to).rev() {
            free = without(&free, (start, end));
            if end <= from {
                break;
            }
        }
        self.pending.push(Window { sender, bytes, free });
        if self.pending.len() > PENDING {
            self.pending.remove(0);
        }
        self.settle();
        let own = self.known.range(from..to).find(|(_, (_, other))| other.0 == sender.0);
        own.and_then(|(&start, _)| u64::try_from(start).ok()).filter(|_| self.fresh)
    }

    /// Gives places to whom only one is left.
    fn settle(&mut self) {
        while let Some(at) = self.pending.iter().position(|window| length(&window.free) <= window.bytes) {
            let window = self.pending.swap_remove(at);
            if length(&window.free) < window.bytes {
                // More bytes than places: something is wrong with the counts.
                continue;
            }
            for place in window.free {
                for other in &mut self.pending {
                    other.free = without(&other.free, place);
                }
                self.known.insert(place.0, (place.1, window.sender));
            }
        }
        if self.known.len() >= self.room.max(2 * BEHIND) {
            let mut unread = self.known.split_off(&self.read);
            while self.known.len() > BEHIND {
                self.known.pop_first();
            }
            self.known.append(&mut unread);
            self.room = self.known.len().saturating_mul(2);
        }
        while self.known.len() > MOST {
            self.known.pop_first();
        }
    }

    /// A receive got bytes from that count on; `peek`: they stay where they are.
    pub fn offer(&mut self, seq: u32, bytes: u64, peek: bool) -> Ticket {
        let from = self.place(seq);
        let to = from.saturating_add_unsigned(bytes);
        if !peek {
            self.read = self.read.max(to);
        }
        Ticket { offset: self.offset(from), from, to }
    }

    /// It waits for who sent them.
    pub fn wait(&mut self, ticket: Ticket, place: Place) {
        self.waiting.push(Waiting { place, from: ticket.from, to: ticket.to });
        if self.waiting.len() > MOST {
            self.waiting.remove(0);
        }
    }

    /// Answers the receives that can be. `in_flight`: the only send under way; `obstacle`: why others may have sent.
    pub fn serve(&mut self, in_flight: Option<Sender>, obstacle: Option<FromUnknown>, answers: &mut Vec<Answer>) {
        let waiting = std::mem::take(&mut self.waiting);
        for receive in waiting {
            match self.origins(receive, in_flight, obstacle) {
                Some(of) => answers
                    .push(Answer { place: receive.place, of: of.map(|from| (from, self.offset(receive.from), 0)) }),
                None => self.waiting.push(receive),
            }
        }
    }

    fn origins(
        &self,
        receive: Waiting,
        in_flight: Option<Sender>,
        obstacle: Option<FromUnknown>,
    ) -> Option<Result<Vec<Origin>, FromUnknown>> {
        let mut origins: Vec<Origin> = Vec::new();
        let mut at = receive.from;
        while at < receive.to {
            let known = self.known.range(..=at).next_back().filter(|(_, (end, _))| *end > at);
            let (end, (op, pid)) = match known {
                Some((_, known)) => *known,
                None => match (obstacle, self.span, in_flight) {
                    (Some(why), ..) => return Some(Err(why)),
                    (None, Some((first, _)), _) if at < first && !self.fresh => {
                        return Some(Err(FromUnknown::BeforeStart));
                    }
                    // Behind all that is told, and only one has not told yet.
                    (None, span, Some(sender))
                        if self.pending.is_empty() && span.is_none_or(|(_, last)| at >= last) =>
                    {
                        (receive.to, sender)
                    }
                    _ => return None,
                },
            };
            let bytes = end.min(receive.to).abs_diff(at);
            match origins.last_mut().filter(|last| last.op == op) {
                Some(last) => last.bytes = last.bytes.saturating_add(bytes),
                None => origins.push(Origin { op, pid, host: None, bytes }),
            }
            at = end;
        }
        Some(Ok(origins))
    }

    /// Whoever still waits is not told any more.
    pub fn end(&mut self, why: FromUnknown, answers: &mut Vec<Answer>) {
        self.pending.clear();
        answers.extend(self.waiting.drain(..).map(|receive| Answer { place: receive.place, of: Err(why) }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::outbox::places;
    use super::*;

    fn place() -> Place {
        places(1).remove(0)
    }

    fn told(sequence: &mut Sequence, in_flight: Option<u64>, obstacle: Option<FromUnknown>) -> Vec<String> {
        let mut answers = Vec::new();
        sequence.serve(in_flight.map(|op| (OpId(op), 1)), obstacle, &mut answers);
        let words = answers.into_iter().map(|answer| match answer.of {
            Ok((from, ..)) => from.iter().map(|o| format!("{}:{}", o.op.0, o.bytes)).collect::<Vec<_>>().join(" "),
            Err(why) => why.name().to_owned(),
        });
        words.collect()
    }

    fn receive(sequence: &mut Sequence, seq: u32, bytes: u64) -> Option<u64> {
        let ticket = sequence.offer(seq, bytes, false);
        sequence.wait(ticket, place());
        ticket.offset
    }

    /// Sends by the counts they saw, then one receive of everything from `from` on.
    fn run(sends: &[(u32, u32, u64)], from: u32, bytes: u64) -> String {
        let first = sends.iter().map(|(begin, ..)| *begin).next().unwrap_or_default();
        let mut sequence = Sequence::begun(first);
        for (i, &(begin, end, bytes)) in sends.iter().enumerate() {
            sequence.sent((OpId(i as u64), 1), [begin, end], bytes);
        }
        receive(&mut sequence, from, bytes);
        told(&mut sequence, None, None).join(", ")
    }

    #[test]
    fn windows_say_who_was_where() {
        for (sends, from, bytes, expected) in [
            (&[(0, 10, 10), (0, 20, 10)][..], 0, 20, "0:10 1:10"),
            (&[(0, 30, 10), (0, 10, 10), (0, 20, 10)], 0, 30, "1:10 2:10 0:10"),
            // Both began and ended together.
            (&[(0, 20, 10), (0, 20, 10)], 0, 20, ""),
            (&[(0, 30, 10), (0, 30, 10), (0, 10, 10), (30, 35, 5)], 30, 5, "3:5"),
            // One in the middle of another.
            (&[(0, 30, 20), (10, 20, 10)], 5, 20, "0:5 1:10 0:5"),
            (&[(u32::MAX - 4, 5, 10), (5, 15, 10)], u32::MAX - 4, 20, "0:10 1:10"),
            // Somebody else put bytes in.
            (&[(0, 30, 10), (0, 10, 10)], 10, 20, ""),
            (&[(0, 30, 10), (0, 10, 10)], 0, 10, "1:10"),
        ] {
            assert_eq!(run(sends, from, bytes), expected, "{sends:?}");
        }
    }

    #[test]
    fn a_send_in_flight_has_what_is_behind_all_others() {
        let mut sequence = Sequence::begun(100);
        assert_eq!(sequence.sent((OpId(1), 1), [100, 110], 10), Some(0));
        assert_eq!(receive(&mut sequence, 105, 20), Some(5));
        assert_eq!(told(&mut sequence, None, None), Vec::<String>::new());
        assert_eq!(told(&mut sequence, Some(2), None), ["1:5 2:15"]);
        assert_eq!(sequence.sent((OpId(2), 1), [110, 200], 90), Some(10));
        receive(&mut sequence, 125, 75);
        assert_eq!(told(&mut sequence, None, None), ["2:75"]);
    }

    #[test]
    fn a_beginning_that_becomes_known_late_counts_for_what_was_before() {
        let mut sequence = Sequence::default();
        assert_eq!(receive(&mut sequence, 95, 10), None);
        sequence.begins(100, 10);
        assert_eq!(sequence.sent((OpId(1), 1), [90, 110], 20), Some(0));
        assert_eq!(told(&mut sequence, None, None), ["1:10"]);
        assert_eq!(receive(&mut sequence, 100, 5), Some(10));
        sequence.begins(100, 99);
        assert_eq!(receive(&mut sequence, 105, 5), Some(15), "it is known once");
    }

    #[test]
    fn what_was_read_long_ago_is_forgotten() {
        let mut sequence = Sequence::begun(0);
        let mut most = 0;
        for send in 0..100_000_u32 {
            sequence.sent((OpId(send.into()), 1), [send, send + 1], 1);
            receive(&mut sequence, send, 1);
            assert_eq!(told(&mut sequence, None, None), [format!("{send}:1")]);
            most = most.max(sequence.known.len());
        }
        assert!(most <= 2 * BEHIND + 1, "{most}");
        // One that is told late; one that is told too late is nobody's.
        receive(&mut sequence, 99_000, 1);
        assert_eq!(told(&mut sequence, None, None), ["99000:1"]);
        receive(&mut sequence, 90_000, 1);
        assert!(told(&mut sequence, None, None).is_empty());
        // What nobody reads stays, up to a limit.
        let mut unread = Sequence::begun(0);
        for send in 0..70_000_u32 {
            unread.sent((OpId(send.into()), 1), [send, send + 1], 1);
        }
        assert_eq!(unread.known.len(), MOST);
    }

    #[test]
    fn a_byte_that_was_sent_has_a_place() {
        let mut begun = Sequence::begun(u32::MAX);
        assert_eq!([u32::MAX, 0, 5].map(|seq| begun.has_place(seq)), [true, false, false]);
        begun.sent((OpId(1), 1), [u32::MAX, 5], 6);
        assert_eq!([u32::MAX - 1, u32::MAX, 0, 4, 5].map(|seq| begun.has_place(seq)), [false, true, true, true, false]);
        let mut later = Sequence::default();
        assert!(!later.has_place(0));
        later.sent((OpId(1), 1), [100, 110], 10);
        assert_eq!([99, 100, 109, 110].map(|seq| later.has_place(seq)), [false, true, true, false]);
    }

    #[test]
    fn what_others_sent_is_theirs() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.sent((OpId(1), 1), [100, 110], 10), None);
        receive(&mut sequence, 90, 20);
        assert_eq!(told(&mut sequence, None, None), ["before-start"]);
        receive(&mut sequence, 100, 20);
        assert_eq!(told(&mut sequence, None, Some(FromUnknown::External)), ["external"]);
        receive(&mut sequence, 100, 10);
        assert_eq!(told(&mut sequence, None, Some(FromUnknown::External)), ["1:10"]);
    }
}
