//! Sockets: calls that move bytes or messages through them, and what makes, names and joins them.
//!
//! Everything is read when the call returns, so that both ends of a connection are as the call left them. As long as one
//! thread sends and one receives at a socket, the order of its records is the order of its bytes. When a second one
//! appears the socket is *shared*: from then on the beginnings of calls are told as well, and user space sees which overlap.
//!
//! These programs run by tail call from the common ones ([`super::family`]).

use core::intrinsics::{AtomicOrdering, atomic_xchg};

use aya_ebpf::{helpers::generated::bpf_probe_read_user, macros::map, maps::HashMap, programs::BtfTracePointContext};
use ipcscope_common::{
    call::class,
    descriptor::{change as passing, object},
    pipe,
    settings::lost,
    socket::{
        ADDRESS_LEN, AF_INET, AF_INET6, AF_UNIX, Endpoint, SOCKET_ADDRESS, SOCKET_BEGIN, SOCKET_CALL, SOCKET_CHANGE,
        SOCKET_SHARED, STREAM, SocketAddress, SocketBegin, SocketCall, SocketChange, change, flag, whose,
    },
};

use super::{call, descriptor};
use crate::{
    emit::{emit, header, reserve},
    kernel::{Ptr, copy_user, copy_vector, current, field, offset, peek, peek_user, registers, setting, steps},
    task::{End, SENDERS, Sender, Task, traced, with_senders},
};

/// Sockets whose users are remembered at once.
const SOCKETS: u32 = 16384;
/// Vectors whose lengths are added up, and messages of one call that are told.
const VECTORS: u64 = 8;
const MESSAGES: u64 = SENDERS as u64;
/// Only if there is none yet (include/uapi/linux/bpf.h).
const BPF_NOEXIST: u64 = 1;
/// `MSG_OOB`, `MSG_PEEK`, `MSG_DONTWAIT`.
const OOB: u64 = 1;
const PEEK: u64 = 2;
const DONTWAIT: u64 = 0x40;
/// `EBADF`, `ENOTSOCK`: the call was on no socket.
const NO_SOCKET: [i64; 2] = [-9, -88];
/// `struct mmsghdr`: its size, and where the message's length is.
const MMSGHDR: u64 = 64;
const MMSGHDR_LEN: u64 = 56;

/// The last call of a thread at one side of a socket.
#[repr(C)]
#[derive(Clone, Copy)]
struct User {
    task: u64,
    entered: u64,
    tid: u32,
    tgid: u32,
    /// Another thread has used this side.
    shared: u64,
}

/// Who receives and who sends at a socket.
#[repr(C)]
#[derive(Clone, Copy)]
struct Users {
    ino: u64,
    receiver: User,
    sender: User,
}

const NOBODY: User = User { task: 0, entered: 0, tid: 0, tgid: 0, shared: 0 };

/// By the address of the `sock`; user space removes those that are gone.
#[map]
static SOCKET_USERS: HashMap<u64, Users> = HashMap::with_max_entries(SOCKETS, 0);

/// What the call on a socket was found to be at its beginning (`Task::sampled`): its beginning was told, or nothing is
/// known of who else uses the socket.
const TOLD: u8 = 2;
const UNSURE: u8 = 4;

/// In a call on a socket: which one, and who else uses it.
#[inline(always)]
pub fn begin(me: Ptr, regs: Ptr) {
    if let Some(task) = traced(me) {
        enter(task, me, regs);
    }
}

#[inline(always)]
fn enter(task: &mut Task, me: Ptr, regs: Ptr) {
    if let Some(senders) = with_senders(me) {
        senders.count = 0;
    }
    let fd = field!(regs, regs_di as u64);
    let side = match task.class {
        class::SENDTO | class::SENDMSG | class::SENDMMSG => 1,
        class::SOCKET | class::SOCKETPAIR => return,
        class::READ..=class::SENDFILE => {
            join(task, me, 0);
            join(task, me, 1);
            return;
        }
        _ => 0,
    };
    let known = task.known != 0 && descriptor::is_alone(me);
    descriptor::follow(me, fd, &mut task.ends[side & 1], known);
    if matches!(
        task.class,
        class::SENDTO | class::SENDMSG | class::SENDMMSG | class::RECVFROM | class::RECVMSG | class::RECVMMSG
    ) {
        join(task, me, side);
    }
}

