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
    /// Bytes the channel can hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// Buffers (of a page each) the channel can hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Whom it came from: parent, sender of the descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerPid>,
    /// Why the change failed: an errno name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// The call that did it; absent for what fork, exec and exit do.
    #[serde(flatten)]
    pub call: Option<Call>,
}

/// Another process, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PeerPid {
    /// Its id.
    pub pid: u32,
}

/// What changed about a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelChange {
    /// It came into being (pipe(2)); `fds` are the ends.
    Created,
    /// A descriptor was opened by name.
    Opened,
    /// A descriptor was copied: dup(2), F_DUPFD, pidfd_getfd(2).
    Duplicated,
    /// A child got the descriptor from its parent at fork(2).
    Inherited,
    /// The descriptor came through a socket (SCM_RIGHTS, unix(7)).
    Passed,
    /// The descriptor was there when the trace began.
    Attached,
    /// The capacity changed (F_SETPIPE_SZ, fcntl(2)).
    Resized,
    /// The descriptor was closed, by whatever means.
    Closed,
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
