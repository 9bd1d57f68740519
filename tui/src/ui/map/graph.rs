//! What the map shows: processes as nodes, channels as links between those that hold their ends.
//!
//! Living processes are all shown; ended ones while they are few, or for a while. Where there is much, processes of one
//! parent and one name fold into one node, and its channels of one mechanism to the same nodes into one link; so do many
//! channels between two processes. What is left out is counted.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use crate::{
    event::{ChannelId, ChannelType, Comm, End, Nanos},
    model::{Channel, ProcessKey, World},
};

/// Ended processes shown without question.
const FEW: usize = 12;
/// How long an ended process stays when there are more, and how many of them, ns.
const STAY: u64 = 2_000_000_000;
const STAYING: usize = 24;
/// How long a channel that nobody holds any more stays between living processes, ns.
const CHANNEL_STAY: u64 = 1_000_000_000;
/// Nodes at most.
const NODES: usize = 256;
/// Links of one mechanism between the same nodes that are shown each for itself: as many as boxes have room for.
const LINKS: usize = 4;

/// Processes and channels to be shown.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    pub links: Vec<Link>,
    /// Ended processes that are not shown.
    pub ended: usize,
    /// Living processes that are not shown.
    pub omitted: usize,
}

/// A process, several alike, or a host whose processes are not traced.
#[derive(Debug)]
pub(super) struct Node {
    pub members: Vec<ProcessKey>,
    pub host: Option<IpAddr>,
    /// Place of its parent among the nodes.
    pub parent: Option<usize>,
}

/// A channel, or several between the same nodes.
#[derive(Debug)]
pub(super) struct Link {
    pub members: Vec<ChannelId>,
    pub writers: Vec<Tie>,
    pub readers: Vec<Tie>,
    /// All write and read: bytes also go from the readers to the writer.
    pub both_ways: bool,
}

/// What links have in common that may be shown as one: mechanism, writers, readers, whether bytes go both ways.
type Alike<'a> = (ChannelType, &'a [Tie], &'a [Tie], bool);

/// A node at an end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tie {
    pub node: usize,
    /// Bytes have gone this way; else it only holds the end.
    pub used: bool,
}

impl Graph {
    /// What is to be shown of `world` at `now`; with `fold`, alike ones together.
    pub(super) fn new(world: &World, now: Nanos, fold: bool) -> Self {
        let mut graph = Self::default();
        let mut node_of: HashMap<ProcessKey, usize> = HashMap::new();
        let mut kinds: HashMap<(Option<ProcessKey>, Comm, bool), usize> = HashMap::new();
        let all = world.processes.len() <= FEW;
        let recent = recent(world, now);
        for process in world.processes.values() {
            let ended = process.ended.is_some();
            if ended && !all && recent.is_none_or(|since| process.ended.as_ref().is_some_and(|(t, _)| *t < since)) {
                graph.ended += 1;
                continue;
            }
            let kind = (process.parent, process.comm, ended);
            let place = match kinds.get(&kind).filter(|_| fold) {
                Some(place) => *place,
                None if graph.nodes.len() >= NODES => {
                    graph.omitted += 1;
                    continue;
                }
                None => {
                    graph.nodes.push(Node { members: Vec::new(), host: None, parent: None });
                    kinds.insert(kind, graph.nodes.len() - 1);
                    graph.nodes.len() - 1
                }
            };
            node_of.insert(process.key, place);
            if let Some(node) = graph.nodes.get_mut(place) {
                node.members.push(process.key);
                node.parent = process.parent.and_then(|parent| node_of.get(&parent).copied()).or(node.parent);
            }
        }
        graph.connect(world, now, &node_of);
        graph
    }

