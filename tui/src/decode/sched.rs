//! Thread states, from the scheduler's own records.

use ipcscope_common::{process::Found, sched};

use crate::event::{Blocked, Cause, Kind, StateChange, Task, ThreadState, WokenBy};

use super::{Decoder, names};

/// `TASK_UNINTERRUPTIBLE`, `__TASK_STOPPED`, `__TASK_TRACED`, `TASK_DEAD` (include/linux/sched.h).
const UNINTERRUPTIBLE: u32 = 0x2;
const STOPPED: u32 = 0x4;
const TRACED: u32 = 0x8;
const DEAD: u32 = 0x80;
/// States a sleeper can be in.
const SLEEPING: u32 = 0x3;

impl StateChange {
    /// A change without details.
    pub(super) fn to(from: Option<ThreadState>, to: ThreadState) -> Self {
        Self { from, to, cpu: None, on: None, woken_by: None, preempted: false, traced: false }
    }
}

impl Decoder {
    pub(super) fn switch(&mut self, record: &sched::Switch, block: Option<&sched::Block>) {
        let header = &record.header;
        if header.tgid != 0 {
            let change = if record.preempted != 0 || record.state == 0 {
                StateChange { preempted: true, ..StateChange::to(None, ThreadState::Ready) }
            } else if record.state & DEAD != 0 {
                StateChange::to(None, ThreadState::Zombie)
            } else if record.state & (STOPPED | TRACED) != 0 {
                let traced = record.state & TRACED != 0;
                StateChange { traced, ..StateChange::to(None, ThreadState::Stopped) }
            } else {
                let on = block.map(|block| self.blocked_on(block));
                StateChange { on, ..StateChange::to(None, ThreadState::Blocked) }
            };
            self.tasks.ensure(header.tid, header.tgid);
            self.set_state(header.time, header.tid, change);
        }
        if record.next_tgid != 0 {
            self.tasks.ensure(record.next_tid, record.next_tgid);
            let cpu = Some(u32::from(header.cpu));
            self.set_state(
                header.time,
                record.next_tid,
                StateChange { cpu, ..StateChange::to(None, ThreadState::Running) },
            );
        }
    }

    /// What a thread that goes to sleep waits for.
    fn blocked_on(&mut self, block: &sched::Block) -> Blocked {
        let header = &block.switch.header;
        let in_call = block.nr >= 0;
        let mut op = None;
        let mut channel = None;
        if in_call && block.entered != 0 {
            self.tasks.resume(header.tid, block.entered, |interrupted| interrupted.nr == block.nr);
            op = Some(self.tasks.op(header.tid, header.tgid, block.entered));
            if let Some(thread) = self.tasks.get_mut(header.tid) {
                thread.address = block.task;
            }
            if block.ino != 0 {
                channel = Some(self.channels.name(block.dev, block.ino));
                self.pipe_blocked(block, op);
            }
        }
        let waits = i64::from(block.nr) == syscalls::Sysno::wait4 as i64;
        let [first, ..] = block.args;
        let uninterruptible = block.switch.state & SLEEPING == UNINTERRUPTIBLE;
        Blocked {
            channels: Vec::new(),
            peer: None,
            lock: None,
            restarts: 0,
            op,
            syscall: in_call.then(|| names::syscall(block.nr)),
            fd: channel.is_some().then_some(first as i32),
            channel,
            waits_for: (waits && (first as i32) > 0).then_some(first as u32),
            cause: match (in_call, uninterruptible) {
                (false, _) => Cause::Fault,
                (true, false) => Cause::Call,
                // A killable wait for a child of vfork(2) is uninterruptible too, but no device's.
                (true, true) if block.switch.state & 0x100 != 0 => Cause::Call,
                (true, true) => Cause::Io,
            },
            uninterruptible,
        }
    }

    /// A thread that slept when tracing began.
    pub(super) fn found_blocked(&mut self, record: &Found, task: Task) {
        let on = Blocked {
            syscall: (record.nr >= 0).then(|| names::syscall(record.nr)),
            cause: if record.nr >= 0 { Cause::Call } else { Cause::Fault },
            uninterruptible: record.state & SLEEPING == UNINTERRUPTIBLE,
            ..Blocked::default()
        };
        let change = StateChange { on: Some(on), ..StateChange::to(None, ThreadState::Blocked) };
        self.set_state(record.header.time, task.tid, change);
    }

    pub(super) fn waking(&mut self, record: &sched::Waking, new: bool) {
        let header = &record.header;
        let thread = self.tasks.ensure(header.tid, header.tgid);
        let asleep = match thread.state {
            None | Some(ThreadState::Blocked | ThreadState::Stopped) => true,
            Some(ThreadState::New) => new,
            // Woken between making up its mind to sleep and sleeping: it never left the CPU.
            Some(_) => false,
        };
        if !asleep {
            return;
        }
        // Outside any system call an interrupt did it, on whichever thread happened to be there.
        let waker = Task { pid: record.waker_tgid, tid: record.waker_tid };
        let by_task = waker.tid != 0 && record.waker_nr >= 0;
        let woken_by = if by_task { WokenBy::Task(waker) } else { WokenBy::Kernel };
        self.set_state(
            header.time,
            header.tid,
            StateChange { woken_by: Some(woken_by), ..StateChange::to(None, ThreadState::Ready) },
        );
    }

    /// Tells a change of state, unless there is none.
    pub(super) fn set_state(&mut self, time: u64, tid: u32, mut change: StateChange) {
        let Some(thread) = self.tasks.get_mut(tid) else { return };
        if thread.state == Some(change.to) || thread.state == Some(ThreadState::Dead) {
            return;
        }
        if thread.state == Some(ThreadState::Blocked) {
            thread.blocks.push((thread.since, time));
            // A thread that sleeps over and over outside calls we follow must not grow the list.
            if thread.blocks.len() > 4096 {
                thread.blocks.drain(..2048);
            }
        }
        change.from = thread.state;
        let waker = match change.woken_by {
            Some(WokenBy::Task(task)) => Some(task.tid),
            _ => None,
        };
        thread.before = thread.state.map(|state| (state, waker));
        thread.state = Some(change.to);
        thread.since = time;
        let (task, held) = (thread.task, thread.held);
        if !held {
            self.push(time, task, Kind::State(change));
        }
    }
}
