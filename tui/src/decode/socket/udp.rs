//! UDP: which sockets a datagram can have come from, and what became of it.

use ipcscope_common::socket::{self as wire, Endpoint, flag};

use super::super::{Decoder, descriptor::Key};
use super::{
    Sockets, address,
    datagrams::{Answer, Received, Sent},
};
use crate::event::{ChannelChange, ChannelEvent, ChannelType, Event, FromUnknown, Kind, OpId, Task};

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
            let sent = Sent { op, pid: task.pid, entered: record.entered, to, bytes, payload: payload.to_vec() };
            sockets.datagrams.sent(key, sent, &mut answers);
        }
        if last {
            sockets.datagrams.end(task.tid, &mut answers);
        }
        self.answer_datagrams(answers);
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
        let unknown = match from {
            // The kernel has told nobody, as nobody has asked.
            None => Err(FromUnknown::Overlap),
            Some(from) => {
                let senders = sockets.ports.get(&(record.end.netns, from.port())).cloned().unwrap_or_default();
                let is_it = |sender: &Key| {
                    let local = sockets.get(*sender).and_then(|socket| socket.bound).map(|(_, local, _)| local.ip());
                    let own = from.ip().is_loopback() || from.ip() == at.ip() || local == Some(from.ip());
                    own && local.is_none_or(|local| local.is_unspecified() || local == from.ip())
                };
                let senders: Vec<Key> = senders.into_iter().filter(is_it).collect();
                let obstacle = senders
                    .iter()
                    .filter_map(|sender| sockets.get(*sender))
                    .find_map(|socket| socket.obstacle().or((!socket.born).then_some(FromUnknown::BeforeStart)));
                match obstacle {
                    Some(why) => Err(why),
                    None if senders.is_empty() => Err(FromUnknown::External),
                    None => Ok((from, senders)),
                }
            }
        };
        match unknown {
            Err(why) => {
                if let Kind::Recv(transfer) = &mut event.kind {
                    transfer.from_unknown = Some(why);
                }
                self.outbox.push(event);
                self.channels.sockets.datagrams.unordered(key);
            }
            Ok((from, senders)) => {
                let place = self.outbox.hold(event);
                let receiver = sockets.get(key);
                let since = receiver.and_then(|socket| socket.bound).map_or(0, |(.., since)| since);
                let alone = receiver.is_some_and(|r| r.obstacle().is_none() && r.born)
                    && record.flags & flag::TOLD == 0
                    && record.index >> 16 <= 1;
                let bytes = (record.ret as u64).min(record.requested);
                let received = Received {
                    place,
                    time: record.header.time,
                    from,
                    at,
                    bytes,
                    room: record.requested,
                    payload: payload.to_vec(),
                    peek: record.flags & flag::PEEK != 0,
                    alone,
                };
                let mut answers = Vec::new();
                self.channels.sockets.datagrams.received(senders, key, since, received, &mut answers);
                self.answer_datagrams(answers);
            }
        }
    }

    fn answer_datagrams(&mut self, answers: Vec<Answer>) {
        for (place, of) in answers {
            let arrival = of.as_ref().ok().and_then(|known| known.arrival);
            self.complete_receive(place, of.map(|known| (vec![known.origin], None, known.cut)), arrival);
        }
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