    fn connect(&mut self, world: &World, now: Nanos, node_of: &HashMap<ProcessKey, usize>) {
        let mut hosts: HashMap<IpAddr, usize> = HashMap::new();
        let mut channels: Vec<&Channel> = world.channels.values().collect();
        channels.sort_by_key(|channel| channel.index);
        let waiting = waiting(world);
        for channel in channels {
            let mut writers = ties(channel, node_of, true, &[]);
            let mut readers = ties(channel, node_of, false, waiting.get(&channel.id).map_or(&[], Vec::as_slice));
            if writers.is_empty() && readers.is_empty() || self.is_past(channel, now, world, &writers, &readers) {
                continue;
            }
            // Held, but not by anybody who is a party yet: it will be told when it is clear.
            let held =
                |writing: bool| channel.holders.values().any(|end| if writing { end.writes() } else { end.reads() });
            if writers.is_empty() && held(true) || readers.is_empty() && held(false) {
                continue;
            }
            // A word that the threads of one process wait on is no way to another.
            if channel.mechanism == ChannelType::Futex && is_of_one(channel) {
                continue;
            }
            if let Some(host) = far_host(channel)
                && let Some(node) = self.host(host, &mut hosts)
            {
                let used = channel.senders.len() + channel.receivers.len() > 0;
                writers.extend(readers);
                writers.sort_unstable();
                writers.dedup_by_key(|tie| tie.node);
                let both_ways = channel.mechanism == ChannelType::Tcp;
                let readers = vec![Tie { node, used }];
                self.links.push(Link { members: vec![channel.id.clone()], writers, readers, both_ways });
                continue;
            }
            let is_socket = channel.mechanism.is_socket();
            match (&*writers, &*readers) {
                // Nothing has gone through it yet: it listens, or sends to the addresses of others.
                ([one], [other]) if is_socket && one == other && !one.used => continue,
                _ if is_socket_alone(channel) => continue,
                // Connected, but not accepted: nobody is there yet who receives.
                ([one], [other]) if is_socket && one.node == other.node && !other.used => readers.clear(),
                _ => {}
            }
            let calls = |node| calls(channel, node_of, node);
            let both_ways = (is_socket && writers.len() == 2 || is_queue(channel) && writers.len() > 1)
                && meet(&mut writers, &mut readers, calls);
            self.links.push(Link { members: vec![channel.id.clone()], writers, readers, both_ways });
        }
        self.gather(world);
    }

    /// Makes one link of those of a mechanism between the same nodes, in the place of the first: of many, and of any where a
    /// node stands for several processes.
    fn gather(&mut self, world: &World) {
        let mut alike: HashMap<Alike<'_>, Vec<usize>> = HashMap::new();
        for (place, link) in self.links.iter().enumerate() {
            let first = link.members.first().and_then(|id| world.channels.get(id));
            if let Some(channel) = first {
                let kind = (channel.mechanism, &*link.writers, &*link.readers, link.both_ways);
                alike.entry(kind).or_default().push(place);
            }
        }
        let mut first_of: HashMap<usize, usize> = HashMap::new();
        let folded = |tie: &Tie| self.nodes.get(tie.node).is_some_and(|node| node.members.len() > 1);
        for ((_, writers, readers, _), places) in &alike {
            let most = if writers.iter().chain(*readers).any(folded) { 1 } else { LINKS };
            if let Some((first, others)) = places.split_first().filter(|_| places.len() > most) {
                first_of.extend(others.iter().map(|other| (*other, *first)));
            }
        }
        if first_of.is_empty() {
            return;
        }
        let mut kept: Vec<Link> = Vec::new();
        let mut new_place: HashMap<usize, usize> = HashMap::new();
        for (place, mut link) in std::mem::take(&mut self.links).into_iter().enumerate() {
            let into = first_of.get(&place).and_then(|first| new_place.get(first));
            if let Some(first) = into.and_then(|place| kept.get_mut(*place)) {
                first.members.append(&mut link.members);
            } else {
                new_place.insert(place, kept.len());
                kept.push(link);
            }
        }
        self.links = kept;
    }

    /// The box of another host; `None`: there are too many boxes.
    fn host(&mut self, host: IpAddr, hosts: &mut HashMap<IpAddr, usize>) -> Option<usize> {
        if let Some(node) = hosts.get(&host) {
            return Some(*node);
        }
        if self.nodes.len() >= NODES {
            return None;
        }
        self.nodes.push(Node { members: Vec::new(), host: Some(host), parent: None });
        hosts.insert(host, self.nodes.len() - 1);
        Some(self.nodes.len() - 1)
    }

    /// Nobody holds it any more, and those who used it do other things since.
    fn is_past(&self, channel: &Channel, now: Nanos, world: &World, writers: &[Tie], readers: &[Tie]) -> bool {
        let alive = |tie: &Tie| {
            let node = self.nodes.get(tie.node);
            node.and_then(|node| world.processes.get(node.members.first()?)).is_some_and(|p| p.ended.is_none())
        };
        channel.gone.is_some_and(|gone| now.since(gone) > CHANNEL_STAY) && writers.iter().chain(readers).any(alive)
    }

    /// The nodes that have a link.
    pub(super) fn linked(&self) -> Vec<bool> {
        let mut linked = vec![false; self.nodes.len()];
        for tie in self.links.iter().flat_map(|link| link.writers.iter().chain(&link.readers)) {
            if let Some(place) = linked.get_mut(tie.node) {
                *place = true;
            }
        }
        linked
    }
}

/// From when on ended processes are shown, if not all are; `None` shows none.
fn recent(world: &World, now: Nanos) -> Option<Nanos> {
    let since = Nanos(now.0.saturating_sub(STAY));
    let mut ends: Vec<Nanos> =
        world.processes.values().filter_map(|p| p.ended.as_ref().map(|(t, _)| *t)).filter(|t| *t >= since).collect();
    ends.sort_unstable();
    ends.iter().rev().take(STAYING).next_back().copied()
}

