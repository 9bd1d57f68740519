//! The send or receive that a call on such a descriptor was.

use ipcscope_common::object::{ObjectBegin, ObjectCall, state};
use syscalls::Sysno;

use super::{
    super::{Decoder, call::On, names},
    counter::Read,
};
use crate::event::{Call, ChannelChange, ChannelEvent, ChannelType, FromUnknown, Kind, Task, Transfer};

impl Decoder {
    /// A call on an eventfd begins.
    pub(in crate::decode) fn object_begin(&mut self, record: &ObjectBegin) {
        let header = &record.header;
        self.tasks.resume(header.tid, header.time, |interrupted| interrupted.is_again(record.nr));
        let op = self.tasks.op(header.tid, header.tgid, header.time);
        let channels = &mut self.channels;
        let Some(object) = channels.objects.ensure((0, record.ino), &mut channels.names) else { return };
        if record.state & state::WRITE != 0 {
            object.counter.write_begins(op, header.tgid, record.value);
        } else {
            object.counter.read_begins(header.tid);
        }
    }

    /// A call on an object returned.
    pub(in crate::decode) fn object_call(&mut self, record: &ObjectCall, payload: &[u8]) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let op = self.call_returned(task, record.nr, record.entered);
        let is_send = record.state & state::WRITE != 0;
        if record.ret < 0 || is_send {
            let channels = &mut self.channels;
            let Some(object) = channels.objects.ensure((0, record.ino), &mut channels.names) else { return };
            if is_send {
                object.counter.write_returns(op, header.time, record.ret > 0);
            } else {
                object.counter.read_fails(task.tid);
            }
        }
        if (-516..=-512).contains(&record.ret) {
            // It is not known yet whether the call fails or goes on.
            let on = On::Object(Box::new(*record));
            self.call_interrupted(task.tid, op, record.entered, (record.nr, record.ret), on);
            return;
        }
        let times = (record.entered, header.time);
        let call = self.call_after_signals(task, op, record.nr, times, |on| matches!(on, On::Object(_)));
        if names::sysno(record.nr) == Some(Sysno::timerfd_settime) {
            self.timer_set(record, task, call);
            return;
        }
        let Some((mut transfer, is_send)) = self.object_blank(record, call) else { return };
        if record.ret < 0 {
            transfer.error = Some(names::errno(record.ret));
        } else {
            transfer.bytes = Some(record.ret as u64);
            transfer.payload = (!payload.is_empty()).then(|| payload.to_vec());
            let counts = matches!(transfer.mechanism, ChannelType::Eventfd | ChannelType::Timerfd);
            transfer.value = counts.then_some(record.value);
            transfer.count = (transfer.mechanism == ChannelType::Eventfd).then_some(record.after);
            if !is_send {
                self.object_origin(record, &mut transfer);
            }
        }
        let kind = if is_send { Kind::Send(Box::new(transfer)) } else { Kind::Recv(Box::new(transfer)) };
        self.push(header.time, task, kind);
    }

    /// Whose it was that a read got.
    fn object_origin(&mut self, record: &ObjectCall, transfer: &mut Transfer) {
        if transfer.mechanism == ChannelType::Pty {
            // The slave's side reads 0 bytes where the end of a file was typed, termios(3).
            transfer.eof = record.ret == 0 && record.requested != 0;
            transfer.from_unknown = (record.ret > 0).then_some(FromUnknown::Transformed);
            return;
        }
        match transfer.mechanism {
            ChannelType::Eventfd => {}
            // The kernel's clock fills it.
            ChannelType::Timerfd => return transfer.from_unknown = Some(FromUnknown::External),
            // Whose the signals were their own events tell.
            _ => return transfer.from_unknown = Some(FromUnknown::Transformed),
        }
        let read = Read {
            tid: record.header.tid,
            entered: record.entered,
            value: record.value,
            semaphore: record.state & state::SEMAPHORE != 0,
        };
        let Some(object) = self.channels.objects.get_mut((0, record.ino)) else { return };
        match object.counter.read(read) {
            Ok(from) => transfer.from = Some(from),
            Err(why) => transfer.from_unknown = Some(why),
        }
    }

    /// timerfd_settime(2).
    fn timer_set(&mut self, record: &ObjectCall, task: Task, call: Call) {
        let Some((id, mechanism)) = self.object_id((0, record.ino)) else { return };
        let event = ChannelEvent {
            fd: Some(record.fd),
            // From now; how far off a moment of a clock is cannot be told. 0 stops it either way.
            value: i64::try_from(record.value).ok().filter(|ns| *ns == 0 || record.state & state::ABSOLUTE == 0),
            interval_ns: (record.after > 0).then_some(record.after),
            error: super::super::sysv::error(record.ret),
            call: Some(call),
            ..ChannelEvent::new(id, mechanism, ChannelChange::Changed)
        };
        self.push(record.header.time, task, Kind::Channel(Box::new(event)));
    }

    /// What is known before it is known what moved, and whether it is a send.
    pub(in crate::decode) fn object_blank(&mut self, record: &ObjectCall, call: Call) -> Option<(Transfer, bool)> {
        let (id, mechanism) = self.object_id((0, record.ino))?;
        let transfer = Transfer {
            requested: (record.requested != u64::MAX).then_some(record.requested),
            nonblocking: record.state & state::NONBLOCK != 0,
            ..Transfer::new(id, mechanism, Some(record.fd), call)
        };
        Some((transfer, record.state & state::WRITE != 0))
    }
}
