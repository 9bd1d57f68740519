//! Pipes: calls become sends and receives, and every receive learns whose bytes it got.

use std::collections::HashMap;

use ipcscope_common::{
    descriptor::object,
    pipe::{self as wire, flag, point},
    sched,
};
use syscalls::Sysno;

use crate::event::{Call, ChannelId, ChannelType, FromUnknown, Kind, OpId, Origin, Task, ThreadState, Transfer};

use super::{
    Decoder,
    descriptor::Key,
    names,
    outbox::Place,
    pipe_order::{Buffer, CallId, Layout, Method, PipeOrder, Position, Resolved, Sample, Side, Why},
    tasks::Interrupted,
};

/// A pipe in the stream.
#[derive(Debug)]
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
            outside: outside && !created,
            order,
            contended: false,
            waiting: HashMap::new(),
        }
    }

    /// It has another number of buffers now.
    pub fn resize(&mut self, slots: u32) {
        self.order.resize(slots);
    }
}

/// `TASK_INTERRUPTIBLE` (include/linux/sched.h): in a pipe only those who wait for bytes or room sleep so.
const INTERRUPTIBLE: u32 = 1;

/// How many bits of a call's number in the order of a pipe are its process.
const PID_BITS: u32 = 22;

/// A call as the order of a pipe knows it: carries its process, so that no table is needed to name the sender.
fn call_id(op: OpId, pid: u32) -> CallId {
    op.0 << PID_BITS | u64::from(pid) & ((1 << PID_BITS) - 1)
}

fn origin(call: CallId, bytes: u64) -> Origin {
    Origin { op: OpId(call >> PID_BITS), pid: (call & ((1 << PID_BITS) - 1)) as u32, bytes }
}

fn position(wire: &wire::Position) -> Position {
    Position { head: wire.head, tail: wire.tail, write_end: wire.write_end, read_offset: wire.read_offset }
}

fn side(flags: u16) -> Side {
    if flags & flag::WRITE != 0 { Side::Write } else { Side::Read }
}

fn method(flags: u16) -> Method {
    if flags & flag::PEEK != 0 {
        Method::Peek
    } else if flags & flag::OPAQUE != 0 {
        Method::Opaque
    } else if flags & (flag::PACKET | flag::WRITE) == flag::PACKET | flag::WRITE {
        Method::Packet
    } else {
        Method::Plain
    }
}

fn known(amount: u64) -> Option<u64> {
    (amount != u64::MAX).then_some(amount)
}

fn layout(record: &wire::PipeLayout) -> Option<Layout> {
    if record.stable == 0 {
        return None;
    }
    let used = record.head.wrapping_sub(record.tail) as usize;
    let buffers = record.buffers.get(..used)?.iter().map(|buffer| Buffer {
        offset: buffer.offset,
        len: buffer.len,
        can_merge: buffer.flags & wire::BUFFER_CAN_MERGE != 0,
        packet: buffer.flags & wire::BUFFER_PACKET != 0,
    });
    Some(Layout { head: record.head, tail: record.tail, buffers: buffers.collect() })
}

