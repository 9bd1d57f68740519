//! Sockets: calls that move bytes or messages, and what makes, names, joins and closes the sockets they go through.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`SocketCall`], followed by its payload.
    SOCKET_CALL = 0x70;
    /// [`SocketChange`]
    SOCKET_CHANGE = 0x71;
    /// [`SocketAddress`], before the record it belongs to.
    SOCKET_ADDRESS = 0x72;
    /// [`SocketBegin`]: a call on a shared socket begins, or the sending of a datagram (UDP).
    SOCKET_BEGIN = 0x73;
    /// [`SocketBegin`]: a second thread has appeared; this is the last call of the one before, over or not.
    SOCKET_SHARED = 0x74;
    /// [`SocketBuffer`]: a send on a shared UNIX socket has made a buffer for its bytes.
    SOCKET_BUFFER = 0x75;
    /// [`SocketPieces`]: more of what a receive got, before its [`SocketCall`].
    SOCKET_PIECES = 0x76;
    /// [`SocketDropped`]
    SOCKET_DROPPED = 0x77;
    /// [`SocketArrived`]
    SOCKET_ARRIVED = 0x78;
}

/// Messages of one call that are told, each by a [`SocketCall`]; of more, the others are not.
pub const MESSAGES: u32 = 8;

/// `AF_UNIX`, `AF_INET`, `AF_INET6`.
pub const AF_UNIX: u16 = 1;
/// See [`AF_UNIX`].
pub const AF_INET: u16 = 2;
/// See [`AF_UNIX`].
pub const AF_INET6: u16 = 10;
/// `SOCK_STREAM`, `SOCK_DGRAM`, `SOCK_SEQPACKET`.
pub const STREAM: u16 = 1;
/// See [`STREAM`].
pub const DGRAM: u16 = 2;
/// See [`STREAM`].
pub const SEQPACKET: u16 = 5;

/// Flags of a [`SocketCall`].
pub mod flag {
    /// Bytes went in; else they came out.
    pub const SEND: u32 = 1;
    /// They stayed in (`MSG_PEEK`).
    pub const PEEK: u32 = 2;
    /// `O_NONBLOCK` or `MSG_DONTWAIT`.
    pub const NONBLOCK: u32 = 4;
    /// `MSG_OOB`: out of the order of the stream.
    pub const OUT_OF_BAND: u32 = 8;
    /// The beginning of the call was told.
    pub const TOLD: u32 = 16;
    /// Who else uses the socket is not known: the table of sockets is full, or another thread may have exchanged the
    /// descriptor during the call.
    pub const UNSURE: u32 = 32;
    /// The sender of the message is known.
    pub const SENDER: u32 = 64;
    /// An address was given with the message, or asked for and told with it: a [`super::SocketAddress`] came before.
    pub const ADDRESSED: u32 = 128;
    /// [`super::SocketCall::seq`] is known.
    pub const SEQ: u32 = 256;
    /// What is put into the socket's queue is told ([`super::SOCKET_ARRIVED`]); the first in there was received.
    pub const QUEUED: u32 = 512;
    /// Of a send: [`super::SocketCall::queued`] is of the one socket that got the message.
    pub const QUEUED_THERE: u32 = 1024;
}

/// One socket and the other one, as the kernel has them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Endpoint {
    /// Its `sock`.
    pub sock: u64,
    /// The `sock` of its peer (UNIX); 0: none.
    pub peer: u64,
    /// Its inode number.
    pub ino: u64,
    /// That of its peer (UNIX); 0: none, or nobody has accepted it yet, or it is closed.
    pub peer_ino: u64,
    /// Its address (IPv4 in the first four bytes).
    pub local: [u8; 16],
    /// The address at the other end.
    pub remote: [u8; 16],
    /// Its network namespace (an inode number); 0: unknown.
    pub netns: u32,
    /// The file system of the inodes.
    pub dev: u32,
    /// Its port.
    pub local_port: u16,
    /// The port at the other end.
    pub remote_port: u16,
    /// `AF_*`.
    pub family: u16,
    /// `SOCK_*`.
    pub kind: u16,
    /// `TCP_*` state, which UNIX sockets have too: 1 connected, 7 not, 10 listening.
    pub state: u16,
    /// `sk_shutdown`: 1 nothing more is received, 2 nothing more is sent.
    pub shutdown: u16,
    /// `IPPROTO_*`.
    pub protocol: u16,
    /// Keeps the size a multiple of 8.
    pub reserved: u16,
}

