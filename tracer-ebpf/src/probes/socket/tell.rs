//! What is told of sockets: their ends, names, changes and calls.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use ipcscope_common::{
    call::class,
    descriptor::object,
    offsets::ABSENT,
    pipe,
    settings::lost,
    socket::{
        ADDRESS_LEN, AF_INET, AF_INET6, AF_UNIX, Endpoint, MESSAGES, SOCKET_ADDRESS, SOCKET_CALL, SOCKET_CHANGE,
        SocketAddress, SocketCall, SocketChange, change, flag, whose,
    },
};

use super::{SEVERAL, TOLD, UDP, UNSURE, inode_of, is_parted, is_tcp, sock_of, watch};
use crate::{
    emit::{header, reserve},
    kernel::{Ptr, copy_user, copy_vector, current, field, offset, peek, peek_user, setting, vector_len, words},
    probes::descriptor,
    task::{End, PIECES, Place, Task, traced, with_pieces, with_place},
};

/// `struct sockaddr_un` has that many bytes.
const ADDRESS_MOST: u64 = 110;
/// Vectors whose lengths are added up.
const VECTORS: u64 = 8;
/// `MSG_OOB`, `MSG_PEEK`, `MSG_DONTWAIT`.
const OOB: u64 = 1;
const PEEK: u64 = 2;
const DONTWAIT: u64 = 0x40;
/// `MSG_ERRQUEUE`: what is received is no datagram.
const ERRQUEUE: u64 = 0x2000;
/// `struct mmsghdr`: its size in words, and where the message's length is.
const MMSGHDR: u64 = 8;
const MMSGHDR_LEN: u64 = 7;
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
        if offset!(sock_net) != ABSENT {
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

/// Tells of an address of `len` bytes; `copy` puts them in their place.
#[inline(always)]
fn tell_address(task: &Task, sock: u64, whose: u32, len: u32, copy: impl FnOnce(*mut c_void)) {
    let header = header(SOCKET_ADDRESS, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<SocketAddress>(lost::SOCKET) else { return };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).header = header;
        (*room).entered = task.entered;
        (*room).sock = sock;
        (*room).whose = whose;
        (*room).len = len;
        (*room).bytes = [0; ADDRESS_LEN];
        copy((&raw mut (*room).bytes).cast());
    }
    record.submit();
}

/// Tells of a UNIX socket's name, if it has one.
#[inline(always)]
fn tell_name(task: &Task, owner: u64, sock: u64, whose: u32) {
    let address: u64 = peek(sock + offset!(unix_addr) as u64);
    if address == 0 {
        return;
    }
    let len = peek(address + offset!(unix_address_len) as u64);
    let from = (address + offset!(unix_address_name) as u64) as Ptr;
    // SAFETY: room for that many; the helper tolerates any address.
    tell_address(task, owner, whose, len, |to| unsafe {
        bpf_probe_read_kernel(to, ADDRESS_MOST as u32, from);
    });
}

/// Tells of an address that the current process gave with a call: `len` bytes at `at`.
#[inline(always)]
fn tell_given(task: &Task, sock: u64, at: u64, len: u64) {
    let len = if len > ADDRESS_MOST { ADDRESS_MOST } else { len };
    tell_address(task, sock, whose::REMOTE, len as u32, |to| {
        let mut masked = len;
        // SAFETY: changes nothing, but the verifier wants to see a mask; the helper tolerates any address.
        unsafe {
            core::arch::asm!("{0} &= 127", inout(reg) masked, options(nomem, nostack));
            if masked <= ADDRESS_LEN as u64 {
                bpf_probe_read_user(to, masked as u32, at as Ptr);
            }
        }
    });
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
    if change == change::CREATED {
        watch(sock, end.ino);
    }
    let family: u16 = peek(sock + offset!(sock_family) as u64);
    if family == AF_UNIX && change != change::PAIRED {
        tell_name(task, sock, sock, whose::LOCAL);
        if change == change::CONNECTED && task.ret < 0 {
            tell_given(task, sock, task.args[1], task.args[2]);
        } else {
            let peer: u64 = peek(sock + offset!(unix_peer) as u64);
            if peer != 0 {
                tell_name(task, sock, peer, whose::REMOTE);
            }
        }
    } else if change == change::CONNECTED && task.ret < 0 {
        tell_given(task, sock, task.args[1], task.args[2]);
    }
    let header = header(SOCKET_CHANGE, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<SocketChange>(lost::SOCKET) else { return 0 };
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
        if matches!(change, change::CONNECTED | change::ACCEPTED) && is_tcp(sock) {
            (*room).argument = peek(sock + offset!(tcp_write_seq) as u64);
        }
        (*room).flags = peek(end.file + offset!(file_flags) as u64);
    }
    record.submit();
    0
}

