//! Mechanisms with programs of their own for the entry and the exit of their calls.
//!
//! The common programs use up the 512 bytes of stack that the verifier allows (kernel/bpf/verifier.c,
//! `MAX_BPF_STACK`), so a mechanism that needs more goes on in a program of its own, with a stack of its own: a tail call
//! through a table per tracepoint, since programs of one table are of one tracepoint. A place in it is empty while its
//! mechanism is not captured; then the common program just goes on.
//!
//! The common entry has noted the call ([`Task`]) and, for calls that read or write a descriptor, followed it; a family's
//! program looks the thread up again. At the exit a family's program tells everything, interrupted calls included, and leaves
//! the call ([`call::leave`](super::call::leave)); of calls that are on a pipe too, another program tells the pipe's side first.

use aya_ebpf::{
    macros::{btf_tracepoint, map},
    maps::ProgramArray,
    programs::BtfTracePointContext,
};
use ipcscope_common::{call::class, descriptor::object};

pub use ipcscope_common::call::family::{
    COUNT, FILE, FUTEX, MEMORY, MQUEUE, NONE, OBJECT, PIPE_AND_SOCKET, QUEUE, SEM, SHM, SOCKET,
};

use super::{file, futex, memory, mqueue, object as other, pipe, queue, sem, shm, socket};
use crate::{
    kernel::{current, setting},
    task::{Task, traced},
};

/// Programs of `sys_enter`; user space puts them in.
#[map]
static ENTER_FAMILIES: ProgramArray = ProgramArray::with_max_entries(COUNT, 0);
/// Programs of `sys_exit`.
#[map]
static EXIT_FAMILIES: ProgramArray = ProgramArray::with_max_entries(COUNT, 0);

/// Whose call it is that a thread is in.
#[inline(always)]
pub fn of(task: &Task) -> u32 {
    match task.class {
        class::MSGSND..=class::LAST_QUEUE => QUEUE,
        class::READ..=class::SENDFILE if uses(task, object::SOCKET) => SOCKET,
        class::READ..=class::WRITEV if uses_other(task) => OBJECT,
        class::TIMER_SET => OBJECT,
        class::MMAP..=class::LAST_MEMORY => MEMORY,
        class::FUTEX => FUTEX,
        class::SENDMSG | class::RECVMSG if setting!(sockets) != 0 => SOCKET,
        class::SENDTO..=class::LAST_SOCKET => SOCKET,
        class::MQ_SEND..=class::LAST_MQUEUE => MQUEUE,
        class::SHMGET..=class::LAST_SHM => SHM,
        class::SEMOP..=class::LAST_SEM => SEM,
        class::OPEN if file::is_refused(task) => FILE,
        class::MKNOD => FILE,
        _ => NONE,
    }
}

#[inline(always)]
fn uses(task: &Task, object: u16) -> bool {
    let [from, to] = &task.ends;
    from.in_use != 0 && from.object == object || to.in_use != 0 && to.object == object
}

/// A call of these has one end.
#[inline(always)]
fn uses_other(task: &Task) -> bool {
    let [from, to] = &task.ends;
    from.in_use != 0 && object::is_other(from.object) || to.in_use != 0 && object::is_other(to.object)
}

/// Goes on in the family's program for entries; comes back if there is none.
#[inline(always)]
pub fn enter(ctx: &BtfTracePointContext, task: &Task) {
    let family = of(task);
    if family != NONE {
        // SAFETY: a table of programs of this tracepoint.
        unsafe { ENTER_FAMILIES.tail_call(ctx, family) };
    }
}

/// Goes on in the family's program for exits; comes back if there is none.
#[inline(always)]
pub fn exit(ctx: &BtfTracePointContext, task: &Task) {
    let family = of(task);
    let is_on_pipe = task.ends[0].pipe | task.ends[1].pipe != 0;
    if family != NONE {
        // SAFETY: as above.
        unsafe { EXIT_FAMILIES.tail_call(ctx, if is_on_pipe { PIPE_AND_SOCKET } else { family }) };
    }
}

/// A call between a pipe and a socket returned.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
fn sys_exit_pipe_and_socket(ctx: BtfTracePointContext) -> i32 {
    let me = current();
    if let Some(task) = traced(me) {
        pipe::finish(task, me);
    }
    // SAFETY: as above.
    unsafe { EXIT_FAMILIES.tail_call(&ctx, SOCKET) };
    0
}

/// A call on shared memory returned.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
fn sys_exit_shm(_ctx: BtfTracePointContext) -> i32 {
    shm::finish(current());
    0
}

/// A call on mapped memory returned.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
fn sys_exit_memory(_ctx: BtfTracePointContext) -> i32 {
    memory::finish(current());
    0
}

/// A call on a named pipe's file returned.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
fn sys_exit_file(_ctx: BtfTracePointContext) -> i32 {
    file::finish(current());
    0
}

/// Declares the two programs of a family; `$enter` and `$exit` get the thread.
macro_rules! family {
    ($enter_name:ident => $enter:path, $exit_name:ident => $exit:path) => {
        #[btf_tracepoint(function = "sys_enter")]
        #[inline(always)]
        fn $enter_name(_ctx: BtfTracePointContext) -> i32 {
            $enter(current());
            0
        }

        #[btf_tracepoint(function = "sys_exit")]
        #[inline(always)]
        fn $exit_name(_ctx: BtfTracePointContext) -> i32 {
            $exit(current());
            0
        }
    };
}

family!(sys_enter_queue => queue::begin, sys_exit_queue => queue::finish);
family!(sys_enter_mqueue => mqueue::begin, sys_exit_mqueue => mqueue::finish);
family!(sys_enter_sem => sem::begin, sys_exit_sem => sem::finish);
family!(sys_enter_socket => socket::begin, sys_exit_socket => socket::finish);
family!(sys_enter_object => other::begin, sys_exit_object => other::finish);
family!(sys_enter_futex => futex::begin, sys_exit_futex => futex::finish);
