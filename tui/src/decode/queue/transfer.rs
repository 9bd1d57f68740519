//! The send or receive that a call on a queue was.

use ipcscope_common::queue::{self as wire, state};
use syscalls::Sysno;

use super::super::{Decoder, call::On, names};
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
        let on = On::Queue(Box::new(*record));
        self.call_interrupted(record.header.tid, op, record.entered, (record.nr, record.ret), on);
    }

    pub(super) fn queue_transfer(&mut self, record: &wire::QueueCall, payload: &[u8], op: OpId, task: Task) {
        let times = (record.entered, record.header.time);
        let call = self.call_after_signals(task, op, record.nr, times, |on| matches!(on, On::Queue(_)));
        let (mut transfer, is_send) = self.queue_blank(record, task, call);
        if record.state & state::FOUND != 0 {
            transfer.fill = Some(record.fill);
            transfer.depth = Some(record.depth);
        }
        if record.ret < 0 {
            transfer.error = Some(names::errno(record.ret));
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
        let kind = if is_send { Kind::Send(Box::new(transfer)) } else { Kind::Recv(Box::new(transfer)) };
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
            Ok((op, pid)) => transfer.from = Some(vec![Origin { op, pid, host: None, bytes: record.ret as u64 }]),
            Err(why) => transfer.from_unknown = Some(why),
        }
        let cut = u64::from(record.message_len).saturating_sub(record.ret as u64);
        if record.flags & MSG_NOERROR != 0 && cut > 0 {
            transfer.discarded = Some(cut);
        }
    }

    /// What is known before it is known what moved, and whether it is a send.
    pub(in crate::decode) fn queue_blank(
        &mut self,
        record: &wire::QueueCall,
        task: Task,
        call: Call,
    ) -> (Transfer, bool) {
        let id = self.queue_of(record, task);
        let is_send = sysno(record) == Some(Sysno::msgsnd);
        let transfer = Transfer {
            requested: Some(record.requested),
            nonblocking: record.flags & IPC_NOWAIT != 0,
            msg_type: (is_send || record.ret >= 0).then_some(record.msg_type),
            peek: !is_send && record.flags & MSG_COPY != 0,
            ..Transfer::new(id, ChannelType::SysvMq, None, call)
        };
        (transfer, is_send)
    }
}
