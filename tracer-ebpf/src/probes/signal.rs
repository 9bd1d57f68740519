//! Signals: generation, delivery, consumption; dispositions and masks.

use aya_ebpf::programs::BtfTracePointContext;
use ipcscope_common::{
    settings::lost,
    signal::{CONSUMED, Consumed, DELIVER, Deliver, GENERATE, Generate, MASK, Mask, SIGACTION, Sigaction, flag, info},
};

use super::descriptor;
use crate::{
    arguments::{self, arguments, syscall_of},
    emit::{emit, header},
    kernel::{LONG, Ptr, current, field, now, offset, peek, peek_user, registers, setting, steps},
    task::{Task, member, traced},
};

/// `SIGNAL_GROUP_EXIT`: the process is ending (include/linux/sched/signal.h).
const SIGNAL_GROUP_EXIT: u32 = 4;
/// Size of `struct k_sigaction` on x86-64: handler, flags, restorer, mask.
const SIGACTION_SIZE: u64 = 32;
/// `SIGNAL_CLD_STOPPED | SIGNAL_CLD_CONTINUED`: the process was stopping or stopped, and a SIGCONT ended that.
const SIGNAL_CLD_MASK: u32 = 0x30;
/// `PIDTYPE_PGID`, `PIDTYPE_SID`: indices into `signal_struct.pids`.
const PIDTYPE_PGID: u64 = 2;
const PIDTYPE_SID: u64 = 3;
/// `si_code` of a POSIX timer.
const SI_TIMER: i32 = -2;
/// `struct signalfd_siginfo`, and how many a read can bring before we stop looking.
const SIGNALFD_SIZE: u64 = 128;
const SIGNALFD_MOST: u64 = 256;

/// What the pointer to the information stands for: (kind, si_code, si_value or si_addr, si_tid).
#[inline(always)]
fn information(pointer: u64) -> (u32, i32, u64, u32) {
    if pointer <= info::KERNEL as u64 {
        return (pointer as u32, 0, 0, 0);
    }
    // kernel_siginfo: signo 0, errno 4, code 8, then at 16 the pid and at 24 the value, or at 16 the address. Read as a
    // whole: the verifier allows no arithmetic on this pointer, since it may be one of the numbers above.
    let raw: [u64; 4] = peek(pointer);
    let code = raw[1] as i32;
    (info::FULL, code, if code > 0 { raw[2] } else { raw[3] }, raw[2] as u32)
}

/// In `__send_signal`, with the signal lock held and after the target was chosen and woken.
#[inline(always)]
pub fn generate(ctx: &BtfTracePointContext) {
    let task: Ptr = ctx.arg(2);
    let me = current();
    let mut flags = 0;
    let mut entered = 0;
    if member(me).is_some() {
        flags = flag::SENDER_TRACED;
        if let Some(sender) = traced(me)
            && sender.class != 0
        {
            entered = sender.entered;
        }
    }
    if member(task).is_some() {
        flags |= flag::TARGET_TRACED;
    }
    if flags == 0 {
        return;
    }
    let signo: i32 = ctx.arg(0);
    let (kind, code, value, timer) = information(ctx.arg(1));
    let group: i32 = ctx.arg(3);
    let result: i32 = ctx.arg(4);
    let bit = 1u64 << ((signo - 1) as u64 & 63);
    let signal = field!(task, task_signal as Ptr);
    if field!(task, task_blocked as u64) & bit != 0 {
        flags |= flag::BLOCKED;
    }
    if field!(task, task_real_blocked as u64) & bit != 0 {
        flags |= flag::REAL_BLOCKED;
    }
    if field!(task, task_ptrace as u32) != 0 {
        flags |= flag::PTRACED;
    }
    if field!(task, task_exit_state as u32) != 0 || field!(signal, signal_flags as u32) & SIGNAL_GROUP_EXIT != 0 {
        flags |= flag::DYING;
    }
    if group != 0 {
        flags |= flag::GROUP;
    }
    if field!(signal, signal_flags as u32) & SIGNAL_CLD_MASK != 0 {
        flags |= flag::CONTINUED;
    }
    let pids = field!(signal, signal_pids as [u64; 4]);
    let number = offset!(pid_numbers) as u64 + offset!(upid_nr) as u64;
    let pgrp: u32 = peek(pids[PIDTYPE_PGID as usize] + number);
    let origin = match (kind, code) {
        (info::KERNEL, _) => peek(pids[PIDTYPE_SID as usize] + number),
        (info::FULL, SI_TIMER) => timer,
        _ => 0,
    };
    let actions = field!(task, task_sighand as u64) + offset!(sighand_action) as u64;
    let action: [u64; 2] = peek(actions + ((signo - 1) as u64 & 63) * SIGACTION_SIZE);
    let tty = field!(signal, signal_tty as u64);
    let tty: [u8; 16] = if tty == 0 { [0; 16] } else { peek(tty + offset!(tty_name) as u64) };
    let header = header(GENERATE, now(), field!(me, task_pid as u32), field!(me, task_tgid as u32));
    emit(
        lost::SIGNAL,
        Generate {
            header,
            entered,
            handler: action[0],
            sa_flags: action[1],
            value,
            argument: arguments(me, registers(me))[0],
            blocked: field!(task, task_blocked as u64),
            target_tid: field!(task, task_pid as u32),
            target_tgid: field!(task, task_tgid as u32),
            signo,
            code,
            info: kind,
            result: result as u32,
            flags,
            nr: syscall_of(me),
            pgrp,
            origin,
            comm: field!(me, task_comm as [u8; 16]),
            tty,
        },
    );
}

