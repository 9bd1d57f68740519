//! The steps of a signal: who sent it, what its target was doing, what became of both.

use super::Story;
use crate::{
    analyze::duration,
    event::{Action, Delivery, Phase, SenderKind, SignalEvent, ThreadState, Verdict},
};

impl Story<'_> {
    pub(super) fn signal(&mut self, step: &SignalEvent) {
        let (signal, target, delivery) = (&step.signal, self.name(step.to.pid), &step.delivery);
        match step.phase {
            Phase::Generated => self.generated(step, &target),
            Phase::Pending if step.blocked_by_mask => self
                .say(format!("{target} blocks {signal} by its mask: it stays pending until the mask lets it through.")),
            Phase::Pending if step.target_state == Some(ThreadState::Stopped) => {
                self.say(format!(
                    "{target} is stopped: {signal} stays pending until SIGCONT. Only SIGKILL acts at once."
                ));
            }
            Phase::Pending => self.say(format!("{signal} is pending: {target} has not taken it yet.")),
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
                let by = step.syscall.map(|call| format!(" by {call}")).unwrap_or_default();
                self.say(format!("{target} took {signal} out of its queue{by}; no handler runs."));
            }
            Phase::Discarded => {
                let why = match step.reason {
                    Some("exec") => ": it was for a thread that exec has ended",
                    Some("exit") => ": its target ended first",
                    Some("ignored") => ": its target has begun to ignore it",
                    Some("SIGCONT") => ": a SIGCONT drops pending stop signals",
                    _ => "",
                };
                self.say(format!("{signal} for {target} was dropped before delivery{why}."));
            }
        }
    }

    fn generated(&mut self, step: &SignalEvent, target: &str) {
        let signal = &step.signal;
        let to = step.to.tid.map_or_else(|| target.to_owned(), |tid| format!("thread {tid} of {target}"));
        let by = step.syscall.map(|call| format!(" by {call}")).unwrap_or_default();
        let code = step.code.map(|code| format!(" ({code})")).unwrap_or_default();
        match step.sender.as_ref().map(|sender| (sender.kind, sender.pid, sender.tty.as_deref())) {
            Some((SenderKind::Process, Some(pid), _)) if pid == step.to.pid => {
                self.say(format!("{target} sent {signal} to itself{by}."));
            }
            Some((SenderKind::Process, Some(pid), _)) => {
                self.say(format!("{} sent {signal} to {to}{by}.", self.name(pid)));
            }
            Some((SenderKind::Kernel, ..)) if signal == "SIGPIPE" => {
                self.say(format!(
                    "The kernel sent SIGPIPE to {to}, which wrote into a channel that nobody can read from."
                ));
            }
            Some((SenderKind::Kernel, ..)) => self.say(format!("The kernel sent {signal} to {to}{code}.")),
            Some((SenderKind::Timer, ..)) => self.say(format!("A timer ran out: {signal} to {to}.")),
            Some((SenderKind::Terminal, _, tty)) => {
                let tty = tty.map(|tty| format!(" {tty}")).unwrap_or_default();
                self.say(format!(
                    "The terminal{tty} sent {signal} to its foreground process group; {target} is one of it."
                ));
                if signal == "SIGTSTP" {
                    self.say("Ctrl-Z is SIGTSTP, which can be handled; SIGSTOP, named on many slides, cannot.");
                }
            }
            Some((SenderKind::Child, pid, _)) => {
                let child = pid.map_or_else(|| "a child".to_owned(), |pid| format!("its child {}", self.name(pid)));
                self.say(format!("{target} is told by {signal} that {child} changed its state{code}."));
            }
            Some((SenderKind::Process, None, _)) | None => self.say(format!("{signal} was sent to {to}{by}.")),
        }
        if step.multicast.is_some() {
            self.say("The same call sent it to several processes at once (a process group, or all).");
        }
        self.target(step, target);
    }

    /// What the signal met: the rule depends on the state of the target.
    fn target(&mut self, step: &SignalEvent, target: &str) {
        let signal = &step.signal;
        if step.to.external {
            return self.say(format!("{target} is not traced: what becomes of {signal} is not seen."));
        }
        let (state, rule) = match step.target_state {
            None => return,
            Some(state) => (state.name(), rule(state)),
        };
        if step.blocked_by_mask {
            self.say(format!("{target} was {state}, and its mask blocks {signal}: it will be pending."));
        } else if step.delivery.action == Some(Action::Ignore) {
            self.say(format!("{target} was {state} and ignores {signal}: nothing happens to it."));
        } else {
            // The disposition is known for sure only once the signal is acted on.
            let unless =
                if step.delivery.action.is_none() { format!("unless it ignores {signal}, ") } else { String::new() };
            self.say(format!("{target} was {state}: {unless}{rule}."));
        }
    }

    /// From generation to delivery.
    fn way_here(&mut self, step: &SignalEvent, target: &str) {
        let generated = (self.world.signal(step.id))
            .and_then(|row| row.steps.first())
            .map(|(_, step)| step)
            .filter(|first| first.phase == Phase::Generated);
        let state = generated.and_then(|first| first.target_state);
        let was = match (state, &step.delivery.interrupted) {
            (Some(ThreadState::Blocked), Some(call)) => {
                let on = call.channel.as_ref().map(|channel| format!(" on {channel}")).unwrap_or_default();
                format!("{target} was BLOCKED in {}{on}. ", call.syscall)
            }
            (Some(state), _) => format!("{target} was {}. ", state.name()),
            (None, _) => String::new(),
        };
        let name = self.signal_name(step.id);
        let name = if name.starts_with("signal #") { step.signal.clone() } else { name };
        if step.phase == Phase::Delivered {
            let after = step.delivery.pending_ns.map(|ns| format!(" {} later", duration(ns))).unwrap_or_default();
            self.say(format!("{was}{name} was delivered to it{after}."));
        } else if !was.is_empty() {
            self.say(format!("{was}{name} came."));
        }
    }

    fn action(&mut self, step: &SignalEvent, target: &str) {
        let signal = &step.signal;
        match step.delivery.action {
            Some(Action::Handler) => {
                let at = step.delivery.handler.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
                self.say(format!("{target} has a handler{at}: it runs now, on top of what the thread was doing."));
            }
            Some(Action::Terminate) => {
                self.say(format!("{target} has no handler: the default action of {signal} ends it."));
            }
            Some(Action::Core) => {
                self.say(format!("{target} has no handler: the default action of {signal} ends it with a core dump."));
            }
            Some(Action::Stop) => self.say(format!("{signal} stops {target} until SIGCONT.")),
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

fn rule(state: ThreadState) -> &'static str {
    match state {
        ThreadState::New | ThreadState::Ready => "it takes the signal when it gets the CPU, before it goes on",
        ThreadState::Running => "it takes the signal on its way out of the kernel, at the next call or interrupt",
        ThreadState::Blocked => "the signal makes it READY and cuts its wait short, if that wait can be interrupted",
        ThreadState::Stopped => "the signal waits until SIGCONT, unless it is SIGKILL or SIGCONT itself",
        ThreadState::Zombie | ThreadState::Dead => "it has ended, so nothing happens to it",
    }
}
