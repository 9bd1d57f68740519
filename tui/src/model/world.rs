//! Everything that is known at an instant, and how an event changes it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use foldhash::HashMap;

use super::{Channels, Process, ProcessKey, SignalRow, Thread};
use crate::event::{
    ChannelId, Comm, Event, Exit, Hosts, Kind, Nanos, Phase, SignalEvent, SignalId, StateChange, Task, ThreadState,
};

/// Ended processes, and channels nobody holds, that are kept for display.
const KEPT: usize = 4096;
/// Signal instances that are kept.
const SIGNALS: usize = 1000;
/// Steps of one signal instance; more can only come from a broken trace.
const STEPS: usize = 32;

/// The state of everything in the trace at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// The time of the last event.
    pub now: Nanos,
    /// Events folded so far.
    pub events: u64,
    /// Records lost so far.
    pub lost: u64,
    /// The hosts of a merged trace.
    pub hosts: Hosts,
    /// All processes, living and ended, by key: in order of appearance. The oldest ended ones are dropped beyond 4096.
    pub processes: BTreeMap<ProcessKey, Process>,
    /// The latest process with that id: the living one, or the last that ended.
    pub by_pid: HashMap<u32, ProcessKey>,
    /// All channels. Those longest gone are dropped beyond 4096.
    pub channels: Channels,
    /// Signal instances, oldest first; the last thousand.
    pub signals: VecDeque<SignalRow>,
    pub(super) next_process: u32,
    pub(super) next_channel: u32,
    /// Processes in order of their end.
    ended: VecDeque<ProcessKey>,
    /// Channels that nobody holds, those longest so first.
    pub(super) unheld: BTreeSet<(Nanos, ChannelId)>,
    /// Place of an instance, counted from the first one ever.
    signal_places: HashMap<SignalId, usize>,
    /// Signals that are generated and not taken yet, by the process they are for.
    pub(super) under_way: HashMap<u32, Vec<SignalId>>,
    signals_dropped: usize,
}

impl World {
    /// An empty world.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `event` changes.
    pub fn apply(&mut self, event: &Event) {
        self.now = self.now.max(event.t);
        self.hosts.learn(event);
        self.events = self.events.saturating_add(u64::from(!event.kind.is_quiet()));
        // Who sends a signal from outside the trace does not come into it by that.
        let outside = |task: &Task| {
            matches!(&event.kind, Kind::Signal(step) if step.phase == Phase::Generated)
                && !self.by_pid.contains_key(&task.pid)
        };
        let actor = event.task.filter(|task| !outside(task));
        let actor = actor.map(|task| (task, self.actor(task, event)));
        match (&event.kind, actor) {
            (Kind::Fork { child, thread }, actor) => {
                let parent = actor.map(|(_, key)| key);
                let tid = event.task.map_or(0, |task| task.tid);
                self.fork(*child, *thread, parent, tid, event.comm.unwrap_or_default());
            }
            (Kind::Exec(exec), Some((task, key))) => self.exec(task, key, &exec.exe, &exec.argv),
            (Kind::Exit(exit), Some((task, key))) => self.exit(task, key, exit),
            (Kind::State(change), Some((task, key))) => self.change_state(task, key, change),
            (Kind::Channel(change), Some((_, key))) => self.change_channel(key, change),
            (Kind::Send(transfer), Some((task, key))) => self.transfer(task, key, transfer, true),
            (Kind::Recv(transfer), Some((task, key))) => self.transfer(task, key, transfer, false),
            (Kind::Signal(step), _) => self.step(step),
            (Kind::Disposition(disposition), Some((_, key))) => self.change_disposition(key, disposition),
            (Kind::Dispositions(all), Some((_, key))) => self.change_dispositions(key, *all),
            (Kind::Mask(mask), Some((task, key))) => {
                if let Some(thread) = self.thread_mut(key, task.tid) {
                    thread.blocked = Some(mask.blocked);
                }
            }
            (Kind::Lost(lost), _) => {
                self.lost = self.lost.saturating_add(lost.count);
                for thread in self.processes.values_mut().flat_map(|p| p.threads.values_mut()) {
                    thread.uncertain |= thread.state != Some(ThreadState::Dead);
                }
            }
            // Read out of what was sent, or nobody did it: nothing to tell of anybody.
            (Kind::Rpc(_), _)
            | (
                Kind::Exec(_)
                | Kind::Exit(_)
                | Kind::State(_)
                | Kind::Channel(_)
                | Kind::Send(_)
                | Kind::Recv(_)
                | Kind::Disposition(_)
                | Kind::Dispositions(_)
                | Kind::Mask(_),
                None,
            ) => {}
        }
        self.forget();
    }

