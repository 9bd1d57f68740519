//! What brought an event about, and what it brought about: every link is another event that is kept.
//!
//! A receive has its sends, a READY its waker's deed, a signal's steps their beginning; the first link is the one that
//! the keys `c` and `e` follow. Searches are bounded, so that a key never takes long: a link further away than
//! [`SOUGHT`] events is not found.

use crate::{
    event::{Action, ChannelChange, Event, Kind, Nanos, Phase, SenderKind, SignalEvent, Task, ThreadState, WokenBy},
    ui::{
        log::Log,
        tracks::{Deed, Track, Tracks},
    },
};

/// Events looked through for a link.
const SOUGHT: usize = 50_000;
/// Links of an event.
const LINKS: usize = 8;
/// Steps of a chain.
const CHAIN: usize = 8;

/// Another event, and what it has to do with this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) struct Link {
    pub what: &'static str,
    pub index: u64,
}

/// The events that are kept, in all orders.
#[derive(Clone, Copy)]
pub(in crate::ui) struct Links<'a> {
    pub log: &'a Log,
    pub tracks: &'a Tracks,
}

impl Links<'_> {
    /// What brought it about, what matters most first.
    pub(in crate::ui) fn causes(&self, index: u64) -> Vec<Link> {
        let Some(event) = self.log.get(index) else { return Vec::new() };
        let mut links = Vec::new();
        match &event.kind {
            Kind::Recv(recv) => {
                let ops: Vec<_> = recv.from.iter().flatten().map(|origin| origin.op).collect();
                self.sends(index, &ops, &mut links);
                self.interruptions(index, event, &mut links);
                links.extend(self.wake_in(event));
            }
            Kind::Send(_) => {
                self.interruptions(index, event, &mut links);
                links.extend(self.wake_in(event));
                links.extend(self.ran(event, index));
            }
            Kind::Signal(step) if step.phase == Phase::Generated => self.senders(index, event, step, &mut links),
            Kind::Signal(step) => {
                let of = |phase| move |e: &Event| matches!(&e.kind, Kind::Signal(other) if other.id == step.id && other.phase == phase);
                links.extend(self.back(index, of(Phase::Generated)).map(link("generated")));
                if step.phase != Phase::Delivered {
                    links.extend(self.back(index, of(Phase::Delivered)).map(link("delivered")));
                }
                let into = |e: &Event| matches!(&e.kind, Kind::Signal(other) if Some(other.id) == step.into);
                links.extend(step.into.and_then(|_| self.back(index, into)).map(link("the one that is pending")));
            }
            Kind::State(change) => match (change.to, change.woken_by) {
                (ThreadState::Ready, Some(WokenBy::Task(waker))) => {
                    links.extend(self.deed(waker, event, index).map(link("its waker did this")));
                    links.extend(self.own_state_before(event, index).map(link("the wait that ended")));
                }
                (ThreadState::New, _) => links.extend(self.forked(event, index)),
                (ThreadState::Zombie, _) => {
                    let exit = |e: &Event| matches!(e.kind, Kind::Exit(_));
                    links.extend(self.own_before(event, index, exit).map(link("its end")));
                }
                (ThreadState::Stopped, _) => {
                    let stop =
                        |e: &Event| matches!(&e.kind, Kind::Signal(step) if step.delivery.action == Some(Action::Stop));
                    links.extend(self.own_before(event, index, stop).map(link("the signal that stopped it")));
                }
                _ => links.extend(self.own_state_before(event, index).map(link("the state before"))),
            },
            Kind::Exit(exit) => {
                let killer = |e: &Event| {
                    matches!(&e.kind, Kind::Signal(step) if step.phase == Phase::Delivered
                        && matches!(step.delivery.action, Some(Action::Terminate | Action::Core)))
                };
                if exit.signal.is_some() {
                    let pid = event.task.map(|task| task.pid);
                    let of_process = |e: &Event| killer(e) && e.task.map(|task| task.pid) == pid;
                    links.extend(self.back(index, of_process).map(link("the signal that ended it")));
                }
                links.extend(self.ran(event, index));
            }
            Kind::Channel(change) if change.event == ChannelChange::Inherited => {
                links.extend(self.forked(event, index));
            }
            Kind::Fork { .. } | Kind::Exec(_) | Kind::Channel(_) => links.extend(self.ran(event, index)),
            Kind::Rpc(rpc) => {
                let call = |e: &Event| matches!(e.kind, Kind::Rpc(_)) && Some(e.seq) == rpc.call;
                links.extend(rpc.call.and_then(|_| self.back(index, call)).map(link("the call")));
                let sent = |e: &Event| matches!(&e.kind, Kind::Send(send) if Some(send.call.op) == rpc.of);
                links.extend(rpc.of.and_then(|_| self.near(index, sent)).map(link("sent with")));
            }
            Kind::Lost(_) | Kind::Disposition(_) | Kind::Dispositions(_) | Kind::Mask(_) => {}
        }
        links.truncate(LINKS);
        links
    }

    /// What it brought about, what matters most first.
    pub(in crate::ui) fn effects(&self, index: u64) -> Vec<Link> {
        let Some(event) = self.log.get(index) else { return Vec::new() };
        let mut links = Vec::new();
        match &event.kind {
            Kind::Send(send) => {
                let op = send.call.op;
                let got =
                    |e: &Event| matches!(&e.kind, Kind::Recv(recv) if recv.from.iter().flatten().any(|o| o.op == op));
                let early = self.log.before(index).take(64).filter(|(_, e)| got(e)).map(|(index, _)| index);
                let late = self.log.from(index + 1).take(SOUGHT).filter(|(_, e)| got(e)).map(|(index, _)| index);
                links.extend(early.chain(late).take(LINKS).map(link("received")));
                let raised = |e: &Event| matches!(&e.kind, Kind::Signal(step) if step.op == Some(op));
                links.extend(self.near(index, raised).map(link("the signal it raised")));
                links.extend(self.wakes(event, index));
            }
            Kind::Signal(step) => self.consequences(index, event, step, &mut links),
            Kind::Fork { child, .. } => {
                links.extend(self.on(index, |e| e.task == Some(*child)).map(link("what the child does first")));
            }
            Kind::Exit(_) => {
                let pid = event.task.map(|task| task.pid);
                let told = |e: &Event| {
                    matches!(&e.kind, Kind::Signal(step) if step.phase == Phase::Generated
                        && step.sender.as_ref().is_some_and(|s| s.kind == SenderKind::Child && s.pid == pid))
                };
                links.extend(self.on(index, told).map(link("its parent is told")));
                links.extend(self.own_state_after(event, index).map(link("the state after")));
                links.extend(self.wakes(event, index));
            }
            Kind::State(change) if change.to == ThreadState::Running => {
                links.extend(self.own_after(event, index, |_| true).map(link("what it did next")));
            }
            Kind::State(change) => {
                let what = if change.to == ThreadState::Blocked { "what ended the wait" } else { "the state after" };
                links.extend(self.own_state_after(event, index).map(link(what)));
            }
            Kind::Recv(_) | Kind::Channel(_) => {
                links.extend(self.wakes(event, index));
                links.extend(self.own_after(event, index, |_| true).map(link("what it did next")));
            }
            Kind::Exec(_) => links.extend(self.own_after(event, index, |_| true).map(link("what it did next"))),
            Kind::Rpc(rpc) => {
                let answer = |e: &Event| matches!(&e.kind, Kind::Rpc(other) if other.call == Some(event.seq));
                links.extend((!rpc.role.is_answer()).then(|| self.on(index, answer)).flatten().map(link("its answer")));
                links.extend(self.own_after(event, index, |_| true).map(link("what it did next")));
            }
            Kind::Lost(_) | Kind::Disposition(_) | Kind::Dispositions(_) | Kind::Mask(_) => {}
        }
        links.truncate(LINKS);
        links
    }

    /// From cause to cause: the events that led to this one, the nearest first.
    pub(in crate::ui) fn chain(&self, index: u64) -> Vec<Link> {
        let mut chain: Vec<Link> = Vec::new();
        let mut here = index;
        while chain.len() < CHAIN {
            let Some(next) = self.causes(here).into_iter().next() else { break };
            if next.index == index || chain.iter().any(|link| link.index == next.index) {
                break;
            }
            chain.push(next);
            here = next.index;
        }
        chain
    }

    fn back(&self, index: u64, fits: impl Fn(&Event) -> bool) -> Option<u64> {
        self.log.before(index).take(SOUGHT).find(|(_, event)| fits(event)).map(|(index, _)| index)
    }

    fn on(&self, index: u64, fits: impl Fn(&Event) -> bool) -> Option<u64> {
        self.log.from(index + 1).take(SOUGHT).find(|(_, event)| fits(event)).map(|(index, _)| index)
    }

    /// After it, or shortly before: lines of calls come when they return, which may be later than their effect.
    fn near(&self, index: u64, fits: impl Fn(&Event) -> bool) -> Option<u64> {
        let early = self.log.before(index).take(64).find(|(_, event)| fits(event)).map(|(index, _)| index);
        early.or_else(|| self.on(index, fits))
    }

    fn track(&self, event: &Event) -> Option<&Track> {
        self.tracks.of_at(event.task?.tid, event.t)
    }

    /// The latest event of the same thread that fits.
    fn own_before(&self, event: &Event, index: u64, fits: impl Fn(&Event) -> bool) -> Option<u64> {
        let mut own = self.track(event)?.back(event.t).filter(|own| *own < index).take(SOUGHT);
        own.find(|own| self.log.get(*own).is_some_and(&fits))
    }

    fn own_after(&self, event: &Event, index: u64, fits: impl Fn(&Event) -> bool) -> Option<u64> {
        self.on(index, |e| e.task == event.task && !e.kind.is_quiet() && fits(e))
    }

    fn own_state_before(&self, event: &Event, index: u64) -> Option<u64> {
        self.own_before(event, index, |e| matches!(e.kind, Kind::State(_)))
    }

    fn own_state_after(&self, event: &Event, index: u64) -> Option<u64> {
        self.own_after(event, index, |e| matches!(e.kind, Kind::State(_)))
    }

    /// Since when the thread of a deed has had the CPU.
    fn ran(&self, event: &Event, index: u64) -> Option<Link> {
        self.own_state_before(event, index).map(link("since then its thread ran"))
    }

    fn forked(&self, event: &Event, index: u64) -> Option<Link> {
        let task = event.task?;
        let made = |e: &Event| matches!(e.kind, Kind::Fork { child, .. } if child == task);
        self.back(index, made).map(link("made by"))
    }

    /// The sends with those numbers. A send may return after the receive of its bytes, then its line comes later.
    fn sends(&self, index: u64, ops: &[crate::event::OpId], links: &mut Vec<Link>) {
        if ops.is_empty() {
            return;
        }
        let is_one = |e: &Event| matches!(&e.kind, Kind::Send(send) if ops.contains(&send.call.op));
        let distinct = {
            let mut distinct = ops.to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            distinct.len().min(LINKS)
        };
        let late = self.log.from(index + 1).take(64).filter(|(_, e)| is_one(e)).map(|(index, _)| index);
        let early = self.log.before(index).take(SOUGHT).filter(|(_, e)| is_one(e)).map(|(index, _)| index);
        let mut found: Vec<u64> = late.chain(early).take(distinct).collect();
        found.sort_unstable();
        links.extend(found.into_iter().map(link("sent")));
    }

    /// The signals that a call met.
    fn interruptions(&self, index: u64, event: &Event, links: &mut Vec<Link>) {
        let Some(call) = event.call().filter(|call| !call.interrupted_by.is_empty()) else { return };
        for id in call.interrupted_by.iter().take(LINKS) {
            let delivered =
                |e: &Event| matches!(&e.kind, Kind::Signal(step) if step.id == *id && step.phase == Phase::Delivered);
            links.extend(self.near(index, delivered).map(link("interrupted by")));
        }
    }

    /// What ended the wait in a call.
    fn wake_in(&self, event: &Event) -> Option<Link> {
        let call = event.call().filter(|call| call.blocked_ns.is_some_and(|ns| ns > 0))?;
        let from = Nanos(event.t.0.saturating_sub(call.took_ns));
        let stays = self.track(event)?.stays_from(from).take_while(|stay| stay.t <= event.t);
        let ready = stays.filter(|stay| stay.state == Some(ThreadState::Ready)).filter_map(|stay| stay.index).last();
        ready.map(link("its wait ended"))
    }

    /// What a thread was doing when it woke the one of `event`: the call that it was in, else what it had just done,
    /// else nothing that is traced; then since when it ran.
    fn deed(&self, waker: Task, event: &Event, index: u64) -> Option<u64> {
        let track = self.tracks.of_at(waker.tid, event.t)?;
        let covers = |index: &u64| {
            let Some(other) = self.log.get(*index) else { return false };
            other.call().is_some_and(|call| other.t.0.saturating_sub(call.took_ns) <= event.t.0)
        };
        let later =
            || track.acts_between(event.t, Nanos(u64::MAX)).filter(|act| act.index > index).map(|act| act.index);
        // The kernel tells of a signal right after the wake-up that it brings.
        let changed = track.stays_from(event.t).map(|stay| stay.t).find(|t| *t > event.t).unwrap_or(Nanos(u64::MAX));
        let sent = |act: &u64| {
            self.log.get(*act).is_some_and(|other| {
                other.t <= changed
                    && matches!(&other.kind, Kind::Signal(step) if step.phase == Phase::Generated
                        && Some(step.to.pid) == event.task.map(|task| task.pid)
                        && step.target_state == Some(ThreadState::Blocked))
            })
        };
        if let Some(act) = later().take(2).find(|act| covers(act) || sent(act)) {
            return Some(act);
        }
        let stay = track.stay_at(event.t);
        let since = stay.filter(|stay| stay.state == Some(ThreadState::Running)).map_or(event.t, |stay| stay.t);
        let mut before = track.acts_between(since, Nanos(event.t.0.saturating_add(1))).rev();
        // What became of a signal is no deed, and a call is one with its send.
        let told = |deed| matches!(deed, Deed::SignalTaken | Deed::Call | Deed::Answer);
        let deed = before.find(|act| act.index < index && !told(act.deed)).map(|act| act.index);
        deed.or_else(|| stay.and_then(|stay| stay.index))
    }

    /// Threads that became READY by what this event tells, while its call ran.
    fn wakes(&self, event: &Event, index: u64) -> Vec<Link> {
        let Some(task) = event.task else { return Vec::new() };
        let took = event.call().map_or(0, |call| call.took_ns);
        // What an exit sets free comes right after it.
        let until = if matches!(event.kind, Kind::Exit(_)) { index + 64 } else { index + 8 };
        let from =
            self.log.after(Nanos(event.t.0.saturating_sub(took.saturating_add(1)))).max(index.saturating_sub(4096));
        let woken = |e: &Event| {
            matches!(&e.kind, Kind::State(change) if change.woken_by == Some(WokenBy::Task(task)))
                && e.task != event.task
        };
        let all = self.log.from(from).take_while(|(other, _)| *other < until);
        let own = all.filter(|(other, e)| woken(e) && self.deed(task, e, *other) == Some(index));
        own.take(LINKS).map(|(other, _)| link("woken by it")(other)).collect()
    }

    /// How a signal came about.
    fn senders(&self, index: u64, event: &Event, step: &SignalEvent, links: &mut Vec<Link>) {
        if let Some(sender) = step.sender.as_ref().filter(|sender| sender.kind == SenderKind::Child) {
            let of_child = |e: &Event| e.task.map(|task| task.pid) == sender.pid && sender.pid.is_some();
            let exited = step.code.is_none_or(|code| !matches!(code, "CLD_STOPPED" | "CLD_CONTINUED" | "CLD_TRAPPED"));
            let cause = |e: &Event| {
                of_child(e)
                    && if exited {
                        matches!(&e.kind, Kind::Exit(exit) if !exit.thread)
                    } else {
                        matches!(e.kind, Kind::State(_))
                    }
            };
            links.extend(self.back(index, cause).map(link("what became of the child")));
            return;
        }
        let broken = |e: &Event| {
            step.signal == "SIGPIPE"
                && e.task == event.task
                && matches!(&e.kind, Kind::Send(s) if s.error == Some("EPIPE"))
        };
        let call = |e: &Event| match step.op {
            Some(op) => e.call().is_some_and(|call| call.op == op),
            None => broken(e) && e.call().is_some_and(|call| e.t.0.saturating_sub(call.took_ns) <= event.t.0),
        };
        links.extend(self.near(index, call).map(link("the call that raised it")));
        links.extend(self.ran(event, index));
    }

    /// What becomes of a signal.
    fn consequences(&self, index: u64, event: &Event, step: &SignalEvent, links: &mut Vec<Link>) {
        let next = |e: &Event| matches!(&e.kind, Kind::Signal(after) if after.id == step.id);
        links.extend(self.on(index, next).map(link("what became of it")));
        match (step.phase, step.delivery.action) {
            (Phase::Generated, _) => {
                let target = step.to;
                let woken = |e: &Event| {
                    matches!(&e.kind, Kind::State(change) if change.to == ThreadState::Ready && !change.preempted)
                        && e.task.is_some_and(|task| target.tid.map_or(task.pid == target.pid, |tid| task.tid == tid))
                };
                if step.target_state == Some(ThreadState::Blocked) && !step.blocked_by_mask {
                    // It comes first where the sender did it.
                    let by_sender = |e: &Event| {
                        woken(e)
                            && event.t.since(e.t) < 1_000_000
                            && matches!((&e.kind, event.task), (Kind::State(change), Some(sender))
                                if change.woken_by == Some(WokenBy::Task(sender)))
                    };
                    let early = self.log.before(index).take(16).find(|(_, e)| by_sender(e)).map(|(index, _)| index);
                    links.extend(early.or_else(|| self.on(index, woken)).map(link("its target is READY")));
                }
            }
            (Phase::Delivered, Some(Action::Terminate | Action::Core)) => {
                let ended = |e: &Event| {
                    matches!(&e.kind, Kind::Exit(exit) if !exit.thread) && e.task.map(|t| t.pid) == Some(step.to.pid)
                };
                links.extend(self.on(index, ended).map(link("its target ends")));
            }
            (Phase::Delivered, Some(Action::Stop)) => {
                let stopped = |e: &Event| matches!(&e.kind, Kind::State(change) if change.to == ThreadState::Stopped);
                links.extend(self.own_after(event, index, stopped).map(link("its target stops")));
            }
            (Phase::Ignored, Some(Action::Continue)) => {
                links.extend(
                    self.near(index, |e| {
                        matches!(&e.kind, Kind::State(change) if change.from == Some(ThreadState::Stopped))
                            && e.task == event.task
                    })
                    .map(link("its target goes on")),
                );
            }
            _ => {}
        }
        if step.phase != Phase::Generated {
            let met = |e: &Event| e.call().is_some_and(|call| call.interrupted_by.contains(&step.id));
            links.extend(self.near(index, met).map(link("the call it interrupted")));
        }
    }
}

fn link(what: &'static str) -> impl Fn(u64) -> Link {
    move |index| Link { what, index }
}

#[cfg(test)]
mod tests;