#[inline(always)]
fn sock_of(end: &End) -> u64 {
    peek(end.address + offset!(socket_sk) as u64)
}

#[inline(always)]
fn is_socket(end: &End) -> bool {
    end.in_use != 0 && end.object == object::SOCKET
}

/// The current thread is about to use a socket: finds out whether another one does too.
#[inline(always)]
fn join(task: &mut Task, me: Ptr, side: usize) {
    let end = &task.ends[side & 1];
    if !is_socket(end) {
        return;
    }
    let sock = sock_of(end);
    let users = match SOCKET_USERS.get_ptr_mut(sock) {
        Some(users) => users,
        None => {
            let new = Users { ino: end.ino, receiver: NOBODY, sender: NOBODY };
            let _ = SOCKET_USERS.insert(sock, new, BPF_NOEXIST);
            match SOCKET_USERS.get_ptr_mut(sock) {
                Some(users) => users,
                None => {
                    task.sampled |= UNSURE;
                    return;
                }
            }
        }
    };
    // SAFETY: a valid map value; what decides is written atomically.
    let users = unsafe { &mut *users };
    if exchange(&mut users.ino, end.ino) != end.ino {
        // The address was used again.
        (users.receiver, users.sender) = (NOBODY, NOBODY);
    }
    let user = if side == 1 { &mut users.sender } else { &mut users.receiver };
    // SAFETY: a plain read, of what another CPU may write.
    let mut shared = unsafe { core::ptr::read_volatile(&raw const user.shared) != 0 };
    if !shared {
        // Either of two threads that come at once must see the other: what is noted of a call is there before the
        // exchange, which is a barrier.
        let mine = user.task == me as u64;
        if mine {
            note(user, task);
        }
        let mut before = exchange(&mut user.task, me as u64);
        if before == 0 {
            note(user, task);
            before = exchange(&mut user.task, me as u64);
        }
        if before != me as u64 {
            shared = true;
            if exchange(&mut user.shared, 1) == 0 {
                let header = header(SOCKET_SHARED, task.entered, user.tid, user.tgid);
                let (entered, sends) = (user.entered, side as u32);
                emit(lost::PIPE, SocketBegin { header, entered, sock, ino: end.ino, dev: end.dev, sends });
            }
        }
    }
    if shared {
        let header = header(SOCKET_BEGIN, task.entered, task.tid, task.tgid);
        let (entered, sends) = (task.entered, side as u32);
        emit(lost::PIPE, SocketBegin { header, entered, sock, ino: end.ino, dev: end.dev, sends });
        task.sampled |= TOLD;
    }
    note(user, task);
}

#[inline(always)]
fn note(user: &mut User, task: &Task) {
    user.tid = task.tid;
    user.tgid = task.tgid;
    user.entered = task.entered;
}

/// Puts a value in its place, at once for all CPUs; gives the one before.
#[inline(always)]
fn exchange(place: &mut u64, value: u64) -> u64 {
    // SAFETY: an aligned place that lives as long as the program runs.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(place, value) }
}

/// `skb_copy_datagram_iovec(const struct sk_buff *skb, int len)`: a UNIX message knows the socket it came from.
#[inline(always)]
pub fn copied(ctx: &BtfTracePointContext) {
    let me = current();
    let Some(task) = traced(me) else { return };
    if task.class == class::NONE {
        return;
    }
    let skb: Ptr = ctx.arg(0);
    let sock = field!(skb, skb_sk as u64);
    if sock == 0
        || peek::<u16>(sock + offset!(sock_family) as u64) != AF_UNIX
        || peek::<u16>(sock + offset!(sock_type) as u64) == STREAM
    {
        return;
    }
    let Some(senders) = with_senders(me) else { return };
    let index = senders.count as usize;
    if index < SENDERS {
        senders.list[index & (SENDERS - 1)] = Sender { sock, ino: inode_of(sock) };
    }
    senders.count += 1;
}

/// The inode number of a `sock`'s socket; 0: it has none.
#[inline(always)]
fn inode_of(sock: u64) -> u64 {
    let socket: u64 = peek(sock + offset!(sock_socket) as u64);
    if socket == 0 {
        return 0;
    }
    peek(socket + offset!(socket_inode) as u64 + offset!(inode_ino) as u64)
}

