//! Descriptors of channels: who gets, copies and closes which end.
//!
//! A descriptor is followed to its kernel object at every call (`files_struct` → `fdtable` → `file` → `inode`), so copied,
//! inherited, passed and reopened descriptors need no bookkeeping.

use aya_ebpf::{macros::map, maps::Array};
use ipcscope_common::{
    Header,
    call::class,
    descriptor::{CLOSED_RANGE, CloseRange, DESCRIPTOR, Descriptor, END_READ, END_WRITE, HELD, change, object},
    object::KIND,
    pipe,
    settings::lost,
};

use super::{
    mqueue,
    object::{self as other, word},
    path, socket,
};
use crate::{
    emit::{emit, header, reserve},
    kernel::{Ptr, current, field, now, offset, peek, peek_user, setting, words},
    task::{End, Task, traced},
};

/// `S_IFMT`, `S_IFIFO`, `S_IFREG` and `S_IFSOCK`.
pub const FORMAT: u16 = 0o170_000;
const FIFO: u16 = 0o010_000;
pub const REGULAR: u16 = 0o100_000;
const SOCKET: u16 = 0o140_000;
/// `MQUEUE_MAGIC` (ipc/mqueue.c).
pub const MQUEUE_MAGIC: u64 = 0x1980_0202;
/// `PIPEFS_MAGIC`: an anonymous pipe; any other file system: a named one.
const PIPEFS_MAGIC: u64 = 0x5049_5045;
/// `F_DUPFD`, `F_DUPFD_CLOEXEC`, `F_SETPIPE_SZ`.
const F_DUPFD: u64 = 0;
const F_DUPFD_CLOEXEC: u64 = 1030;
const F_SETPIPE_SZ: u64 = 1031;
/// `O_NONBLOCK` and `O_DIRECT` on x86-64.
const O_NONBLOCK: u32 = 0o4000;
const O_DIRECT: u32 = 0o40000;
/// `CLOSE_RANGE_CLOEXEC`: only marks them.
const CLOSE_RANGE_CLOEXEC: u64 = 4;
/// `SOL_SOCKET` and `SCM_RIGHTS`, as a `cmsghdr` has them.
const SCM_RIGHTS: u64 = 1 | 1 << 32;
/// Descriptors looked at after an exec, and in one message (`SCM_MAX_FD` is 253).
const TABLE: u64 = 256;
const MESSAGE: u64 = 64;
/// Addresses of user space, and the bits above them.
const USER: u64 = (1 << COUNT) - 1;
const COUNT: u32 = 48;

/// The `file` behind a descriptor of `task`; 0: none.
#[inline(always)]
pub fn file_of(task: Ptr, fd: u64) -> u64 {
    let files = field!(task, task_files as Ptr);
    let table = field!(files, files_fdt as Ptr);
    let fd = fd & 0xffff_ffff;
    if fd >= u64::from(field!(table, fdtable_max_fds as u32)) {
        return 0;
    }
    peek(field!(table, fdtable_fd as u64) + fd * 8)
}

/// The super block of anonymous pipes and its device, once seen: two reads less per call.
#[map]
static PIPEFS: Array<[u64; 2]> = Array::with_max_entries(1, 0);

/// Fills `end` if the file is an end of a channel; else it is not in use.
#[inline(always)]
pub fn channel(file: u64, fd: i32, end: &mut End) {
    match found(file, fd) {
        Some(found) => *end = found,
        None => (end.pipe, end.in_use, end.address, end.file) = (0, 0, 0, file),
    }
}

/// The end that the file is, if it is one of a channel that is captured.
#[inline(always)]
pub fn found(file: u64, fd: i32) -> Option<End> {
    found_by::<false>(file, fd)
}

