//! Channels and who holds which end.

use std::collections::{BTreeMap, VecDeque};

use super::ProcessKey;
use crate::event::{ChannelId, ChannelType, End, Nanos};

/// A channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Its name.
    pub id: ChannelId,
    /// Its mechanism.
    pub mechanism: ChannelType,
    /// Order of appearance.
    pub index: u32,
    /// When it appeared.
    pub born: Nanos,
    /// When its last holder in the trace let go.
    pub gone: Option<Nanos>,
    /// Bytes it can hold.
    pub capacity: Option<u64>,
    /// Buffers it can hold.
    pub slots: Option<u32>,
    /// Bytes in it, as last sampled.
    pub fill: Option<u64>,
    /// Buffers in use, as last sampled.
    pub slots_used: Option<u32>,
    /// Fill samples, newest last: (time, bytes); a few hundred at most, thinned out evenly.
    pub history: VecDeque<(Nanos, u64)>,
    /// Everybody who holds an end.
    pub holders: BTreeMap<(ProcessKey, i32), End>,
    /// Who has ever sent: calls and bytes.
    pub senders: BTreeMap<ProcessKey, Hold>,
    /// Who has ever received: calls and bytes.
    pub receivers: BTreeMap<ProcessKey, Hold>,
    /// ns that senders were blocked on it.
    pub blocked_sending: u64,
    /// ns that receivers were blocked on it.
    pub blocked_receiving: u64,
    /// The most bytes seen in it.
    pub high_water: u64,
    /// Receives whose senders could not be told.
    pub unknown: u64,
    /// A receiver has seen its end.
    pub eof: bool,
}

/// What one process did with a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Successful calls.
    pub calls: u64,
    /// Bytes.
    pub bytes: u64,
    /// The last one.
    pub last: Nanos,
}
