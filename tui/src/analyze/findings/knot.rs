//! Who can never go on: the wait-for graph.
//!
//! A process waits here for *any one* of others: a reader for whoever could write, a writer for whoever could read, wait(2)
//! for a child. It can go on if one of them can. So whoever is left when all that can go on is taken away waits forever,
//! and the sinks among the strongly connected components of what is left are the knots the others hang on.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ProcessKey;

/// Whom each process waits for.
pub(super) type Needs = BTreeMap<ProcessKey, BTreeSet<ProcessKey>>;

/// More processes that wait are not looked into: the trace is of something else than a knot.
const MOST: usize = 2048;

/// The knots: processes that only wait for one another, with nobody outside who could help.
pub(super) fn knots(mut needs: Needs) -> Vec<Vec<ProcessKey>> {
    if needs.len() > MOST {
        return Vec::new();
    }
    loop {
        let free: Vec<_> = needs
            .iter()
            .filter(|(_, needed)| needed.is_empty() || needed.iter().any(|key| !needs.contains_key(key)))
            .map(|(key, _)| *key)
            .collect();
        if free.is_empty() {
            break;
        }
        for key in free {
            needs.remove(&key);
        }
    }
    let reach: BTreeMap<_, _> = needs.keys().map(|key| (*key, reachable(*key, &needs))).collect();
    let reaches = |from: &ProcessKey, to: &ProcessKey| reach.get(from).is_some_and(|set| set.contains(to));
    let mut knots = BTreeSet::new();
    for (key, set) in &reach {
        if set.contains(key) && set.iter().all(|other| reaches(other, key)) {
            knots.insert(set.iter().copied().collect::<Vec<_>>());
        }
    }
    knots.into_iter().collect()
}

fn reachable(from: ProcessKey, needs: &Needs) -> BTreeSet<ProcessKey> {
    let mut seen = BTreeSet::new();
    let mut left = vec![from];
    while let Some(key) = left.pop() {
        for next in needs.get(&key).into_iter().flatten() {
            if seen.insert(*next) {
                left.push(*next);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::{Needs, ProcessKey, knots};

    #[test]
    fn only_those_nobody_can_help_are_in_a_knot() {
        for (needs, expected) in [
            (&[][..], &[][..]),
            // One waits for somebody who can go on.
            (&[(1, &[2][..])], &[]),
            (&[(1, &[2]), (2, &[3])], &[]),
            // Itself; each other; a ring.
            (&[(1, &[1])], &[&[1][..]]),
            (&[(1, &[2]), (2, &[1])], &[&[1, 2]]),
            (&[(1, &[2]), (2, &[3]), (3, &[1])], &[&[1, 2, 3]]),
            // One of two who could help is free: no knot.
            (&[(1, &[2, 9]), (2, &[1])], &[]),
            // The shell hangs on the knot but is not in it.
            (&[(5, &[1]), (1, &[2]), (2, &[1])], &[&[1, 2]]),
            // Two at once.
            (&[(1, &[1]), (2, &[3]), (3, &[2])], &[&[1], &[2, 3]]),
            (&[(1, &[])], &[]),
        ] {
            let map: Needs = needs
                .iter()
                .map(|(key, needed)| (ProcessKey(*key), needed.iter().map(|key| ProcessKey(*key)).collect()))
                .collect();
            let found: Vec<Vec<u32>> =
                knots(map).into_iter().map(|knot| knot.into_iter().map(|key| key.0).collect()).collect();
            assert_eq!(found, expected, "{needs:?}");
        }
    }
}
