//! Pipes: calls become sends and receives, and every receive learns whose bytes it got.

mod convert;
mod openers;
mod resolve;
mod transfer;

use foldhash::HashMap;

use ipcscope_common::{
    pipe::{self as wire, flag, point},
    sched,
};
use syscalls::Sysno;

use crate::event::{ChannelId, ChannelType, FromUnknown, OpId, Task, ThreadState};

use convert::{call_id, known, layout, method, position, side};
use openers::Openers;
pub use openers::Verdict;

use super::{
    Decoder,
    call::On,
    descriptor::Key,
    names,
    outbox::Place,
    pipe_order::{CallId, Method, PipeOrder, Position, Resolved, Sample, Side, Why},
};

/// A pipe in the stream.
#[derive(Clone, Debug)]
pub struct Pipe {
    /// What it is called.
    pub id: ChannelId,
    /// Pipe or FIFO.
    pub mechanism: ChannelType,
    /// Its `pipe_inode_info`.
    pub address: u64,
    /// Descriptors in the trace.
    pub holders: u32,
    /// Somebody outside the trace holds an end, or may.
    pub outside: bool,
    /// Copies of its ends that messages took along and nobody in the trace has got yet.
    pub on_the_way: u32,
    /// Who holds an end may move bytes in ways that are not followed.
    pub unseen: bool,
    /// Who has it open.
    pub openers: Openers,
    order: PipeOrder,
    contended: bool,
    /// Events that wait to learn whose bytes they are of, or where in the stream.
    waiting: HashMap<CallId, Place>,
}

impl Pipe {
    /// A pipe of `slots` buffers; `created`: seen from its creation.
    pub fn new(id: ChannelId, mechanism: ChannelType, slots: u32, address: u64, created: bool, outside: bool) -> Self {
        let slots = if slots == 0 { 16 } else { slots };
        let order = if created { PipeOrder::created(slots) } else { PipeOrder::found(slots, None) };
        Self {
            id,
            mechanism,
            address,
            holders: 0,
            outside: outside && (!created || mechanism == ChannelType::Fifo),
            on_the_way: 0,
            unseen: false,
            openers: Openers::default(),
            order,
            contended: false,
            waiting: HashMap::default(),
        }
    }

    /// Why nothing can be said of whose bytes are whose, whatever was counted.
    fn obstacle(&self) -> Option<FromUnknown> {
        if self.outside || self.on_the_way > 0 {
            Some(FromUnknown::External)
        } else if self.unseen {
            Some(FromUnknown::Overlap)
        } else {
            None
        }
    }

    /// Records are missing from then on, until then.
    pub fn lose(&mut self, time: u64, until: u64) {
        self.order.lost(time, until);
    }

    /// It has another number of buffers now.
    pub fn resize(&mut self, slots: u32) {
        self.order.resize(slots);
    }
}

/// `TASK_INTERRUPTIBLE` (include/linux/sched.h): in a pipe only those who wait for bytes or room sleep so.
const INTERRUPTIBLE: u32 = 1;

impl Decoder {
    /// A thread fell asleep in a call on a pipe: the call is in flight, whenever it may return.
    pub(super) fn pipe_blocked(&mut self, block: &sched::Block, op: Option<OpId>) {
        let Some(op) = op else { return };
        let header = &block.switch.header;
        // Waiting for the mutex or for a page is uninterruptible.
        let waits = block.switch.state & INTERRUPTIBLE != 0;
        let Some(pipe) = self.channels.pipe((block.dev, block.ino)) else { return };
        if pipe.contended {
            // Its samples tell.
            return;
        }
        let (side, requested) = match names::sysno(block.nr) {
            Some(Sysno::read) => (Side::Read, Some(block.args[2])),
            Some(Sysno::readv | Sysno::preadv2) => (Side::Read, None),
            Some(Sysno::write) => (Side::Write, Some(block.args[2])),
            Some(Sysno::writev | Sysno::pwritev2) => (Side::Write, None),
            _ => return,
        };
        let call = call_id(op, header.tgid);
        if !self.tasks.tell(header.tid) {
            pipe.order.enter(block.entered, call, block.task, side, Method::Plain, requested, None);
        }
        pipe.order.switch_out(header.time, call, waits, None);
        self.resolve_pipe((block.dev, block.ino), false);
    }

    pub(super) fn pipe_sample(&mut self, record: &wire::PipeSample) {
        let header = &record.header;
        self.tasks.resume(
            header.tid,
            record.entered,
            |interrupted| matches!(&interrupted.on, On::Pipe(call) if (call.dev, call.ino) == (record.dev, record.ino)),
        );
        let op = self.tasks.op(header.tid, header.tgid, record.entered);
        if let Some(thread) = self.tasks.get_mut(header.tid) {
            thread.address = record.task;
        }
        let key = (record.dev, record.ino);
        let call = call_id(op, header.tgid);
        let sample = Some(Sample {
            before: position(&record.before),
            after: position(&record.after),
            owner_before: record.owner_before,
            owner_after: record.owner_after,
        });
        let Some(pipe) = self.channels.pipe(key) else { return };
        if !pipe.contended {
            // The record that says so was lost.
            pipe.contended = true;
            pipe.order.contended(header.time, None);
        }
        let order = &mut pipe.order;
        match record.point {
            point::ENTER => {
                let (side, method) = (side(record.flags), method(record.flags));
                order.enter(header.time, call, record.task, side, method, known(record.amount), sample);
            }
            point::EXIT => order.exit(header.time, call, record.amount as i64, sample),
            point::OUT => order.switch_out(header.time, call, false, sample),
            point::ASLEEP => order.switch_out(header.time, call, true, sample),
            point::CONTENDS => order.contends(header.time, call, sample),
            _ => order.switch_in(header.time, call, sample),
        }
        self.resolve_pipe(key, false);
    }

