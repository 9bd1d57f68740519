//! Signals: the life of every instance, joined from generation, delivery and the end of its handler.
//!
//! `sender`: who sent it; `queue`: what waits; `delivery`: who takes it; `tracer`: who takes it before that; `disposition`:
//! what is done about it. What becomes of interrupted calls is in `verdict`.
//!
//! Invariant: every instance ends exactly once, or waits when the trace ends.

mod delivery;
mod disposition;
mod queue;
mod sender;
mod tracer;

use foldhash::HashMap;

use ipcscope_common::signal::{self as wire, flag, info};

use crate::event::{
    Action, Comm, Delivery, Destination, Kind, Phase, Scope, SignalEvent, SignalSet, Task, ThreadState, Verdict,
};

use super::{Decoder, names, tasks::Origin};
use sender::{Act, Multicast, sender, value};

pub use delivery::Frame;
pub use queue::Pending;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGKILL: i32 = 9;
const SIGALRM: i32 = 14;
const SIGCHLD: i32 = 17;
const SIGCONT: i32 = 18;
const SIGTSTP: i32 = 20;
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;
const SIGVTALRM: i32 = 26;
const SIGPROF: i32 = 27;
const SIGWINCH: i32 = 28;
/// The kernel's first (signal(7)); the C library keeps two for itself.
const SIGRTMIN: i32 = 32;

/// `si_code` of a POSIX timer's signal.
const SI_TIMER: i32 = -2;
/// SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU.
const STOPS: [i32; 4] = [19, 20, 21, 22];

/// `SA_*` flags of x86-64 that mean something to a reader.
const SA_FLAGS: [(u64, &str); 7] = [
    (0x1, "SA_NOCLDSTOP"),
    (0x2, "SA_NOCLDWAIT"),
    (0x4, "SA_SIGINFO"),
    (0x0800_0000, "SA_ONSTACK"),
    (0x1000_0000, "SA_RESTART"),
    (0x4000_0000, "SA_NODEFER"),
    (0x8000_0000, "SA_RESETHAND"),
];
/// A wakeup belongs to the signal it was for if the signal follows within that time, ns: both come from one call of the
/// kernel's `complete_signal`.
const WAKE_TO_GENERATE: u64 = 1_000_000;

/// Numbers for instances and multicasts.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    next: u64,
    multicasts: u64,
    /// The last act of sending to several, its number, its time.
    last_act: Option<(Act, u64, u64)>,
    /// What tracers have been shown and not yet decided about, by thread.
    shown: HashMap<u32, Pending>,
}

/// What the disposition does.
fn action(signo: i32, handler: u64) -> Action {
    match handler {
        0 => default_action(signo),
        1 => Action::Ignore,
        _ => Action::Handler,
    }
}

/// signal(7), "Signal dispositions".
fn default_action(signo: i32) -> Action {
    match signo {
        SIGCHLD | 23 | SIGWINCH => Action::Ignore,
        SIGCONT => Action::Continue,
        19..=22 => Action::Stop,
        SIGQUIT | 4..=8 | 11 | 24 | 25 | 31 => Action::Core,
        _ => Action::Terminate,
    }
}

fn flags(sa_flags: u64) -> Vec<&'static str> {
    SA_FLAGS.iter().filter(|(bit, _)| sa_flags & bit != 0).map(|(_, name)| *name).collect()
}

fn delivery(signo: i32, handler: u64, sa_flags: u64) -> Delivery {
    let action = action(signo, handler);
    let is_handler = action == Action::Handler;
    Delivery {
        action: Some(action),
        handler: is_handler.then(|| format!("{handler:#x}")),
        flags: if is_handler { flags(sa_flags) } else { Vec::new() },
        ..Delivery::default()
    }
}

impl Decoder {
    /// The state a signal met: the wakeup it caused comes before it.
    fn state_before(&self, tid: u32, origin: Origin, time: u64) -> Option<ThreadState> {
        let thread = self.tasks.get(tid)?;
        match thread.before {
            Some((before, Some(by)))
                if by == origin
                    && thread.state == Some(ThreadState::Ready)
                    && time.saturating_sub(thread.since) < WAKE_TO_GENERATE =>
            {
                Some(before)
            }
            _ => thread.state,
        }
    }

