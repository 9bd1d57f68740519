//! Who got whose bytes on one pipe.
//!
//! While one task reads and one writes, the k-th byte written is the k-th byte read and counting is enough ([`solo`]).
//! Once a second reader or writer shows up, calls overlap and the order in which they had the pipe's mutex is not in
//! the trace; it is deduced from positions sampled at every step ([`contended`]), as a linearizability check over
//! everything that could have happened.
//!
//! Invariants: each read call that exits with bytes gives exactly one [`Resolved::Read`] or [`Resolved::Unknown`], each
//! such write one [`Resolved::Write`], other calls nothing. What is reported as known follows from the kernel's rules
//! and the records; when records contradict the rules, everything in the pipe and in flight becomes unknown until the
//! state is seen again. Memory is bounded for any input.
//!
//! Tests: tables for the solo mode (`solo_tests`), a simulated pipe that knows the truth (`simulator`, `truth_tests`),
//! arbitrary input (`garbage_tests`).

mod calls;
mod contended;
mod content;
mod facts;
#[cfg(test)]
mod garbage_tests;
mod hypothesis;
mod progress;
mod ring;
mod search;
#[cfg(test)]
mod simulator;
mod solo;
#[cfg(test)]
mod solo_tests;
mod start;
#[cfg(test)]
mod truth_tests;

use calls::{Call, Calls};
use contended::Contended;
use solo::Solo;

pub use facts::{Buffer, CallId, Layout, Leftover, Method, Part, Position, Resolved, Sample, Side, Why};

/// Slots beyond what `/proc/sys/fs/pipe-max-size` is ever set to; keeps arbitrary input bounded.
const MOST_SLOTS: u32 = 1 << 16;

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every pipe stays in the large one")]
enum Mode {
    Solo(Solo),
    Contended(Box<Contended>),
}

/// Follows one pipe and tells who got whose bytes.
#[derive(Clone, Debug)]
pub struct PipeOrder {
    mode: Mode,
    calls: Calls,
    max_usage: u32,
    /// Records are missing until that time.
    blind_until: u64,
    out: Vec<Resolved>,
}

impl PipeOrder {
    /// A pipe of `max_usage` slots seen from its creation: its stream offsets are known.
    pub fn created(max_usage: u32) -> Self {
        Self::new(max_usage, Solo::created())
    }

    /// A pipe that existed before the trace. `queued`: bytes in it before the first call that is reported, if known.
    pub fn found(max_usage: u32, queued: Option<u64>) -> Self {
        Self::new(max_usage, Solo::found(queued))
    }

    fn new(max_usage: u32, solo: Solo) -> Self {
        let max_usage = max_usage.clamp(1, MOST_SLOTS);
        Self { mode: Mode::Solo(solo), calls: Calls::default(), max_usage, blind_until: 0, out: Vec::new() }
    }

    /// The pipe has `max_usage` slots from here on (`F_SETPIPE_SZ`). While contended its state is unknown until it is
    /// seen again: the kernel renumbers the slots.
    pub fn resize(&mut self, max_usage: u32) {
        self.max_usage = max_usage.clamp(1, MOST_SLOTS);
        if let Mode::Contended(contended) = &mut self.mode {
            contended.resize(self.max_usage);
            contended.run(&mut self.calls, &mut self.out, false);
        }
    }

    /// A call begins. `task`: its `task_struct` address; `requested`: bytes asked for, if known. In the solo mode the
    /// times of entries may lie in the past, as long as exits come in their order.
    #[expect(clippy::too_many_arguments, reason = "one argument for each fact of the record")]
    pub fn enter(
        &mut self,
        time: u64,
        call: CallId,
        task: u64,
        side: Side,
        method: Method,
        requested: Option<u64>,
        sample: Option<Sample>,
    ) {
        while let Some(slot) = self.calls.close_stale(call, task) {
            match &mut self.mode {
                Mode::Solo(solo) => {
                    self.calls.remove(slot);
                    solo.lost(Why::Lost, &mut self.out);
                }
                Mode::Contended(contended) => contended.stale(time, slot),
            }
        }
        let slot = self.calls.open(Call::new(call, task, side, method, requested, time));
        if let Mode::Contended(contended) = &mut self.mode {
            contended.enter(&mut self.calls, time, slot, sample);
            contended.run(&mut self.calls, &mut self.out, false);
        }
    }

    /// A call ends. `ret`: its bytes, or a negative errno (restart codes too), which means no bytes.
    pub fn exit(&mut self, time: u64, call: CallId, ret: i64, sample: Option<Sample>) {
        let Some(slot) = self.calls.close(call, ret) else {
            // Its entry is missing, and with it the side.
            self.unseen(time, call, true);
            return;
        };
        match &mut self.mode {
            Mode::Solo(solo) => {
                if let Some(ended) = self.calls.remove(slot) {
                    solo.exit(time, &ended, ret, &self.calls, &mut self.out);
                    if let Some(empty) = sample.filter(Sample::is_empty).filter(|_| time >= self.blind_until) {
                        solo.seen(time, u64::from(empty.before.head.wrapping_sub(empty.before.tail)));
                    }
                }
            }
            Mode::Contended(contended) => {
                contended.exit(&mut self.calls, time, slot, sample);
                contended.run(&mut self.calls, &mut self.out, false);
            }
        }
    }

