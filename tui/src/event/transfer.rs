//! Sends and receives: bytes through a channel, and whose they are.

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::{Call, ChannelId, ChannelType, Host, OpId, text};

/// A send or a receive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transfer {
    /// Through which channel.
    pub channel: ChannelId,
    /// Its mechanism.
    #[serde(rename = "type")]
    pub mechanism: ChannelType,
    /// By which descriptor; System V queues have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// The call.
    #[serde(flatten)]
    pub call: Call,
    /// Bytes asked for; absent where the vector was too long to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<u64>,
    /// Bytes moved, if the call succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The errno name, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// The descriptor (or the call) would not block.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nonblocking: bool,
    /// Place of the first byte in the byte stream since the channel was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// A System V message's type, msgop(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg_type: Option<i64>,
    /// A POSIX message's priority, mq_send(3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// The address a datagram was sent to, escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Bytes in the channel right after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill: Option<u64>,
    /// Buffers in use right after; of a POSIX queue, messages in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots_used: Option<u32>,
    /// Buffers there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Messages in the channel right after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    /// The first bytes, escaped, up to the payload limit.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "escaped")]
    pub payload: Option<Vec<u8>>,
    /// What was added to an eventfd, or taken from it; how often a timerfd had expired; how many a futex call woke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
    /// What an eventfd counts right after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What semop(2) did to which semaphores: a send has those that give, a receive those that take or wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Vec<SemOperation>>,
    /// For a receive: the sends whose bytes these are, in order; of semaphores, the call that let this one go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Vec<Origin>>,
    /// For a receive: why `from` cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_unknown: Option<FromUnknown>,
    /// A receive of nothing because nobody holds the other end any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub eof: bool,
    /// The bytes stayed in the channel (tee(2)).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub peek: bool,
    /// A datagram that did not come the way it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival: Option<Arrival>,
    /// Between which ends of a socket's channel; not told, for what follows whole conversations.
    #[serde(skip)]
    pub way: Option<Way>,
    /// Which bytes of a TCP connection these are; not told, for those who join the ends of one on two hosts.
    #[serde(skip)]
    pub stream: Option<Box<Stream>>,
    /// Bytes of a packet that were cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discarded: Option<u64>,
}

impl Transfer {
    /// A call of which nothing more is known.
    pub fn new(channel: ChannelId, mechanism: ChannelType, fd: Option<i32>, call: Call) -> Self {
        Self {
            channel,
            mechanism,
            fd,
            call,
            requested: None,
            bytes: None,
            error: None,
            nonblocking: false,
            offset: None,
            msg_type: None,
            priority: None,
            to: None,
            fill: None,
            slots_used: None,
            slots: None,
            depth: None,
            payload: None,
            value: None,
            count: None,
            operations: None,
            from: None,
            from_unknown: None,
            eof: false,
            peek: false,
            arrival: None,
            way: None,
            stream: None,
            discarded: None,
        }
    }
}

#[expect(clippy::ref_option, reason = "the signature serde asks for")]
fn escaped<S: Serializer>(payload: &Option<Vec<u8>>, s: S) -> Result<S::Ok, S::Error> {
    match payload {
        Some(bytes) => s.serialize_str(&text::escape(bytes)),
        None => s.serialize_none(),
    }
}

/// One operation of semop(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SemOperation {
    /// Which semaphore of the set.
    pub semaphore: u16,
    /// What is added to it; 0: waits until it is 0.
    pub change: i16,
    /// Its value right after the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<u16>,
    /// The kernel takes it back when the process ends (SEM_UNDO).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
}

/// Which end of a socket's channel a call is about, and which is the other: the inode of the own one for streams, whose
/// channel says the rest; the ports of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    /// The end whose descriptor it is.
    pub own: u64,
    /// The other one; 0: unknown.
    pub other: u64,
}

/// Bytes of one direction of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The sending end's address.
    pub from: SocketAddr,
    /// The receiving end's.
    pub to: SocketAddr,
    /// TCP's count of bytes when a send began and when it was over; of a receive, at its first byte (in the first).
    pub seq: [u32; 2],
}

/// One send that a receive got bytes of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The sending call.
    pub op: OpId,
    /// Its process.
    #[serde(serialize_with = "super::as_number")]
    pub pid: u32,
    /// Its host, if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// How many of its bytes.
    pub bytes: u64,
}

/// What a network did to a datagram on its way, udp(7): neither is hindered, nor told to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrival {
    /// Its receiver had it before.
    Duplicate,
    /// One that the same socket sent later had come before it.
    Reordered,
}

impl Arrival {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Reordered => "reordered",
        }
    }
}

/// Why the senders of bytes are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromUnknown {
    /// Sends overlapped in time and nothing told their order.
    Overlap,
    /// The sender is not traced.
    External,
    /// They were in the channel before the trace began.
    BeforeStart,
    /// What went in is not what came out (a terminal).
    Transformed,
    /// Events are missing.
    Lost,
}

impl FromUnknown {
    /// As in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::External => "external",
            Self::BeforeStart => "before-start",
            Self::Transformed => "transformed",
            Self::Lost => "lost",
        }
    }
}
