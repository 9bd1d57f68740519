//! What an eventfd counts, and which writes that came from.
//!
//! A read takes all there is, so it names the writes whose values add up to what it got: those that had returned before
//! it began, and of those that overlapped it the only choice that fits. With `EFD_SEMAPHORE` a read takes 1 of the sum,
//! which is anybody's unless one write gave all.
//!
//! Invariant: an origin is given only if no other set of writes could have been it. Tests: the tables at the end.

use crate::event::{FromUnknown, OpId, Origin};

/// Overlapping writes among which a choice is looked for.
const MOST: usize = 12;
/// Bytes of a read.
const BYTES: u64 = 8;

/// A write whose value has not been read.
#[derive(Clone, Debug, PartialEq)]
struct Write {
    /// `None`: what was there before the trace.
    by: Option<(OpId, u32)>,
    value: u64,
    /// It has returned.
    returned: Option<u64>,
}

/// The writes in an eventfd.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    writes: Vec<Write>,
    /// What is left of writes that nobody can tell apart any more.
    mixed: u64,
    /// Reads in progress.
    readers: Vec<u32>,
    lost: bool,
}

/// A read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// By whom.
    pub tid: u32,
    /// When it was entered.
    pub entered: u64,
    /// What it got.
    pub value: u64,
    /// It takes 1 of all.
    pub semaphore: bool,
}

impl Counter {
    /// One with a value that nobody in the trace gave it.
    pub fn new(value: u64) -> Self {
        let writes = (value > 0).then_some(Write { by: None, value, returned: Some(0) });
        Self { writes: writes.into_iter().collect(), ..Self::default() }
    }

    /// A write begins.
    pub fn write_begins(&mut self, op: OpId, pid: u32, value: u64) {
        if value > 0 && !self.writes.iter().any(|write| write.by == Some((op, pid))) {
            self.writes.push(Write { by: Some((op, pid)), value, returned: None });
        }
    }

    /// It returned; `done`: its value was added.
    pub fn write_returns(&mut self, op: OpId, time: u64, done: bool) {
        let is_it = |write: &Write| write.by.is_some_and(|(by, _)| by == op);
        if done {
            if let Some(write) = self.writes.iter_mut().find(|write| is_it(write)) {
                write.returned = Some(time);
            }
        } else {
            self.writes.retain(|write| !is_it(write));
        }
    }

    /// A read begins.
    pub fn read_begins(&mut self, tid: u32) {
        if !self.readers.contains(&tid) {
            self.readers.push(tid);
        }
    }

    /// It failed.
    pub fn read_fails(&mut self, tid: u32) {
        self.readers.retain(|reader| *reader != tid);
    }

    /// It returned: the writes whose values it got.
    pub fn read(&mut self, read: Read) -> Result<Vec<Origin>, FromUnknown> {
        self.read_fails(read.tid);
        if std::mem::take(&mut self.lost) {
            self.forget();
            return Err(FromUnknown::Lost);
        }
        let sum = self.writes.iter().map(|write| write.value).fold(self.mixed, u64::saturating_add);
        if read.value > sum {
            // Somebody else writes as well, or the kernel does.
            self.forget();
            return Err(FromUnknown::External);
        }
        if read.semaphore {
            return self.take_one(sum);
        }
        if self.mixed > 0 {
            self.mix(sum - read.value);
            return Err(FromUnknown::Overlap);
        }
        let alone = self.readers.is_empty();
        let chosen = self.choose(read, alone);
        let Some(chosen) = chosen else {
            self.mix(sum - read.value);
            return Err(FromUnknown::Overlap);
        };
        let mut at = 0;
        let mut got = Vec::new();
        self.writes.retain(|write| {
            at += 1;
            let stays = !chosen.contains(&(at - 1));
            if !stays {
                got.push(write.by);
            }
            stays
        });
        if got.iter().any(Option::is_none) {
            return Err(FromUnknown::BeforeStart);
        }
        // The bytes of a read are a sum, and so none of a single write's: they stand with the last.
        let last = got.len().saturating_sub(1);
        let origin = |(at, (op, pid))| Origin { op, pid, bytes: if at == last { BYTES } else { 0 }, host: None };
        Ok(got.into_iter().flatten().enumerate().map(origin).collect())
    }

    /// The writes that a read got, by their places, if only one choice fits.
    fn choose(&self, read: Read, alone: bool) -> Option<Vec<usize>> {
        let all: Vec<usize> = (0..self.writes.len()).collect();
        let sum = |places: &[usize]| -> u64 {
            let values = places.iter().filter_map(|at| self.writes.get(*at)).map(|write| write.value);
            values.fold(0, u64::saturating_add)
        };
        if sum(&all) == read.value {
            return Some(all);
        }
        // Nobody else can have taken what was there when it began.
        let is_certain = |at: &usize| {
            alone && self.writes.get(*at).and_then(|write| write.returned).is_some_and(|time| time <= read.entered)
        };
        let (certain, open): (Vec<usize>, Vec<usize>) = all.into_iter().partition(is_certain);
        let rest = read.value.checked_sub(sum(&certain))?;
        if open.len() > MOST {
            return (rest == 0).then_some(certain);
        }
        let mut found = None;
        for choice in 0_u32..1 << open.len() {
            let places: Vec<usize> =
                open.iter().enumerate().filter(|(bit, _)| choice >> bit & 1 == 1).map(|(_, at)| *at).collect();
            if sum(&places) == rest && found.replace(places).is_some() {
                return None;
            }
        }
        found.map(|places| certain.into_iter().chain(places).collect())
    }

