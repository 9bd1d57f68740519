//! Descriptors of other things than pipes, sockets and queues: terminals, eventfd, signalfd, timerfd, pidfd, files in memory.
//!
//! What such a file is, its character device, its file system or the name of its anonymous inode tells; what is behind it
//! stands for the inode it does not have of its own ([`identify`]). Terminals of the tracer itself are none of these.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, macros::map, maps::Array};
use ipcscope_common::{
    Header,
    call::class,
    descriptor::{change, object},
    object::{KIND, NAME_LEN, OBJECT_BEGIN, OBJECT_CALL, OBJECT_FACTS, ObjectBegin, ObjectCall, ObjectFacts, state},
    pipe,
    settings::lost,
};

use super::{
    call::{end, interrupted, leave},
    descriptor::{self, FORMAT, REGULAR},
    payload::{Bytes, at_entry, emit_with},
    signal,
};
use crate::{
    emit::{emit, header, reserve},
    kernel::{LONG, Ptr, copy_user, current, offset, peek, peek_user, setting, words},
    task::{End, PAYLOAD, Task, traced, with_payload},
};

/// `S_IFCHR`.
const CHARACTER: u16 = 0o020_000;
/// `ANON_INODE_FS_MAGIC`, `PID_FS_MAGIC`, `TMPFS_MAGIC` (include/uapi/linux/magic.h).
const ANONYMOUS: u64 = 0x0904_1934;
const PIDFS: u64 = 0x5049_4446;
const TMPFS: u64 = 0x0102_1994;
/// Devices as the kernel numbers them (20 bits minor): /dev/tty, /dev/ptmx; the slaves' majors (Documentation/admin-guide/devices.txt).
const TTY: u32 = 5 << 20;
const PTMX: u32 = 5 << 20 | 2;
const SLAVES: core::ops::RangeInclusive<u32> = 136..=143;
/// What stands for an inode, without its kind.
const PLACE: u64 = (1 << KIND) - 1;
/// `TFD_TIMER_ABSTIME`.
const TIMER_ABSTIME: u64 = 1;
/// `EFD_SEMAPHORE`.
const SEMAPHORE: u32 = 1;
/// Mounts on one another.
const STACKED: u32 = 3;
/// Terminals that are the tracer's.
const OWN: u32 = 4;

/// The tracer's own terminals, which are none of anybody's channels: the device of their file system and their index,
/// plus 1; user space enters them.
#[map]
static OWN_TERMINALS: Array<u64> = Array::with_max_entries(OWN, 0);

/// A word of the kernel's memory. A global function, so that who reads many needs no stack for each: what the functions
/// need that call one another is added up.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn word(address: u64) -> u64 {
    peek(address)
}

/// What stands for the inode of a file, with the object's kind in the highest byte; 0: it is none of these. A global
/// function: the verifier proves it once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn identify(file: u64) -> u64 {
    let inode: u64 = word(file + offset!(file_inode) as u64);
    let format = word(inode + offset!(inode_mode) as u64) as u16 & FORMAT;
    let (kind, place) = match format {
        CHARACTER if setting!(terminals) != 0 => (object::TERMINAL, terminal(file, inode)),
        // Anonymous inodes had no format before 6.17.
        REGULAR | 0 => without_format(file, inode),
        _ => return 0,
    };
    if place == 0 { 0 } else { u64::from(kind) << KIND | place & PLACE }
}

#[inline(always)]
fn without_format(file: u64, inode: u64) -> (u16, u64) {
    let found = word(word(inode + offset!(inode_sb) as u64) + offset!(super_block_magic) as u64);
    if found == ANONYMOUS && setting!(events) != 0 {
        let behind: u64 = word(file + offset!(file_private_data) as u64);
        let kind = match &name(entry(file)).to_le_bytes() {
            b"[eventfd" => object::EVENTFD,
            b"[signalf" => object::SIGNALFD,
            b"[timerfd" => object::TIMERFD,
            b"[pidfd]\0" => object::PIDFD,
            _ => return (0, 0),
        };
        (kind, behind)
    } else if found == PIDFS && setting!(events) != 0 {
        (object::PIDFD, word(inode + offset!(inode_private) as u64))
    } else if found == TMPFS && setting!(memory) != 0 {
        in_memory(file, inode)
    } else {
        (0, 0)
    }
}

#[inline(always)]
fn entry(file: u64) -> u64 {
    word(file + offset!(file_dentry) as u64)
}

