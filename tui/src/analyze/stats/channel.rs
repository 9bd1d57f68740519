//! Per channel: what went through, how long it took, and how long who waited at either side.
//!
//! A message's latency is from the entry of its send to the return of a receive that got bytes of it.

use foldhash::HashMap;

use serde::Serialize;

use super::Latency;
use crate::event::{Arrival, ChannelId, ChannelType, Event, Kind, Nanos, OpId, Transfer};

/// A row.
#[derive(Clone, Debug, Serialize)]
pub struct ChannelStats {
    /// Which.
    pub channel: ChannelId,
    /// Its mechanism.
    #[serde(rename = "type")]
    pub mechanism: ChannelType,
    /// Sends that moved something.
    pub sends: u64,
    /// Receives that moved something.
    pub receives: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Calls that failed.
    pub failed: u64,
    /// From send to receive, one for each pair that is known.
    pub latency: Latency,
    /// Receives whose senders are not known.
    pub from_unknown: u64,
    /// ns that senders were BLOCKED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub senders_blocked_ns: Option<u64>,
    /// ns that receivers were BLOCKED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receivers_blocked_ns: Option<u64>,
    /// The most bytes that were in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_water: Option<u64>,
    /// Bytes it can hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
}

/// A send some bytes of which have not been received.
#[derive(Clone, Copy, Debug)]
struct Sent {
    began: Nanos,
    left: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    rows: Vec<ChannelStats>,
    places: HashMap<ChannelId, usize>,
    sent: HashMap<OpId, Sent>,
    /// Receives of sends that have not returned yet: place of the row, when, how many bytes.
    early: HashMap<OpId, Vec<(usize, Nanos, u64)>>,
}

impl Channels {
    pub(super) fn apply(&mut self, event: &Event, counted: bool) {
        match &event.kind {
            Kind::Channel(change) if change.error.is_none() => {
                let place = self.place(&change.channel, change.mechanism);
                if let Some(row) = self.rows.get_mut(place) {
                    row.capacity = change.capacity.or(row.capacity);
                }
            }
            Kind::Send(send) => {
                let place = self.place(&send.channel, send.mechanism);
                self.count(place, send, true, counted);
                self.remember(event.t, send);
            }
            Kind::Recv(recv) => {
                let place = self.place(&recv.channel, recv.mechanism);
                self.count(place, recv, false, counted);
                // What is received of it once more is not what is left of it.
                let doubled = recv.arrival == Some(Arrival::Duplicate);
                for origin in recv.from.iter().flatten() {
                    self.follow(place, event.t, origin.op, origin.bytes, counted, recv.peek || doubled);
                }
            }
            _ => {}
        }
    }

    fn place(&mut self, id: &ChannelId, mechanism: ChannelType) -> usize {
        if let Some(place) = self.places.get(id) {
            return *place;
        }
        self.places.insert(id.clone(), self.rows.len());
        self.rows.push(ChannelStats {
            channel: id.clone(),
            mechanism,
            sends: 0,
            receives: 0,
            sent: 0,
            received: 0,
            failed: 0,
            latency: Latency::default(),
            from_unknown: 0,
            senders_blocked_ns: None,
            receivers_blocked_ns: None,
            high_water: None,
            capacity: None,
        });
        self.rows.len() - 1
    }

    fn count(&mut self, place: usize, transfer: &Transfer, send: bool, counted: bool) {
        let Some(row) = self.rows.get_mut(place).filter(|_| counted) else { return };
        let bytes = if transfer.peek { 0 } else { transfer.bytes.unwrap_or(0) };
        let moved = u64::from(bytes > 0);
        let (calls, total, blocked) = if send {
            (&mut row.sends, &mut row.sent, &mut row.senders_blocked_ns)
        } else {
            (&mut row.receives, &mut row.received, &mut row.receivers_blocked_ns)
        };
        *calls += moved;
        *total = total.saturating_add(bytes);
        if let Some(ns) = transfer.call.blocked_ns {
            *blocked = Some(blocked.unwrap_or(0).saturating_add(ns));
        }
        row.failed += u64::from(transfer.error.is_some());
        row.from_unknown += u64::from(transfer.from_unknown.is_some());
        row.high_water = row.high_water.max(transfer.fill);
    }

    fn remember(&mut self, t: Nanos, send: &Transfer) {
        let began = Nanos(t.0.saturating_sub(send.call.took_ns));
        let mut left = send.bytes.unwrap_or(0);
        for (place, received, bytes) in self.early.remove(&send.call.op).into_iter().flatten() {
            left = left.saturating_sub(bytes);
            if let Some(row) = self.rows.get_mut(place) {
                row.latency.record(received.since(began));
            }
        }
        if left > 0 {
            self.sent.insert(send.call.op, Sent { began, left });
        }
    }

    fn follow(&mut self, place: usize, t: Nanos, op: OpId, bytes: u64, counted: bool, peek: bool) {
        let Some(sent) = self.sent.get_mut(&op) else {
            if counted && !peek {
                self.early.entry(op).or_default().push((place, t, bytes));
            }
            return;
        };
        let began = sent.began;
        if !peek {
            sent.left = sent.left.saturating_sub(bytes);
            if sent.left == 0 {
                self.sent.remove(&op);
            }
        }
        if let Some(row) = self.rows.get_mut(place).filter(|_| counted) {
            row.latency.record(t.since(began));
        }
    }

    pub(super) fn table(&self) -> Vec<ChannelStats> {
        self.rows.iter().filter(|row| row.sends + row.receives + row.failed > 0).cloned().collect()
    }
}
