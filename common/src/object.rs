//! Descriptors of other things than pipes, sockets and queues: terminals, eventfd, signalfd, timerfd, pidfd, and files in
//! memory.
//!
//! Most of them have no inode of their own: what is behind the descriptor stands for it ([`crate::descriptor::Descriptor::ino`]
//! is then the address of that, with the object's kind in the highest byte, and `dev` is 0).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`ObjectFacts`]: before the descriptor that was opened or found.
    OBJECT_FACTS = 0x60;
    /// [`ObjectCall`]
    OBJECT_CALL = 0x61;
    /// [`ObjectBegin`]
    OBJECT_BEGIN = 0x62;
}

/// How far up the object's kind is in what stands for the inode.
pub const KIND: u32 = 56;
/// Bytes of a name that are kept.
pub const NAME_LEN: usize = 64;

/// What [`ObjectCall::state`] says.
pub mod state {
    /// The descriptor does not block.
    pub const NONBLOCK: u32 = 1;
    /// It is the master's side of a terminal.
    pub const MASTER: u32 = 2;
    /// Of an eventfd: a read takes 1 (`EFD_SEMAPHORE`).
    pub const SEMAPHORE: u32 = 4;
    /// It moves bytes into the object.
    pub const WRITE: u32 = 8;
    /// Of a timerfd that is set: to a moment of its clock, not from now.
    pub const ABSOLUTE: u32 = 16;
}

/// What is behind a descriptor.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ObjectFacts {
    /// Common part.
    pub header: Header,
    /// What stands for its inode.
    pub ino: u64,
    /// Of a terminal its index, of an eventfd its id, of a pidfd the process; of a file in memory its inode number.
    pub number: u64,
    /// Of an eventfd what it counts, of a signalfd its mask, of a file its size in bytes.
    pub value: u64,
    /// `inode.i_mode`
    pub mode: u32,
    /// `inode.i_uid`
    pub owner: u32,
    /// [`state`]
    pub state: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
    /// Of a file in memory, up to its NUL.
    pub name: [u8; NAME_LEN],
}

/// A call on such a descriptor returned; payload follows.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ObjectCall {
    /// Common part.
    pub header: Header,
    /// When it was entered.
    pub entered: u64,
    /// What it returned: restart codes (-512 to -516) included.
    pub ret: i64,
    /// What stands for the inode.
    pub ino: u64,
    /// Bytes asked for.
    pub requested: u64,
    /// Of an eventfd what was added or taken, of a timerfd how often it had expired, or when it expires next (ns, relative
    /// or absolute as the call said), of a signalfd the mask.
    pub value: u64,
    /// Of an eventfd what it counts right after; of a timerfd that was set, its interval in ns.
    pub after: u64,
    /// The descriptor.
    pub fd: i32,
    /// The call's number.
    pub nr: i32,
    /// [`state`]
    pub state: u32,
    /// Bytes of payload behind this record.
    pub payload_len: u32,
}

/// A call on an eventfd begins: told so that a read can name the writes that have not returned yet.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ObjectBegin {
    /// Common part.
    pub header: Header,
    /// What stands for the inode.
    pub ino: u64,
    /// What is to be added; 0: it is a read.
    pub value: u64,
    /// The call's number.
    pub nr: i32,
    /// [`state`]
    pub state: u32,
}

const _: () = assert!(size_of::<ObjectFacts>() == 24 + 24 + 16 + NAME_LEN);
const _: () = assert!(size_of::<ObjectCall>() == 88 && size_of::<ObjectBegin>() == 48);
