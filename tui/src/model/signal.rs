//! Signal instances, joined from their lines; what processes do about signals, and which wait.

use super::{ProcessKey, World};
use crate::event::{
    Action, Disposition, Dispositions, Nanos, Phase, Scope, SignalEvent, SignalId, SignalSet, StateChange, Task,
    ThreadState, WokenBy,
};

/// One signal instance as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalRow {
    /// Which instance.
    pub id: SignalId,
    /// Every step so far, in order, with its time.
    pub steps: Vec<(Nanos, SignalEvent)>,
    /// What the scheduler did with threads that could take it, until it was taken.
    pub stirs: Vec<Stir>,
}

/// A thread became READY or RUNNING while a signal for it was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stir {
    /// When.
    pub t: Nanos,
    /// Which thread.
    pub tid: u32,
    /// READY or RUNNING.
    pub state: ThreadState,
    /// READY: by whom.
    pub woken_by: Option<WokenBy>,
}

/// Stirs of an instance; what comes later is not due to it.
const STIRS: usize = 8;
/// Signals of a process that are under way at once; beyond, stirs are not noted.
const UNDER_WAY: usize = 64;

impl SignalRow {
    /// The latest step.
    pub fn phase(&self) -> Option<Phase> {
        self.steps.last().map(|(_, event)| event.phase)
    }

    /// When that thread first entered that state since the signal was generated.
    pub fn stir(&self, tid: u32, state: ThreadState) -> Option<&Stir> {
        self.stirs.iter().find(|stir| stir.tid == tid && stir.state == state)
    }
}

/// Whether an instance of that phase still waits to be taken.
fn is_waiting(phase: Phase) -> bool {
    matches!(phase, Phase::Generated | Phase::Pending)
}

impl World {
    /// A step was taken: it is under way from its generation until it is taken or gone.
    pub(super) fn note_step(&mut self, step: &SignalEvent) {
        // What waits for the mask, or for nothing, makes nobody READY.
        let stirs = !step.to.external && !step.blocked_by_mask && step.delivery.action != Some(Action::Ignore);
        if step.phase == Phase::Generated && stirs && step.target_state != Some(ThreadState::Stopped) {
            let under_way = self.under_way.entry(step.to.pid).or_default();
            if under_way.len() < UNDER_WAY {
                under_way.push(step.id);
            }
        } else if let Some(under_way) = self.under_way.get_mut(&step.to.pid) {
            under_way.retain(|id| *id != step.id);
            if under_way.is_empty() {
                self.under_way.remove(&step.to.pid);
            }
        }
    }

    /// What the sender brought about before the signal was told: the kernel wakes the target first and tells of the signal
    /// 5 to 20 µs later, in the same call (`complete_signal`, `trace_signal_generate`; 5.15 to 7.0).
    pub(super) fn stirs_before(&self, step: &SignalEvent) -> Vec<Stir> {
        let sender = step.sender.as_ref().and_then(|sender| sender.pid);
        if step.phase != Phase::Generated || step.target_state != Some(ThreadState::Blocked) || sender.is_none() {
            return Vec::new();
        }
        let threads = self.process(step.to.pid).into_iter().flat_map(|process| process.threads.values());
        let mut stirs = Vec::new();
        for thread in threads.filter(|thread| step.to.tid.is_none_or(|tid| tid == thread.tid)) {
            let Some((t, woken_by @ Some(WokenBy::Task(waker)))) = thread.woken else { continue };
            if Some(waker.pid) != sender || self.now.since(t) > 1_000_000 {
                continue;
            }
            stirs.push(Stir { t, tid: thread.tid, state: ThreadState::Ready, woken_by });
            if thread.state == Some(ThreadState::Running) {
                let running = Stir { t: thread.since, tid: thread.tid, state: ThreadState::Running, woken_by: None };
                stirs.push(running);
            }
        }
        stirs.truncate(STIRS);
        stirs
    }

    /// A thread became READY or RUNNING.
    pub(super) fn note_stir(&mut self, task: Task, change: &StateChange) {
        if !matches!(change.to, ThreadState::Ready | ThreadState::Running) || change.preempted {
            return;
        }
        let Some(under_way) = self.under_way.get(&task.pid).cloned() else { return };
        let stir = Stir { t: self.now, tid: task.tid, state: change.to, woken_by: change.woken_by };
        for id in under_way {
            let Some(row) = self.signal_mut(id) else { continue };
            let for_it = row.steps.first().is_some_and(|(_, step)| step.to.tid.is_none_or(|tid| tid == task.tid));
            if for_it && row.stirs.len() < STIRS && row.stir(task.tid, change.to).is_none() {
                row.stirs.push(stir);
            }
        }
    }

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
