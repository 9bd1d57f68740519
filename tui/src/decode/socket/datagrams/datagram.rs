//! A datagram, as the one who sent it and the one who received it tell of it, and whether both can mean the same.

use std::net::SocketAddr;

use crate::event::{Arrival, OpId, Origin};

use super::super::super::outbox::Place;

/// A datagram that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The call.
    pub op: OpId,
    /// Its process.
    pub pid: u32,
    /// When it was entered.
    pub entered: u64,
    /// When it returned.
    pub returned: u64,
    /// From where.
    pub from: SocketAddr,
    /// Where to.
    pub to: SocketAddr,
    /// Its length.
    pub bytes: u64,
    /// Its first bytes.
    pub payload: Vec<u8>,
    /// The call has sent more than is told.
    pub partial: bool,
}

impl Sent {
    /// Who received it knows this.
    pub fn known(&self, received: &Received, arrival: Option<Arrival>) -> Known {
        let origin = Origin { op: self.op, pid: self.pid, host: None, bytes: received.bytes };
        Known { origin, cut: self.bytes.saturating_sub(received.bytes), arrival }
    }

    /// Whether it may have gone from where one came to where it was received.
    pub fn leads_to(&self, received: &Received) -> bool {
        let is = |one: SocketAddr, other: SocketAddr| {
            one.port() == other.port() && (one.ip() == other.ip() || one.ip().is_unspecified())
        };
        received.from.is_none_or(|from| is(self.from, from)) && (is(self.to, received.at) || is(received.at, self.to))
    }

    /// Whether these can be its bytes.
    pub fn fits(&self, received: &Received) -> bool {
        let shared = self.payload.len().min(received.payload.len());
        let is_whole = self.bytes == received.bytes || received.bytes == received.room && self.bytes > received.room;
        is_whole && self.payload.get(..shared) == received.payload.get(..shared)
    }

    /// Whether it can have come there by then, without having left the machine.
    pub fn arrives_at(&self, received: &Received) -> bool {
        let Some(from) = received.from else { return false };
        self.entered < received.time && arrives(self.to, received.at, from)
    }
}

/// Whether a datagram to `to` gets to a socket bound to `at`, coming from `from`: only if it cannot have left the machine.
pub fn arrives(to: SocketAddr, at: SocketAddr, from: SocketAddr) -> bool {
    let own = to.ip().is_loopback() || to.ip().is_multicast() || to.ip() == from.ip();
    to.port() == at.port() && (to.ip() == at.ip() || at.ip().is_unspecified() && own)
}

/// A datagram that was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its event.
    pub place: Place,
    /// When the call returned.
    pub time: u64,
    /// Where it came from; `None`: nobody asked.
    pub from: Option<SocketAddr>,
    /// The address of the socket that got it.
    pub at: SocketAddr,
    /// Bytes received, and room for them.
    pub bytes: u64,
    /// See `bytes`.
    pub room: u64,
    /// The first of them.
    pub payload: Vec<u8>,
    /// It stayed (`MSG_PEEK`).
    pub peek: bool,
    /// Nobody else reads from the socket.
    pub alone: bool,
    /// It was the first in a queue whose datagrams are told of.
    pub queued: bool,
    /// Nothing came to the socket unseen before anything was received.
    pub born: bool,
}

/// Which datagram it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its send.
    pub origin: Origin,
    /// Bytes for which there was no room.
    pub cut: u64,
    /// How it came.
    pub arrival: Option<Arrival>,
}
