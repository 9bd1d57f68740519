//! What is told of a pipe, and what becomes known.
//!
//! Plain data; a sample is worth as much as its two halves agree. Tested through the other modules.

/// One call on the pipe, unique in the trace.
pub type CallId = u64;

/// The end of the pipe a call works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Takes bytes out.
    Read,
    /// Puts bytes in.
    Write,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Read => Self::Write,
            Self::Write => Self::Read,
        }
    }
}

/// What of a call's effect on the buffers can be predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// read, readv, write, writev.
    Plain,
    /// A write under `O_DIRECT`: each buffer is a packet, a read gets one and drops what does not fit.
    Packet,
    /// splice, vmsplice, sendfile, tee's destination, io_uring: only the byte count is known.
    Opaque,
    /// tee's source: bytes are seen, not taken.
    Peek,
}

/// Where both sides of a pipe stand; never decreases (modulo 2^32) while the pipe keeps its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// `pipe_inode_info.head`.
    pub head: u32,
    /// `pipe_inode_info.tail`.
    pub tail: u32,
    /// Offset plus length of the newest buffer, in use or not.
    pub write_end: u32,
    /// Offset of the oldest buffer, 0 if the pipe is empty.
    pub read_offset: u32,
}

/// What a hook read around its clock, in this order: `before`, `owner_before`, the time, `owner_after`, `after`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Position read first.
    pub before: Position,
    /// Position read last.
    pub after: Position,
    /// `task_struct` address in `pipe->mutex.owner` just before the clock, low 3 bits masked; 0: free.
    pub owner_before: u64,
    /// The same just after the clock.
    pub owner_after: u64,
}

/// One `pipe_buffer` in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Offset of its first unread byte in the page.
    pub offset: u32,
    /// Unread bytes.
    pub len: u32,
    /// `PIPE_BUF_FLAG_CAN_MERGE`.
    pub can_merge: bool,
    /// `PIPE_BUF_FLAG_PACKET`.
    pub packet: bool,
}

/// Every buffer of the pipe, read while nobody held its mutex.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// `pipe_inode_info.head`.
    pub head: u32,
    /// `pipe_inode_info.tail`.
    pub tail: u32,
    /// The buffers in use, oldest first.
    pub buffers: Vec<Buffer>,
}

/// Bytes that a read got from one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The write.
    pub write: CallId,
    /// How many, never 0.
    pub bytes: u64,
}

/// Bytes in the pipe that nobody has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Who wrote them, if known.
    pub write: Option<CallId>,
    /// How many, never 0.
    pub bytes: u64,
}

/// Why the senders of a read cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Calls overlapped, and what was recorded fits more than one order; or a call whose effect cannot be predicted
    /// took part.
    Overlap,
    /// The bytes may have been in the pipe before the trace began.
    BeforeStart,
    /// Records are missing.
    Lost,
}

/// Something that became known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Where the bytes of a read came from.
    Read {
        /// The read.
        call: CallId,
        /// In order; their bytes add up to what the read returned; neighbours are of different writes.
        parts: Vec<Part>,
        /// Place of its first byte in the stream since the pipe's creation, if known.
        offset: Option<u64>,
        /// Bytes of a packet that did not fit and are gone, if known.
        discarded: Option<u64>,
    },
    /// The senders of a read cannot be known.
    Unknown {
        /// The read.
        call: CallId,
        /// The reason.
        why: Why,
    },
    /// A write that put bytes.
    Write {
        /// The write.
        call: CallId,
        /// Place of its first byte in the stream since the pipe's creation, if known.
        offset: Option<u64>,
    },
}

impl Sample {
    /// The state was exactly this at the sample's time.
    pub(super) fn exact(&self) -> Option<&Position> {
        (self.before == self.after && self.owner_before == 0 && self.owner_after == 0).then_some(&self.before)
    }

    /// The pipe was exactly empty.
    pub(super) fn is_empty(&self) -> bool {
        self.exact().is_some_and(|position| position.head == position.tail)
    }
}
