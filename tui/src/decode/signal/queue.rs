//! Queues of pending signals: one for each thread, one for each process, as the kernel keeps them.

use super::{SIGCONT, SIGRTMIN, STOPS};
use crate::{
    decode::{Decoder, names},
    event::{Delivery, Destination, Event, Interrupted, Kind, Phase, Scope, Sender, SignalEvent, SignalId, Task},
};

/// A signal that has been generated and not yet taken.
#[derive(Clone, Debug)]
pub struct Pending {
    pub(super) id: SignalId,
    pub(super) signo: i32,
    pub(super) generated: u64,
    pub(super) sender: Option<Sender>,
    pub(super) scope: Scope,
    /// `si_code` and `si_value`: they tell apart several real-time signals of one number.
    pub(super) code: i32,
    pub(super) value: u64,
    /// The POSIX timer it is of.
    pub(super) timer: Option<u32>,
    /// What was done to that timer since: from 6.13 on nobody gets the signal any more (`posixtimer_deliver_signal`).
    pub(super) stale: Option<&'static str>,
}

impl Pending {
    /// How long it has waited, ns; unknown if its generation was not seen.
    pub(super) fn waited(&self, until: u64) -> Option<u64> {
        self.sender.is_some().then(|| until.saturating_sub(self.generated))
    }
}

/// Where in a queue the signal is that a thread takes: the oldest of its number; if a record was lost and several wait,
/// the oldest that carries the same. One that a timer has given up only if there is no other.
fn place(queue: &[Pending], signo: i32, carries: Option<(i32, u64)>) -> Option<usize> {
    let exact = |pending: &Pending| pending.signo == signo && carries == Some((pending.code, pending.value));
    let valid = |pending: &Pending| pending.signo == signo && pending.stale.is_none();
    let any = |pending: &Pending| pending.signo == signo;
    queue.iter().position(exact).or_else(|| queue.iter().position(valid)).or_else(|| queue.iter().position(any))
}

impl Decoder {
    pub(super) fn queue(&mut self, receiver: Task, group: bool, pending: Pending) {
        if group {
            if let Some(process) = self.tasks.process(receiver.pid) {
                process.pending.push(pending);
            }
        } else if let Some(thread) = self.tasks.get_mut(receiver.tid) {
            thread.pending.push(pending);
        }
    }

    /// The instance that a further one merges with: of a POSIX timer, that timer's.
    pub(super) fn find_pending(
        &mut self,
        receiver: Task,
        group: bool,
        signo: i32,
        timer: Option<u32>,
    ) -> Option<SignalId> {
        let queue = if group {
            self.tasks.process(receiver.pid).map(|process| &mut process.pending)
        } else {
            self.tasks.get_mut(receiver.tid).map(|thread| &mut thread.pending)
        };
        let queue = queue?;
        let same = queue.iter().position(|pending| pending.signo == signo && pending.timer == timer);
        let at = same.or_else(|| queue.iter().position(|pending| pending.signo == signo))?;
        let pending = queue.get_mut(at)?;
        // The timer ran out again, and means it.
        pending.stale = None;
        Some(pending.id)
    }

    /// timer_delete(2) or timer_settime(2) succeeded: what waits of that timer is void, which shows when nobody gets it.
    pub(in crate::decode) fn timer_changed(&mut self, pid: u32, timer: u32, what: &'static str) {
        let mark = |queue: &mut Vec<Pending>| {
            for pending in queue.iter_mut().filter(|pending| pending.timer == Some(timer)) {
                pending.stale = Some(what);
            }
        };
        if let Some(process) = self.tasks.process(pid) {
            mark(&mut process.pending);
        }
        for thread in self.tasks.all_mut().filter(|thread| thread.task.pid == pid) {
            mark(&mut thread.pending);
        }
    }

    /// The instance a thread takes: its own first, then its process's (`dequeue_signal`).
    pub(super) fn take_pending(&mut self, task: Task, signo: i32, carries: Option<(i32, u64)>) -> Option<Pending> {
        let take = |queue: &mut Vec<Pending>| place(queue, signo, carries).map(|at| queue.remove(at));
        if let Some(pending) = self.tasks.get_mut(task.tid).and_then(|thread| take(&mut thread.pending)) {
            return Some(self.doubt(task, pending));
        }
        let pending = self.tasks.process(task.pid).and_then(|process| take(&mut process.pending))?;
        Some(self.doubt(task, pending))
    }

    /// Of a real-time signal several wait. If the process was there before what is kept, this may be an older one.
    fn doubt(&mut self, task: Task, pending: Pending) -> Pending {
        let old = self.tasks.process(task.pid).is_some_and(|process| process.before_kept);
        if !old || pending.signo < SIGRTMIN {
            return pending;
        }
        Pending { id: self.signals.fresh(), sender: None, ..pending }
    }

    /// A stop signal takes a waiting SIGCONT away, and SIGCONT the waiting stop signals (`prepare_signal`).
    pub(super) fn flush_opposites(&mut self, time: u64, pid: u32, signo: i32) {
        if signo == SIGCONT {
            self.discard(time, pid, "SIGCONT", |pending| STOPS.contains(&pending));
        } else if STOPS.contains(&signo) {
            self.discard(time, pid, "stopped", |pending| pending == SIGCONT);
        }
    }

