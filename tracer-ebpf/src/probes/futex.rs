//! Futexes: threads that wait on a word in memory, and those that let them go on.
//!
//! A lock that is free is taken without any call; what is seen here are the calls of those who have to wait, and of those
//! who wake them.

use ipcscope_common::{
    futex::{FUTEX_BEGIN, FUTEX_CALL, FutexBegin, FutexCall},
    settings::lost,
};

use super::call::{end, interrupted, leave};
use crate::{
    emit::{emit, header},
    kernel::{Ptr, peek_user},
    task::{Task, traced},
};

/// futex_wake(2), futex_wait(2).
const FUTEX_WAKE: i32 = 454;
const FUTEX_WAIT: i32 = 455;
/// Operations of futex(2), and what marks a word that only one process uses (`FUTEX_PRIVATE_FLAG`, `FUTEX2_PRIVATE`).
const WAIT: u32 = 0;
const WAKE: u32 = 1;
const PRIVATE: u32 = 128;

/// What is done, as futex(2) has it, and the value: expected, or how many to wake.
#[inline(always)]
fn operation(task: &Task) -> (u32, u32) {
    let (second, third) = (task.args[1] as u32, task.args[2] as u32);
    let flags = task.args[3] as u32 & PRIVATE;
    match task.number() {
        FUTEX_WAKE => (WAKE | flags, third),
        FUTEX_WAIT => (WAIT | flags, second),
        _ => (second, third),
    }
}

/// A call begins.
#[inline(always)]
pub fn begin(me: Ptr) {
    let Some(task) = traced(me) else { return };
    let address = task.args[0];
    let (operation, value) = operation(task);
    let limit = if task.number() == FUTEX_WAIT { task.args[4] } else { task.args[3] };
    let header = header(FUTEX_BEGIN, task.entered, task.tid, task.tgid);
    emit(
        lost::IPC,
        FutexBegin {
            header,
            address,
            second: task.args[4],
            operation,
            value,
            word: peek_user(address).unwrap_or(0),
            owner: peek_user(address + 8).unwrap_or(0),
            nr: task.nr,
            timed: u32::from(limit != 0),
        },
    );
}

/// It returned.
#[inline(always)]
pub fn finish(me: Ptr) {
    let Some(task) = traced(me) else { return };
    let (operation, _) = operation(task);
    let header = header(FUTEX_CALL, task.returned, task.tid, task.tgid);
    emit(
        lost::IPC,
        FutexCall { header, entered: task.entered, ret: task.ret, address: task.args[0], operation, nr: task.nr },
    );
    if interrupted(task.ret) || task.watched != 0 {
        end(task, task.ret, task.returned);
    }
    leave(task, me);
}
