//! System calls: one program for all entries and one for all exits, dispatched by class.
//!
//! What has a program of its own is left to that ([`family`]). Calls that no family looks at cost a table look-up. The arguments are read where the kernel keeps them (`pt_regs`),
//! at entry for what may be gone at exit (a descriptor another thread closes), at exit for the rest.

use aya_ebpf::programs::BtfTracePointContext;
use ipcscope_common::{
    call::{CALL_BEGIN, CALL_END, CallBegin, CallEnd, class},
    descriptor::object,
    settings::lost,
};

use super::{descriptor, family, object as other, pipe, signal};
use crate::{
    emit::{emit, header},
    kernel::{Ptr, class_of, current, field, now, peek_user, setting},
    task::{Task, traced},
};

/// `TS_COMPAT`: a 32-bit call, numbered differently (x86, asm/thread_info.h).
const TS_COMPAT: u32 = 2;
/// rt_sigreturn(2), waitid(2).
const RT_SIGRETURN: i32 = 15;
const WAITID: i32 = 247;
/// ioctl_tty(2): opens the other side of a terminal.
const TIOCGPTPEER: u64 = 0x5441;
/// `WNOWAIT`: the child stays to be reaped.
const WNOWAIT: u64 = 0x0100_0000;

/// The bit that marks the numbers of calls with 32-bit pointers (x86, asm/unistd.h `__X32_SYSCALL_BIT`).
const X32: u64 = 0x4000_0000;

/// In `syscall_trace_enter`.
#[inline(always)]
pub fn enter(ctx: &BtfTracePointContext) {
    let nr: u64 = ctx.arg(1);
    let class = class_of(nr);
    if class == class::NONE && nr & X32 == 0 {
        return;
    }
    let me = current();
    let Some(task) = traced(me) else { return };
    if task.held != 0 {
        return;
    }
    if field!(me, task_status as u32) & TS_COMPAT != 0 || nr & X32 != 0 {
        pipe::unseen(task, me);
        return;
    }
    if class == class::ONLY_32_BIT {
        return;
    }
    let regs: Ptr = ctx.arg(0);
    if class == class::SIGRETURN {
        // Its number is gone when it exits.
        task.nr = RT_SIGRETURN;
        task.class = class;
        // Where its frame is, before that is undone.
        task.requested = field!(regs, regs_sp as u64);
        return;
    }
    begin(task, me, regs, nr as i32, class);
    if task.watched != 0 {
        let header = header(CALL_BEGIN, task.entered, task.tid, task.tgid);
        emit(
            lost::CALL,
            CallBegin {
                header,
                entered: task.entered,
                args: [field!(regs, regs_di as u64), field!(regs, regs_si as u64), field!(regs, regs_dx as u64)],
                nr: nr as i32,
                reserved: 0,
            },
        );
    }
    // What looks into the thread's own memory.
    match class {
        class::WRITE => pipe::keep_payload(me, regs),
        class::SENDMSG => descriptor::sending(task, field!(regs, regs_si as u64), 0),
        _ => {}
    }
    pipe::join(task, me);
    family::enter(ctx, task);
}

/// Notes the call a thread is in. Also for threads that were in one when tracing began.
#[inline(always)]
pub fn begin(task: &mut Task, me: Ptr, regs: Ptr, nr: i32, class: u8) {
    task.entered = now();
    task.nr = nr;
    task.class = class;
    task.sampled = 0;
    task.ends[0].leave();
    task.ends[1].leave();
    match class {
        class::READ..=class::SENDFILE => pipe::begin(task, me, regs, class),
        class::CLOSE => descriptor::resolve(me, field!(regs, regs_di as u64), &mut task.ends[0]),
        class::MQ_SEND | class::MQ_RECEIVE => {
            descriptor::resolve(me, field!(regs, regs_di as u64), &mut task.ends[0]);
            if task.ends[0].object != object::MQUEUE {
                task.ends[0].leave();
            }
        }
        class::DUP_TO => descriptor::resolve(me, field!(regs, regs_si as u64), &mut task.ends[0]),
        _ => {}
    }
    if matches!(class, class::CLOSE | class::DUP_TO | class::CLOSE_RANGE | class::OTHER_CLOSE) {
        task.known = 0;
    }
}

