//! The scheduler: who is on a CPU, who waits and for what, who woke whom.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`Switch`]
    SWITCH = 0x20;
    /// [`Block`]
    BLOCK = 0x21;
    /// [`Waking`]
    WAKING = 0x22;
    /// [`Waking`] of a new thread (`sched_wakeup_new`)
    WAKING_NEW = 0x23;
    /// [`Wait`]
    WAIT = 0x24;
}

/// A CPU goes from one thread to another (`sched_switch`); the header names the one that leaves.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Switch {
    /// Common part; tgid 0: the leaving thread is not traced.
    pub header: Header,
    /// The thread that comes.
    pub next_tid: u32,
    /// Its process; 0: it is not traced.
    pub next_tgid: u32,
    /// `prev_state`: 0 it could run on.
    pub state: u32,
    /// 1: it was preempted.
    pub preempted: u16,
    /// Stopped by a tracer: why, as ptrace(2) tells it (`task_struct.exit_code`): the signal that is to be delivered.
    /// Ended: `task_struct.exit_state`.
    pub stop: u16,
}

/// The same, with what the leaving thread waits for.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Block {
    /// As in a plain switch.
    pub switch: Switch,
    /// The leaving thread's `task_struct`.
    pub task: u64,
    /// When the call it is in was entered; 0: that call is not followed.
    pub entered: u64,
    /// The channel's inode, if the call is on one.
    pub ino: u64,
    /// The inode's file system.
    pub dev: u32,
    /// The system call it is in, or -1.
    pub nr: i32,
    /// The call's first three arguments.
    pub args: [u64; 3],
}

/// One of the descriptors that a thread waits for in poll(2), select(2), epoll_wait(2) or one of their kin; told right before
/// its [`Block`], at the same time.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Wait {
    /// Common part.
    pub header: Header,
    /// The inode behind it; 0: none.
    pub ino: u64,
    /// The inode's file system.
    pub dev: u32,
    /// The descriptor; -1: there are more than are told.
    pub fd: i32,
    /// The inode's `i_mode`.
    pub mode: u16,
    /// Waited for: [`crate::descriptor::END_READ`] bytes to read, [`crate::descriptor::END_WRITE`] room to write.
    pub events: u16,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Wait>() == 48);

/// A thread is made runnable (`sched_waking`); the header names it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Waking {
    /// Common part.
    pub header: Header,
    /// The current thread of that CPU: the waker, or an accident.
    pub waker_tid: u32,
    /// Its process.
    pub waker_tgid: u32,
    /// `__state` before.
    pub state: u32,
    /// The system call the current thread is in, or negative: then an interrupt woke it.
    pub waker_nr: i32,
}

const _: () = assert!(size_of::<Switch>() == 40 && size_of::<Block>() == 96 && size_of::<Waking>() == 40);
