//! The sends and receives that calls on sockets are.

use std::net::SocketAddr;

use ipcscope_common::socket::{self as wire, flag};

use super::super::{Decoder, descriptor::Key, names as words};
use super::{
    FlowKey, Name, Sequence,
    buffers::Piece,
    flow::{Received, Sent},
    has_messages, mechanism, names,
};
use crate::event::{
    Call, ChannelChange, ChannelEvent, ChannelId, ChannelType, End, FromUnknown, Kind, OpId, Origin, PeerPid, Stream,
    Task, Transfer, Way,
};

/// `ECONNRESET`.
const RESET: i64 = -104;
/// ns within which a socket's queue is looked at after the call returned.
const SLACK: u64 = 100_000;

/// A receive in a cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receive {
    op: OpId,
    received: Received,
    /// When it was alone with the socket: says which of two was first.
    at: Option<u64>,
}

impl Receive {
    /// In the order in which they got their bytes, if that is known of all.
    fn in_order(mut receives: Vec<Self>) -> Option<Vec<Self>> {
        receives.sort_by_key(|receive| receive.at);
        receives.iter().all(|receive| receive.at.is_some()).then_some(receives)
    }
}

impl Decoder {
    /// A call that moves bytes through a socket returned.
    pub(in crate::decode) fn socket_call(&mut self, record: &wire::SocketCall, payload: &[u8]) {
        let header = &record.header;
        let key = (record.end.dev, record.end.ino);
        let known = self.channels.sockets.get(key).map(|socket| socket.mechanism);
        let Some(mechanism) = mechanism(&record.end).or(known) else { return };
        let task = Task { pid: header.tgid, tid: header.tid };
        let op = self.tasks.op(task.tid, task.pid, record.entered);
        if let Some(thread) = self.tasks.get_mut(task.tid) {
            thread.last_entered = record.entered;
        }
        let given =
            if record.flags & flag::ADDRESSED != 0 { self.addresses(task.tid, record.entered) } else { [None, None] };
        let follows = self.follows();
        let outside = !follows || self.channels.is_outside(key);
        let (mut own, mut peer) = names(&record.end);
        let sockets = &mut self.channels.sockets;
        let socket = sockets.ensure(key, mechanism, record.end.peer_ino, outside);
        socket.outside |= outside;
        socket.unsure |= record.flags & (flag::UNSURE | flag::OUT_OF_BAND) != 0;
        if let Some(over) = socket.connection_over(&record.end) {
            (own, peer) = over;
        } else if record.end.sock != 0 {
            peer = sockets.across.real(peer);
            if record.flags & (flag::SEND | flag::SEQ) == flag::SEQ && record.ret > 0 {
                peer = sockets.look_across(own, peer, record.seq[0]);
            }
            sockets.call(key, own, Some(peer));
        }
        let count = record.index >> 16;
        let index = record.index & 0xffff;
        let (first, last) = (index == 0, index + 1 >= count.min(wire::MESSAGES));
        let mut call = self.call(task, op, record.nr, (record.entered, record.header.time));
        if !first {
            call.blocked_ns = None;
        }
        if record.flags & flag::SEND != 0 {
            self.socket_send(record, payload, call, (task, key, mechanism), (own, peer), given, last);
        } else {
            self.socket_receive(record, payload, call, (task, key, mechanism), (own, peer), given, last);
        }
        if record.ret == RESET {
            self.tell_reset(record, task, key);
        }
    }

    /// The other end is gone, and what it had not read with it. The kernel says so once: the next call gets end-of-file
    /// or EPIPE.
    fn tell_reset(&mut self, record: &wire::SocketCall, task: Task, key: Key) {
        let Some(socket) = self.channels.sockets.get(key) else { return };
        let mut told = ChannelEvent::new(socket.id.clone(), socket.mechanism, ChannelChange::Reset);
        (told.fd, told.end) = (Some(record.fd), Some(End::Rw));
        told.peer = Some(socket.other).filter(|pid| *pid != 0).map(|pid| PeerPid { pid });
        told.error = Some(words::errno(RESET));
        self.push(record.header.time, task, Kind::Channel(Box::new(told)));
    }

