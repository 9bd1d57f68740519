//! Signals: the life of every instance, joined from generation, delivery and the end of its handler.

use ipcscope_common::{
    call::CallEnd,
    signal::{self as wire, flag, info},
};
use syscalls::Sysno;

use crate::event::{
    Action, Delivery, Destination, Interrupted as InterruptedCall, Kind, OpId, Phase, Scope, Sender, SenderKind,
    SignalEvent, SignalId, Task, ThreadState, Verdict,
};

use super::{Decoder, names, tasks::Interrupted};

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
const SA_RESTART: u64 = 0x1000_0000;

/// A wakeup belongs to the signal it was for if the signal follows within that time, ns: both come from one call of the
/// kernel's `complete_signal`.
const WAKE_TO_GENERATE: u64 = 1_000_000;

/// A signal that has been generated and not yet taken.
#[derive(Clone, Debug)]
pub struct Pending {
    id: SignalId,
    signo: i32,
    generated: u64,
    sender: Option<Sender>,
    scope: Scope,
}

/// A handler that runs.
#[derive(Clone, Debug)]
pub struct Frame {
    event: SignalEvent,
    began: u64,
}

/// Numbers for instances and multicasts.
#[derive(Debug, Default)]
pub struct Signals {
    next: u64,
    multicasts: u64,
    /// The sending call of the last signal, its events' number if it went to several.
    last_send: Option<(OpId, u64)>,
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

fn tty(name: &[u8; 16]) -> Option<String> {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    (!name.is_empty()).then(|| crate::event::text::escape(name))
}

/// Whether a call sends signals on purpose.
fn sends(nr: i32) -> bool {
    matches!(
        usize::try_from(nr).ok().and_then(Sysno::new),
        Some(
            Sysno::kill
                | Sysno::tkill
                | Sysno::tgkill
                | Sysno::rt_sigqueueinfo
                | Sysno::rt_tgsigqueueinfo
                | Sysno::pidfd_send_signal
        )
    )
}

/// Who sent it: the current thread of the kernel's hook need not be the one (kernel/signal.c).
fn sender(record: &wire::Generate) -> Sender {
    let current = Some(record.header.tgid);
    let of = |kind| Sender { kind, pid: None, tty: None };
    let by = |kind| Sender { kind, pid: current, tty: None };
    let terminal = matches!(record.signo, SIGHUP | SIGINT | SIGQUIT | SIGCONT | SIGTSTP | SIGTTIN | SIGTTOU | SIGWINCH);
    match (record.info, record.code) {
        (info::FULL, 1..=6) if record.signo == SIGCHLD => by(SenderKind::Child),
        (info::FULL, -2) => of(SenderKind::Timer),
        (info::FULL, code) if code <= 0 => by(SenderKind::Process),
        // From 7.2 on kill(2) gives no information.
        (info::NONE, _) if sends(record.nr) => by(SenderKind::Process),
        (info::KERNEL, _) if terminal => Sender { kind: SenderKind::Terminal, pid: None, tty: tty(&record.tty) },
        (info::KERNEL, _) if matches!(record.signo, SIGALRM | SIGVTALRM | SIGPROF) => of(SenderKind::Timer),
        _ => of(SenderKind::Kernel),
    }
}

impl Decoder {
    /// The state a signal met: the wakeup it caused comes before it.
    fn state_before(&self, tid: u32, waker: u32, time: u64) -> Option<ThreadState> {
        let thread = self.tasks.get(tid)?;
        match thread.before {
            Some((before, Some(by)))
                if by == waker
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
        let id = SignalId(self.signals.next);
        self.signals.next += 1;
        let sender = sender(record);
        let group = record.flags & flag::GROUP != 0;
        let by_call = matches!(sender.kind, SenderKind::Process) && record.entered != 0;
        let op = by_call.then(|| self.tasks.op(header.tid, header.tgid, record.entered));
        let mut event = SignalEvent {
            signal: names::signal(record.signo),
            signo: record.signo,
            id,
            phase: Phase::Generated,
            to: Destination {
                pid: record.target_tgid,
                tid: (!group).then_some(record.target_tid),
                external: !is_traced,
            },
            scope: Some(if group { Scope::Process } else { Scope::Thread }),
            broadcast: false,
            process_group: None,
            multicast: op.filter(|_| group).and_then(|op| self.multicast(op, record)),
            op,
            syscall: by_call.then(|| names::syscall(record.nr)),
            code: if record.info == info::FULL { names::si_code(record.signo, record.code) } else { None },
            target_state: self.state_before(record.target_tid, header.tid, header.time),
            value: None,
            mask: None,
            consumed_by: None,
            blocked_by_mask: record.flags & flag::BLOCKED != 0,
            delivery: delivery(record.signo, record.handler, record.sa_flags),
            sender: Some(sender.clone()),
            into: None,
            reason: None,
        };
        let who = Task { pid: header.tgid, tid: header.tid };
        let somebody = sender.pid.is_some() && record.flags & flag::SENDER_TRACED != 0;
        let mut told = self.event(header.time, who, Kind::Signal(event.clone()));
        if !somebody {
            told.task = sender.pid.map(|_| who);
            told.comm = sender.pid.map(|_| crate::event::Comm::new(&record.comm));
        }
        self.outbox.push(told);
        if !is_traced {
            return;
        }
        let receiver = Task { pid: record.target_tgid, tid: record.target_tid };
        let result = record.result;
        event.op = None;
        event.syscall = None;
        let pending = Pending {
            id,
            signo: record.signo,
            generated: header.time,
            sender: event.sender.clone(),
            scope: if group { Scope::Process } else { Scope::Thread },
        };
        match result {
            1 => self.not_queued(header.time, receiver, event),
            2 => {
                event.into = self.find_pending(receiver, group, record.signo);
                event.phase = Phase::Coalesced;
                self.push(header.time, receiver, Kind::Signal(event));
            }
            3 => {
                event.phase = Phase::Overflowed;
                self.push(header.time, receiver, Kind::Signal(event));
            }
            _ => {
                let stopped =
                    event.target_state == Some(ThreadState::Stopped) && !matches!(record.signo, SIGKILL | SIGCONT);
                if event.blocked_by_mask || stopped {
                    event.phase = Phase::Pending;
                    self.push(header.time, receiver, Kind::Signal(event));
                }
                self.queue(receiver, group, pending);
            }
        }
    }

    /// The kernel says ignored; but SIGCONT has done its work by then, and the dying take no signals.
    fn not_queued(&mut self, time: u64, receiver: Task, mut event: SignalEvent) {
        event.phase = if event.delivery.action == Some(Action::Continue) {
            event.delivery.verdict = Some(Verdict::None);
            Phase::Delivered
        } else {
            Phase::Ignored
        };
        self.push(time, receiver, Kind::Signal(event));
    }

    /// One number for everything a call sends to several processes.
    fn multicast(&mut self, op: OpId, record: &wire::Generate) -> Option<u64> {
        let is_kill = matches!(usize::try_from(record.nr).ok().and_then(Sysno::new), Some(Sysno::kill));
        // kill(2): a positive number is one process; 0, -1 and other negative ones are groups or everybody.
        if !is_kill || record.argument as i32 > 0 {
            return None;
        }
        match self.signals.last_send {
            Some((last, number)) if last == op => Some(number),
            _ => {
                let number = self.signals.multicasts;
                self.signals.multicasts += 1;
                self.signals.last_send = Some((op, number));
                Some(number)
            }
        }
    }

    fn queue(&mut self, receiver: Task, group: bool, pending: Pending) {
        if group {
            if let Some(process) = self.tasks.process(receiver.pid) {
                process.pending.push(pending);
            }
        } else if let Some(thread) = self.tasks.get_mut(receiver.tid) {
            thread.pending.push(pending);
        }
    }

    fn find_pending(&mut self, receiver: Task, group: bool, signo: i32) -> Option<SignalId> {
        let queue = if group {
            self.tasks.process(receiver.pid).map(|process| &process.pending)
        } else {
            self.tasks.get(receiver.tid).map(|thread| &thread.pending)
        };
        queue?.iter().find(|pending| pending.signo == signo).map(|pending| pending.id)
    }

    /// The instance a thread takes: its own first, then its process's, the oldest (`dequeue_signal`).
    fn take_pending(&mut self, task: Task, signo: i32) -> Option<Pending> {
        let take = |queue: &mut Vec<Pending>| {
            let at = queue.iter().position(|pending| pending.signo == signo)?;
            Some(queue.remove(at))
        };
        if let Some(pending) = self.tasks.get_mut(task.tid).and_then(|thread| take(&mut thread.pending)) {
            return Some(pending);
        }
        self.tasks.process(task.pid).and_then(|process| take(&mut process.pending))
    }

    pub(super) fn deliver(&mut self, record: &wire::Deliver) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        if self.tasks.ensure(task.tid, task.pid).held {
            return;
        }
        // A fatal signal reaches every thread as SIGKILL; the true one is in the process's exit code.
        let fatal = record.signo == SIGKILL && record.info != info::FULL;
        let signo = match record.group_exit_code & 0x7f {
            0 => record.signo,
            real if fatal => real,
            _ => record.signo,
        };
        if fatal && self.tasks.process(task.pid).is_some_and(|p| std::mem::replace(&mut p.killed, true)) {
            return;
        }
        let pending = match self.take_pending(task, signo) {
            Some(pending) => pending,
            // Another thread's exit_group(2) ends this one: no signal.
            None if fatal => return,
            None => self.unseen(header.time, signo),
        };
        let mut event = SignalEvent {
            signal: names::signal(signo),
            signo,
            id: pending.id,
            phase: Phase::Delivered,
            sender: pending.sender,
            to: Destination { pid: task.pid, tid: Some(task.tid), external: false },
            scope: Some(pending.scope),
            multicast: None,
            broadcast: false,
            process_group: None,
            op: None,
            syscall: None,
            code: if record.info == info::FULL { names::si_code(signo, record.code) } else { None },
            target_state: None,
            value: None,
            mask: None,
            consumed_by: None,
            blocked_by_mask: false,
            delivery: delivery(signo, if fatal { 0 } else { record.handler }, record.sa_flags),
            into: None,
            reason: None,
        };
        event.delivery.pending_ns = Some(header.time.saturating_sub(pending.generated));
        if event.delivery.action == Some(Action::Ignore) {
            event.phase = Phase::Discarded;
            event.reason = Some("ignored meanwhile");
            self.push(header.time, task, Kind::Signal(event));
            return;
        }
        let is_handler = event.delivery.action == Some(Action::Handler);
        let verdict = self.interrupt(task, pending.id, is_handler, record.sa_flags);
        event.delivery.interrupted = verdict.as_ref().map(|(call, _)| call.clone());
        let verdict = verdict.map_or(Verdict::None, |(_, verdict)| verdict);
        if !is_handler {
            event.delivery.verdict = Some(verdict);
        }
        self.push(header.time, task, Kind::Signal(event.clone()));
        if is_handler {
            event.delivery.verdict = Some(verdict);
            if let Some(thread) = self.tasks.get_mut(task.tid) {
                thread.handlers.push(Frame { event, began: header.time });
            }
        }
        if is_handler && verdict == Verdict::Eintr {
            self.call_failed(header.time, task);
        }
    }