#[inline(always)]
fn place(task: &Task, index: u32) -> Place {
    let [_, at, third, fourth, fifth, sixth] = task.args;
    let word = task.word;
    let ret = task.ret;
    let plain = Place { ret, requested: u64::MAX, at: 0, buffers: 0, flags: 0, name: 0, name_len: 0, sock: 0 };
    match task.class {
        class::READ | class::WRITE => Place { requested: third, at, ..plain },
        class::READV | class::WRITEV => {
            Place { requested: vector_len::<VECTORS>(at, third, word), at, buffers: third, ..plain }
        }
        class::RECVFROM => {
            let name_len = peek_user::<u32>(sixth).unwrap_or(0).into();
            Place { requested: third, at, flags: fourth, name: fifth, name_len, ..plain }
        }
        class::SENDTO => Place { requested: third, at, flags: fourth, name: fifth, name_len: sixth, ..plain },
        class::SENDMSG | class::RECVMSG => message(at, word, Place { flags: third, ..plain }),
        class::SENDMMSG | class::RECVMMSG => {
            let header = at + u64::from(index) * MMSGHDR * word;
            let len = peek_user::<u32>(header + MMSGHDR_LEN * word).unwrap_or(0);
            let ret = if ret > 0 { i64::from(len) } else { ret };
            message(header, word, Place { ret, flags: fourth, ..plain })
        }
        _ => plain,
    }
}

/// What a `msghdr` says: name, its length, buffers, their number.
#[inline(always)]
fn message(header: u64, word: u64, plain: Place) -> Place {
    match words::<4>(header, word) {
        Some([name, name_len, at, buffers]) => Place {
            requested: vector_len::<VECTORS>(at, buffers, word),
            at,
            buffers,
            name,
            name_len: name_len & 0xffff_ffff,
            ..plain
        },
        None => plain,
    }
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
    let Some((task, room)) = with_place(me) else { return 0 };
    let end = &task.ends[side as usize & 1];
    let place = place(task, index);
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
    if task.sampled & UNSURE != 0 || !same || count > MESSAGES {
        flags |= flag::UNSURE;
    }
    let sock = if same { sock_of(end) } else { 0 };
    if side == 0 && is_parted(me, sock) && !is_tcp(sock) {
        flags |= flag::UNSURE;
    }
    let is_datagram = side == 0 && place.ret >= 0 && peek::<u16>(sock + offset!(sock_protocol) as u64) == UDP;
    if is_datagram && setting!(arrivals) != 0 && place.flags & ERRQUEUE == 0 {
        flags |= flag::QUEUED;
    }
    if (side == 1 || is_datagram) && place.name != 0 && place.name_len >= 2 {
        flags |= flag::ADDRESSED;
        tell_given(task, sock, place.name, place.name_len);
    }
    *room = Place { sock, ..place };
    emit_call(flags, index | count << 16);
    0
}

/// Tells of what `tell_call` has found, with the bytes that were moved. A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn emit_call(flags: u32, index: u32) -> i32 {
    let me = current();
    let Some((task, place)) = with_place(me) else { return 0 };
    let end = &task.ends[(flags & flag::SEND) as usize & 1];
    let limit = setting!(socket_payload_limit);
    let mut keep = 0;
    if place.ret > 0 && place.at != 0 {
        // With MSG_TRUNC a receive returns the message's length, whatever there was room for.
        let moved = if (place.ret as u64) < place.requested { place.ret as u64 } else { place.requested };
        keep = if moved < u64::from(limit) { moved as u32 } else { limit };
    }
    if keep == 0 {
        with::<8, 8>(task, me, end, place, (flags, index, 0));
    } else if place.buffers != 0 {
        if keep < 128 {
            with::<128, 256>(task, me, end, place, (flags, index, keep));
        } else if keep <= 1024 {
            with::<1024, 2048>(task, me, end, place, (flags, index, keep));
        } else {
            with::<4096, 8192>(task, me, end, place, (flags, index, keep));
        }
    } else if keep <= 64 {
        with::<64, 64>(task, me, end, place, (flags, index, keep));
    } else if keep <= 1024 {
        with::<1024, 1024>(task, me, end, place, (flags, index, keep));
    } else {
        with::<4096, 4096>(task, me, end, place, (flags, index, keep));
    }
    0
}

