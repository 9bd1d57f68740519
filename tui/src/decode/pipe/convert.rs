//! From the wire's words to those of the order of a pipe, and back. Tested through the live tests.

use ipcscope_common::pipe::{self as wire, flag};

use super::super::pipe_order::{Buffer, CallId, Layout, Method, Position, Side};
use crate::event::{OpId, Origin};

/// How many bits of a call's number in the order of a pipe are its process.
const PID_BITS: u32 = 22;

/// A call as the order of a pipe knows it: carries its process, so that no table is needed to name the sender.
pub(super) fn call_id(op: OpId, pid: u32) -> CallId {
    op.0 << PID_BITS | u64::from(pid) & ((1 << PID_BITS) - 1)
}

pub(super) fn origin(call: CallId, bytes: u64) -> Origin {
    Origin { op: OpId(call >> PID_BITS), pid: (call & ((1 << PID_BITS) - 1)) as u32, host: None, bytes }
}

pub(super) fn position(wire: &wire::Position) -> Position {
    Position { head: wire.head, tail: wire.tail, write_end: wire.write_end, read_offset: wire.read_offset }
}

pub(super) fn side(flags: u16) -> Side {
    if flags & flag::WRITE != 0 { Side::Write } else { Side::Read }
}

pub(super) fn method(flags: u16) -> Method {
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

pub(super) fn known(amount: u64) -> Option<u64> {
    (amount != u64::MAX).then_some(amount)
}

pub(super) fn layout(record: &wire::PipeLayout) -> Option<Layout> {
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
