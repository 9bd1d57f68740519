//! What is wrong, in a sentence, with the events that show it.
//!
//! [`Findings`] is a pure fold: [`Findings::apply`] takes each event with the world right *before* it, so a rule sees both
//! what stood until then and what ends it; [`Findings::at`] gives what is known at a moment, settled or standing.
//!
//! Invariants: a rule speaks only of what the events show for sure; who might be outside the trace (a channel not made in
//! it, records lost) makes it silent or is said. Times are those of the data. A rule keeps sequence numbers, never events.
//! Each rule is tested by a script that it names and by a correct twin on which all are silent (`tests.rs`), and live by
//! `tests/live_findings.rs`.

mod alone;
mod behind;
mod children;
mod coalesced;
mod deadlock;
mod dropped;
mod eintr;
mod facts;
mod flight;
mod knot;
mod leftover;
mod locks;
mod lone;
mod overflow;
mod pending;
mod room;
mod sides;
mod sigpipe;
mod stage;
mod telling;
mod waits;

use std::collections::{BTreeMap, btree_map::Entry};

use serde::Serialize;

use self::facts::Facts;
use crate::{
    event::{Event, Kind, Nanos},
    model::World,
};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule found it.
    pub rule: &'static str,
    /// When it was clear.
    pub t: Nanos,
    /// What happened, in a sentence.
    pub what: String,
    /// What to change, in a sentence.
    pub advice: String,
    /// The events that show it, by `seq`, in order.
    pub evidence: Vec<u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    kind: &'static str,
    rule: &'static str,
    text: String,
    evidence: &'a [u64],
}

impl Finding {
    /// The JSON line (contract, section 2), without its newline.
    pub fn to_json(&self) -> String {
        let text = format!("{} {}", self.what, self.advice);
        let line = Line { kind: "finding", rule: self.rule, text, evidence: &self.evidence };
        // Strings and numbers only: serialising them cannot fail.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// Findings so far, each once.
#[derive(Clone, Debug, Default)]
struct Found {
    list: Vec<Finding>,
    keys: BTreeMap<(&'static str, String), Vec<u64>>,
}

/// Findings kept; more of them tell nothing more.
const KEPT: usize = 1000;

impl Found {
    /// Adds one, unless the same (by `key`) was there before.
    fn report(&mut self, key: String, finding: impl FnOnce() -> Finding) {
        if self.list.len() >= KEPT {
            return;
        }
        let finding = finding();
        if let Entry::Vacant(place) = self.keys.entry((finding.rule, key)) {
            let finding = clean(finding);
            place.insert(finding.evidence.clone());
            self.list.push(finding);
        }
    }

    /// It turned out not to be so.
    fn withdraw(&mut self, rule: &'static str, key: &str) {
        if let Some(evidence) = self.keys.remove(&(rule, key.to_owned())) {
            self.list.retain(|finding| finding.rule != rule || finding.evidence != evidence);
        }
    }
}

/// Evidence in order and each event once; nothing of others that a terminal would act on.
fn clean(mut finding: Finding) -> Finding {
    finding.evidence.sort_unstable();
    finding.evidence.dedup();
    finding.what = super::span::harmless(finding.what);
    finding.advice = super::span::harmless(finding.advice);
    finding
}

/// All rules at work on one trace.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    found: Found,
    facts: Facts,
    waits: waits::Waits,
    interrupted: eintr::Interrupted,
    coalesced: coalesced::Coalesced,
    pending: pending::Pending,
    broken: sigpipe::Broken,
    leftover: leftover::Leftover,
    behind: behind::Behind,
    dropped: dropped::Dropped,
    alone: alone::Alone,
    locks: locks::Locks,
    flight: flight::Flight,
    overflow: overflow::Overflow,
}

impl Findings {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether children were followed: if not, who holds what is never known completely.
    #[must_use]
    pub fn with_children(mut self, followed: bool) -> Self {
        self.facts.incomplete = !followed;
        self
    }

    /// Takes an event in, before `world` does.
    pub fn apply(&mut self, world: &World, event: &Event) {
        // What stood until now, before this event can end it.
        self.waits.look(&self.facts, world, event.t, &mut self.found);
        match &event.kind {
            Kind::Exit(exit) if !exit.thread => {
                if let Some(process) = event.task.and_then(|task| world.process(task.pid)) {
                    children::parent_ends(&self.facts, world, process, event.t, &mut self.found);
                    self.coalesced.settle(process.pid, world, event.t, &mut self.found);
                    self.broken.settle(process.pid, world, event.t, &mut self.found);
                }
            }
            _ => {}
        }
        self.waits.apply(event, &mut self.found);
        self.flight.apply(&self.facts, world, event, &mut self.found);
        self.overflow.apply(&self.facts, world, event, &mut self.found);
        self.alone.apply(world, event, &mut self.found);
        self.leftover.apply(&self.facts, &self.broken, world, event, &mut self.found);
        self.interrupted.apply(world, event, &mut self.found);
        self.coalesced.apply(world, event);
        self.pending.apply(world, event, &mut self.found);
        self.broken.apply(event);
        self.behind.apply(event);
        self.dropped.apply(event);
        self.locks.apply(&self.facts, world, event, &mut self.found);
        self.facts.apply(world, event);
    }

    /// What is known when it is `now` in `world`: in order of time.
    pub fn at(&self, world: &World, now: Nanos) -> Vec<Finding> {
        let mut found = self.found.clone();
        let _ = waits::now(&self.facts, world, now, &mut found);
        for process in world.processes.values().filter(|process| process.ended.is_none()) {
            children::now(&self.facts, world, process, now, &mut found);
        }
        self.coalesced.now(world, now, &mut found);
        self.pending.now(world, now, &mut found);
        self.broken.now(world, now, &mut found);
        self.dropped.now(world, &mut found);
        self.alone.now(world, now, &mut found);
        self.locks.now(&mut found);
        self.overflow.now(&self.facts, world, now, &mut found);
        self.flight.now(&self.facts, world, now, &mut found);
        self.behind.now(&self.facts, world, now, &mut found);
        stage::now(&self.leftover, world, now, &mut found);
        found.list.sort_by_key(|finding| finding.t);
        found.list
    }
}

#[cfg(test)]
mod tests;
