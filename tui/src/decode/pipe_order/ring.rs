//! The buffers of a pipe and what one section under its mutex does to them.
//!
//! Kernel: fs/pipe.c `pipe_write` and `pipe_read`, the same in these respects from 5.15 to 7.x. `(head, end of the
//! newest buffer)` and `(tail, start of the oldest)` only ever grow, whoever acts: a state that lies beyond a later
//! observation can be dropped, and any effect at all changes the position. Tested by the tables at the end and, as a
//! whole, against the simulator.

use super::{Layout, Position, Side};

/// Bytes of a buffer.
pub(super) const PAGE: u32 = 4096;

/// A buffer in use: bytes `start..end` of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    start: u32,
    end: u32,
    can_merge: bool,
    packet: bool,
}

impl Slot {
    fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }
}

/// The coordinates that are known of a state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// The head, and the end of the newest buffer.
    head: Option<(u32, u32)>,
    /// The tail, and the start of the oldest buffer.
    tail: Option<(u32, Option<u32>)>,
}

impl Seen {
    /// All of them.
    pub(super) fn exactly(position: Position) -> Self {
        Self::unchanged(&position, &position)
    }

    /// Those that were the same before and after: they only grow, so they were the same in between. A section that
    /// began or ended in between had no effect on them; one that goes on beyond both ends may have, unseen.
    pub(super) fn unchanged(before: &Position, after: &Position) -> Self {
        let head = (before.head, before.write_end);
        let tail = (before.tail, before.read_offset);
        Self {
            head: (head == (after.head, after.write_end)).then_some(head),
            tail: (tail == (after.tail, after.read_offset)).then_some((tail.0, Some(tail.1))),
        }
    }

    /// Where the writing side stood before it moved on, unless a read may have been at the newest buffer meanwhile: it
    /// moves the start before it takes the length back.
    pub(super) fn passed(before: &Position, after: &Position) -> Option<Self> {
        let (was, is) = ((before.head, before.write_end), (after.head, after.write_end));
        let untouched = (2..1 << 31).contains(&before.head.wrapping_sub(after.tail));
        let grew = before.head != after.head || before.write_end < after.write_end;
        (was != is && grew && untouched).then_some(Self { head: Some(was), tail: None })
    }

    /// Its head.
    pub(super) fn head(&self) -> Option<u32> {
        self.head.map(|(head, _)| head)
    }

    /// It was seen, and with that head.
    pub(super) fn has_head(&self, head: Option<u32>) -> bool {
        self.head.is_some() && self.head() == head
    }

    /// Only what is known of one side.
    pub(super) fn only(self, side: Side) -> Self {
        match side {
            Side::Read => Self { head: None, ..self },
            Side::Write => Self { tail: None, ..self },
        }
    }

    /// Without the start of the oldest buffer.
    pub(super) fn without_start(self) -> Self {
        Self { tail: self.tail.map(|(tail, _)| (tail, None)), ..self }
    }

    /// Anything is known at all.
    pub(super) fn is_any(&self) -> bool {
        self.head.is_some() || self.tail.is_some()
    }

    /// Head and tail are known.
    pub(super) fn is_all(&self) -> bool {
        self.head.is_some() && self.tail.is_some()
    }

    /// Where this side stands is known.
    pub(super) fn sees(&self, side: Side) -> bool {
        match side {
            Side::Read => self.tail.is_some(),
            Side::Write => self.head.is_some(),
        }
    }

    /// The head (and tail) of a pipe that was seen empty.
    pub(super) fn empty(&self) -> Option<u32> {
        let (Some((head, _)), Some((tail, _))) = (self.head, self.tail) else {
            return None;
        };
        (head == tail).then_some(head)
    }
}

/// What a read took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Bytes returned to the caller.
    pub(super) got: u64,
    /// Bytes of a packet that did not fit and are gone.
    pub(super) discarded: u64,
}

/// The state of a pipe between two sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    head: u32,
    tail: u32,
    slots: Vec<Slot>,
}

impl Ring {
    /// An empty pipe with this head.
    pub(super) fn empty(head: u32) -> Self {
        Self { head, tail: head, slots: Vec::new() }
    }

    /// The buffers as they were read; `None` if they contradict the positions.
    pub(super) fn from_layout(layout: &Layout) -> Option<Self> {
        if layout.head.wrapping_sub(layout.tail) as usize != layout.buffers.len() {
            return None;
        }
        let slots = layout.buffers.iter().map(|b| {
            let end = b.offset.checked_add(b.len)?;
            Some(Slot { start: b.offset, end, can_merge: b.can_merge, packet: b.packet })
        });
        Some(Self { head: layout.head, tail: layout.tail, slots: slots.collect::<Option<_>>()? })
    }

    /// Bytes queued.
    pub(super) fn bytes(&self) -> u64 {
        self.slots.iter().map(|slot| u64::from(slot.len())).sum()
    }

    /// No buffer is in use.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The same buffers hold the same stretches (flags aside).
    pub(super) fn same_place(&self, other: &Self) -> bool {
        self.head == other.head
            && self.tail == other.tail
            && self.slots.iter().map(|s| (s.start, s.end)).eq(other.slots.iter().map(|s| (s.start, s.end)))
    }

    /// Some buffers are packets.
    pub(super) fn has_packets(&self) -> bool {
        self.slots.iter().any(|slot| slot.packet)
    }

    /// What a stable sample of this state would show.
    pub(super) fn position(&self) -> Position {
        Position {
            head: self.head,
            tail: self.tail,
            write_end: self.slots.last().map_or(0, |newest| newest.end),
            read_offset: self.slots.first().map_or(0, |oldest| oldest.start),
        }
    }