/// In `syscall_exit_work`, before signals are delivered: an interrupted call shows its restart code.
#[inline(always)]
pub fn exit(ctx: &BtfTracePointContext) {
    let me = current();
    let Some(task) = traced(me) else { return };
    let regs: Ptr = ctx.arg(0);
    let ret: i64 = ctx.arg(1);
    let nr = field!(regs, regs_orig_ax as u64) as i32;
    let class = task.class;
    if class == class::SIGRETURN {
        // The restored result tells what became of the call that was interrupted.
        task.class = class::NONE;
        task.watched = 1;
        task.mask = field!(me, task_blocked as u64);
        let header = header(CALL_END, now(), task.tid, task.tgid);
        let args = [task.mask, task.requested, 0];
        emit(lost::CALL, CallEnd { header, entered: 0, ret, args, nr: RT_SIGRETURN, reserved: 0 });
        return;
    }
    // A call whose entry was not seen, or not looked at.
    if class == class::NONE || nr != task.nr {
        task.class = class::NONE;
        task.sampled = 0;
        if interrupted(ret) && task.held == 0 {
            task.entered = 0;
            end(task, regs, nr, ret, now());
            task.watched = 1;
        }
        return;
    }
    let time = now();
    task.returned = time;
    task.ret = ret;
    // Before the rest, so that nothing of this is alive there: stack is short, and the verifier of 6.1 looks at every
    // combination.
    family::exit(ctx, task);
    match class {
        class::READ..=class::SENDFILE if task.ends[0].pipe | task.ends[1].pipe != 0 => pipe::finish(task, me, regs),
        // A message without bytes is sent, too.
        class::SENDMSG if !interrupted(ret) => {
            descriptor::sending(task, field!(regs, regs_si as u64), if ret == 0 { 1 } else { ret });
        }
        class::RING if ret >= 0 => pipe::unseen(task, me),
        class::WAIT if ret >= 0 => end(task, regs, nr, ret, time),
        class::SIGWAIT if ret > 0 => signal::waited(task, regs),
        class::SIGACTION if ret == 0 => signal::action(task, me, regs),
        class::SIGMASK if ret == 0 => signal::mask(task, me),
        _ => {
            if class >= class::PIPE && class <= class::RECVMSG {
                descriptor::finish(task, me, regs);
            }
            if class == class::IOCTL && ret >= 0 && field!(regs, regs_si as u64) == TIOCGPTPEER {
                other::tell_opened(ret as u64);
            }
            if class == class::CLONE && ret > 0 {
                let (first, third) = (field!(regs, regs_di as u64), field!(regs, regs_dx as u64));
                let fd = other::descriptor_of_child(nr as u64, first, third);
                if fd >= 0 {
                    other::tell_opened(fd as u64);
                }
            }
            if class == class::READ && ret > 0 && ret & 127 == 0 && setting!(signals) != 0 {
                signal::read(task, regs);
            }
            if interrupted(ret) || task.watched != 0 {
                end(task, regs, nr, ret, time);
            }
        }
    }
    if task.watched != 0 && !interrupted(ret) && matches!(class, class::SENDMSG..=class::RING | class::SIGWAIT) {
        end(task, regs, nr, ret, time);
    }
    leave(task, me);
}

/// The call is over, all of it told.
#[inline(always)]
pub fn leave(task: &mut Task, me: Ptr) {
    task.watched = u64::from(interrupted(task.ret));
    if task.class <= class::SENDFILE {
        task.known = u8::from(descriptor::is_alone(me));
    }
    task.class = class::NONE;
    task.sampled = 0;
    task.ends[0].leave();
    task.ends[1].leave();
}

/// A restart code (include/linux/errno.h: ERESTARTSYS 512 to ERESTART_RESTARTBLOCK 516) or EINTR.
#[inline(always)]
pub fn interrupted(ret: i64) -> bool {
    (-516..=-512).contains(&ret) || ret == -4
}

#[inline(always)]
pub fn end(task: &Task, regs: Ptr, nr: i32, ret: i64, time: u64) {
    let mut third = field!(regs, regs_dx as u64);
    if nr == WAITID {
        // siginfo_t: the child's id is at 12.
        let stays = field!(regs, regs_r10 as u64) & WNOWAIT != 0 || third == 0 || ret < 0;
        third = if stays { 0 } else { u64::from(peek_user::<u32>(third + 12).unwrap_or(0)) };
    }
    let header = header(CALL_END, time, task.tid, task.tgid);
    emit(
        lost::CALL,
        CallEnd {
            header,
            entered: task.entered,
            ret,
            args: [field!(regs, regs_di as u64), field!(regs, regs_si as u64), third],
            nr,
            reserved: 0,
        },
    );
}