impl Decoder {
    /// ns that a thread was BLOCKED in a call that is over now; unknown while the scheduler is not captured.
    pub(super) fn blocked_ns(&mut self, tid: u32, entered: u64, exited: u64) -> Option<u64> {
        let has_sched = self.has_sched();
        let thread = self.tasks.get_mut(tid)?;
        let blocked = thread.take_blocked(entered, exited);
        has_sched.then_some(blocked)
    }

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
        let (side, requested) = match usize::try_from(block.nr).ok().and_then(Sysno::new) {
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
        self.tasks.resume(header.tid, record.entered, |interrupted| {
            interrupted.record.is_some_and(|call| (call.dev, call.ino) == (record.dev, record.ino))
        });
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

    pub(super) fn pipes_lost(&mut self, time: u64) {
        let keys: Vec<Key> = self.channels.pipes().map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(pipe) = self.channels.pipe(key) {
                pipe.order.lost(time);
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
        let pipe = self.channels.ensure(key, record.object, record.slots, 0, false);
        pipe.outside |= !follows;
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
            if !told {
                let (side, method) = (side(record.flags), method(record.flags));
                pipe.order.enter(record.entered, call, identity, side, method, requested, None);
            }
            pipe.order.exit(header.time, call, record.ret, sample);
        }
        if (-516..=-512).contains(&record.ret) {
            self.interrupted_call(record, op);
        } else {
            self.transfer(record, payload, op, task);
        }
        self.resolve_pipe(key, false);
    }

    /// It is not known yet whether the call fails or goes on.
    fn interrupted_call(&mut self, record: &wire::PipeCall, op: OpId) {
        let Some(thread) = self.tasks.get_mut(record.header.tid) else { return };
        let before = thread.interrupted.take().filter(|i| i.nr == record.nr && !i.failed);
        let (op, entered, restarts, by) = match before {
            Some(before) => (before.op, before.entered, before.restarts + 1, before.by),
            None => (op, record.entered, 0, Vec::new()),
        };
        thread.interrupted = Some(Interrupted {
            op,
            entered,
            nr: record.nr,
            ret: record.ret,
            restarts,
            by,
            record: Some(*record),
            failed: false,
        });
    }

    /// The send or receive that a call was.
    fn transfer(&mut self, record: &wire::PipeCall, payload: &[u8], op: OpId, task: Task) {
        // The same call again after a signal: one call.
        let restarted = self.tasks.get_mut(task.tid).and_then(|thread| thread.interrupted.take());
        let restarted = restarted.filter(|i| i.nr == record.nr && !i.failed && i.record.is_some());
        let entered = restarted.as_ref().map_or(record.entered, |earlier| earlier.entered);
        let mut call = self.call_of(record, op, task, entered, record.header.time);
        if let Some(earlier) = restarted {
            call.restarts = earlier.restarts + 1;
            call.interrupted_by = earlier.by;
        }
        let mut transfer = self.blank_transfer(record, call);
        let write = record.flags & flag::WRITE != 0;
        if record.ret >= 0 {
            transfer.bytes = Some(record.ret as u64);
            transfer.eof = !write && record.ret == 0 && record.requested != 0 && record.flags & flag::LONELY != 0;
        } else {
            transfer.error = Some(names::errno(-record.ret as i32));
        }
        if record.flags & flag::STABLE != 0 {
            transfer.fill = (record.fill != wire::UNKNOWN).then_some(u64::from(record.fill));
        }
        if record.slots != 0 {
            transfer.slots_used = Some(record.head.wrapping_sub(record.tail));
            transfer.slots = Some(record.slots);
        }
        transfer.payload = (!payload.is_empty()).then(|| payload.to_vec());
        transfer.peek = record.flags & flag::PEEK != 0;
        let kind = if write { Kind::Send(transfer) } else { Kind::Recv(transfer) };
        let event = self.event(record.header.time, task, kind);
        if record.ret <= 0 {
            self.outbox.push(event);
            return;
        }
        let place = self.outbox.hold(event);
        if let Some(pipe) = self.channels.pipe((record.dev, record.ino)) {
            pipe.waiting.insert(call_id(op, task.pid), place);
        }
    }

    fn call_of(&mut self, record: &wire::PipeCall, op: OpId, task: Task, entered: u64, until: u64) -> Call {
        Call {
            op,
            syscall: names::syscall(record.nr),
            took_ns: until.saturating_sub(entered),
            blocked_ns: self.blocked_ns(task.tid, entered, until),
            restarts: 0,
            interrupted_by: Vec::new(),
            via: None,
            unfinished: false,
        }
    }

    fn blank_transfer(&self, record: &wire::PipeCall, call: Call) -> Transfer {
        let mechanism = if record.object == object::FIFO { ChannelType::Fifo } else { ChannelType::Pipe };
        let channel = self.channels.name(record.dev, record.ino);
        Transfer {
            requested: known(record.requested),
            nonblocking: record.flags & flag::NONBLOCK != 0,
            ..Transfer::new(channel, mechanism, Some(record.fd), call)
        }
    }

    /// The interrupted call of a thread fails: its event.
    pub(super) fn call_failed(&mut self, time: u64, task: Task) {
        let Some(thread) = self.tasks.get_mut(task.tid) else { return };
        let Some(interrupted) = thread.interrupted.as_mut() else { return };
        interrupted.failed = true;
        let interrupted = interrupted.clone();
        self.tell_interrupted(time, task, &interrupted, false);
    }

    fn tell_interrupted(&mut self, time: u64, task: Task, interrupted: &Interrupted, unfinished: bool) {
        let Some(record) = &interrupted.record else { return };
        let mut call = self.call_of(record, interrupted.op, task, interrupted.entered, time);
        call.restarts = interrupted.restarts;
        call.interrupted_by.clone_from(&interrupted.by);
        call.unfinished = unfinished;
        let mut transfer = self.blank_transfer(record, call);
        transfer.error = (!unfinished).then_some("EINTR");
        let write = record.flags & flag::WRITE != 0;
        self.push(time, task, if write { Kind::Send(transfer) } else { Kind::Recv(transfer) });
    }

    /// A thread ends in the middle of a call that a signal interrupted.
    pub(super) fn unfinished(&mut self, time: u64, task: Task) {
        let Some(thread) = self.tasks.get_mut(task.tid) else { return };
        if let Some(interrupted) = thread.interrupted.take().filter(|i| !i.failed) {
            self.tell_interrupted(time, task, &interrupted, true);
        }
    }

    pub(super) fn finish_calls(&mut self) {
        let open: Vec<Task> = self.tasks.all_mut().filter(|t| t.interrupted.is_some()).map(|t| t.task).collect();
        for task in open {
            self.unfinished(self.now, task);
        }
    }

    pub(super) fn finish_pipes(&mut self) {
        let keys: Vec<Key> = self.channels.pipes().map(|(key, _)| *key).collect();
        for key in keys {
            self.resolve_pipe(key, true);
        }
    }

    /// Everything up to a moment has been told: contended pipes that fell quiet can be worked off.
    pub fn advance(&mut self, time: u64) {
        let keys: Vec<Key> =
            self.channels.pipes().filter(|(_, p)| p.contended && !p.waiting.is_empty()).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(pipe) = self.channels.pipe(key) {
                pipe.order.advance(time);
            }
            self.resolve_pipe(key, false);
        }
    }

