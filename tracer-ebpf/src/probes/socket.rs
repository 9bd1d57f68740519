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
    settings::lost,
    socket::{AF_UNIX, SOCKET_BEGIN, SOCKET_SHARED, STREAM, SocketBegin, change},
};

use super::{call, descriptor};
use crate::{
    emit::{emit, header},
    kernel::{Ptr, current, exchange, field, offset, peek, peek_user},
    task::{End, SENDERS, Sender, Task, traced, with_senders},
};
pub use tell::described;
use tell::{tell_call, tell_change};

/// Sockets whose users are remembered at once.
const SOCKETS: u32 = 16384;
/// Messages of one call that are told.
const MESSAGES: u64 = SENDERS as u64;
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
