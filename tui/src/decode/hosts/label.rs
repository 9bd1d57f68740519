//! What makes the events of a part unique in the whole: times, ids of processes, calls, signals and channels.
//!
//! Calls and signals of part `p` of `n` get the numbers `n * own + p`. A channel keeps its name unless another part has one
//! of that name which is not the same: then it gets `@host`. The same are the two ends of a TCP connection, by its
//! addresses (what that would get wrong was found out when the parts were merged, and is renamed), and what has an inode
//! of a kernel-wide kind on one machine.
//!
//! Invariant: no id of two parts is the same unless it is one thing's. Tested in `tests.rs`.

use foldhash::HashMap;

use super::Part;
use crate::event::{
    Blocked, Call, ChannelId, ChannelType, Event, Host, Interrupted, Kind, Nanos, OpId, SignalEvent, SignalId,
    StateChange, Task, Transfer, WokenBy, host_place, on_host,
};

/// A part's place among the others.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) place: usize,
    /// How many parts there are.
    pub(super) count: usize,
    pub(super) host: Host,
    /// To be added to its times, ns.
    pub(super) offset: u64,
}

/// The names of channels.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    parts: Vec<OfPart>,
    /// Who had a name first, and whether somebody else shares it.
    taken: HashMap<ChannelId, (usize, bool)>,
}

#[derive(Clone, Debug)]
struct OfPart {
    host: Host,
    machine: usize,
    /// By their names in the part.
    names: HashMap<ChannelId, ChannelId>,
}

impl Names {
    pub(super) fn new(parts: &[Part]) -> Self {
        let of = |part: &Part| OfPart {
            host: Host::from(part.host.as_str()),
            machine: part.machine,
            names: part.renamed.iter().map(|(own, whole)| (own.as_str().into(), whole.as_str().into())).collect(),
        };
        Self { parts: parts.iter().map(of).collect(), taken: HashMap::default() }
    }

    /// The host of a process.
    pub(super) fn host_of(&self, pid: u32) -> Option<Host> {
        self.parts.get(host_place(pid)).map(|part| part.host.clone())
    }

    /// Two parts have seen it.
    pub(super) fn is_shared(&self, channel: &ChannelId) -> bool {
        self.taken.get(channel).is_some_and(|(_, shared)| *shared)
    }

    /// Gives a channel of a part the name that it has in the whole.
    pub(super) fn put(&mut self, channel: &mut ChannelId, place: usize) {
        let Some(part) = self.parts.get(place) else { return };
        let known = part.names.get(channel);
        if let Some(known) = known.filter(|known| self.taken.contains_key(*known)) {
            let whole = known.clone();
            self.share(&whole, place);
            *channel = whole;
            return;
        }
        let wanted = known.unwrap_or(channel).clone();
        let owner = self.taken.get(&wanted).and_then(|(first, _)| self.parts.get(*first));
        let is_same = known.is_some() || owner.is_none_or(|owner| is_same(&wanted, part.machine == owner.machine));
        let whole = if is_same { wanted } else { ChannelId(format!("{wanted}@{}", part.host).into()) };
        self.share(&whole, place);
        if let Some(part) = self.parts.get_mut(place) {
            part.names.insert(std::mem::replace(channel, whole.clone()), whole);
        }
    }

    fn share(&mut self, whole: &ChannelId, place: usize) {
        let (first, shared) = self.taken.entry(whole.clone()).or_insert((place, false));
        *shared |= *first != place;
    }
}

/// Two parts mean the same channel by that name.
fn is_same(name: &ChannelId, same_machine: bool) -> bool {
    let by_inode = |kind: &str| name.0.strip_prefix(kind).is_some_and(|rest| rest.starts_with('['));
    let is_inode = ["pipe:", "fifo:", "unix:", "tcp:"].into_iter().any(by_inode);
    // An IPv6 address begins with a bracket, too.
    let is_connection = name.0.starts_with("tcp:") && name.0.contains('-');
    is_connection || same_machine && is_inode
}

impl Label {
    /// A time of the part in the whole.
    pub(super) fn whole(&self, own: Nanos) -> Nanos {
        Nanos(own.0.saturating_add(self.offset))
    }

