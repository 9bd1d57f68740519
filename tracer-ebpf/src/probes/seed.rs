//! What is there before the first event: BPF iterators walk the threads and descriptors that exist.
//!
//! The threads to trace are entered into the filter here, by the kernel itself, with the call they are blocked in; the rows
//! are ordinary records, written to the iterator's file instead of the ring buffer.

use aya_ebpf::{
    bindings::seq_file,
    helpers::generated::bpf_seq_write,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use core::{ffi::c_void, mem::MaybeUninit};
use ipcscope_common::{
    Header,
    call::{BIT_32, class},
    descriptor::{FOUND_HELD, object},
    mqueue::{MQUEUE_FACTS, MqueueFacts},
    object::{OBJECT_FACTS, ObjectFacts},
    process::{FOUND, Found},
    settings::lost,
};

use super::{call, descriptor, mqueue, object as other, signal};
use crate::{
    arguments::{arguments, number},
    emit::count_lost,
    kernel::{LONG, Ptr, SHORT, class_of, current, field, namespaced_tid, now, offset, peek, registers},
    task::{Task, follow},
};

/// `struct bpf_iter_meta`.
#[repr(C)]
pub struct Meta {
    seq: *mut seq_file,
    session_id: u64,
    seq_num: u64,
}

/// `struct bpf_iter__task`.
#[repr(C)]
pub struct TaskContext {
    meta: *const Meta,
    task: Ptr,
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub struct FileContext {
    meta: *const Meta,
    task: Ptr,
    fd: u32,
    reserved: u32,
    file: *const c_void,
}

/// Processes to trace, numbered as the tracer sees them; 1: held before its exec by us.
#[map]
static SEEDS: HashMap<u32, u32> = HashMap::with_max_entries(4096, 0);

/// Room for a row that is too large for the stack.
#[map]
static ROW: PerCpuArray<MqueueFacts> = PerCpuArray::with_max_entries(1, 0);
/// The same for rows of threads.
#[map]
static THREAD_ROW: PerCpuArray<Found> = PerCpuArray::with_max_entries(1, 0);
/// The same for rows of other objects.
#[map]
static OBJECT_ROW: PerCpuArray<ObjectFacts> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
fn write<T>(meta: *const Meta, row: &T) {
    // SAFETY: the row is on our stack, with its whole size initialised.
    unsafe {
        bpf_seq_write((*meta).seq, core::ptr::from_ref(row).cast::<c_void>().cast_mut(), size_of::<T>() as u32);
    }
}

fn row(kind: u16, task: Ptr) -> Header {
    Header {
        time: now(),
        seq: 0,
        cpu: 0,
        kind,
        tid: field!(task, task_pid as u32),
        tgid: field!(task, task_tgid as u32),
    }
}

/// A process's number in the pid namespace of `reader`; 0 if it has none there. A program of an iterator runs in the thread
/// that reads its file, which is the tracer's.
#[inline(always)]
fn seen_by(reader: Ptr, leader: Ptr) -> u32 {
    let own = field!(reader, task_thread_pid as u64);
    let level: u32 = peek(own + offset!(pid_level) as u64);
    // struct upid: 16 bytes each, one per level; a process has numbers in its own namespace and all above.
    let place = offset!(pid_numbers) as u64 + (level as u64 & 31) * 16;
    let namespace: u64 = peek(own + place + offset!(upid_ns) as u64);
    let pid = field!(leader, task_thread_pid as u64);
    if peek::<u32>(pid + offset!(pid_level) as u64) < level
        || peek::<u64>(pid + place + offset!(upid_ns) as u64) != namespace
    {
        return 0;
    }
    peek(pid + place + offset!(upid_nr) as u64)
}

/// One thread of the system.
#[inline(always)]
pub fn task(ctx: *const TaskContext) {
    // SAFETY: the iterator's context.
    let (meta, task) = unsafe { ((*ctx).meta, (*ctx).task) };
    if task.is_null() {
        return;
    }
    let tgid = field!(task, task_tgid as u32);
    // SAFETY: values are copied at once.
    let Some(&held) = (unsafe { SEEDS.get(seen_by(current(), field!(task, task_group_leader as Ptr))) }) else {
        return;
    };
    let header = row(FOUND, task);
    let state = field!(task, task_state as u32);
    let regs = registers(task);
    // A sleeping thread cannot leave its call while its registers are read, one that runs could.
    let raw = if state == 0 { -1 } else { field!(regs, regs_orig_ax as u64) as i32 };
    let nr = number(task, raw);
    let mut entry = Task::new(header.tid, tgid, held as u8);
    entry.mask = field!(task, task_blocked as u64);
    entry.args = arguments(task, regs);
    let [first, second, third, ..] = entry.args;
    if nr >= 0 && held == 0 {
        let class = class_of((nr & !BIT_32) as u64);
        if class != class::NONE && class != class::ONLY_32_BIT {
            (entry.nr, entry.raw) = (nr, raw);
            entry.word = if nr & BIT_32 == 0 { LONG } else { SHORT };
            call::begin(&mut entry, task, class);
        }
    }
    if !follow(task, &mut entry) {
        count_lost(lost::TASK_TABLE);
        return;
    }
    let parent = field!(task, task_real_parent as Ptr);
    let ns_tid = namespaced_tid(task);
    let (ignored, caught) = signal::dispositions(task);
    let Some(room) = THREAD_ROW.get_ptr_mut(0) else { return };
    // SAFETY: a valid map value; every field is written.
    write(meta, unsafe {
        (*room).header = header;
        (*room).files = field!(task, task_files as u64);
        (*room).parent_tgid = field!(parent, task_tgid as u32);
        (*room).state = state;
        (*room).ns_tid = ns_tid;
        (*room).ns_tgid = if header.tid == tgid { ns_tid } else { 0 };
        (*room).nr = nr;
        (*room).held = held;
        (*room).args = [first, second, third];
        (*room).blocked = field!(task, task_blocked as u64);
        (*room).ignored = ignored;
        (*room).caught = caught;
        (*room).comm = field!(task, task_comm as [u8; 16]);
        &*room
    });
}

/// One descriptor of the system: those of channels, whoever holds them, since an end held outside matters too. Before
/// one of a queue, what that is.
#[inline(always)]
pub fn file(ctx: *const FileContext) {
    // SAFETY: the iterator's context.
    let (meta, task, fd, file) = unsafe { ((*ctx).meta, (*ctx).task, (*ctx).fd, (*ctx).file) };
    if task.is_null() || file.is_null() {
        return;
    }
    // The same file, but as a number, which global functions take.
    let file = descriptor::file_of(task, u64::from(fd));
    if let Some(end) = descriptor::found(file, fd as i32) {
        if end.object == object::MQUEUE
            && let Some(room) = ROW.get_ptr_mut(0)
        {
            // SAFETY: a valid map value; every field is written.
            write(meta, unsafe {
                mqueue::describe(room, row(MQUEUE_FACTS, task), file);
                &*room
            });
        }
        if object::is_other(end.object)
            && let Some(room) = OBJECT_ROW.get_ptr_mut(0)
        {
            // SAFETY: as above.
            write(meta, unsafe {
                other::describe(room, row(OBJECT_FACTS, task), file, end.ino);
                &*room
            });
        }
        let header = row(FOUND_HELD, task);
        let mut row = MaybeUninit::uninit();
        // SAFETY: every field is written.
        write(meta, unsafe {
            descriptor::fill(row.as_mut_ptr(), header, task, &end, (0, 0));
            row.assume_init_ref()
        });
    }
}
