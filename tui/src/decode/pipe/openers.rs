//! Whether everybody who has a pipe open is known.
//!
//! The kernel counts the open files that lead to a pipe for reading and for writing (`pipe_inode_info.readers`, `writers`);
//! copies of a descriptor share one file. If it counts more than the trace knows of, somebody else has opened it: a FIFO,
//! or a pipe through `/proc/PID/fd`. An open is told only when it returns and a close before the kernel gets to it, so a
//! difference counts only if it stays; until then nothing is claimed.
//!
//! Invariant: while the kernel counts more than is known, or did at the last look, the verdict is not [`Verdict::Ours`].
//! Tested by the table at the end.

use foldhash::HashMap;

use crate::event::End;

/// ns that a difference must stay: what an open or a close takes.
const GRACE: u64 = 100_000_000;

/// Who has the pipe open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Only those in the trace.
    Ours,
    /// Not clear yet.
    Open,
    /// Somebody else.
    Others,
}

/// The open files of a pipe that the trace knows of, and what the kernel counts.
#[derive(Clone, Debug, Default)]
pub struct Openers {
    /// Descriptors by file.
    files: HashMap<u64, (u32, End)>,
    /// Files without descriptors, and when they lost the last.
    closed: Vec<(u64, End)>,
    /// Opens for reading and for writing: those the trace knows of, and those the kernel has counted, closed ones included
    /// (a FIFO's `r_counter` and `w_counter`; 0 elsewhere).
    known: (u32, u32),
    opened: (u32, u32),
    /// The kernel's last count of readers and writers, if that was more than known, and since when.
    more: Option<(u32, u32, u64)>,
}

fn reads(end: End) -> bool {
    end != End::W
}

fn writes(end: End) -> bool {
    end != End::R
}

impl Openers {
    /// One more descriptor of a file.
    pub fn take(&mut self, file: u64, end: End) {
        let copies = self.files.entry(file).or_insert((0, end));
        copies.0 += 1;
        if copies.0 == 1 {
            self.known.0 += u32::from(reads(end));
            self.known.1 += u32::from(writes(end));
        }
        if let Some((readers, writers, _)) = self.more
            && !self.are_more(readers, writers)
        {
            self.more = None;
        }
    }

    /// One less, at `now`.
    pub fn release(&mut self, file: u64, now: u64) {
        let Some((count, end)) = self.files.get_mut(&file) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.closed.push((now, *end));
            self.files.remove(&file);
        }
    }

    /// The kernel has counted so many opens at `now`.
    pub fn see_opens(&mut self, to_read: u32, to_write: u32, now: u64) {
        self.opened = (self.opened.0.max(to_read), self.opened.1.max(to_write));
        if self.more.is_none() && self.are_more(0, 0) {
            self.more = Some((0, 0, now));
        }
    }

    /// The kernel had counted more opens before: it has begun anew since.
    pub fn has_seen_more_than(&self, (to_read, to_write): (u32, u32)) -> bool {
        self.opened.0 > to_read || self.opened.1 > to_write
    }

    /// The kernel counts so many at `now`.
    pub fn see(&mut self, readers: u32, writers: u32, now: u64) {
        self.closed.retain(|(time, _)| now.saturating_sub(*time) < GRACE);
        if self.are_more(readers, writers) {
            let since = self.more.map_or(now, |(_, _, since)| since);
            self.more = Some((readers, writers, since));
        } else {
            self.more = None;
        }
    }

    fn are_more(&self, readers: u32, writers: u32) -> bool {
        let ends = || self.files.values().map(|(_, end)| *end).chain(self.closed.iter().map(|(_, end)| *end));
        let count = |which: fn(End) -> bool| ends().filter(|end| which(*end)).count();
        let now = readers as usize > count(reads) || writers as usize > count(writes);
        now || self.opened.0 > self.known.0 || self.opened.1 > self.known.1
    }

    /// What is known at `now`.
    pub fn verdict(&self, now: u64) -> Verdict {
        match self.more {
            None => Verdict::Ours,
            Some((.., since)) if now.saturating_sub(since) < GRACE => Verdict::Open,
            Some(_) => Verdict::Others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe of ours: one file at either end.
    fn ours() -> Openers {
        let mut openers = Openers::default();
        openers.take(1, End::R);
        openers.take(2, End::W);
        openers
    }

    #[test]
    fn copies_share_a_file() {
        let mut openers = ours();
        openers.take(2, End::W);
        openers.release(2, 5);
        openers.see(1, 1, 10);
        assert_eq!(openers.verdict(10), Verdict::Ours);
    }

    #[test]
    fn whoever_stays_unknown_is_somebody_else() {
        let mut openers = ours();
        openers.see(1, 2, 10);
        assert_eq!(openers.verdict(10), Verdict::Open);
        openers.see(1, 2, 10 + GRACE);
        assert_eq!(openers.verdict(10 + GRACE), Verdict::Others);
    }

    #[test]
    fn an_open_that_is_told_later_is_ours() {
        let mut openers = ours();
        openers.see(2, 1, 10);
        openers.take(3, End::R);
        assert_eq!(openers.verdict(10 + GRACE), Verdict::Ours);
    }

    #[test]
    fn a_close_that_the_kernel_has_not_done_is_ours() {
        let mut openers = ours();
        openers.release(2, 10);
        openers.see(1, 1, 20);
        assert_eq!(openers.verdict(20), Verdict::Ours);
        openers.see(1, 1, 10 + GRACE);
        assert_eq!(openers.verdict(10 + GRACE), Verdict::Open);
    }

    #[test]
    fn who_opened_a_fifo_before_and_has_gone_may_have_left_something() {
        let mut openers = Openers::default();
        openers.take(1, End::R);
        openers.see_opens(1, 1, 10);
        assert_eq!(openers.verdict(10), Verdict::Open);
        // Its writer's open is told a little later; another one came and went before.
        openers.take(2, End::W);
        assert_eq!(openers.verdict(10 + GRACE), Verdict::Ours);
        openers.see_opens(1, 2, 20);
        assert_eq!(openers.verdict(20 + GRACE), Verdict::Others);
    }

    #[test]
    fn both_ends_in_one_file_count_twice() {
        let mut openers = Openers::default();
        openers.take(1, End::Rw);
        openers.see(1, 1, 10);
        assert_eq!(openers.verdict(10), Verdict::Ours);
    }
}
