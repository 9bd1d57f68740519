//! System V message queues: calls on them, and which message each call put in or took out.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`QueueCall`]
    QUEUE_CALL = 0x48;
    /// [`QueueMessage`]
    QUEUE_MESSAGE = 0x49;
}

/// What [`QueueCall::state`] says.
pub mod state {
    /// The queue was found: its facts are from right after the call.
    pub const FOUND: u32 = 1;
    /// The call made the queue.
    pub const CREATED: u32 = 2;
    /// Which message it was could be seen: hooks are in place.
    pub const SEEN: u32 = 4;
    /// Key, owner and permissions are told as well.
    pub const WHOLE: u32 = 8;
}

/// The kernel made a message of either kind of queue (`load_msg`), for a call in flight; `tid` 0: for a thread that is not traced.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct QueueMessage {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// The message (`msg_msg`): no other has this address until it is freed.
    pub address: u64,
}

/// A call on a queue returned.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct QueueCall {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// What it returned: restart codes (-512 to -516) included.
    pub ret: i64,
    /// Bytes to send, or room for what is received.
    pub requested: u64,
    /// The type of the message that was sent or received.
    pub msg_type: i64,
    /// The message sent or received; 0: none was seen.
    pub message: u64,
    /// When the message received was freed.
    pub freed: u64,
    /// Bytes in the queue.
    pub fill: u64,
    /// Messages in it.
    pub depth: u64,
    /// Bytes it may hold.
    pub capacity: u64,
    /// The queue.
    pub id: i32,
    /// The call's number.
    pub nr: i32,
    /// `msgflg`, or the command of msgctl(2).
    pub flags: i32,
    /// The key it is found by; 0: none.
    pub key: u32,
    /// Its namespace (`ns_common.inum`).
    pub namespace: u32,
    /// Its owner.
    pub uid: u32,
    /// Its permissions.
    pub mode: u32,
    /// [`state`]
    pub state: u32,
    /// Bytes of payload behind the record.
    pub payload_len: u32,
    /// The length of a message that was received and might be cut off.
    pub message_len: u32,
}

const _: () = assert!(size_of::<QueueMessage>() == 40);
const _: () = assert!(size_of::<QueueCall>() == 136);