/// A call on a socket returned.
#[inline(always)]
pub fn finish(me: Ptr, regs: Ptr) {
    if let Some(task) = traced(me) {
        exit(task, me, regs);
        call::leave(task, me);
    }
}

#[inline(always)]
fn exit(task: &mut Task, me: Ptr, regs: Ptr) {
    let ret = task.ret;
    if call::interrupted(ret) || task.watched != 0 {
        call::end(task, regs, task.nr, ret, task.returned);
    }
    if NO_SOCKET.contains(&ret) {
        return;
    }
    match task.class {
        class::SOCKET if ret >= 0 => {
            tell_change(ret as u64, -1, change::CREATED, 0);
        }
        class::SOCKETPAIR if ret == 0 => {
            let Some(fds) = peek_user::<[i32; 2]>(field!(regs, regs_r10 as u64)) else { return };
            tell_change(fds[0] as u64, fds[1], change::PAIRED, 0);
            tell_change(fds[1] as u64, fds[0], change::PAIRED, 0);
        }
        class::SOCKET | class::SOCKETPAIR => {}
        class::ACCEPT if ret >= 0 => {
            tell_change(ret as u64, field!(regs, regs_di as u64) as i32, change::ACCEPTED, 0);
        }
        class::ACCEPT => {}
        class::BIND => {
            tell_change(field!(regs, regs_di as u64), -1, change::BOUND, 0);
        }
        class::CONNECT if !call::interrupted(ret) => {
            tell_change(field!(regs, regs_di as u64), -1, change::CONNECTED, 0);
        }
        class::CONNECT => {}
        class::LISTEN => {
            let backlog = field!(regs, regs_si as u64) as u32;
            tell_change(field!(regs, regs_di as u64), -1, change::LISTENING, backlog);
        }
        class::SHUTDOWN => {
            tell_change(field!(regs, regs_di as u64), -1, change::SHUTDOWN, field!(regs, regs_si as u64) as u32);
        }
        class::SENDMMSG | class::RECVMMSG if ret > 0 => {
            let side = u32::from(task.class == class::SENDMMSG);
            for index in 0..MESSAGES {
                if index >= ret as u64 {
                    break;
                }
                tell_call(side, index as u32);
            }
        }
        _ => {
            if task.ends[0].in_use == 0 && matches!(task.class, class::RECVFROM | class::RECVMSG) {
                // It had begun before the trace.
                task.sampled |= UNSURE;
                descriptor::resolve(me, field!(regs, regs_di as u64), &mut task.ends[0]);
            }
            if is_socket(&task.ends[0]) {
                tell_call(0, 0);
            }
            if is_socket(&task.ends[1]) {
                tell_call(1, 0);
            }
            // The descriptors that came or went with it.
            let message = field!(regs, regs_si as u64);
            if task.class == class::RECVMSG && ret >= 0 {
                descriptor::in_message(message, passing::PASSED);
            } else if task.class == class::SENDMSG && !call::interrupted(ret) {
                // A message without bytes is sent, too.
                descriptor::sending(task, message, if ret == 0 { 1 } else { ret });
            }
        }
    }
}

/// What a record of a descriptor says of a socket: its mechanism beside the object, and its peer's inode number (UNIX).
#[inline(always)]
pub fn described(end: &End) -> (u16, u32) {
    let sock = sock_of(end);
    let kind: u16 = peek(sock + offset!(sock_type) as u64);
    match peek::<u16>(sock + offset!(sock_family) as u64) {
        AF_UNIX => {}
        AF_INET | AF_INET6 => return (object::SOCKET | (kind & 15 | object::INET) << object::MECHANISM, 0),
        _ => return (object::SOCKET, 0),
    }
    let peer: u64 = peek(sock + offset!(unix_peer) as u64);
    let ino = if peer == 0 { 0 } else { inode_of(peer) };
    (object::SOCKET | (kind & 15) << object::MECHANISM, ino as u32)
}

