//! Children that have ended and are not waited for: zombies.
//!
//! Reported when the parent ends without having waited, or while they stand: a parent that reaps late is only told of until
//! it does.

use super::{
    Finding, Found,
    facts::{Facts, Stay},
    telling::{list, name},
};
use crate::{
    analyze::duration,
    event::Nanos,
    model::{Process, World},
};

/// How long a zombie must have been one: a busy parent may reap late.
const LONG: u64 = 1_000_000_000;

/// The process ends now; so far it has not waited.
pub(super) fn parent_ends(facts: &Facts, world: &World, parent: &Process, now: Nanos, found: &mut Found) {
    tell(facts, world, parent, now, "and ended without it", found);
}

/// The process lives.
pub(super) fn now(facts: &Facts, world: &World, parent: &Process, now: Nanos, found: &mut Found) {
    tell(facts, world, parent, now, "so far", found);
}

fn tell(facts: &Facts, world: &World, parent: &Process, now: Nanos, how: &str, found: &mut Found) {
    if facts.zombies.is_empty() {
        return;
    }
    let zombies: Vec<(&Process, Stay)> = world
        .processes
        .values()
        .filter(|child| child.parent == Some(parent.key) && child.ended.is_some() && !child.is_reaped())
        .filter_map(|child| Some((child, *facts.zombies.get(&child.pid)?)))
        .filter(|(_, stay)| now.since(stay.since) >= LONG)
        .collect();
    let Some(longest) = zombies.iter().map(|(_, stay)| now.since(stay.since)).max() else { return };
    found.report(parent.key.0.to_string(), || Finding {
        rule: "zombie",
        t: now,
        what: format!(
            "{} has not waited for {} {how}: {} stayed ZOMBIE for up to {}.{}",
            name(parent),
            if zombies.len() == 1 { "a child".to_owned() } else { format!("{} children", zombies.len()) },
            list(zombies.iter().map(|(child, _)| name(child)).collect()),
            duration(longest),
            facts.caveat()
        ),
        advice: "Call wait or waitpid for every child (in a loop, if a SIGCHLD handler does it), or ignore SIGCHLD."
            .to_owned(),
        evidence: zombies.iter().map(|(_, stay)| stay.seq).collect(),
    });
}
