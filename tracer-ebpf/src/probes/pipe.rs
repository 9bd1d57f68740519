//! Pipes and FIFOs: calls that move bytes, and samples that tell the order of overlapping ones.
//!
//! As long as a pipe has one writing and one reading thread, the n-th byte in is the n-th byte out and one record per call
//! is enough. When a second one appears the pipe is *contended*: from then on each entry, exit and switch carries a sample
//! of where reading and writing stand and of who holds the pipe's mutex. User space finds the one order that explains them.

use core::intrinsics::{AtomicOrdering, atomic_xchg};

use aya_ebpf::{macros::map, maps::HashMap, programs::BtfTracePointContext};
use ipcscope_common::{
    call::class,
    pipe::{
        Buffer, LAYOUT_SLOTS, PIPE_CALL, PIPE_CONTENDED, PIPE_LAYOUT, PIPE_SAMPLE, PIPE_UNSEEN, PipeCall, PipeLayout,
        PipeSample, PipeUnseen, Position, UNKNOWN, flag, point,
    },
    settings::lost,
};

use super::descriptor;
use crate::{
    emit::{count_lost, emit, header, reserve},
    kernel::{Ptr, copy_user, copy_vector, current, field, now, offset, peek, peek_user, setting, steps},
    task::{End, PAYLOAD, Task, traced, with_payload},
};

/// Pipes whose users are remembered at once.
const PIPES: u32 = 16384;
/// Vectors whose lengths are added up.
const VECTORS: u64 = 8;
/// More bytes than are kept of most vectors, and of any.
const SMALL: usize = 128;
const LARGE: usize = 4096;
/// Buffers whose lengths are added up for the fill: a pipe of the default size has 16.
const FILL_SLOTS: u64 = 64;
/// Only if there is none yet (include/uapi/linux/bpf.h).
const BPF_NOEXIST: u64 = 1;
/// A contended pipe's buffers are looked at again after that many calls, or as soon after as nobody changes them.
const LAYOUT_EVERY: u32 = 64;

/// Who used a pipe last.
#[repr(C)]
#[derive(Clone, Copy)]
struct Users {
    ino: u64,
    writer: u64,
    reader: u64,
    writer_entered: u64,
    reader_entered: u64,
    contended: u64,
    writer_tid: u32,
    reader_tid: u32,
    calls: u32,
    reserved: u32,
}

impl Users {
    /// Nobody.
    const NONE: Self = Self {
        ino: 0,
        writer: 0,
        reader: 0,
        writer_entered: 0,
        reader_entered: 0,
        contended: 0,
        writer_tid: 0,
        reader_tid: 0,
        calls: 0,
        reserved: 0,
    };
}

/// By the address of the `pipe_inode_info`; user space removes those that are gone.
#[map]
static PIPE_USERS: HashMap<u64, Users> = HashMap::with_max_entries(PIPES, 0);

/// A call that may move bytes through a pipe begins: which pipes, how many bytes.
#[inline(always)]
pub fn begin(task: &mut Task, me: Ptr, regs: Ptr, class: u8) {
    let arg0 = field!(regs, regs_di as u64);
    let arg1 = field!(regs, regs_si as u64);
    let arg2 = field!(regs, regs_dx as u64);
    let (from, to) = match class {
        class::READ | class::READV => (arg0 as i64, -1),
        class::WRITE | class::WRITEV => (-1, arg0 as i64),
        class::SPLICE => (arg0 as i64, arg2 as i64),
        class::TEE => (arg0 as i64, arg1 as i64),
        class::SENDFILE => (arg1 as i64, arg0 as i64),
        // Into the pipe or out of it: the descriptor's end tells.
        class::VMSPLICE if writable(me, arg0) => (-1, arg0 as i64),
        _ => (arg0 as i64, -1),
    };
    let known = task.known != 0 && descriptor::is_alone(me);
    let opaque = if class >= class::SPLICE { flag::OPAQUE } else { 0 };
    if from >= 0 {
        descriptor::follow(me, from as u64, &mut task.ends[0], known);
        task.ends[0].flags |= opaque | if class == class::TEE { flag::PEEK } else { 0 };
    }
    if to >= 0 {
        descriptor::follow(me, to as u64, &mut task.ends[1], known);
        task.ends[1].flags |= opaque | flag::WRITE;
    }
    task.requested = match class {
        class::READ | class::WRITE => arg2,
        class::READV | class::WRITEV if task.ends[0].pipe | task.ends[1].pipe != 0 => total(arg1, arg2),
        class::TEE => arg2,
        class::SENDFILE | class::SPLICE => u64::MAX,
        _ => u64::MAX,
    };
    task.payload_len = 0;
}

