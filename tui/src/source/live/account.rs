//! The account of records: numbers given out = records seen + losses counted.
//!
//! The probes count losses by class and number their records per CPU; the kernel counts the hooks it skipped because a
//! program was running on that CPU already. What is left over in the end is a loss of class `unknown`.
//!
//! Tested by the live tests of losses (tui/tests/live_losses.rs); what is pure, here.

use std::{
    fs,
    os::fd::{AsRawFd as _, OwnedFd},
};

use aya::maps::{MapData, PerCpuArray};
use ipcscope_common::{Header, mark, settings::lost};
use zerocopy::IntoBytes;

use crate::decode::sequence::Sequencer;

/// The counters, and what has been told of them.
pub struct Account {
    /// Losses by class, per CPU.
    lost: PerCpuArray<MapData, u64>,
    /// Numbers given out, per CPU.
    sequence: PerCpuArray<MapData, u64>,
    /// The programs, for what the kernel counts.
    programs: Vec<OwnedFd>,
    told: [u64; lost::NAMES.len()],
    /// Records that came.
    seen: u64,
}

impl Account {
    /// Of a session whose programs are these.
    pub fn new(lost: PerCpuArray<MapData, u64>, sequence: PerCpuArray<MapData, u64>, programs: Vec<OwnedFd>) -> Self {
        Self { lost, sequence, programs, told: [0; lost::NAMES.len()], seen: 0 }
    }

    /// A record came out of the ring buffer.
    pub fn saw(&mut self) {
        self.seen += 1;
    }

    /// Puts a mark at either end of a span in which records were lost.
    pub fn tell(&mut self, sequencer: &mut Sequencer, from: u64, to: u64) {
        for class in 0..lost::COUNT {
            let total = sum(&self.lost, class);
            self.tell_class(sequencer, class, total, from, to);
        }
    }

    /// The same for hooks that were skipped; dearer to find out.
    pub fn tell_skipped(&mut self, sequencer: &mut Sequencer, from: u64, to: u64) {
        let total = self.programs.iter().map(skipped).sum();
        self.tell_class(sequencer, lost::RECURSION, total, from, to);
    }

    /// How many numbers were given out for which there is neither a record nor a loss. Exact once no program runs.
    pub fn missing(&self) -> u64 {
        let counted: u64 = (0..lost::COUNT).filter(|class| lost::is_numbered(*class)).map(|c| sum(&self.lost, c)).sum();
        sum(&self.sequence, 0).saturating_sub(self.seen + counted)
    }

    /// The end: what is missing is a loss.
    pub fn tell_missing(&mut self, sequencer: &mut Sequencer, from: u64, to: u64) {
        let missing = self.missing();
        self.tell_class(sequencer, lost::UNKNOWN, missing, from, to);
    }

    fn tell_class(&mut self, sequencer: &mut Sequencer, class: u32, total: u64, from: u64, to: u64) {
        let Some(told) = self.told.get_mut(class as usize) else { return };
        let count = total.saturating_sub(*told);
        if count == 0 {
            return;
        }
        *told = total;
        for (time, until, over) in [(from, to, 0), (to, from, 1)] {
            let header = Header { time, kind: mark::LOST, ..Header::default() };
            sequencer.push(mark::Lost { header, until, count, class, over }.as_bytes());
        }
    }
}

fn sum(counters: &PerCpuArray<MapData, u64>, index: u32) -> u64 {
    counters.get(&index, 0).map_or(0, |values| values.iter().sum())
}

/// How often the kernel skipped a program (kernel/bpf/syscall.c, `bpf_prog_show_fdinfo`, from 5.12 on).
fn skipped(program: &OwnedFd) -> u64 {
    let path = format!("/proc/self/fdinfo/{}", program.as_raw_fd());
    fs::read_to_string(path).ok().and_then(|text| misses(&text)).unwrap_or(0)
}

fn misses(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::misses;

    #[test]
    fn misses_are_in_fdinfo() {
        let text = "prog_type:\t26\nprog_jited:\t1\nrun_cnt:\t0\nrecursion_misses:\t42\nverified_insns:\t7\n";
        assert_eq!(misses(text), Some(42));
        assert_eq!(misses("prog_type:\t26\n"), None);
    }
}
