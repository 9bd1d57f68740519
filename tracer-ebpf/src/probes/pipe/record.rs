//! The record of a call on a pipe: what it moved, what the pipe holds right after, the first bytes.

use ipcscope_common::{
    pipe::{PIPE_CALL, PipeCall, UNKNOWN, flag},
    settings::lost,
};

use super::{
    VECTORS,
    sample::{buffer, head_and_tail, owner},
};
use crate::{
    emit::{emit, header, reserve},
    kernel::{Ptr, copy_user, copy_vector, copy_words, offset, peek, setting, steps},
    probes::descriptor,
    task::{PAYLOAD, Task, with_payload},
};

/// More bytes than are kept of most vectors, and of any.
const SMALL: usize = 128;
const LARGE: usize = 4096;
/// Buffers whose lengths are added up for the fill: a pipe of the default size has 16.
const FILL_SLOTS: u64 = 64;

/// What the pipe holds, and how many open files lead to it.
struct Fill {
    head: u32,
    tail: u32,
    slots: u32,
    bytes: u32,
    readers: u32,
    writers: u32,
    flags: u16,
}

/// Words from `head` on that are read at once: `max_usage`, `ring_size`, `nr_accounted`, `readers` and `writers` are
/// among them in all kernels so far.
const FACTS: usize = 10;

#[inline(always)]
fn fill(pipe: u64) -> Fill {
    let head_at = offset!(pipe_head);
    let readers_at = offset!(pipe_readers).wrapping_sub(head_at);
    let together = offset!(pipe_tail) == head_at + 4
        && offset!(pipe_max_usage) == head_at + 8
        && offset!(pipe_ring_size) == head_at + 12
        && offset!(pipe_writers) == offset!(pipe_readers) + 4;
    let (head, tail, slots, ring_size, readers, writers);
    if together && readers_at == 20 {
        let facts: [u32; FACTS] = peek(pipe + head_at as u64);
        [head, tail, slots, ring_size, _, readers, writers, ..] = facts;
    } else if together && readers_at == 24 {
        let facts: [u32; FACTS] = peek(pipe + head_at as u64);
        [head, tail, slots, ring_size, _, _, readers, writers, ..] = facts;
    } else {
        (head, tail) = head_and_tail(pipe);
        slots = peek(pipe + offset!(pipe_max_usage) as u64);
        ring_size = peek(pipe + offset!(pipe_ring_size) as u64);
        readers = peek(pipe + offset!(pipe_readers) as u64);
        writers = peek(pipe + offset!(pipe_writers) as u64);
    }
    let mut fill = Fill { head, tail, slots, bytes: 0, readers, writers, flags: flag::STABLE };
    if head == tail {
        return fill;
    }
    let buffers: u64 = peek(pipe + offset!(pipe_bufs) as u64);
    fill.bytes = if head.wrapping_sub(tail) == 1 {
        peek(buffer(buffers, ring_size, tail) + offset!(buffer_len) as u64)
    } else {
        pipe_bytes(buffers, ring_size, head, tail)
    };
    if owner(pipe) != 0 || head_and_tail(pipe) != (head, tail) {
        fill.flags = 0;
    }
    fill
}

/// The lengths of the buffers from `tail` to `head`, added up; [`UNKNOWN`] if there are too many.
///
/// A global function: the verifier proves it once, not once per call. Such functions take numbers only.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn pipe_bytes(buffers: u64, ring_size: u32, head: u32, tail: u32) -> u32 {
    let used = head.wrapping_sub(tail);
    if u64::from(used) > FILL_SLOTS {
        return UNKNOWN;
    }
    let mut sum = 0u32;
    for i in steps::<FILL_SLOTS>() {
        let i = i as u32;
        if i >= used {
            break;
        }
        let len: u32 = peek(buffer(buffers, ring_size, tail.wrapping_add(i)) + offset!(buffer_len) as u64);
        sum = sum.wrapping_add(len);
    }
    sum
}

/// A record with room for payload.
#[repr(C)]
struct WithPayload<const N: usize> {
    call: PipeCall,
    payload: [u8; N],
}

