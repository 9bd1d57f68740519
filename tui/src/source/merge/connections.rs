//! TCP connections whose two ends are in two recordings: what they are called, and which of their messages are matched.
//!
//! Two ends are one connection's if their addresses are the same the other way round, and if what one side counts as sent
//! overlaps with what the other counts as received. Addresses alone would do between machines of one network; but the same
//! private ones are in use on many, and 127.0.0.1 on all.
//!
//! Tested in `tests.rs`, with recordings made for it.

use std::collections::BTreeMap;

use super::{
    clocks::Bounds,
    facts::{Direction, Facts, Piece, Pieces},
};

/// A recording, and what has been decided about it.
pub struct Member<'a> {
    /// What it says.
    pub facts: &'a Facts,
    /// What its host is called.
    pub host: &'a str,
    /// Which clock its times are of: members with the same one are of one machine and boot.
    pub clock: usize,
}

fn turned((own, other): Direction) -> Direction {
    (other, own)
}

/// `tcp:CLIENT-SERVER`, as the decoder calls it; `None` if it was not seen to begin.
fn name(facts: &Facts, ends: Direction) -> Option<String> {
    let (own, other) = ends;
    let connects = facts.sockets.get(&ends)?.connects?;
    Some(if connects { format!("tcp:{own}-{other}") } else { format!("tcp:{other}-{own}") })
}

/// As the decoder calls it if it was not seen to begin.
fn name_by_inode(facts: &Facts, ends: Direction) -> Option<String> {
    let socket = facts.sockets.get(&ends).filter(|socket| socket.connects.is_none() && socket.inodes.len() == 1)?;
    socket.inodes.first().map(|inode| format!("tcp:[{inode}]"))
}

/// One end in the one is the other end of what is in the other.
fn is_one(one: &Member<'_>, other: &Member<'_>, ends: Direction) -> bool {
    let sockets = (one.facts.sockets.get(&ends), other.facts.sockets.get(&turned(ends)));
    let (Some(own), Some(far)) = sockets else { return false };
    let same_place = one.clock == other.clock && !own.netns.is_disjoint(&far.netns);
    if (ends.0.ip().is_loopback() || ends.1.ip().is_loopback()) && !same_place {
        return false;
    }
    // Whoever has both ends has a connection of its own.
    let has_both = |facts: &Facts| facts.sockets.contains_key(&ends) && facts.sockets.contains_key(&turned(ends));
    if !same_place && (has_both(one.facts) || has_both(other.facts)) {
        return false;
    }
    let ways = [
        one.facts.sends.get(&ends).zip(other.facts.receives.get(&ends)),
        other.facts.sends.get(&turned(ends)).zip(one.facts.receives.get(&turned(ends))),
    ];
    let mut told = ways.into_iter().flatten().map(|(sends, receives)| !matched(sends, receives).is_empty()).peekable();
    told.peek().is_none() || told.any(|overlaps| overlaps)
}

/// What the connections of each member are called in the whole, where that is not what the decoder calls them.
pub fn renamed(members: &[Member<'_>]) -> Vec<BTreeMap<String, String>> {
    let mut renamed: Vec<BTreeMap<String, String>> = vec![BTreeMap::new(); members.len()];
    let ends = |place: usize| members.get(place).into_iter().flat_map(|member| member.facts.sockets.keys().copied());
    // The same name for two connections: the later one's is changed.
    let mut owners: BTreeMap<String, Vec<(usize, Direction)>> = BTreeMap::new();
    for (place, member) in members.iter().enumerate() {
        for ends in ends(place) {
            let Some(name) = name(member.facts, ends) else { continue };
            let owner = owners.entry(name.clone()).or_default();
            let joins = |(first, its): &(usize, Direction)| {
                *first == place
                    || members.get(*first).is_some_and(|first| {
                        let same_end = first.clock == member.clock && *its == ends;
                        same_end || *its == turned(ends) && is_one(first, member, *its)
                    })
            };
            if owner.is_empty() || owner.iter().any(joins) {
                owner.push((place, ends));
            } else if let Some(renamed) = renamed.get_mut(place) {
                renamed.insert(name.clone(), format!("{name}@{}", member.host));
            }
        }
    }
    // One that was not seen to begin is called as its other end is.
    for (place, member) in members.iter().enumerate() {
        for ends in ends(place) {
            let Some(own) = name_by_inode(member.facts, ends) else { continue };
            let others = members.iter().enumerate().filter(|(other, far)| *other != place && is_one(member, far, ends));
            let whole = others.filter_map(|(other, far)| match name(far.facts, turned(ends)) {
                Some(name) => Some(renamed.get(other).and_then(|names| names.get(&name)).unwrap_or(&name).clone()),
                None if other < place => name_by_inode(far.facts, turned(ends)),
                None => Some(own.clone()),
            });
            if let Some(whole) = whole.min()
                && let Some(renamed) = renamed.get_mut(place)
            {
                renamed.insert(own, whole);
            }
        }
    }
    renamed
}

/// Has `bounds` of the members' clocks learn from all messages between them; gives how many of each member's were matched.
pub fn learn(members: &[Member<'_>], bounds: &mut Bounds) -> Vec<u64> {
    let mut counts = vec![0_u64; members.len()];
    for (from, sender) in members.iter().enumerate() {
        for (to, receiver) in members.iter().enumerate().filter(|(to, _)| *to != from) {
            for (ends, sends) in &sender.facts.sends {
                let receives = receiver.facts.receives.get(ends).filter(|_| is_one(sender, receiver, *ends));
                for (send, receive, is_last) in receives.map(|receives| matched(sends, receives)).unwrap_or_default() {
                    let received = if is_last { receive.time } else { receive.first };
                    bounds.message((sender.clock, send.time), (receiver.clock, received));
                    if is_last {
                        counts
                            .iter_mut()
                            .enumerate()
                            .filter(|(n, _)| [from, to].contains(n))
                            .for_each(|(_, n)| *n += 1);
                    }
                }
            }
        }
    }
    counts
}

/// The send of the first and of the last byte (true) of each receive, where they are known.
fn matched(sends: &Pieces, receives: &Pieces) -> Vec<(Piece, Piece, bool)> {
    // Places count from what each side saw first.
    let shift = i64::from(receives.base().wrapping_sub(sends.base()).cast_signed());
    let mut sorted = sends.list.clone();
    sorted.sort_unstable();
    let of = |place: i64| {
        let behind = sorted.partition_point(|send| send.from <= place);
        sorted.get(behind.checked_sub(1)?).filter(|send| place < send.to).copied()
    };
    let mut found = Vec::new();
    for receive in &receives.list {
        let (first, last) = (receive.from.saturating_add(shift), receive.to.saturating_add(shift).saturating_sub(1));
        found.extend(of(first).map(|send| (send, *receive, false)));
        found.extend(of(last).map(|send| (send, *receive, true)));
    }
    found
}
