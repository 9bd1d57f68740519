//! What outlives those who made it: System V queues, semaphores and shared memory, POSIX queues and shared memory are there
//! until somebody removes them (sysvipc(7), mq_overview(7), shm_overview(7)).
//!
//! Told once everybody in the trace has ended. Silent about what was there before.

use std::collections::BTreeMap;

use super::{Finding, Found, facts::Facts, telling::name_pid};
use crate::{
    analyze::properties::properties,
    event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, Event, Kind, Nanos},
    model::World,
};

/// Objects that are remembered.
const MOST: usize = 4096;

/// Made in the trace, and not removed since.
#[derive(Clone, Debug, Default)]
pub(super) struct Behind {
    made: BTreeMap<ChannelId, Made>,
    /// Memory with a name that was opened while it was empty, by whoever came first.
    empty: BTreeMap<ChannelId, Made>,
}

#[derive(Clone, Debug)]
struct Made {
    mechanism: ChannelType,
    seq: u64,
    pid: u32,
    /// What its name does not tell.
    remedy: String,
}

/// How to remove it from a shell.
fn remedy(change: &ChannelEvent) -> Option<String> {
    let number = || change.channel.0.split([':', '#']).nth(1).unwrap_or_default().to_owned();
    Some(match change.mechanism {
        ChannelType::SysvMq => format!("msgctl(…, IPC_RMID), or from a shell `ipcrm -q {}`", number()),
        ChannelType::Shm => format!("shmctl(…, IPC_RMID), or from a shell `ipcrm -m {}`", number()),
        ChannelType::SysvSem => format!("semctl(…, IPC_RMID), or from a shell `ipcrm -s {}`", number()),
        ChannelType::PosixMq => "mq_unlink".to_owned(),
        _ => return None,
    })
}

/// The name of memory that has one: `shm:/NAME`, where memory of System V has a number.
fn name_of(id: &ChannelId) -> &str {
    let name = id.0.strip_prefix("shm:/").unwrap_or_default();
    name.split_once('#').map_or(name, |(name, _)| name)
}

fn is_named(change: &ChannelEvent) -> bool {
    change.mechanism == ChannelType::Shm && !name_of(&change.channel).is_empty()
}

impl Behind {
    pub(super) fn apply(&mut self, event: &Event) {
        let (Kind::Channel(change), Some(task)) = (&event.kind, event.task) else { return };
        if change.error.is_some() {
            return;
        }
        match change.event {
            ChannelChange::Created if self.made.len() < MOST => {
                if let Some(remedy) = remedy(change) {
                    let made = Made { mechanism: change.mechanism, seq: event.seq, pid: task.pid, remedy };
                    self.made.insert(change.channel.clone(), made);
                }
            }
            // shm_open(3): that it made the memory shows when it is empty, and then given its size by the same process.
            ChannelChange::Opened if is_named(change) && change.capacity == Some(0) && self.made.len() < MOST => {
                let remedy = format!("shm_unlink, or from a shell `rm /dev/shm/{}`", name_of(&change.channel));
                let made = Made { mechanism: change.mechanism, seq: event.seq, pid: task.pid, remedy };
                self.empty.entry(change.channel.clone()).or_insert(made);
            }
            ChannelChange::Resized if is_named(change) => {
                if let Some(made) = self.empty.remove(&change.channel).filter(|made| made.pid == task.pid) {
                    self.made.insert(change.channel.clone(), made);
                }
            }
            ChannelChange::Removed => {
                self.empty.remove(&change.channel);
                self.made.remove(&change.channel);
            }
            _ => {}
        }
    }

    pub(super) fn now(&self, facts: &Facts, world: &World, now: Nanos, found: &mut Found) {
        if world.processes.values().any(|process| process.ended.is_none()) {
            return;
        }
        for (id, made) in &self.made {
            found.report(id.to_string(), || Finding {
                rule: "left-behind",
                t: now,
                what: format!(
                    "{} made {id} ({}), and nobody removed it: it is still there, now that all have ended.{}",
                    name_pid(world, made.pid),
                    properties(made.mechanism).title,
                    facts.caveat()
                ),
                advice: format!("Remove it when it is not needed any more: {}.", made.remedy),
                evidence: vec![made.seq],
            });
        }
    }
}