/// A call that moves bytes or a message through a socket returned; one record for each message of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SocketCall {
    /// Common part.
    pub header: Header,
    /// When it was entered.
    pub entered: u64,
    /// What it returned, or the message's bytes.
    pub ret: i64,
    /// Bytes asked for; `u64::MAX`: unknown.
    pub requested: u64,
    /// The socket.
    pub end: Endpoint,
    /// The `sock` the message came from.
    pub sender: u64,
    /// Its inode number.
    pub sender_ino: u64,
    /// The buffer that a message came in, or all bytes of a UNIX stream; 0: none, or [`SocketPieces`] tell.
    pub buffer: u64,
    /// When the first byte was copied out, by the one who held the socket's lock; 0: unknown.
    pub copied: u64,
    /// TCP: `write_seq` when a send began and when it was over, or `copied_seq` at the first byte of a receive.
    pub seq: [u32; 2],
    /// The descriptor.
    pub fd: i32,
    /// The call's number.
    pub nr: i32,
    /// [`flag`].
    pub flags: u32,
    /// Which of the call's messages, from 0; how many there are in the upper 16 bits.
    pub index: u32,
    /// Buffers that wait to be received there; of a send, with [`flag::QUEUED_THERE`], at its receiver.
    pub queued: u32,
    /// Bytes of payload that follow.
    pub payload_len: u32,
    /// The length of the message received, cut off or not; 0: unknown.
    pub message_len: u32,
    /// Bytes that are in front of those that were peeked at (`SO_PEEK_OFF`).
    pub skipped: u32,
}

/// What happened to a socket.
pub mod change {
    /// socket(2) made it.
    pub const CREATED: u32 = 1;
    /// socketpair(2) made it; `other` is the other descriptor.
    pub const PAIRED: u32 = 2;
    /// bind(2).
    pub const BOUND: u32 = 3;
    /// listen(2); `argument` is the backlog.
    pub const LISTENING: u32 = 4;
    /// connect(2); `argument` is the count of bytes that TCP begins with (`write_seq`), or 0.
    pub const CONNECTED: u32 = 5;
    /// accept(2); `other` is the listening descriptor, `argument` as above.
    pub const ACCEPTED: u32 = 6;
    /// shutdown(2); `argument` is 0 receiving, 1 sending, 2 both.
    pub const SHUTDOWN: u32 = 7;
}

/// A call changed a socket, or failed to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SocketChange {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// What it returned.
    pub ret: i64,
    /// The socket.
    pub end: Endpoint,
    /// The open file.
    pub file: u64,
    /// Which descriptor table.
    pub files: u64,
    /// The descriptor.
    pub fd: i32,
    /// See [`change`].
    pub other: i32,
    /// The call's number.
    pub nr: i32,
    /// [`change`].
    pub change: u32,
    /// See [`change`].
    pub argument: u32,
    /// `O_*` flags of the file.
    pub flags: u32,
}

/// Bytes kept of an address: a `sockaddr_un` is the longest.
pub const ADDRESS_LEN: usize = 112;

/// Whose address it is.
pub mod whose {
    /// The socket's own.
    pub const LOCAL: u32 = 0;
    /// The one at the other end, or the receiver's.
    pub const REMOTE: u32 = 1;
}

/// An address, as in a `sockaddr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SocketAddress {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// The socket.
    pub sock: u64,
    /// [`whose`].
    pub whose: u32,
    /// Bytes of the address.
    pub len: u32,
    /// They.
    pub bytes: [u8; ADDRESS_LEN],
}

/// A call on a socket that several threads use begins, or is known to have begun.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SocketBegin {
    /// Common part; of [`SOCKET_SHARED`]: the thread that was there before.
    pub header: Header,
    /// When its call was entered.
    pub entered: u64,
    /// The socket.
    pub sock: u64,
    /// Its inode number.
    pub ino: u64,
    /// The inode's file system.
    pub dev: u32,
    /// 1: it sends; 0: it receives.
    pub sends: u32,
}

/// A buffer (`sk_buff`) for bytes that a send on a shared UNIX socket is about to queue: until it is freed no other has
/// this address.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SocketBuffer {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// The sending socket.
    pub sock: u64,
    /// The buffer.
    pub buffer: u64,
}

/// A UDP socket had no room for a datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SocketDropped {
    /// Common part: the thread that was sending; `tid` 0: none that is traced.
    pub header: Header,
    /// When its call was entered.
    pub entered: u64,
    /// The receiving socket.
    pub sock: u64,
}

/// A datagram was put into the queue of a UDP socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SocketArrived {
    /// Common part: the thread that was sending; `tid` 0: none that is traced.
    pub header: Header,
    /// When its call was entered.
    pub entered: u64,
    /// The receiving socket.
    pub sock: u64,
    /// 1: what was the last in the queue just then is what this call has sent; 0: maybe not, or it was taken already.
    pub own: u64,
}

/// Bytes that a receive copied out of one buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SocketPiece {
    /// The buffer.
    pub buffer: u64,
    /// When.
    pub time: u64,
    /// How many.
    pub bytes: u64,
}

/// Pieces in one record.
pub const PIECES: usize = 8;

/// What a receive from a UNIX stream got, in order; several of these if it got much.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SocketPieces {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// The `sock` it came from.
    pub sock: u64,
    /// How many of the list.
    pub count: u64,
    /// They.
    pub list: [SocketPiece; PIECES],
}

const _: () = assert!(
    size_of::<SocketBuffer>() == 48
        && size_of::<SocketDropped>() == 40
        && size_of::<SocketArrived>() == 48
        && size_of::<SocketPieces>() == 48 + 24 * PIECES
);
const _: () =
    assert!(size_of::<Endpoint>() == 88 && size_of::<SocketCall>() == 208 && size_of::<SocketChange>() == 168);
const _: () = assert!(size_of::<SocketAddress>() == 160 && size_of::<SocketBegin>() == 56);
