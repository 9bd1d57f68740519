//! Writing on although nobody reads: SIGPIPE is ignored, and so is EPIPE.

use std::collections::BTreeMap;

use foldhash::HashSet;

use super::{Finding, Found, telling::name_pid};
use crate::{
    event::{ChannelId, Event, Kind, Nanos, Phase},
    model::World,
};

/// So many failed writes are no accident: a program that looks at errors stops after the first, one that flushes at its
/// end tries a second time.
const AGAIN: u64 = 3;
/// Failed writes shown as evidence.
const SHOWN: usize = 4;
/// Channels remembered.
const CHANNELS: usize = 65_536;

#[derive(Clone, Debug)]
struct Failing {
    count: u64,
    shown: Vec<u64>,
    last: Nanos,
}

/// Writes that failed with EPIPE.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken {
    failing: BTreeMap<(u32, ChannelId), Failing>,
    /// What became of the last SIGPIPE of a process.
    fate: BTreeMap<u32, (Phase, u64)>,
    channels: HashSet<ChannelId>,
}

impl Broken {
    pub(super) fn apply(&mut self, event: &Event) {
        match (&event.kind, event.task) {
            (Kind::Send(send), Some(task)) if send.error == Some("EPIPE") => {
                if self.channels.len() < CHANNELS {
                    self.channels.insert(send.channel.clone());
                }
                let failing = self.failing.entry((task.pid, send.channel.clone())).or_insert_with(|| Failing {
                    count: 0,
                    shown: Vec::new(),
                    last: event.t,
                });
                failing.count += 1;
                failing.last = event.t;
                if failing.shown.len() < SHOWN {
                    failing.shown.push(event.seq);
                }
            }
            (Kind::Signal(step), _) if step.signal == "SIGPIPE" && step.phase != Phase::Generated => {
                self.fate.insert(step.to.pid, (step.phase, event.seq));
            }
            _ => {}
        }
    }

    /// A writer was told that nobody reads from it.
    pub(super) fn is(&self, channel: &ChannelId) -> bool {
        self.channels.contains(channel)
    }

    /// The process ends: what it did is all it will do.
    pub(super) fn settle(&mut self, pid: u32, world: &World, now: Nanos, found: &mut Found) {
        self.tell(Some(pid), world, now, found);
        self.failing.retain(|(of, _), _| *of != pid);
        self.fate.remove(&pid);
    }

    pub(super) fn now(&self, world: &World, now: Nanos, found: &mut Found) {
        self.tell(None, world, now, found);
    }

    fn tell(&self, only: Option<u32>, world: &World, now: Nanos, found: &mut Found) {
        for ((pid, channel), failing) in &self.failing {
            if failing.count < AGAIN || only.is_some_and(|only| only != *pid) {
                continue;
            }
            let fate = self.fate.get(pid);
            let signal = match fate.map(|(phase, _)| phase) {
                Some(Phase::Ignored) => "it ignores SIGPIPE",
                Some(Phase::Handled | Phase::Delivered | Phase::Abandoned) => "it handles SIGPIPE and goes on",
                Some(Phase::Pending | Phase::Coalesced) => "its mask blocks SIGPIPE",
                _ => "SIGPIPE did not end it",
            };
            let process = world.by_pid.get(pid).map_or(0, |key| key.0);
            found.report(format!("{process} {channel}"), || Finding {
                rule: "sigpipe-ignored",
                t: failing.last.min(now),
                what: format!(
                    "{} wrote {} times to {channel} after the last reader had gone: every write failed with EPIPE, and {signal}.",
                    name_pid(world, *pid),
                    failing.count
                ),
                advice: "Stop writing when write fails with EPIPE, or leave SIGPIPE at its default, which ends the program."
                    .to_owned(),
                evidence: failing.shown.iter().copied().chain(fate.map(|(_, seq)| *seq)).collect(),
            });
        }
    }
}