#[inline(always)]
pub(super) fn call(task: &Task, me: Ptr, side: usize, address: u64, buffers: u64) {
    let end = &task.ends[side & 1];
    let ret = task.ret;
    // With a descriptor table of its own, nobody can have closed the descriptor meanwhile.
    let alone = descriptor::is_alone(me);
    let mut flags = end.flags | if task.sampled != 0 { flag::SAMPLED } else { 0 };
    let mut now = Fill { head: 0, tail: 0, slots: 0, bytes: UNKNOWN, readers: 0, writers: 0, flags: 0 };
    if alone || descriptor::file_of(me, end.fd as u64) == end.file {
        now = fill(end.pipe);
        flags |= now.flags;
        if ret <= 0 {
            let others = if flags & flag::WRITE != 0 { now.readers } else { now.writers };
            if others == 0 {
                flags |= flag::LONELY;
            }
        }
    }
    let limit = setting!(payload_limit);
    let mut keep = 0;
    if ret > 0 && address != 0 {
        keep = if (ret as u64) < u64::from(limit) { ret as u32 } else { limit };
    }
    let record = PipeCall {
        header: header(PIPE_CALL, task.returned, task.tid, task.tgid),
        entered: task.entered,
        ret,
        requested: task.requested,
        ino: end.ino,
        dev: end.dev,
        flags,
        object: end.object,
        fd: end.fd,
        nr: task.nr,
        head: now.head,
        tail: now.tail,
        fill: now.bytes,
        slots: now.slots,
        payload_len: keep,
        readers: short(now.readers),
        writers: short(now.writers),
    };
    if keep == 0 {
        emit(lost::PIPE, record);
    } else if buffers != 0 {
        if keep < SMALL as u32 {
            with_vector::<SMALL, { 2 * SMALL }>(&record, (address, task.word), buffers, keep);
        } else {
            with_vector::<LARGE, { 2 * LARGE }>(&record, (address, task.word), buffers, keep);
        }
    } else if keep <= task.payload_len {
        if keep <= 16 {
            with_kept::<16>(&record, me);
        } else {
            with_kept::<PAYLOAD>(&record, me);
        }
    } else if keep <= 16 {
        with_bytes::<16>(&record, address, keep);
    } else if keep <= 64 {
        with_bytes::<64>(&record, address, keep);
    } else if keep <= 256 {
        with_bytes::<256>(&record, address, keep);
    } else if keep <= 1024 {
        with_bytes::<1024>(&record, address, keep);
    } else {
        with_bytes::<4096>(&record, address, keep);
    }
}

#[inline(always)]
fn with_bytes<const N: usize>(call: &PipeCall, address: u64, keep: u32) {
    let Some(mut record) = reserve::<WithPayload<N>>(lost::PIPE) else { return };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).call = *call;
        if !copy_user::<N>(&raw mut (*room).payload, address, keep) {
            (*room).call.payload_len = 0;
        }
    }
    record.submit();
}

/// A record with the bytes that were kept at the write's entry.
#[inline(always)]
fn with_kept<const N: usize>(call: &PipeCall, me: Ptr) {
    let Some((_, payload)) = with_payload(me) else { return };
    let Some(mut record) = reserve::<WithPayload<N>>(lost::PIPE) else { return };
    // SAFETY: the record's room; both are aligned to words.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).call = *call;
        copy_words::<N>(&raw mut (*room).payload, payload.as_ptr());
    }
    record.submit();
}

/// A record with the bytes of several buffers, one behind the other: at most `N` in a room of twice as many, so that
/// the verifier sees that each fits wherever it begins.
#[inline(always)]
fn with_vector<const N: usize, const ROOM: usize>(call: &PipeCall, vector: (u64, u64), buffers: u64, keep: u32) {
    let Some(mut record) = reserve::<WithPayload<ROOM>>(lost::PIPE) else { return };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).call = *call;
        (*room).call.payload_len = copy_vector::<N, ROOM, VECTORS>(&raw mut (*room).payload, vector, buffers, keep);
    }
    record.submit();
}

/// A count that fits; more than that is never asked for exactly.
#[inline(always)]
fn short(count: u32) -> u16 {
    if count > u32::from(u16::MAX) { u16::MAX } else { count as u16 }
}
