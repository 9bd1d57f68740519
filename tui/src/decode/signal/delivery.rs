//! Delivery: who takes a signal, the handlers that run, how they end; and calls that take signals instead.

use ipcscope_common::{
    call::CallEnd,
    signal::{self as wire, info},
};

use super::{Pending, SIGKILL, delivery, sender::value};
use crate::{
    decode::{Decoder, names, tasks::Interrupted, verdict},
    event::{
        Action, Destination, Interrupted as InterruptedCall, Kind, Phase, Scope, SignalEvent, SignalId, Task, Verdict,
    },
};

/// Bytes below the stack pointer that a function may use, so a handler's frame lies below them (System V ABI, x86-64).
const RED_ZONE: u64 = 128;

/// A handler that runs.
#[derive(Clone, Debug)]
pub struct Frame {
    event: SignalEvent,
    began: u64,
    /// The stack pointer of what it interrupted; 0: it runs on another stack, so places say nothing.
    sp: u64,
    /// The call it interrupted, if that is to go on.
    pub call: Option<Interrupted>,
}

impl Decoder {
    pub(in crate::decode) fn deliver(&mut self, record: &wire::Deliver) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        if self.tasks.ensure(task.tid, task.pid).held {
            return;
        }
        // A fatal signal reaches every thread as SIGKILL; the true one is in the process's exit code.
        let fatal = record.signo == SIGKILL && record.info != info::FULL;
        let signo = match record.group_exit_code & 0x7f {
            0 => record.signo,
            real if fatal => real,
            _ => record.signo,
        };
        if fatal && self.tasks.process(task.pid).is_some_and(|p| std::mem::replace(&mut p.killed, true)) {
            return;
        }
        let carries = (record.info == info::FULL).then_some((record.code, record.value));
        let pending = match self.passed_on(header.time, task, signo).or_else(|| self.take_pending(task, signo, carries))
        {
            Some(pending) => pending,
            // Another thread's exit_group(2) ends this one: no signal.
            None if fatal => return,
            None => self.unseen(header.time, signo),
        };
        self.unwind(header.time, task, record.sp.saturating_add(RED_ZONE));
        let to = Destination { pid: task.pid, tid: Some(task.tid), external: false };
        let mut event = SignalEvent::about(&pending, Phase::Delivered, to);
        event.code = if record.info == info::FULL { names::si_code(signo, record.code) } else { None };
        event.value = value(signo, record.info, record.code, record.value);
        event.delivery = delivery(signo, if fatal { 0 } else { record.handler }, record.sa_flags);
        event.delivery.pending_ns = pending.waited(header.time);
        let is_handler = event.delivery.action == Some(Action::Handler);
        let (call, verdict) = self.interrupt(task, pending.id, is_handler, record);
        event.delivery.interrupted = call;
        if event.delivery.action == Some(Action::Ignore) {
            event.phase = Phase::Discarded;
            event.reason = Some("ignored");
            self.push(header.time, task, Kind::Signal(Box::new(event)));
            return;
        }
        if !is_handler {
            event.delivery.verdict = Some(verdict);
            self.push(header.time, task, Kind::Signal(Box::new(event)));
            return;
        }
        let depth = self.tasks.get(task.tid).map_or(0, |thread| thread.handlers.len());
        event.delivery.nesting = u32::try_from(depth).ok();
        self.push(header.time, task, Kind::Signal(Box::new(event.clone())));
        if verdict == Verdict::Eintr {
            self.call_failed(header.time, task);
        }
        event.delivery.verdict = Some(verdict);
        let on_another_stack = event.delivery.flags.contains(&"SA_ONSTACK");
        if let Some(thread) = self.tasks.get_mut(task.tid) {
            // What the handler calls is another matter; the interrupted call waits beneath it.
            let call = thread.interrupted.take().filter(|call| !call.failed);
            let sp = if on_another_stack { 0 } else { record.sp };
            thread.handlers.push(Frame { event, began: header.time, sp, call });
        }
    }

    /// A signal whose generation a loss has hidden, or that was pending before the trace began.
    fn unseen(&mut self, time: u64, signo: i32) -> Pending {
        let id = self.signals.fresh();
        Pending {
            id,
            signo,
            generated: time,
            sender: None,
            scope: Scope::Process,
            code: 0,
            value: 0,
            timer: None,
            stale: None,
        }
    }

    /// Handlers whose frames lie below a stack pointer in use will never return: longjmp(3) has left them.
    fn unwind(&mut self, time: u64, task: Task, sp: u64) {
        let mut left = Vec::new();
        if let Some(thread) = self.tasks.get_mut(task.tid) {
            while let Some(frame) = thread.handlers.pop_if(|frame| frame.sp != 0 && sp > frame.sp) {
                left.insert(0, frame);
            }
        }
        self.abandon(time, task, left);
    }

    /// Handlers that never return; the innermost last.
    pub(in crate::decode) fn abandon(&mut self, time: u64, task: Task, frames: Vec<Frame>) {
        for Frame { mut event, .. } in frames.into_iter().rev() {
            event.phase = Phase::Abandoned;
            self.push(time, task, Kind::Signal(Box::new(event)));
        }
    }

    /// A handler returned. What it restored as the result of the call beneath tells whether that goes on: the
    /// number of the call to be made again, or -EINTR.
    pub(in crate::decode) fn handled(&mut self, record: &CallEnd) {
        let (time, task) = (record.header.time, Task { pid: record.header.tgid, tid: record.header.tid });
        let [mask, sp, _] = record.args;
        self.unwind(time, task, sp);
        let Some(thread) = self.tasks.get_mut(task.tid) else { return };
        thread.mask = Some(mask);
        let Some(frame) = thread.handlers.pop() else { return };
        let Frame { mut event, began, call, .. } = frame;
        if let Some(call) = call {
            // What was expected at the delivery gives way to what the call's registers say now.
            event.delivery.verdict = verdict::restored(record.ret, call.nr);
            let has_failed = event.delivery.verdict == Some(Verdict::Eintr);
            thread.interrupted = Some(call);
            if has_failed {
                self.call_failed(time, task);
            }
        }
        event.phase = Phase::Handled;
        event.delivery.handler_ns = Some(time.saturating_sub(began));
        self.push(time, task, Kind::Signal(Box::new(event)));
    }

    /// A call took a signal: rt_sigtimedwait(2), or a read of a signalfd.
    pub(in crate::decode) fn consumed(&mut self, record: &wire::Consumed) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        if self.tasks.ensure(task.tid, task.pid).held {
            return;
        }
        let carries = (record.known != 0).then_some((record.code, record.value));
        let pending = match self.take_pending(task, record.signo, carries) {
            Some(pending) => pending,
            None => self.unseen(header.time, record.signo),
        };
        let op = self.tasks.op(task.tid, task.pid, record.entered);
        let by = InterruptedCall { op: Some(op), syscall: names::syscall(record.nr), channel: None };
        self.end_pending(header.time, task, &pending, Phase::Consumed, None, Some(by));
    }
}

impl super::Signals {
    /// A number for an instance.
    pub(super) fn fresh(&mut self) -> SignalId {
        let id = SignalId(self.next);
        self.next += 1;
        id
    }
}
