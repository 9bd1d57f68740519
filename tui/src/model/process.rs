//! Processes and their threads.

use std::collections::{BTreeMap, BTreeSet};

use super::channel::Side;
use crate::event::{
    self, Blocked, ChannelId, Comm, Disposition, End, Exit, Host, Nanos, OpId, SignalSet, StateChange, ThreadState,
    Transfer, WokenBy,
};

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
    /// On which host, in a merged trace.
    pub host: Option<Host>,
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
    /// What it does about signals, by number; what is not in it has its default action, as far as is known.
    pub dispositions: BTreeMap<i32, Disposition>,
    /// The channel ends it holds, by descriptor.
    pub descriptors: BTreeMap<i32, (ChannelId, End)>,
    /// Calls on channels so far.
    pub calls: u64,
    /// Bytes sent so far.
    pub bytes_sent: u64,
    /// Bytes received so far.
    pub bytes_received: u64,
    /// The channels it has used.
    pub(super) channels: BTreeSet<ChannelId>,
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
    pub on: Option<Box<Blocked>>,
    /// READY: woken by whom.
    pub woken_by: Option<WokenBy>,
    /// READY: it was preempted.
    pub preempted: bool,
    /// ns spent in each state so far (index: place in [`ThreadState::ALL`]), the current stay excluded.
    pub spent: [u64; 7],
    /// The signals it blocks; `None` while no event has told.
    pub blocked: Option<SignalSet>,
    /// Records are missing since its last change: the state may be wrong.
    pub uncertain: bool,
    /// When it called exit or was killed; it is a ZOMBIE or DEAD soon after.
    pub ended: Option<Nanos>,
    /// Time BLOCKED on a channel in a call that has not told of it yet.
    pub(super) waited: Option<Waited>,
    /// When and by whom it was made READY after its last wait; `None` while it waits.
    pub(super) woken: Option<(Nanos, Option<WokenBy>)>,
}

/// A call's time BLOCKED on a channel, the current stay excluded.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Waited {
    pub(super) op: Option<OpId>,
    pub(super) syscall: Option<&'static str>,
    pub(super) channel: ChannelId,
    pub(super) side: Side,
    pub(super) ns: u64,
}

impl Waited {
    /// Whether this is the call that waited.
    pub(super) fn is_in(&self, transfer: &Transfer) -> bool {
        let same_call = match self.op {
            Some(op) => op == transfer.call.op,
            None => self.syscall == Some(transfer.call.syscall),
        };
        same_call && self.channel == transfer.channel
    }
}

/// Ended threads kept per process.
const ENDED_THREADS: usize = 256;

impl Process {
    pub(super) fn new(key: ProcessKey, pid: u32, t: Nanos) -> Self {
        Self {
            key,
            pid,
            host: None,
            ns_pid: None,
            parent: None,
            comm: Comm::default(),
            exe: String::new(),
            argv: Vec::new(),
            born: t,
            ended: None,
            threads: BTreeMap::new(),
            dispositions: BTreeMap::new(),
            descriptors: BTreeMap::new(),
            calls: 0,
            bytes_sent: 0,
            bytes_received: 0,
            channels: BTreeSet::new(),
        }
    }

    /// Its process id for people: `4711`, in a merged trace `4711@beta`.
    pub fn number(&self) -> String {
        event::shown(self.pid, self.host.as_ref())
    }

    /// The thread that says most about the process: a RUNNING one, else READY, BLOCKED, and so on.
    pub fn summary(&self) -> Option<&Thread> {
        self.threads.values().min_by_key(|thread| (thread.rank(), thread.tid != self.pid))
    }

    /// Its parent has taken note of its end: its id may be used anew.
    pub fn is_reaped(&self) -> bool {
        self.ended.is_some() && self.threads.get(&self.pid).is_some_and(|t| t.state == Some(ThreadState::Dead))
    }

    /// ns all its threads together spent in each state until `now`.
    pub fn spent(&self, now: Nanos) -> [u64; 7] {
        let mut sum = [0_u64; 7];
        for thread in self.threads.values() {
            for (total, ns) in sum.iter_mut().zip(thread.spent_until(now)) {
                *total = total.saturating_add(ns);
            }
        }
        sum
    }

    pub(super) fn add_thread(&mut self, tid: u32, comm: Comm, blocked: Option<SignalSet>, t: Nanos) {
        self.threads.insert(tid, Thread { comm, blocked, ..Thread::new(tid, t) });
        if self.threads.len() > 2 * ENDED_THREADS {
            let mut ended: Vec<_> =
                self.threads.values().filter_map(|thread| Some((thread.ended?, thread.tid))).collect();
            ended.sort_unstable();
            for (_, tid) in ended.iter().rev().skip(ENDED_THREADS).filter(|(_, tid)| *tid != self.pid) {
                self.threads.remove(tid);
            }
        }
    }

