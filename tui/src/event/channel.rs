//! Channels: their life, and who holds which end.

use serde::Serialize;

use super::{Call, ChannelId, ChannelType};

/// A channel, or one descriptor of it, changed. The event's task is who holds the descriptor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelEvent {
    /// Which channel.
    pub channel: ChannelId,
    /// Its mechanism.
    #[serde(rename = "type")]
    pub mechanism: ChannelType,
    /// What changed.
    pub event: ChannelChange,
    /// The descriptor it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// Both descriptors that pipe(2) returned: read end, write end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fds: Option<[i32; 2]>,
    /// For a duplicate, the descriptor it was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_fd: Option<i32>,
    /// Which end that descriptor is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Path or name, escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Permissions, octal, as in ls(1) and ipcs(1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The user id of its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// The key it is found by (System V), hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Bytes the channel can hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// Buffers (of a page each) the channel can hold; of a POSIX queue, messages; semaphores of a set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Connections that may wait to be accepted (listen(2)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<u32>,
    /// A socket's domain: AF_UNIX, AF_INET, AF_INET6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<&'static str>,
    /// A socket's protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'static str>,
    /// A socket's own address, escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The address at the other end, escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Where the process has the memory, hexadecimal (shmat(2)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How often the memory is attached, by anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached: Option<u64>,
    /// Which semaphore of a set was set (SETVAL, semctl(2)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub semaphore: Option<u16>,
    /// To what; of an eventfd what it counts, of a timerfd the ns until it expires first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    /// Of a timerfd, how often it expires after that, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_ns: Option<u64>,
    /// Whom it came from: parent, sender of the descriptor; for a connection, who is at the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerPid>,
    /// Why the change failed: an errno name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// The call that did it; absent for what fork, exec and exit do.
    #[serde(flatten)]
    pub call: Option<Call>,
}

impl ChannelEvent {
    /// A change of which nothing more is known.
    pub fn new(channel: ChannelId, mechanism: ChannelType, event: ChannelChange) -> Self {
        Self {
            channel,
            mechanism,
            event,
            fd: None,
            fds: None,
            of_fd: None,
            end: None,
            name: None,
            mode: None,
            owner: None,
            key: None,
            capacity: None,
            slots: None,
            backlog: None,
            domain: None,
            protocol: None,
            local: None,
            remote: None,
            address: None,
            attached: None,
            semaphore: None,
            value: None,
            interval_ns: None,
            peer: None,
            error: None,
            call: None,
        }
    }
}

/// Another process, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PeerPid {
    /// Its id.
    #[serde(serialize_with = "super::as_number")]
    pub pid: u32,
}

/// What changed about a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelChange {
    /// It came into being (pipe(2), socket(2), msgget(2)); `fds` are the ends of a pair.
    Created,
    /// A descriptor was opened by name, or an object found by its key.
    Opened,
    /// A socket got an address (bind(2)).
    Bound,
    /// A socket accepts connections (listen(2)).
    Listening,
    /// A connection was made (connect(2)).
    Connected,
    /// A connection was taken from the queue (accept(2)).
    Accepted,
    /// A descriptor was copied: dup(2), F_DUPFD, pidfd_getfd(2).
    Duplicated,
    /// A child got the descriptor from its parent at fork(2).
    Inherited,
    /// The descriptor came through a socket (SCM_RIGHTS, unix(7)).
    Passed,
    /// It was held, or the memory mapped, when the trace began or by shmat(2), mmap(2).
    Attached,
    /// The memory was let go (shmdt(2), munmap(2)).
    Detached,
    /// The capacity changed (F_SETPIPE_SZ, fcntl(2)).
    Resized,
    /// Owner, permissions or limits changed (IPC_SET, mq_setattr(3), setsockopt(2)).
    Changed,
    /// One direction of a socket was closed (shutdown(2)).
    Shutdown,
    /// It could not be opened or connected to: `error` says why.
    Refused,
    /// The connection was reset by the other end.
    Reset,
    /// A message was dropped: the receiver had no room.
    Dropped,
    /// The descriptor was closed, by whatever means.
    Closed,
    /// The object itself was removed (IPC_RMID, mq_unlink(3), unlink(2)).
    Removed,
}

impl ChannelChange {
    /// All, in the order of a life.
    pub const ALL: [Self; 19] = [
        Self::Created,
        Self::Opened,
        Self::Bound,
        Self::Listening,
        Self::Connected,
        Self::Accepted,
        Self::Duplicated,
        Self::Inherited,
        Self::Passed,
        Self::Attached,
        Self::Detached,
        Self::Resized,
        Self::Changed,
        Self::Shutdown,
        Self::Refused,
        Self::Reset,
        Self::Dropped,
        Self::Closed,
        Self::Removed,
    ];

    /// What a process does, in the imperative, for a line.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Created => "create",
            Self::Opened => "open",
            Self::Bound => "bind",
            Self::Listening => "listen on",
            Self::Connected => "connect",
            Self::Accepted => "accept",
            Self::Duplicated => "duplicate",
            Self::Inherited => "inherit",
            Self::Passed => "get",
            Self::Attached => "hold",
            Self::Detached => "detach",
            Self::Resized => "resize",
            Self::Changed => "change",
            Self::Shutdown => "shut down",
            Self::Refused => "is refused",
            Self::Reset => "is reset on",
            Self::Dropped => "drop on",
            Self::Closed => "close",
            Self::Removed => "remove",
        }
    }
}

/// Which end of a channel a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Open for reading.
    R,
    /// Open for writing.
    W,
    /// Both.
    Rw,
}

impl End {
    /// Bytes can come out here.
    pub fn reads(self) -> bool {
        self != Self::W
    }

    /// Bytes can go in here.
    pub fn writes(self) -> bool {
        self != Self::R
    }
}
