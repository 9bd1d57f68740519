//! Thread states, from the scheduler's own records.

use ipcscope_common::{process::Found, sched};

use syscalls::Sysno;

use crate::event::{Blocked, Cause, ChannelId, Kind, Lock, StateChange, Task, ThreadState, WokenBy};

use super::{Decoder, names, tasks::Origin};

/// `TASK_UNINTERRUPTIBLE`, `__TASK_STOPPED`, `__TASK_TRACED`, `TASK_DEAD` (include/linux/sched.h).
const UNINTERRUPTIBLE: u32 = 0x2;
const STOPPED: u32 = 0x4;
const TRACED: u32 = 0x8;
const DEAD: u32 = 0x80;
/// `EXIT_DEAD`: it is gone with its end.
const EXIT_DEAD: u32 = 0x10;
/// `TASK_WAKEKILL`: a fatal signal wakes it.
const WAKEKILL: u32 = 0x100;
/// `P_PID` of waitid(2).
const P_PID: u64 = 1;
/// Commands of futex(2) without their flags: those that wait, those that take a lock (`FUTEX_LOCK_PI`, `_PI2`).
const FUTEX_COMMAND: u64 = 0x7f;
const FUTEX_WAITS: [u64; 5] = [0, 9, 6, 11, 13];
const FUTEX_LOCKS: [u64; 2] = [6, 13];
/// States a sleeper can be in.
const SLEEPING: u32 = 0x3;

fn is_file_lock(nr: i32) -> bool {
    matches!(names::sysno(nr), Some(Sysno::flock | Sysno::fcntl))
}

/// What a call's number and arguments say it waits for.
fn waits_for(pid: u32, nr: i32, args: &[u64; 3]) -> Blocked {
    let [first, second, _] = *args;
    let mut on = Blocked { syscall: (nr >= 0).then(|| names::syscall(nr)), ..Blocked::default() };
    let certain = |pid: u64| (pid as i32 > 0).then_some(pid as u32);
    match names::sysno(nr) {
        Some(Sysno::wait4) => on.waits_for = certain(first),
        Some(Sysno::waitid) if first == P_PID => on.waits_for = certain(second),
        Some(Sysno::futex) => {
            let command = second & FUTEX_COMMAND;
            if FUTEX_WAITS.contains(&command) {
                on.channel = Some(ChannelId(format!("futex:{pid}:{first:#x}").into()));
            }
            on.lock = FUTEX_LOCKS.contains(&command).then_some(Lock::Word(()));
        }
        _ => {}
    }
    on
}

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
                let on = block.map(|block| Box::new(self.blocked_on(block)));
                StateChange { on, ..StateChange::to(None, ThreadState::Blocked) }
            };
            self.tasks.ensure(header.tid, header.tgid);
            self.set_state(header.time, header.tid, change);
            if record.state & TRACED != 0 {
                self.traced_stop(record);
            } else if record.state & DEAD != 0 && u32::from(record.stop) & EXIT_DEAD != 0 {
                // Nobody has to reap it: a thread, or a child of somebody who does not care (`exit_notify`).
                self.set_state(header.time, header.tid, StateChange::to(None, ThreadState::Dead));
            }
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
        let uninterruptible = block.switch.state & SLEEPING == UNINTERRUPTIBLE;
        // A killable wait for a child of vfork(2) is uninterruptible too, but no device's.
        let killable = block.switch.state & WAKEKILL != 0;
        let mut on = waits_for(header.tgid, block.nr, &block.args);
        on.uninterruptible = uninterruptible;
        on.cause = match (block.nr >= 0, uninterruptible && !killable) {
            (false, _) => Cause::Fault,
            (true, false) => Cause::Call,
            (true, true) => Cause::Io,
        };
        if block.nr < 0 || block.entered == 0 {
            return on;
        }
        self.tasks.resume(header.tid, block.entered, |interrupted| interrupted.is_again(block.nr));
        let op = self.tasks.op(header.tid, header.tgid, block.entered);
        on.op = Some(op);
        if let Some(thread) = self.tasks.get_mut(header.tid) {
            thread.address = block.task;
            thread.last_block = Some((op, block.nr));
            if let Some(earlier) = thread.interrupted.as_ref().filter(|earlier| earlier.op == op) {
                on.restarts = earlier.restarts;
                on.syscall = Some(names::syscall(earlier.nr));
                thread.last_block = Some((op, earlier.nr));
            }
        }
        self.futex_wait(header.tid, &mut on);
        if block.ino != 0 && is_file_lock(block.nr) {
            // dev_t of the kernel: 12 bits major, 20 bits minor.
            let (major, minor) = (block.dev >> 20, block.dev & 0xf_ffff);
            on.lock = Some(Lock::File(format!("{major}:{minor}:{}", block.ino)));
            on.fd = block.args.first().map(|fd| *fd as i32);
        } else if block.ino != 0 {
            if matches!(names::sysno(block.nr), Some(Sysno::semop | Sysno::semtimedop)) {
                let (channel, timed) = self.sem_wait(header.tid, block.dev, block.ino as i32);
                (on.channel, on.timed) = (Some(channel), timed);
                return on;
            }
            if let Some(queue) = self.queues.name(block.dev, block.ino as i32) {
                on.channel = Some(queue);
                return on;
            }
            on.channel = Some(match names::sysno(block.nr) {
                Some(Sysno::mq_timedsend | Sysno::mq_timedreceive) => self.mqueue_id(block.dev, block.ino),
                _ => self.channels.name(block.dev, block.ino),
            });
            on.fd = block.args.first().map(|fd| *fd as i32);
            let task = Task { pid: header.tgid, tid: header.tid };
            on.peer = on.fd.and_then(|fd| self.peer_of(task, fd, (block.dev, block.ino)));
            self.pipe_blocked(block, Some(op));
            self.socket_blocked(block, op);
        } else {
            self.wait_for_set(header.time, Task { pid: header.tgid, tid: header.tid }, op, &mut on);
        }
        on
    }

    /// A thread that slept or was stopped when tracing began.
    pub(super) fn found_asleep(&mut self, record: &Found, task: Task) {
        let change = if record.state & (STOPPED | TRACED) != 0 {
            let traced = record.state & TRACED != 0;
            StateChange { traced, ..StateChange::to(None, ThreadState::Stopped) }
        } else if record.state & SLEEPING != 0 {
            let on = Blocked {
                cause: if record.nr >= 0 { Cause::Call } else { Cause::Fault },
                uninterruptible: record.state & SLEEPING == UNINTERRUPTIBLE,
                ..waits_for(task.pid, record.nr, &record.args)
            };
            StateChange { on: Some(Box::new(on)), ..StateChange::to(None, ThreadState::Blocked) }
        } else {
            return;
        };
        self.set_state(record.header.time, task.tid, change);
    }

    pub(super) fn waking(&mut self, record: &sched::Waking, new: bool) {
        let header = &record.header;
        if record.waker_nr >= 0 {
            self.sem_woken(header.tid, record.waker_tid);
            self.futexes.woken(header.tid, record.waker_tid);
        }
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
        if let Some((_, by)) = self.tasks.get_mut(header.tid).and_then(|thread| thread.before.as_mut()) {
            *by = Some(Origin { cpu: header.cpu, tid: record.waker_tid });
        }
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
        thread.before = thread.state.map(|state| (state, None));
        thread.state = Some(change.to);
        thread.since = time;
        let (task, held) = (thread.task, thread.held);
        if !held {
            self.push(time, task, Kind::State(change));
        }
    }
}