/// Who waits to receive from which queue: of a queue nobody holds an end, but whoever waits there is there all the same.
fn waiting(world: &World) -> HashMap<&ChannelId, Vec<ProcessKey>> {
    let mut waiting: HashMap<&ChannelId, Vec<ProcessKey>> = HashMap::new();
    for (key, process) in &world.processes {
        for on in process.threads.values().filter_map(|thread| thread.on.as_deref()) {
            if let (Some(channel), Some("msgrcv" | "mq_timedreceive")) = (&on.channel, on.syscall) {
                waiting.entry(channel).or_default().push(*key);
            }
        }
    }
    waiting
}

fn ties(channel: &Channel, node_of: &HashMap<ProcessKey, usize>, writing: bool, waiting: &[ProcessKey]) -> Vec<Tie> {
    let (users, others) =
        if writing { (&channel.senders, &channel.receivers) } else { (&channel.receivers, &channel.senders) };
    let mut roles: BTreeMap<usize, bool> = BTreeMap::new();
    let mut add = |key: &ProcessKey, used: bool| {
        if let Some(node) = node_of.get(key) {
            *roles.entry(*node).or_default() |= used;
        }
    };
    for key in users.keys() {
        add(key, true);
    }
    if is_queue(channel) {
        for key in waiting {
            add(key, false);
        }
    }
    for ((key, fd), end) in &channel.holders {
        let here = if writing { end.writes() } else { end.reads() };
        // Whoever holds both ends and uses neither is on the way to fork: not yet a party.
        let both = || holds(channel, *key, *fd, !writing) && !others.contains_key(key);
        if here && !users.contains_key(key) && !both() {
            add(key, false);
        }
    }
    roles.into_iter().map(|(node, used)| Tie { node, used }).collect()
}

/// Nodes that all are writers as well as readers: drawn as a link from the busiest to the others, with heads on both
/// sides.
fn meet(writers: &mut Vec<Tie>, readers: &mut Vec<Tie>, calls: impl Fn(usize) -> u64) -> bool {
    if !writers.iter().map(|tie| tie.node).eq(readers.iter().map(|tie| tie.node)) {
        return false;
    }
    let both = writers.iter().zip(&*readers).map(|(one, other)| Tie { used: one.used || other.used, ..*one });
    let mut all: Vec<Tie> = both.collect();
    // The first of those that are equally busy.
    let Some(most) = (0..all.len()).rev().max_by_key(|place| all.get(*place).map(|tie| calls(tie.node))) else {
        return false;
    };
    *writers = vec![all.remove(most)];
    *readers = all;
    true
}

/// The host at the other end, if nobody in the trace is: what a connection was made to, or where datagrams are sent.
fn far_host(channel: &Channel) -> Option<IpAddr> {
    let address = match channel.mechanism {
        ChannelType::Tcp => channel.far.as_deref()?,
        ChannelType::Udp if channel.receivers.is_empty() => channel.id.0.strip_prefix("udp:")?,
        _ => return None,
    };
    let host = address.parse::<SocketAddr>().ok()?.ip().to_canonical();
    let is_broadcast = host == IpAddr::V4(Ipv4Addr::BROADCAST);
    (!host.is_loopback() && !host.is_unspecified() && !host.is_multicast() && !is_broadcast).then_some(host)
}

/// An internet socket that several may hold, but that is no connection: it listens, or sends to the addresses of others.
fn is_socket_alone(channel: &Channel) -> bool {
    let has_no_address = channel.id.0.split_once(":[").is_some_and(|(kind, _)| matches!(kind, "udp" | "tcp"));
    has_no_address && channel.senders.is_empty() && channel.receivers.is_empty()
}

fn is_queue(channel: &Channel) -> bool {
    matches!(channel.mechanism, ChannelType::SysvMq | ChannelType::PosixMq)
}

fn is_of_one(channel: &Channel) -> bool {
    let mut users = channel.senders.keys().chain(channel.receivers.keys());
    let first = users.next();
    users.all(|user| Some(user) == first)
}

/// How often the processes of a node have sent and received.
fn calls(channel: &Channel, node_of: &HashMap<ProcessKey, usize>, node: usize) -> u64 {
    let users = channel.senders.iter().chain(&channel.receivers);
    users.filter(|(key, _)| node_of.get(key) == Some(&node)).map(|(_, hold)| hold.calls).sum()
}

/// Whether the process has another descriptor of the channel, for the other direction.
fn holds(channel: &Channel, key: ProcessKey, fd: i32, writing: bool) -> bool {
    let held = channel.holders.range((key, i32::MIN)..=(key, i32::MAX));
    held.into_iter().any(|((_, other), end)| *other != fd && if writing { *end != End::R } else { *end != End::W })
}
