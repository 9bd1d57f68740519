//! Datagrams that were dropped because their receiver had no room (udp(7)): the sender is not told.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Finding, Found,
    telling::{list, name_of, name_pid},
};
use crate::{
    event::{ChannelChange, ChannelId, Event, Kind, Nanos},
    model::World,
};

/// Channels that are remembered.
const MOST: usize = 4096;

/// What was dropped on each channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropped {
    channels: BTreeMap<ChannelId, Sum>,
}

#[derive(Clone, Debug)]
struct Sum {
    count: u64,
    first: u64,
    last: u64,
    t: Nanos,
    senders: BTreeSet<u32>,
}

impl Dropped {
    pub(super) fn apply(&mut self, event: &Event) {
        let (Kind::Channel(change), Some(task)) = (&event.kind, event.task) else { return };
        if change.event != ChannelChange::Dropped {
            return;
        }
        if self.channels.len() >= MOST && !self.channels.contains_key(&change.channel) {
            return;
        }
        let sum = self.channels.entry(change.channel.clone()).or_insert_with(|| Sum {
            count: 0,
            first: event.seq,
            last: event.seq,
            t: event.t,
            senders: BTreeSet::new(),
        });
        (sum.count, sum.last) = (sum.count + 1, event.seq);
        sum.senders.insert(task.pid);
    }

    pub(super) fn now(&self, world: &World, found: &mut Found) {
        for (id, sum) in &self.channels {
            let readers = world.channels.get(id).map(|channel| {
                let readers: Vec<_> = channel.receivers.keys().map(|key| name_of(world, *key)).collect();
                if readers.is_empty() { "nobody has received from it".to_owned() } else { list(readers) }
            });
            found.report(id.to_string(), || Finding {
                rule: "datagrams-dropped",
                t: sum.t,
                what: format!(
                    "{} to {id} {} dropped, sent by {}: the receive buffer was full ({}). The senders were not told.",
                    if sum.count == 1 { "1 datagram".to_owned() } else { format!("{} datagrams", sum.count) },
                    if sum.count == 1 { "was" } else { "were" },
                    list(sum.senders.iter().map(|pid| name_pid(world, *pid)).collect()),
                    readers.unwrap_or_else(|| "its receiver is not known".to_owned())
                ),
                advice: "Receive faster than is sent, have answers or a pace agreed on, or make room with SO_RCVBUF \
                         (socket(7)); where nothing may be lost, use a stream."
                    .to_owned(),
                evidence: vec![sum.first, sum.last],
            });
        }
    }
}