/// Keeps the first bytes of a write as they are now: another thread may change them before it returns. Where they are not
/// in memory yet, they are read when the write returns.
#[inline(always)]
pub fn keep_payload(me: Ptr, regs: Ptr) {
    let Some((task, payload)) = with_payload(me) else { return };
    if task.class != class::WRITE || task.ends[1].pipe == 0 {
        return;
    }
    let limit = setting!(payload_limit);
    let most = if limit < PAYLOAD as u32 { limit } else { PAYLOAD as u32 };
    let len = if task.requested < u64::from(most) { task.requested as u32 } else { most };
    if len != 0 && copy_user::<PAYLOAD>(payload, field!(regs, regs_si as u64), len) {
        task.payload_len = len;
    }
}

/// Whether a descriptor is open for writing.
#[inline(always)]
fn writable(me: Ptr, fd: u64) -> bool {
    let file = descriptor::file_of(me, fd);
    let mode: u32 = peek(file + offset!(file_mode) as u64);
    mode & 2 != 0
}

/// The length of a vector of buffers; `u64::MAX` if it is too long to tell.
#[inline(always)]
fn total(vector: u64, count: u64) -> u64 {
    if count > VECTORS {
        return u64::MAX;
    }
    let mut sum = 0;
    for i in 0..VECTORS {
        if i >= count {
            break;
        }
        // struct iovec { base, len }.
        match peek_user::<u64>(vector + i * 16 + 8) {
            Some(len) => sum += len,
            None => return u64::MAX,
        }
    }
    sum
}

/// The current thread is about to use its pipes: finds out whether somebody else does too.
#[inline(always)]
pub fn join(task: &mut Task, me: Ptr) {
    if !(class::READ..=class::SENDFILE).contains(&task.class) {
        return;
    }
    if task.ends[0].pipe != 0 {
        join_one(task, me as u64, 0);
    }
    if task.ends[1].pipe != 0 {
        join_one(task, me as u64, 1);
    }
    if task.sampled != 0 {
        let requested = task.requested;
        sample(task, me as u64, point::ENTER, requested);
    }
}

#[inline(always)]
fn join_one(task: &mut Task, me: u64, side: usize) {
    let end = &task.ends[side & 1];
    let writing = side == 1;
    let users = match PIPE_USERS.get_ptr_mut(end.pipe) {
        Some(users) => users,
        None => {
            // Two CPUs may come at once: who is later finds what the earlier has put there.
            let _ = PIPE_USERS.insert(end.pipe, Users { ino: end.ino, ..Users::NONE }, BPF_NOEXIST);
            match PIPE_USERS.get_ptr_mut(end.pipe) {
                Some(users) => users,
                None => {
                    count_lost(lost::PIPE_TABLE);
                    return;
                }
            }
        }
    };
    // SAFETY: a valid map value; what decides is written atomically.
    let users = unsafe { &mut *users };
    if exchange(&mut users.ino, end.ino) != end.ino {
        // The address was used again.
        *users = Users { ino: end.ino, ..Users::NONE };
    }
    if contended(users) {
        users.calls += 1;
        if users.calls >= LAYOUT_EVERY && tell_layout(PIPE_LAYOUT.into(), end.pipe, end.dev, 0, 0) != 0 {
            users.calls = 0;
        }
    } else if let Some(other) = register(users, task, me, writing)
        && exchange(&mut users.contended, 1) == 0
    {
        let stable = tell_layout(PIPE_CONTENDED.into(), end.pipe, end.dev, other, u32::from(writing)) != 0;
        users.calls = if stable { 0 } else { LAYOUT_EVERY };
    }
    if contended(users) {
        task.sampled = 1;
    }
    set_user(users, task, writing);
}

/// Another thread has used the pipe from the same side.
#[inline(always)]
fn contended(users: &Users) -> bool {
    // SAFETY: a plain read, of what another CPU may write.
    unsafe { core::ptr::read_volatile(&raw const users.contended) != 0 }
}

/// Puts a value in its place, at once for all CPUs; gives the one before.
#[inline(always)]
fn exchange(place: &mut u64, value: u64) -> u64 {
    // SAFETY: an aligned place that lives as long as the program runs.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(place, value) }
}

