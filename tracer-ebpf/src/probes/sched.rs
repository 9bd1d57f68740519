//! The scheduler: who is on a CPU, who waits and for what, who woke whom.

use aya_ebpf::programs::BtfTracePointContext;
use ipcscope_common::{
    call::BIT_32,
    pipe::point,
    sched::{BLOCK, Block, SWITCH, Switch, WAKING, WAKING_NEW, Waking},
    settings::lost,
};

use super::{descriptor, pipe, waits};
use crate::{
    arguments::{self, syscall_of},
    emit::{emit, header},
    kernel::{Ptr, current, field, now, registers, setting},
    task::{ids, traced},
};

/// `TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE`.
const SLEEPING: u32 = 3;
/// `__TASK_TRACED`.
const TRACED: u32 = 8;
/// `TASK_DEAD`.
const DEAD: u32 = 0x80;
/// flock(2), fcntl(2).
const FLOCK: i32 = 73;
const FCNTL: i32 = 72;
/// `TASK_INTERRUPTIBLE`.
const INTERRUPTIBLE: u32 = 1;

/// In `__schedule`. Before 5.18 the tracepoint has no `prev_state`; then the field is read in the same window.
#[inline(always)]
pub fn switch(ctx: &BtfTracePointContext) {
    let prev: Ptr = ctx.arg(1);
    let state = if setting!(prev_state_argument) == 3 { ctx.arg(3) } else { field!(prev, task_state as u32) };
    switch_to(ctx.arg(0), prev, ctx.arg(2), state);
}

/// The same on 5.18, which had the state in front of the tasks.
#[inline(always)]
pub fn switch_state_first(ctx: &BtfTracePointContext) {
    switch_to(ctx.arg(0), ctx.arg(2), ctx.arg(3), ctx.arg(1));
}

#[inline(always)]
fn switch_to(preempted: u64, prev: Ptr, next: Ptr, state: u32) {
    let (mut next_tgid, mut sampled) = (0, 0);
    if let Some(coming) = traced(next) {
        next_tgid = coming.tgid;
        sampled = coming.sampled;
    }
    let leaving = traced(prev);
    if next_tgid == 0 && leaving.is_none() {
        return;
    }
    let time = now();
    let preempted = (preempted & 1) as u16;
    let next_tid = field!(next, task_pid as u32);
    match leaving {
        Some(task) => {
            let asleep = state & SLEEPING != 0 && preempted == 0;
            if task.sampled != 0 {
                // In a pipe only those who wait for bytes or room sleep interruptibly; waiting for the mutex or for a page
                // does not count as asleep.
                let waits = asleep && state & INTERRUPTIBLE != 0;
                pipe::sample(task, prev as u64, if waits { point::ASLEEP } else { point::OUT }, task.requested);
            }
            if asleep {
                let (nr, [first, second, third, ..]) = arguments::of(task, prev, registers(prev));
                let number = nr & !BIT_32;
                let has_sets = setting!(pipes) | setting!(mqueues) | setting!(terminals) | setting!(events) != 0;
                if waits::is_for_set(number) && state & INTERRUPTIBLE != 0 && has_sets {
                    task.returned = time;
                    waits::tell_waits(number as u32, first, second, third);
                }
                let header = header(BLOCK, time, task.tid, task.tgid);
                let end = if task.ends[0].in_use != 0 { &task.ends[0] } else { &task.ends[1] };
                let followed = task.class != 0;
                // What an earlier call was on is nobody's business.
                let (mut ino, mut dev) = if end.in_use != 0 { (end.ino, end.dev) } else { (0, 0) };
                if number == FLOCK || number == FCNTL {
                    (ino, dev) = descriptor::inode_of(prev, first);
                }
                emit(
                    lost::SCHED,
                    Block {
                        switch: Switch { header, next_tid, next_tgid, state, preempted, stop: 0 },
                        task: prev as u64,
                        entered: if followed { task.entered } else { 0 },
                        ino: if followed { ino } else { 0 },
                        dev: if followed { dev } else { 0 },
                        nr,
                        args: [first, second, third],
                    },
                );
            } else {
                let header = header(SWITCH, time, task.tid, task.tgid);
                let stop = match state & (TRACED | DEAD) {
                    0 => 0,
                    TRACED => field!(prev, task_exit_code as u32) as u16,
                    _ => field!(prev, task_exit_state as u32) as u16,
                };
                emit(lost::SCHED, Switch { header, next_tid, next_tgid, state, preempted, stop });
            }
        }
        None => {
            let header = header(SWITCH, time, field!(prev, task_pid as u32), 0);
            emit(lost::SCHED, Switch { header, next_tid, next_tgid, state, preempted, stop: 0 });
        }
    }
    if sampled != 0
        && let Some(coming) = traced(next)
    {
        pipe::sample(coming, next as u64, point::IN, coming.requested);
    }
}

/// In `try_to_wake_up`, by the waker, before the state changes.
#[inline(always)]
pub fn waking(ctx: &BtfTracePointContext) {
    wake(ctx, WAKING);
}

/// In `wake_up_new_task`.
#[inline(always)]
pub fn waking_new(ctx: &BtfTracePointContext) {
    wake(ctx, WAKING_NEW);
}

#[inline(always)]
fn wake(ctx: &BtfTracePointContext, kind: u16) {
    let task: Ptr = ctx.arg(0);
    let Some((tid, tgid)) = ids(task) else { return };
    let waker = current();
    let header = header(kind, now(), tid, tgid);
    emit(
        lost::SCHED,
        Waking {
            header,
            waker_tid: field!(waker, task_pid as u32),
            waker_tgid: field!(waker, task_tgid as u32),
            state: field!(task, task_state as u32),
            waker_nr: syscall_of(waker),
        },
    );
}
