//! Who sends to whom, and the order that follows from it: producers before consumers.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use super::{Channel, ProcessKey, World, channel::Side};
use crate::event::{ChannelId, End};

/// Bytes go, or can go, from one process to another through a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Through which channel.
    pub channel: ChannelId,
    /// The process that sends.
    pub from: ProcessKey,
    /// The process that receives.
    pub to: ProcessKey,
    /// It has sent; if not, it holds a write end and no read end.
    pub has_sent: bool,
    /// It has received; if not, it holds a read end and no write end.
    pub has_received: bool,
}

impl World {
    /// Who is at one side of a channel: whoever has used it, or lives and holds only ends of that side. The flag says
    /// that it has used it. A shell that still holds both ends and uses none is not at any side.
    pub fn parties(&self, channel: &Channel, side: Side) -> Vec<(ProcessKey, bool)> {
        let used = match side {
            Side::Send => &channel.senders,
            Side::Receive => &channel.receivers,
        };
        let mut ends: BTreeMap<ProcessKey, bool> = used.keys().map(|key| (*key, true)).collect();
        let mut held: BTreeMap<ProcessKey, (bool, bool)> = BTreeMap::new();
        for ((key, _), end) in &channel.holders {
            let (reads, writes) = held.entry(*key).or_default();
            *reads |= end.reads();
            *writes |= end.writes();
        }
        let only = match side {
            Side::Send => (false, true),
            Side::Receive => (true, false),
        };
        for (key, _) in held.into_iter().filter(|(_, ends)| *ends == only) {
            ends.entry(key).or_insert(false);
        }
        ends.into_iter().collect()
    }

    /// All edges, by channel in order of appearance, then by process.
    pub fn edges(&self) -> Vec<Edge> {
        let mut channels: Vec<_> = self.channels.values().collect();
        channels.sort_by_key(|channel| channel.index);
        let mut edges = Vec::new();
        for channel in channels {
            if channel.mechanism.is_socket() {
                edges.extend(between_sockets(channel));
                continue;
            }
            let receivers = self.parties(channel, Side::Receive);
            for (from, has_sent) in self.parties(channel, Side::Send) {
                for &(to, has_received) in &receivers {
                    // To itself only if it really does that: the self-pipe of an event loop.
                    if from != to || (has_sent && has_received) {
                        let channel = channel.id.clone();
                        edges.push(Edge { channel, from, to, has_sent, has_received });
                    }
                }
            }
        }
        edges
    }

    /// All processes, producers before consumers; else, and within a cycle, in order of appearance.
    pub fn layout_order(&self) -> Vec<ProcessKey> {
        let pairs = self.edges().into_iter().map(|edge| (edge.from, edge.to));
        topological(self.processes.keys().copied(), pairs)
    }

    /// The living processes that hold an end of the channel open for writing (reading), with a descriptor each.
    pub fn holders_of(&self, channel: &Channel, side: Side) -> Vec<(ProcessKey, i32)> {
        let fits = |end: &End| match side {
            Side::Send => end.writes(),
            Side::Receive => end.reads(),
        };
        channel.holders.iter().filter(|(_, end)| fits(end)).map(|(holder, _)| *holder).collect()
    }
}

/// Both ends of a socket's channel send and receive, so only a receive proves who sends to whom. Until there is one: whoever
/// has sent, to whoever else has received or holds an end; until anybody has, the two that hold it.
fn between_sockets(channel: &Channel) -> Vec<Edge> {
    let edge = |from: ProcessKey, to: ProcessKey| Edge {
        channel: channel.id.clone(),
        from,
        to,
        has_sent: channel.senders.contains_key(&from),
        has_received: channel.receivers.contains_key(&to),
    };
    if !channel.pairs.is_empty() {
        return channel.pairs.iter().map(|&(from, to)| edge(from, to)).collect();
    }
    let holders: BTreeSet<ProcessKey> = channel.holders.keys().map(|(key, _)| *key).collect();
    if !channel.senders.is_empty() {
        let others: BTreeSet<ProcessKey> =
            if channel.receivers.is_empty() { holders } else { channel.receivers.keys().copied().collect() };
        let pairs = channel.senders.keys().flat_map(|from| others.iter().map(move |to| (*from, *to)));
        return pairs.filter(|(from, to)| from != to).map(|(from, to)| edge(from, to)).collect();
    }
    match holders.iter().collect::<Vec<_>>().as_slice() {
        [one, other] => vec![edge(**one, **other)],
        _ => Vec::new(),
    }
}

