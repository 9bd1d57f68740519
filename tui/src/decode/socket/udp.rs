//! UDP: which sockets a datagram can have come from, and what became of it.

use std::net::SocketAddr;

use ipcscope_common::socket::{self as wire, Endpoint, flag};

use super::super::{Decoder, descriptor::Key};
use super::{
    Sockets, address,
    datagrams::{Answer, Received, Senders, Sent},
};
use crate::event::{ChannelChange, ChannelEvent, ChannelType, Event, FromUnknown, Kind, OpId, Task};

const EAGAIN: i64 = -11;
const EFAULT: i64 = -14;

impl Sockets {
    /// A socket has this address now.
    pub(super) fn bind_udp(&mut self, key: Key, end: &Endpoint, time: u64) {
        let local = address::of(end).0;
        if local.port() == 0 {
            return;
        }
        let Some(socket) = self.by_key.get_mut(&key) else { return };
        let before = socket.bound.map(|(_, _, since)| since);
        socket.bound = Some((end.netns, local, before.unwrap_or(if socket.born { time } else { 0 })));
        let holders = self.ports.entry((end.netns, local.port())).or_default();
        if !holders.contains(&key) {
            // Those that are gone have nothing to say any more when somebody new comes.
            for gone in holders.extract_if(.., |holder| !self.by_key.contains_key(holder)) {
                self.datagrams.forget_sender(gone);
            }
            holders.push(key);
        }
    }

    /// Which sockets a datagram can have come from that was received at `at` in this network namespace.
    fn senders(&self, netns: u32, from: SocketAddr, at: SocketAddr) -> Senders {
        let is_it = |sender: &Key| {
            let local = self.get(*sender).and_then(|socket| socket.bound).map(|(_, local, _)| local.ip());
            let own = from.ip().is_loopback() || from.ip() == at.ip() || local == Some(from.ip());
            own && local.is_none_or(|local| local.is_unspecified() || local == from.ip())
        };
        let all = self.ports.get(&(netns, from.port())).into_iter().flatten();
        let senders: Vec<Key> = all.copied().filter(is_it).collect();
        let obstacle = senders
            .iter()
            .filter_map(|sender| self.get(*sender))
            .find_map(|socket| socket.obstacle().or((!socket.born).then_some(FromUnknown::BeforeStart)));
        match obstacle {
            Some(why) => Err(why),
            None if senders.is_empty() => Err(FromUnknown::External),
            None => Ok(senders),
        }
    }
}

impl Decoder {
    /// A datagram was sent, or was not.
    pub(super) fn udp_sent(
        &mut self,
        record: &wire::SocketCall,
        payload: &[u8],
        (task, key, op): (Task, Key, OpId),
        given: Option<&str>,
        last: bool,
    ) {
        let sockets = &mut self.channels.sockets;
        sockets.bind_udp(key, &record.end, record.entered);
        let remote = address::of(&record.end).1;
        let to = given.map_or(Some(remote), |text| text.parse().ok().map(address::canonical));
        let mut answers = Vec::new();
        if let (0.., Some(to)) = (record.ret, to) {
            let bytes = record.ret as u64;
            let from = address::of(&record.end).0;
            let (entered, returned) = (record.entered, record.header.time);
            let (payload, partial) = (payload.to_vec(), record.index >> 16 > wire::MESSAGES);
            let sent = Sent { op, pid: task.pid, entered, returned, from, to, bytes, payload, partial };
            sockets.datagrams.sent(key, sent, &mut answers);
        }
        if last {
            sockets.datagrams.end(task.tid, &mut answers);
        }
        self.answer_datagrams(answers);
    }

    /// A thread is over, and with it what it was sending.
    pub(in crate::decode) fn udp_ended(&mut self, tid: u32) {
        let mut answers = Vec::new();
        self.channels.sockets.datagrams.end(tid, &mut answers);
        self.answer_datagrams(answers);
    }

    /// What a call that receives says of the socket's queue: it was empty while it waited, or when it found nothing.
    pub(super) fn udp_waited(&mut self, record: &wire::SocketCall, key: Key, blocked: bool) {
        let datagrams = &mut self.channels.sockets.datagrams;
        match record.ret {
            _ if record.flags & flag::TOLD != 0 => {}
            EAGAIN => datagrams.empty(key, record.entered),
            // The datagram is gone.
            EFAULT => datagrams.went(key),
            0.. if blocked => datagrams.empty(key, record.entered),
            _ => {}
        }
    }