/// The same; `SMALL`: with little stack rather than fast.
#[inline(always)]
fn found_by<const SMALL: bool>(file: u64, fd: i32) -> Option<End> {
    let others = setting!(terminals) | setting!(events) | setting!(memory);
    if file == 0 || setting!(pipes) | setting!(sockets) | setting!(mqueues) | others == 0 {
        return None;
    }
    let (inode, flags) = if SMALL {
        (word(file + offset!(file_inode) as u64), word(file + offset!(file_flags) as u64) as u32)
    } else {
        inode_and_flags(file)
    };
    let (mode, super_block, mut ino) = if SMALL {
        let mode = word(inode + offset!(inode_mode) as u64) as u16;
        (mode, word(inode + offset!(inode_sb) as u64), word(inode + offset!(inode_ino) as u64))
    } else {
        inode_facts(inode)
    };
    let (object, dev, address) = match mode & FORMAT {
        FIFO if setting!(pipes) != 0 => {
            let (object, dev) = file_system(super_block);
            (object, dev, peek(inode + offset!(inode_pipe) as u64))
        }
        // struct socket is what a socket_alloc begins with.
        SOCKET if setting!(sockets) != 0 => (object::SOCKET, device(super_block), inode - offset!(socket_inode) as u64),
        REGULAR if setting!(mqueues) != 0 && magic(super_block) == MQUEUE_MAGIC => {
            (object::MQUEUE, device(super_block), inode - offset!(mqueue_inode) as u64)
        }
        _ if others != 0 => {
            let place = other::identify(file);
            ino = place;
            ((place >> KIND) as u16, 0, place)
        }
        _ => return None,
    };
    if address == 0 {
        return None;
    }
    let pipe = if object::is_pipe(object) { address } else { 0 };
    Some(End { pipe, file, address, ino, dev, fd, flags: call_flags(flags), object, in_use: 1 })
}

/// Whether a mode is a regular file's, as a queue's is.
#[inline(always)]
pub fn is_regular(mode: u16) -> bool {
    mode & FORMAT == REGULAR
}

#[inline(always)]
fn device(super_block: u64) -> u32 {
    peek(super_block + offset!(super_block_dev) as u64)
}

#[inline(always)]
pub fn magic(super_block: u64) -> u64 {
    peek(super_block + offset!(super_block_magic) as u64)
}

/// What the file's `O_*` flags mean for a call.
#[inline(always)]
fn call_flags(flags: u32) -> u16 {
    let nonblock = if flags & O_NONBLOCK != 0 { pipe::flag::NONBLOCK } else { 0 };
    let packet = if flags & O_DIRECT != 0 { pipe::flag::PACKET } else { 0 };
    nonblock | packet
}

/// Whether what is said of the files of the thread's ends still holds. If not, it is forgotten: the call that begins looks
/// at one of them only, and the other's file may be gone and its address another's.
#[inline(always)]
pub fn is_known(task: &mut Task, me: Ptr) -> bool {
    if task.known != 0 && is_alone(me) {
        return true;
    }
    task.ends[0].file = 0;
    task.ends[1].file = 0;
    false
}

/// Follows a descriptor of the current thread for a call. What was found the last time still holds if the descriptor
/// leads to the same file, and only this thread could have closed and reused it but has not.
#[inline(always)]
pub fn follow(me: Ptr, fd: u64, end: &mut End, known: bool) {
    let file = file_of(me, fd);
    if !known || file == 0 || file != end.file {
        channel(file, fd as i32, end);
        return;
    }
    end.pipe = if object::is_pipe(end.object) { end.address } else { 0 };
    end.in_use = u32::from(end.address != 0);
    if end.in_use != 0 {
        end.fd = fd as i32;
        end.flags = call_flags(peek(file + offset!(file_flags) as u64));
    }
}

/// The inode behind a descriptor of `task`, and its file system's device.
#[inline(always)]
pub fn inode_of(task: Ptr, fd: u64) -> (u64, u32) {
    let file = file_of(task, fd);
    if file == 0 {
        return (0, 0);
    }
    let (_, super_block, ino) = inode_facts(inode_and_flags(file).0);
    (ino, device(super_block))
}

/// Whether the thread has its descriptor table for itself.
#[inline(always)]
pub fn is_alone(me: Ptr) -> bool {
    field!(field!(me, task_files as Ptr), files_count as u32) == 1
}

/// `f_inode` and `f_flags`: one read where they are neighbours (from 6.16 on).
#[inline(always)]
fn inode_and_flags(file: u64) -> (u64, u32) {
    if offset!(file_flags) == offset!(file_inode) + 8 {
        let both: [u64; 2] = peek(file + offset!(file_inode) as u64);
        (both[0], both[1] as u32)
    } else {
        (peek(file + offset!(file_inode) as u64), peek(file + offset!(file_flags) as u64))
    }
}

/// `i_mode`, `i_sb` and `i_ino`: one read where they are as they have been in all kernels so far.
#[inline(always)]
fn inode_facts(inode: u64) -> (u16, u64, u64) {
    if offset!(inode_mode) == 0 && offset!(inode_sb) == 40 && offset!(inode_ino) == 64 {
        let words: [u64; 9] = peek(inode);
        (words[0] as u16, words[5], words[8])
    } else {
        (
            peek(inode + offset!(inode_mode) as u64),
            peek(inode + offset!(inode_sb) as u64),
            peek(inode + offset!(inode_ino) as u64),
        )
    }
}