    fn socket_transfer(
        record: &wire::SocketCall,
        payload: &[u8],
        call: Call,
        channel: ChannelId,
        mechanism: ChannelType,
        given: Option<&str>,
    ) -> Transfer {
        let mut transfer = Transfer::new(channel, mechanism, Some(record.fd), call);
        transfer.requested = (record.requested != u64::MAX).then_some(record.requested);
        transfer.nonblocking = record.flags & flag::NONBLOCK != 0;
        if record.ret >= 0 {
            // With MSG_TRUNC it is the message's length, which may be more than there was room for.
            transfer.bytes = Some((record.ret as u64).min(record.requested));
        } else {
            transfer.error = Some(words::errno(record.ret));
        }
        transfer.payload = (!payload.is_empty()).then(|| payload.to_vec());
        transfer.peek = record.flags & flag::PEEK != 0;
        transfer.way = Some(way(record, mechanism, given));
        transfer
    }

    #[expect(clippy::too_many_arguments, reason = "what the call's record says, taken apart once")]
    fn socket_send(
        &mut self,
        record: &wire::SocketCall,
        payload: &[u8],
        call: Call,
        (task, key, mechanism): (Task, Key, ChannelType),
        (own, peer): (Name, Name),
        [_, given]: [Option<String>; 2],
        last: bool,
    ) {
        let time = record.header.time;
        let (op, messages) = (call.op, has_messages(mechanism));
        let sockets = &mut self.channels.sockets;
        let by_address = given.is_some() && mechanism == ChannelType::UnixDgram;
        let to = if by_address { given.as_ref().and_then(|name| sockets.bound.get(name).copied()) } else { Some(peer) };
        let own_id = sockets.get(key).map(|socket| socket.id.clone());
        let receiver = to.and_then(|to| sockets.named(to)).map(|socket| socket.id.clone());
        let id = match mechanism {
            ChannelType::Udp => Some(super::life::udp(given.as_deref(), &record.end)),
            ChannelType::UnixDgram => receiver.or(own_id),
            _ => own_id,
        };
        let Some(id) = id else { return };
        let mut transfer = Self::socket_transfer(record, payload, call, id, mechanism, given.as_deref());
        let is_alone = record.index >> 16 <= 1 && !by_address;
        if messages && record.ret >= 0 && record.flags & flag::QUEUED_THERE != 0 && is_alone {
            transfer.depth = Some(record.queued.into());
        }
        if mechanism == ChannelType::Udp {
            self.udp_sent(record, payload, (task, key, op), given.as_deref(), last);
        }
        let sockets = &mut self.channels.sockets;
        transfer.to = given;
        let moved = record.ret > 0 || messages && record.ret == 0;
        let mut touched: Vec<FlowKey> = Vec::new();
        let mut item = None;
        if moved && !matches!(mechanism, ChannelType::Udp | ChannelType::Tcp) {
            if let Some(to) = to {
                let flow = (own, to);
                // A datagram socket's first message to another, if that one is new.
                let fresh = mechanism == ChannelType::UnixDgram && sockets.get(key).is_some_and(|socket| socket.born);
                sockets.flow(flow, messages, true, fresh);
                item = Some((flow, Sent { op, pid: task.pid, bytes: record.ret as u64, entered: record.entered }));
            } else if let Some(socket) = sockets.get_mut(key) {
                // To a name that nobody in the trace has taken: what else it sends cannot be told from it.
                socket.unsure = true;
            }
        }
        let cluster = sockets.get_mut(key).map(|socket| socket.sends.exit(task, item, last)).unwrap_or_default();
        for (flow, _) in &cluster {
            if touched.contains(flow) {
                continue;
            }
            touched.push(*flow);
            let of_it = cluster.iter().filter(|(other, _)| other == flow).map(|(_, sent)| *sent);
            let sends: Vec<Sent> = of_it.collect();
            let Some(flow) = sockets.flows.get_mut(flow) else { continue };
            if sends.iter().all(|sent| sent.op == op) {
                // Messages of one call come one after the other.
                for sent in sends {
                    transfer.offset = flow.sent(time, &[sent]).filter(|_| !messages);
                }
            } else {
                flow.sent(time, &sends);
            }
        }
        if moved && record.flags & flag::SEQ != 0 {
            let (flow, sender) = ((own, peer), (op, task.pid));
            let sequence = sockets.sequences.ensure(flow, Sequence::default);
            transfer.offset = sequence.sent(sender, record.seq, record.ret as u64);
            transfer.stream = stream(own, record).map(Box::new);
            touched.push(flow);
        }
        if !is_restart(record.ret) {
            self.push(time, task, Kind::Send(Box::new(transfer)));
        }
        self.serve_flows(&touched);
    }