    /// A datagram was received; `given`: where it came from.
    pub(super) fn udp_received(
        &mut self,
        record: &wire::SocketCall,
        payload: &[u8],
        key: Key,
        given: Option<&str>,
        mut event: Event,
    ) {
        let sockets = &mut self.channels.sockets;
        sockets.bind_udp(key, &record.end, record.entered);
        let (at, remote) = address::of(&record.end);
        let connected = (remote.port() != 0).then_some(remote);
        let from = given.and_then(|text| text.parse().ok().map(address::canonical)).or(connected);
        let peek = record.flags & flag::PEEK != 0;
        let is_shared = record.flags & flag::TOLD != 0;
        let receiver = sockets.get(key);
        let is_followed = receiver.is_some_and(|receiver| receiver.obstacle().is_none());
        let born = receiver.is_some_and(|receiver| receiver.born);
        let since = receiver.and_then(|socket| socket.bound).map_or(0, |(.., since)| since);
        let queued = record.flags & flag::QUEUED != 0 && is_followed && !is_shared;
        let senders = match from {
            Some(from) => sockets.senders(record.end.netns, from, at),
            // The kernel has told nobody, as nobody has asked.
            None => Err(FromUnknown::Overlap),
        };
        if record.skipped != 0 {
            // How many datagrams were passed over is not known.
            if let Kind::Recv(transfer) = &mut event.kind {
                transfer.from_unknown = Some(FromUnknown::Overlap);
            }
            self.outbox.push(event);
            return;
        }
        let received = Received {
            place: self.outbox.hold(event),
            time: record.header.time,
            from,
            at,
            bytes: (record.ret as u64).min(record.requested),
            room: record.requested,
            payload: payload.to_vec(),
            peek,
            alone: is_followed && born && !is_shared && record.index >> 16 <= 1,
            queued,
            born,
        };
        let mut answers = Vec::new();
        sockets.datagrams.received(senders, key, since, received, &mut answers);
        self.answer_datagrams(answers);
    }

    fn answer_datagrams(&mut self, answers: Vec<Answer>) {
        for (place, of) in answers {
            let arrival = of.as_ref().ok().and_then(|known| known.arrival);
            self.complete_receive(place, of.map(|known| (vec![known.origin], None, known.cut)), arrival);
        }
    }

    /// A datagram was put into a receiver's queue.
    pub(in crate::decode) fn socket_arrived(&mut self, record: &wire::SocketArrived) {
        let sockets = &mut self.channels.sockets;
        let Some(receiver) = sockets.by_name.get(&super::Name::Sock(record.sock)).copied() else { return };
        let mut answers = Vec::new();
        let header = &record.header;
        let by = (header.tid != 0).then_some((header.tid, record.entered));
        sockets.datagrams.came(receiver, header.time, by, record.own != 0, &mut answers);
        self.answer_datagrams(answers);
    }

    /// A receiver had no room.
    pub(in crate::decode) fn socket_dropped(&mut self, record: &wire::SocketDropped) {
        let header = &record.header;
        let sockets = &mut self.channels.sockets;
        let Some(receiver) = sockets.by_name.get(&super::Name::Sock(record.sock)).copied() else { return };
        let sender = sockets.datagrams.sender(header.tid).filter(|_| header.tid != 0);
        let task = Task { pid: header.tgid, tid: header.tid };
        let op = (header.tid != 0).then(|| self.tasks.op(task.tid, task.pid, record.entered));
        let sockets = &mut self.channels.sockets;
        sockets.datagrams.dropped(sender.zip(op), receiver);
        let Some((_, local, _)) = sockets.get(receiver).and_then(|socket| socket.bound) else { return };
        let id = crate::event::ChannelId(format!("udp:{local}").into());
        if header.tid != 0 {
            let told = ChannelEvent::new(id, ChannelType::Udp, ChannelChange::Dropped);
            self.push(header.time, task, Kind::Channel(Box::new(told)));
        }
    }
}
