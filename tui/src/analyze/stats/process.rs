//! Per process: the states its threads were in, its calls and bytes, and who it waited for.

use std::collections::BTreeMap;

use foldhash::HashMap;

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::event::{Comm, Event, Host, Kind, Nanos, StateChange, ThreadState, WokenBy, as_number, as_number_if_any};

/// A row.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessStats {
    /// Its id.
    #[serde(serialize_with = "as_number")]
    pub pid: u32,
    /// Its host, in a merged trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// What it was called last.
    pub comm: Comm,
    /// ns its threads were in each state: those seen.
    #[serde(serialize_with = "states")]
    pub spent: [u64; 7],
    /// Sends and receives that returned.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Whom it waited for, longest first: whoever woke its BLOCKED threads.
    pub waited_for: Vec<Waited>,
}

/// Time BLOCKED until somebody made the thread READY.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waited {
    /// The process; absent for the kernel (a timer, a device).
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_number_if_any")]
    pub pid: Option<u32>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<Comm>,
    /// ns in all.
    pub ns: u64,
    /// How often.
    pub times: u64,
}

fn states<S: Serializer>(spent: &[u64; 7], s: S) -> Result<S::Ok, S::Error> {
    let mut map = s.serialize_map(None)?;
    for (state, ns) in ThreadState::ALL.iter().zip(spent).filter(|(_, ns)| **ns > 0) {
        map.serialize_entry(state.name(), ns)?;
    }
    map.end()
}

/// A thread's present stay.
#[derive(Clone, Copy, Debug)]
struct Stay {
    row: usize,
    state: ThreadState,
    since: Nanos,
    counted: bool,
}

#[derive(Clone, Debug)]
struct Row {
    stats: ProcessStats,
    /// By process; `None` is the kernel.
    waited: HashMap<Option<usize>, (u64, u64)>,
    /// Something of it was counted.
    used: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Processes {
    rows: Vec<Row>,
    by_pid: HashMap<u32, usize>,
    stays: BTreeMap<u32, Stay>,
}

impl Processes {
    pub(super) fn apply(&mut self, event: &Event, counted: bool) {
        if let Kind::Fork { child, thread: false } = &event.kind {
            // The id may have been somebody else's before.
            self.by_pid.remove(&child.pid);
            self.row(child.pid, event.comm);
        }
        let Some(task) = event.task else { return };
        // Whoever sends a signal from outside does not come into the trace by that.
        if matches!(event.kind, Kind::Signal(_)) && !self.by_pid.contains_key(&task.pid) {
            return;
        }
        let index = self.row(task.pid, event.comm.filter(|_| task.pid == task.tid));
        if let Kind::State(change) = &event.kind {
            self.change(index, task.tid, event.t, change, counted);
        }
        let Some(row) = self.rows.get_mut(index).filter(|_| counted) else { return };
        row.used = true;
        if row.stats.host.is_none() {
            row.stats.host.clone_from(&event.host);
        }
        let stats = &mut row.stats;
        let (transfer, total) = match &event.kind {
            Kind::Send(send) => (send, &mut stats.sent),
            Kind::Recv(recv) => (recv, &mut stats.received),
            _ => return,
        };
        if !transfer.peek {
            *total = total.saturating_add(transfer.bytes.unwrap_or(0));
        }
        stats.calls += u64::from(!transfer.call.unfinished);
        stats.failed += u64::from(transfer.error.is_some());
    }

    fn row(&mut self, pid: u32, comm: Option<Comm>) -> usize {
        let next = self.rows.len();
        let index = *self.by_pid.entry(pid).or_insert(next);
        if index == next {
            let stats = ProcessStats {
                pid,
                host: None,
                comm: Comm::default(),
                spent: [0; 7],
                calls: 0,
                failed: 0,
                sent: 0,
                received: 0,
                waited_for: Vec::new(),
            };
            self.rows.push(Row { stats, waited: HashMap::default(), used: false });
        }
        if let (Some(row), Some(comm)) = (self.rows.get_mut(index), comm) {
            row.stats.comm = comm;
        }
        index
    }

    fn change(&mut self, index: usize, tid: u32, t: Nanos, change: &StateChange, counted: bool) {
        let before = self.stays.remove(&tid).filter(|stay| stay.row == index);
        if let Some(stay) = before.filter(|stay| stay.counted) {
            let ns = t.since(stay.since);
            let waker = match change.woken_by {
                Some(WokenBy::Task(task)) => self.by_pid.get(&task.pid).copied().map(Some),
                Some(WokenBy::Kernel) => Some(None),
                None => None,
            };
            if let Some(row) = self.rows.get_mut(index) {
                add(&mut row.stats.spent, stay.state, ns);
                if let Some(waker) = waker.filter(|_| stay.state == ThreadState::Blocked) {
                    let (total, times) = row.waited.entry(waker).or_default();
                    (*total, *times) = (total.saturating_add(ns), *times + 1);
                }
            }
        }
        if change.to != ThreadState::Dead {
            self.stays.insert(tid, Stay { row: index, state: change.to, since: t, counted });
        }
    }

    pub(super) fn table(&self, now: Nanos) -> Vec<ProcessStats> {
        let mut rows = self.rows.clone();
        for stay in self.stays.values().filter(|stay| stay.counted) {
            if let Some(row) = rows.get_mut(stay.row) {
                add(&mut row.stats.spent, stay.state, now.since(stay.since));
            }
        }
        rows.into_iter()
            .filter(|row| row.used)
            .map(|row| {
                let mut waited_for: Vec<_> = row
                    .waited
                    .iter()
                    .map(|(waker, (ns, times))| {
                        let who = waker.and_then(|index| self.rows.get(index)).map(|row| &row.stats);
                        Waited { pid: who.map(|who| who.pid), comm: who.map(|who| who.comm), ns: *ns, times: *times }
                    })
                    .collect();
                waited_for.sort_by_key(|waited| (std::cmp::Reverse(waited.ns), waited.pid));
                ProcessStats { waited_for, ..row.stats }
            })
            .collect()
    }
}

fn add(spent: &mut [u64; 7], state: ThreadState, ns: u64) {
    if let Some((total, _)) = spent.iter_mut().zip(ThreadState::ALL).find(|(_, s)| *s == state) {
        *total = total.saturating_add(ns);
    }
}
