//! Sockets: whose bytes are whose, and which two sockets are one channel.
//!
//! A socket is known by its inode, like any end of a channel; what goes from one to another is a [`flow::Flow`]. UNIX
//! sockets know their peer by the kernel's address of it, which is there before anybody accepts; the two ends of a TCP
//! connection have the same addresses the other way round.
//!
//! Invariants: an origin is exact or absent; a socket that somebody outside the trace may use gives none. Tested by the
//! tables of [`flow`] and [`lane`], and by tui/tests/live_sockets.rs.

mod across;
mod address;
mod between;
mod buffers;
mod datagrams;
mod flow;
mod lane;
mod life;
mod sequence;
mod transfer;
mod udp;

use std::net::SocketAddr;

use foldhash::HashMap;

use ipcscope_common::{
    descriptor::object,
    sched,
    socket::{self as wire, AF_INET, AF_INET6, AF_UNIX, Endpoint, whose},
};
use syscalls::Sysno;

use super::{Decoder, descriptor::Key, outbox::Place, shared::Shared};
use crate::event::{Arrival, ChannelId, ChannelType, FromUnknown, Kind, OpId, Task};

use across::Across;
use address::Short;
use between::Between;
use buffers::{Buffers, Piece};
use datagrams::Datagrams;
use flow::Flow;

use lane::Lane;

pub(super) use flow::Answer;
pub(super) use sequence::Sequence;

/// One end of a flow: the address of a UNIX `sock`, or a network namespace with own and other address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Name {
    Sock(u64),
    Inet(u32, Short, Short),
}

/// From one socket to another.
type FlowKey = (Name, Name);

/// A socket in the stream.
#[derive(Clone, Debug)]
pub struct Socket {
    /// What its channel is called.
    pub id: ChannelId,
    /// Its mechanism.
    pub mechanism: ChannelType,
    /// Descriptors in the trace.
    pub holders: u32,
    /// Somebody outside the trace holds it, or may.
    pub outside: bool,
    /// Copies that messages took along and nobody in the trace has got yet.
    pub on_the_way: u32,
    /// Who holds it may move bytes in ways that are not followed.
    pub unseen: bool,
    name: Option<Name>,
    peer: Option<Name>,
    /// It was made in the trace.
    born: bool,
    /// The process that made or connected it.
    maker: u32,
    /// The same of the other end of its connection, which may be gone; 0: unknown.
    other: u32,
    /// Calls cannot be told apart.
    unsure: bool,
    /// UDP: its network namespace, its address, and since when it has that.
    bound: Option<(u32, SocketAddr, u64)>,
    sends: Lane<(FlowKey, flow::Sent)>,
    receives: Lane<(FlowKey, transfer::Receive)>,
}

impl Socket {
    /// Why nothing can be said of whose bytes are whose.
    fn obstacle(&self) -> Option<FromUnknown> {
        if self.outside {
            Some(FromUnknown::External)
        } else if self.unseen || self.unsure {
            Some(FromUnknown::Overlap)
        } else {
            None
        }
    }

    /// What it and its peer are called, if it is a TCP socket whose connection is over: the kernel has taken its port away,
    /// but what is received last is still from that connection.
    fn connection_over(&self, end: &Endpoint) -> Option<(Name, Name)> {
        let is_over = matches!(self.name, Some(Name::Inet(..))) && end.state == CLOSED;
        self.name.zip(self.peer).filter(|_| is_over)
    }
}

/// `TCP_CLOSE` (include/net/tcp_states.h).
const CLOSED: u16 = 7;

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    by_key: Shared<Key, Socket>,
    by_name: HashMap<Name, Key>,
    flows: Between<Flow>,
    /// TCP connections whose ends are in two network namespaces.
    across: Across,
    /// TCP.
    sequences: Between<Sequence>,
    /// UNIX sockets that datagrams can be sent to, by name.
    bound: HashMap<String, Name>,
    /// Addresses told of a thread's call before the call itself: when it was entered, own, other.
    addresses: HashMap<u32, (u64, [Option<String>; 2])>,
    /// Buffers of shared UNIX sockets.
    buffers: Buffers,
    /// UDP sockets by network namespace and port.
    ports: HashMap<(u32, u16), Vec<Key>>,
    datagrams: Datagrams,
    /// What a thread's receive got, told before the call itself: when it was entered, from which socket, in order.
    pieces: HashMap<u32, (u64, u64, Vec<Piece>)>,
}

