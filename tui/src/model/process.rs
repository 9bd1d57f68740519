//! Processes and their threads.

use std::collections::BTreeMap;

use crate::event::{Blocked, ChannelId, Comm, End, Exit, Nanos, ThreadState, WokenBy};

/// A process in the trace. The kernel reuses process ids, so the key is our own: the order of appearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey(pub u32);

/// A process (thread group).
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Its key.
    pub key: ProcessKey,
    /// Its process id.
    pub pid: u32,
    /// Its number in its own namespace, where that differs.
    pub ns_pid: Option<u32>,
    /// Who created it, if that is in the trace.
    pub parent: Option<ProcessKey>,
    /// Its name.
    pub comm: Comm,
    /// What it executes, escaped; empty before the first exec seen.
    pub exe: String,
    /// With which arguments, escaped.
    pub argv: Vec<String>,
    /// When it appeared.
    pub born: Nanos,
    /// When and how it ended.
    pub ended: Option<(Nanos, Exit)>,
    /// Its threads by thread id, the ended ones included while the process lives.
    pub threads: BTreeMap<u32, Thread>,
    /// The channel ends it holds, by descriptor.
    pub descriptors: BTreeMap<i32, (ChannelId, End)>,
    /// Calls on channels so far.
    pub calls: u64,
    /// Bytes sent so far.
    pub bytes_sent: u64,
    /// Bytes received so far.
    pub bytes_received: u64,
}

/// A thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Thread {
    /// Its id.
    pub tid: u32,
    /// Its name.
    pub comm: Comm,
    /// Its state; `None` while no event has told.
    pub state: Option<ThreadState>,
    /// Since when.
    pub since: Nanos,
    /// RUNNING: on which CPU.
    pub cpu: Option<u32>,
    /// BLOCKED: on what.
    pub on: Option<Blocked>,
    /// READY: woken by whom.
    pub woken_by: Option<WokenBy>,
    /// READY: it was preempted.
    pub preempted: bool,
    /// ns spent in each state so far (index: place in [`ThreadState::ALL`]), the current stay excluded.
    pub spent: [u64; 7],
    /// Records are missing since its last change: the state may be wrong.
    pub uncertain: bool,
}