    /// A receive got bytes of a TCP connection.
    fn tcp_received(
        &mut self,
        record: &wire::SocketCall,
        (own, peer): (Name, Name),
        task: Task,
        mut transfer: Transfer,
    ) {
        let time = record.header.time;
        let flow = (peer, own);
        let is_counted = record.flags & flag::SEQ != 0;
        if !is_counted {
            // Bytes that were not copied: discarded (MSG_TRUNC), or moved on (splice).
            transfer.from_unknown = Some(FromUnknown::Overlap);
        }
        transfer.stream = stream(peer, record).filter(|_| is_counted).map(Box::new);
        let (bytes, peek) = (transfer.bytes.unwrap_or(0), transfer.peek);
        let mut event = self.event(time, task, Kind::Recv(Box::new(transfer)));
        if !is_counted {
            self.outbox.push(event);
            return;
        }
        let sequences = &mut self.channels.sockets.sequences;
        let sequence = sequences.ensure(flow, Sequence::default);
        let ticket = sequence.offer(record.seq[0].wrapping_add(record.skipped), bytes, peek);
        if let Kind::Recv(transfer) = &mut event.kind {
            transfer.offset = ticket.offset;
        }
        let place = self.outbox.hold(event);
        if let Some(sequence) = self.channels.sockets.sequences.get_mut(&flow) {
            sequence.wait(ticket, place);
        }
        self.serve_flows(&[flow]);
    }

    /// Whose bytes a receive from a UNIX socket got, by the buffers that they were in.
    fn socket_origins(&mut self, record: &wire::SocketCall, tid: u32, flow: FlowKey) -> Option<Vec<Origin>> {
        let sockets = &mut self.channels.sockets;
        let told = sockets.pieces.remove(&tid).filter(|(entered, ..)| *entered == record.entered);
        let Name::Sock(sock) = flow.0 else { return None };
        let bytes = record.ret as u64;
        let pieces = match told {
            _ if record.buffer != 0 => vec![Piece { buffer: record.buffer, time: record.copied, bytes }],
            Some((_, from, pieces)) if from == sock => pieces,
            _ => return None,
        };
        if pieces.iter().fold(0, |sum: u64, piece| sum.saturating_add(piece.bytes)) != bytes {
            return None;
        }
        // Nobody but the traced can have sent it.
        let is_ours = match sockets.named(flow.0) {
            Some(sender) => sender.obstacle().is_none() && sender.on_the_way == 0,
            None => sockets.flows.get(&flow).is_some_and(|flow| !flow.is_lost_for_good()),
        };
        if is_ours { sockets.buffers.origins(sock, &pieces) } else { None }
    }

