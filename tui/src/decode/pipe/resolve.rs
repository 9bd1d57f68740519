//! Completing events with what became known of whose bytes are whose.
//!
//! Invariant: where somebody may have moved bytes unseen, nothing is claimed, whatever was counted.

use foldhash::HashMap;

use super::super::{
    Decoder,
    descriptor::Key,
    outbox::{Outbox, Place},
    pipe_order::{CallId, Resolved, Why},
};
use super::{convert::origin, openers::Verdict};
use crate::event::{FromUnknown, Kind, Transfer};

impl Decoder {
    pub(in crate::decode) fn finish_pipes(&mut self) {
        let keys: Vec<Key> = self.channels.pipes().map(|(key, _)| *key).collect();
        for key in keys {
            self.resolve_pipe(key, true);
        }
    }

    /// Everything up to a moment has been told: pipes that fell quiet can be worked off.
    pub fn advance(&mut self, time: u64) {
        let keys: Vec<Key> =
            self.channels.pipes().filter(|(_, p)| !p.waiting.is_empty()).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(pipe) = self.channels.pipe(key) {
                pipe.order.advance(time);
            }
            self.resolve_pipe(key, false);
        }
    }

    /// Completes the events whose facts have become known.
    pub(in crate::decode) fn resolve_pipe(&mut self, key: Key, all: bool) {
        let now = self.now;
        let Some(pipe) = self.channels.pipe(key) else { return };
        if all {
            pipe.order.flush();
        }
        match pipe.openers.verdict(now) {
            Verdict::Ours => {}
            Verdict::Open if !all => return,
            Verdict::Open | Verdict::Others => pipe.outside = true,
        }
        let obstacle = pipe.obstacle();
        for resolved in pipe.order.resolved() {
            answer(&mut pipe.waiting, &mut self.outbox, resolved, obstacle);
        }
    }

    /// Completes the event of one call on a pipe.
    pub(super) fn answer(&mut self, key: Key, resolved: Resolved) {
        let Some(pipe) = self.channels.pipe(key) else { return };
        let obstacle = pipe.obstacle();
        answer(&mut pipe.waiting, &mut self.outbox, resolved, obstacle);
    }
}

/// Completes an event, if it still waits.
fn answer(
    waiting: &mut HashMap<CallId, Place>,
    outbox: &mut Outbox,
    resolved: Resolved,
    obstacle: Option<FromUnknown>,
) {
    let (Resolved::Read { call, .. } | Resolved::Unknown { call, .. } | Resolved::Write { call, .. }) = &resolved;
    let Some(place) = waiting.remove(call) else { return };
    outbox.complete(place, |event| {
        let (Kind::Send(transfer) | Kind::Recv(transfer)) = &mut event.kind else { return };
        complete(transfer, resolved, obstacle);
    });
}

/// Says of a transfer what has become known.
fn complete(transfer: &mut Transfer, resolved: Resolved, obstacle: Option<FromUnknown>) {
    match (resolved, obstacle) {
        (Resolved::Write { .. }, Some(_)) => {}
        (Resolved::Write { offset, .. }, None) => transfer.offset = offset,
        (_, Some(why)) => transfer.from_unknown = Some(why),
        (Resolved::Read { parts, offset, discarded, .. }, None) => {
            transfer.from = Some(parts.iter().map(|part| origin(part.write, part.bytes)).collect());
            transfer.offset = offset;
            transfer.discarded = discarded.filter(|&bytes| bytes > 0);
        }
        (Resolved::Unknown { why, .. }, None) => {
            transfer.from_unknown = Some(match why {
                Why::Overlap => FromUnknown::Overlap,
                Why::BeforeStart => FromUnknown::BeforeStart,
                Why::Lost => FromUnknown::Lost,
            });
        }
    }
}
