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

/// One call on the pipe, unique in the trace.
pub type CallId = u64;

/// The end of the pipe a call works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Takes bytes out.
    Read,
    /// Puts bytes in.
    Write,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Read => Self::Write,
            Self::Write => Self::Read,
        }
    }
}

/// What of a call's effect on the buffers can be predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// read, readv, write, writev.
    Plain,
    /// A write under `O_DIRECT`: each buffer is a packet, a read gets one and drops what does not fit.
    Packet,
    /// splice, vmsplice, sendfile, tee's destination, io_uring: only the byte count is known.
    Opaque,
    /// tee's source: bytes are seen, not taken.
    Peek,
}

/// Where both sides of a pipe stand; never decreases (modulo 2^32) while the pipe keeps its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// `pipe_inode_info.head`.
    pub head: u32,
    /// `pipe_inode_info.tail`.
    pub tail: u32,
    /// Offset plus length of the newest buffer, in use or not.
    pub write_end: u32,
    /// Offset of the oldest buffer, 0 if the pipe is empty.
    pub read_offset: u32,
}

/// What a hook read around its clock, in this order: `before`, `owner_before`, the time, `owner_after`, `after`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Position read first.
    pub before: Position,
    /// Position read last.
    pub after: Position,
    /// `task_struct` address in `pipe->mutex.owner` just before the clock, low 3 bits masked; 0: free.
    pub owner_before: u64,
    /// The same just after the clock.
    pub owner_after: u64,
}

/// One `pipe_buffer` in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Offset of its first unread byte in the page.
    pub offset: u32,
    /// Unread bytes.
    pub len: u32,
    /// `PIPE_BUF_FLAG_CAN_MERGE`.
    pub can_merge: bool,
    /// `PIPE_BUF_FLAG_PACKET`.
    pub packet: bool,
}

/// Every buffer of the pipe, read while nobody held its mutex.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// `pipe_inode_info.head`.
    pub head: u32,
    /// `pipe_inode_info.tail`.
    pub tail: u32,
    /// The buffers in use, oldest first.
    pub buffers: Vec<Buffer>,
}

/// Bytes that a read got from one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The write.
    pub write: CallId,
    /// How many, never 0.
    pub bytes: u64,
}

/// Bytes in the pipe that nobody has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Who wrote them, if known.
    pub write: Option<CallId>,
    /// How many, never 0.
    pub bytes: u64,
}

/// Why the senders of a read cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Calls overlapped, and what was recorded fits more than one order; or a call whose effect cannot be predicted
    /// took part.
    Overlap,
    /// The bytes may have been in the pipe before the trace began.
    BeforeStart,
    /// Records are missing.
    Lost,
}

/// Something that became known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Where the bytes of a read came from.
    Read {
        /// The read.
        call: CallId,
        /// In order; their bytes add up to what the read returned; neighbours are of different writes.
        parts: Vec<Part>,
        /// Place of its first byte in the stream since the pipe's creation, if known.
        offset: Option<u64>,
        /// Bytes of a packet that did not fit and are gone, if known.
        discarded: Option<u64>,
    },
    /// The senders of a read cannot be known.
    Unknown {
        /// The read.
        call: CallId,
        /// The reason.
        why: Why,
    },
    /// A write that put bytes.
    Write {
        /// The write.
        call: CallId,
        /// Place of its first byte in the stream since the pipe's creation, if known.
        offset: Option<u64>,
    },
}

/// Slots beyond what `/proc/sys/fs/pipe-max-size` is ever set to; keeps arbitrary input bounded.
const MOST_SLOTS: u32 = 1 << 16;

#[derive(Debug)]
enum Mode {
    Solo(Solo),
    Contended(Box<Contended>),
}

/// Follows one pipe and tells who got whose bytes.
#[derive(Debug)]
pub struct PipeOrder {
    mode: Mode,
    calls: Calls,
    max_usage: u32,
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
        Self { mode: Mode::Solo(solo), calls: Calls::default(), max_usage, out: Vec::new() }
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
                    if let Some(empty) = sample.filter(Sample::is_empty) {
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

    /// A second reader or writer has appeared; from here on every step carries a sample and comes in the order of
    /// time. Calls in flight have been entered just before. `layout`: the pipe at `time`; `None` if it could not be
    /// read while its mutex was free.
    pub fn contended(&mut self, time: u64, layout: Option<Layout>) {
        match &mut self.mode {
            Mode::Solo(solo) => {
                let solo = std::mem::take(solo);
                self.calls.start();
                let contended = Contended::new(solo, self.max_usage, time, layout);
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

    /// Records of this pipe are missing: its contents and the progress of calls in flight are unknown until seen
    /// again. Stream offsets are unknown for good.
    pub fn lost(&mut self, time: u64) {
        match &mut self.mode {
            Mode::Solo(solo) => solo.lost(Why::Lost, &mut self.out),
            Mode::Contended(contended) => {
                contended.lost(time);
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

impl Sample {
    /// The state was exactly this at the sample's time.
    fn exact(&self) -> Option<&Position> {
        (self.before == self.after && self.owner_before == 0 && self.owner_after == 0).then_some(&self.before)
    }

    /// The pipe was exactly empty.
    fn is_empty(&self) -> bool {
        self.exact().is_some_and(|position| position.head == position.tail)
    }
}