/// The socket to which a send goes, if it is one alone; 0: unknown.
///
/// # Safety
///
/// `end` has to be valid for reading.
#[inline(always)]
unsafe fn receiver(me: Ptr, end: *const Endpoint) -> u64 {
    // SAFETY: as the caller promises.
    let (family, protocol, peer) = unsafe { ((*end).family, (*end).protocol, (*end).peer) };
    if family == AF_UNIX {
        return peer;
    }
    let is_alone = |receiver: &u64| protocol == UDP && *receiver != SEVERAL;
    with_pieces(me).map(|pieces| pieces.receiver).filter(is_alone).unwrap_or(0)
}

/// A record with the bytes of a buffer (`ROOM` is `N`), of several (twice `N`), or with none at all.
#[inline(always)]
fn with<const N: usize, const ROOM: usize>(
    task: &Task,
    me: Ptr,
    end: &End,
    place: &Place,
    (flags, index, keep): (u32, u32, u32),
) {
    let sock = place.sock;
    let header = header(SOCKET_CALL, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<WithPayload<ROOM>>(lost::SOCKET) else { return };
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
        let receiver = if flags & flag::SEND == 0 { sock } else { receiver(me, &raw const (*call).end) };
        let flags = if flags & flag::SEND != 0 && receiver != 0 { flags | flag::QUEUED_THERE } else { flags };
        (*call).queued = peek(receiver + offset!(sock_queued) as u64);
        if (flags & flag::QUEUED != 0 || flags & flag::QUEUED_THERE != 0 && (*call).end.protocol == UDP)
            && offset!(udp_queued) != ABSENT
        {
            // Receivers take over what is there at once.
            (*call).queued += peek::<u32>(receiver + offset!(udp_queued) as u64);
        }
        ((*call).sender, (*call).sender_ino, (*call).buffer) = (0, 0, 0);
        ((*call).copied, (*call).seq, (*call).message_len, (*call).skipped) = (0, [0; 2], 0, 0);
        if flags & flag::PEEK != 0 {
            // Where the next one begins, or negative.
            let behind: i32 = peek(sock + offset!(sock_peek_off) as u64);
            if place.ret >= 0 && i64::from(behind) > place.ret {
                (*call).skipped = behind as u32 - place.ret as u32;
            }
        }
        (*call).flags = flags;
        if let Some(pieces) = with_pieces(me) {
            if flags & flag::SEND != 0 {
                if is_tcp(sock) {
                    (*call).seq = [pieces.seq, peek(sock + offset!(tcp_write_seq) as u64)];
                    (*call).flags = flags | flag::SEQ;
                }
            } else {
                (*call).copied = pieces.time;
                if pieces.time != 0 && is_tcp(sock) && pieces.parted == 0 {
                    (*call).seq = [pieces.seq, 0];
                    (*call).flags = flags | flag::SEQ;
                } else if index & 0xffff < pieces.count && index & 0xffff < PIECES as u32 {
                    let piece = &pieces.list[index as usize & (PIECES - 1)];
                    (*call).sender_ino = piece.ino;
                    (*call).message_len = piece.len;
                    if piece.ino != 0 || piece.len != 0 {
                        (*call).sender = piece.sock;
                        (*call).flags = flags | flag::SENDER;
                    }
                    if i64::from(piece.copied) == place.ret || piece.len != 0 {
                        (*call).buffer = piece.skb;
                    }
                }
            }
        }
        (*call).payload_len = 0;
        if keep != 0 {
            let payload = &raw mut (*room).payload;
            if N == ROOM {
                if copy_user::<N>(payload.cast::<[u8; N]>(), place.at, keep) {
                    (*call).payload_len = keep;
                }
            } else {
                (*call).payload_len =
                    copy_vector::<N, ROOM, VECTORS>(payload, (place.at, task.word), place.buffers, keep);
            }
        }
    }
    record.submit();
}
