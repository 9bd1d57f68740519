//! Receives on one host, and the sends of another whose bytes they got.
//!
//! TCP counts bytes from the same number on both sides, so what [`Sequence`] does for a connection on one machine holds for
//! one between two, whatever their clocks say.
//!
//! Invariants: an origin is exact or absent; memory is bounded. Who waits for a send that does not come says `overlap` after
//! [`PATIENCE`](crate::decode::PATIENCE): the sender is there, and has not told yet. Tested in `tests.rs`.

use std::net::SocketAddr;

use foldhash::HashMap;

use super::label::Names;
use crate::{
    decode::{
        outbox::Outbox,
        socket::{Answer, Sequence},
    },
    event::{ChannelId, Event, Kind, Stream},
};

/// Directions of connections remembered; beyond, all are forgotten.
const MOST: usize = 1 << 16;

/// All connections between parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Joints {
    /// By channel and sending end.
    flows: HashMap<(ChannelId, SocketAddr), Sequence>,
}

impl Joints {
    /// Takes the next event of the whole, and gives it to the outbox.
    pub(super) fn take(&mut self, mut event: Event, names: &Names, outbox: &mut Outbox) {
        let task = event.task;
        let mut answers = Vec::new();
        match &mut event.kind {
            Kind::Send(send) => {
                let (op, offset, bytes) = (send.call.op, send.offset, send.bytes.unwrap_or(0));
                let flow = send
                    .stream
                    .as_deref()
                    .copied()
                    .zip(task)
                    .map(|(stream, task)| (send.channel.clone(), stream, task));
                outbox.push(event);
                let Some((channel, stream, task)) = flow else { return };
                let sequence = self.flow(channel, stream);
                let [from, to] = stream.seq;
                // It was alone, so its first byte is the first of these.
                if let Some(offset) = offset.filter(|_| u64::from(to.wrapping_sub(from)) == bytes) {
                    sequence.begins(from, offset);
                }
                sequence.sent((op, task.pid), stream.seq, bytes);
                sequence.serve(None, None, &mut answers);
            }
            Kind::Recv(receive)
                if receive.from.is_none() && receive.bytes > Some(0) && names.is_shared(&receive.channel) =>
            {
                let Some(stream) = receive.stream.as_deref().copied() else {
                    outbox.push(event);
                    return;
                };
                let sequence = self.flow(receive.channel.clone(), stream);
                let [from, _] = stream.seq;
                let ticket = sequence.offer(from, receive.bytes.unwrap_or(0), receive.peek);
                receive.offset = receive.offset.or(ticket.offset);
                receive.from_unknown = None;
                let waits = outbox.hold(event);
                sequence.wait(ticket, waits);
                sequence.serve(None, None, &mut answers);
            }
            _ => {
                outbox.push(event);
                return;
            }
        }
        for answer in answers {
            complete(answer, names, outbox);
        }
    }

    fn flow(&mut self, channel: ChannelId, stream: Stream) -> &mut Sequence {
        let key = (channel, stream.from);
        if self.flows.len() >= MOST && !self.flows.contains_key(&key) {
            self.flows.clear();
        }
        self.flows.entry(key).or_default()
    }
}

fn complete(answer: Answer, names: &Names, outbox: &mut Outbox) {
    outbox.complete(answer.place, |event| {
        let own = event.host.clone();
        let Kind::Recv(receive) = &mut event.kind else { return };
        match answer.of {
            Ok((mut from, offset, _)) => {
                for origin in &mut from {
                    origin.host = names.host_of(origin.pid).filter(|host| own.as_ref() != Some(host));
                }
                receive.from = Some(from);
                receive.offset = receive.offset.or(offset);
            }
            Err(why) => receive.from_unknown = Some(why),
        }
    });
}
