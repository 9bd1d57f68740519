//! How it went on one kernel, read from the console of its machine.

use std::time::Duration;

use crate::tally::{Reader, Tally};

/// How lines of /init begin that are meant for us.
const MARK: &str = "ipcscope-vm: ";

/// What has to be so for a kernel to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// The probes load and every test passes.
    Tests,
    /// The probes load.
    Doctor,
    /// ipcscope says that the kernel is too old, and traces nothing.
    Refusal,
}

/// How it went on one kernel.
pub(super) struct Outcome {
    aim: Aim,
    /// Its release; none before /init runs.
    pub(super) kernel: Option<String>,
    doctor: Option<i32>,
    /// The exit status of a trace where doctor is not content.
    trace: Option<i32>,
    /// Doctor and the trace each named what is too old.
    told: u64,
    tests: Reader,
    /// Test executables that died.
    crashed: u64,
    /// Whether /init came to its end.
    complete: bool,
    pub(super) timed_out: bool,
    pub(super) took: Duration,
}

impl Outcome {
    pub(super) fn new(aim: Aim) -> Self {
        Self {
            aim,
            kernel: None,
            doctor: None,
            trace: None,
            told: 0,
            tests: Reader::default(),
            crashed: 0,
            complete: false,
            timed_out: false,
            took: Duration::ZERO,
        }
    }

    pub(super) fn is_good(&self) -> bool {
        let content = self.doctor == Some(0);
        self.complete
            && match self.aim {
                Aim::Tests => content && self.tally().failed == 0 && self.tally().passed > 0,
                Aim::Doctor => content,
                Aim::Refusal => self.is_refused(),
            }
    }

    /// Both told why, and ended as those that own up: not as if it were the command's status, and by no signal.
    fn is_refused(&self) -> bool {
        self.doctor == Some(4) && matches!(self.trace, Some(1 | 4)) && self.told >= 2
    }

    fn tally(&self) -> Tally {
        let mut tally = self.tests.tally;
        // An executable that dies reports no failed test.
        tally.failed += self.crashed;
        tally
    }

    /// Takes in a line of the console.
    pub(super) fn read(&mut self, line: &str) {
        self.tests.read(line);
        self.told += u64::from(line.contains("is older than 5.15"));
        let Some((mark, value)) = line.strip_prefix(MARK).and_then(|mark| mark.split_once(' ')) else {
            return;
        };
        match mark {
            "kernel" => self.kernel = Some(value.to_owned()),
            "doctor" => self.doctor = value.parse().ok(),
            "trace" => self.trace = value.parse().ok(),
            "crashed" => self.crashed += 1,
            "end" => self.complete = true,
            _ => {}
        }
    }

    pub(super) fn summary(&self) -> String {
        let verdict = if self.is_good() { "good" } else { "FAILED" };
        let tests = if self.aim == Aim::Tests { format!("{}, ", self.tally()) } else { String::new() };
        let doctor = match self.doctor {
            Some(0) => "doctor content".to_owned(),
            Some(_) if self.is_refused() => "refused as too old".to_owned(),
            Some(status) => format!("doctor failed with {status}"),
            None => "doctor did not run".to_owned(),
        };
        let end = match (self.timed_out, self.complete, &self.kernel) {
            (true, ..) => ", stopped at the time limit",
            (_, false, None) => ", did not boot",
            (_, false, Some(_)) => ", died before the end",
            _ => "",
        };
        format!("{verdict}: {tests}{doctor}{end}, {} s", self.took.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(aim: Aim, lines: &[&str]) -> Outcome {
        let mut outcome = Outcome::new(aim);
        for line in lines {
            outcome.read(line);
        }
        outcome
    }

    #[test]
    fn the_console_decides() {
        let result = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        let mut outcome = read(Aim::Tests, &["ipcscope-vm: kernel 6.1.0", "ipcscope-vm: doctor 0", result]);
        assert!(!outcome.is_good(), "not at the end yet");
        outcome.read("ipcscope-vm: end 0");
        assert!(outcome.is_good());
        outcome.read("ipcscope-vm: crashed live_pipe");
        assert!(!outcome.is_good());
    }

    #[test]
    fn without_tests_doctor_decides() {
        assert!(read(Aim::Doctor, &["ipcscope-vm: doctor 0", "ipcscope-vm: end 0"]).is_good());
        assert!(!read(Aim::Doctor, &["ipcscope-vm: doctor 4", "ipcscope-vm: end 0"]).is_good());
        assert!(!read(Aim::Tests, &["ipcscope-vm: doctor 0", "ipcscope-vm: end 0"]).is_good());
    }

    #[test]
    fn too_old_a_kernel_has_to_be_refused_with_a_word_why() {
        let told = "FAIL  kernel         5.10.0 is older than 5.15";
        let marks = ["ipcscope-vm: doctor 4", "ipcscope-vm: trace 1", "ipcscope-vm: end 0"];
        assert!(read(Aim::Refusal, &[told, told, marks[0], marks[1], marks[2]]).is_good());
        assert!(!read(Aim::Refusal, &[told, marks[0], marks[1], marks[2]]).is_good(), "one did not tell");
        assert!(!read(Aim::Refusal, &[told, told, "ipcscope-vm: doctor 0", marks[1], marks[2]]).is_good());
    }
}