/// Writes what a socket and its peer are.
///
/// # Safety
///
/// `room` has to be valid for writing.
#[inline(always)]
unsafe fn fill(room: *mut Endpoint, sock: u64, ino: u64, dev: u32) {
    let family: u16 = peek(sock + offset!(sock_family) as u64);
    // SAFETY: as the caller promises.
    unsafe {
        (*room).sock = sock;
        (*room).ino = ino;
        (*room).dev = dev;
        (*room).family = family;
        (*room).kind = peek(sock + offset!(sock_type) as u64);
        (*room).state = u16::from(peek::<u8>(sock + offset!(sock_state) as u64));
        (*room).shutdown = u16::from(peek::<u8>(sock + offset!(sock_shutdown) as u64));
        (*room).protocol = peek(sock + offset!(sock_protocol) as u64);
        (*room).reserved = 0;
        (*room).peer = 0;
        (*room).peer_ino = 0;
        (*room).netns = 0;
        (*room).local_port = 0;
        (*room).remote_port = 0;
        (*room).local = [0; 16];
        (*room).remote = [0; 16];
        if family == AF_UNIX {
            let peer: u64 = peek(sock + offset!(unix_peer) as u64);
            (*room).peer = peer;
            if peer != 0 {
                (*room).peer_ino = inode_of(peer);
            }
            return;
        }
        (*room).local_port = peek(sock + offset!(sock_port) as u64);
        (*room).remote_port = u16::from_be(peek(sock + offset!(sock_dport) as u64));
        if offset!(sock_net) != ipcscope_common::offsets::ABSENT {
            let net: u64 = peek(sock + offset!(sock_net) as u64);
            (*room).netns = peek(net + offset!(net_inum) as u64);
        }
        if family == AF_INET6 {
            (*room).local = peek(sock + offset!(sock_saddr6) as u64);
            (*room).remote = peek(sock + offset!(sock_daddr6) as u64);
        } else {
            let local = (&raw mut (*room).local).cast::<u32>();
            let remote = (&raw mut (*room).remote).cast::<u32>();
            *local = peek(sock + offset!(sock_saddr) as u64);
            *remote = peek(sock + offset!(sock_daddr) as u64);
        }
    }
}

/// Tells of a UNIX socket's name, if it has one.
#[inline(always)]
fn tell_name(task: &Task, owner: u64, sock: u64, whose: u32) {
    let address: u64 = peek(sock + offset!(unix_addr) as u64);
    if address == 0 {
        return;
    }
    let header = header(SOCKET_ADDRESS, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<SocketAddress>(lost::PIPE) else { return };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).header = header;
        (*room).entered = task.entered;
        (*room).sock = owner;
        (*room).whose = whose;
        (*room).len = peek(address + offset!(unix_address_len) as u64);
        (*room).bytes = [0; ADDRESS_LEN];
        let to = (&raw mut (*room).bytes).cast();
        let from = (address + offset!(unix_address_name) as u64) as Ptr;
        aya_ebpf::helpers::generated::bpf_probe_read_kernel(to, 110, from);
    }
    record.submit();
}

/// Tells of an address that the current process gave with a call: `len` bytes at `at`.
#[inline(always)]
fn tell_given(task: &Task, sock: u64, at: u64, len: u64) {
    let header = header(SOCKET_ADDRESS, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<SocketAddress>(lost::PIPE) else { return };
    // SAFETY: the record's room; the length is masked below it.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).header = header;
        (*room).entered = task.entered;
        (*room).sock = sock;
        (*room).whose = whose::REMOTE;
        (*room).bytes = [0; ADDRESS_LEN];
        let mut masked = if len > 110 { 110 } else { len };
        (*room).len = masked as u32;
        core::arch::asm!("{0} &= 127", inout(reg) masked, options(nomem, nostack));
        if masked <= ADDRESS_LEN as u64 {
            bpf_probe_read_user((&raw mut (*room).bytes).cast(), masked as u32, at as Ptr);
        }
    }
    record.submit();
}