    pub(super) fn pipe_contended(&mut self, record: &wire::PipeLayout) {
        let header = &record.header;
        let key = (record.dev, record.ino);
        let users = [
            (Side::Write, record.writer_tid, record.writer, record.writer_entered),
            (Side::Read, record.reader_tid, record.reader, record.reader_entered),
        ];
        for (side, tid, address, entered) in users {
            let Some(thread) = self.tasks.get(tid) else { continue };
            // Over already?
            if entered == 0 || thread.last_entered >= entered {
                continue;
            }
            let pid = thread.task.pid;
            let awake = thread.state != Some(ThreadState::Blocked);
            let op = self.tasks.op(tid, pid, entered);
            let told = self.tasks.tell(tid);
            let Some(pipe) = self.channels.pipe(key) else { continue };
            if told {
                if awake {
                    pipe.order.switch_in(header.time, call_id(op, pid), None);
                }
            } else {
                pipe.order.enter(entered, call_id(op, pid), address, side, Method::Plain, None, None);
            }
        }
        if let Some(pipe) = self.channels.pipe(key) {
            pipe.contended = true;
            pipe.order.contended(header.time, layout(record));
        }
        self.resolve_pipe(key, false);
    }

    pub(super) fn pipe_layout(&mut self, record: &wire::PipeLayout) {
        let key = (record.dev, record.ino);
        if let (Some(pipe), Some(layout)) = (self.channels.pipe(key), layout(record)) {
            pipe.order.layout(record.header.time, layout);
            self.resolve_pipe(key, false);
        }
    }

    /// A process may move bytes in ways that are not followed.
    pub(super) fn pipe_unseen(&mut self, record: &wire::PipeUnseen) {
        self.channels.move_unseen(record.files);
    }

    /// Records are missing, from then on until then.
    pub(super) fn pipes_lost(&mut self, time: u64, until: u64) {
        self.channels.blind_until = self.channels.blind_until.max(until);
        let keys: Vec<Key> = self.channels.pipes().map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(pipe) = self.channels.pipe(key) {
                pipe.lose(time, until);
            }
            self.resolve_pipe(key, false);
        }
    }

    /// A call on a pipe returned.
    pub(super) fn pipe_call(&mut self, record: &wire::PipeCall, payload: &[u8]) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let key = (record.dev, record.ino);
        self.tasks.resume(task.tid, record.entered, |interrupted| interrupted.nr == record.nr);
        let op = self.tasks.op(task.tid, task.pid, record.entered);
        let identity = self.tasks.get_mut(task.tid).map_or(0, |thread| {
            thread.last_entered = record.entered;
            thread.identity()
        });
        let follows = self.follows();
        let mut unplaced = false;
        let pipe = self.channels.ensure(key, record.object, record.slots, 0, false);
        pipe.outside |= !follows;
        if record.slots != 0 {
            pipe.openers.see(record.readers.into(), record.writers.into(), header.time);
        }
        let call = call_id(op, task.pid);
        if record.flags & flag::SAMPLED == 0 {
            let requested = known(record.requested);
            // Exact emptiness, if it was seen, tells where a pipe found in use stands.
            let empty = record.flags & flag::STABLE != 0 && record.fill == 0;
            let at = Position { head: record.head, tail: record.tail, write_end: 0, read_offset: 0 };
            let sample =
                (empty && !pipe.contended).then_some(Sample { before: at, after: at, owner_before: 0, owner_after: 0 });
            // A call with two ends is never told of before it returns.
            let told = record.flags & flag::OPAQUE == 0 && self.tasks.tell(task.tid);
            let (side, method) = (side(record.flags), method(record.flags));
            // One that began before sampling did and was not told of then has done its work at a time unknown.
            unplaced = pipe.contended && !pipe.order.is_open(call);
            if !told && !unplaced {
                pipe.order.enter(record.entered, call, identity, side, method, requested, None);
            }
            pipe.order.exit(header.time, call, record.ret, sample);
            if record.flags & flag::STABLE != 0 && record.fill != wire::UNKNOWN {
                pipe.order.filled(header.time, side, record.fill.into());
            }
        }
        if (-516..=-512).contains(&record.ret) {
            self.call_interrupted(header.tid, op, record.entered, (record.nr, record.ret), On::Pipe(*record));
        } else {
            self.transfer(record, payload, op, task);
            if unplaced {
                let answer = match side(record.flags) {
                    Side::Read => Resolved::Unknown { call, why: Why::Overlap },
                    Side::Write => Resolved::Write { call, offset: None },
                };
                self.answer(key, answer);
            }
        }
        self.resolve_pipe(key, false);
    }
}