    /// Drops what waits in a process's queues and is of certain numbers.
    pub(super) fn discard(&mut self, time: u64, pid: u32, reason: &'static str, fits: impl Fn(i32) -> bool) {
        let mut gone: Vec<(Task, Pending)> = Vec::new();
        let mut drain = |task: Task, queue: &mut Vec<Pending>| {
            if queue.iter().any(|pending| fits(pending.signo)) {
                let (out, stay) = std::mem::take(queue).into_iter().partition(|pending| fits(pending.signo));
                *queue = stay;
                gone.extend(Vec::into_iter(out).map(|pending| (task, pending)));
            }
        };
        if let Some(process) = self.tasks.process(pid) {
            drain(Task { pid, tid: pid }, &mut process.pending);
        }
        for thread in self.tasks.all_mut().filter(|thread| thread.task.pid == pid) {
            drain(thread.task, &mut thread.pending);
        }
        gone.sort_by_key(|(_, pending)| pending.id);
        for (task, pending) in gone {
            self.end_pending(time, task, &pending, Phase::Discarded, Some(reason), None);
        }
    }

    /// A process or thread ended with signals pending, or in the middle of handlers.
    pub(in crate::decode) fn discard_at_exit(&mut self, time: u64, task: Task, last: bool) {
        let Some(thread) = self.tasks.get_mut(task.tid) else { return };
        let frames = std::mem::take(&mut thread.handlers);
        let mut pending = std::mem::take(&mut thread.pending);
        let mut killed = false;
        if let Some(process) = self.tasks.process(task.pid) {
            killed = process.killed;
            if last {
                pending.append(&mut process.pending);
            }
        }
        self.abandon(time, task, frames);
        for pending in pending {
            let reason = pending.stale.unwrap_or("exit");
            if last || !killed {
                self.end_pending(time, task, &pending, Phase::Discarded, Some(reason), None);
                continue;
            }
            // Somebody ends the process's threads: by ending the process, or by an exec that comes next.
            let event = self.end_of(time, task, &pending, Phase::Discarded, Some(reason), None);
            let place = self.outbox.hold(event);
            if let Some(process) = self.tasks.process(task.pid) {
                process.dropped.push(place);
            }
        }
        if last {
            self.tell_dropped(task.pid, None);
        }
    }

    /// It has become known why threads were ended with signals pending: by an exec, or with their process.
    pub(in crate::decode) fn tell_dropped(&mut self, pid: u32, reason: Option<&'static str>) {
        let Some(process) = self.tasks.process(pid) else { return };
        for place in std::mem::take(&mut process.dropped) {
            self.outbox.complete(place, |event| {
                if let (Kind::Signal(signal), Some(_)) = (&mut event.kind, reason)
                    && signal.reason == Some("exit")
                {
                    signal.reason = reason;
                }
            });
        }
    }

    /// The last word about an instance that no handler and no default action got.
    pub(super) fn end_pending(
        &mut self,
        time: u64,
        task: Task,
        pending: &Pending,
        phase: Phase,
        reason: Option<&'static str>,
        consumed_by: Option<Interrupted>,
    ) {
        let event = self.end_of(time, task, pending, phase, reason, consumed_by);
        self.outbox.push(event);
    }

    fn end_of(
        &self,
        time: u64,
        task: Task,
        pending: &Pending,
        phase: Phase,
        reason: Option<&'static str>,
        consumed_by: Option<Interrupted>,
    ) -> Event {
        let tid = (pending.scope == Scope::Thread || consumed_by.is_some()).then_some(task.tid);
        let mut event = SignalEvent::about(pending, phase, Destination { pid: task.pid, tid, external: false });
        event.delivery = Delivery { pending_ns: pending.waited(time), ..Delivery::default() };
        event.reason = reason;
        event.consumed_by = consumed_by;
        self.event(time, task, Kind::Signal(Box::new(event)))
    }
}

impl SignalEvent {
    /// A later step of an instance.
    pub(super) fn about(pending: &Pending, phase: Phase, to: Destination) -> Self {
        Self {
            signal: names::signal(pending.signo),
            signo: pending.signo,
            id: pending.id,
            phase,
            sender: pending.sender.clone(),
            to,
            scope: pending.sender.is_some().then_some(pending.scope),
            multicast: None,
            broadcast: false,
            process_group: None,
            op: None,
            syscall: None,
            code: None,
            value: None,
            target_state: None,
            blocked_by_mask: false,
            mask: None,
            delivery: Delivery::default(),
            into: None,
            consumed_by: None,
            reason: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_unless_what_it_carries_says_otherwise() {
        let waiting = |id, signo, value| Pending {
            id: SignalId(id),
            signo,
            generated: 0,
            sender: None,
            scope: Scope::Process,
            code: -1,
            value,
            timer: None,
            stale: None,
        };
        let mut queue = [waiting(0, 10, 0), waiting(1, 35, 1), waiting(2, 35, 2)];
        assert_eq!(place(&queue, 35, None), Some(1));
        assert_eq!(place(&queue, 35, Some((-1, 2))), Some(2));
        assert_eq!(place(&queue, 35, Some((0, 2))), Some(1));
        assert_eq!(place(&queue, 12, None), None);
        queue[1].stale = Some("timer deleted");
        assert_eq!(place(&queue, 35, None), Some(2));
        assert_eq!(place(&queue, 35, Some((-1, 1))), Some(1));
    }
}
