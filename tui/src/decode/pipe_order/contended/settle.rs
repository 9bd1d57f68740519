//! What all hypotheses share is known.
//!
//! Invariant: each call that ended with bytes is answered once, at the latest [`super::PATIENCE`] steps later.

use super::super::{CallId, Leftover, Resolved, Side, Why, hypothesis::Outcome, solo::leftover};
use super::Contended;

impl Contended {
    /// Reports what all hypotheses share, and decides what has waited for more than `patience` steps.
    pub(super) fn settle(&mut self, patience: u64, out: &mut Vec<Resolved>) {
        if self.pending.is_empty() {
            return;
        }
        let hypotheses = &mut self.hypotheses;
        let now = self.worked_off;
        self.pending.retain(|pending| {
            let late = now.saturating_sub(pending.since) >= patience;
            let mut outcomes = hypotheses.iter().map(|h| h.outcomes.iter().find(|(id, _)| *id == pending.call));
            let Some(Some((_, first))) = outcomes.next() else {
                out.push(undecided(pending.call, pending.side, Why::Overlap));
                return false;
            };
            let mut agreed = first.clone();
            for outcome in outcomes {
                match outcome {
                    Some((_, outcome)) if *outcome == agreed => {}
                    _ if !late => return true,
                    Some((_, outcome)) => agreed = agreed.agreed(outcome),
                    None => agreed = agreed.agreed(&Outcome::Write { offset: None }),
                }
            }
            out.push(report(pending.call, agreed));
            for hypothesis in hypotheses.iter_mut() {
                hypothesis.outcomes.retain(|(id, _)| *id != pending.call);
            }
            false
        });
    }

    pub(in super::super) fn leftover(&self) -> Option<Vec<Leftover>> {
        let (first, others) = self.hypotheses.split_first()?;
        let same_length = others.iter().all(|other| other.content.bytes() == first.content.bytes());
        let agreed = others.iter().fold(first.content.clone(), |agreed, other| agreed.agreed(&other.content));
        same_length.then(|| leftover(&agreed))
    }
}

pub(super) fn undecided(call: CallId, side: Side, why: Why) -> Resolved {
    match side {
        Side::Read => Resolved::Unknown { call, why },
        Side::Write => Resolved::Write { call, offset: None },
    }
}

fn report(call: CallId, outcome: Outcome) -> Resolved {
    match outcome {
        Outcome::Write { offset } => Resolved::Write { call, offset },
        Outcome::Read { content, offset, discarded } => match content.parts() {
            Ok(parts) => Resolved::Read { call, parts, offset, discarded },
            Err(why) => Resolved::Unknown { call, why },
        },
    }
}
