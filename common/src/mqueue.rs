//! POSIX message queues: calls on them, what the queues are, and who could not open or has removed one.
//!
//! Which message it was is told as of System V queues ([`crate::queue::QueueMessage`]).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`MqueueCall`], followed by its payload.
    MQUEUE_CALL = 0x50;
    /// [`MqueueFacts`], before the record of a descriptor of that queue.
    MQUEUE_FACTS = 0x51;
    /// [`MqueueName`]: it could not be opened.
    MQUEUE_REFUSED = 0x52;
    /// [`MqueueName`]: it was to be removed; `ret` tells whether it was.
    MQUEUE_REMOVED = 0x53;
}

/// Bytes kept of a name: `NAME_MAX` and a NUL.
pub const NAME_LEN: usize = 256;

/// What [`MqueueCall::state`] says.
pub mod state {
    /// The queue was found: its fill and depth are from right after the call.
    pub const FOUND: u32 = 1;
    /// Which message it was could be seen: hooks are in place.
    pub const SEEN: u32 = 2;
    /// The priority of the message is known.
    pub const PRIORITY: u32 = 4;
    /// `O_NONBLOCK`.
    pub const NONBLOCK: u32 = 8;
}

/// mq_timedsend(2) or mq_timedreceive(2) returned.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MqueueCall {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// What it returned: restart codes (-512 to -516) included.
    pub ret: i64,
    /// Bytes to send, or room for what is received.
    pub requested: u64,
    /// The message sent or received; 0: none was seen.
    pub message: u64,
    /// When the message received was freed.
    pub freed: u64,
    /// Bytes in the queue.
    pub fill: u64,
    /// Messages in it.
    pub depth: u64,
    /// The queue's inode number.
    pub ino: u64,
    /// The inode's file system: one for each IPC namespace.
    pub dev: u32,
    /// The descriptor.
    pub fd: i32,
    /// The call's number.
    pub nr: i32,
    /// The message's priority.
    pub priority: u32,
    /// [`state`].
    pub state: u32,
    /// Bytes of payload behind the record.
    pub payload_len: u32,
}

/// What a queue is.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MqueueFacts {
    /// Common part.
    pub header: Header,
    /// Its inode number.
    pub ino: u64,
    /// Messages it may hold.
    pub messages: u64,
    /// Bytes a message may have.
    pub message_size: u64,
    /// The inode's file system.
    pub dev: u32,
    /// `inode.i_mode`.
    pub mode: u32,
    /// `inode.i_uid`: the owner, as the kernel counts users.
    pub owner: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
    /// Its name without the slash, up to the NUL.
    pub name: [u8; NAME_LEN],
}

/// A call that has a queue's name, and no descriptor.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MqueueName {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// What it returned.
    pub ret: i64,
    /// The file system in which the name was looked for.
    pub dev: u32,
    /// The call's number.
    pub nr: i32,
    /// The name as the C library hands it over, without the slash, up to the NUL; empty: it could not be read.
    pub name: [u8; NAME_LEN],
}

const _: () = assert!(size_of::<MqueueCall>() == 112);
const _: () = assert!(size_of::<MqueueFacts>() == 64 + NAME_LEN && size_of::<MqueueName>() == 48 + NAME_LEN);
