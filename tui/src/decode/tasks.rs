//! The threads a stream of records tells of, with what later records of theirs need.

use foldhash::HashMap;

use ipcscope_common::sched::Wait;

use crate::event::{Comm, OpId, Task, ThreadState};

use super::{
    call::On,
    outbox::Place,
    signal::{Frame, Pending},
};

/// A thread in the stream.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Its ids.
    pub task: Task,
    /// Its process's id for itself, where that differs.
    pub ns_pid: Option<u32>,
    /// Its name.
    pub comm: Comm,
    /// Its descriptor table (an address; 0: unknown).
    pub files: u64,
    /// Its `task_struct`, once known.
    pub address: u64,
    /// Held by us before its exec.
    pub held: bool,
    /// It has ended, and waits to be reaped.
    pub ended: bool,
    /// It has its id from a leader that the kernel has not freed yet: the next end told of that id is not its own.
    pub succeeds: bool,
    /// Its state, once known.
    pub state: Option<ThreadState>,
    /// Since when.
    pub since: u64,
    /// The state before, and where the wakeup was made that ended it: a signal is told apart from the one it caused.
    pub before: Option<(ThreadState, Option<Origin>)>,
    /// Stays in BLOCKED since the last call ended: from, to.
    pub blocks: Vec<(u64, u64)>,
    /// The call it is in, if a record has told.
    pub call: Option<Current>,
    /// When the last call on a channel that is over was entered.
    pub last_entered: u64,
    /// The call a signal interrupted, until it is known what becomes of it.
    pub interrupted: Option<Interrupted>,
    /// The call it was last BLOCKED in, with the kernel's number.
    pub last_block: Option<(OpId, i32)>,
    /// The set of descriptors that it waited for last: when, in which call if that is known, what.
    pub set: Option<(u64, Option<OpId>, Vec<Wait>)>,
    /// The last transfer that moved bytes: its number, the kernel's, bytes asked for and moved.
    pub last_transfer: Option<(OpId, i32, Option<u64>, i64)>,
    /// The signals it blocks, once known.
    pub mask: Option<u64>,
    /// Handlers that are running, the innermost last.
    pub handlers: Vec<Frame>,
    /// Signals for this thread alone.
    pub pending: Vec<Pending>,
}

/// Where a record was made: on which CPU, and in which thread, if only because an interrupt came there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub cpu: u16,
    pub tid: u32,
}

/// A call in flight.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    /// When it was entered.
    pub entered: u64,
    /// Its number in the trace.
    pub op: OpId,
    /// The order of its pipe knows that it is in flight.
    pub told: bool,
}

/// A call that returned with a restart code.
#[derive(Clone, Debug)]
pub struct Interrupted {
    /// Its number in the trace.
    pub op: OpId,
    /// When it was entered first.
    pub entered: u64,
    /// The kernel's number.
    pub nr: i32,
    /// -512 to -516, or -4.
    pub ret: i64,
    /// How often it was restarted so far.
    pub restarts: u32,
    /// Who interrupted it.
    pub by: Vec<crate::event::SignalId>,
    /// What it is on.
    pub on: On,
    /// A handler runs, and with it is decided whether the call fails or goes on.
    pub decided: bool,
    /// It fails.
    pub failed: bool,
}

impl Thread {
    /// A thread nothing is known of but its ids.
    pub fn new(task: Task) -> Self {
        Self {
            task,
            ns_pid: None,
            comm: Comm::default(),
            files: 0,
            address: 0,
            held: false,
            ended: false,
            succeeds: false,
            state: None,
            since: 0,
            before: None,
            blocks: Vec::new(),
            call: None,
            last_entered: 0,
            interrupted: None,
            last_block: None,
            set: None,
            last_transfer: None,
            mask: None,
            handlers: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// What stands for it in the order of a pipe: its address, or a number that no address can be.
    pub fn identity(&self) -> u64 {
        if self.address == 0 { u64::from(self.task.tid) } else { self.address }
    }

    /// ns BLOCKED between two moments; forgets the stays, but for those in a call that a signal interrupted and that may go
    /// on: between the moments, its handler made another.
    pub fn take_blocked(&mut self, from: u64, to: u64) -> u64 {
        let sum = self.blocks.iter().map(|&(start, end)| end.min(to).saturating_sub(start.max(from))).sum();
        let goes_on = self.interrupted.is_some() || self.handlers.iter().any(|frame| frame.call.is_some());
        self.blocks.retain(|&(start, end)| goes_on && (end <= from || start >= to));
        sum
    }
}

/// A process in the stream.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Its living threads.
    pub threads: u32,
    /// Signals that any of its threads may take.
    pub pending: Vec<Pending>,
    /// Its last thread has ended.
    pub ended: bool,
    /// It was there before what is kept: what waited for it then is unknown.
    pub before_kept: bool,
    /// The fatal signal has been told.
    pub killed: bool,
    /// What was said of signals that threads had pending when they were ended with others: why is not known yet.
    pub dropped: Vec<Place>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    threads: HashMap<u32, Thread>,
    processes: HashMap<u32, Process>,
    next_op: u64,
}

impl Tasks {
    /// The thread with that id, if it is in the trace.
    pub fn get(&self, tid: u32) -> Option<&Thread> {
        self.threads.get(&tid)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, tid: u32) -> Option<&mut Thread> {
        self.threads.get_mut(&tid)
    }

