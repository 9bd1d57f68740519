//! Deadlocks of threads: each waits for a lock that the next one has.
//!
//! An edge is a thread that is BLOCKED, without a time limit, on a word whose owner is known (the word of a lock with
//! priority inheritance, or glibc's mutex); every thread has at most one, so a cycle is closed by the event that adds its
//! last edge and is told at once. The owner was read as the wait began: if meanwhile anybody was woken there, or stopped
//! waiting, somebody else may have the lock, and the edge counts no more.
//!
//! Invariants: an edge is exact or absent; a cycle that is left by other means than the end of one of its threads (the lock
//! was given back, the thread waits elsewhere) is forgotten.

use std::collections::BTreeMap;

use super::{
    Finding, Found,
    facts::Facts,
    telling::{list, name_pid},
};
use crate::{
    event::{Cause, ChannelId, Event, Kind, Task, ThreadState},
    model::World,
};

/// Threads, and cycles, that are remembered.
const MOST: usize = 4096;

/// Who waits for a lock, and the cycles that stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Locks {
    edges: BTreeMap<u32, Edge>,
    /// By the threads in it, in order.
    cycles: BTreeMap<Vec<u32>, Cycle>,
}

/// A thread waits for a lock.
#[derive(Clone, Debug)]
struct Edge {
    task: Task,
    seq: u64,
    lock: ChannelId,
    /// Who has it; `None` if that may have changed.
    owner: Option<Task>,
}

#[derive(Clone, Debug)]
struct Cycle {
    /// What each thread in it waits for.
    waits: BTreeMap<u32, ChannelId>,
    finding: Finding,
}

impl Locks {
    pub(super) fn apply(&mut self, facts: &Facts, world: &World, event: &Event, found: &mut Found) {
        match (&event.kind, event.task) {
            (Kind::State(change), Some(task)) => {
                if let Some(left) = self.edges.remove(&task.tid) {
                    self.doubt(&left.lock);
                }
                let on = change.on.as_deref().filter(|_| change.to == ThreadState::Blocked);
                let Some(on) = on else { return };
                self.cycles
                    .retain(|_, cycle| cycle.waits.get(&task.tid).is_none_or(|lock| on.channel.as_ref() == Some(lock)));
                let Some(lock) = on.channel.clone().filter(|_| on.cause == Cause::Call && !on.timed) else { return };
                if self.edges.len() >= MOST {
                    return;
                }
                // Waiters without a known owner are there too: their leaving may be that they got it.
                if on.owner.is_some() || on.syscall == Some("futex") {
                    self.edges.insert(task.tid, Edge { task, seq: event.seq, lock, owner: on.owner });
                    self.close(facts, world, task.tid, event);
                }
            }
            // Somebody was let go on.
            (Kind::Send(send), _) => self.given(&send.channel),
            (Kind::Recv(recv), Some(task)) if recv.error.is_none() && !recv.call.unfinished => {
                self.cycles.retain(|_, cycle| cycle.waits.get(&task.tid) != Some(&recv.channel));
            }
            (Kind::Exit(_), Some(task)) => {
                self.edges.remove(&task.tid);
                let ended: Vec<_> = self.cycles.keys().filter(|tids| tids.contains(&task.tid)).cloned().collect();
                for tids in ended {
                    if let Some(cycle) = self.cycles.remove(&tids) {
                        tell(&cycle.finding, found);
                    }
                }
            }
            (Kind::Lost(_), _) => self.edges.clear(),
            _ => {}
        }
    }

    pub(super) fn now(&self, found: &mut Found) {
        for cycle in self.cycles.values() {
            tell(&cycle.finding, found);
        }
    }

    fn doubt(&mut self, lock: &ChannelId) {
        for edge in self.edges.values_mut().filter(|edge| edge.lock == *lock) {
            edge.owner = None;
        }
    }

    fn given(&mut self, lock: &ChannelId) {
        self.doubt(lock);
        self.cycles.retain(|_, cycle| !cycle.waits.values().any(|waited| waited == lock));
    }

    /// The cycle that a thread is in, if its wait has closed one.
    fn close(&mut self, facts: &Facts, world: &World, first: u32, event: &Event) {
        let mut members: Vec<&Edge> = Vec::new();
        let mut tid = first;
        loop {
            let Some(edge) = self.edges.get(&tid) else { return };
            let Some(owner) = edge.owner else { return };
            if members.len() >= MOST {
                return;
            }
            members.push(edge);
            if owner.tid == first {
                break;
            }
            // It runs into a cycle that was there before.
            if members.iter().any(|member| member.task.tid == owner.tid) {
                return;
            }
            tid = owner.tid;
        }
        let mut tids: Vec<_> = members.iter().map(|edge| edge.task.tid).collect();
        tids.sort_unstable();
        if self.cycles.len() >= MOST || self.cycles.contains_key(&tids) {
            return;
        }
        let cycle = Cycle {
            waits: members.iter().map(|edge| (edge.task.tid, edge.lock.clone())).collect(),
            finding: finding(facts, world, &members, event),
        };
        self.cycles.insert(tids, cycle);
    }
}

fn tell(finding: &Finding, found: &mut Found) {
    let key = finding.evidence.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    found.report(format!("locks {key}"), || finding.clone());
}

/// `thread 4713 of server 4711`
fn thread(world: &World, task: Task) -> String {
    if task.pid == task.tid {
        name_pid(world, task.pid)
    } else {
        format!("thread {} of {}", task.tid, name_pid(world, task.pid))
    }
}

/// Each member waits for the next one, the last for the first.
fn finding(facts: &Facts, world: &World, members: &[&Edge], event: &Event) -> Finding {
    let mut evidence: Vec<_> = members.iter().map(|edge| edge.seq).collect();
    evidence.sort_unstable();
    let caveat = facts.caveat();
    if let [only] = members {
        return Finding {
            rule: "deadlock",
            t: event.t,
            what: format!(
                "Deadlock: {} has the lock {} and waits for it again, which nobody else can give back.{caveat}",
                thread(world, only.task),
                only.lock
            ),
            advice: "Give a lock back before taking it again, or make it one that its owner may take more than once \
                     (PTHREAD_MUTEX_RECURSIVE, pthread_mutexattr_settype(3))."
                .to_owned(),
            evidence,
        };
    }
    let before = members.last().into_iter().chain(members);
    let told = before
        .zip(members)
        .zip(members.iter().cycle().skip(1))
        .map(|((before, edge), next)| {
            let owner = thread(world, next.task);
            format!("{} has {} and waits for {}, which {owner} has", thread(world, edge.task), before.lock, edge.lock)
        })
        .collect::<Vec<_>>()
        .join("; ");
    let names = list(members.iter().map(|edge| thread(world, edge.task)).collect());
    Finding {
        rule: "deadlock",
        t: event.t,
        what: format!(
            "Deadlock: {names} wait for one another's locks, and nobody else can give them back: {told}.{caveat}"
        ),
        advice: "Take the locks in the same order in all threads, or take none of them unless all can be had \
                 (pthread_mutex_trylock(3), and give back what was taken)."
            .to_owned(),
        evidence,
    }
}