/// Whether pipes of that file system are anonymous, and its device.
#[inline(always)]
fn file_system(super_block: u64) -> (u16, u32) {
    let Some(known) = PIPEFS.get_ptr_mut(0) else { return (object::FIFO, 0) };
    // SAFETY: a valid map value. There is one pipefs, so whoever writes writes the same.
    unsafe {
        if (*known)[0] == super_block {
            return (object::PIPE, (*known)[1] as u32);
        }
        let dev = device(super_block);
        if magic(super_block) != PIPEFS_MAGIC {
            return (object::FIFO, dev);
        }
        (*known)[1] = u64::from(dev);
        (*known)[0] = super_block;
        (object::PIPE, dev)
    }
}

/// Follows a descriptor of `task`.
#[inline(always)]
pub fn resolve(task: Ptr, fd: u64, end: &mut End) {
    channel(file_of(task, fd), fd as i32, end);
}

/// Tells of a descriptor of the current thread, if it is one of a channel.
///
/// A global function: the verifier proves it once, not once per call. Such functions take numbers only.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_descriptor(fd: u64, other: i32, change: u32) -> i32 {
    let me = current();
    let Some(task) = traced(me) else { return 0 };
    if let Some(end) = found_by::<true>(file_of(me, fd), fd as i32) {
        emit_one(task, me, &end, other, change);
    }
    0
}

/// Written in place: the verifier counts the stack of a call in a call in a call, and this is the last of them.
#[inline(always)]
fn emit_one(task: &Task, me: Ptr, end: &End, other: i32, change: u32) {
    let header = header(DESCRIPTOR, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<Descriptor>(lost::DESCRIPTOR) else { return };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        fill(room, header, me, end, (task.entered, task.ret));
        (*room).other = other;
        (*room).change = change;
        (*room).nr = task.nr;
    }
    record.submit();
}

/// Writes the record of a descriptor; `call`: when the call that it is about was entered and what it returned, or zeros.
///
/// # Safety
///
/// `room` has to be valid for writing.
#[inline(always)]
pub unsafe fn fill(room: *mut Descriptor, header: Header, task: Ptr, end: &End, call: (u64, i64)) {
    // SAFETY: as the caller promises.
    unsafe {
        (*room).header = header;
        (*room).entered = call.0;
        (*room).ret = call.1;
        (*room).ino = end.ino;
        (*room).address = end.address;
        (*room).file = end.file;
        (*room).files = field!(task, task_files as u64);
        (*room).dev = end.dev;
        (*room).change = 0;
        (*room).fd = end.fd;
        (*room).other = -1;
        (*room).nr = -1;
        (*room).object = end.object;
        (*room).end = peek::<u32>(end.file + offset!(file_mode) as u64) as u16 & (END_READ | END_WRITE);
        (*room).slots = if end.pipe == 0 { 0 } else { peek(end.pipe + offset!(pipe_max_usage) as u64) };
        if end.object == object::SOCKET {
            ((*room).object, (*room).slots) = socket::described(end);
        } else if end.object == object::TERMINAL {
            (*room).object |= other::side(end.file);
        }
        (*room).flags = peek(end.file + offset!(file_flags) as u64);
    }
}

/// A call that makes or changes descriptors returned.
#[inline(always)]
pub fn finish(task: &Task, me: Ptr) {
    let ret = task.ret;
    let [arg0, arg1, ..] = task.args;
    match task.class {
        class::PIPE if ret == 0 => {
            let Some(fds) = peek_user::<[i32; 2]>(arg0) else { return };
            tell_descriptor(fds[0] as u64, fds[1], change::CREATED);
            tell_descriptor(fds[1] as u64, fds[0], change::CREATED);
        }
        class::DUP if ret >= 0 => {
            tell_descriptor(ret as u64, arg0 as i32, change::DUPLICATED);
        }
        class::DUP_TO if ret >= 0 && arg0 as i32 != arg1 as i32 => {
            if task.ends[0].in_use != 0 {
                emit_one(task, me, &task.ends[0], arg0 as i32, change::CLOSED);
            }
            tell_descriptor(ret as u64, arg0 as i32, change::DUPLICATED);
        }
        // A close that reports an error has closed the descriptor all the same, unless it was none (close(2)).
        class::CLOSE if ret != -9 && task.ends[0].in_use != 0 => {
            emit_one(task, me, &task.ends[0], -1, change::CLOSED);
        }
        class::CLOSE_RANGE if ret == 0 && task.args[2] & CLOSE_RANGE_CLOEXEC == 0 => {
            let header = header(CLOSED_RANGE, task.returned, task.tid, task.tgid);
            emit(
                lost::DESCRIPTOR,
                CloseRange {
                    header,
                    entered: task.entered,
                    files: field!(me, task_files as u64),
                    first: arg0 as u32,
                    last: arg1 as u32,
                },
            );
        }
        class::FCNTL if ret >= 0 && (arg1 == F_DUPFD || arg1 == F_DUPFD_CLOEXEC) => {
            tell_descriptor(ret as u64, arg0 as i32, change::DUPLICATED);
        }
        class::FCNTL if arg1 == F_SETPIPE_SZ => {
            tell_descriptor(arg0, -1, change::RESIZED);
        }
        class::OPEN if ret >= 0 => {
            path::tell_path(ret as u64);
            mqueue::tell_mqueue(ret as u64, task.returned);
            other::tell_object(ret as u64, task.returned);
            tell_descriptor(ret as u64, -1, change::OPENED);
        }
        class::RECVMSG if ret >= 0 => {
            in_message(arg1, task.word, change::PASSED);
        }
        _ => {}
    }
}

