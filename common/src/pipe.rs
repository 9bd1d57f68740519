//! Pipes and FIFOs: calls that move bytes, and samples of the pipe's buffers.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`PipeCall`], followed by its payload.
    PIPE_CALL = 0x38;
    /// [`PipeSample`]
    PIPE_SAMPLE = 0x39;
    /// [`PipeLayout`]: a second reader or writer has appeared.
    PIPE_CONTENDED = 0x3a;
    /// [`PipeLayout`]: a fresh look.
    PIPE_LAYOUT = 0x3b;
    /// [`PipeUnseen`]
    PIPE_UNSEEN = 0x3c;
}

/// Flags of a [`PipeCall`].
pub mod flag {
    /// Bytes went in; else they came out.
    pub const WRITE: u16 = 1;
    /// They stayed in (tee's source).
    pub const PEEK: u16 = 2;
    /// Only the count is known (splice, tee, vmsplice, sendfile).
    pub const OPAQUE: u16 = 4;
    /// O_NONBLOCK or RWF_NOWAIT.
    pub const NONBLOCK: u16 = 8;
    /// O_DIRECT: packets.
    pub const PACKET: u16 = 16;
    /// The call was sampled: [`super::PipeSample`]s tell its steps.
    pub const SAMPLED: u16 = 32;
    /// Nobody held the other end when it returned.
    pub const LONELY: u16 = 64;
    /// `fill` and the slots were read while nobody changed them.
    pub const STABLE: u16 = 128;
}

/// `fill` or `requested` that could not be told.
pub const UNKNOWN: u32 = u32::MAX;

/// A call on a pipe returned; `payload_len` bytes follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PipeCall {
    /// Common part.
    pub header: Header,
    /// When it was entered.
    pub entered: u64,
    /// What it returned: bytes or a negative errno, restart codes included.
    pub ret: i64,
    /// Bytes asked for; `u64::MAX`: unknown.
    pub requested: u64,
    /// The pipe's inode number.
    pub ino: u64,
    /// The inode's file system.
    pub dev: u32,
    /// [`flag`].
    pub flags: u16,
    /// [`crate::descriptor::object`].
    pub object: u16,
    /// The descriptor.
    pub fd: i32,
    /// The call's number.
    pub nr: i32,
    /// `pipe_inode_info.head` right after.
    pub head: u32,
    /// `pipe_inode_info.tail` right after.
    pub tail: u32,
    /// Bytes in it right after, or [`UNKNOWN`].
    pub fill: u32,
    /// `pipe_inode_info.max_usage`.
    pub slots: u32,
    /// Bytes of payload that follow.
    pub payload_len: u32,
    /// Open files for reading it (`pipe_inode_info.readers`) right after, at most 65535.
    pub readers: u16,
    /// Open files for writing to it.
    pub writers: u16,
}

/// A process may move bytes in ways that are not followed: it made an x32 call, or set up a ring of requests.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PipeUnseen {
    /// Common part.
    pub header: Header,
    /// Which descriptor table it uses.
    pub files: u64,
}

/// Which step of a call a sample was taken at.
pub mod point {
    /// It was entered.
    pub const ENTER: u8 = 1;
    /// It returned.
    pub const EXIT: u8 = 2;
    /// Its thread left the CPU, preempted.
    pub const OUT: u8 = 3;
    /// Its thread left the CPU, asleep.
    pub const ASLEEP: u8 = 4;
    /// Its thread came onto a CPU.
    pub const IN: u8 = 5;
    /// It found the pipe's mutex taken.
    pub const CONTENDS: u8 = 6;
}

/// Where reading and writing stand.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Position {
    /// `pipe_inode_info.head`.
    pub head: u32,
    /// `pipe_inode_info.tail`.
    pub tail: u32,
    /// Offset and length of the newest buffer, added.
    pub write_end: u32,
    /// Offset of the oldest buffer; 0 if there is none.
    pub read_offset: u32,
}

/// The pipe as read around one moment: positions, the mutex's owner, the clock, the owner, positions.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PipeSample {
    /// Common part.
    pub header: Header,
    /// The thread's `task_struct`.
    pub task: u64,
    /// When its call was entered.
    pub entered: u64,
    /// The pipe's inode number.
    pub ino: u64,
    /// At [`point::EXIT`] what it returned; else bytes asked for, `u64::MAX` unknown.
    pub amount: u64,
    /// `pipe->mutex.owner` before, without its flag bits.
    pub owner_before: u64,
    /// And after.
    pub owner_after: u64,
    /// Positions before.
    pub before: Position,
    /// And after.
    pub after: Position,
    /// The inode's file system.
    pub dev: u32,
    /// [`flag`].
    pub flags: u16,
    /// [`point`].
    pub point: u8,
    /// Keeps the size a multiple of 8.
    pub reserved: u8,
}

/// Buffers a layout can hold.
pub const LAYOUT_SLOTS: usize = 64;

/// A buffer of a pipe.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Buffer {
    /// `pipe_buffer.offset`.
    pub offset: u32,
    /// `pipe_buffer.len`.
    pub len: u32,
    /// `pipe_buffer.flags`.
    pub flags: u32,
}

/// `PIPE_BUF_FLAG_PACKET` (include/linux/pipe_fs_i.h).
pub const BUFFER_PACKET: u32 = 0x08;
/// `PIPE_BUF_FLAG_CAN_MERGE`.
pub const BUFFER_CAN_MERGE: u32 = 0x10;

/// All buffers of a pipe, and who used it last.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PipeLayout {
    /// Common part.
    pub header: Header,
    /// The pipe's inode number.
    pub ino: u64,
    /// When the last writer before entered its last call.
    pub writer_entered: u64,
    /// When the last reader before entered its last call.
    pub reader_entered: u64,
    /// That writer's `task_struct`; 0: none.
    pub writer: u64,
    /// That reader's.
    pub reader: u64,
    /// That writer's thread id.
    pub writer_tid: u32,
    /// That reader's.
    pub reader_tid: u32,
    /// The inode's file system.
    pub dev: u32,
    /// 1: read while nobody changed anything.
    pub stable: u32,
    /// `pipe_inode_info.head`.
    pub head: u32,
    /// `pipe_inode_info.tail`.
    pub tail: u32,
    /// `pipe_inode_info.max_usage`.
    pub slots: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
    /// Oldest first: `head - tail` of them, if that many fit.
    pub buffers: [Buffer; LAYOUT_SLOTS],
}

const _: () = assert!(size_of::<PipeCall>() == 96 && size_of::<PipeSample>() == 112 && size_of::<PipeLayout>() == 864);