    /// This state shows what was seen. A read that drops the rest of a packet moves the packet's end.
    pub(super) fn is_at(&self, seen: &Seen) -> bool {
        seen.head.is_none_or(|(head, end)| {
            self.head == head && self.slots.last().is_none_or(|newest| newest.packet || newest.end == end)
        }) && seen.tail.is_none_or(|(tail, start)| {
            self.tail == tail && self.slots.first().is_none_or(|oldest| start.is_none_or(|start| oldest.start == start))
        })
    }

    /// More has happened to this state than to the one seen: it can never become it.
    pub(super) fn is_beyond(&self, seen: &Seen) -> bool {
        let past = |ours: u32, theirs: u32| (1..1 << 31).contains(&ours.wrapping_sub(theirs));
        // The end of a buffer that was used up may be lost; its start is not told.
        let empty = seen.empty().is_some();
        seen.head.is_some_and(|(head, end)| {
            past(self.head, head)
                || (!empty
                    && self.head == head
                    && self.slots.last().is_some_and(|newest| !newest.packet && newest.end > end))
        }) || seen.tail.is_some_and(|(tail, start)| {
            past(self.tail, tail)
                || (!empty
                    && self.tail == tail
                    && self.slots.first().is_some_and(|oldest| Some(oldest.start) > start && start.is_some()))
        })
    }

    /// A write of `total` bytes that takes the mutex for the first time finds no room for a single byte.
    pub(super) fn refuses(&self, total: u64, max_usage: u32) -> bool {
        self.is_full(max_usage) && self.mergeable(total).is_none()
    }

    /// Slots that are not in use.
    pub(super) fn room(&self, max_usage: u32) -> u64 {
        u64::from(max_usage).saturating_sub(self.slots.len() as u64)
    }

    /// All slots are in use.
    pub(super) fn is_full(&self, max_usage: u32) -> bool {
        self.slots.len() >= max_usage as usize
    }

    /// How many bytes of a write of `total` bytes go to the end of the newest buffer.
    fn mergeable(&self, total: u64) -> Option<u32> {
        let odd = (total % u64::from(PAGE)) as u32;
        let newest = self.slots.last()?;
        (odd > 0 && newest.can_merge && newest.end.saturating_add(odd) <= PAGE).then_some(odd)
    }

    /// One section of a write that has `left` bytes to go; `first`: it has not had the mutex yet. Gives the bytes put.
    pub(super) fn put(&mut self, left: u64, first: bool, packet: bool, max_usage: u32) -> u64 {
        let mut put = 0;
        if first && let Some(odd) = self.mergeable(left) {
            if let Some(newest) = self.slots.last_mut() {
                newest.end += odd;
            }
            put += u64::from(odd);
        }
        while put < left && !self.is_full(max_usage) {
            let end = (left - put).min(u64::from(PAGE)) as u32;
            self.slots.push(Slot { start: 0, end, can_merge: !packet, packet });
            self.head = self.head.wrapping_add(1);
            put += u64::from(end);
        }
        put
    }

    /// One section of a read of `wanted` bytes.
    pub(super) fn take(&mut self, wanted: u64) -> Taken {
        let mut taken = Taken { got: 0, discarded: 0 };
        let mut emptied = 0;
        for slot in &mut self.slots {
            if taken.got >= wanted {
                break;
            }
            let len = slot.len();
            let run = (wanted - taken.got).min(u64::from(len)) as u32;
            taken.got += u64::from(run);
            slot.start += run;
            let packet = slot.packet;
            if packet {
                taken.discarded = u64::from(len - run);
                slot.start = slot.end;
            }
            if slot.start >= slot.end {
                emptied += 1;
            }
            if packet {
                break;
            }
        }
        self.slots.drain(..emptied);
        self.tail = self.tail.wrapping_add(emptied as u32);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Ring {
        Ring::empty(u32::MAX)
    }

    #[test]
    fn odd_bytes_join_the_newest_buffer_once() {
        let mut ring = fresh();
        assert_eq!(ring.put(100, true, false, 16), 100);
        assert_eq!(ring.put(4096 + 50, true, false, 16), 4146);
        let seen = Seen::exactly(Position { head: 1, tail: u32::MAX, write_end: 4096, read_offset: 0 });
        assert!(ring.is_at(&seen), "{ring:?}");
        assert_eq!(ring.take(120), Taken { got: 120, discarded: 0 });
        assert!(!ring.is_at(&seen) && ring.is_beyond(&seen));
        assert_eq!(ring.put(10, false, false, 16), 10, "a later section starts a buffer of its own");
        assert_eq!(ring.slots.len(), 3);
    }

    #[test]
    fn a_full_pipe_takes_what_fits() {
        let mut ring = fresh();
        assert_eq!(ring.put(3 * 4096 + 5, true, false, 2), 8192);
        assert!(ring.refuses(5, 2));
        assert_eq!(ring.take(5000), Taken { got: 5000, discarded: 0 });
        assert_eq!(ring.put(4101, false, false, 2), 4096);
        assert_eq!(ring.bytes(), 7288);
    }

    #[test]
    fn a_read_gets_one_packet_and_drops_its_rest() {
        let mut ring = fresh();
        assert_eq!(ring.put(100, true, true, 16), 100);
        assert_eq!(ring.put(50, true, true, 16), 50);
        assert_eq!(ring.take(10), Taken { got: 10, discarded: 90 });
        assert_eq!(ring.take(4096), Taken { got: 50, discarded: 0 });
        assert!(ring.is_empty());
    }
}