    /// A signal whose generation a loss has hidden, or that was pending before the trace began.
    fn unseen(&mut self, time: u64, signo: i32) -> Pending {
        let id = SignalId(self.signals.next);
        self.signals.next += 1;
        Pending { id, signo, generated: time, sender: None, scope: Scope::Process }
    }

    /// What becomes of the call this thread was in (kernel/signal.c, `arch_do_signal_or_restart`): the first handler of
    /// several decides.
    fn interrupt(
        &mut self,
        task: Task,
        id: SignalId,
        is_handler: bool,
        sa_flags: u64,
    ) -> Option<(InterruptedCall, Verdict)> {
        let interrupted = self.tasks.get_mut(task.tid)?.interrupted.as_mut()?;
        if interrupted.failed || interrupted.by.contains(&id) {
            return None;
        }
        interrupted.by.push(id);
        let verdict = match interrupted.ret {
            -4 => Verdict::Eintr,
            -513 => Verdict::Restarted,
            -512 if is_handler && sa_flags & SA_RESTART == 0 => Verdict::Eintr,
            -514 | -516 if is_handler => Verdict::Eintr,
            _ => Verdict::Restarted,
        };
        let (op, nr) = (interrupted.op, interrupted.nr);
        let record = interrupted.record;
        let channel = record.map(|record| self.channels.name(record.dev, record.ino));
        Some((InterruptedCall { op: Some(op), syscall: names::syscall(nr), channel }, verdict))
    }