    /// Completes the events whose facts have become known.
    pub(super) fn resolve_pipe(&mut self, key: Key, all: bool) {
        let Some(pipe) = self.channels.pipe(key) else { return };
        if all {
            pipe.order.flush();
        }
        let outside = pipe.outside;
        let discards = pipe.order.discarded();
        let mut done = Vec::new();
        for resolved in pipe.order.resolved() {
            let call = match &resolved {
                Resolved::Read { call, .. } | Resolved::Unknown { call, .. } | Resolved::Write { call, .. } => *call,
            };
            done.push((call, resolved));
        }
        for (call, resolved) in done {
            let Some(place) = self.channels.pipe(key).and_then(|pipe| pipe.waiting.remove(&call)) else { continue };
            self.outbox.complete(place, |event| {
                let (Kind::Send(transfer) | Kind::Recv(transfer)) = &mut event.kind else { return };
                transfer.discarded = discards.iter().find(|(read, _)| *read == call).map(|(_, bytes)| *bytes);
                match resolved {
                    // With somebody outside on the pipe, counting proves nothing.
                    Resolved::Read { .. } | Resolved::Unknown { .. } if outside => {
                        transfer.from_unknown = Some(FromUnknown::External);
                    }
                    Resolved::Write { .. } if outside => {}
                    Resolved::Read { parts, offset, .. } => {
                        transfer.from = Some(parts.iter().map(|part| origin(part.write, part.bytes)).collect());
                        transfer.offset = offset;
                    }
                    Resolved::Unknown { why, .. } => {
                        transfer.from_unknown = Some(match why {
                            Why::Overlap => FromUnknown::Overlap,
                            Why::BeforeStart => FromUnknown::BeforeStart,
                            Why::Lost => FromUnknown::Lost,
                        });
                    }
                    Resolved::Write { offset, .. } => transfer.offset = offset,
                }
            });
        }
    }
}