    /// The latest process with that id.
    pub fn process(&self, pid: u32) -> Option<&Process> {
        self.processes.get(self.by_pid.get(&pid)?)
    }

    /// A signal instance, if it is among the last thousand.
    pub fn signal(&self, id: SignalId) -> Option<&SignalRow> {
        self.signals.get(self.signal_places.get(&id)?.checked_sub(self.signals_dropped)?)
    }

    pub(super) fn signal_mut(&mut self, id: SignalId) -> Option<&mut SignalRow> {
        self.signals.get_mut(self.signal_places.get(&id)?.checked_sub(self.signals_dropped)?)
    }

    #[cfg(test)]
    pub(super) fn signal_count(&self) -> usize {
        self.signal_places.len()
    }

    pub(super) fn thread_mut(&mut self, key: ProcessKey, tid: u32) -> Option<&mut Thread> {
        self.processes.get_mut(&key)?.threads.get_mut(&tid)
    }

    /// Who did it. Processes and threads that were there before the trace appear with their first event.
    fn actor(&mut self, task: Task, event: &Event) -> ProcessKey {
        let known = self.by_pid.get(&task.pid).copied().filter(|key| {
            // The kernel reuses an id once its process is reaped; an exec is of somebody alive.
            self.processes.get(key).is_some_and(|p| {
                p.ended.is_none() || !(p.is_reaped() || matches!(event.kind, Kind::Exec(_) | Kind::Fork { .. }))
            })
        });
        let key = known.unwrap_or_else(|| self.add_process(task.pid));
        let t = self.now;
        if let Some(process) = self.processes.get_mut(&key) {
            process.ns_pid = event.ns_pid.or(process.ns_pid);
            if process.host.is_none() {
                process.host.clone_from(&event.host);
            }
            let thread = process.threads.entry(task.tid).or_insert_with(|| Thread::new(task.tid, t));
            if let Some(comm) = event.comm {
                thread.comm = comm;
                // A process is called what its first thread is called.
                if task.tid == task.pid || process.comm.bytes().is_empty() {
                    process.comm = comm;
                }
            }
        }
        key
    }

    fn add_process(&mut self, pid: u32) -> ProcessKey {
        let key = ProcessKey(self.next_process);
        self.next_process = self.next_process.wrapping_add(1);
        self.processes.insert(key, Process::new(key, pid, self.now));
        self.by_pid.insert(pid, key);
        key
    }

    /// A child begins as a copy: it is called as its creator is, and does the same about signals.
    fn fork(&mut self, child: Task, thread: bool, parent: Option<ProcessKey>, creator_tid: u32, comm: Comm) {
        let t = self.now;
        let creator = parent.and_then(|key| self.processes.get(&key));
        let blocked = creator.and_then(|p| p.threads.get(&creator_tid)).and_then(|thread| thread.blocked);
        let dispositions = creator.map(|p| p.dispositions.clone()).unwrap_or_default();
        if thread {
            let Some(process) = self.by_pid.get(&child.pid).and_then(|key| self.processes.get_mut(key)) else { return };
            process.add_thread(child.tid, comm, blocked, t);
            return;
        }
        let (exe, argv) = creator.map(|p| (p.exe.clone(), p.argv.clone())).unwrap_or_default();
        let host = self.hosts.of(child.pid).cloned();
        if let Some(key) = self.by_pid.get(&child.pid).copied()
            && self.processes.get(&key).is_some_and(|p| p.ended.is_none())
        {
            // Its end was lost: the id is in new hands.
            self.end_unseen(key);
        }
        let key = self.add_process(child.pid);
        if let Some(process) = self.processes.get_mut(&key) {
            process.parent = parent;
            process.comm = comm;
            process.host.clone_from(&host);
            (process.exe, process.argv) = (exe, argv);
            process.dispositions = dispositions;
            process.add_thread(child.tid, comm, blocked, t);
        }
    }

