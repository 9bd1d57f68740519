//! Operations of io_uring(7).
//!
//! A request (`io_kiocb`) stands for one operation from `io_uring_submit_req` on, in the thread that asks for it, to
//! `io_uring_complete`, wherever the kernel does it. What was asked is noted in between. A request may complete several
//! times (multishot): all but the last of these are told of by the number that the program has given it alone.
//!
//! What makes, names, joins or closes a descriptor is told like a call, by the same functions, in the thread that completes
//! it: it shares the descriptors of the one that asked.

use aya_ebpf::{macros::map, maps::LruHashMap, programs::BtfTracePointContext};
use ipcscope_common::{
    descriptor::{CLOSED_RANGE, CloseRange, change as descriptor_change},
    offsets::ABSENT,
    ring::{ENTER, RING_CALL, RingCall, operation},
    settings::lost,
    socket::change,
};

use super::{
    descriptor::tell_descriptor,
    object::{identify, tell_object, word},
    path::tell_path,
    socket::tell_change,
};
use crate::{
    emit::{emit, header},
    kernel::{Ptr, argument, current, field, now, offset, peek, peek_user, setting},
    task::{Task, traced},
};

/// Operations under way that are remembered; of more, the oldest are not told.
const MOST: u32 = 8192;
/// `REQ_F_FIXED_FILE`: the descriptor is a place in a table of registered files.
const FIXED: u32 = 1;
/// The result in a `struct io_uring_cqe`.
const RESULT: u64 = 8;
/// And the flags.
const FLAGS: u64 = 12;
/// `IORING_CQE_F_MORE`: the request will complete again.
const MORE: u32 = 2;
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

/// By the ring and what the program calls it (`user_data`), of those that may complete several times: the request; 0: there
/// are, or were, several.
#[map]
static NAMED: LruHashMap<[u64; 2], u64> = LruHashMap::with_max_entries(MOST, 0);

#[inline(always)]
fn is_under_way(request: u64) -> bool {
    REQUESTS.get_ptr(request).is_some()
}

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
    if matches!(
        peek(request + offset!(request_operation) as u64),
        operation::ACCEPT | operation::RECV | operation::RECVMSG | operation::READ_MULTISHOT
    ) {
        let name = [peek(request + offset!(request_ring) as u64), peek(request + offset!(request_cqe) as u64)];
        // SAFETY: a plain read of a value that lives as long as the program runs.
        let other = NAMED.get_ptr(name).map_or(request, |other| unsafe { *other });
        let is_only = other != 0 && (other == request || !is_under_way(other));
        let _ = NAMED.insert(name, if is_only { request } else { 0 }, 0);
    }
    let _ = REQUESTS.insert(request, submitted, 0);
}

/// The request that has completed, and will again: the kernel tells of those by what the program calls them.
#[inline(always)]
fn of_several(ctx: &BtfTracePointContext) -> u64 {
    let (user_data, flags) = if setting!(ring_result_argument) == 2 {
        let entry = argument(ctx, 2);
        (peek::<u64>(entry), peek::<u32>(entry + FLAGS))
    } else {
        (argument(ctx, 2), argument(ctx, 4) as u32)
    };
    if flags & MORE == 0 {
        return 0;
    }
    // SAFETY: as above.
    NAMED.get_ptr([argument(ctx, 0), user_data]).map_or(0, |request| unsafe { *request })
}

/// In `io_fill_cqe_req`, before the request lets its file go, and in `io_fill_cqe_aux`.
#[inline(always)]
pub fn done(ctx: &BtfTracePointContext) {
    let completed = argument(ctx, 1);
    let request = if completed == 0 { of_several(ctx) } else { completed };
    // SAFETY: values live as long as the program runs, and nobody else has this request.
    let Some(submitted) = REQUESTS.get_ptr(request).map(|place| unsafe { *place }) else { return };
    let operation: u8 = peek(request + offset!(request_operation) as u64);
    if completed != 0 {
        let _ = REQUESTS.remove(request);
        let name = [argument(ctx, 0), peek(request + offset!(request_cqe) as u64)];
        // SAFETY: as above.
        if NAMED.get_ptr(name).is_some_and(|only| unsafe { *only } == request) {
            let _ = NAMED.remove(name);
        }
    }
    let result = if setting!(ring_result_argument) == 2 {
        peek::<i32>(argument(ctx, 2) + RESULT)
    } else {
        argument(ctx, 3) as i32
    };
    if operation::changes(operation) {
        changed(request, operation, result, &submitted);
        return;
    }
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
            operation,
            asked: u8::from(asks(request, operation)),
        },
    );
}