/// Tells what became of a socket by the current thread's call. A global function: the verifier proves it once, not once
/// per call. Such functions take numbers only.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_change(fd: u64, other: i32, change: u32, argument: u32) -> i32 {
    let me = current();
    let Some(task) = traced(me) else { return 0 };
    let Some(end) = descriptor::found(descriptor::file_of(me, fd), fd as i32) else { return 0 };
    if end.object != object::SOCKET {
        return 0;
    }
    let sock = sock_of(&end);
    let family: u16 = peek(sock + offset!(sock_family) as u64);
    if family == AF_UNIX && change != change::PAIRED {
        tell_name(task, sock, sock, whose::LOCAL);
        if change == change::CONNECTED && task.ret < 0 {
            let regs = registers(me);
            tell_given(task, sock, field!(regs, regs_si as u64), field!(regs, regs_dx as u64));
        } else {
            let peer: u64 = peek(sock + offset!(unix_peer) as u64);
            if peer != 0 {
                tell_name(task, sock, peer, whose::REMOTE);
            }
        }
    } else if change == change::CONNECTED && task.ret < 0 {
        let regs = registers(me);
        tell_given(task, sock, field!(regs, regs_si as u64), field!(regs, regs_dx as u64));
    }
    let header = header(SOCKET_CHANGE, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<SocketChange>(lost::PIPE) else { return 0 };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).header = header;
        (*room).entered = task.entered;
        (*room).ret = task.ret;
        fill(&raw mut (*room).end, sock, end.ino, end.dev);
        (*room).file = end.file;
        (*room).files = field!(me, task_files as u64);
        (*room).fd = fd as i32;
        (*room).other = other;
        (*room).nr = task.nr;
        (*room).change = change;
        (*room).argument = argument;
        (*room).flags = peek(end.file + offset!(file_flags) as u64);
    }
    record.submit();
    0
}

/// Where the bytes of a call are.
struct Place {
    /// What was moved, or an error.
    ret: i64,
    /// Bytes asked for.
    requested: u64,
    /// The buffer, or the vector of them; 0: not in this process's memory.
    at: u64,
    /// How many buffers; 0: it is no vector.
    buffers: u64,
    /// `MSG_*`.
    flags: u64,
    /// An address given with it, and how long it is.
    name: u64,
    name_len: u64,
}

#[inline(always)]
fn place(task: &Task, regs: Ptr, index: u32) -> Place {
    let at = field!(regs, regs_si as u64);
    let third = field!(regs, regs_dx as u64);
    let fourth = field!(regs, regs_r10 as u64);
    let ret = task.ret;
    let plain = Place { ret, requested: u64::MAX, at: 0, buffers: 0, flags: 0, name: 0, name_len: 0 };
    match task.class {
        class::READ | class::WRITE => Place { requested: third, at, ..plain },
        class::READV | class::WRITEV => Place { requested: total(at, third), at, buffers: third, ..plain },
        class::RECVFROM => Place { requested: third, at, flags: fourth, ..plain },
        class::SENDTO => Place {
            requested: third,
            at,
            flags: fourth,
            name: field!(regs, regs_r8 as u64),
            name_len: field!(regs, regs_r9 as u64),
            ..plain
        },
        class::SENDMSG | class::RECVMSG => message(at, Place { flags: third, ..plain }),
        class::SENDMMSG | class::RECVMMSG => {
            let header = at + u64::from(index) * MMSGHDR;
            let len = peek_user::<u32>(header + MMSGHDR_LEN).unwrap_or(0);
            let ret = if ret > 0 { i64::from(len) } else { ret };
            message(header, Place { ret, flags: fourth, ..plain })
        }
        _ => plain,
    }
}

/// What a `msghdr` says: name, its length, buffers, their number.
#[inline(always)]
fn message(header: u64, plain: Place) -> Place {
    match peek_user::<[u64; 4]>(header) {
        Some([name, name_len, at, buffers]) => {
            Place { requested: total(at, buffers), at, buffers, name, name_len: name_len & 0xffff_ffff, ..plain }
        }
        None => plain,
    }
}

/// The length of a vector of buffers; `u64::MAX` if it is too long to tell.
#[inline(always)]
fn total(vector: u64, count: u64) -> u64 {
    if count > VECTORS {
        return u64::MAX;
    }
    let mut sum = 0;
    for i in steps::<VECTORS>() {
        if i >= count {
            break;
        }
        // struct iovec { base, len }.
        match peek_user::<u64>(vector + i * 16 + 8) {
            Some(len) => sum += len,
            None => return u64::MAX,
        }
    }
    sum
}

/// A record with room for payload.
#[repr(C)]
struct WithPayload<const N: usize> {
    call: SocketCall,
    payload: [u8; N],
}

