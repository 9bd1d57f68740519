//! One who waits in vain although there is no knot: for somebody who might go on, but does something else, or is stopped.

use super::{
    Finding, Found,
    facts::Facts,
    telling::{list, name, name_of},
    waits::{On, Waiter, by_process, key, no_end, since},
};
use crate::{
    analyze::duration,
    event::Nanos,
    model::{Side, World},
};

/// How long waiting must last: it might still end.
const LONG: u64 = 1_000_000_000;
/// The same for a pipe whose reader may be slow to begin.
const SLOW: u64 = 3_000_000_000;

pub(super) fn look(facts: &Facts, world: &World, waiter: &Waiter<'_>, now: Nanos, found: &mut Found) {
    stopped(facts, world, waiter, now, found);
    forgotten_end(facts, world, waiter, now, found);
    unread(facts, world, waiter, now, found);
}

/// Whoever wrote has closed; who still could write never did: an end that was forgotten.
fn forgotten_end(facts: &Facts, world: &World, waiter: &Waiter<'_>, now: Nanos, found: &mut Found) {
    let On::Read(channel) = waiter.on else { return };
    let holders = world.holders_of(channel, Side::Send);
    let never = !holders.is_empty() && holders.iter().all(|(key, _)| !channel.senders.contains_key(key));
    if never && !channel.senders.is_empty() && now.since(waiter.wait.since) >= LONG {
        no_end(facts, world, waiter, channel, now, found);
    }
}

/// Nobody who could has ever read.
fn unread(facts: &Facts, world: &World, waiter: &Waiter<'_>, now: Nanos, found: &mut Found) {
    let On::Write(channel) = waiter.on else { return };
    if !channel.receivers.is_empty() || now.since(waiter.wait.since) < SLOW {
        return;
    }
    found.report(key(&channel.id, waiter.process), || {
        let holders = by_process(world, channel, Side::Receive);
        let names = holders.keys().map(|key| name_of(world, *key)).collect();
        let mut evidence = vec![waiter.wait.seq];
        evidence.extend(since(facts, world, &holders));
        Finding {
            rule: "full-pipe",
            t: now,
            what: format!(
                "{} has been BLOCKED in write for {} on {}, which is full: {} could read from it and never did.{}",
                name(waiter.process),
                duration(now.since(waiter.wait.since)),
                channel.id,
                list(names),
                facts.caveat()
            ),
            advice: "Read from the pipe while it is written to, or close the read end where it is not needed."
                .to_owned(),
            evidence,
        }
    });
}

/// Everybody else who could end the wait is stopped.
fn stopped(facts: &Facts, world: &World, waiter: &Waiter<'_>, now: Nanos, found: &mut Found) {
    let (channel, side, end) = match waiter.on {
        On::Read(channel) => (channel, Side::Send, "write"),
        On::Write(channel) => (channel, Side::Receive, "read"),
        _ => return,
    };
    let mut holders = by_process(world, channel, side);
    holders.remove(&waiter.process.key);
    let mut evidence = vec![waiter.wait.seq];
    let mut names = Vec::new();
    let mut from = waiter.wait.since;
    for (key, fds) in &holders {
        let Some(process) = world.processes.get(key) else { return };
        let Some(stay) = facts.all_stopped(process) else { return };
        from = from.max(stay.since);
        evidence.push(stay.seq);
        let fds: Vec<_> = fds.iter().map(|fd| format!("fd {fd}")).collect();
        names.push(format!("{} ({})", name(process), fds.join(", ")));
    }
    if names.is_empty() || now.since(from) < LONG {
        return;
    }
    evidence.extend(since(facts, world, &holders));
    found.report(key(&channel.id, waiter.process), || Finding {
        rule: "stopped-holder",
        t: now,
        what: format!(
            "{} has been BLOCKED for {} on {}, and whoever else holds the {end} end is STOPPED: {}.{}",
            name(waiter.process),
            duration(now.since(from)),
            channel.id,
            list(names),
            facts.caveat()
        ),
        advice:
            "Continue it (SIGCONT, `fg`), or close its end before it is stopped: a stopped process keeps its ends open."
                .to_owned(),
        evidence,
    });
}