/// Whether it asks for any bytes. Who receives again and again always does; with a buffer of the ring's choice it may not say
/// how many.
#[inline(always)]
fn asks(request: u64, operation: u8) -> bool {
    let len = match operation {
        operation::READ_MULTISHOT => return true,
        operation::READ | operation::READ_FIXED => offset!(request_rw_len),
        operation::RECV => offset!(request_message_len),
        _ => return false,
    };
    own(request, len).is_some_and(|len| len != 0)
}

/// What an operation has of its own in the request, behind the file.
#[inline(always)]
fn own(request: u64, place: u32) -> Option<u32> {
    if place == ABSENT { None } else { Some(peek(request + u64::from(place))) }
}

/// Whether the operation is on a descriptor, not on a place in the ring's table of files.
#[inline(always)]
fn is_descriptor(request: u64, slot: u32) -> bool {
    own(request, slot) == Some(0)
}

/// Tells of an operation that makes, names, joins or closes a descriptor, as of a call of the one who asked for it. The
/// thread may be in a call of its own meanwhile.
#[inline(always)]
fn changed(request: u64, operation: u8, result: i32, submitted: &Submitted) {
    let me = current();
    let Some(task) = traced(me) else { return };
    let task: *mut Task = task;
    // SAFETY: the entry of this thread, of which nothing is borrowed; the functions that tell read it themselves.
    let kept = unsafe {
        let Task { entered, returned, ret, nr, tid, tgid, .. } = *task;
        let kept = (entered, returned, ret, nr, tid, tgid, (*task).args[1], (*task).args[2]);
        ((*task).entered, (*task).returned) = (submitted.time, now());
        ((*task).ret, (*task).nr) = (i64::from(result), ENTER);
        ((*task).tid, (*task).tgid) = (submitted.tid, submitted.tgid);
        ((*task).args[1], (*task).args[2]) = (0, 0);
        kept
    };
    tell(me, request, operation, result, submitted);
    // SAFETY: as above.
    unsafe {
        ((*task).entered, (*task).returned, (*task).ret, (*task).nr) = (kept.0, kept.1, kept.2, kept.3);
        ((*task).tid, (*task).tgid, (*task).args[1], (*task).args[2]) = (kept.4, kept.5, kept.6, kept.7);
    }
}

#[inline(always)]
fn tell(me: Ptr, request: u64, operation: u8, result: i32, submitted: &Submitted) {
    let fd = submitted.fd as u64;
    match operation {
        operation::ACCEPT if result >= 0 && is_descriptor(request, offset!(accept_slot)) => {
            tell_change(result as u64, -1, change::ACCEPTED, 0);
        }
        operation::SOCKET if result >= 0 && is_descriptor(request, offset!(socket_slot)) => {
            tell_change(result as u64, -1, change::CREATED, 0);
        }
        operation::CONNECT => {
            tell_change(fd, -1, change::CONNECTED, 0);
        }
        operation::BIND => {
            tell_change(fd, -1, change::BOUND, 0);
        }
        operation::LISTEN => {
            tell_change(fd, -1, change::LISTENING, own(request, offset!(listen_backlog)).unwrap_or(u32::MAX));
        }
        operation::SHUTDOWN => {
            let Some(how) = own(request, offset!(shutdown_how)) else { return };
            tell_change(fd, -1, change::SHUTDOWN, how);
        }
        operation::OPENAT | operation::OPENAT2 if result >= 0 && is_descriptor(request, offset!(open_slot)) => {
            tell_path(result as u64);
            tell_object(result as u64, now());
            tell_descriptor(result as u64, -1, descriptor_change::OPENED);
        }
        operation::INSTALL if result >= 0 => {
            tell_descriptor(result as u64, -1, descriptor_change::DUPLICATED);
        }
        operation::PIPE if result == 0 && is_descriptor(request, offset!(request_pipe_slot)) => {
            let at: u64 = peek(request + offset!(request_pipe_fds) as u64);
            let Some(fds) = peek_user::<[i32; 2]>(at) else { return };
            tell_descriptor(fds[0] as u64, fds[1], descriptor_change::CREATED);
            tell_descriptor(fds[1] as u64, fds[0], descriptor_change::CREATED);
        }
        operation::CLOSE if result == 0 && is_descriptor(request, offset!(close_slot)) => {
            let header = header(CLOSED_RANGE, now(), submitted.tid, submitted.tgid);
            let files = field!(me, task_files as u64);
            // It needs no file, so its descriptor is not where that of others is.
            let Some(fd) = own(request, offset!(close_fd)) else { return };
            emit(lost::DESCRIPTOR, CloseRange { header, entered: submitted.time, files, first: fd, last: fd });
        }
        _ => {}
    }
}
