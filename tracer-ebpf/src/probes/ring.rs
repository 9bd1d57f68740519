//! Operations of io_uring(7).
//!
//! A request (`io_kiocb`) stands for one operation from `io_uring_submit_req` on, in the thread that asks for it, to
//! `io_uring_complete`, wherever the kernel does it. What was asked is noted in between; a request that completes several
//! times (multishot) is told once it is over, if it says so itself.

use aya_ebpf::{macros::map, maps::LruHashMap, programs::BtfTracePointContext};
use ipcscope_common::{
    ring::{RING_CALL, RingCall},
    settings::lost,
};

use super::object::{identify, word};
use crate::{
    emit::{emit, header},
    kernel::{argument, current, now, offset, peek, setting},
    task::traced,
};

/// Operations under way that are remembered; of more, the oldest are not told.
const MOST: u32 = 8192;
/// `REQ_F_FIXED_FILE`: the descriptor is a place in a table of registered files.
const FIXED: u32 = 1;
/// The result in a `struct io_uring_cqe`.
const RESULT: u64 = 8;
/// The descriptor in a `struct io_cqe` of a request that is submitted.
const DESCRIPTOR: u64 = 12;

/// An operation under way.
#[repr(C)]
#[derive(Clone, Copy)]
struct Submitted {
    time: u64,
    tid: u32,
    tgid: u32,
    fd: i32,
    reserved: u32,
}

/// By request.
#[map]
static REQUESTS: LruHashMap<u64, Submitted> = LruHashMap::with_max_entries(MOST, 0);

/// In `io_submit_sqe`, before the request is begun.
#[inline(always)]
pub fn submitted(ctx: &BtfTracePointContext) {
    let Some(task) = traced(current()) else { return };
    if task.held != 0 {
        return;
    }
    let request = argument(ctx, 0);
    let is_fixed = peek::<u32>(request + offset!(request_flags) as u64) & FIXED != 0;
    let fd = if is_fixed { -1 } else { peek(request + offset!(request_cqe) as u64 + DESCRIPTOR) };
    let submitted = Submitted { time: now(), tid: task.tid, tgid: task.tgid, fd, reserved: 0 };
    let _ = REQUESTS.insert(request, submitted, 0);
}

/// In `io_fill_cqe_req`, before the request lets its file go.
#[inline(always)]
pub fn done(ctx: &BtfTracePointContext) {
    let request = argument(ctx, 1);
    // SAFETY: values live as long as the program runs, and nobody else has this request.
    let Some(submitted) = REQUESTS.get_ptr(request).map(|place| unsafe { *place }) else { return };
    let _ = REQUESTS.remove(request);
    let result = if setting!(ring_result_argument) == 2 {
        peek::<i32>(argument(ctx, 2) + RESULT)
    } else {
        argument(ctx, 3) as i32
    };
    let file: u64 = peek(request + offset!(request_file) as u64);
    let inode = word(file + offset!(file_inode) as u64);
    let super_block = word(inode + offset!(inode_sb) as u64);
    let (mut ino, mut dev) =
        (word(inode + offset!(inode_ino) as u64), word(super_block + offset!(super_block_dev) as u64));
    if setting!(terminals) | setting!(events) != 0 {
        let other = identify(file);
        if other != 0 {
            (ino, dev) = (other, 0);
        }
    }
    let header = header(RING_CALL, now(), submitted.tid, submitted.tgid);
    emit(
        lost::CALL,
        RingCall {
            header,
            submitted: submitted.time,
            ino,
            dev: dev as u32,
            result,
            fd: submitted.fd,
            mode: word(inode + offset!(inode_mode) as u64) as u16,
            operation: peek(request + offset!(request_operation) as u64),
            reserved: 0,
        },
    );
}
