//! Sockets: calls that move bytes or messages through them, and what makes, names and joins them.
//!
//! Everything is read when the call returns, so that both ends of a connection are as the call left them. As long as one
//! thread sends and one receives at a socket, the order of its records is the order of its bytes. When a second one
//! appears the socket is *shared*: from then on the beginnings of calls are told as well, and user space sees which overlap.
//!
//! These programs run by tail call from the common ones ([`super::family`]).

mod tell;

use aya_ebpf::{macros::map, maps::HashMap, programs::BtfTracePointContext};
use ipcscope_common::{
    call::class,
    descriptor::{change as passing, object},
    offsets::ABSENT,
    settings::lost,
    socket::{
        AF_UNIX, MESSAGES, SOCKET_ARRIVED, SOCKET_BEGIN, SOCKET_BUFFER, SOCKET_DROPPED, SOCKET_PIECES, SOCKET_SHARED,
        STREAM, SocketArrived, SocketBegin, SocketBuffer, SocketDropped, SocketPiece, SocketPieces, change,
    },
};

use super::{call, descriptor};
use crate::{
    emit::{emit, header, reserve},
    kernel::{Ptr, argument, current, exchange, field, now, offset, peek, peek_user, setting, site},
    task::{End, PIECES, Piece, Pieces, Task, traced, with_pieces},
};
use tell::tell_call;
pub use tell::{described, tell_change};

/// Sockets whose users are remembered at once.
const SOCKETS: u32 = 65536;
/// `IPPROTO_TCP`.
const TCP: u16 = 6;
/// `IPPROTO_UDP`.
const UDP: u16 = 17;
/// Only if there is none yet (include/uapi/linux/bpf.h).
const BPF_NOEXIST: u64 = 1;
/// `EBADF`, `ENOTSOCK`: the call was on no socket.
const NO_SOCKET: [i64; 2] = [-9, -88];
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

/// Instead of a `sock`: there are several.
const SEVERAL: u64 = 1;
/// What the call on a socket was found to be at its beginning (`Task::sampled`): its beginning was told, or nothing is
/// known of who else uses the socket.
const TOLD: u8 = 2;
const UNSURE: u8 = 4;

/// In a call on a socket: which one, and who else uses it.
#[inline(always)]
pub fn begin(me: Ptr) {
    if let Some(task) = traced(me) {
        enter(task, me);
    }
}

#[inline(always)]
fn enter(task: &mut Task, me: Ptr) {
    if let Some(pieces) = with_pieces(me) {
        (pieces.count, pieces.time, pieces.receiver, pieces.parted) = (0, 0, 0, 0);
    }
    let fd = task.args[0];
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
    let known = descriptor::is_known(task, me);
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
                emit(lost::SOCKET, SocketBegin { header, entered, sock, ino: end.ino, dev: end.dev, sends });
            }
        }
    }
    let protocol = if side == 1 { peek::<u16>(sock + offset!(sock_protocol) as u64) } else { 0 };
    // Whether a datagram is on its way matters to whoever gets one like it.
    if shared || protocol == UDP {
        let header = header(SOCKET_BEGIN, task.entered, task.tid, task.tgid);
        let (entered, sends) = (task.entered, side as u32);
        emit(lost::SOCKET, SocketBegin { header, entered, sock, ino: end.ino, dev: end.dev, sends });
        task.sampled |= TOLD;
    }
    note(user, task);
    if protocol == TCP
        && offset!(tcp_write_seq) != ABSENT
        && let Some(pieces) = with_pieces(me)
    {
        pieces.seq = peek(sock + offset!(tcp_write_seq) as u64);
    }
}

#[inline(always)]
fn is_tcp(sock: u64) -> bool {
    offset!(tcp_write_seq) != ABSENT && peek::<u16>(sock + offset!(sock_protocol) as u64) == TCP
}

#[inline(always)]
fn note(user: &mut User, task: &Task) {
    user.tid = task.tid;
    user.tgid = task.tgid;
    user.entered = task.entered;
}

