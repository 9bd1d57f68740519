//! What the test executables report, summed up.
//!
//! libtest knows no test that finds out by itself that it cannot run. Ours print `SKIPPED (why)` then; with
//! `--show-output` that is seen here, and counted as skipped instead of passed.

use std::fmt;
use std::ops::AddAssign;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// From libtest's "test result: ok. 3 passed; 0 failed; 1 ignored; …".
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let count = |label: &str| {
            counts.split(';').find_map(|part| part.trim().strip_suffix(label)?.trim().parse::<u64>().ok())
        };
        Some(Self { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
    }
}

/// How tests begin the line that says why they cannot run here.
const SKIPPED: &str = "SKIPPED (";

/// Sums up while lines go by.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) tally: Tally,
    /// The names of the tests that failed.
    pub(crate) failures: Vec<String>,
    skips: u64,
}

impl Reader {
    /// Takes in a line of what an executable prints.
    pub(crate) fn read(&mut self, line: &str) {
        self.skips += u64::from(line.starts_with(SKIPPED));
        let name = line.trim().strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"));
        self.failures.extend(name.map(str::to_owned));
        if let Some(mut tally) = Tally::parse(line) {
            let skips = std::mem::take(&mut self.skips).min(tally.passed);
            tally.passed -= skips;
            tally.skipped += skips;
            self.tally += tally;
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, Tally};

    #[test]
    fn a_test_that_cannot_run_is_skipped_and_not_passed() {
        let mut reader = Reader::default();
        let result = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s";
        for line in ["---- x stdout ----", "SKIPPED (no bash)", result, result] {
            reader.read(line);
        }
        assert_eq!(reader.tally, Tally { passed: 5, failed: 0, skipped: 1 });
    }

    #[test]
    fn failures_have_names() {
        let mut reader = Reader::default();
        for line in
            ["running 2 tests", "test of::pipes ... FAILED\r", "test of::queues ... ok", "test result: FAILED. "]
        {
            reader.read(line);
        }
        assert_eq!(reader.failures, ["of::pipes"]);
    }

    #[test]
    fn libtests_result_line() {
        let line =
            "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.00s\r";
        assert_eq!(Tally::parse(line), Some(Tally { passed: 3, failed: 2, skipped: 1 }));
        assert_eq!(Tally::parse("running 3 tests"), None);
    }
}
