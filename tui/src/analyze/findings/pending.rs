//! A signal that was pending for long because a mask blocks it.

use foldhash::HashMap;

use super::{
    Finding, Found,
    telling::{HARMLESS, name_pid, signal},
};
use crate::{
    analyze::duration,
    event::{Event, Kind, Nanos, Phase, SignalId},
    model::World,
};

/// A signal that is pending so long is forgotten rather than deferred.
const LONG: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
struct Held {
    since: Nanos,
    seq: u64,
    pid: u32,
    name: String,
}

/// Signals that wait because a mask blocks them.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    held: HashMap<SignalId, Held>,
}

impl Pending {
    pub(super) fn apply(&mut self, world: &World, event: &Event, found: &mut Found) {
        let Kind::Signal(step) = &event.kind else { return };
        if step.phase == Phase::Pending {
            if step.blocked_by_mask && !HARMLESS.contains(&step.signal.as_str()) {
                let held = Held { since: event.t, seq: event.seq, pid: step.to.pid, name: step.signal.clone() };
                self.held.insert(step.id, held);
            }
        } else if let Some(held) = self.held.remove(&step.id) {
            let end = match step.phase {
                Phase::Delivered => "then it was let in".to_owned(),
                Phase::Consumed => "then it was taken".to_owned(),
                Phase::Discarded if step.reason == Some("exit") => "then the program ended without it".to_owned(),
                phase => format!("then it was {}", phase.name()),
            };
            tell_pending(world, step.id, &held, event.t, &end, Some(event.seq), found);
        }
    }

    pub(super) fn now(&self, world: &World, now: Nanos, found: &mut Found) {
        for (id, held) in &self.held {
            tell_pending(world, *id, held, now, "it still is", None, found);
        }
    }
}

fn tell_pending(world: &World, id: SignalId, held: &Held, now: Nanos, end: &str, last: Option<u64>, found: &mut Found) {
    if now.since(held.since) < LONG {
        return;
    }
    let process = world.by_pid.get(&held.pid).map_or(0, |key| key.0);
    found.report(format!("{process} {}", held.name), || Finding {
        rule: "signal-pending",
        t: now,
        what: format!(
            "{} to {} was pending for {} because the receiver blocks it by its mask; {end}.",
            signal(world, id).unwrap_or_else(|| held.name.clone()),
            name_pid(world, held.pid),
            duration(now.since(held.since))
        ),
        advice: format!(
            "Unblock {} (sigprocmask, SIG_UNBLOCK) as soon as it may come, or take it with sigwait.",
            held.name
        ),
        evidence: std::iter::once(held.seq).chain(last).collect(),
    });
}
