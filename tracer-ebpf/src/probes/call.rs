//! System calls: one program for all entries and one for all exits, dispatched by class.
//!
//! What has a program of its own is left to that ([`family`]). Calls that no family looks at cost a table look-up. The
//! arguments are noted at entry; what they lead to is read then if it may be gone at exit (a descriptor another thread
//! closes), and at exit otherwise.

use aya_ebpf::programs::BtfTracePointContext;
use ipcscope_common::{
    call::{BIT_32, CALL_BEGIN, CALL_END, CallBegin, CallEnd, class},
    descriptor::object,
    settings::lost,
};

use super::{descriptor, family, object as other, pipe, signal};
use crate::{
    arguments::{self, arguments, is_32_bit, translate},
    emit::{emit, header},
    kernel::{LONG, Ptr, class_of, current, field, now, peek_user, setting},
    task::{Task, traced},
};

/// waitid(2).
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
    let mut class = class_of(nr);
    if class == class::NONE && nr & X32 == 0 {
        return;
    }
    let me = current();
    let is_32_bit = is_32_bit(me);
    if class == class::ONLY_32_BIT && !is_32_bit {
        return;
    }
    let Some(task) = traced(me) else { return };
    if task.held != 0 {
        return;
    }
    if nr & X32 != 0 {
        pipe::unseen(task, me);
        return;
    }
    let regs: Ptr = ctx.arg(0);
    if is_32_bit {
        let number = translate(nr as i32);
        class = class_of((number & !BIT_32) as u64);
        if number < 0 || class == class::NONE || class == class::ONLY_32_BIT {
            return;
        }
    } else {
        (task.nr, task.raw) = (nr as i32, nr as i32);
        task.args = arguments(me, regs);
        task.word = LONG;
    }
    if class == class::SIGRETURN {
        // Its number is gone when it exits.
        task.class = class;
        // Where its frame is, before that is undone.
        task.requested = field!(regs, regs_sp as u64);
        return;
    }
    begin(task, me, class);
    if class == class::READV || class == class::WRITEV {
        pipe::measure(task);
    }
    if task.watched != 0 {
        let header = header(CALL_BEGIN, task.entered, task.tid, task.tgid);
        emit(
            lost::CALL,
            CallBegin {
                header,
                entered: task.entered,
                args: [task.args[0], task.args[1], task.args[2]],
                nr: task.nr,
                reserved: 0,
            },
        );
    }
    // What looks into the thread's own memory.
    match class {
        class::WRITE => pipe::keep_payload(me),
        class::SENDMSG => descriptor::sending(task, 0),
        _ => {}
    }
    pipe::join(task, me);
    family::enter(ctx, task);
}

/// Begins the call that is noted for a thread. Also for threads that were in one when tracing began.
#[inline(always)]
pub fn begin(task: &mut Task, me: Ptr, class: u8) {
    task.entered = now();
    task.class = class;
    task.sampled = 0;
    task.ends[0].leave();
    task.ends[1].leave();
    match class {
        class::READ..=class::SENDFILE => pipe::begin(task, me, class),
        class::CLOSE => descriptor::resolve(me, task.args[0], &mut task.ends[0]),
        class::MQ_SEND | class::MQ_RECEIVE => {
            descriptor::resolve(me, task.args[0], &mut task.ends[0]);
            if task.ends[0].object != object::MQUEUE {
                task.ends[0].leave();
            }
        }
        class::DUP_TO => descriptor::resolve(me, task.args[1], &mut task.ends[0]),
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
    let class = task.class;
    if class == class::SIGRETURN {
        // The restored result tells what became of the call that was interrupted.
        task.class = class::NONE;
        task.watched = 1;
        task.mask = field!(me, task_blocked as u64);
        let header = header(CALL_END, now(), task.tid, task.tgid);
        let args = [task.mask, task.requested, 0];
        emit(lost::CALL, CallEnd { header, entered: 0, ret, args, nr: task.nr, reserved: 0 });
        return;
    }
    // A call whose entry was not seen, or not looked at.
    if class == class::NONE || field!(regs, regs_orig_ax as u64) as i32 != task.raw {
        task.class = class::NONE;
        task.sampled = 0;
        if interrupted(ret) && task.held == 0 {
            task.entered = 0;
            // Its arguments were not noted.
            (task.nr, task.args) = arguments::of(task, me, regs);
            end(task, ret, now());
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
        class::READ..=class::SENDFILE if task.ends[0].pipe | task.ends[1].pipe != 0 => pipe::finish(task, me),
        // A message without bytes is sent, too.
        class::SENDMSG if !interrupted(ret) => {
            descriptor::sending(task, if ret == 0 { 1 } else { ret });
        }
        class::RING if ret >= 0 => pipe::unseen(task, me),
        class::WAIT if ret >= 0 => end(task, ret, time),
        class::SIGWAIT if ret > 0 => signal::waited(task),
        class::SIGACTION if ret == 0 => signal::action(task, me),
        class::SIGMASK if ret == 0 => signal::mask(task, me),
        _ => {
            if class >= class::PIPE && class <= class::RECVMSG {
                descriptor::finish(task, me);
            }
            if class == class::IOCTL && ret >= 0 && task.args[1] == TIOCGPTPEER {
                other::tell_opened(ret as u64);
            }
            if class == class::CLONE && ret > 0 {
                let fd = other::descriptor_of_child(task.number() as u64, task.args[0], task.args[2]);
                if fd >= 0 {
                    other::tell_opened(fd as u64);
                }
            }
            if class == class::READ && ret > 0 && ret & 127 == 0 && setting!(signals) != 0 {
                signal::read(task);
            }
            if interrupted(ret) || task.watched != 0 {
                end(task, ret, time);
            }
        }
    }
    if task.watched != 0 && !interrupted(ret) && matches!(class, class::SENDMSG..=class::RING | class::SIGWAIT) {
        end(task, ret, time);
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

/// Tells how a call ended.
#[inline(always)]
pub fn end(task: &Task, ret: i64, time: u64) {
    let [first, second, mut third, fourth, ..] = task.args;
    if task.number() == WAITID {
        // siginfo_t: three numbers, then, aligned to a word, the child's id.
        let child = third + if task.word == LONG { 16 } else { 12 };
        let stays = fourth & WNOWAIT != 0 || third == 0 || ret < 0;
        third = if stays { 0 } else { u64::from(peek_user::<u32>(child).unwrap_or(0)) };
    }
    let header = header(CALL_END, time, task.tid, task.tgid);
    emit(
        lost::CALL,
        CallEnd { header, entered: task.entered, ret, args: [first, second, third], nr: task.nr, reserved: 0 },
    );
}
