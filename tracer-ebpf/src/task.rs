//! The threads that are traced, and the call each is in.
//!
//! The table is the filter: a thread is traced if and only if it has an entry. Entries are keyed by the address of the
//! `task_struct`, which is unique as long as the thread exists; they go when the kernel frees it (`sched_process_free`).
//!
//! Invariant: an entry's call is written only by its own thread, or at its switch, so never by two CPUs at once.

use aya_ebpf::{macros::map, maps::HashMap};

use crate::kernel::Ptr;

/// Threads that can be followed at once.
const THREADS: u32 = 16384;

/// One end of a channel in the hands of a call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct End {
    /// The `pipe_inode_info`; 0: no channel here.
    pub pipe: u64,
    /// The `file`, to notice that the descriptor changed its meaning meanwhile.
    pub file: u64,
    /// Its inode number.
    pub ino: u64,
    /// Its inode's file system.
    pub dev: u32,
    /// The descriptor.
    pub fd: i32,
    /// `ipcscope_common::pipe::flag`.
    pub flags: u16,
    /// `ipcscope_common::descriptor::object`.
    pub object: u16,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

impl End {
    /// Nothing.
    pub const NONE: Self = Self { pipe: 0, file: 0, ino: 0, dev: 0, fd: -1, flags: 0, object: 0, reserved: 0 };
}

/// A traced thread.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Task {
    /// When its call was entered.
    pub entered: u64,
    /// When it returned.
    pub returned: u64,
    /// What it returned.
    pub ret: i64,
    /// Bytes the call asks for; `u64::MAX`: unknown.
    pub requested: u64,
    /// What the call reads from, and what it writes to.
    pub ends: [End; 2],
    /// Its ids.
    pub tid: u32,
    /// Its process.
    pub tgid: u32,
    /// The call's number.
    pub nr: i32,
    /// The call's class; 0: not in a call that is followed.
    pub class: u8,
    /// 1: held by us before its exec; its calls do not count yet.
    pub held: u8,
    /// 1: the call's pipe is contended, so its steps are sampled.
    pub sampled: u8,
    /// Keeps the size a multiple of 8.
    pub reserved: u8,
}

impl Task {
    /// A thread in no call.
    #[inline(always)]
    pub fn new(tid: u32, tgid: u32, held: u8) -> Self {
        Self {
            entered: 0,
            returned: 0,
            ret: 0,
            requested: 0,
            ends: [End::NONE; 2],
            tid,
            tgid,
            nr: -1,
            class: 0,
            held,
            sampled: 0,
            reserved: 0,
        }
    }
}

/// All traced threads by the address of their `task_struct`.
#[map]
static TASKS: HashMap<u64, Task> = HashMap::with_max_entries(THREADS, 0);

/// The entry of a thread, if it is traced.
#[inline(always)]
pub fn traced(task: Ptr) -> Option<&'static mut Task> {
    // SAFETY: values live as long as the program runs; see the invariant for exclusiveness.
    TASKS.get_ptr_mut(task as u64).map(|entry| unsafe { &mut *entry })
}

/// Follows a thread from now on; false: the table is full.
#[inline(always)]
pub fn follow(task: Ptr, entry: &Task) -> bool {
    TASKS.insert(task as u64, entry, 0).is_ok()
}

/// Follows it no more.
#[inline(always)]
pub fn forget(task: Ptr) {
    let _ = TASKS.remove(task as u64);
}