/// Whether several threads send at a socket; `None`: nobody is known to, any more.
#[inline(always)]
fn has_several_senders(sock: u64) -> Option<bool> {
    // SAFETY: a valid map value; a plain read, of what another CPU may write.
    SOCKET_USERS.get_ptr(sock).map(|users| unsafe { (*users).sender.shared != 0 })
}

/// `kmem_cache_alloc(unsigned long call_site, const void *ptr, …)`: a buffer for bytes that are about to be queued at a UNIX
/// socket; where that has one sender the order says enough. Or for a datagram (UDP), which is cloned for each of several
/// receivers: noted until it comes there ([`arrived`]).
///
/// Every allocation of the machine comes here and leaves after a look at where it is from. One made in an interrupt during
/// the call is told too; nothing that is ever received from this socket is in it.
#[inline(always)]
pub fn allocated(ctx: &BtfTracePointContext) {
    let from: u64 = ctx.arg(0);
    let is_clone = from.wrapping_sub(site!(clone_skb)) < site!(clone_skb_len);
    if !is_clone && from.wrapping_sub(site!(alloc_skb)) >= site!(alloc_skb_len) {
        return;
    }
    let me = current();
    let Some(task) = traced(me) else { return };
    let end = &task.ends[1];
    if task.class == class::NONE || !is_socket(end) {
        return;
    }
    let sock = sock_of(end);
    let buffer = argument(ctx, 1);
    if peek::<u16>(sock + offset!(sock_family) as u64) != AF_UNIX {
        if peek::<u16>(sock + offset!(sock_protocol) as u64) == UDP
            && let Some(pieces) = with_pieces(me)
        {
            pieces.list[pieces.count as usize & (PIECES - 1)].skb = buffer;
            pieces.count += 1;
        }
    } else if has_several_senders(sock) == Some(true) {
        let header = header(SOCKET_BUFFER, now(), task.tid, task.tgid);
        emit(lost::SOCKET, SocketBuffer { header, entered: task.entered, sock, buffer });
    }
}

/// `skb_copy_datagram_iovec(const struct sk_buff *skb, int len)`: a receive gets bytes of a buffer. It holds a lock of its
/// socket (`unix_sock.iolock`, `lock_sock`) from the first to the last of them, so these moments are in the order of the
/// bytes; but not while it waits for more (MSG_WAITALL, SO_RCVLOWAT). And a UNIX buffer knows the socket it came from.
#[inline(always)]
pub fn copied(ctx: &BtfTracePointContext) {
    let me = current();
    let Some(task) = traced(me) else { return };
    if task.class == class::NONE {
        return;
    }
    let skb: Ptr = ctx.arg(0);
    let sock = field!(skb, skb_sk as u64);
    if sock == 0 {
        return;
    }
    let Some(pieces) = with_pieces(me) else { return };
    let time = now();
    if peek::<u16>(sock + offset!(sock_family) as u64) != AF_UNIX {
        if is_tcp(sock) {
            let seq: u32 = peek(sock + offset!(tcp_copied_seq) as u64);
            if pieces.time == 0 {
                (pieces.time, pieces.seq, pieces.copied) = (time, seq, 0);
            } else if seq != pieces.seq && seq != pieces.seq.wrapping_add(pieces.copied) {
                // Not what is behind the last of its own; who peeks leaves the count where it is.
                pieces.parted = 1;
            }
            pieces.copied = pieces.copied.wrapping_add(ctx.arg::<u32>(1));
        }
        return;
    }
    let sleeps: u64 = field!(me, task_sleeps as u64);
    if pieces.time == 0 {
        (pieces.time, pieces.sleeps) = (time, sleeps);
    }
    if sleeps != pieces.sleeps {
        pieces.parted = 1;
    }
    let is_stream = peek::<u16>(sock + offset!(sock_type) as u64) == STREAM;
    if is_stream && pieces.count >= PIECES as u32 {
        tell_pieces();
        pieces.count = 0;
    }
    let index = pieces.count as usize;
    if index < PIECES {
        let (ino, len) = if is_stream { (0, 0) } else { (inode_of(sock), field!(skb, skb_len as u32)) };
        let copied = ctx.arg::<u32>(1);
        pieces.list[index & (PIECES - 1)] = Piece { skb: skb as u64, time, sock, ino, copied, len };
    }
    pieces.count += 1;
}