/// The first 8 bytes of an entry's name.
#[inline(always)]
fn name(entry: u64) -> u64 {
    word(word(entry + offset!(dentry_name) as u64))
}

/// A file of memfd_create(2) is called so and has no parent; one of shm_open(3) stands in the root of what is mounted on a
/// place called shm.
#[inline(always)]
fn in_memory(file: u64, inode: u64) -> (u16, u64) {
    let entry = entry(file);
    let parent: u64 = word(entry + offset!(dentry_parent) as u64);
    if parent == entry {
        let begins = name(entry) & 0xffff_ffff_ffff;
        let is_memfd = begins == u64::from_le_bytes(*b"memfd:\0\0");
        return (object::MEMFD, if is_memfd { inode } else { 0 });
    }
    let mut mount = word(file + offset!(file_mount) as u64);
    let mut is_there = parent == word(mount + offset!(mount_root) as u64);
    let mut point = 0;
    for _ in 0..STACKED {
        // struct vfsmount is a part of struct mount (fs/mount.h).
        let whole = mount - offset!(mount_place) as u64;
        point = word(whole + offset!(mount_point) as u64);
        mount = word(whole + offset!(mount_parent) as u64) + offset!(mount_place) as u64;
        // On the root of what was mounted there before?
        if point != word(mount + offset!(mount_root) as u64) {
            break;
        }
    }
    is_there &= name(point) as u32 == u32::from_le_bytes(*b"shm\0");
    (object::MEMORY, if is_there { inode } else { 0 })
}

/// One of the two `tty_struct`s of a terminal stands for both; 0: it is no pseudoterminal, or the tracer's.
#[inline(always)]
fn terminal(file: u64, inode: u64) -> u64 {
    let device = word(inode + offset!(inode_device) as u64) as u32;
    if device != TTY && device != PTMX && !SLAVES.contains(&(device >> 20)) {
        return 0;
    }
    let tty = tty_of(file);
    let other: u64 = word(tty + offset!(tty_link) as u64);
    if tty == 0 || other == 0 {
        return 0;
    }
    let entry: u64 = word(tty + offset!(tty_entry) as u64);
    let super_block: u64 = word(entry + offset!(dentry_super_block) as u64);
    let dev = word(super_block + offset!(super_block_dev) as u64) as u32;
    let own = (u64::from(dev) << 32 | u64::from(word(tty + offset!(tty_index) as u64) as u32)) + 1;
    for at in 0..OWN {
        if OWN_TERMINALS.get(at).copied() == Some(own) {
            return 0;
        }
    }
    if tty < other { tty } else { other }
}

#[inline(always)]
fn tty_of(file: u64) -> u64 {
    word(word(file + offset!(file_private_data) as u64) + offset!(tty_of_file) as u64)
}

/// Which side of a terminal a file is.
#[inline(always)]
pub fn side(file: u64) -> u16 {
    let inode: u64 = peek(file + offset!(file_inode) as u64);
    if peek::<u32>(inode + offset!(inode_device) as u64) == PTMX { object::MASTER } else { 0 }
}

/// The address that stands for an inode.
#[inline(always)]
fn address(ino: u64) -> u64 {
    ino | !PLACE
}

/// Tells what is behind a descriptor of the current thread, if it is one of these; `time` 0: when its call returned. A
/// global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_object(fd: u64, time: u64) -> i32 {
    let me = current();
    let Some(task) = traced(me) else { return 0 };
    let file = descriptor::file_of(me, fd);
    if file == 0 {
        return 0;
    }
    let ino = identify(file);
    if ino == 0 {
        return 0;
    }
    let header = header(OBJECT_FACTS, if time == 0 { task.returned } else { time }, task.tid, task.tgid);
    let Some(mut record) = reserve::<ObjectFacts>(lost::IPC) else { return 0 };
    // SAFETY: the record's room.
    unsafe { describe(record.as_mut_ptr(), header, file, ino) };
    record.submit();
    1
}

