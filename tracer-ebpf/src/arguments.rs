//! The number and the arguments of a system call, those of 32-bit calls as x86-64 has them.
//!
//! A 32-bit program, or `int 0x80` in any other, numbers its calls differently, passes arguments in other registers, and has
//! words of four bytes in its structures (arch/x86/entry/syscalls/syscall_32.tbl). Such a call is translated when it begins
//! and noted in the thread's [`Task`], so no family knows of it but where it looks into a structure of words ([`crate::kernel::words`]).

use ipcscope_common::call::{BIT_32, NO_NUMBER};

use crate::{
    kernel::{NUMBERS_OF_32_BIT, Ptr, SHORT, current, entry, field, peek_user, registers},
    task::{Task, traced},
};

/// `TS_COMPAT` (x86, asm/thread_info.h).
const TS_COMPAT: u32 = 2;
/// socketcall(2) and ipc(2), which stand for many.
const SOCKETCALL: i32 = 102;
pub const IPC: i32 = 117;
/// mmap2(2): the offset is in pages. ftruncate64(2): the length takes two arguments.
const MMAP2: i32 = 192;
const FTRUNCATE64: i32 = 194;
const PAGE_SHIFT: u32 = 12;
/// Calls of x86-64 that socketcall(2) stands for (include/uapi/linux/net.h); 0: none.
#[unsafe(no_mangle)]
pub static SOCKETCALLS: [i32; 32] = [
    0, 41, 49, 42, 50, 43, 51, 52, 53, 44, 45, 44, 45, 48, 54, 55, 46, 47, 288, 299, 307, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0,
];
/// send(2) and recv(2) there: sendto(2) and recvfrom(2) without an address.
const SEND: u64 = 9;
const RECV: u64 = 10;
/// `IPC_64`, in the commands of System V calls.
const IPC_64: u64 = 0x100;

/// Whether a thread is in a 32-bit call.
#[inline(always)]
pub fn is_32_bit(task: Ptr) -> bool {
    field!(task, task_status as u32) & TS_COMPAT != 0
}

/// The arguments of the call that a thread entered the kernel with.
#[inline(always)]
pub fn arguments(task: Ptr, regs: Ptr) -> [u64; 6] {
    if is_32_bit(task) {
        return of_32_bit(regs);
    }
    [
        field!(regs, regs_di as u64),
        field!(regs, regs_si as u64),
        field!(regs, regs_dx as u64),
        field!(regs, regs_r10 as u64),
        field!(regs, regs_r8 as u64),
        field!(regs, regs_r9 as u64),
    ]
}

#[inline(always)]
fn of_32_bit(regs: Ptr) -> [u64; 6] {
    [
        field!(regs, regs_bx as u32).into(),
        field!(regs, regs_cx as u32).into(),
        field!(regs, regs_dx as u32).into(),
        field!(regs, regs_si as u32).into(),
        field!(regs, regs_di as u32).into(),
        field!(regs, regs_bp as u32).into(),
    ]
}

/// The number of the call of x86-64 that does the same as the 32-bit call `raw`, marked; negative: there is none.
#[inline(always)]
fn translated(raw: i32) -> i32 {
    match entry(&NUMBERS_OF_32_BIT, raw as u64) {
        None | Some(NO_NUMBER) => -1,
        Some(number) => i32::from(number) | BIT_32,
    }
}

/// What a call is by the number that a thread entered the kernel with; a negative one stays.
#[inline(always)]
pub fn number(task: Ptr, raw: i32) -> i32 {
    if raw >= 0 && is_32_bit(task) { translated(raw) } else { raw }
}

/// The system call a thread is in by its registers, or a negative number.
#[inline(always)]
pub fn syscall_of(task: Ptr) -> i32 {
    // Kernel threads (PF_KTHREAD) have no registers of their own.
    if field!(task, task_flags as u32) & 0x0020_0000 != 0 {
        return -1;
    }
    number(task, field!(registers(task), regs_orig_ax as u64) as i32)
}

/// The number and the arguments of the call that a thread is in, or that it comes out of.
#[inline(always)]
pub fn of(task: &Task, me: Ptr, regs: Ptr) -> (i32, [u64; 6]) {
    let raw = field!(regs, regs_orig_ax as u64) as i32;
    if !is_32_bit(me) {
        return (raw, arguments(me, regs));
    }
    if raw == task.raw {
        return (task.nr, task.args);
    }
    (translated(raw), of_32_bit(regs))
}

/// Notes the 32-bit call that the current thread enters; gives its number, or a negative one. A global function: the
/// verifier proves it once, and its stack is gone when the rest begins.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn translate(raw: i32) -> i32 {
    let me = current();
    let Some(task) = traced(me) else { return -1 };
    let args = of_32_bit(registers(me));
    task.raw = raw;
    task.word = SHORT;
    task.args = args;
    match raw {
        SOCKETCALL => {
            task.nr = socketcall(task, args[0], args[1]);
        }
        IPC => task.nr = ipc(task, args),
        _ => {
            task.nr = translated(raw);
            if raw == MMAP2 {
                task.args[5] <<= PAGE_SHIFT;
            } else if raw == FTRUNCATE64 {
                task.args[1] |= task.args[2] << 32;
            }
        }
    }
    task.nr
}

/// `socketcall(call, args)`: the arguments are an array of words.
#[inline(always)]
fn socketcall(task: &mut Task, call: u64, at: u64) -> i32 {
    let first = peek_user::<[u32; 3]>(at).unwrap_or([0; 3]);
    // As many as the call takes: there need be no more.
    let last = peek_user::<[u32; 3]>(at + 12).unwrap_or([0; 3]);
    for i in 0..3 {
        task.args[i] = first[i].into();
        task.args[i + 3] = last[i].into();
    }
    if call == SEND || call == RECV {
        (task.args[4], task.args[5]) = (0, 0);
    }
    match entry(&SOCKETCALLS, call) {
        None | Some(0) => -1,
        Some(number) => number | BIT_32,
    }
}

/// `ipc(call, first, second, third, ptr, fifth)` (ipc/syscall.c).
#[inline(always)]
fn ipc(task: &mut Task, [call, first, second, third, pointer, fifth]: [u64; 6]) -> i32 {
    let (number, args) = match call & 0xffff {
        // semop, semget, semctl, semtimedop.
        1 => (65, [first, pointer, second, 0, 0]),
        2 => (64, [first, second, third, 0, 0]),
        3 => (66, [first, second, third & !IPC_64, peek_user::<u32>(pointer).unwrap_or(0).into(), 0]),
        4 => (220, [first, pointer, second, fifth, 0]),
        // msgsnd, msgrcv, msgget, msgctl.
        11 => (69, [first, pointer, second, third, 0]),
        // struct ipc_kludge: the message, its type.
        12 if call >> 16 == 0 => {
            let [message, kind] = peek_user::<[u32; 2]>(pointer).unwrap_or([0; 2]);
            (70, [first, message.into(), second, kind.into(), third])
        }
        12 => (70, [first, pointer, second, fifth, third]),
        13 => (68, [first, second, 0, 0, 0]),
        14 => (71, [first, second & !IPC_64, pointer, 0, 0]),
        // shmat, which puts the address where the third points; shmdt, shmget, shmctl.
        21 => (30, [first, pointer, second, third, 0]),
        22 => (67, [pointer, 0, 0, 0, 0]),
        23 => (29, [first, second, third, 0, 0]),
        24 => (31, [first, second & !IPC_64, pointer, 0, 0]),
        _ => return -1,
    };
    for (place, value) in task.args.iter_mut().zip(args) {
        *place = value;
    }
    number | BIT_32
}
