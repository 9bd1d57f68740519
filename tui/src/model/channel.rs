//! Channels and who holds which end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::ProcessKey;
use crate::event::{ChannelId, ChannelType, End, Nanos, Transfer};

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
    /// Of a connection of which only one end was seen so far: the address of the other one.
    pub far: Option<String>,
    /// Both ends were seen.
    joined: bool,
    /// Bytes it can hold.
    pub capacity: Option<u64>,
    /// Buffers it can hold.
    pub slots: Option<u32>,
    /// Bytes in it, as last sampled; of a connection, in both directions.
    pub fill: Option<u64>,
    /// Datagrams in the queue of its receiver, after the last call that moved one; unknown where several receive.
    pub depth: Option<u64>,
    /// Of a connection: the fill of each direction.
    pub(super) directions: Directions,
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
    /// Of sockets: who has received from whom.
    pub pairs: BTreeSet<(ProcessKey, ProcessKey)>,
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
    /// Samples so far, and how many of them one in `history` stands for.
    samples: u64,
    stride: u64,
}

/// The two sides of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Where bytes go in.
    Send,
    /// Where bytes come out.
    Receive,
}

/// What is in a connection, for each direction, by the inode of the end that sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directions(BTreeMap<u64, u64>);

impl Directions {
    /// Bytes in the channel after a transfer that left `fill` in its direction: of a connection, in both.
    pub fn after(&mut self, side: Side, transfer: &Transfer, fill: u64) -> u64 {
        let Some(way) = transfer.way.filter(|_| transfer.mechanism.is_socket()) else { return fill };
        let sender = match side {
            Side::Send => Some(way.own),
            Side::Receive => self.0.keys().copied().find(|sender| *sender != way.own),
        };
        if let Some(sender) = sender {
            self.0.insert(sender, fill);
        }
        self.0.values().fold(0, |sum, fill| sum.saturating_add(*fill))
    }
}

/// Fill samples kept; beyond, every other one is dropped.
const HISTORY: usize = 512;

impl Channel {
    pub(super) fn new(id: ChannelId, mechanism: ChannelType, index: u32, t: Nanos) -> Self {
        Self {
            id,
            mechanism,
            index,
            born: t,
            gone: None,
            far: None,
            joined: false,
            capacity: None,
            slots: None,
            fill: None,
            depth: None,
            directions: Directions::default(),
            slots_used: None,
            history: VecDeque::new(),
            holders: BTreeMap::new(),
            senders: BTreeMap::new(),
            receivers: BTreeMap::new(),
            pairs: BTreeSet::new(),
            blocked_sending: 0,
            blocked_receiving: 0,
            high_water: 0,
            unknown: 0,
            eof: false,
            samples: 0,
            stride: 1,
        }
    }

    /// How full it is, from 0 to 1: bytes or buffers, whichever leaves less room.
    pub fn level(&self) -> Option<f64> {
        let part = |used: u64, all: u64| (all > 0).then(|| (used as f64 / all as f64).min(1.0));
        let bytes = self.fill.zip(self.capacity).and_then(|(used, all)| part(used, all));
        let slots = self.slots_used.zip(self.slots).and_then(|(used, all)| part(used.into(), all.into()));
        match (bytes, slots) {
            (Some(bytes), Some(slots)) => Some(bytes.max(slots)),
            (one, other) => one.or(other),
        }
    }

    /// One end was joined with another one, which is at that address.
    pub(super) fn join(&mut self, address: Option<&str>) {
        self.joined |= self.far.is_some();
        self.far = address.filter(|_| !self.joined).map(str::to_owned);
    }

    pub(super) fn sample(&mut self, t: Nanos, fill: u64) {
        self.fill = Some(fill);
        self.high_water = self.high_water.max(fill);
        // The newest is always there; it stays only if it is one that stands for `stride` of them.
        if self.samples > 0 && !(self.samples - 1).is_multiple_of(self.stride) {
            self.history.pop_back();
        }
        self.history.push_back((t, fill));
        self.samples += 1;
        if self.history.len() > HISTORY {
            let mut place = 0_usize;
            self.history.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.stride = self.stride.saturating_mul(2);
        }
    }

    pub(super) fn charge(&mut self, side: Side, ns: u64) {
        let total = match side {
            Side::Send => &mut self.blocked_sending,
            Side::Receive => &mut self.blocked_receiving,
        };
        *total = total.saturating_add(ns);
    }

    pub(super) fn count(&mut self, side: Side, key: ProcessKey, bytes: u64, t: Nanos) {
        let users = match side {
            Side::Send => &mut self.senders,
            Side::Receive => &mut self.receivers,
        };
        let hold = users.entry(key).or_default();
        *hold = Hold { calls: hold.calls.saturating_add(1), bytes: hold.bytes.saturating_add(bytes), last: t };
    }
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