    /// The thread of a record, added if a loss has hidden its beginning.
    pub fn ensure(&mut self, tid: u32, pid: u32) -> &mut Thread {
        if !self.threads.contains_key(&tid) {
            self.add(Thread::new(Task { pid, tid }));
        }
        self.threads.entry(tid).or_insert_with(|| Thread::new(Task { pid, tid }))
    }

    /// A new thread; one of the same id has ended unseen.
    pub fn add(&mut self, thread: Thread) {
        self.remove(thread.task.tid);
        self.processes.entry(thread.task.pid).or_default().threads += 1;
        self.threads.insert(thread.task.tid, thread);
    }

    /// It has gone.
    pub fn remove(&mut self, tid: u32) -> Option<Thread> {
        let thread = self.threads.remove(&tid)?;
        if let Some(process) = self.processes.get_mut(&thread.task.pid) {
            process.threads = process.threads.saturating_sub(1);
            if process.threads == 0 {
                self.processes.remove(&thread.task.pid);
            }
        }
        Some(thread)
    }

    /// Some thread has not ended.
    pub fn is_anybody_left(&self) -> bool {
        self.threads.values().any(|t| !t.ended)
    }

    /// Another thread than the leader called exec: it takes the leader's id over, with all that is its own.
    pub fn take_over(&mut self, old: u32, task: Task) {
        // Removing and adding must not lose what waits for the whole process.
        let process = self.processes.get_mut(&task.pid).map(|process| {
            let threads = process.threads;
            std::mem::replace(process, Process { threads, ..Process::default() })
        });
        if let Some(mut thread) = self.remove(old) {
            thread.task = task;
            if let Some(leader) = self.get(task.tid) {
                (thread.state, thread.since) = (leader.state, leader.since);
                thread.succeeds = true;
            }
            self.add(thread);
        }
        if let (Some(kept), Some(process)) = (process, self.processes.get_mut(&task.pid)) {
            *process = Process { threads: process.threads, ..kept };
        }
    }

    /// The process with that id.
    pub fn process(&mut self, pid: u32) -> Option<&mut Process> {
        self.processes.get_mut(&pid)
    }

    /// What was before is not kept.
    pub fn begin_anew(&mut self) {
        for process in self.processes.values_mut() {
            process.before_kept = true;
        }
    }

    /// Whether that process is in the trace.
    pub fn has_process(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// Some thread of the process has not ended.
    pub fn has_living_threads(&self, pid: u32) -> bool {
        // Whoever asks has one that has ended: all are looked at only where there are others.
        self.processes.get(&pid).is_some_and(|process| process.threads > 1)
            && self.threads.values().any(|thread| thread.task.pid == pid && !thread.ended)
    }

    /// The ids of a process's threads, ascending.
    pub fn threads_of(&self, pid: u32) -> Vec<u32> {
        let mut tids: Vec<u32> = self.threads.values().filter(|t| t.task.pid == pid).map(|t| t.task.tid).collect();
        tids.sort_unstable();
        tids
    }

    /// All threads, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Thread> {
        self.threads.values()
    }

    /// The same, to change.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Thread> {
        self.threads.values_mut()
    }

    /// Whether the order of its pipe knew of the call a thread is in; it does from now on.
    pub fn tell(&mut self, tid: u32) -> bool {
        self.get_mut(tid)
            .and_then(|thread| thread.call.as_mut())
            .is_some_and(|call| std::mem::replace(&mut call.told, true))
    }

    /// If the call that a thread entered at that time is one that a signal had interrupted, it keeps its number.
    /// `is_same`: whether the interrupted call can be this one.
    pub fn resume(&mut self, tid: u32, entered: u64, is_same: impl FnOnce(&Interrupted) -> bool) {
        let Some(thread) = self.get_mut(tid) else { return };
        if let Some(interrupted) = thread.interrupted.as_mut()
            && !interrupted.failed
            && entered > interrupted.entered
            && thread.call.is_none_or(|call| call.entered != entered)
            && is_same(interrupted)
        {
            interrupted.restarts += 1;
            thread.call = Some(Current { entered, op: interrupted.op, told: false });
        }
    }

    /// A number for what is no call of a thread.
    pub fn another_op(&mut self) -> OpId {
        let next = OpId(self.next_op);
        self.next_op += 1;
        next
    }

    /// The number of the call that a thread entered at that time.
    pub fn op(&mut self, tid: u32, pid: u32, entered: u64) -> OpId {
        let next = OpId(self.next_op);
        let thread = self.ensure(tid, pid);
        match thread.call {
            Some(call) if call.entered == entered => call.op,
            _ => {
                thread.call = Some(Current { entered, op: next, told: false });
                self.next_op += 1;
                next
            }
        }
    }
}