    /// A call without a family ended: interrupted, back from a handler, a child reaped.
    pub(super) fn call_end(&mut self, record: &CallEnd) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        match usize::try_from(record.nr).ok().and_then(Sysno::new) {
            Some(Sysno::rt_sigreturn) => self.handled(header.time, task),
            Some(Sysno::rt_sigtimedwait) if record.ret > 0 => self.consumed(record, task),
            _ if record.ret >= 0 => self.reaped(record),
            _ => {
                let op =
                    self.tasks.op(task.tid, task.pid, if record.entered == 0 { header.time } else { record.entered });
                if let Some(thread) = self.tasks.get_mut(task.tid) {
                    thread.interrupted = Some(Interrupted {
                        op,
                        entered: record.entered,
                        nr: record.nr,
                        ret: record.ret,
                        restarts: 0,
                        by: Vec::new(),
                        record: None,
                        failed: false,
                    });
                }
            }
        }
    }

    fn handled(&mut self, time: u64, task: Task) {
        let Some(Frame { mut event, began }) = self.tasks.get_mut(task.tid).and_then(|thread| thread.handlers.pop())
        else {
            return;
        };
        event.phase = Phase::Handled;
        event.delivery.handler_ns = Some(time.saturating_sub(began));
        self.push(time, task, Kind::Signal(event));
    }