    #[expect(clippy::too_many_arguments, reason = "what the call's record says, taken apart once")]
    fn socket_receive(
        &mut self,
        record: &wire::SocketCall,
        payload: &[u8],
        call: Call,
        (task, key, mechanism): (Task, Key, ChannelType),
        (own, peer): (Name, Name),
        [_, given]: [Option<String>; 2],
        last: bool,
    ) {
        let time = record.header.time;
        let (op, messages) = (call.op, has_messages(mechanism));
        let has_sender = record.flags & flag::SENDER != 0;
        let sockets = &mut self.channels.sockets;
        let id = match mechanism {
            ChannelType::Udp => Some(super::life::udp_local(&record.end)),
            _ => sockets.get(key).map(|socket| socket.id.clone()),
        };
        let Some(id) = id else { return };
        let mut transfer = Self::socket_transfer(record, payload, call, id, mechanism, given.as_deref());
        let got = record.ret > 0 || messages && record.ret == 0 && (has_sender || mechanism == ChannelType::Udp);
        transfer.eof = record.ret == 0 && !got && record.requested != 0;
        let (from, from_ino) = match mechanism {
            ChannelType::UnixDgram => (has_sender.then_some(Name::Sock(record.sender)), record.sender_ino),
            ChannelType::Udp => (None, 0),
            _ => (Some(peer), record.end.peer_ino),
        };
        let bytes = transfer.bytes.unwrap_or(0);
        let peek = transfer.peek;
        let mut touched: Vec<FlowKey> = Vec::new();
        let mut item = None;
        if got && record.message_len != 0 {
            transfer.discarded = Some(u64::from(record.message_len).saturating_sub(bytes)).filter(|cut| *cut > 0);
        } else if got && messages {
            transfer.discarded = (record.ret as u64).checked_sub(record.requested).filter(|cut| *cut > 0);
        }
        transfer.from = from.filter(|_| got).and_then(|from| self.socket_origins(record, task.tid, (from, own)));
        let is_told = transfer.from.is_some();
        if got && (messages && mechanism != ChannelType::Udp || record.flags & flag::QUEUED != 0) {
            transfer.depth = Some(record.queued.into());
        }
        if mechanism == ChannelType::Udp {
            self.udp_waited(record, key, transfer.call.blocked_ns.is_some_and(|ns| ns > 0));
        }
        if mechanism == ChannelType::Tcp && got {
            self.tcp_received(record, (own, peer), task, transfer);
            return;
        }
        let event = self.event(time, task, Kind::Recv(Box::new(transfer)));
        if mechanism == ChannelType::Udp && got {
            self.udp_received(record, payload, key, given.as_deref(), event);
            return;
        }
        let sockets = &mut self.channels.sockets;
        match from.filter(|_| got) {
            Some(from) => {
                let flow = (from, own);
                let known = sockets.named(from).is_some() || sockets.get((key.0, from_ino)).is_some();
                let fresh =
                    mechanism == ChannelType::UnixDgram && sockets.named(from).is_some_and(|socket| socket.born);
                sockets.flow(flow, messages, known, fresh);
                let place = if is_told {
                    self.outbox.push(event);
                    None
                } else {
                    Some(self.outbox.hold(event))
                };
                let at = (record.copied != 0).then_some(record.copied);
                item = Some((
                    flow,
                    Receive { op, received: Received { place, bytes, peek, skipped: record.skipped.into() }, at },
                ));
            }
            None if is_restart(record.ret) => {}
            None => {
                let mut event = event;
                if let Kind::Recv(transfer) = &mut event.kind
                    && got
                {
                    transfer.from_unknown = Some(FromUnknown::Overlap);
                }
                self.outbox.push(event);
            }
        }
        let Some(socket) = sockets.get_mut(key) else { return };
        let cluster = socket.receives.exit(task, item, last);
        let idle = socket.receives.is_idle();
        for (flow, _) in &cluster {
            if !touched.contains(flow) {
                touched.push(*flow);
                let of_it = cluster.iter().filter(|(other, _)| other == flow).map(|(_, item)| *item);
                let of_it: Vec<Receive> = of_it.collect();
                let Some(flow) = sockets.flows.get_mut(flow) else { continue };
                let in_order = if of_it.iter().all(|receive| receive.op == op) {
                    Some(of_it.clone())
                } else {
                    Receive::in_order(of_it.clone())
                };
                match in_order {
                    Some(receives) => receives.into_iter().for_each(|receive| flow.received(vec![receive.received])),
                    None => flow.received(of_it.into_iter().map(|receive| receive.received).collect()),
                }
            }
        }
        self.serve_flows(&touched);
        // EAGAIN: it was empty meanwhile; nothing queued: it is empty now.
        let empty = match record.ret {
            -11 => Some((record.entered, time)),
            0.. if record.queued == 0 => Some((time, time + SLACK)),
            _ => None,
        };
        if let Some((from, to)) = empty.filter(|_| idle && matches!(own, Name::Sock(_)) && record.end.sock != 0) {
            touched.push((peer, own));
            for key in &touched {
                if let Some(flow) = self.channels.sockets.flows.get_mut(key) {
                    flow.empty(from, to);
                }
            }
        }
    }
}

/// Between which ends it goes.
fn way(record: &wire::SocketCall, mechanism: ChannelType, given: Option<&str>) -> Way {
    if mechanism != ChannelType::Udp {
        return Way { own: record.end.ino, other: 0 };
    }
    let given = given.and_then(|address| address.parse::<SocketAddr>().ok()).map(|address| address.port());
    Way { own: record.end.local_port.into(), other: given.unwrap_or(record.end.remote_port).into() }
}

/// Which bytes of a TCP connection a call is about; `sender`: the end that sends them.
fn stream(sender: Name, record: &wire::SocketCall) -> Option<Stream> {
    let Name::Inet(_, from, to) = sender else { return None };
    Some(Stream { from: from.long(), to: to.long(), seq: record.seq })
}

/// The call will go on or fail: it is told then.
fn is_restart(ret: i64) -> bool {
    (-516..=-512).contains(&ret)
}
