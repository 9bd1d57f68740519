//! Signals: generation, delivery, consumption; dispositions and masks.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`Generate`]
    GENERATE = 0x40;
    /// [`Deliver`]
    DELIVER = 0x41;
    /// [`Sigaction`]
    SIGACTION = 0x42;
    /// [`Mask`]
    MASK = 0x43;
    /// [`Consumed`]
    CONSUMED = 0x44;
}

/// Flags of a [`Generate`].
pub mod flag {
    /// The target's mask blocks it.
    pub const BLOCKED: u32 = 1;
    /// Blocked for the time of a sigtimedwait(2): somebody waits for it.
    pub const REAL_BLOCKED: u32 = 2;
    /// The target is traced by ptrace(2).
    pub const PTRACED: u32 = 4;
    /// The target has ended or is ending.
    pub const DYING: u32 = 8;
    /// The target is in the trace.
    pub const TARGET_TRACED: u32 = 16;
    /// The generating thread is in the trace.
    pub const SENDER_TRACED: u32 = 32;
    /// Directed to a process, not to a thread.
    pub const GROUP: u32 = 64;
    /// The process was stopped and goes on now (`SIGNAL_CLD_MASK`): SIGCONT does that even where it is said to be ignored.
    pub const CONTINUED: u32 = 128;
}

/// Whose information a signal carries.
pub mod info {
    /// `SEND_SIG_NOINFO`: on behalf of the current thread.
    pub const NONE: u32 = 0;
    /// `SEND_SIG_PRIV`: from the kernel.
    pub const KERNEL: u32 = 1;
    /// A `kernel_siginfo`.
    pub const FULL: u32 = 2;
}

/// A signal was generated (`signal_generate`); the header names the current thread, who need not be the sender.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Generate {
    /// Common part.
    pub header: Header,
    /// When the current thread entered the call it is in; 0: not a call we follow.
    pub entered: u64,
    /// The target's disposition: handler address, 0 default, 1 ignore.
    pub handler: u64,
    /// `sa_flags` of the disposition.
    pub sa_flags: u64,
    /// `si_value` or, for a fault, `si_addr`.
    pub value: u64,
    /// The first argument of the current thread's system call: for kill(2), whom it is for.
    pub argument: u64,
    /// The target's mask.
    pub blocked: u64,
    /// The target thread (a process is named by its leader).
    pub target_tid: u32,
    /// Its process.
    pub target_tgid: u32,
    /// The number.
    pub signo: i32,
    /// `si_code`.
    pub code: i32,
    /// [`info`].
    pub info: u32,
    /// 0 delivered, 1 ignored, 2 already pending, 3 queue full, 4 information lost (`TRACE_SIGNAL_*`).
    pub result: u32,
    /// [`flag`].
    pub flags: u32,
    /// The current thread's system call, or negative.
    pub nr: i32,
    /// The target's process group.
    pub pgrp: u32,
    /// Of a POSIX timer's (`SI_TIMER`) the timer's id; of the kernel's own ([`info::KERNEL`]) the target's session.
    pub origin: u32,
    /// The current thread's name.
    pub comm: [u8; 16],
    /// The name of the target's controlling terminal.
    pub tty: [u8; 16],
}

/// A thread takes a signal (`signal_deliver`).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Deliver {
    /// Common part.
    pub header: Header,
    /// The disposition: handler address, 0 default, 1 ignore.
    pub handler: u64,
    /// `sa_flags`.
    pub sa_flags: u64,
    /// What the interrupted call returned (`pt_regs.ax`).
    pub ax: i64,
    /// `si_value` or, for a fault, `si_addr`.
    pub value: u64,
    /// The stack pointer of what is interrupted.
    pub sp: u64,
    /// The first four arguments of the interrupted call.
    pub args: [u64; 4],
    /// The interrupted call; negative: none.
    pub nr: i32,
    /// `f_flags` of the descriptor in the call's first argument; 0 where that is none.
    pub file_flags: u32,
    /// The number.
    pub signo: i32,
    /// `si_code`.
    pub code: i32,
    /// [`info`].
    pub info: u32,
    /// `task_struct.signal->group_exit_code`: the true signal behind a SIGKILL that the kernel makes of a fatal one.
    pub group_exit_code: i32,
}

/// A process changed what it does about a signal (rt_sigaction(2)).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Sigaction {
    /// Common part.
    pub header: Header,
    /// Handler address, 0 default, 1 ignore.
    pub handler: u64,
    /// `sa_flags`.
    pub sa_flags: u64,
    /// `sa_mask`.
    pub mask: u64,
    /// The number.
    pub signo: i32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

/// A thread changed which signals it blocks (rt_sigprocmask(2)).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Mask {
    /// Common part.
    pub header: Header,
    /// `task_struct.blocked`.
    pub blocked: u64,
}

/// A thread took a signal by a call: rt_sigtimedwait(2), or read(2) of a signalfd(2), which may take several.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Consumed {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// `si_value`.
    pub value: u64,
    /// The number.
    pub signo: i32,
    /// `si_code`.
    pub code: i32,
    /// The call.
    pub nr: i32,
    /// 1: code and value are known.
    pub known: u32,
}

const _: () = assert!(size_of::<Generate>() == 144 && size_of::<Deliver>() == 120);
const _: () = assert!(size_of::<Sigaction>() == 56 && size_of::<Mask>() == 32 && size_of::<Consumed>() == 56);
