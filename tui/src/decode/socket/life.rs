//! How sockets come to be, get their names, and become one channel with another.

use ipcscope_common::socket::{AF_INET, AF_INET6, AF_UNIX, Endpoint, SocketChange, change};

use super::super::{
    Decoder,
    descriptor::{Held, Key},
    names as words,
};
use super::{Name, address, has_messages, mechanism, names, sequence::Sequence};
use crate::event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, End, FromUnknown, Kind, PeerPid, Task};

/// What a UDP socket that receives is called.
pub(super) fn udp_local(end: &Endpoint) -> ChannelId {
    ChannelId(format!("udp:{}", address::of(end).0).into())
}

/// The same for the receiver of a datagram that is sent.
pub(super) fn udp(given: Option<&str>, end: &Endpoint) -> ChannelId {
    let to = given.map_or_else(|| address::of(end).1.to_string(), str::to_owned);
    ChannelId(format!("udp:{to}").into())
}

fn domain(family: u16) -> Option<&'static str> {
    match family {
        AF_UNIX => Some("AF_UNIX"),
        AF_INET => Some("AF_INET"),
        AF_INET6 => Some("AF_INET6"),
        _ => None,
    }
}

impl Decoder {
    /// A call made, named, joined or half closed a socket.
    pub(in crate::decode) fn socket_change(&mut self, record: &SocketChange) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let [local, remote] = self.addresses(task.tid, record.entered);
        let Some(mechanism) = mechanism(&record.end) else { return };
        let key = (record.end.dev, record.end.ino);
        let outside = !self.follows() || self.channels.is_outside(key);
        let (own, peer) = names(&record.end);
        let sockets = &mut self.channels.sockets;
        let socket = sockets.ensure(key, mechanism, record.end.peer_ino, outside);
        let over = socket.connection_over(&record.end).filter(|_| record.change == change::SHUTDOWN);
        let (own, peer) = over.unwrap_or((own, sockets.across.real(peer)));
        let Some(socket) = sockets.get_mut(key) else { return };
        socket.maker = task.pid;
        let joined = matches!(record.change, change::PAIRED | change::ACCEPTED)
            || record.change == change::CONNECTED && matches!(record.ret, 0 | -115);
        socket.born |= matches!(record.change, change::CREATED | change::PAIRED | change::ACCEPTED);
        if mechanism == ChannelType::Udp {
            sockets.bind_udp(key, &record.end, header.time);
        }
        let sockets = &mut self.channels.sockets;
        let has_peer = record.end.family != AF_UNIX && joined || record.end.peer != 0;
        sockets.call(key, own, has_peer.then_some(peer));
        if matches!(record.change, change::CREATED | change::PAIRED | change::ACCEPTED) {
            self.channels.put(record.files, record.fd, Held { key, end: End::Rw, file: record.file });
            if let Some(thread) = self.tasks.get_mut(task.tid) {
                thread.files = record.files;
            }
        }
        if joined && mechanism != ChannelType::Udp {
            self.join(record, key, mechanism, (own, peer));
        }
        if record.change == change::BOUND
            && record.ret == 0
            && let (ChannelType::UnixDgram, Some(name)) = (mechanism, &local)
        {
            self.channels.sockets.bound.insert(name.clone(), own);
        }
        self.tell_change(record, (task, key, mechanism), own, peer, [local, remote]);
    }

    /// Two sockets are the two ends of one channel from now on.
    fn join(&mut self, record: &SocketChange, key: Key, mechanism: ChannelType, (own, peer): (Name, Name)) {
        let (ino, peer_ino) = (record.end.ino, record.end.peer_ino);
        let sockets = &mut self.channels.sockets;
        let accepted = record.change == change::ACCEPTED;
        let tag = match record.change {
            change::PAIRED => ino.min(peer_ino),
            _ if mechanism == ChannelType::Tcp => 0,
            change::ACCEPTED => peer_ino,
            _ => ino,
        };
        if mechanism == ChannelType::UnixDgram {
            if record.change == change::PAIRED {
                sockets.connect(own, peer, true, tag, None);
            }
            return;
        }
        // Who was accepted may have connected, and sent, before anybody looked.
        let unknown = match (accepted, sockets.named(peer).or_else(|| sockets.get((record.end.dev, peer_ino)))) {
            (false, _) => None,
            (true, Some(other)) => (!other.born).then_some(FromUnknown::BeforeStart),
            (true, None) => Some(FromUnknown::External),
        };
        sockets.connect(own, peer, has_messages(mechanism), tag, unknown);
        if mechanism == ChannelType::Tcp && record.argument != 0 {
            sockets.sequences.insert((own, peer), Sequence::begun(record.argument));
        }
        let id = match (mechanism, record.change) {
            (ChannelType::Tcp, _) => {
                let (local, remote) = address::of(&record.end);
                let (client, server) = if accepted { (remote, local) } else { (local, remote) };
                Some(ChannelId(format!("tcp:{client}-{server}").into()))
            }
            (_, change::ACCEPTED) => {
                let known = sockets.named(peer).map(|socket| socket.id.clone());
                // Who has connected may have closed its end already; what it sent is still there.
                let connected = sockets.flows.get(&(peer, own)).map(|flow| flow.tag);
                let ino = Some(peer_ino).filter(|ino| *ino != 0).or(connected).filter(|ino| *ino != 0);
                known.or_else(|| ino.map(|ino| ChannelId(format!("unix:[{ino}]").into())))
            }
            _ => None,
        };
        let pid = record.header.tgid;
        let other = sockets.by_name.get(&peer).copied();
        let other_pid = other.and_then(|other| sockets.get_mut(other)).map(|other| {
            other.other = pid;
            other.maker
        });
        if let Some(socket) = sockets.get_mut(key) {
            socket.id = id.unwrap_or_else(|| socket.id.clone());
            socket.other = other_pid.unwrap_or(0);
        }
    }

    fn tell_change(
        &mut self,
        record: &SocketChange,
        (task, key, mechanism): (Task, Key, ChannelType),
        own: Name,
        peer: Name,
        [local, remote]: [Option<String>; 2],
    ) {
        let time = record.header.time;
        let event = match record.change {
            change::CREATED | change::PAIRED => ChannelChange::Created,
            change::BOUND => ChannelChange::Bound,
            change::LISTENING => ChannelChange::Listening,
            change::CONNECTED if record.ret == -111 => ChannelChange::Refused,
            change::CONNECTED => ChannelChange::Connected,
            change::ACCEPTED => ChannelChange::Accepted,
            _ => ChannelChange::Shutdown,
        };
        let call = self.plain_call(task, record.nr, (record.entered, time));
        let sockets = &self.channels.sockets;
        let Some(socket) = sockets.get(key) else { return };
        let mut told = ChannelEvent::new(socket.id.clone(), mechanism, event);
        told.fd = Some(record.fd);
        told.end = Some(End::Rw);
        told.domain = domain(record.end.family);
        match own {
            Name::Sock(_) => (told.local, told.remote) = (local, remote),
            Name::Inet(_, local, other) => {
                let is_named = !matches!(record.change, change::CREATED);
                told.local = is_named.then(|| local.long().to_string());
                told.remote = (other.port != 0).then(|| other.long().to_string()).or(remote);
            }
        }
        told.protocol = match mechanism {
            ChannelType::Tcp => Some("tcp"),
            ChannelType::Udp => Some("udp"),
            _ => None,
        };
        match record.change {
            change::LISTENING => {
                // Negative means as many as the system allows.
                told.backlog = i32::try_from(record.argument).is_ok().then_some(record.argument);
            }
            change::SHUTDOWN => {
                told.end = Some(match record.argument {
                    0 => End::R,
                    1 => End::W,
                    _ => End::Rw,
                });
            }
            change::CONNECTED | change::ACCEPTED => {
                let other = sockets.named(peer).filter(|other| other.maker != 0);
                told.peer = other.map(|other| PeerPid { pid: other.maker });
            }
            _ => {}
        }
        told.error = (record.ret < 0).then(|| words::errno(record.ret));
        told.call = Some(call);
        self.push(time, task, Kind::Channel(Box::new(told)));
    }
}