/// In `get_signal`, by the thread that takes the signal.
#[inline(always)]
pub fn deliver(ctx: &BtfTracePointContext) {
    let task = current();
    let Some(entry) = traced(task) else { return };
    let signo: i32 = ctx.arg(0);
    let (kind, code, value, _) = information(ctx.arg(1));
    let action: u64 = ctx.arg(2);
    let action: [u64; 2] = peek(action);
    let signal = field!(task, task_signal as Ptr);
    let regs = registers(task);
    let (nr, [first, second, third, fourth, ..]) = arguments::of(entry, task, regs);
    let file = if nr >= 0 { descriptor::file_of(task, first) } else { 0 };
    let file_flags = if file == 0 { 0 } else { peek(file + offset!(file_flags) as u64) };
    let header = header(DELIVER, now(), entry.tid, entry.tgid);
    emit(
        lost::SIGNAL,
        Deliver {
            header,
            handler: action[0],
            sa_flags: action[1],
            ax: field!(regs, regs_ax as u64) as i64,
            value,
            sp: field!(regs, regs_sp as u64),
            args: [first, second, third, fourth],
            nr,
            file_flags,
            signo,
            code,
            info: kind,
            group_exit_code: field!(signal, signal_group_exit_code as i32),
        },
    );
}

/// Which signals the process of `task` ignores, and for which it has a handler.
#[inline(always)]
pub fn dispositions(task: Ptr) -> (u64, u64) {
    let actions = field!(task, task_sighand as u64) + offset!(sighand_action) as u64;
    let (mut ignored, mut caught) = (0u64, 0u64);
    for index in 0..64u64 {
        let handler: u64 = peek(actions + index * SIGACTION_SIZE);
        if handler == 1 {
            ignored |= 1 << index;
        } else if handler != 0 {
            caught |= 1 << index;
        }
    }
    (ignored, caught)
}

/// rt_sigaction(2) returned.
#[inline(always)]
pub fn action(task: &Task, me: Ptr) {
    // It only asked.
    if task.args[1] == 0 || setting!(signals) == 0 {
        return;
    }
    let signo = task.args[0] as i32;
    let actions = field!(me, task_sighand as u64) + offset!(sighand_action) as u64;
    let action: [u64; 4] = peek(actions + ((signo - 1) as u64 & 63) * SIGACTION_SIZE);
    let header = header(SIGACTION, task.returned, task.tid, task.tgid);
    emit(
        lost::SIGNAL,
        Sigaction { header, handler: action[0], sa_flags: action[1], mask: action[3], signo, reserved: 0 },
    );
}

/// rt_sigprocmask(2) returned.
#[inline(always)]
pub fn mask(task: &mut Task, me: Ptr) {
    let blocked = field!(me, task_blocked as u64);
    if blocked == task.mask || setting!(signals) == 0 {
        return;
    }
    task.mask = blocked;
    let header = header(MASK, task.returned, task.tid, task.tgid);
    emit(lost::SIGNAL, Mask { header, blocked });
}

/// rt_sigtimedwait(2) took a signal.
#[inline(always)]
pub fn waited(task: &Task) {
    if setting!(signals) == 0 {
        return;
    }
    // siginfo_t as the kernel wrote it for the caller: code at 8, value behind two numbers, all aligned to words.
    let place = task.args[1];
    let told = if place == 0 { None } else { peek_user::<[u64; 4]>(place) };
    let (code, value, known) = match told {
        Some([_, code, _, value]) if task.word == LONG => (code as i32, value, 1),
        Some([_, code, value, _]) => (code as i32, value >> 32, 1),
        None => (0, 0, 0),
    };
    consumed(task, task.ret as i32, code, value, known);
}

#[inline(always)]
fn consumed(task: &Task, signo: i32, code: i32, value: u64, known: u32) {
    let header = header(CONSUMED, task.returned, task.tid, task.tgid);
    emit(lost::SIGNAL, Consumed { header, entered: task.entered, value, signo, code, nr: task.nr, known });
}

/// read(2) of something that is no pipe returned a multiple of 128 bytes: if it is a signalfd, these are signals.
#[inline(always)]
pub fn read(task: &Task) {
    let dentry: u64 = peek(task.ends[0].file + offset!(file_dentry) as u64);
    let name: u64 = peek(dentry + offset!(dentry_name) as u64);
    if peek::<[u8; 11]>(name) != *b"[signalfd]\0" {
        return;
    }
    tell_signals(task.args[1], task.ret as u64 / SIGNALFD_SIZE);
}

/// Tells of what a signalfd gave. A global function, as below.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_signals(place: u64, count: u64) -> i32 {
    for index in steps::<SIGNALFD_MOST>() {
        if index >= count {
            break;
        }
        tell_signalfd(place + index * SIGNALFD_SIZE);
    }
    0
}

/// Tells of one signal that a signalfd gave. A global function: the verifier proves it once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_signalfd(place: u64) -> i32 {
    let Some(task) = traced(current()) else { return 0 };
    // struct signalfd_siginfo: number at 0, code at 8, value at 48. One read: of two, the verifier of 6.1 does not
    // understand that what the first brought is used only if it succeeded.
    let Some(raw) = peek_user::<[u64; 7]>(place) else { return 0 };
    let (signo, code, value) = (raw[0] as i32, raw[1] as i32, raw[6]);
    consumed(task, signo, code, value, 1);
    0
}