/// Writes what is behind a file.
///
/// # Safety
///
/// `room` has to be valid for writing.
#[inline(always)]
pub unsafe fn describe(room: *mut ObjectFacts, header: Header, file: u64, ino: u64) {
    let inode: u64 = peek(file + offset!(file_inode) as u64);
    let behind = address(ino);
    let (mut number, mut value, mut told, mut has_name) = (0, 0, 0, false);
    match (ino >> KIND) as u16 {
        object::TERMINAL => {
            number = u64::from(peek::<u32>(behind + offset!(tty_index) as u64));
            if side(file) != 0 {
                told = state::MASTER;
            }
        }
        object::EVENTFD => {
            number = u64::from(peek::<u32>(behind + offset!(eventfd_id) as u64));
            value = peek(behind + offset!(eventfd_count) as u64);
            told = semaphore(behind);
        }
        object::SIGNALFD => value = !peek::<u64>(behind + offset!(signalfd_mask) as u64),
        // struct upid: the number in the initial namespace is the first.
        object::PIDFD => {
            number = u64::from(peek::<u32>(behind + offset!(pid_numbers) as u64 + offset!(upid_nr) as u64));
        }
        object::MEMFD | object::MEMORY => {
            number = peek(inode + offset!(inode_ino) as u64);
            value = peek(inode + offset!(inode_size) as u64);
            has_name = true;
        }
        _ => {}
    }
    // SAFETY: as the caller promises.
    unsafe {
        (*room).header = header;
        (*room).ino = ino;
        (*room).number = number;
        (*room).value = value;
        (*room).mode = u32::from(peek::<u16>(inode + offset!(inode_mode) as u64));
        (*room).owner = peek(inode + offset!(inode_uid) as u64);
        (*room).state = told;
        (*room).reserved = 0;
        (*room).name = [0; NAME_LEN];
        if has_name {
            let name: u64 = peek(entry(file) + offset!(dentry_name) as u64);
            bpf_probe_read_kernel_str((&raw mut (*room).name).cast(), NAME_LEN as u32, name as *const _);
        }
    }
}

#[inline(always)]
fn semaphore(context: u64) -> u32 {
    let flags: u32 = peek(context + offset!(eventfd_flags) as u64);
    if flags & SEMAPHORE != 0 { state::SEMAPHORE } else { 0 }
}

/// The end that a call is on, and whether it writes.
#[inline(always)]
fn used(task: &Task) -> (&End, bool) {
    let [from, to] = &task.ends;
    if to.in_use != 0 { (to, true) } else { (from, false) }
}

/// Where the bytes of a call are, and how many there may be: of a vector the first.
#[inline(always)]
fn buffer(task: &Task) -> (u64, u64) {
    let [_, second, third, ..] = task.args;
    if task.class == class::READ || task.class == class::WRITE {
        return (second, third);
    }
    // struct iovec { base, len }.
    let [base, len] = words::<2>(second, task.word).unwrap_or([0, 0]);
    (base, len)
}

/// A call begins; what it reads or writes has been followed.
#[inline(always)]
pub fn begin(me: Ptr) {
    let Some((task, payload)) = with_payload(me) else { return };
    task.payload_len = 0;
    if task.class == class::TIMER_SET {
        descriptor::resolve(me, task.args[0], &mut task.ends[0]);
        if task.ends[0].object != object::TIMERFD {
            task.ends[0].leave();
        }
        return;
    }
    let (from, len) = buffer(task);
    let (end, writes) = used(task);
    match end.object {
        object::EVENTFD => {
            let value = if writes { peek_user::<u64>(from).unwrap_or(0) } else { 0 };
            let told = semaphore(address(end.ino)) | if writes { state::WRITE } else { 0 };
            let (ino, nr) = (end.ino, task.nr);
            let header = header(OBJECT_BEGIN, task.entered, task.tid, task.tgid);
            emit(lost::IPC, ObjectBegin { header, ino, value, nr, state: told });
        }
        object::TERMINAL if writes => {
            let keep = at_entry(len);
            if keep != 0 && copy_user::<PAYLOAD>(payload, from, keep) {
                task.payload_len = keep;
            }
        }
        _ => {}
    }
}

/// It returned.
#[inline(always)]
pub fn finish(me: Ptr) {
    let Some((task, payload)) = with_payload(me) else { return };
    let (on, _) = used(task);
    match on.object {
        _ if on.in_use == 0 => {}
        object::TERMINAL => tell_terminal(task, payload),
        object::EVENTFD | object::TIMERFD | object::SIGNALFD => tell(task),
        _ => {}
    }
    if on.object == object::SIGNALFD && task.ret > 0 && setting!(signals) != 0 {
        signal::read(task);
    }
    if interrupted(task.ret) || task.watched != 0 {
        end(task, task.ret, task.returned);
    }
    leave(task, me);
}

/// A descriptor was opened by a call that may return any. A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_opened(fd: u64) -> i32 {
    tell_object(fd, 0);
    descriptor::tell_descriptor(fd, -1, change::OPENED)
}

/// `CLONE_PIDFD` (include/uapi/linux/sched.h).
const CLONE_PIDFD: u64 = 0x1000;
/// clone3(2).
const CLONE3: u64 = 435;

