//! Signal instances, joined from their lines; what processes do about signals, and which wait.

use super::{ProcessKey, World};
use crate::event::{Action, Disposition, Dispositions, Nanos, Phase, Scope, SignalEvent, SignalId, SignalSet};

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

/// Whether an instance of that phase still waits to be taken.
fn is_waiting(phase: Phase) -> bool {
    matches!(phase, Phase::Generated | Phase::Pending)
}

impl World {
    /// The signals that wait to be taken: those for the process as a whole, or those for one thread of it.
    pub fn pending(&self, pid: u32, tid: Option<u32>) -> SignalSet {
        let rows = self.signals.iter().filter_map(|row| row.steps.last());
        let waiting = rows.filter(|(_, step)| {
            let directed = step.to.tid.filter(|_| step.scope == Some(Scope::Thread));
            is_waiting(step.phase) && !step.to.external && step.to.pid == pid && directed == tid
        });
        waiting.map(|(_, step)| step.signo).collect()
    }

    /// The process does something else about a signal from now on.
    pub(super) fn change_disposition(&mut self, key: ProcessKey, disposition: &Disposition) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        if !(1..=64).contains(&disposition.signo) {
            return;
        }
        if matches!(disposition.action, Action::Handler | Action::Ignore) {
            process.dispositions.insert(disposition.signo, disposition.clone());
        } else {
            process.dispositions.remove(&disposition.signo);
        }
    }

    /// All of them at once.
    pub(super) fn change_dispositions(&mut self, key: ProcessKey, all: Dispositions) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let of = |set: SignalSet, action| {
            set.iter().map(move |signo| {
                (signo, Disposition { signo, action, handler: None, flags: Vec::new(), mask: SignalSet::default() })
            })
        };
        process.dispositions = of(all.ignored, Action::Ignore).chain(of(all.caught, Action::Handler)).collect();
    }
}