    /// 1 of all is taken.
    fn take_one(&mut self, sum: u64) -> Result<Vec<Origin>, FromUnknown> {
        if self.mixed == 0
            && let [write] = self.writes.as_mut_slice()
        {
            write.value = write.value.saturating_sub(1);
            let by = write.by;
            if write.value == 0 {
                self.writes.clear();
            }
            let (op, pid) = by.ok_or(FromUnknown::BeforeStart)?;
            return Ok(vec![Origin { op, pid, bytes: BYTES, host: None }]);
        }
        self.mix(sum.saturating_sub(1));
        Err(FromUnknown::Overlap)
    }

    /// So much is left, and nobody can say of which writes.
    fn mix(&mut self, left: u64) {
        self.mixed = left;
        self.writes.clear();
    }

    fn forget(&mut self) {
        self.mix(0);
    }

    /// Records are missing.
    pub fn lost(&mut self) {
        self.readers.clear();
        self.lost = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tid: u32, entered: u64, value: u64) -> Read {
        Read { tid, entered, value, semaphore: false }
    }

    fn ops(result: Result<Vec<Origin>, FromUnknown>) -> Result<Vec<u64>, FromUnknown> {
        result.map(|origins| origins.into_iter().map(|origin| origin.op.0).collect())
    }

    /// Writes by their number, value and whether they have returned (at that time).
    fn counter(writes: &[(u64, u64, Option<u64>)]) -> Counter {
        let mut counter = Counter::default();
        for &(op, value, returned) in writes {
            counter.write_begins(OpId(op), 1, value);
            if let Some(time) = returned {
                counter.write_returns(OpId(op), time, true);
            }
        }
        counter
    }

    #[test]
    fn a_read_names_the_writes_that_add_up() {
        for (writes, value, expected) in [
            (&[(1, 3, Some(5)), (2, 4, Some(6))][..], 7, Ok(vec![1, 2])),
            // The second had not returned, and did not count yet.
            (&[(1, 3, Some(5)), (2, 4, None)], 3, Ok(vec![1])),
            (&[(1, 3, Some(5)), (2, 4, None)], 7, Ok(vec![1, 2])),
            // Only one of two that are alike.
            (&[(1, 3, None), (2, 3, None)], 3, Err(FromUnknown::Overlap)),
            (&[(1, 3, None), (2, 3, None)], 6, Ok(vec![1, 2])),
            (&[(1, 3, None), (2, 4, None), (3, 5, None)], 8, Ok(vec![1, 3])),
            (&[(1, 3, Some(5))], 9, Err(FromUnknown::External)),
            (&[], 1, Err(FromUnknown::External)),
        ] {
            assert_eq!(ops(counter(writes).read(read(9, 10, value))), expected, "{writes:?} {value}");
        }
    }

    #[test]
    fn another_reader_may_have_taken_what_was_there() {
        let mut counter = counter(&[(1, 1, Some(5)), (2, 1, Some(6))]);
        counter.read_begins(8);
        counter.read_begins(9);
        assert_eq!(ops(counter.read(read(9, 10, 1))), Err(FromUnknown::Overlap));
        assert_eq!(ops(counter.read(read(8, 10, 1))), Err(FromUnknown::Overlap));
        // All is taken: from here on it is known again.
        counter.write_begins(OpId(3), 1, 2);
        assert_eq!(ops(counter.read(read(9, 20, 2))), Ok(vec![3]));
    }

    #[test]
    fn of_a_semaphore_one_write_is_enough_for_many_reads() {
        let take = |tid| Read { semaphore: true, ..read(tid, 10, 1) };
        let mut one = counter(&[(1, 2, Some(5))]);
        assert_eq!(ops(one.read(take(9))), Ok(vec![1]));
        assert_eq!(ops(one.read(take(9))), Ok(vec![1]));
        assert_eq!(ops(one.read(take(9))), Err(FromUnknown::External));
        let mut two = counter(&[(1, 1, Some(5)), (2, 1, Some(6))]);
        assert_eq!(ops(two.read(take(9))), Err(FromUnknown::Overlap));
    }

    #[test]
    fn what_was_there_before_and_what_is_lost_is_nobody_s() {
        assert_eq!(ops(Counter::new(4).read(read(9, 1, 4))), Err(FromUnknown::BeforeStart));
        let mut counter = counter(&[(1, 3, Some(5))]);
        counter.lost();
        assert_eq!(ops(counter.read(read(9, 10, 3))), Err(FromUnknown::Lost));
        counter.write_begins(OpId(2), 1, 1);
        assert_eq!(ops(counter.read(read(9, 20, 1))), Ok(vec![2]));
    }
}