    fn exec(&mut self, task: Task, key: ProcessKey, exe: &str, argv: &[String]) {
        let t = self.now;
        let Some(process) = self.processes.get_mut(&key) else { return };
        exe.clone_into(&mut process.exe);
        argv.clone_into(&mut process.argv);
        // Only the thread that called it lives on, under the id of the process (execve(2)).
        for thread in process.threads.values_mut().filter(|thread| thread.tid != task.tid) {
            thread.end(t);
        }
    }

    fn exit(&mut self, task: Task, key: ProcessKey, exit: &Exit) {
        let t = self.now;
        if let Some(thread) = self.thread_mut(key, task.tid) {
            thread.ended.get_or_insert(t);
        }
        if !exit.thread {
            self.end(key, exit.clone());
        }
    }

    /// The process is no more; whatever it still held is let go.
    fn end(&mut self, key: ProcessKey, exit: Exit) {
        let t = self.now;
        let Some(process) = self.processes.get_mut(&key) else { return };
        if process.ended.is_some() {
            return;
        }
        process.ended = Some((t, exit));
        for thread in process.threads.values_mut() {
            thread.ended.get_or_insert(t);
        }
        for (fd, (channel, _)) in std::mem::take(&mut process.descriptors) {
            self.let_go(key, fd, &channel);
        }
        self.ended.push_back(key);
    }

    /// It must have ended, but how was lost.
    fn end_unseen(&mut self, key: ProcessKey) {
        let t = self.now;
        for thread in self.processes.get_mut(&key).into_iter().flat_map(|p| p.threads.values_mut()) {
            thread.end(t);
        }
        self.end(key, Exit { thread: false, code: None, signal: None, core: false });
    }

    fn change_state(&mut self, task: Task, key: ProcessKey, change: &StateChange) {
        let t = self.now;
        let Some(process) = self.processes.get_mut(&key) else { return };
        let waits = process.waits_on(change.on.as_deref());
        let Some(thread) = process.threads.get_mut(&task.tid) else { return };
        let waited = thread.change(t, change, waits);
        let all_dead = || process.threads.values().all(|thread| thread.state == Some(ThreadState::Dead));
        if change.to == ThreadState::Dead && process.ended.is_none() && all_dead() {
            self.end_unseen(key);
        }
        if let Some(waited) = waited {
            self.charge(&waited);
        }
        self.note_stir(task, change);
    }

    fn step(&mut self, step: &SignalEvent) {
        self.note_step(step);
        let now = self.now;
        if let Some(row) = self.signal_mut(step.id) {
            if row.steps.len() < STEPS {
                row.steps.push((now, step.clone()));
            }
            return;
        }
        let stirs = self.stirs_before(step);
        self.signal_places.insert(step.id, self.signals_dropped + self.signals.len());
        self.signals.push_back(SignalRow { id: step.id, steps: vec![(self.now, step.clone())], stirs });
        if self.signals.len() > SIGNALS
            && let Some(row) = self.signals.pop_front()
        {
            self.signals_dropped += 1;
            self.signal_places.remove(&row.id);
            if let Some((_, step)) = row.steps.first()
                && let Some(under_way) = self.under_way.get_mut(&step.to.pid)
            {
                under_way.retain(|id| *id != row.id);
                if under_way.is_empty() {
                    self.under_way.remove(&step.to.pid);
                }
            }
        }
    }

    /// Drops what ended longest ago.
    fn forget(&mut self) {
        while self.ended.len() > KEPT {
            let Some(process) = self.ended.pop_front().and_then(|key| self.processes.remove(&key)) else { continue };
            if self.by_pid.get(&process.pid) == Some(&process.key) {
                self.by_pid.remove(&process.pid);
            }
            for id in &process.channels {
                if let Some(channel) = self.channels.get_mut(id) {
                    channel.senders.remove(&process.key);
                    channel.receivers.remove(&process.key);
                }
            }
        }
        while self.unheld.len() > KEPT {
            let Some((_, id)) = self.unheld.pop_first() else { break };
            let Some(channel) = self.channels.remove(&id) else { continue };
            for key in channel.senders.keys().chain(channel.receivers.keys()) {
                if let Some(process) = self.processes.get_mut(key) {
                    process.channels.remove(&id);
                }
            }
        }
    }
}
