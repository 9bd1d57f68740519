//! A knot of waiting, in words: who waits for what, and who alone could end it.

use super::{
    Finding, Found,
    facts::Facts,
    telling::{list, name, name_of},
    waits::{On, Waiter, helpers, users},
};
use crate::{
    event::Nanos,
    model::{ProcessKey, Side, World},
};

/// Tells of it once; gives the key under which it is known.
pub(super) fn deadlock(facts: &Facts, world: &World, members: &[&Waiter<'_>], now: Nanos, found: &mut Found) -> String {
    let key = members.iter().map(|waiter| waiter.wait.seq.to_string()).collect::<Vec<_>>().join(" ");
    found.report(key.clone(), || {
        let told: Vec<_> = members.iter().map(|waiter| member(facts, world, waiter)).collect();
        Finding {
            rule: "deadlock",
            t: now,
            what: format!(
                "Deadlock: all of these wait for one another, and nobody else could end it: {}.{}",
                told.join("; "),
                facts.caveat()
            ),
            advice: advice(members).to_owned(),
            evidence: members.iter().map(|waiter| waiter.wait.seq).collect(),
        }
    });
    key
}

/// `wc 4712 reads from the empty pipe:[7], which only sh 4711 can change`
fn member(facts: &Facts, world: &World, waiter: &Waiter<'_>) -> String {
    let (what, on) = match &waiter.on {
        On::Read(channel) => ("reads from the empty ", Some(&channel.id)),
        On::Write(channel) => ("writes to the full ", Some(&channel.id)),
        On::Child(_) => ("waits for a child", None),
        On::Take(channel) => ("waits for a semaphore of ", Some(&channel.id)),
        On::Receive(channel, _) => ("waits to receive from ", Some(&channel.id)),
        On::Room(channel, _) => ("waits for room to send into ", Some(&channel.id)),
        On::Message(channel, Side::Receive) => ("waits for a message in ", Some(&channel.id)),
        On::Message(channel, Side::Send) => ("waits for room in ", Some(&channel.id)),
    };
    let who = name(waiter.process);
    let on = on.map(ToString::to_string).unwrap_or_default();
    let mut others: Vec<ProcessKey> = match waiter.on {
        On::Take(channel) => users(world, channel),
        _ => helpers(facts, world, &waiter.on).into_iter().map(|(key, _)| key).collect(),
    };
    others.sort_unstable();
    others.dedup();
    if others.is_empty() {
        return format!("{who} {what}{on}");
    }
    let others = list(others.into_iter().map(|key| name_of(world, key)).collect());
    match waiter.on {
        On::Message(..) => format!("{who} {what}{on}, which only {others} have had so far"),
        _ => format!("{who} {what}{on}, which only {others} can change"),
    }
}

fn advice(members: &[&Waiter<'_>]) -> &'static str {
    let any = |test: fn(&On<'_>) -> bool| members.iter().any(|waiter| test(&waiter.on));
    if any(|on| matches!(on, On::Take(_))) {
        "Take semaphores in the same order everywhere, and give back what was taken before waiting for more."
    } else if any(|on| matches!(on, On::Receive(..) | On::Room(..))) {
        "Break the cycle: agree on who sends first, receive what the other end sends before sending more than there is \
         room for, and close ends that are not needed."
    } else if any(|on| matches!(on, On::Message(..))) {
        "Break the cycle: let one of them send before it receives (or receive before it sends more than there is room \
         for), and remove a queue that nobody is going to send to."
    } else {
        "Break the cycle: let one of them write before it reads (or read before it writes), and close ends that are not \
         needed."
    }
}