/// What a socket is; `None`: none of ours.
fn mechanism(end: &Endpoint) -> Option<ChannelType> {
    match (end.family, end.kind, end.protocol) {
        (AF_UNIX, wire::STREAM, _) => Some(ChannelType::UnixStream),
        (AF_UNIX, wire::DGRAM, _) => Some(ChannelType::UnixDgram),
        (AF_UNIX, wire::SEQPACKET, _) => Some(ChannelType::UnixSeqpacket),
        (AF_INET | AF_INET6, wire::STREAM, IPPROTO_TCP) => Some(ChannelType::Tcp),
        (AF_INET | AF_INET6, wire::DGRAM, IPPROTO_UDP) => Some(ChannelType::Udp),
        _ => None,
    }
}

const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;

/// The same by what a descriptor's record says.
pub fn mechanism_of(object: u16) -> Option<ChannelType> {
    let kind = object >> object::MECHANISM;
    match (kind & object::INET != 0, kind & 15) {
        (false, wire::STREAM) => Some(ChannelType::UnixStream),
        (false, wire::DGRAM) => Some(ChannelType::UnixDgram),
        (false, wire::SEQPACKET) => Some(ChannelType::UnixSeqpacket),
        (true, wire::STREAM) => Some(ChannelType::Tcp),
        (true, wire::DGRAM) => Some(ChannelType::Udp),
        _ => None,
    }
}

/// Own address, other address and network namespace of an end of a TCP connection.
pub fn connection(end: &Endpoint) -> Option<(SocketAddr, SocketAddr, u32)> {
    let is_connected = mechanism(end) == Some(ChannelType::Tcp) && end.local_port != 0 && end.remote_port != 0;
    let (local, remote) = address::of(end);
    is_connected.then_some((local, remote, end.netns))
}

fn has_messages(mechanism: ChannelType) -> bool {
    !matches!(mechanism, ChannelType::UnixStream | ChannelType::Tcp)
}

/// A socket's own name and its peer's. A UDP socket has no peer that is certain, and may share its address.
fn names(end: &Endpoint) -> (Name, Name) {
    if end.family == AF_UNIX || end.kind == wire::DGRAM {
        return (Name::Sock(end.sock), Name::Sock(end.peer));
    }
    let (local, remote) = address::of(end);
    let (local, remote) = (Short::from(local), Short::from(remote));
    (Name::Inet(end.netns, local, remote), Name::Inet(end.netns, remote, local))
}

impl Sockets {
    /// About how many bytes a copy takes; what has not changed is shared with the last one. See [`Decoder::weight`].
    pub fn weight(&self, changed: usize) -> usize {
        let sends: usize = self.sequences.values().map(Sequence::sends).sum();
        let (sockets, between) = (self.by_key.len(), self.flows.len() + self.sequences.len());
        let tables = sockets * 200 + between * 400;
        let copied = sockets.min(changed) * 400 + between.min(changed) * 500;
        tables + copied + (sends + self.datagrams.len()) * 100
    }

