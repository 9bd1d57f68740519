//! Where reading and writing stand in a pipe, and who holds its mutex: what tells the order of overlapping calls.

use aya_ebpf::programs::BtfTracePointContext;
use ipcscope_common::{
    pipe::{Buffer, LAYOUT_SLOTS, PIPE_LAYOUT, PIPE_SAMPLE, PipeLayout, PipeSample, Position, point},
    settings::lost,
};

use super::PIPE_USERS;
use crate::{
    emit::{emit, header, reserve},
    kernel::{current, now, offset, peek},
    task::{End, Task, traced},
};

/// The address of a buffer: slots count up and wrap around.
#[inline(always)]
pub(super) fn buffer(buffers: u64, ring_size: u32, slot: u32) -> u64 {
    // struct pipe_buffer { page, offset, len, ops, flags, private }: 40 bytes in all kernels.
    buffers + u64::from(slot & (ring_size.wrapping_sub(1))) * 40
}

#[inline(always)]
pub(super) fn head_and_tail(pipe: u64) -> (u32, u32) {
    if offset!(pipe_tail) == offset!(pipe_head) + 4 {
        let both: [u32; 2] = peek(pipe + offset!(pipe_head) as u64);
        (both[0], both[1])
    } else {
        (peek(pipe + offset!(pipe_head) as u64), peek(pipe + offset!(pipe_tail) as u64))
    }
}

/// `pipe->mutex.owner` without its flag bits (kernel/locking/mutex.c).
#[inline(always)]
pub(super) fn owner(pipe: u64) -> u64 {
    peek::<u64>(pipe + offset!(pipe_owner) as u64) & !7
}

#[inline(always)]
fn position(pipe: u64, buffers: u64, ring_size: u32) -> Position {
    let (head, tail) = head_and_tail(pipe);
    let newest: [u32; 2] = peek(buffer(buffers, ring_size, head.wrapping_sub(1)) + offset!(buffer_offset) as u64);
    let read_offset =
        if head == tail { 0 } else { peek(buffer(buffers, ring_size, tail) + offset!(buffer_offset) as u64) };
    Position { head, tail, write_end: newest[0].wrapping_add(newest[1]), read_offset }
}

/// In `__mutex_lock_common` among others, when a lock is found taken: whoever has a pipe's mutex now had it first, and the
/// current thread is not done yet.
#[inline(always)]
pub fn contention(ctx: &BtfTracePointContext) {
    let me = current();
    let Some(task) = traced(me) else { return };
    if task.sampled == 0 {
        return;
    }
    let lock: u64 = ctx.arg(0);
    // The owner is what a mutex begins with (include/linux/mutex_types.h).
    for end in &task.ends {
        if end.pipe != 0 && lock == end.pipe + offset!(pipe_owner) as u64 {
            sample_one(task, end, me as u64, point::CONTENDS, task.requested);
        }
    }
}

/// Samples the pipes of a thread's call.
#[inline(always)]
pub fn sample(task: &Task, me: u64, at: u8, amount: u64) {
    if task.ends[0].pipe != 0 {
        sample_one(task, &task.ends[0], me, at, amount);
    }
    if task.ends[1].pipe != 0 {
        sample_one(task, &task.ends[1], me, at, amount);
    }
}

#[inline(always)]
fn sample_one(task: &Task, end: &End, me: u64, at: u8, amount: u64) {
    let pipe = end.pipe;
    let ring_size: u32 = peek(pipe + offset!(pipe_ring_size) as u64);
    let buffers: u64 = peek(pipe + offset!(pipe_bufs) as u64);
    let before = position(pipe, buffers, ring_size);
    let owner_before = owner(pipe);
    let time = now();
    let owner_after = owner(pipe);
    let after = position(pipe, buffers, ring_size);
    let header = header(PIPE_SAMPLE, time, task.tid, task.tgid);
    emit(
        lost::PIPE_SAMPLE,
        PipeSample {
            header,
            task: me,
            entered: task.entered,
            ino: end.ino,
            amount,
            owner_before,
            owner_after,
            before,
            after,
            dev: end.dev,
            flags: end.flags,
            point: at,
            reserved: 0,
        },
    );
}

/// Tells of all buffers of the pipe the current thread is about to use; 1 if nobody changed them meanwhile. `user`: the
/// one before on its side, the writing one or not. A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_layout(kind: u32, pipe: u64, dev: u32, user: u64, writing: u32) -> i32 {
    let kind = kind as u16;
    let Some(task) = traced(current()) else { return 0 };
    let Some(users) = PIPE_USERS.get_ptr_mut(pipe) else { return 0 };
    // SAFETY: a valid map value.
    let users = unsafe { &*users };
    let ring_size: u32 = peek(pipe + offset!(pipe_ring_size) as u64);
    let buffers: u64 = peek(pipe + offset!(pipe_bufs) as u64);
    let owner_before = owner(pipe);
    if kind == PIPE_LAYOUT && owner_before != 0 {
        return 0;
    }
    let before = position(pipe, buffers, ring_size);
    let Position { head, tail, .. } = before;
    let time = now();
    let header = header(kind, time, task.tid, task.tgid);
    let Some(mut record) = reserve::<PipeLayout>(lost::PIPE_SAMPLE) else { return 0 };
    // SAFETY: the record's room, written field by field.
    let stable = unsafe {
        let layout = &mut *record.as_mut_ptr();
        layout.header = header;
        layout.ino = users.ino;
        layout.writer_entered = users.writer_entered;
        layout.reader_entered = users.reader_entered;
        layout.writer = if writing != 0 { user } else { users.writer };
        layout.reader = if writing == 0 && user != 0 { user } else { users.reader };
        layout.writer_tid = users.writer_tid;
        layout.reader_tid = users.reader_tid;
        layout.dev = dev;
        layout.head = head;
        layout.tail = tail;
        layout.slots = peek(pipe + offset!(pipe_max_usage) as u64);
        layout.reserved = 0;
        layout.buffers = [Buffer { offset: 0, len: 0, flags: 0 }; LAYOUT_SLOTS];
        let used = head.wrapping_sub(tail);
        for (i, slot) in layout.buffers.iter_mut().enumerate() {
            if i as u32 >= used {
                break;
            }
            let at = buffer(buffers, ring_size, tail.wrapping_add(i as u32));
            let span: [u32; 2] = peek(at + offset!(buffer_offset) as u64);
            slot.offset = span[0];
            slot.len = span[1];
            slot.flags = peek(at + offset!(buffer_flags) as u64);
        }
        // Whatever anyone does moves the position.
        let owned = owner_before | owner(pipe);
        let same = owned == 0 && position(pipe, buffers, ring_size) == before;
        layout.stable = u32::from(same && used <= LAYOUT_SLOTS as u32);
        layout.stable
    };
    record.submit();
    stable as i32
}
