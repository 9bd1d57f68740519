//! Operations of io_uring(7), which a thread asks for and the kernel does on its own.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`RingCall`]
    RING_CALL = 0x80;
}

/// `__NR_io_uring_enter`: the call that operations are told as.
pub const ENTER: i32 = 426;

/// `IORING_OP_*` (include/uapi/linux/io_uring.h).
pub mod operation {
    /// A connection is accepted.
    pub const ACCEPT: u8 = 13;
    /// A socket is connected.
    pub const CONNECT: u8 = 16;
    /// A file is opened.
    pub const OPENAT: u8 = 18;
    /// A descriptor is closed.
    pub const CLOSE: u8 = 19;
    /// A file is opened.
    pub const OPENAT2: u8 = 28;
    /// One side of a connection, or both, are closed.
    pub const SHUTDOWN: u8 = 34;
    /// A socket is made.
    pub const SOCKET: u8 = 45;
    /// A file of the ring's table gets a descriptor.
    pub const INSTALL: u8 = 54;
    /// A socket gets a name.
    pub const BIND: u8 = 56;
    /// Connections can come to a socket.
    pub const LISTEN: u8 = 57;
    /// A pipe is made.
    pub const PIPE: u8 = 62;
    /// Bytes are read.
    pub const READ_FIXED: u8 = 4;
    /// The same.
    pub const READ: u8 = 22;
    /// Bytes or messages are received.
    pub const RECV: u8 = 27;
    /// The same by a `msghdr`.
    pub const RECVMSG: u8 = 10;
    /// Bytes are read, again and again.
    pub const READ_MULTISHOT: u8 = 49;
    /// READV, READ_FIXED, RECVMSG, READ, RECV, READ_MULTISHOT, RECV_ZC.
    pub const RECEIVES: [u8; 7] = [1, READ_FIXED, RECVMSG, READ, RECV, READ_MULTISHOT, 58];
    /// WRITEV, WRITE_FIXED, SENDMSG, WRITE, SEND, SEND_ZC, SENDMSG_ZC.
    pub const SENDS: [u8; 7] = [2, 5, 9, 23, 26, 47, 48];

    /// It changes descriptors, and moves no bytes.
    #[must_use]
    pub const fn changes(operation: u8) -> bool {
        matches!(
            operation,
            ACCEPT | CONNECT | OPENAT | CLOSE | OPENAT2 | SHUTDOWN | SOCKET | INSTALL | BIND | LISTEN | PIPE
        )
    }
}

/// An operation on a file has completed; one that completes several times has several. The header tells who asked for it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RingCall {
    /// Common part.
    pub header: Header,
    /// When it was submitted.
    pub submitted: u64,
    /// The inode number of the file, or what stands for it ([`crate::object`]).
    pub ino: u64,
    /// Its file system; 0 for what has no inode of its own.
    pub dev: u32,
    /// What became of it: bytes, or a negative errno.
    pub result: i32,
    /// The descriptor; -1: a registered file.
    pub fd: i32,
    /// `S_IFMT` and permissions.
    pub mode: u16,
    /// `IORING_OP_*`.
    pub operation: u8,
    /// 1: it asked for bytes, so that none of them are end-of-file; 0: that is unknown.
    pub asked: u8,
}

const _: () = assert!(size_of::<RingCall>() == 56);
