//! System calls: one program for all entries and one for all exits, dispatched by class.
//!
//! Calls that no family looks at cost a table look-up. The arguments are read where the kernel keeps them (`pt_regs`),
//! at entry for what may be gone at exit (a descriptor another thread closes), at exit for the rest.

use aya_ebpf::programs::BtfTracePointContext;
use ipcscope_common::{
    call::{CALL_END, CallEnd, class},
    settings::lost,
};

use super::{descriptor, pipe};
use crate::{
    emit::{emit, header},
    kernel::{Ptr, class_of, current, field, now},
    task::{Task, traced},
};

/// `TS_COMPAT`: a 32-bit call, numbered differently (x86, asm/thread_info.h).
const TS_COMPAT: u32 = 2;

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
        // A handler returns: the moment matters, its exit does not.
        end(task, regs, 15, 0, now());
        return;
    }
    begin(task, me, regs, nr as i32, class);
    // What looks into the thread's own memory.
    match class {
        class::WRITE => pipe::keep_payload(me, regs),
        class::SENDMSG => descriptor::sending(task, field!(regs, regs_si as u64), 0),
        _ => {}
    }
    pipe::join(task, me);
}

/// Notes the call a thread is in. Also for threads that were in one when tracing began.
#[inline(always)]
pub fn begin(task: &mut Task, me: Ptr, regs: Ptr, nr: i32, class: u8) {
    task.entered = now();
    task.nr = nr;
    task.class = class;
    task.sampled = 0;
    task.ends[0].pipe = 0;
    task.ends[1].pipe = 0;
    match class {
        class::READ..=class::SENDFILE => pipe::begin(task, me, regs, class),
        class::CLOSE => descriptor::resolve(me, field!(regs, regs_di as u64), &mut task.ends[0]),
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
    // A call whose entry was not seen, or not looked at.
    if class == class::NONE || nr != task.nr {
        task.class = class::NONE;
        task.sampled = 0;
        if interrupted(ret) && task.held == 0 {
            task.entered = 0;
            end(task, regs, nr, ret, now());
        }
        return;
    }
    let time = now();
    task.returned = time;
    task.ret = ret;
    match class {
        class::READ..=class::SENDFILE if task.ends[0].pipe | task.ends[1].pipe != 0 => pipe::finish(task, me, regs),
        class::PIPE..=class::RECVMSG => descriptor::finish(task, me, regs),
        // A message without bytes is sent, too.
        class::SENDMSG => descriptor::sending(task, field!(regs, regs_si as u64), if ret == 0 { 1 } else { ret }),
        class::RING if ret >= 0 => pipe::unseen(task, me),
        class::WAIT if ret >= 0 => end(task, regs, nr, ret, time),
        _ => {
            if interrupted(ret) {
                end(task, regs, nr, ret, time);
            }
        }
    }
    if class <= class::SENDFILE {
        task.known = u8::from(descriptor::is_alone(me));
    }
    task.class = class::NONE;
    task.sampled = 0;
    task.ends[0].pipe = 0;
    task.ends[1].pipe = 0;
}

/// A restart code (include/linux/errno.h: ERESTARTSYS 512 to ERESTART_RESTARTBLOCK 516) or EINTR.
#[inline(always)]
fn interrupted(ret: i64) -> bool {
    (-516..=-512).contains(&ret) || ret == -4
}

#[inline(always)]
fn end(task: &Task, regs: Ptr, nr: i32, ret: i64, time: u64) {
    let header = header(CALL_END, time, task.tid, task.tgid);
    emit(
        lost::CALL,
        CallEnd {
            header,
            entered: task.entered,
            ret,
            args: [field!(regs, regs_di as u64), field!(regs, regs_si as u64), field!(regs, regs_dx as u64)],
            nr,
            reserved: 0,
        },
    );
}