    fn consumed(&mut self, record: &CallEnd, task: Task) {
        let signo = record.ret as i32;
        let Some(pending) = self.take_pending(task, signo) else { return };
        self.end_pending(record.header.time, task, pending, Phase::Consumed, None);
    }

    /// A process or thread ended with signals pending, or in the middle of handlers.
    pub(super) fn discard_pending(&mut self, time: u64, task: Task, last: bool) {
        let Some(thread) = self.tasks.get_mut(task.tid) else { return };
        let frames = std::mem::take(&mut thread.handlers);
        let mut pending = std::mem::take(&mut thread.pending);
        if last && let Some(process) = self.tasks.process(task.pid) {
            pending.append(&mut process.pending);
        }
        for Frame { mut event, .. } in frames.into_iter().rev() {
            event.phase = Phase::Abandoned;
            self.push(time, task, Kind::Signal(event));
        }
        for pending in pending {
            self.end_pending(time, task, pending, Phase::Discarded, Some("exit"));
        }
    }

    fn end_pending(&mut self, time: u64, task: Task, pending: Pending, phase: Phase, reason: Option<&'static str>) {
        let event = SignalEvent {
            signal: names::signal(pending.signo),
            signo: pending.signo,
            id: pending.id,
            phase,
            sender: pending.sender,
            to: Destination { pid: task.pid, tid: None, external: false },
            scope: Some(pending.scope),
            multicast: None,
            broadcast: false,
            process_group: None,
            op: None,
            syscall: None,
            code: None,
            target_state: None,
            value: None,
            mask: None,
            consumed_by: None,
            blocked_by_mask: false,
            delivery: Delivery { pending_ns: Some(time.saturating_sub(pending.generated)), ..Delivery::default() },
            into: None,
            reason,
        };
        self.push(time, task, Kind::Signal(event));
    }
}
