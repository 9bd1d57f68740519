//! Processes and threads: creation, program, name, end.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`NewTask`]
    NEW_TASK = 0x10;
    /// [`Exec`]
    EXEC = 0x11;
    /// [`Exit`]
    EXIT = 0x12;
    /// [`Freed`]
    FREED = 0x13;
    /// [`Rename`]
    RENAME = 0x14;
    /// [`Found`]
    FOUND = 0x15;
}

/// Bytes kept of a program's path.
pub const EXE_LEN: usize = 256;
/// Bytes kept of the arguments.
pub const ARGS_LEN: usize = 1024;

/// A thread was created (`task_newtask`); the header names the new one.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct NewTask {
    /// Common part.
    pub header: Header,
    /// `CLONE_*` flags.
    pub flags: u64,
    /// Which descriptor table it uses (`task_struct.files`); threads share one.
    pub files: u64,
    /// The creator.
    pub parent_tid: u32,
    /// The creator's process.
    pub parent_tgid: u32,
    /// Its thread id in its own pid namespace.
    pub ns_tid: u32,
    /// Its process id in its own pid namespace.
    pub ns_tgid: u32,
    /// Which signals it blocks.
    pub blocked: u64,
    /// Its name.
    pub comm: [u8; 16],
}

/// A thread that was there when tracing began (a BPF iterator's row).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Found {
    /// Common part.
    pub header: Header,
    /// Which descriptor table it uses.
    pub files: u64,
    /// The process of its parent.
    pub parent_tgid: u32,
    /// `task_struct.__state`.
    pub state: u32,
    /// Its thread id in its own pid namespace.
    pub ns_tid: u32,
    /// Its process id in its own pid namespace.
    pub ns_tgid: u32,
    /// The system call it is in, or -1.
    pub nr: i32,
    /// 1: held before its exec by us; what it does before is not of interest.
    pub held: u32,
    /// The call's first three arguments.
    pub args: [u64; 3],
    /// Which signals it blocks.
    pub blocked: u64,
    /// Which its process ignores.
    pub ignored: u64,
    /// For which its process has a handler.
    pub caught: u64,
    /// Its name.
    pub comm: [u8; 16],
}

/// A process executes another program (`sched_process_exec`).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Exec {
    /// Common part.
    pub header: Header,
    /// The thread id of the caller, which becomes the process id.
    pub old_tid: u32,
    /// How many descriptors [`crate::descriptor::HELD`] records told before this one.
    pub held: u32,
    /// The descriptor table after the exec.
    pub files: u64,
    /// How long the arguments are; more than [`ARGS_LEN`]: cut.
    pub args_len: u32,
    /// Bytes used of `exe`, without the NUL.
    pub exe_len: u32,
    /// Which signals the thread blocks.
    pub blocked: u64,
    /// Which the process ignores.
    pub ignored: u64,
    /// The new name.
    pub comm: [u8; 16],
    /// The program's path.
    pub exe: [u8; EXE_LEN],
    /// The arguments, each ended by a NUL.
    pub args: [u8; ARGS_LEN],
}

/// A thread ends (`sched_process_exit`).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Exit {
    /// Common part.
    pub header: Header,
    /// `task_struct.exit_code`: status as in wait(2).
    pub code: i32,
    /// 1: the last thread of its process.
    pub last: u32,
}

/// A thread was reaped and is freed (`sched_process_free`, some time after the fact: RCU).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Freed {
    /// Common part.
    pub header: Header,
}

/// A thread changed its name (`task_rename`).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Rename {
    /// Common part.
    pub header: Header,
    /// The new name.
    pub comm: [u8; 16],
}

const _: () = assert!(size_of::<NewTask>() == 80 && size_of::<Found>() == 120 && size_of::<Exec>() == 1360);
