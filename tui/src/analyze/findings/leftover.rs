//! Messages that were sent and never received: bytes in a pipe when its last end is closed.
//!
//! Silent where a writer was told that nobody reads (EPIPE): then it knows; where a signal ended the last holder; and of
//! POSIX message queues, which keep what is in them when nobody has them open (mq_overview(7)).

use foldhash::HashMap;

use super::{
    Finding, Found,
    facts::Facts,
    room::Room,
    sigpipe::Broken,
    telling::{bytes, list, name_of},
};
use crate::{
    event::{ChannelChange, ChannelId, ChannelType, Event, Kind, Nanos},
    model::{Channel, ProcessKey, World},
};

/// The last send of each channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Leftover {
    sends: HashMap<ChannelId, u64>,
    room: Room,
}

impl Leftover {
    pub(super) fn apply(&mut self, facts: &Facts, broken: &Broken, world: &World, event: &Event, found: &mut Found) {
        match (&event.kind, event.task) {
            (Kind::Send(send), _) if send.bytes.is_some_and(|n| n > 0) => {
                if self.room.is_used_up(self.sends.len()) {
                    self.sends.retain(|id, _| world.channels.contains_key(id));
                    self.room.stayed(self.sends.len());
                }
                match self.sends.get_mut(&send.channel) {
                    Some(seq) => *seq = event.seq,
                    None => {
                        self.sends.insert(send.channel.clone(), event.seq);
                    }
                }
            }
            (Kind::Channel(change), Some(task)) if change.event == ChannelChange::Closed => {
                let Some((channel, key)) = world.channels.get(&change.channel).zip(world.by_pid.get(&task.pid)) else {
                    return;
                };
                let last =
                    channel.holders.len() == 1 && change.fd.is_some_and(|fd| channel.holders.contains_key(&(*key, fd)));
                if last {
                    self.gone(facts, broken, world, channel, (*key, event), found);
                }
            }
            (Kind::Exit(exit), Some(task)) if !exit.thread && exit.signal.is_none() => {
                let Some(process) = world.process(task.pid) else { return };
                let mut ids: Vec<_> = process.descriptors.values().map(|(id, _)| id).collect();
                ids.sort_unstable();
                ids.dedup();
                for channel in ids.into_iter().filter_map(|id| world.channels.get(id)) {
                    if channel.holders.keys().all(|(key, _)| *key == process.key) {
                        self.gone(facts, broken, world, channel, (process.key, event), found);
                    }
                }
            }
            _ => {}
        }
    }

    /// Its last end is closed by this event.
    fn gone(
        &mut self,
        facts: &Facts,
        broken: &Broken,
        world: &World,
        channel: &Channel,
        (closer, event): (ProcessKey, &Event),
        found: &mut Found,
    ) {
        if channel.mechanism == ChannelType::PosixMq {
            return;
        }
        let last = self.sends.remove(&channel.id);
        let left = channel.fill.unwrap_or(0);
        let sum = |users: &std::collections::BTreeMap<ProcessKey, crate::model::Hold>| {
            users.values().map(|hold| hold.bytes).fold(0_u64, u64::saturating_add)
        };
        let more = sum(&channel.senders) > sum(&channel.receivers);
        if left == 0 || !more || broken.is(&channel.id) || !facts.all_holders_known(&channel.id) {
            return;
        }
        found.report(channel.id.to_string(), || {
            let names = channel.senders.keys().map(|key| name_of(world, *key)).collect();
            let receivers = match channel.receivers.len() {
                0 => "nobody ever read from it".to_owned(),
                _ => format!("{} read only a part", list(channel.receivers.keys().map(|key| name_of(world, *key)).collect())),
            };
            Finding {
                rule: "never-received",
                t: event.t,
                what: format!(
                    "{} that {} sent into {} were never received: {receivers}, and when {} closed the last end they were \
                     gone.{}",
                    bytes(left),
                    list(names),
                    channel.id,
                    name_of(world, closer),
                    facts.caveat()
                ),
                advice: "Read until end-of-file before closing the read end.".to_owned(),
                evidence: last.into_iter().chain([event.seq]).collect(),
            }
        });
    }

    /// The last send into a channel that is still there.
    pub(super) fn last_send(&self, channel: &ChannelId) -> Option<u64> {
        self.sends.get(channel).copied()
    }
}

/// When a channel's traffic began and ended.
pub(super) fn busy(channel: &Channel) -> (Nanos, Nanos) {
    let users = channel.senders.values().chain(channel.receivers.values());
    (channel.born, users.map(|hold| hold.last).max().unwrap_or(channel.born))
}
