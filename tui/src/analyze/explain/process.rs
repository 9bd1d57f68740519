//! The life of processes, and the states of threads.

use super::{Story, list};
use crate::{
    event::{
        Action, Blocked, Cause, ChannelId, Exit, Lock, Phase, SignalEvent, StateChange, Task, ThreadState, WokenBy,
        number,
    },
    model::Side,
};

impl Story<'_> {
    pub(super) fn fork(&mut self, child: Task, thread: bool) {
        let actor = self.actor();
        if thread {
            self.say(format!(
                "{actor} started thread {}: it shares memory and descriptors with its process.",
                child.tid
            ));
        } else {
            self.say(format!(
                "{actor} created process {}: a copy of itself, with copies of its open descriptors.",
                child.pid
            ));
        }
    }

    pub(super) fn exec(&mut self, exe: &str) {
        self.say(format!(
            "{} now runs {exe}. Process id and open descriptors stay; all else is replaced.",
            self.actor()
        ));
    }

    pub(super) fn exit(&mut self, exit: &Exit) {
        let actor = self.actor();
        let what = if exit.thread { "This thread" } else { "The process" };
        match (&exit.signal, exit.code) {
            (Some(signal), _) => {
                let core = if exit.core { ", and its memory was saved as a core dump" } else { "" };
                self.say(format!("{actor} was killed by {signal}{core}."));
            }
            (None, Some(code)) => {
                let how = if code == 0 { "success" } else { "failure" };
                self.say(format!("{actor} ended with exit code {code} ({how} by convention)."));
            }
            (None, None) => self.say(format!("{actor} ended; how is not known.")),
        }
        if exit.thread {
            self.say(format!("{what} is gone, its process lives on."));
        } else {
            let parent = self.parent();
            self.say(format!("{what}'s descriptors are closed; it stays a ZOMBIE until {parent} has waited for it."));
        }
    }

    pub(super) fn state(&mut self, change: &StateChange) {
        let actor = self.actor();
        match change.to {
            ThreadState::New => self.say(format!("{actor} has been created and has not run yet.")),
            ThreadState::Ready => self.ready(change),
            ThreadState::Running => {
                let cpu = change.cpu.map(|cpu| format!(" {cpu}")).unwrap_or_default();
                self.say(format!("The scheduler gave {actor} CPU{cpu}."));
            }
            ThreadState::Blocked => match &change.on {
                Some(on) => self.blocked(on),
                None => self.say(format!("{actor} waits for something other than a CPU.")),
            },
            ThreadState::Stopped if change.traced => {
                self.say(format!("{actor} is held by a tracer (ptrace), a debugger for example."));
            }
            ThreadState::Stopped => {
                let by = self.stopper().unwrap_or_else(|| "a signal".to_owned());
                self.say(format!("{actor} is stopped by {by} and stays so until SIGCONT or SIGKILL."));
            }
            ThreadState::Zombie => {
                let parent = self.parent();
                self.say(format!("{actor} has ended. What is left is its exit code, until {parent} waits for it."));
            }
            ThreadState::Dead => {
                self.say(format!("{actor} has been reaped: nothing of it is left, its id may be used again."));
            }
        }
    }

    /// `its parent sh (4710)`: who must reap it.
    fn parent(&self) -> String {
        (self.event.task)
            .and_then(|task| self.world.process(task.pid))
            .and_then(|process| self.world.processes.get(&process.parent?))
            .map_or_else(
                || "its parent".to_owned(),
                |parent| format!("its parent {} ({})", parent.comm, parent.number()),
            )
    }

    /// The signal that stops it, if that is the last thing that happened to it.
    fn stopper(&self) -> Option<String> {
        let pid = self.event.task?.pid;
        let stops = |step: &SignalEvent| {
            step.to.pid == pid && step.phase == Phase::Delivered && step.delivery.action == Some(Action::Stop)
        };
        let found =
            self.world.signals.iter().rev().find_map(|row| {
                row.steps.iter().rev().find(|(t, step)| stops(step) && *t <= self.event.t).map(|_| row.id)
            });
        found.filter(|_| self.is_now()).map(|id| self.signal_name(id))
    }

    /// The signals under way whose sender has just made this thread READY.
    fn stirring(&self) -> Vec<String> {
        let Some(task) = self.event.task else { return Vec::new() };
        let rows = self.world.signals.iter().rev().take(64);
        let fits = rows.filter(|row| {
            let sender = row.steps.first().and_then(|(_, step)| step.sender.as_ref()?.pid);
            row.stir(task.tid, ThreadState::Ready).is_some_and(|stir| {
                stir.t == self.event.t
                    && matches!(stir.woken_by, Some(WokenBy::Task(waker)) if Some(waker.pid) == sender)
            }) && row.steps.first().is_some_and(|(_, step)| step.target_state == Some(ThreadState::Blocked))
        });
        fits.map(|row| self.signal_name(row.id)).collect()
    }

    fn ready(&mut self, change: &StateChange) {
        let actor = self.actor();
        if change.preempted {
            return self.say(format!("{actor} was preempted: it could run on, but had to leave the CPU to another."));
        }
        // A wake-up does not say that what was waited for is there: a signal wakes as well.
        match change.woken_by {
            Some(WokenBy::Task(task)) if self.event.task.map(|t| t.pid) == Some(task.pid) => {
                self.say(format!("Thread {} of its own process made {actor} READY.", number(task.tid)));
            }
            Some(WokenBy::Task(task)) => self.say(format!("{} made {actor} READY.", self.name(task.pid))),
            Some(WokenBy::Kernel) => self.say(format!("The kernel (an interrupt or a timer) made {actor} READY.")),
            None => self.say(format!("{actor} is READY.")),
        }
        let signals = self.stirring();
        if !signals.is_empty() {
            self.say(format!(
                "{} was on its way to it, and a signal ends a wait that can be interrupted.",
                list(signals)
            ));
        }
        self.say("READY means that only a CPU is missing.");
    }

    fn blocked(&mut self, on: &Blocked) {
        let actor = self.actor();
        match (on.cause, on.syscall, &on.channel) {
            (Cause::Fault, ..) => {
                self.say(format!("{actor} is BLOCKED until a page of its memory has been brought in."));
            }
            (Cause::Io, syscall, _) => {
                let call = syscall.map(|call| format!(" in {call}")).unwrap_or_default();
                self.say(format!("{actor} is BLOCKED{call} until a device has answered."));
            }
            // pipe_read and pipe_write (fs/pipe.c) sleep interruptibly for data or room only; for the mutex they do not.
            (Cause::Call, Some(call @ ("read" | "readv")), Some(id)) if !on.uninterruptible && is_pipe(id) => {
                self.say_wait_on(Side::Receive, call, id);
            }
            (Cause::Call, Some(call @ ("write" | "writev")), Some(id)) if !on.uninterruptible && is_pipe(id) => {
                self.say_wait_on(Side::Send, call, id);
            }
            (Cause::Call, Some(call), Some(id)) => self.say(format!("{actor} is BLOCKED in {call} on {id}.")),
            (Cause::Call, Some(call), None) => {
                let what = match call {
                    "wait4" | "waitid" => match on.waits_for {
                        Some(pid) => format!(" until its child {} changes its state", self.name(pid)),
                        None => " until one of its children changes its state".to_owned(),
                    },
                    "nanosleep" | "clock_nanosleep" => ": it sleeps until a time".to_owned(),
                    "pause" | "rt_sigsuspend" | "rt_sigtimedwait" => " until a signal comes".to_owned(),
                    "futex" => ": a lock or condition of its program (futex)".to_owned(),
                    "poll" | "ppoll" | "select" | "pselect6" | "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => {
                        let set = on.set();
                        match (set.as_slice(), on.fds.len()) {
                            ([], _) => " until one of several descriptors is ready".to_owned(),
                            ([one], 0 | 1) => format!(": it waits for {one}"),
                            _ => format!(": it waits for any of {}", list(set)),
                        }
                    }
                    _ => on.fd.map(|fd| format!(" on fd {fd}")).unwrap_or_default(),
                };
                self.say(format!("{actor} is BLOCKED in {call}{what}."));
            }
            (Cause::Call, None, _) => self.say(format!("{actor} is BLOCKED.")),
        }
        match &on.lock {
            Some(Lock::File(file)) => self.say(format!("Another holds the lock on {file}.")),
            Some(Lock::Word(())) => self.say("It waits for another thread to unlock it."),
            None => {}
        }
        if let Some(peer) = on.peer {
            self.say(format!("At the other end is {}.", self.name(peer.pid)));
        }
        if on.restarts > 0 {
            let times = if on.restarts == 1 { "once".to_owned() } else { format!("{} times", on.restarts) };
            self.say(format!("Signals made the kernel start this call again, {times} so far."));
        }
        if on.uninterruptible {
            self.say("No signal can wake it from this wait (uninterruptible).");
        }
    }
}

pub(super) fn is_pipe(id: &ChannelId) -> bool {
    id.0.starts_with("pipe:") || id.0.starts_with("fifo:")
}
