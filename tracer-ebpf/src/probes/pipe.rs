//! Pipes and FIFOs: calls that move bytes, and samples that tell the order of overlapping ones.
//!
//! As long as a pipe has one writing and one reading thread, the n-th byte in is the n-th byte out and one record per call
//! is enough. When a second one appears the pipe is *contended*: from then on each entry, exit and switch carries a sample
//! of where reading and writing stand and of who holds the pipe's mutex. User space finds the one order that explains them.

mod record;
mod sample;

use aya_ebpf::{macros::map, maps::HashMap};
use ipcscope_common::{
    call::class,
    pipe::{PIPE_CONTENDED, PIPE_LAYOUT, PIPE_UNSEEN, PipeUnseen, flag, point},
    settings::lost,
};

use super::{descriptor, payload::at_entry};
use crate::{
    emit::{count_lost, emit, header},
    kernel::{Ptr, copy_user, exchange, field, now, offset, peek, vector_len},
    task::{PAYLOAD, Task, with_payload},
};
use record::call;
use sample::tell_layout;
pub use sample::{contention, sample};

/// Pipes whose users are remembered at once.
const PIPES: u32 = 16384;
/// Vectors whose lengths are added up.
const VECTORS: u64 = 8;
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
pub fn begin(task: &mut Task, me: Ptr, class: u8) {
    let [arg0, arg1, arg2, ..] = task.args;
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
    let known = descriptor::is_known(task, me);
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
        class::TEE => arg2,
        _ => u64::MAX,
    };
    task.payload_len = 0;
}

/// How much a call on vectors asks for: they are in the current thread's memory.
#[inline(always)]
pub fn measure(task: &mut Task) {
    if task.ends[0].pipe | task.ends[1].pipe != 0 {
        task.requested = vector_len::<VECTORS>(task.args[1], task.args[2], task.word);
    }
}

/// Keeps the first bytes of a write as they are now: another thread may change them before it returns. Where they are not
/// in memory yet, they are read when the write returns.
#[inline(always)]
pub fn keep_payload(me: Ptr) {
    let Some((task, payload)) = with_payload(me) else { return };
    if task.class != class::WRITE || task.ends[1].pipe == 0 {
        return;
    }
    let len = at_entry(task.requested);
    if len != 0 && copy_user::<PAYLOAD>(payload, task.args[1], len) {
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

/// A call on pipes returned.
#[inline(always)]
pub fn finish(task: &Task, me: Ptr) {
    if task.sampled != 0 {
        sample(task, me as u64, point::EXIT, task.ret as u64);
    }
    let (address, buffers) = payload_place(task);
    if task.ends[0].pipe != 0 {
        call(task, me, 0, address, buffers);
    }
    if task.ends[1].pipe != 0 {
        call(task, me, 1, address, buffers);
    }
}

/// Where the bytes are, and in how many buffers; address 0: not in this process's memory; 0 buffers: it is no vector.
#[inline(always)]
fn payload_place(task: &Task) -> (u64, u64) {
    let arg1 = task.args[1];
    match task.class {
        class::READ | class::WRITE => (arg1, 0),
        class::READV | class::WRITEV => (arg1, task.args[2]),
        _ => (0, 0),
    }
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
