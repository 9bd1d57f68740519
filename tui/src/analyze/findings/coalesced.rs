//! Signals that became one although the program does something for each.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Finding, Found,
    telling::{HARMLESS, REQUESTS, name_pid},
};
use crate::{
    event::{Event, Kind, Nanos, Phase, SenderKind, SignalId},
    model::World,
};

/// One kind of signal to one process.
#[derive(Clone, Debug, Default)]
struct Count {
    sent: u64,
    lost: u64,
    taken: u64,
    shown: Vec<u64>,
    into: BTreeSet<SignalId>,
    /// One of those that others coalesced with was handled or consumed: the program does something for each.
    matters: bool,
    last: Nanos,
}

/// Signals sent by processes that became one.
#[derive(Clone, Debug, Default)]
pub(super) struct Coalesced {
    counts: BTreeMap<(u32, String), Count>,
}

impl Coalesced {
    pub(super) fn apply(&mut self, world: &World, event: &Event) {
        let Kind::Signal(step) = &event.kind else { return };
        let name = step.signal.as_str();
        if HARMLESS.contains(&name) || REQUESTS.contains(&name) || step.to.external {
            return;
        }
        let sender = step.sender.as_ref().map(|sender| sender.kind).or_else(|| {
            let (_, first) = world.signal(step.id)?.steps.first()?;
            first.sender.as_ref().map(|sender| sender.kind)
        });
        if sender != Some(SenderKind::Process) {
            return;
        }
        let count = self.counts.entry((step.to.pid, step.signal.clone())).or_default();
        count.last = event.t;
        match step.phase {
            Phase::Generated => count.sent += 1,
            Phase::Coalesced => {
                count.lost += 1;
                count.into.extend(step.into);
                if count.shown.len() < 5 {
                    count.shown.push(event.seq);
                }
            }
            Phase::Handled | Phase::Consumed => {
                count.taken += 1;
                if count.into.contains(&step.id) && !count.matters {
                    count.matters = true;
                    count.shown.push(event.seq);
                }
            }
            _ => {}
        }
    }

    /// The process ends: no more of them will come.
    pub(super) fn settle(&mut self, pid: u32, world: &World, now: Nanos, found: &mut Found) {
        self.tell(Some(pid), world, now, found);
        self.counts.retain(|(of, _), _| *of != pid);
    }

    pub(super) fn now(&self, world: &World, now: Nanos, found: &mut Found) {
        self.tell(None, world, now, found);
    }

    fn tell(&self, only: Option<u32>, world: &World, now: Nanos, found: &mut Found) {
        for ((pid, name), count) in &self.counts {
            if count.lost == 0 || !count.matters || only.is_some_and(|only| only != *pid) {
                continue;
            }
            let process = world.by_pid.get(pid).map_or(0, |key| key.0);
            found.report(format!("{process} {name}"), || Finding {
                rule: "signal-coalesced",
                t: count.last.min(now),
                what: format!(
                    "{} of {} {name} to {} were lost: one was pending already, and standard signals are not queued; it took {}.",
                    count.lost,
                    count.sent,
                    name_pid(world, *pid),
                    count.taken
                ),
                advice: "Do not count standard signals: use a real-time signal (they queue), or wait for an answer before the \
                         next."
                    .to_owned(),
                evidence: count.shown.clone(),
            });
        }
    }
}
