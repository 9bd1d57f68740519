//! A connection: what went in which direction, and which calls wait for an answer.

use std::collections::VecDeque;

use super::{Message, PENDING, Probe, Step, dbus, http, onc};
use crate::event::{Nanos, Protocol, Rpc};

/// Bytes in which a message's head has to end.
const HEAD: usize = 4096;

/// A call that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Which end called.
    pub(super) side: u64,
    pub(super) id: Option<u32>,
    pub(super) method: Option<String>,
    /// Of its event.
    pub(super) seq: u64,
    /// When its send was entered, ns.
    pub(super) began: u64,
}

impl Pending {
    /// That is its answer, sent at `t`.
    pub(super) fn answered_by(&self, rpc: &mut Rpc, t: Nanos) {
        rpc.method.clone_from(&self.method);
        rpc.call = Some(self.seq);
        rpc.latency_ns = Some(t.0.saturating_sub(self.began));
    }
}

/// A connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    protocol: Option<Protocol>,
    directions: Vec<(u64, Direction)>,
    pending: VecDeque<Pending>,
    /// It goes on in another protocol.
    over: bool,
}

/// What one end has sent.
#[derive(Clone, Debug, Default)]
struct Direction {
    parser: Option<Parser>,
    /// Bytes that belong to a message that is not whole.
    buffer: Vec<u8>,
    /// When the send of the first of them was entered.
    began: u64,
    /// When the last send was.
    entered: u64,
    /// Bytes behind the buffer that were sent and not kept.
    gap: u64,
    /// Bytes that belong to the message before.
    skip: u64,
    /// Where the next send begins in the byte stream.
    next: Option<u64>,
    /// Where a message begins is not known; the next send may begin with one.
    lost: bool,
}

#[derive(Clone, Debug)]
enum Parser {
    Http(http::Parser),
    Dbus(dbus::Parser),
    Onc(onc::Parser),
}

impl Parser {
    fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http => Self::Http(http::Parser::default()),
            Protocol::Dbus => Self::Dbus(dbus::Parser::default()),
            Protocol::OncRpc => Self::Onc(onc::Parser::default()),
        }
    }

    /// `cut`: more bytes of these will not come. `asked`: the method of the call that is answered next.
    fn step(&mut self, bytes: &[u8], cut: bool, asked: Option<&str>) -> Step {
        match self {
            Self::Http(parser) => parser.step(bytes, cut, asked),
            Self::Dbus(parser) => parser.step(bytes, cut),
            Self::Onc(parser) => parser.step(bytes, cut),
        }
    }
}

/// Whose bytes these are; `cut`: more of them will not come.
fn probe(bytes: &[u8], cut: bool) -> Result<Protocol, Probe> {
    let all = [
        (Protocol::Http, http::probe(bytes, cut)),
        (Protocol::Dbus, dbus::probe(bytes)),
        (Protocol::OncRpc, onc::probe(bytes)),
    ];
    match all.iter().find(|(_, probe)| *probe == Probe::Yes) {
        Some((protocol, _)) => Ok(*protocol),
        None if all.iter().any(|(_, probe)| *probe == Probe::Maybe) => Err(Probe::Maybe),
        None => Err(Probe::No),
    }
}

impl Conversation {
    /// So many bytes went out, the first of which were kept.
    pub(super) fn sent(&mut self, side: u64, payload: &[u8], bytes: u64, offset: Option<u64>, entered: u64) {
        if self.over {
            return;
        }
        let is_calm = match self.protocol {
            // What follows unknown bytes may be anything in a body: a request is sent when all before were answered,
            // an answer when there is something to answer.
            Some(Protocol::Http) => self.pending.is_empty() != payload.starts_with(b"HTTP/"),
            _ => true,
        };
        let direction = self.direction(side);
        if let (Some(offset), Some(next)) = (offset, direction.next)
            && offset != next
        {
            direction.lose();
        }
        direction.next = offset.map(|offset| offset.saturating_add(bytes));
        direction.entered = entered;
        if direction.lost {
            if !is_calm {
                return;
            }
            direction.lost = false;
        }
        if direction.buffer.is_empty() {
            direction.began = entered;
        }
        let kept = (payload.len() as u64).min(direction.skip);
        direction.skip -= kept;
        direction.buffer.extend(payload.get(kept as usize..).unwrap_or_default());
        direction.gap = bytes.saturating_sub(payload.len() as u64);
    }

