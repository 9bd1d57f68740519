//! The steps of a signal after its generation: what its target was doing, what became of both.

use super::{Story, list, process::is_pipe};
use crate::{
    analyze::duration,
    event::{Action, Delivery, Interrupted, Phase, SenderKind, SignalEvent, ThreadState, Verdict, WokenBy},
};

impl Story<'_> {
    pub(super) fn signal(&mut self, step: &SignalEvent) {
        let (signal, target, delivery) = (&step.signal, self.name(step.to.pid), &step.delivery);
        match step.phase {
            Phase::Generated => self.generated(step, &target),
            Phase::Pending if step.blocked_by_mask => {
                let mask: Vec<String> = step.mask.iter().flat_map(|mask| mask.names()).collect();
                let mask = if mask.is_empty() { String::new() } else { format!(" ({})", list(mask)) };
                self.say(format!(
                    "{target} blocks {signal} by its mask{mask}: it stays pending until the mask lets it through."
                ));
            }
            Phase::Pending if step.target_state == Some(ThreadState::Stopped) => {
                self.say(format!(
                    "{target} is stopped: {signal} stays pending until SIGCONT. Only SIGKILL acts at once."
                ));
            }
            Phase::Pending => self.say(format!("{signal} is pending: {target} has not taken it yet.")),
            Phase::Ignored if signal == "SIGCONT" => {
                self.say(format!(
                    "{target} has no handler for SIGCONT. It goes on all the same if it was stopped: that happens when SIGCONT is generated, whatever is done about it later."
                ));
            }
            Phase::Ignored => {
                self.say(format!("{target} ignores {signal}: it has no effect, and no call is interrupted by it."));
            }
            Phase::Coalesced => {
                let into = step.into.map(|id| format!(" (#{})", id.0)).unwrap_or_default();
                self.say(format!(
                    "One {signal}{into} was pending for {target} already. Standard signals are not queued: the two became one."
                ));
            }
            Phase::Overflowed => self.say(format!(
                "{signal} was lost: as many signals as allowed (RLIMIT_SIGPENDING) are queued for the user of {target}."
            )),
            Phase::Delivered => {
                self.way_here(step, &target);
                self.action(step, &target);
                self.verdict(delivery, step.phase);
            }
            Phase::Handled => {
                self.way_here(step, &target);
                let after = delivery.handler_ns.map(|ns| format!(" after {}", duration(ns))).unwrap_or_default();
                self.say(format!("The handler of {target} for {signal} returned{after}."));
                self.verdict(delivery, step.phase);
            }
            Phase::Abandoned => self.say(format!(
                "The handler of {target} for {signal} never returned: it jumped out (longjmp) or the thread ended."
            )),
            Phase::Consumed => {
                let call = step.consumed_by.as_ref().map(|by| by.syscall).or(step.syscall);
                let by = call.map(|call| format!(" by {call}")).unwrap_or_default();
                self.say(format!("{target} took {signal} out of its queue{by}; no handler runs."));
                match call {
                    Some("rt_sigtimedwait") => self.say("It had blocked the signal and waited for it (sigwait)."),
                    Some("read") => self.say("It reads its signals like data (signalfd)."),
                    _ => {}
                }
            }
            Phase::Discarded => {
                let why = match step.reason {
                    Some("exec") => ": it was for a thread that exec has ended",
                    Some("exit") => ": its target ended first",
                    Some("ignored" | "ignored meanwhile") => ": its target has begun to ignore it",
                    Some("SIGCONT") => ": a SIGCONT drops pending stop signals",
                    Some(other) => &format!(": {other}"),
                    None => "",
                };
                self.say(format!("{signal} for {target} was dropped before delivery{why}."));
            }
        }
    }

    /// From generation to delivery: what the target was in, who made it READY, how long it all took.
    fn way_here(&mut self, step: &SignalEvent, target: &str) {
        let row = self.world.signal(step.id);
        let generated = row.and_then(|row| row.steps.first()).filter(|(_, first)| first.phase == Phase::Generated);
        let state = generated.and_then(|(_, first)| first.target_state);
        let was = match (state, &step.delivery.interrupted) {
            (Some(ThreadState::Blocked), Some(call)) => format!("{target} was BLOCKED in {}. ", place(call)),
            (Some(state), _) => format!("{target} was {}. ", state.name()),
            (None, _) => String::new(),
        };
        let name = self.signal_name(step.id);
        let name = if name.starts_with("signal #") { step.signal.clone() } else { name };
        // That it was this signal that woke the thread is known if its sender did.
        let tid = self.event.task.map(|task| task.tid);
        let ready = row
            .zip(tid)
            .and_then(|(row, tid)| row.stir(tid, ThreadState::Ready))
            .filter(|_| state == Some(ThreadState::Blocked));
        let woke = ready.zip(generated).and_then(|(ready, (t, first))| {
            let sender = first.sender.as_ref()?;
            let by_sender = match (sender.kind, ready.woken_by?) {
                (SenderKind::Process | SenderKind::Child, WokenBy::Task(task)) => Some(task.pid) == sender.pid,
                (SenderKind::Timer | SenderKind::Terminal | SenderKind::Kernel, WokenBy::Kernel) => true,
                _ => false,
            };
            // The kernel tells of a signal after the wake-up that it brings.
            by_sender.then(|| match ready.t.since(*t) {
                0 => "at once".to_owned(),
                ns => format!("after {}", duration(ns)),
            })
        });
        let after = step.delivery.pending_ns.map(duration);
        let sentence = match (step.phase, woke, after) {
            (Phase::Delivered, Some(ready), Some(after)) => {
                format!("{was}{name} made it READY {ready} and was delivered {after} after it was sent.")
            }
            (Phase::Delivered, None, Some(after)) => format!("{was}{name} was delivered to it {after} later."),
            (Phase::Delivered, _, None) => format!("{was}{name} was delivered to it."),
            (_, Some(ready), _) => format!("{was}{name} made it READY {ready}."),
            (_, None, _) if was.is_empty() => return,
            (_, None, _) => format!("{was}{name} came."),
        };
        self.say(sentence);
    }

    fn action(&mut self, step: &SignalEvent, target: &str) {
        let signal = &step.signal;
        match step.delivery.action {
            Some(Action::Handler) => {
                let at = step.delivery.handler.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
                self.say(format!("{target} has a handler{at}: it runs now, on top of what the thread was doing."));
                if let Some(depth) = step.delivery.nesting.filter(|depth| *depth > 0) {
                    let others =
                        if depth == 1 { "another handler".to_owned() } else { format!("{depth} other handlers") };
                    self.say(format!(
                        "It interrupts {others}: handlers nest, and the last to begin is the first to return."
                    ));
                }
                for flag in &step.delivery.flags {
                    let rule = match *flag {
                        "SA_RESETHAND" => {
                            "SA_RESETHAND: this handler is for one time only, then the default action is back."
                        }
                        "SA_NODEFER" => "SA_NODEFER: the same signal may interrupt its own handler.",
                        "SA_ONSTACK" => "SA_ONSTACK: the handler runs on a stack of its own.",
                        _ => continue,
                    };
                    self.say(rule);
                }
            }
            Some(Action::Terminate) if signal == "SIGKILL" => {
                self.say(format!("SIGKILL ends {target}: it cannot be caught, blocked or ignored."));
            }
            Some(Action::Terminate) => {
                self.say(format!("{target} has no handler: the default action of {signal} ends it."));
            }
            Some(Action::Core) => {
                self.say(format!("{target} has no handler: the default action of {signal} ends it with a core dump."));
            }
            Some(Action::Stop) => {
                self.say(format!("{signal} stops {target} until SIGCONT."));
                if signal == "SIGSTOP" {
                    self.say("SIGSTOP cannot be caught, blocked or ignored; SIGTSTP, which Ctrl-Z sends, can.");
                }
            }
            Some(Action::Continue) => self.say(format!("{signal} lets {target} go on.")),
            Some(Action::Ignore) => self.say(format!("{target} ignores it.")),
            None => {}
        }
    }

    /// What became of the interrupted call, and why.
    fn verdict(&mut self, delivery: &Delivery, phase: Phase) {
        let Some(call) = delivery.interrupted.as_ref().map(|call| call.syscall) else { return };
        let handler = delivery.action == Some(Action::Handler) || phase == Phase::Handled;
        let restart = delivery.flags.contains(&"SA_RESTART");
        let sentence = match (delivery.verdict, handler, restart) {
            (Some(Verdict::Eintr), true, false) => {
                format!("The handler has no SA_RESTART, so {call} failed with EINTR: the program has to call it again.")
            }
            (Some(Verdict::Eintr), true, true) => {
                format!(
                    "{call} failed with EINTR although the handler has SA_RESTART: this call is not restarted (signal(7))."
                )
            }
            (Some(Verdict::Eintr), false, _) => format!("{call} failed with EINTR: the program has to call it again."),
            (Some(Verdict::Restarted), true, true) => {
                format!("The handler has SA_RESTART, so the kernel started {call} again: the program notices nothing.")
            }
            (Some(Verdict::Restarted), _, _) => {
                format!("The kernel started {call} again: the program notices nothing.")
            }
            (Some(Verdict::Partial), ..) => format!("{call} had done a part and returned how much."),
            (Some(Verdict::None), ..) => return,
            (None, true, _) => {
                format!("{call} was interrupted; what becomes of it shows when the handler has returned.")
            }
            (None, false, _) => format!("{call} was interrupted."),
        };
        self.say(sentence);
    }
}

/// `read on the empty pipe:[8124]`: a call that waits for a pipe waits for data or for room.
fn place(call: &Interrupted) -> String {
    let Some(id) = &call.channel else { return call.syscall.to_owned() };
    match call.syscall {
        "read" | "readv" if is_pipe(id) => format!("{} on the empty {id}", call.syscall),
        "write" | "writev" if is_pipe(id) => format!("{} on the full {id}", call.syscall),
        _ => format!("{} on {id}", call.syscall),
    }
}
