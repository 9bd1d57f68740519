//! System calls as events tell of them, and those that signals interrupt: a call that the kernel starts again is one call.
//!
//! Invariant: such a call keeps its number and its first entry, whatever it is on; it is told once, when it is over.
//! Tested live, in `live_verdicts`.

use ipcscope_common::{futex::FutexCall, mqueue::MqueueCall, object::ObjectCall, pipe::PipeCall, queue::QueueCall};

use super::{
    Decoder, names,
    tasks::{Interrupted, Thread},
};
use crate::event::{Call, ChannelId, Kind, OpId, Task, Transfer, Via};

/// What an interrupted call is on.
#[derive(Clone, Debug)]
pub enum On {
    /// No channel that is followed.
    Nothing,
    /// A pipe.
    Pipe(PipeCall),
    /// A System V message queue.
    Queue(Box<QueueCall>),
    /// A POSIX message queue.
    Mqueue(Box<MqueueCall>),
    /// Another object with a descriptor.
    Object(Box<ObjectCall>),
    /// A futex.
    Futex(Box<FutexCall>),
}

impl Decoder {
    /// A call of a family of its own returned; it may be one that was interrupted. Gives its number.
    pub(super) fn call_returned(&mut self, task: Task, nr: i32, entered: u64) -> OpId {
        self.tasks.resume(task.tid, entered, |interrupted| interrupted.nr == nr);
        if let Some(thread) = self.tasks.get_mut(task.tid) {
            thread.last_entered = entered;
        }
        self.tasks.op(task.tid, task.pid, entered)
    }

    /// ns that a thread was BLOCKED in a call that is over now; unknown while the scheduler is not captured, or if it began
    /// before what is kept.
    fn blocked_ns(&mut self, tid: u32, entered: u64, exited: u64) -> Option<u64> {
        let has_sched = self.has_sched() && entered >= self.known_from;
        let thread = self.tasks.get_mut(tid)?;
        let blocked = thread.take_blocked(entered, exited);
        has_sched.then_some(blocked)
    }

    /// A call of a thread that was entered and is over at these times.
    pub(super) fn call(&mut self, task: Task, op: OpId, nr: i32, (entered, until): (u64, u64)) -> Call {
        Call {
            op,
            syscall: names::syscall(nr),
            took_ns: until.saturating_sub(entered),
            blocked_ns: self.blocked_ns(task.tid, entered, until),
            restarts: 0,
            interrupted_by: Vec::new(),
            via: names::via(nr),
            unfinished: false,
        }
    }

    /// The call that something was told of which no signal interrupts; an operation of a ring is one of its own, in which
    /// nobody waits.
    pub(super) fn plain_call(&mut self, task: Task, nr: i32, (entered, until): (u64, u64)) -> Call {
        if names::via(nr) != Some(Via::IoUring) {
            let op = self.tasks.op(task.tid, task.pid, entered);
            return self.call(task, op, nr, (entered, until));
        }
        Call {
            op: self.tasks.another_op(),
            syscall: names::syscall(nr),
            took_ns: until.saturating_sub(entered),
            blocked_ns: Some(0),
            restarts: 0,
            interrupted_by: Vec::new(),
            via: Some(Via::IoUring),
            unfinished: false,
        }
    }

    /// The same as [`Decoder::call`]; if it is one that signals had interrupted, all of it. `is_on`: whether that one can be this.
    pub(super) fn call_after_signals(
        &mut self,
        task: Task,
        op: OpId,
        nr: i32,
        (entered, until): (u64, u64),
        is_on: fn(&On) -> bool,
    ) -> Call {
        let earlier = self.tasks.get_mut(task.tid).and_then(|thread| thread.interrupted.take());
        let earlier = earlier.filter(|call| call.nr == nr && !call.failed && is_on(&call.on));
        let entered = earlier.as_ref().map_or(entered, |earlier| earlier.entered);
        let call = self.call(task, op, nr, (entered, until));
        match earlier {
            Some(earlier) => Call { restarts: earlier.restarts, interrupted_by: earlier.by, ..call },
            None => call,
        }
    }

    /// A call came back with a restart code: it is not known yet whether it fails or goes on.
    pub(super) fn call_interrupted(&mut self, tid: u32, op: OpId, entered: u64, (nr, ret): (i32, i64), on: On) {
        let Some(thread) = self.tasks.get_mut(tid) else { return };
        let before = thread.interrupted.take().filter(|call| call.nr == nr && !call.failed);
        let (op, entered, restarts, by) = match before {
            Some(before) => (before.op, before.entered, before.restarts, before.by),
            None => (op, entered, 0, Vec::new()),
        };
        thread.interrupted =
            Some(Interrupted { op, entered, nr, ret, restarts, by, on, decided: false, failed: false });
    }

    /// The channel that an interrupted call is on.
    pub(super) fn channel_of_interrupted(&self, on: &On) -> Option<ChannelId> {
        match on {
            On::Nothing => None,
            On::Pipe(record) => Some(self.channels.name(record.dev, record.ino)),
            On::Queue(record) => self.queues.name(record.namespace, record.id),
            On::Mqueue(record) => Some(self.channels.name(record.dev, record.ino)),
            On::Object(record) => Some(self.channels.name(0, record.ino)),
            On::Futex(record) => Some(self.futexes.name_of(&self.spaces, record.header.tgid, record.address)),
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
        if let On::Nothing = interrupted.on {
            return;
        }
        let call = Call {
            restarts: interrupted.restarts,
            interrupted_by: interrupted.by.clone(),
            unfinished,
            ..self.call(task, interrupted.op, interrupted.nr, (interrupted.entered, time))
        };
        let boxed = |(transfer, is_send): (Transfer, bool)| (Box::new(transfer), is_send);
        let (mut transfer, is_send) = match &interrupted.on {
            On::Nothing => return,
            On::Pipe(record) => self.blank_transfer(record, call),
            On::Queue(record) => boxed(self.queue_blank(record, task, call)),
            On::Mqueue(record) => boxed(self.mqueue_blank(record, call)),
            On::Object(record) => match self.object_blank(record, call) {
                Some(blank) => boxed(blank),
                None => return,
            },
            On::Futex(record) => boxed((self.futex_blank(record, call), false)),
        };
        transfer.error = (!unfinished).then_some("EINTR");
        self.push(time, task, if is_send { Kind::Send(transfer) } else { Kind::Recv(transfer) });
    }

    /// A thread ends in the middle of calls that signals interrupted, those under its handlers included.
    pub(super) fn unfinished(&mut self, time: u64, task: Task) {
        let Some(thread) = self.tasks.get_mut(task.tid) else { return };
        let under = thread.handlers.iter_mut().filter_map(|frame| frame.call.take());
        let open: Vec<Interrupted> = under.chain(thread.interrupted.take()).filter(|call| !call.failed).collect();
        for interrupted in open {
            self.tell_interrupted(time, task, &interrupted, true);
        }
    }

    pub(super) fn finish_calls(&mut self) {
        let is_open = |thread: &&mut Thread| thread.interrupted.is_some() || !thread.handlers.is_empty();
        let mut open: Vec<Task> = self.tasks.all_mut().filter(is_open).map(|thread| thread.task).collect();
        open.sort_unstable();
        for task in open {
            self.unfinished(self.now, task);
        }
    }
}
