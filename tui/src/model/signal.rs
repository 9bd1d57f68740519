//! Signal instances, joined from their lines.

use crate::event::{Nanos, Phase, SignalEvent, SignalId};

/// One signal instance as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalRow {
    /// Which instance.
    pub id: SignalId,
    /// Every step so far, in order, with its time.
    pub steps: Vec<(Nanos, SignalEvent)>,
}

impl SignalRow {
    /// The latest step.
    pub fn phase(&self) -> Option<Phase> {
        self.steps.last().map(|(_, event)| event.phase)
    }
}
