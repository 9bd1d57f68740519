//! The send or receive that a call on a pipe was; a call that signals interrupted is one with its restarts.

use ipcscope_common::{
    descriptor::object,
    pipe::{self as wire, flag},
};

use super::super::{Decoder, names, tasks::Interrupted};
use super::convert::{call_id, known};
use crate::event::{Call, ChannelType, Kind, OpId, Task, Transfer};

impl Decoder {
    /// ns that a thread was BLOCKED in a call that is over now; unknown while the scheduler is not captured.
    pub(in crate::decode) fn blocked_ns(&mut self, tid: u32, entered: u64, exited: u64) -> Option<u64> {
        let has_sched = self.has_sched();
        let thread = self.tasks.get_mut(tid)?;
        let blocked = thread.take_blocked(entered, exited);
        has_sched.then_some(blocked)
    }

    /// It is not known yet whether the call fails or goes on.
    pub(super) fn interrupted_call(&mut self, record: &wire::PipeCall, op: OpId) {
        let Some(thread) = self.tasks.get_mut(record.header.tid) else { return };
        let before = thread.interrupted.take().filter(|i| i.nr == record.nr && !i.failed);
        let (op, entered, restarts, by) = match before {
            Some(before) => (before.op, before.entered, before.restarts, before.by),
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
            queue: None,
            decided: false,
            failed: false,
        });
    }

    /// The send or receive that a call was.
    pub(super) fn transfer(&mut self, record: &wire::PipeCall, payload: &[u8], op: OpId, task: Task) {
        // The same call again after a signal: one call.
        let restarted = self.tasks.get_mut(task.tid).and_then(|thread| thread.interrupted.take());
        let restarted = restarted.filter(|i| i.nr == record.nr && !i.failed && i.record.is_some());
        let entered = restarted.as_ref().map_or(record.entered, |earlier| earlier.entered);
        let mut call = self.call_of(record, op, task, entered, record.header.time);
        if let Some(earlier) = restarted {
            call.restarts = earlier.restarts;
            call.interrupted_by = earlier.by;
        }
        if let Some(thread) = self.tasks.get_mut(task.tid) {
            thread.last_transfer = Some((op, record.nr, known(record.requested), record.ret));
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
    pub(in crate::decode) fn call_failed(&mut self, time: u64, task: Task) {
        let Some(thread) = self.tasks.get_mut(task.tid) else { return };
        let Some(interrupted) = thread.interrupted.as_mut() else { return };
        interrupted.failed = true;
        let interrupted = interrupted.clone();
        self.tell_interrupted(time, task, &interrupted, false);
    }

    fn tell_interrupted(&mut self, time: u64, task: Task, interrupted: &Interrupted, unfinished: bool) {
        self.queue_tell_interrupted(time, task, interrupted, unfinished);
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

    /// A thread ends in the middle of calls that signals interrupted, those under its handlers included.
    pub(in crate::decode) fn unfinished(&mut self, time: u64, task: Task) {
        let Some(thread) = self.tasks.get_mut(task.tid) else { return };
        let under = thread.handlers.iter_mut().filter_map(|frame| frame.call.take());
        let open: Vec<Interrupted> = under.chain(thread.interrupted.take()).filter(|call| !call.failed).collect();
        for interrupted in open {
            self.tell_interrupted(time, task, &interrupted, true);
        }
    }

    pub(in crate::decode) fn finish_calls(&mut self) {
        let is_open = |t: &&mut crate::decode::tasks::Thread| t.interrupted.is_some() || !t.handlers.is_empty();
        let mut open: Vec<Task> = self.tasks.all_mut().filter(is_open).map(|t| t.task).collect();
        open.sort_unstable();
        for task in open {
            self.unfinished(self.now, task);
        }
    }
}