/// Tells of the current thread's call, or of one of its messages: `side` 0 what was received, 1 what was sent. A global
/// function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_call(side: u32, index: u32) -> i32 {
    let me = current();
    let Some(task) = traced(me) else { return 0 };
    let regs = registers(me);
    let end = &task.ends[side as usize & 1];
    let place = place(task, regs, index);
    // With a descriptor table of its own, nobody can have closed the descriptor meanwhile.
    let same = descriptor::is_alone(me) || descriptor::file_of(me, end.fd as u64) == end.file;
    let mut flags = side & flag::SEND;
    if place.flags & PEEK != 0 && side == 0 {
        flags |= flag::PEEK;
    }
    if place.flags & DONTWAIT != 0 || end.flags & pipe::flag::NONBLOCK != 0 {
        flags |= flag::NONBLOCK;
    }
    if place.flags & OOB != 0 {
        flags |= flag::OUT_OF_BAND;
    }
    if task.sampled & TOLD != 0 {
        flags |= flag::TOLD;
    }
    let count =
        if matches!(task.class, class::SENDMMSG | class::RECVMMSG) && task.ret > 0 { task.ret as u32 } else { 1 };
    if task.sampled & UNSURE != 0 || !same || u64::from(count) > MESSAGES {
        flags |= flag::UNSURE;
    }
    let sock = if same { sock_of(end) } else { 0 };
    if side == 1 && place.name != 0 && place.name_len >= 2 {
        flags |= flag::ADDRESSED;
        tell_given(task, sock, place.name, place.name_len);
    }
    let index = index | count << 16;
    let limit = setting!(payload_limit);
    let mut keep = 0;
    if place.ret > 0 && place.at != 0 {
        keep = if (place.ret as u64) < u64::from(limit) { place.ret as u32 } else { limit };
    }
    if keep == 0 {
        with::<8, 8>(task, me, end, sock, &place, (flags, index, 0));
    } else if place.buffers != 0 {
        if keep < 128 {
            with::<128, 256>(task, me, end, sock, &place, (flags, index, keep));
        } else {
            with::<4096, 8192>(task, me, end, sock, &place, (flags, index, keep));
        }
    } else if keep <= 64 {
        with::<64, 64>(task, me, end, sock, &place, (flags, index, keep));
    } else {
        with::<4096, 4096>(task, me, end, sock, &place, (flags, index, keep));
    }
    0
}

/// A record with the bytes of a buffer (`ROOM` is `N`), of several (twice `N`), or with none at all.
#[inline(always)]
fn with<const N: usize, const ROOM: usize>(
    task: &Task,
    me: Ptr,
    end: &End,
    sock: u64,
    place: &Place,
    (flags, index, keep): (u32, u32, u32),
) {
    let header = header(SOCKET_CALL, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<WithPayload<ROOM>>(lost::PIPE) else { return };
    // SAFETY: the record's room, written field by field.
    unsafe {
        let room = record.as_mut_ptr();
        let call = &raw mut (*room).call;
        (*call).header = header;
        (*call).entered = task.entered;
        (*call).ret = place.ret;
        (*call).requested = place.requested;
        fill(&raw mut (*call).end, sock, end.ino, end.dev);
        (*call).fd = end.fd;
        (*call).nr = task.nr;
        (*call).index = index;
        (*call).queued = peek(sock + offset!(sock_queued) as u64);
        (*call).sender = 0;
        (*call).sender_ino = 0;
        (*call).flags = flags;
        if flags & flag::SEND == 0
            && let Some(senders) = with_senders(me)
            && index & 0xffff < senders.count
            && index & 0xffff < SENDERS as u32
        {
            let sender = senders.list[index as usize & (SENDERS - 1)];
            (*call).sender = sender.sock;
            (*call).sender_ino = sender.ino;
            (*call).flags = flags | flag::SENDER;
        }
        (*call).payload_len = 0;
        if keep != 0 {
            let payload = &raw mut (*room).payload;
            if N == ROOM {
                if copy_user::<N>(payload.cast::<[u8; N]>(), place.at, keep) {
                    (*call).payload_len = keep;
                }
            } else {
                (*call).payload_len = copy_vector::<N, ROOM, VECTORS>(payload, place.at, place.buffers, keep);
            }
        }
    }
    record.submit();
}