/// A child was made by a call with that number, first and third argument: the descriptor of it that it gave; -1: none. A
/// global function, as above, from which nothing else is called.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn descriptor_of_child(nr: u64, first: u64, third: u64) -> i32 {
    // clone(2): flags, the stack, where the descriptor goes. struct clone_args: flags, where the descriptor goes.
    let [flags, at] = if nr == CLONE3 { peek_user::<[u64; 2]>(first).unwrap_or([0, 0]) } else { [first, third] };
    if flags & CLONE_PIDFD == 0 {
        return -1;
    }
    peek_user::<u32>(at).map_or(-1, |fd| fd as i32)
}

/// timerfd_settime64(2) among the 32-bit calls: its times have long words.
const TIMERFD_SETTIME64: i32 = 411;

/// Nanoseconds of a `struct timespec`.
#[inline(always)]
fn nanoseconds(at: u64, word: u64) -> u64 {
    let [seconds, rest] = words::<2>(at, word).unwrap_or([0, 0]);
    seconds.wrapping_mul(1_000_000_000).wrapping_add(rest)
}

#[inline(always)]
fn tell(task: &Task) {
    let (end, _) = used(task);
    let (from, _) = buffer(task);
    let behind = address(end.ino);
    let (mut value, mut after) = (0, 0);
    if task.class == class::TIMER_SET {
        // struct itimerspec: interval, value.
        let new = task.args[2];
        let word = if task.raw == TIMERFD_SETTIME64 { LONG } else { task.word };
        (after, value) = (nanoseconds(new, word), nanoseconds(new + 2 * word, word));
    } else if end.object != object::SIGNALFD {
        value = peek_user::<u64>(from).unwrap_or(0);
        if end.object == object::EVENTFD && is_same(end) {
            after = peek(behind + offset!(eventfd_count) as u64);
        }
    }
    let Some(mut record) = reserve::<ObjectCall>(lost::IPC) else { return };
    // SAFETY: the record's room.
    unsafe {
        write(record.as_mut_ptr(), task);
        (*record.as_mut_ptr()).value = value;
        (*record.as_mut_ptr()).after = after;
    }
    record.submit();
}

/// Whether the file still is what it was: another thread may have closed it.
#[inline(always)]
fn is_same(end: &End) -> bool {
    peek::<u64>(end.file + offset!(file_private_data) as u64) & PLACE == end.ino & PLACE
}

#[inline(always)]
fn tell_terminal(task: &Task, payload: &[u8; PAYLOAD]) {
    let (from, len) = buffer(task);
    let (_, writes) = used(task);
    let limit = u64::from(setting!(payload_limit));
    let moved = if task.ret > 0 { task.ret as u64 } else { 0 };
    let most = if len < limit { len } else { limit };
    let keep = if moved < most { moved } else { most } as u32;
    let kept = (writes && keep <= task.payload_len).then_some(payload);
    let bytes = Bytes { keep, from, kept };
    // SAFETY: every field is written.
    unsafe {
        emit_with(
            lost::IPC,
            &bytes,
            #[inline(always)]
            |room| write(room, task),
        )
    };
}

/// Writes the record of a call.
///
/// # Safety
///
/// `room` has to be valid for writing.
#[inline(always)]
unsafe fn write(room: *mut ObjectCall, task: &Task) {
    let (end, writes) = used(task);
    let mut told = if writes { state::WRITE } else { 0 };
    if end.flags & pipe::flag::NONBLOCK != 0 {
        told |= state::NONBLOCK;
    }
    if end.object == object::TERMINAL && side(end.file) != 0 {
        told |= state::MASTER;
    }
    if end.object == object::EVENTFD && is_same(end) {
        told |= semaphore(address(end.ino));
    }
    if task.class == class::TIMER_SET && task.args[1] & TIMER_ABSTIME != 0 {
        told |= state::ABSOLUTE;
    }
    let single = task.class == class::READ || task.class == class::WRITE;
    // SAFETY: as the caller promises.
    unsafe {
        (*room).header = header(OBJECT_CALL, task.returned, task.tid, task.tgid);
        (*room).entered = task.entered;
        (*room).ret = task.ret;
        (*room).ino = end.ino;
        (*room).requested = if single { task.args[2] } else { u64::MAX };
        (*room).value = 0;
        (*room).after = 0;
        (*room).fd = end.fd;
        (*room).nr = task.nr;
        (*room).state = told;
        (*room).payload_len = 0;
    }
}