    /// The socket with that inode.
    pub fn get(&self, key: Key) -> Option<&Socket> {
        self.by_key.get(&key)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Socket> {
        self.by_key.get_mut(&key)
    }

    fn named(&self, name: Name) -> Option<&Socket> {
        self.by_key.get(self.by_name.get(&name)?)
    }

    /// The socket with that inode, made up if it was not seen before. `peer`: the inode of its peer, or 0.
    pub fn ensure(&mut self, key: Key, mechanism: ChannelType, peer: u64, outside: bool) -> &mut Socket {
        let (dev, ino) = key;
        let prefix = match mechanism {
            ChannelType::Tcp => "tcp",
            ChannelType::Udp => "udp",
            _ => "unix",
        };
        // Of a pair the lower one; who has connected to whom is known only of those seen connecting.
        let is_pair = peer != 0 && mechanism != ChannelType::UnixDgram;
        let known = self.by_key.get(&(dev, peer)).filter(|_| is_pair).map(|peer| peer.id.clone());
        let lower = if is_pair { ino.min(peer) } else { ino };
        let id = || known.unwrap_or_else(|| ChannelId(format!("{prefix}:[{lower}]").into()));
        self.by_key.ensure(key, || Socket {
            id: id(),
            mechanism,
            holders: 0,
            outside,
            on_the_way: 0,
            unseen: false,
            name: None,
            peer: None,
            born: false,
            maker: 0,
            other: 0,
            unsure: false,
            bound: None,
            sends: Lane::default(),
            receives: Lane::default(),
        })
    }

    /// A socket is called so from now on.
    fn call(&mut self, key: Key, name: Name, peer: Option<Name>) {
        let Some(socket) = self.by_key.get_mut(&key) else { return };
        socket.peer = peer.or(socket.peer);
        if socket.name != Some(name) {
            if let Some(before) = socket.name.replace(name) {
                self.by_name.remove(&before);
                // It was connected once, and is again: nothing comes to it from there any more.
                let over: Vec<FlowKey> = self.sequences.at(before).filter(|flow| flow.1 == before).collect();
                for flow in over {
                    self.sequences.remove(&flow);
                }
            }
            self.by_name.insert(name, key);
            self.across.saw(name);
        }
    }

    /// Both directions between two sockets, new unless they are there already. `tag`: the connecting one's inode, or 0.
    /// `unknown`: why nobody knows what is in them already, if they are not there.
    fn connect(&mut self, one: Name, other: Name, messages: bool, tag: u64, unknown: Option<FromUnknown>) {
        for key in [(one, other), (other, one)] {
            if matches!(one, Name::Inet(..)) {
                self.sequences.ensure(key, Sequence::default);
                continue;
            }
            let is_it = self.flows.get(&key).is_some_and(|flow| tag == 0 || flow.tag == tag);
            if !is_it {
                self.flows.insert(key, Flow::new(messages, tag, unknown));
            }
        }
    }

    /// A flow that may have been there before. `known`: its sender is in the trace.
    fn flow(&mut self, key: FlowKey, messages: bool, known: bool, fresh: bool) -> &mut Flow {
        let why = match (known, fresh) {
            (true, true) => None,
            (true, false) => Some(FromUnknown::BeforeStart),
            (false, _) => Some(FromUnknown::External),
        };
        self.flows.ensure(key, || Flow::new(messages, 0, why))
    }

    /// Answers what can be answered of a flow.
    fn serve(&mut self, key: FlowKey, answers: &mut Vec<Answer>) {
        let ends = [self.named(key.0), self.named(key.1)];
        if ends.iter().flatten().any(|socket| socket.on_the_way > 0) {
            // It may be on its way to somebody outside the trace; if somebody in it gets it, it was not.
            return;
        }
        let obstacle = ends.iter().flatten().find_map(|socket| socket.obstacle());
        let in_flight = ends[0].and_then(|socket| socket.sends.sole());
        if let Some(sequence) = self.sequences.get_mut(&key) {
            // Who else receives takes nothing away from what is known.
            let obstacle = match self.by_name.get(&key.0).and_then(|key| self.by_key.get(key)) {
                Some(sender) => sender.obstacle(),
                // It may be gone, and what it sent on its way.
                None => (!sequence.is_known()).then_some(FromUnknown::External),
            };
            sequence.serve(in_flight, obstacle, answers);
            return;
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        if let Some(why) = obstacle {
            flow.lose(why, true);
        }
        flow.serve(in_flight, answers);
    }

    /// Nobody in the trace holds it any more.
    fn remove(&mut self, key: Key, answers: &mut Vec<Answer>) {
        let Some((name, mechanism)) = self.by_key.get(&key).map(|socket| (socket.name, socket.mechanism)) else {
            return;
        };
        if mechanism == ChannelType::Udp {
            self.datagrams.forget_receiver(key);
        }
        let Some(name) = name else {
            self.by_key.remove(&key);
            return;
        };
        let touching: Vec<FlowKey> = self.flows.at(name).chain(self.sequences.at(name)).collect();
        for flow in touching {
            self.serve(flow, answers);
            if flow.1 == name
                && let Some(mut sequence) = self.sequences.remove(&flow)
            {
                sequence.end(FromUnknown::Lost, answers);
            }
            // What it has sent can still be received.
            if flow.1 == name
                && let Some(mut flow) = self.flows.remove(&flow)
            {
                flow.end(answers);
            }
        }
        self.across.forget(name);
        self.by_key.remove(&key);
        if self.by_name.get(&name) == Some(&key) {
            self.by_name.remove(&name);
        }
        self.bound.retain(|_, bound| *bound != name);
    }
}

impl Decoder {
    pub(super) fn socket_address(&mut self, record: &wire::SocketAddress) {
        let bytes = record.bytes.get(..record.len as usize).unwrap_or(&record.bytes);
        let addresses = &mut self.channels.sockets.addresses;
        let told = addresses.entry(record.header.tid).or_insert((record.entered, [None, None]));
        if told.0 != record.entered {
            *told = (record.entered, [None, None]);
        }
        let [local, remote] = &mut told.1;
        let place = if record.whose == whose::LOCAL { local } else { remote };
        *place = address::name(bytes);
    }

    /// The addresses told of a call: own, other.
    fn addresses(&mut self, tid: u32, entered: u64) -> [Option<String>; 2] {
        let told = self.channels.sockets.addresses.remove(&tid).filter(|(time, _)| *time == entered);
        told.map_or([None, None], |(_, addresses)| addresses)
    }

    /// A send on a shared UNIX socket made a buffer.
    pub(super) fn socket_buffer(&mut self, record: &wire::SocketBuffer) {
        let header = &record.header;
        let op = self.tasks.op(header.tid, header.tgid, record.entered);
        self.channels.sockets.buffers.made(record.buffer, header.time, record.sock, op, header.tgid);
    }

    /// Some of what a receive got.
    pub(super) fn socket_pieces(&mut self, record: &wire::SocketPieces) {
        let new = (record.entered, record.sock, Vec::new());
        let told = self.channels.sockets.pieces.entry(record.header.tid).or_insert_with(|| new.clone());
        if told.0 != record.entered {
            *told = new;
        }
        let pieces = record.list.iter().take(usize::try_from(record.count).unwrap_or(0));
        told.2.extend(pieces.map(|p| Piece { buffer: p.buffer, time: p.time, bytes: p.bytes }));
    }

    /// A call on a shared socket begins; or, `before`, is the last one of the thread that was there before.
    pub(super) fn socket_begin(&mut self, record: &wire::SocketBegin, before: bool) {
        let header = &record.header;
        if before && self.tasks.get(header.tid).is_none_or(|thread| thread.last_entered >= record.entered) {
            return;
        }
        let task = Task { pid: header.tgid, tid: header.tid };
        let op = self.tasks.op(header.tid, header.tgid, record.entered);
        let key = (record.dev, record.ino);
        let sockets = &mut self.channels.sockets;
        if sockets.get(key).is_some_and(|socket| socket.mechanism == ChannelType::Udp) && record.sends != 0 {
            sockets.datagrams.begin(task.tid, (key, op), record.entered);
            return;
        }
        let Some(socket) = sockets.by_key.get_mut(&key) else { return };
        if record.sends == 0 {
            if socket.mechanism == ChannelType::Udp {
                // Who of several takes what cannot be said.
                sockets.datagrams.went(key);
            }
            socket.receives.enter(op, task);
        } else {
            socket.sends.enter(op, task);
        }
    }

    /// A thread fell asleep in a call on a socket: the call is in flight, whenever it may return.
    pub(super) fn socket_blocked(&mut self, block: &sched::Block, op: OpId) {
        use Sysno::{sendfile, sendmsg, sendto, write, writev};
        let call = super::names::sysno(block.nr);
        if !matches!(call, Some(write | writev | sendto | sendmsg | sendfile)) {
            return;
        }
        let Some(socket) = self.channels.sockets.get_mut((block.dev, block.ino)) else { return };
        let header = &block.switch.header;
        socket.sends.enter(op, Task { pid: header.tgid, tid: header.tid });
        if let Some(flow) = socket.name.zip(socket.peer) {
            self.serve_flows(&[flow]);
        }
    }

    fn serve_flows(&mut self, flows: &[FlowKey]) {
        let mut answers = Vec::new();
        for flow in flows {
            self.channels.sockets.serve(*flow, &mut answers);
        }
        self.answer_sockets(answers);
    }

    /// An end that was on its way has come to somebody in the trace.
    pub(super) fn socket_passed(&mut self, key: Key) {
        let Some(socket) = self.channels.sockets.get_mut(key) else { return };
        socket.on_the_way = socket.on_the_way.saturating_sub(1);
        if let Some((own, peer)) = socket.name.zip(socket.peer) {
            self.serve_flows(&[(own, peer), (peer, own)]);
        }
    }

    fn answer_sockets(&mut self, answers: Vec<Answer>) {
        for Answer { place, of } in answers {
            self.complete_receive(place, of, None);
        }
    }

    fn complete_receive(
        &mut self,
        place: Place,
        of: Result<(Vec<crate::event::Origin>, Option<u64>, u64), FromUnknown>,
        arrival: Option<Arrival>,
    ) {
        self.outbox.complete(place, |event| {
            let Kind::Recv(transfer) = &mut event.kind else { return };
            transfer.arrival = arrival;
            match of {
                Ok((from, offset, cut)) => {
                    transfer.from = Some(from);
                    transfer.offset = offset.or(transfer.offset);
                    transfer.discarded = (cut > 0).then_some(cut);
                }
                Err(why) => transfer.from_unknown = Some(why),
            }
        });
    }

    /// A socket that nobody in the trace holds any more is forgotten.
    pub(super) fn sweep_socket(&mut self, key: Key) {
        if self.channels.sockets.get(key).is_none_or(|socket| socket.holders > 0 || socket.on_the_way > 0) {
            return;
        }
        if let Some(socket) = self.channels.sockets.get(key) {
            let (name, peer, id) = (socket.name, socket.peer, socket.id.clone());
            if peer.and_then(|peer| self.channels.sockets.named(peer)).is_none_or(|other| other.id != id) {
                self.outbox.forget(id);
            }
            if let Some(Name::Sock(address)) = name {
                self.channels.forget(address);
            }
        }
        let mut answers = Vec::new();
        self.channels.sockets.remove(key, &mut answers);
        self.answer_sockets(answers);
    }

    /// Records are missing: what is in flight or on the way is unknown.
    pub(super) fn sockets_lost(&mut self, over: bool) {
        let sockets = &mut self.channels.sockets;
        sockets.buffers.lost(over);
        sockets.pieces.clear();
        sockets.datagrams.lost();
        for socket in sockets.by_key.values_mut() {
            socket.sends.lose();
            socket.receives.lose();
        }
        let flows: Vec<FlowKey> = sockets.flows.keys().collect();
        for flow in sockets.flows.values_mut() {
            flow.lose(FromUnknown::Lost, false);
        }
        let mut answers = Vec::new();
        for sequence in sockets.sequences.values_mut() {
            sequence.end(FromUnknown::Lost, &mut answers);
        }
        self.answer_sockets(answers);
        self.serve_flows(&flows);
    }

    /// The trace is over.
    pub(super) fn finish_sockets(&mut self) {
        let mut answers = Vec::new();
        for mut flow in self.channels.sockets.flows.take() {
            flow.end(&mut answers);
        }
        for mut sequence in self.channels.sockets.sequences.take() {
            sequence.end(FromUnknown::Lost, &mut answers);
        }
        self.answer_sockets(answers);
    }
}