/// `udp_fail_queue_rcv_skb(int rc, struct sock *sk, …)`: a receiver had no room. On one machine that happens during the
/// sender's call, unless the machine is so busy that a kernel thread sees to it.
#[inline(always)]
pub fn dropped(ctx: &BtfTracePointContext) {
    let sock: u64 = ctx.arg(1);
    let (tid, tgid, entered) = sending();
    if tid != 0 || SOCKET_USERS.get_ptr(sock).is_some() {
        emit(lost::SOCKET, SocketDropped { header: header(SOCKET_DROPPED, now(), tid, tgid), entered, sock });
    }
}

/// `sk_data_ready(const struct sock *sk)`: a datagram was put into a receiver's queue, as above during the sender's call.
/// If it is still the last there, all that was put there before is in front of it. That it is the caller's is known by its
/// buffer: a call may also put there what others send at the same moment, or what the network has kept back.
#[inline(always)]
pub fn arrived(ctx: &BtfTracePointContext) {
    let sk: Ptr = ctx.arg(0);
    let sock = sk as u64;
    if field!(sk, sock_protocol as u16) != UDP || SOCKET_USERS.get_ptr(sock).is_none() {
        return;
    }
    let (tid, tgid, entered) = sending();
    // First: whoever is the last at a later moment came later.
    let header = header(SOCKET_ARRIVED, now(), tid, tgid);
    let last: u64 = peek(sock + offset!(sock_last) as u64);
    let mut own = 0;
    if tid != 0
        && let Some(pieces) = with_pieces(current())
        && has_made(pieces, last)
    {
        own = 1;
        pieces.receiver = if pieces.receiver == 0 { sock } else { SEVERAL };
    }
    emit(lost::SOCKET, SocketArrived { header, entered, sock, own });
}

/// Whether the call that sends has made this buffer: it is one of the last.
#[inline(always)]
fn has_made(pieces: &Pieces, buffer: u64) -> bool {
    let mut is_it = false;
    for index in 0..PIECES {
        is_it |= (index as u32) < pieces.count && pieces.list[index].skb == buffer;
    }
    is_it
}

/// The thread that is just sending through a socket, its process and when its call was entered; zeros: it is not traced.
#[inline(always)]
fn sending() -> (u32, u32, u64) {
    let sender = traced(current()).filter(|task| {
        let is_sending = matches!(task.class, class::WRITE | class::WRITEV | class::SENDTO..=class::LAST_SOCKET);
        (is_sending || task.class == class::SENDMSG) && is_socket(&task.ends[1])
    });
    sender.map_or((0, 0, 0), |task| (task.tid, task.tgid, task.entered))
}

/// Whether what the current call has received need not stand together in the stream: it waited for more, and another thread
/// receives there as well.
#[inline(always)]
fn is_parted(me: Ptr, sock: u64) -> bool {
    // SAFETY: a valid map value; a plain read, of what another CPU may write.
    let has_others = || SOCKET_USERS.get_ptr(sock).is_none_or(|users| unsafe { (*users).receiver.shared != 0 });
    with_pieces(me).is_some_and(|pieces| pieces.parted != 0) && has_others()
}

/// A socket that datagrams can come to is there: from now on they are told of.
#[inline(always)]
fn watch(sock: u64, ino: u64) {
    if setting!(arrivals) != 0 && peek::<u16>(sock + offset!(sock_protocol) as u64) == UDP {
        let _ = SOCKET_USERS.insert(sock, Users { ino, receiver: NOBODY, sender: NOBODY }, 0);
    }
}