    /// What time BLOCKED there counts for.
    pub(super) fn waits_on(&self, on: Option<&Blocked>) -> Option<Waited> {
        let on = on?;
        let channel = on.channel.clone()?;
        let end =
            on.fd.and_then(|fd| self.descriptors.get(&fd)).filter(|(held, _)| *held == channel).map(|(_, end)| *end);
        let side = match end {
            Some(End::R) => Side::Receive,
            Some(End::W) => Side::Send,
            _ if sends(on.syscall?) => Side::Send,
            _ => Side::Receive,
        };
        Some(Waited { op: on.op, syscall: on.syscall, channel, side, ns: 0 })
    }
}

/// Whether a call puts bytes into the channel it waits on.
fn sends(syscall: &str) -> bool {
    matches!(syscall, "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" | "sendfile" | "vmsplice" | "tee")
}

impl Thread {
    pub(super) fn new(tid: u32, t: Nanos) -> Self {
        Self {
            tid,
            comm: Comm::default(),
            state: None,
            since: t,
            cpu: None,
            on: None,
            woken_by: None,
            preempted: false,
            spent: [0; 7],
            blocked: None,
            uncertain: false,
            ended: None,
            waited: None,
            woken: None,
        }
    }

    /// ns in its state so far; zero for one that is DEAD.
    pub fn current_stay(&self, now: Nanos) -> u64 {
        if self.state == Some(ThreadState::Dead) { 0 } else { now.since(self.since) }
    }

    /// ns in each state until `now`, the current stay included.
    pub fn spent_until(&self, now: Nanos) -> [u64; 7] {
        let mut spent = self.spent;
        if let Some(state) = self.state {
            add(&mut spent, state, self.current_stay(now));
        }
        spent
    }

    /// Whether it is still there to run or wait.
    pub fn is_alive(&self) -> bool {
        self.ended.is_none() && !matches!(self.state, Some(ThreadState::Zombie | ThreadState::Dead))
    }

    fn rank(&self) -> u8 {
        match self.state {
            Some(ThreadState::Running) => 0,
            Some(ThreadState::Ready) => 1,
            Some(ThreadState::Blocked) => 2,
            Some(ThreadState::New) => 3,
            Some(ThreadState::Stopped) => 4,
            None if self.ended.is_none() => 5,
            Some(ThreadState::Zombie) => 6,
            None => 7,
            Some(ThreadState::Dead) => 8,
        }
    }

    /// Enters another state at `t`. Returns what it waited for in a call that will not tell of it.
    pub(super) fn change(&mut self, t: Nanos, change: &StateChange, waits: Option<Waited>) -> Option<Waited> {
        // Where no state was known, the one it left now is the one it was in since it appeared.
        let stay = self.current_stay(t);
        // A NEW one has been so all the time.
        let before = self.state.or(change.from).or((change.to == ThreadState::New).then_some(ThreadState::New));
        if let Some(state) = before {
            add(&mut self.spent, state, stay);
        }
        if self.state == Some(ThreadState::Blocked)
            && let Some(waited) = &mut self.waited
        {
            waited.ns = waited.ns.saturating_add(stay);
        }
        self.state = Some(change.to);
        self.since = t;
        self.cpu = change.cpu;
        self.on.clone_from(&change.on);
        self.woken_by = change.woken_by;
        self.preempted = change.preempted;
        self.uncertain = false;
        match change.to {
            ThreadState::Ready if !change.preempted => self.woken = Some((t, change.woken_by)),
            ThreadState::Ready | ThreadState::Running => {}
            _ => self.woken = None,
        }
        if change.to == ThreadState::Dead {
            self.ended.get_or_insert(t);
            return self.waited.take();
        }
        if change.to != ThreadState::Blocked {
            return None;
        }
        // BLOCKED once more in the same call goes on counting.
        match (self.waited.take(), waits) {
            (Some(old), Some(new)) if Waited { ns: 0, ..old.clone() } == new => {
                self.waited = Some(old);
                None
            }
            (old, new) => {
                self.waited = new;
                old
            }
        }
    }

    /// Ends it without a word from the scheduler.
    pub(super) fn end(&mut self, t: Nanos) {
        self.ended.get_or_insert(t);
        if let Some(state) = self.state {
            let stay = self.current_stay(t);
            add(&mut self.spent, state, stay);
            (self.state, self.since) = (Some(ThreadState::Dead), t);
        }
    }
}

fn add(spent: &mut [u64; 7], state: ThreadState, ns: u64) {
    if let Some((total, _)) = spent.iter_mut().zip(ThreadState::ALL).find(|(_, s)| *s == state) {
        *total = total.saturating_add(ns);
    }
}