    /// A time of the whole in the part.
    pub(super) fn own(&self, whole: Nanos) -> Nanos {
        Nanos(whole.0.saturating_sub(self.offset))
    }

    fn unique(&self, own: u64) -> u64 {
        own.saturating_mul(self.count as u64).saturating_add(self.place as u64)
    }

    /// Makes an event of the part one of the whole.
    pub(super) fn put(&self, event: &mut Event, names: &mut Names) {
        event.t = self.whole(event.t);
        event.host = Some(self.host.clone());
        event.task = event.task.map(|task| self.task(task));
        match &mut event.kind {
            Kind::Fork { child, .. } => *child = self.task(*child),
            Kind::State(change) => self.state(change, names),
            Kind::Channel(change) => {
                names.put(&mut change.channel, self.place);
                if let Some(peer) = &mut change.peer {
                    peer.pid = self.id(peer.pid);
                }
                change.call.iter_mut().for_each(|call| self.call(call));
            }
            Kind::Send(transfer) | Kind::Recv(transfer) => self.transfer(transfer, names),
            Kind::Signal(step) => self.signal(step, names),
            Kind::Rpc(rpc) => names.put(&mut rpc.channel, self.place),
            Kind::Lost(lost) => {
                (lost.t_from, lost.t_to) = (self.whole(lost.t_from), self.whole(lost.t_to));
            }
            Kind::Exec(_) | Kind::Exit(_) | Kind::Disposition(_) | Kind::Dispositions(_) | Kind::Mask(_) => {}
        }
    }

    fn id(&self, id: u32) -> u32 {
        on_host(id, self.place)
    }

    fn task(&self, task: Task) -> Task {
        Task { pid: self.id(task.pid), tid: self.id(task.tid) }
    }

    fn op(&self, op: &mut OpId) {
        op.0 = self.unique(op.0);
    }

    fn signal_id(&self, id: &mut SignalId) {
        id.0 = self.unique(id.0);
    }

    fn call(&self, call: &mut Call) {
        self.op(&mut call.op);
        call.interrupted_by.iter_mut().for_each(|id| self.signal_id(id));
    }

    fn state(&self, change: &mut StateChange, names: &mut Names) {
        if let Some(WokenBy::Task(task)) = &mut change.woken_by {
            *task = self.task(*task);
        }
        let Some(on) = change.on.as_deref_mut() else { return };
        let Blocked { op, channel, channels, peer, waits_for, .. } = on;
        if let Some(op) = op {
            self.op(op);
        }
        for channel in channel.iter_mut().chain(channels) {
            names.put(channel, self.place);
        }
        for pid in peer.iter_mut().map(|peer| &mut peer.pid).chain(waits_for) {
            *pid = self.id(*pid);
        }
    }

    fn transfer(&self, transfer: &mut Transfer, names: &mut Names) {
        names.put(&mut transfer.channel, self.place);
        self.call(&mut transfer.call);
        for origin in transfer.from.iter_mut().flatten() {
            self.op(&mut origin.op);
            origin.pid = self.id(origin.pid);
        }
        // The ends of a stream are named by their inodes, which are 32 bits wide; those of datagrams by ports.
        if let Some(way) = transfer.way.as_mut().filter(|_| transfer.mechanism != ChannelType::Udp) {
            way.own ^= (self.place as u64) << 48;
        }
    }

    fn signal(&self, step: &mut SignalEvent, names: &mut Names) {
        self.signal_id(&mut step.id);
        step.into.iter_mut().for_each(|id| self.signal_id(id));
        step.to.pid = self.id(step.to.pid);
        step.to.tid.iter_mut().for_each(|tid| *tid = self.id(*tid));
        let sender = step.sender.iter_mut().filter_map(|sender| sender.pid.as_mut());
        sender.for_each(|pid| *pid = self.id(*pid));
        step.op.iter_mut().for_each(|op| self.op(op));
        step.multicast.iter_mut().for_each(|number| *number = self.unique(*number));
        for Interrupted { op, channel, .. } in step.delivery.interrupted.iter_mut().chain(&mut step.consumed_by) {
            if let Some(op) = op {
                self.op(op);
            }
            if let Some(channel) = channel {
                names.put(channel, self.place);
            }
        }
    }
}
