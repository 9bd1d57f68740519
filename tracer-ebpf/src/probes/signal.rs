//! Signals: generation and delivery.

use aya_ebpf::programs::BtfTracePointContext;
use ipcscope_common::{
    settings::lost,
    signal::{DELIVER, Deliver, GENERATE, Generate, flag, info},
};

use crate::{
    emit::{emit, header},
    kernel::{Ptr, current, field, now, offset, peek, registers, syscall_of},
    task::{member, traced},
};

/// `SIGNAL_GROUP_EXIT`: the process is ending (include/linux/sched/signal.h).
const SIGNAL_GROUP_EXIT: u32 = 4;
/// Size of `struct k_sigaction` on x86-64: handler, flags, restorer, mask.
const SIGACTION_SIZE: u64 = 32;

/// What the pointer to the information stands for: (kind, si_code, si_value or si_addr).
#[inline(always)]
fn information(pointer: u64) -> (u32, i32, u64) {
    if pointer <= info::KERNEL as u64 {
        return (pointer as u32, 0, 0);
    }
    // kernel_siginfo: signo 0, errno 4, code 8, then at 16 the pid and at 24 the value, or at 16 the address. Read as a
    // whole: the verifier allows no arithmetic on this pointer, since it may be one of the numbers above.
    let raw: [u64; 4] = peek(pointer);
    let code = raw[1] as i32;
    (info::FULL, code, if code > 0 { raw[2] } else { raw[3] })
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
    let (kind, code, value) = information(ctx.arg(1));
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
            argument: field!(registers(me), regs_di as u64),
            target_tid: field!(task, task_pid as u32),
            target_tgid: field!(task, task_tgid as u32),
            signo,
            code,
            info: kind,
            result: result as u32,
            flags,
            nr: syscall_of(me),
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
    let (kind, code, _) = information(ctx.arg(1));
    let action: u64 = ctx.arg(2);
    let action: [u64; 2] = peek(action);
    let signal = field!(task, task_signal as Ptr);
    let header = header(DELIVER, now(), entry.tid, entry.tgid);
    emit(
        lost::SIGNAL,
        Deliver {
            header,
            handler: action[0],
            sa_flags: action[1],
            ax: field!(registers(task), regs_ax as u64) as i64,
            signo,
            code,
            info: kind,
            group_exit_code: field!(signal, signal_group_exit_code as i32),
        },
    );
}
