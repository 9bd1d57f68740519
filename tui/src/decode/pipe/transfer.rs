//! The send or receive that a call on a pipe was.

use ipcscope_common::{
    descriptor::object,
    pipe::{self as wire, flag},
};

use super::super::{Decoder, call::On, names};
use super::convert::{call_id, known};
use crate::event::{Call, ChannelType, Kind, OpId, Task, Transfer};

impl Decoder {
    /// The send or receive that a call was.
    pub(super) fn transfer(&mut self, record: &wire::PipeCall, payload: &[u8], op: OpId, task: Task) {
        let times = (record.entered, record.header.time);
        let call = self.call_after_signals(task, op, record.nr, times, |on| matches!(on, On::Pipe(_)));
        if let Some(thread) = self.tasks.get_mut(task.tid) {
            thread.last_transfer = Some((op, record.nr, known(record.requested), record.ret));
        }
        let (mut transfer, write) = self.blank_transfer(record, call);
        if record.ret >= 0 {
            transfer.bytes = Some(record.ret as u64);
            transfer.eof = !write && record.ret == 0 && record.requested != 0 && record.flags & flag::LONELY != 0;
        } else {
            transfer.error = Some(names::errno(record.ret));
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

    /// What is known before it is known what moved, and whether it is a send.
    pub(in crate::decode) fn blank_transfer(&self, record: &wire::PipeCall, call: Call) -> (Box<Transfer>, bool) {
        let mechanism = if record.object == object::FIFO { ChannelType::Fifo } else { ChannelType::Pipe };
        let channel = self.channels.name(record.dev, record.ino);
        let mut transfer = Box::new(Transfer::new(channel, mechanism, Some(record.fd), call));
        transfer.requested = known(record.requested);
        transfer.nonblocking = record.flags & flag::NONBLOCK != 0;
        (transfer, record.flags & flag::WRITE != 0)
    }
}