/// Tells of the descriptors that a message takes along, when its sending begins (`ret` 0) and how it ended.
#[inline(always)]
pub fn sending(task: &mut Task, ret: i64) {
    if ret == 0 {
        task.returned = task.entered;
    }
    task.ret = ret;
    in_message(task.args[1], task.word, change::SENT);
}

/// Tells of the descriptors in a message: `msghdr` at `message`, filled in by the kernel if it was received. A global
/// function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn in_message(message: u64, word: u64, change: u32) -> i32 {
    let rights = rights(message, word);
    let (first, count) = (rights & USER, rights >> COUNT);
    for i in 0..MESSAGE {
        if i >= count {
            break;
        }
        let Some(fd) = peek_user::<i32>(first + i * 4) else { break };
        mqueue::tell_mqueue(fd as u64, 0);
        other::tell_object(fd as u64, 0);
        tell_descriptor(fd as u64, -1, change);
    }
    0
}

/// Where a message's descriptors are, and, in the bits from `COUNT` on, how many; 0: none. A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rights(message: u64, word: u64) -> u64 {
    let Some((first, count)) = find_rights(message, word) else { return 0 };
    first & USER | if count < MESSAGE { count } else { MESSAGE } << COUNT
}

#[inline(always)]
fn find_rights(message: u64, word: u64) -> Option<(u64, u64)> {
    // struct user_msghdr: control is its fifth word, then its length.
    let [mut at, length] = words::<2>(message + 4 * word, word)?;
    if at == 0 {
        return None;
    }
    let end = at + length;
    // struct cmsghdr: length, a word; level and type; the descriptors follow. Rights come first or behind the credentials.
    for _ in 0..3 {
        if at + word + 12 > end {
            break;
        }
        let [size] = words::<1>(at, word)?;
        if peek_user::<u64>(at + word)? == SCM_RIGHTS {
            return Some((at + word + 8, (size - word - 8) / 4));
        }
        at += (size + word - 1) & !(word - 1);
    }
    None
}

/// Tells which channel ends the current process holds; how many.
#[inline(always)]
pub fn held(task: Ptr) -> u32 {
    let files = field!(task, task_files as Ptr);
    let table = field!(files, files_fdt as Ptr);
    let max = u64::from(field!(table, fdtable_max_fds as u32));
    let array = field!(table, fdtable_fd as u64);
    let mut count = 0;
    for fd in 0..TABLE {
        if fd >= max {
            break;
        }
        let file: u64 = peek(array + fd * 8);
        if file != 0 {
            count += tell_held(file, fd as u32) as u32;
        }
    }
    count
}

/// Tells of a descriptor that outlived an exec, if it is one of a channel; 1 if so. A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_held(file: u64, fd: u32) -> i32 {
    let me = current();
    let Some(task) = traced(me) else { return 0 };
    let Some(end) = found_by::<true>(file, fd as i32) else { return 0 };
    let time = now();
    mqueue::tell_mqueue(u64::from(fd), time);
    other::tell_object(u64::from(fd), time);
    let header = header(HELD, time, task.tid, task.tgid);
    let Some(mut record) = reserve::<Descriptor>(lost::DESCRIPTOR) else { return 1 };
    // SAFETY: the record's room.
    unsafe { fill(record.as_mut_ptr(), header, me, &end, (0, 0)) };
    record.submit();
    1
}
