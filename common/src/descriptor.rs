//! Descriptors of channels: who gets, copies and closes which end.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`Descriptor`]: a call made or changed it.
    DESCRIPTOR = 0x30;
    /// [`Descriptor`]: it is there after an exec.
    HELD = 0x31;
    /// [`Descriptor`]: it was there when tracing began (a BPF iterator's row), in whosever hands.
    FOUND_HELD = 0x33;
    /// [`CloseRange`]
    CLOSED_RANGE = 0x32;
    /// [`ChannelPath`]: of a named pipe, before the descriptor that was opened or found.
    CHANNEL_PATH = 0x34;
}

/// Open for reading (`FMODE_READ`).
pub const END_READ: u16 = 1;
/// Open for writing (`FMODE_WRITE`).
pub const END_WRITE: u16 = 2;

/// What the object behind a descriptor is.
pub mod object {
    /// An anonymous pipe.
    pub const PIPE: u16 = 1;
    /// A named pipe.
    pub const FIFO: u16 = 2;
    /// A socket.
    pub const SOCKET: u16 = 3;
    /// A POSIX message queue.
    pub const MQUEUE: u16 = 4;

    /// A System V message queue: no descriptor leads to one, but calls are on it.
    pub const QUEUE: u16 = 5;
    /// A set of System V semaphores: as above.
    pub const SEM: u16 = 6;
    /// One side of a terminal; [`MASTER`] says which.
    pub const TERMINAL: u16 = 7;
    /// An eventfd.
    pub const EVENTFD: u16 = 8;
    /// A signalfd.
    pub const SIGNALFD: u16 = 9;
    /// A timerfd.
    pub const TIMERFD: u16 = 10;
    /// A pidfd.
    pub const PIDFD: u16 = 11;
    /// A file of memfd_create(2).
    pub const MEMFD: u16 = 12;
    /// A file of shm_open(3).
    pub const MEMORY: u16 = 13;
    /// Added to [`TERMINAL`]: the master's side.
    pub const MASTER: u16 = 1 << MECHANISM;

    /// Of a socket: the `SOCK_*` type is this many bits up, with [`INET`] added if it is no UNIX socket.
    pub const MECHANISM: u16 = 8;
    /// See [`MECHANISM`].
    pub const INET: u16 = 16;

    /// Whether that is one of [`crate::object`].
    pub const fn is_other(object: u16) -> bool {
        object >= TERMINAL && object <= MEMORY
    }

    /// Whether that is a pipe or a FIFO.
    pub const fn is_pipe(object: u16) -> bool {
        matches!(object, PIPE | FIFO)
    }
}

/// What happened to the descriptor.
pub mod change {
    /// pipe(2) made it.
    pub const CREATED: u32 = 1;
    /// It is a copy of `other`.
    pub const DUPLICATED: u32 = 2;
    /// It was opened by path, or taken by pidfd_getfd(2).
    pub const OPENED: u32 = 3;
    /// It came in a message.
    pub const PASSED: u32 = 4;
    /// It was closed.
    pub const CLOSED: u32 = 5;
    /// Its pipe's capacity was changed, or not: see `ret`.
    pub const RESIZED: u32 = 6;
    /// A message takes a copy of it along: told when it is sent (`ret` 0), then again when it was (more than 0), or when
    /// it was not after all (an error).
    pub const SENT: u32 = 7;
    /// mq_setattr(3) may have changed its flags.
    pub const CHANGED: u32 = 8;
}

/// A descriptor of a channel.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Descriptor {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// What it returned.
    pub ret: i64,
    /// The object's inode number.
    pub ino: u64,
    /// The kernel's object (`pipe_inode_info`, `socket`, `mqueue_inode_info`): to tell reused inode numbers apart.
    pub address: u64,
    /// The open file (`struct file`), which copies of the descriptor share.
    pub file: u64,
    /// Which descriptor table.
    pub files: u64,
    /// The inode's file system.
    pub dev: u32,
    /// [`change`].
    pub change: u32,
    /// The descriptor.
    pub fd: i32,
    /// The one it was copied from, or -1.
    pub other: i32,
    /// The call's number, or -1.
    pub nr: i32,
    /// [`object`].
    pub object: u16,
    /// [`END_READ`] and [`END_WRITE`].
    pub end: u16,
    /// The pipe's buffers; of a UNIX socket its peer's inode number.
    pub slots: u32,
    /// `O_*` flags of the file.
    pub flags: u32,
}

/// Components of a path that are kept, and bytes of each.
pub const PATH_PARTS: usize = 16;
/// See [`PATH_PARTS`].
pub const PART_LEN: usize = 64;

/// Where a named pipe is, and whose.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ChannelPath {
    /// Common part.
    pub header: Header,
    /// The object's inode number.
    pub ino: u64,
    /// The inode's file system.
    pub dev: u32,
    /// `inode.i_mode`.
    pub mode: u32,
    /// `inode.i_uid`: the owner, as the kernel counts users.
    pub owner: u32,
    /// One more than how often it was opened for reading since somebody first had it open (`pipe_inode_info.r_counter`);
    /// 0: unknown.
    pub opened_to_read: u32,
    /// The same for writing (`w_counter`).
    pub opened_to_write: u32,
    /// Components in `parts`, the last one of the path first; more than [`PATH_PARTS`]: it is not known.
    pub count: u32,
    /// Each up to its NUL, from the root of the mount namespace.
    pub parts: [[u8; PART_LEN]; PATH_PARTS],
}

/// A range of descriptors was closed (close_range(2)).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CloseRange {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// Which descriptor table.
    pub files: u64,
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

const _: () = assert!(size_of::<Descriptor>() == 104 && size_of::<ChannelPath>() == 24 + 32 + 1024);
