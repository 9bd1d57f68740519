//! The send or receive that a call on a queue was; a call that signals interrupted is one with its restarts.

use ipcscope_common::queue::{self as wire, state};
use syscalls::Sysno;

use super::super::{Decoder, names, tasks::Interrupted};
use super::sysno;
use crate::event::{Call, ChannelType, FromUnknown, Kind, OpId, Origin, Task, Transfer};

/// Flags of msgsnd(2) and msgrcv(2).
const IPC_NOWAIT: i32 = 0o4000;
const MSG_NOERROR: i32 = 0o10000;
const MSG_COPY: i32 = 0o40000;

impl Decoder {
    /// It is not known yet whether the call fails or goes on.
    pub(super) fn queue_interrupted(&mut self, record: &wire::QueueCall, op: OpId) {
        self.queues.messages.unmade(record.message, op);
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
            record: None,
            queue: Some(Box::new(*record)),
            decided: false,
            failed: false,
        });
    }

    pub(super) fn queue_transfer(&mut self, record: &wire::QueueCall, payload: &[u8], op: OpId, task: Task) {
        let restarted = self.tasks.get_mut(task.tid).and_then(|thread| thread.interrupted.take());
        let restarted = restarted.filter(|i| i.nr == record.nr && !i.failed && i.queue.is_some());
        let entered = restarted.as_ref().map_or(record.entered, |earlier| earlier.entered);
        let mut call = self.queue_call_with(record, op, task, entered, record.header.time);
        if let Some(earlier) = restarted {
            call.restarts = earlier.restarts;
            call.interrupted_by = earlier.by;
        }
        let mut transfer = self.queue_blank(record, task, call);
        let is_send = sysno(record) == Some(Sysno::msgsnd);
        if record.state & state::FOUND != 0 {
            transfer.fill = Some(record.fill);
            transfer.depth = Some(record.depth);
        }
        if record.ret < 0 {
            transfer.error = Some(names::errno(-record.ret as i32));
            if is_send {
                self.queues.messages.unmade(record.message, op);
            }
        } else {
            transfer.bytes = Some(if is_send { record.requested } else { record.ret as u64 });
            transfer.payload = (!payload.is_empty()).then(|| payload.to_vec());
            if !is_send {
                self.queue_origin(record, &mut transfer);
            }
        }
        let kind = if is_send { Kind::Send(transfer) } else { Kind::Recv(transfer) };
        self.push(record.header.time, task, kind);
    }

    /// Whose message it was.
    fn queue_origin(&mut self, record: &wire::QueueCall, transfer: &mut Transfer) {
        if record.state & state::SEEN == 0 || record.message == 0 || transfer.peek {
            // A message that is only looked at stays where it is; what is freed is a copy.
            transfer.from_unknown = Some(FromUnknown::Overlap);
            return;
        }
        match self.queues.messages.freed(record.message, record.freed) {
            Ok((op, pid)) => transfer.from = Some(vec![Origin { op, pid, bytes: record.ret as u64 }]),
            Err(why) => transfer.from_unknown = Some(why),
        }
        let cut = u64::from(record.message_len).saturating_sub(record.ret as u64);
        if record.flags & MSG_NOERROR != 0 && cut > 0 {
            transfer.discarded = Some(cut);
        }
    }

    fn queue_call_with(&mut self, record: &wire::QueueCall, op: OpId, task: Task, entered: u64, until: u64) -> Call {
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

    fn queue_blank(&mut self, record: &wire::QueueCall, task: Task, call: Call) -> Transfer {
        let id = self.queue_of(record, task);
        let is_send = sysno(record) == Some(Sysno::msgsnd);
        Transfer {
            requested: Some(record.requested),
            nonblocking: record.flags & IPC_NOWAIT != 0,
            msg_type: (is_send || record.ret >= 0).then_some(record.msg_type),
            peek: !is_send && record.flags & MSG_COPY != 0,
            ..Transfer::new(id, ChannelType::SysvMq, None, call)
        }
    }

    /// The event of a call on a queue that a signal interrupted and that fails, or never returns.
    pub(in crate::decode) fn queue_tell_interrupted(
        &mut self,
        time: u64,
        task: Task,
        interrupted: &Interrupted,
        unfinished: bool,
    ) {
        let Some(record) = &interrupted.queue else { return };
        let mut call = self.queue_call_with(record, interrupted.op, task, interrupted.entered, time);
        call.restarts = interrupted.restarts;
        call.interrupted_by.clone_from(&interrupted.by);
        call.unfinished = unfinished;
        let mut transfer = self.queue_blank(record, task, call);
        transfer.error = (!unfinished).then_some("EINTR");
        let is_send = sysno(record) == Some(Sysno::msgsnd);
        self.push(time, task, if is_send { Kind::Send(transfer) } else { Kind::Recv(transfer) });
    }
}