type Neighbours = BTreeMap<ProcessKey, BTreeSet<ProcessKey>>;

/// Kahn's algorithm over the strongly connected components (Kosaraju), smallest key first.
fn topological(
    keys: impl Iterator<Item = ProcessKey>,
    pairs: impl Iterator<Item = (ProcessKey, ProcessKey)>,
) -> Vec<ProcessKey> {
    let mut after: Neighbours = keys.map(|key| (key, BTreeSet::new())).collect();
    let mut before = after.clone();
    for (from, to) in pairs {
        if from != to && before.contains_key(&from) && before.contains_key(&to) {
            after.entry(from).or_default().insert(to);
            before.entry(to).or_default().insert(from);
        }
    }
    // Components: trees of the reversed graph, in the reverse order in which the forward search left the nodes.
    let mut component: BTreeMap<ProcessKey, ProcessKey> = BTreeMap::new();
    let mut members: Neighbours = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut left = Vec::new();
    for key in after.keys() {
        left.extend(search(*key, &after, &mut seen));
    }
    seen.clear();
    for key in left.into_iter().rev() {
        let tree = search(key, &before, &mut seen);
        if let Some(smallest) = tree.iter().min().copied() {
            component.extend(tree.iter().map(|member| (*member, smallest)));
            members.insert(smallest, tree.into_iter().collect());
        }
    }
    let of = |key: &ProcessKey| component.get(key).copied().unwrap_or(*key);
    let mut follow: Neighbours = BTreeMap::new();
    let mut waiting: BTreeMap<ProcessKey, usize> = BTreeMap::new();
    for (from, tos) in &after {
        for to in tos {
            let (from, to) = (of(from), of(to));
            if from != to && follow.entry(from).or_default().insert(to) {
                *waiting.entry(to).or_default() += 1;
            }
        }
    }
    let mut free: BinaryHeap<_> =
        members.keys().filter(|key| !waiting.contains_key(key)).map(|key| Reverse(*key)).collect();
    let mut order = Vec::with_capacity(after.len());
    while let Some(Reverse(key)) = free.pop() {
        order.extend(members.get(&key).into_iter().flatten().copied());
        for next in follow.get(&key).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(next) {
                *count -= 1;
                if *count == 0 {
                    free.push(Reverse(*next));
                }
            }
        }
    }
    order
}

/// Depth first from `root`, without recursion: the nodes not `seen` before, in the order in which they are left.
fn search(root: ProcessKey, edges: &Neighbours, seen: &mut BTreeSet<ProcessKey>) -> Vec<ProcessKey> {
    let mut left = Vec::new();
    if !seen.insert(root) {
        return left;
    }
    let neighbours = |key: ProcessKey| edges.get(&key).into_iter().flatten().copied();
    let mut path = vec![(root, neighbours(root))];
    while let Some((key, rest)) = path.last_mut() {
        if let Some(next) = rest.next() {
            if seen.insert(next) {
                path.push((next, neighbours(next)));
            }
        } else {
            left.push(*key);
            path.pop();
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::{ProcessKey, topological};

    #[test]
    fn producers_come_before_consumers() {
        for (edges, expected) in [
            (&[][..], [0, 1, 2, 3, 4]),
            (&[(3, 1)], [0, 2, 3, 1, 4]),
            (&[(4, 3), (3, 2), (2, 1)], [0, 4, 3, 2, 1]),
            // A cycle keeps the order of appearance, and what follows from it comes after it.
            (&[(2, 3), (3, 2), (3, 1)], [0, 2, 3, 1, 4]),
            (&[(4, 2), (2, 4), (4, 0), (1, 2)], [1, 2, 4, 0, 3]),
            (&[(1, 1)], [0, 1, 2, 3, 4]),
        ] {
            let pairs = edges.iter().map(|(a, b)| (ProcessKey(*a), ProcessKey(*b)));
            let order = topological((0..5).map(ProcessKey), pairs);
            assert_eq!(order, expected.map(ProcessKey), "{edges:?}");
        }
    }
}
