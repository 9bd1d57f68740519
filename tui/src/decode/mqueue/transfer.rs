//! The send or receive that a call on a POSIX queue was.

use ipcscope_common::mqueue::{MqueueCall, state};
use syscalls::Sysno;

use super::super::{Decoder, call::On, names};
use crate::event::{Call, ChannelId, ChannelType, FromUnknown, Kind, Origin, Task, Transfer};

fn is_send(record: &MqueueCall) -> bool {
    names::sysno(record.nr) == Some(Sysno::mq_timedsend)
}

impl Decoder {
    /// A call on a queue returned.
    pub(in crate::decode) fn mqueue_call(&mut self, record: &MqueueCall, payload: &[u8]) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let op = self.call_returned(task, record.nr, record.entered);
        if record.ret < 0 && is_send(record) {
            self.queues.unmake(record.message, op);
        }
        if (-516..=-512).contains(&record.ret) {
            // It is not known yet whether the call fails or goes on.
            let on = On::Mqueue(Box::new(*record));
            self.call_interrupted(task.tid, op, record.entered, (record.nr, record.ret), on);
            return;
        }
        let times = (record.entered, header.time);
        let call = self.call_after_signals(task, op, record.nr, times, |on| matches!(on, On::Mqueue(_)));
        let (mut transfer, is_send) = self.mqueue_blank(record, call);
        if record.state & state::FOUND != 0 {
            transfer.fill = Some(record.fill);
            transfer.depth = Some(record.depth);
            transfer.slots_used = u32::try_from(record.depth).ok();
        }
        if record.ret < 0 {
            transfer.error = Some(names::errno(record.ret));
        } else {
            transfer.bytes = Some(if is_send { record.requested } else { record.ret as u64 });
            transfer.payload = (!payload.is_empty()).then(|| payload.to_vec());
            if !is_send {
                self.mqueue_origin(record, &mut transfer);
            }
        }
        self.push(
            header.time,
            task,
            if is_send { Kind::Send(Box::new(transfer)) } else { Kind::Recv(Box::new(transfer)) },
        );
    }

    /// Whose message it was.
    fn mqueue_origin(&mut self, record: &MqueueCall, transfer: &mut Transfer) {
        if record.state & state::SEEN == 0 || record.message == 0 {
            transfer.from_unknown = Some(FromUnknown::Overlap);
            return;
        }
        match self.queues.sender_of(record.message, record.freed) {
            Ok((op, pid)) => transfer.from = Some(vec![Origin { op, pid, host: None, bytes: record.ret as u64 }]),
            Err(why) => transfer.from_unknown = Some(why),
        }
    }

    /// What is known before it is known what moved, and whether it is a send.
    pub(in crate::decode) fn mqueue_blank(&mut self, record: &MqueueCall, call: Call) -> (Transfer, bool) {
        let id = self.mqueue_id(record.dev, record.ino);
        let is_send = is_send(record);
        let known = record.state & state::PRIORITY != 0 && (is_send || record.ret >= 0);
        let transfer = Transfer {
            requested: Some(record.requested),
            nonblocking: record.state & state::NONBLOCK != 0,
            priority: known.then_some(record.priority),
            ..Transfer::new(id, ChannelType::PosixMq, Some(record.fd), call)
        };
        (transfer, is_send)
    }

    /// What the queue of a call is called.
    pub(in crate::decode) fn mqueue_id(&mut self, dev: u32, ino: u64) -> ChannelId {
        let channels = &mut self.channels;
        channels.mqueues.ensure((dev, ino), channels.now, &mut channels.names).id.clone()
    }
}
