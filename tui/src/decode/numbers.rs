//! Are the records that are missing the ones that were counted as lost?
//!
//! The probes number their records per CPU, the lost ones included ([`ipcscope_common::Header::seq`]). So a number that
//! never comes is a loss, and there must be a counter that tells of it. What no counter tells of is a loss all the same, of
//! class `unknown`: in the buffer, in a recording that was damaged, or by a fault of ours.
//!
//! Invariants: bounded memory; nothing is reported that only comes late, as records do that an interrupt overtook, or that
//! a trace which was broken off never got.

use std::collections::{BTreeMap, VecDeque};

use ipcscope_common::{Header, descriptor, mark, process};

/// A missing number may still come for so long, ns: records leave in order of time, which differs from that of numbers
/// by the length of an interrupt.
const LATE: u64 = 50_000_000;
/// Gaps remembered at once; beyond that the oldest is taken for settled.
const GAPS: usize = 4096;

/// Numbers that did not come: those from the key up to, without, `end`.
#[derive(Clone, Copy, Debug)]
struct Gap {
    end: u64,
    /// When a greater number was seen.
    seen: u64,
}

/// One CPU.
#[derive(Clone, Debug, Default)]
struct Cpu {
    /// The number that should come next; `None` before the first.
    next: Option<u64>,
    gaps: BTreeMap<u64, Gap>,
    /// The gaps' keys in order of their `seen`; some may be gone.
    order: VecDeque<u64>,
    settled: u64,
}

/// All CPUs.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    cpus: Vec<Cpu>,
    told: u64,
}

impl Numbers {
    /// Takes note of a record.
    pub fn take(&mut self, header: &Header) {
        // User space's own, and those of the iterators, have no number.
        if matches!(header.kind, mark::START | mark::LOST | mark::TICK | process::FOUND | descriptor::FOUND_HELD) {
            return;
        }
        let index = usize::from(header.cpu);
        if index >= self.cpus.len() {
            self.cpus.resize_with(index + 1, Cpu::default);
        }
        if let Some(cpu) = self.cpus.get_mut(index) {
            cpu.take(header.seq, header.time);
        }
    }

    /// So many missing numbers are told of by a counter.
    pub fn tell(&mut self, count: u64) {
        self.told = self.told.saturating_add(count);
    }

    /// How many are missing that no counter tells of, `now` being the time of the last record.
    pub fn untold(&self, now: u64) -> u64 {
        let open = |cpu: &Cpu| -> u64 {
            cpu.gaps
                .iter()
                .filter(|(_, gap)| gap.seen.saturating_add(LATE) < now)
                .map(|(from, gap)| gap.end - from)
                .sum()
        };
        let missing: u64 = self.cpus.iter().map(|cpu| cpu.settled + open(cpu)).sum();
        missing.saturating_sub(self.told)
    }
}

impl Cpu {
    fn take(&mut self, seq: u32, time: u64) {
        // A recording may begin in the middle.
        let next = *self.next.get_or_insert(u64::from(seq));
        let ahead = i64::from(seq.wrapping_sub(next as u32) as i32);
        let number = next.saturating_add_signed(ahead);
        if ahead >= 0 {
            if number > next {
                self.gaps.insert(next, Gap { end: number, seen: time });
                self.order.push_back(next);
            }
            self.next = Some(number + 1);
        } else if let Some((&from, &gap)) = self.gaps.range(..=number).next_back()
            && number < gap.end
        {
            // It comes late.
            self.gaps.remove(&from);
            if from < number {
                self.gaps.insert(from, Gap { end: number, ..gap });
            }
            if number + 1 < gap.end {
                self.gaps.insert(number + 1, gap);
                self.order.push_back(number + 1);
            }
        }
        while self.order.len() > GAPS {
            let oldest = self.order.pop_front().and_then(|from| self.gaps.remove_entry(&from));
            self.settled += oldest.map_or(0, |(from, gap)| gap.end - from);
        }
    }
}

#[cfg(test)]
mod tests {
    use ipcscope_common::sched;
    use proptest::prelude::*;

    use super::*;

    fn of(cpu: u16, seq: u32, time: u64) -> Header {
        Header { cpu, seq, time, kind: sched::SWITCH, ..Header::default() }
    }

    #[test]
    fn a_gap_that_no_counter_tells_of_is_untold() {
        let mut numbers = Numbers::default();
        for seq in [0, 1, 5, 6] {
            numbers.take(&of(0, seq, 100));
            numbers.take(&of(3, seq * 2, 100));
        }
        let later = 101 + LATE;
        // 2, 3, 4 on one, 1, 3..=9, 11 on the other.
        assert_eq!(numbers.untold(later), 3 + 9);
        assert_eq!(numbers.untold(100), 0, "they may still come");
        numbers.tell(10);
        assert_eq!(numbers.untold(later), 2);
        numbers.tell(10);
        assert_eq!(numbers.untold(later), 0);
    }

    #[test]
    fn numbers_wrap_around() {
        let mut numbers = Numbers::default();
        for seq in [u32::MAX - 1, u32::MAX, 0, 2] {
            numbers.take(&of(0, seq, 0));
        }
        assert_eq!(numbers.untold(u64::MAX), 1);
    }

    proptest! {
        #[test]
        fn what_is_missing_is_counted_however_late_the_rest_comes(
            taken in prop::collection::vec((any::<bool>(), 0_u64..20), 1..400)
        ) {
            let mut numbers = Numbers::default();
            let mut order: Vec<_> = (0..).zip(&taken).collect();
            order.sort_by_key(|(seq, (_, late))| u64::from(*seq) + late);
            let kept: Vec<u32> = order.into_iter().filter(|(_, (kept, _))| *kept).map(|(seq, _)| seq).collect();
            // A beginning that is not the lowest number would be taken for the beginning of the recording.
            numbers.take(&of(0, 0, 0));
            for seq in kept.iter().filter(|seq| **seq > 0) {
                numbers.take(&of(0, *seq, 0));
            }
            let last = u64::from(kept.iter().copied().max().unwrap_or(0));
            let seen = kept.iter().filter(|seq| **seq > 0).count() as u64 + 1;
            prop_assert_eq!(numbers.untold(u64::MAX), last + 1 - seen);
        }

        #[test]
        fn memory_is_bounded(seqs in prop::collection::vec(any::<u32>(), 0..20_000)) {
            let mut numbers = Numbers::default();
            for (time, seq) in (0..).zip(&seqs) {
                numbers.take(&of(0, *seq, time));
            }
            prop_assert!(numbers.cpus.iter().all(|cpu| cpu.order.len() <= GAPS && cpu.gaps.len() <= 2 * GAPS));
            numbers.untold(u64::MAX);
        }
    }
}