/// The thread is the last user of its side; gives the one before, if that was another.
///
/// Two threads on two CPUs may be here at once, and one of the two must see the other: either it finds it here, or what it
/// has noted of its own call is there before it looks whether the pipe is contended (an exchange is a barrier), so that
/// the other finds it when it tells who was there before.
#[inline(always)]
fn register(users: &mut Users, task: &Task, me: u64, writing: bool) -> Option<u64> {
    let known = if writing { users.writer } else { users.reader };
    if known == me {
        set_user(users, task, writing);
    }
    let mut before = exchange(if writing { &mut users.writer } else { &mut users.reader }, me);
    if before == 0 {
        set_user(users, task, writing);
        before = exchange(if writing { &mut users.writer } else { &mut users.reader }, me);
    }
    (before != me).then_some(before)
}

#[inline(always)]
fn set_user(users: &mut Users, task: &Task, writing: bool) {
    if writing {
        users.writer_tid = task.tid;
        users.writer_entered = task.entered;
    } else {
        users.reader_tid = task.tid;
        users.reader_entered = task.entered;
    }
}

/// The address of a buffer: slots count up and wrap around.
#[inline(always)]
fn buffer(buffers: u64, ring_size: u32, slot: u32) -> u64 {
    // struct pipe_buffer { page, offset, len, ops, flags, private }: 40 bytes in all kernels.
    buffers + u64::from(slot & (ring_size.wrapping_sub(1))) * 40
}

#[inline(always)]
fn head_and_tail(pipe: u64) -> (u32, u32) {
    if offset!(pipe_tail) == offset!(pipe_head) + 4 {
        let both: [u32; 2] = peek(pipe + offset!(pipe_head) as u64);
        (both[0], both[1])
    } else {
        (peek(pipe + offset!(pipe_head) as u64), peek(pipe + offset!(pipe_tail) as u64))
    }
}

/// `pipe->mutex.owner` without its flag bits (kernel/locking/mutex.c).
#[inline(always)]
fn owner(pipe: u64) -> u64 {
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

/// A call on pipes returned.
#[inline(always)]
pub fn finish(task: &Task, me: Ptr, regs: Ptr) {
    if task.sampled != 0 {
        sample(task, me as u64, point::EXIT, task.ret as u64);
    }
    let (address, buffers) = payload_place(task, regs);
    if task.ends[0].pipe != 0 {
        call(task, me, 0, address, buffers);
    }
    if task.ends[1].pipe != 0 {
        call(task, me, 1, address, buffers);
    }
}

/// Where the bytes are, and in how many buffers; address 0: not in this process's memory; 0 buffers: it is no vector.
#[inline(always)]
fn payload_place(task: &Task, regs: Ptr) -> (u64, u64) {
    let arg1 = field!(regs, regs_si as u64);
    match task.class {
        class::READ | class::WRITE => (arg1, 0),
        class::READV | class::WRITEV => (arg1, field!(regs, regs_dx as u64)),
        _ => (0, 0),
    }
}

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
fn call(task: &Task, me: Ptr, side: usize, address: u64, buffers: u64) {
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
            with_vector::<SMALL, { 2 * SMALL }>(&record, address, buffers, keep);
        } else {
            with_vector::<LARGE, { 2 * LARGE }>(&record, address, buffers, keep);
        }
    } else if keep <= task.payload_len {
        with_kept(&record, me);
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
fn with_kept(call: &PipeCall, me: Ptr) {
    let Some((_, payload)) = with_payload(me) else { return };
    let Some(mut record) = reserve::<WithPayload<PAYLOAD>>(lost::PIPE) else { return };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).call = *call;
        (*room).payload = *payload;
    }
    record.submit();
}

/// A record with the bytes of several buffers, one behind the other: fewer than `N` in a room of twice as many, so that
/// the verifier sees that each fits wherever it begins.
#[inline(always)]
fn with_vector<const N: usize, const ROOM: usize>(call: &PipeCall, vector: u64, buffers: u64, keep: u32) {
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

/// Tells, once, that the thread's process moves bytes in ways that are not followed.
#[inline(always)]
pub fn unseen(task: &mut Task, me: Ptr) {
    if task.unseen != 0 {
        return;
    }
    task.unseen = 1;
    let header = header(PIPE_UNSEEN, now(), task.tid, task.tgid);
    emit(lost::PIPE, PipeUnseen { header, files: field!(me, task_files as u64) });
}