    fn direction(&mut self, side: u64) -> &mut Direction {
        let place = self.directions.iter().position(|(other, _)| *other == side);
        let place = place.unwrap_or_else(|| {
            // A connection has two ends; more are those of somebody who got one anew.
            if self.directions.len() >= 4 {
                self.directions.remove(0);
            }
            self.directions.push((side, Direction::default()));
            self.directions.len() - 1
        });
        // It is there: found, or pushed right now.
        #[expect(clippy::indexing_slicing, reason = "just found or pushed")]
        &mut self.directions[place].1
    }

    /// The next message that is whole, with its protocol and when its first send was entered.
    pub(super) fn next(&mut self, side: u64) -> Option<(Protocol, Message, u64)> {
        if self.over {
            return None;
        }
        loop {
            let asked = self.pending.iter().find(|call| call.side != side).and_then(|call| call.method.clone());
            let known = self.protocol;
            let direction = self.direction(side);
            let cut = direction.gap > 0 || direction.buffer.len() >= HEAD;
            if direction.lost || direction.buffer.is_empty() {
                direction.pass_gap();
                return None;
            }
            let protocol = match known.map_or_else(|| probe(&direction.buffer, cut), Ok) {
                Ok(protocol) => protocol,
                Err(probe) => {
                    if probe == Probe::No || cut {
                        direction.lose();
                        direction.pass_gap();
                    }
                    return None;
                }
            };
            let parser = direction.parser.get_or_insert_with(|| Parser::new(protocol));
            let step = parser.step(&direction.buffer, cut, asked.as_deref());
            let (began, entered) = (direction.began, direction.entered);
            match step {
                Step::Need if !cut => return None,
                Step::Need | Step::Lost => {
                    direction.lose();
                    direction.pass_gap();
                    return None;
                }
                Step::Took { len, message } => {
                    let here = (direction.buffer.len() as u64).min(len.max(1));
                    direction.buffer.drain(..here as usize);
                    direction.skip = len.saturating_sub(here);
                    direction.began = entered;
                    direction.pass_gap();
                    self.protocol = Some(protocol);
                    if let Some(message) = message {
                        self.over = message.last;
                        return Some((protocol, message, began));
                    }
                }
            }
        }
    }

    /// Bytes kept.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.directions.iter().map(|(_, direction)| direction.buffer.len()).sum()
    }

    /// Bytes are missing somewhere.
    pub(super) fn lose(&mut self) {
        for (_, direction) in &mut self.directions {
            direction.lose();
        }
        // By their order alone answers cannot be told apart any more.
        if self.protocol == Some(Protocol::Http) {
            self.pending.clear();
        }
    }

    /// A call waits for its answer.
    pub(super) fn wait(&mut self, call: Pending) {
        let is_again = |other: &Pending| other.side == call.side && other.id.is_some() && other.id == call.id;
        // Sent again: what it began with counts.
        if self.pending.iter().any(is_again) {
            return;
        }
        if self.pending.len() >= PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back(call);
    }

    /// The call that is answered by the other end: the one of that number, or the oldest.
    pub(super) fn answers(&mut self, side: u64, id: Option<u32>) -> Option<Pending> {
        let place = self.pending.iter().position(|call| call.side != side && call.id == id)?;
        self.pending.remove(place)
    }
}

impl Direction {
    fn lose(&mut self) {
        self.buffer.clear();
        self.skip = 0;
        self.lost = true;
        self.parser = None;
    }

    /// What was not kept is behind the buffer once that is empty.
    fn pass_gap(&mut self) {
        if self.gap == 0 || !self.buffer.is_empty() {
            return;
        }
        match self.skip.checked_sub(self.gap) {
            Some(rest) => self.skip = rest,
            None => self.lose(),
        }
        self.gap = 0;
    }
}