    pub(super) fn generate(&mut self, record: &wire::Generate) {
        let header = &record.header;
        let is_traced = record.flags & flag::TARGET_TRACED != 0;
        if self.tasks.get(record.target_tid).is_some_and(|thread| thread.held) {
            return;
        }
        let receiver = Task { pid: record.target_tgid, tid: record.target_tid };
        let sender = sender(record);
        let group = record.flags & flag::GROUP != 0;
        let by_call = matches!(sender.kind, crate::event::SenderKind::Process) && record.entered != 0;
        let op = by_call.then(|| self.tasks.op(header.tid, header.tgid, record.entered));
        let pending = Pending {
            id: self.signals.fresh(),
            signo: record.signo,
            generated: header.time,
            sender: Some(sender.clone()),
            scope: if group { Scope::Process } else { Scope::Thread },
            code: record.code,
            value: record.value,
            timer: (record.info == info::FULL && record.code == SI_TIMER).then_some(record.origin),
            stale: None,
        };
        let tid = (!group).then_some(record.target_tid);
        let to = Destination { pid: record.target_tgid, tid, external: !is_traced };
        let Multicast { number, group: process_group, broadcast } = self.multicast(op, &sender, record);
        let blocked_by_mask =
            record.flags & flag::BLOCKED != 0 && !(group && self.another_may_take(receiver, record.signo));
        let event = SignalEvent {
            multicast: number,
            process_group,
            broadcast,
            op,
            syscall: by_call.then(|| names::syscall(record.nr)),
            code: if record.info == info::FULL { names::si_code(record.signo, record.code) } else { None },
            value: value(record.signo, record.info, record.code, record.value),
            target_state: self.state_before(
                record.target_tid,
                Origin { cpu: header.cpu, tid: header.tid },
                header.time,
            ),
            blocked_by_mask,
            delivery: delivery(record.signo, record.handler, record.sa_flags),
            ..SignalEvent::about(&pending, Phase::Generated, to)
        };
        let who = Task { pid: header.tgid, tid: header.tid };
        let somebody = sender.pid.is_some() && record.flags & flag::SENDER_TRACED != 0;
        let mut told = self.event(header.time, who, Kind::Signal(Box::new(event.clone())));
        if !somebody {
            told.task = sender.pid.map(|_| who);
            told.comm = sender.pid.map(|_| Comm::new(&record.comm));
        }
        self.outbox.push(told);
        if is_traced {
            if record.flags & flag::DYING == 0 {
                self.tasks.ensure(receiver.tid, receiver.pid);
                self.flush_opposites(header.time, receiver.pid, record.signo);
            }
            self.arrive(record, receiver, event, pending);
        }
    }

    /// Some thread of a process does not block that signal: it takes what another blocks (`complete_signal`).
    fn another_may_take(&self, receiver: Task, signo: i32) -> bool {
        self.tasks.threads_of(receiver.pid).into_iter().filter(|tid| *tid != receiver.tid).any(|tid| {
            let thread = self.tasks.get(tid).filter(|thread| !thread.ended);
            thread.and_then(|thread| thread.mask).is_some_and(|mask| !SignalSet(mask).contains(signo))
        })
    }

    /// A signal reached its receiver: it is dropped, or it waits to be taken.
    fn arrive(&mut self, record: &wire::Generate, receiver: Task, mut event: SignalEvent, pending: Pending) {
        let time = record.header.time;
        let group = pending.scope == Scope::Process;
        event.op = None;
        event.syscall = None;
        match record.result {
            1 => {
                // The kernel says ignored; but SIGCONT may have done its work by then.
                let continued = record.flags & flag::CONTINUED != 0;
                if event.delivery.action == Some(Action::Continue) && continued {
                    event.delivery.verdict = Some(Verdict::None);
                    event.phase = Phase::Delivered;
                } else {
                    event.phase = Phase::Ignored;
                }
                self.push(time, receiver, Kind::Signal(Box::new(event)));
            }
            2 => {
                event.into = self.find_pending(receiver, group, record.signo, pending.timer);
                event.phase = Phase::Coalesced;
                self.push(time, receiver, Kind::Signal(Box::new(event)));
            }
            3 => {
                event.phase = Phase::Overflowed;
                self.push(time, receiver, Kind::Signal(Box::new(event)));
            }
            _ => {
                let ended = if group {
                    self.tasks.process(receiver.pid).is_none_or(|process| process.ended)
                } else {
                    self.tasks.get(receiver.tid).is_none_or(|thread| thread.ended)
                };
                if ended {
                    // Queued, but nobody is left to take it.
                    self.end_pending(time, receiver, &pending, Phase::Discarded, Some("exit"), None);
                    return;
                }
                let stopped =
                    event.target_state == Some(ThreadState::Stopped) && !matches!(record.signo, SIGKILL | SIGCONT);
                if event.blocked_by_mask || stopped {
                    event.phase = Phase::Pending;
                    event.mask = event.blocked_by_mask.then_some(SignalSet(record.blocked));
                    self.push(time, receiver, Kind::Signal(Box::new(event)));
                }
                self.queue(receiver, group, pending);
            }
        }
    }
}