    /// The call's thread left its CPU. `asleep`: it blocked interruptibly, which a pipe call does only while it waits
    /// for bytes or room; otherwise it was preempted or waits for something else.
    pub fn switch_out(&mut self, time: u64, call: CallId, asleep: bool, sample: Option<Sample>) {
        let Some(slot) = self.calls.find(call) else {
            self.unseen(time, call, false);
            return;
        };
        match &mut self.mode {
            Mode::Solo(solo) => {
                if asleep && let Some(call) = self.calls.get_mut(slot) {
                    call.asleep = true;
                }
                solo.blocked(time, &self.calls, &mut self.out);
            }
            Mode::Contended(contended) => {
                contended.switch_out(&mut self.calls, time, slot, asleep, sample);
                contended.run(&mut self.calls, &mut self.out, false);
            }
        }
    }

    /// The call's thread is on a CPU again.
    pub fn switch_in(&mut self, time: u64, call: CallId, sample: Option<Sample>) {
        let Some(slot) = self.calls.find(call) else {
            self.unseen(time, call, false);
            return;
        };
        match &mut self.mode {
            Mode::Solo(_) => {
                if let Some(call) = self.calls.get_mut(slot) {
                    call.asleep = false;
                }
            }
            Mode::Contended(contended) => {
                contended.switch_in(&mut self.calls, time, slot, sample);
                contended.run(&mut self.calls, &mut self.out, false);
            }
        }
    }

    /// The call found the pipe's mutex taken: it is in none of its sections, and has one to come.
    pub fn contends(&mut self, time: u64, call: CallId, sample: Option<Sample>) {
        let Some(slot) = self.calls.find(call) else {
            self.unseen(time, call, false);
            return;
        };
        if let Mode::Contended(contended) = &mut self.mode {
            contended.contends(&mut self.calls, time, slot, sample);
            contended.run(&mut self.calls, &mut self.out, false);
        }
    }

    /// A second reader or writer has appeared; from here on every step carries a sample and comes in the order of
    /// time. Calls in flight have been entered just before. `layout`: the pipe at `time`; `None` if it could not be
    /// read while its mutex was free.
    pub fn contended(&mut self, time: u64, layout: Option<Layout>) {
        match &mut self.mode {
            Mode::Solo(solo) => {
                let solo = std::mem::take(solo);
                self.calls.start();
                let contended = Contended::new(solo, self.max_usage, time, layout, self.blind_until);
                self.mode = Mode::Contended(Box::new(contended));
                self.run(false);
            }
            Mode::Contended(_) => {
                if let Some(layout) = layout {
                    self.layout(time, layout);
                }
            }
        }
    }

    /// A stable layout of the pipe, taken at `time`. While contended it ends a time of unknown state; before, it ends
    /// one if no call was in flight at `time`.
    pub fn layout(&mut self, time: u64, layout: Layout) {
        match &mut self.mode {
            Mode::Solo(_) if time < self.blind_until => {}
            Mode::Solo(solo) => {
                let queued = layout.buffers.iter().map(|buffer| u64::from(buffer.len)).sum();
                solo.seen(time, queued);
            }
            Mode::Contended(contended) => {
                contended.layout(time, layout);
                contended.run(&mut self.calls, &mut self.out, false);
            }
        }
    }

    /// Records of this pipe are missing, from here on until that time: its contents and the progress of calls in flight are
    /// unknown until seen again after it, since what is seen before may be followed by another gap. Stream offsets are
    /// unknown for good.
    pub fn lost(&mut self, time: u64, until: u64) {
        self.blind_until = self.blind_until.max(until);
        match &mut self.mode {
            Mode::Solo(solo) => solo.lost(Why::Lost, &mut self.out),
            Mode::Contended(contended) => {
                contended.lost(time, until);
                contended.run(&mut self.calls, &mut self.out, false);
            }
        }
    }

    /// A step of a call whose entry is missing.
    fn unseen(&mut self, time: u64, call: CallId, ends: bool) {
        match &mut self.mode {
            Mode::Solo(solo) => solo.lost(Why::Lost, &mut self.out),
            Mode::Contended(contended) => {
                contended.unseen(time, call, ends);
                contended.run(&mut self.calls, &mut self.out, false);
            }
        }
    }

    /// All steps up to `time` have been given. While contended, steps wait for a few later ones; this lets old ones go
    /// when a pipe falls quiet.
    pub fn advance(&mut self, time: u64) {
        if let Mode::Contended(contended) = &mut self.mode {
            contended.advance(time);
        }
        self.run(false);
    }

    /// Gives up waiting on everything that is still open (end of the trace, time limit).
    pub fn flush(&mut self) {
        if let Mode::Solo(solo) = &mut self.mode {
            solo.flush(&self.calls, &mut self.out);
        }
        self.run(true);
    }

    fn run(&mut self, all: bool) {
        if let Mode::Contended(contended) = &mut self.mode {
            contended.run(&mut self.calls, &mut self.out, all);
        }
    }

    /// What became known since the last call.
    pub fn resolved(&mut self) -> impl Iterator<Item = Resolved> + '_ {
        self.out.drain(..)
    }

    /// Tells whether a step of this call was given, and its exit was not.
    pub fn is_open(&self, call: CallId) -> bool {
        self.calls.find(call).is_some()
    }

    /// The pipe held this many bytes right after the last exit, at `time`, and nobody changed that meanwhile. While one
    /// task reads and one writes, what is counted has to agree with it; if not, bytes moved unseen.
    pub fn filled(&mut self, time: u64, side: Side, bytes: u64) {
        if let Mode::Solo(solo) = &mut self.mode {
            solo.filled(time, side, bytes);
        }
    }

    /// Bytes written that nobody has taken, oldest first, after the last step that was worked off. `None` if the
    /// pipe's contents are not known at all.
    pub fn leftover(&self) -> Option<Vec<Leftover>> {
        match &self.mode {
            Mode::Solo(solo) => solo.leftover(),
            Mode::Contended(contended) => contended.leftover(),
        }
    }
}
