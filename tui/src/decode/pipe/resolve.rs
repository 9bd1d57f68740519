//! Completing events with what became known of whose bytes are whose.
//!
//! Invariant: where somebody may have moved bytes unseen, nothing is claimed, whatever was counted.

use super::super::{
    Decoder,
    descriptor::Key,
    pipe_order::{Resolved, Why},
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
        let known: Vec<Resolved> = pipe.order.resolved().collect();
        self.answer(key, known);
    }

    /// Completes the events of these calls.
    pub(super) fn answer(&mut self, key: Key, known: Vec<Resolved>) {
        for resolved in known {
            let Some(pipe) = self.channels.pipe(key) else { return };
            let call = match &resolved {
                Resolved::Read { call, .. } | Resolved::Unknown { call, .. } | Resolved::Write { call, .. } => *call,
            };
            let obstacle = pipe.obstacle();
            let Some(place) = pipe.waiting.remove(&call) else { continue };
            self.outbox.complete(place, |event| {
                let (Kind::Send(transfer) | Kind::Recv(transfer)) = &mut event.kind else { return };
                complete(transfer, resolved, obstacle);
            });
        }
    }
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