/// Tells of the buffers that the current thread's receive has got so far, if somebody needs that. A global function, as
/// [`tell_call`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_pieces() -> i32 {
    let me = current();
    let Some(task) = traced(me) else { return 0 };
    let Some(pieces) = with_pieces(me) else { return 0 };
    let sock = pieces.list[0].sock;
    // Senders may be gone before their bytes are.
    if has_several_senders(sock) == Some(false) {
        return 0;
    }
    // Told before the call, which is of when it returned.
    let header = header(SOCKET_PIECES, pieces.list[0].time, task.tid, task.tgid);
    let Some(mut record) = reserve::<SocketPieces>(lost::SOCKET) else { return 0 };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).header = header;
        (*room).entered = task.entered;
        (*room).sock = sock;
        (*room).count = u64::from(pieces.count);
        for index in 0..PIECES {
            let piece = &pieces.list[index];
            (*room).list[index] = SocketPiece { buffer: piece.skb, time: piece.time, bytes: u64::from(piece.copied) };
        }
    }
    record.submit();
    0
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
pub fn finish(me: Ptr) {
    if let Some(task) = traced(me) {
        exit(task, me);
        call::leave(task, me);
    }
}

#[inline(always)]
fn exit(task: &mut Task, me: Ptr) {
    let ret = task.ret;
    if call::interrupted(ret) || task.watched != 0 {
        call::end(task, ret, task.returned);
    }
    if NO_SOCKET.contains(&ret) {
        return;
    }
    match task.class {
        class::SOCKET if ret >= 0 => {
            tell_change(ret as u64, -1, change::CREATED, 0);
        }
        class::SOCKETPAIR if ret == 0 => {
            let Some(fds) = peek_user::<[i32; 2]>(task.args[3]) else { return };
            tell_change(fds[0] as u64, fds[1], change::PAIRED, 0);
            tell_change(fds[1] as u64, fds[0], change::PAIRED, 0);
        }
        class::SOCKET | class::SOCKETPAIR => {}
        class::ACCEPT if ret >= 0 => {
            tell_change(ret as u64, task.args[0] as i32, change::ACCEPTED, 0);
        }
        class::ACCEPT => {}
        class::BIND => {
            tell_change(task.args[0], -1, change::BOUND, 0);
        }
        // To AF_UNSPEC, 0: a connection is dissolved, and none is made (connect(2)).
        class::CONNECT if !call::interrupted(ret) && peek_user::<u16>(task.args[1]) != Some(0) => {
            tell_change(task.args[0], -1, change::CONNECTED, 0);
        }
        class::CONNECT => {}
        class::LISTEN => {
            let backlog = task.args[1] as u32;
            tell_change(task.args[0], -1, change::LISTENING, backlog);
        }
        class::SHUTDOWN => {
            tell_change(task.args[0], -1, change::SHUTDOWN, task.args[1] as u32);
        }
        class::SENDMMSG | class::RECVMMSG if ret > 0 => {
            let side = u32::from(task.class == class::SENDMMSG);
            for index in 0..u64::from(MESSAGES) {
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
                descriptor::resolve(me, task.args[0], &mut task.ends[0]);
            }
            if is_socket(&task.ends[0]) {
                // All bytes of one buffer are told with the call itself.
                let is_told = |count, copied| count == 0 || count == 1 && i64::from(copied) == ret;
                if ret > 0 && with_pieces(me).is_some_and(|pieces| !is_told(pieces.count, pieces.list[0].copied)) {
                    tell_pieces();
                }
                tell_call(0, 0);
            }
            if is_socket(&task.ends[1]) {
                tell_call(1, 0);
            }
            // The descriptors that came or went with it.
            if task.class == class::RECVMSG && ret >= 0 {
                descriptor::in_message(task.args[1], task.word, passing::PASSED);
            } else if task.class == class::SENDMSG && !call::interrupted(ret) {
                // A message without bytes is sent, too.
                descriptor::sending(task, if ret == 0 { 1 } else { ret });
            }
        }
    }
}
