//! How a signal came about: who sent it to whom, why, and what it met.

use super::Story;
use crate::event::{Action, SenderKind, SignalEvent, SignalValue, ThreadState};

impl Story<'_> {
    pub(super) fn generated(&mut self, step: &SignalEvent, target: &str) {
        let signal = &step.signal;
        let to = step.to.tid.map_or_else(|| target.to_owned(), |tid| format!("thread {tid} of {target}"));
        let by = step.syscall.map(|call| format!(" by {call}")).unwrap_or_default();
        let with = match step.value {
            Some(SignalValue::Number(number)) => format!(", with the value {number}"),
            _ => String::new(),
        };
        let code = step.code.map(|code| format!(" ({code})")).unwrap_or_default();
        match step.sender.as_ref().map(|sender| (sender.kind, sender.pid, sender.tty.as_deref())) {
            Some((SenderKind::Process, Some(pid), _)) if pid == step.to.pid => {
                self.say(format!("{target} sent {signal} to itself{by}{with}."));
            }
            Some((SenderKind::Process, Some(pid), _)) => {
                self.say(format!("{} sent {signal} to {to}{by}{with}.", self.name(pid)));
            }
            Some((SenderKind::Kernel, ..)) if signal == "SIGPIPE" => {
                self.say(format!(
                    "The kernel sent SIGPIPE to {to}, which wrote into a channel that nobody can read from."
                ));
            }
            Some((SenderKind::Kernel, ..)) => {
                self.say(format!("The kernel sent {signal} to {to}{code}."));
                self.fault(step);
            }
            Some((SenderKind::Timer, ..)) => self.say(format!("A timer ran out: {signal} to {to}.")),
            Some((SenderKind::Terminal, _, tty)) => self.typed(signal, target, tty),
            Some((SenderKind::Child, pid, _)) => {
                let child = pid.map_or_else(|| "a child".to_owned(), |pid| format!("its child {}", self.name(pid)));
                let what = match step.code {
                    Some("CLD_EXITED") => "has ended by itself",
                    Some("CLD_KILLED") => "was killed by a signal",
                    Some("CLD_DUMPED") => "was killed by a signal and dumped core",
                    Some("CLD_STOPPED") => "was stopped",
                    Some("CLD_CONTINUED") => "goes on",
                    Some("CLD_TRAPPED") => "is held by its tracer",
                    _ => "changed its state",
                };
                self.say(format!("{target} is told by {signal} that {child} {what}{code}."));
                if matches!(step.code, Some("CLD_EXITED" | "CLD_KILLED" | "CLD_DUMPED")) {
                    self.say("The child is a ZOMBIE until it is waited for.");
                }
            }
            Some((SenderKind::Process, None, _)) | None => self.say(format!("{signal} was sent to {to}{by}.")),
        }
        match (step.broadcast, step.process_group, step.multicast) {
            (true, ..) => self.say(format!(
                "It is a broadcast (kill(-1)): {signal} goes to every process that the sender may signal, but not to init."
            )),
            (_, Some(group), _) => {
                self.say(format!("It is a multicast: every member of process group {group} gets it."));
            }
            (_, None, Some(_)) => {
                self.say("The same call sent it to several processes at once (a process group, or all).");
            }
            (false, None, None) => {}
        }
        if matches!(signal.as_str(), "SIGKILL" | "SIGSTOP") {
            self.say(format!("{signal} cannot be caught, blocked or ignored."));
        }
        self.target(step, target);
    }

    /// A key, or the line itself.
    fn typed(&mut self, signal: &str, target: &str, tty: Option<&str>) {
        let tty = tty.map(|tty| format!(" {tty}")).unwrap_or_default();
        self.say(format!("The terminal{tty} sent {signal} to its foreground process group; {target} is one of it."));
        match signal {
            "SIGINT" => self.say("Ctrl-C is SIGINT: the terminal makes the signal of the key, no process sends it."),
            "SIGQUIT" => self.say("Ctrl-\\ is SIGQUIT: like Ctrl-C, but its default action dumps core."),
            "SIGTSTP" => self
                .say("Ctrl-Z is SIGTSTP, although slides often say SIGSTOP: SIGTSTP can be handled, SIGSTOP cannot."),
            "SIGWINCH" => self.say("Its window has another size now; who has no handler ignores it."),
            "SIGHUP" => self.say("The line was hung up: the terminal is gone."),
            _ => {}
        }
    }

    /// What the thread itself did wrong (sigaction(2)).
    fn fault(&mut self, step: &SignalEvent) {
        let why = match step.code {
            Some("SEGV_MAPERR") => "there is no memory at the address it used",
            Some("SEGV_ACCERR") => "the memory at that address does not allow what it did",
            Some("BUS_ADRALN") => "the address is not aligned as it must be",
            Some("BUS_ADRERR") => "the memory at that address has nothing behind it, such as a file that is too short",
            Some("FPE_INTDIV") => "it divided an integer by zero",
            Some("FPE_INTOVF") => "an integer was too large",
            Some("FPE_FLTDIV") => "it divided by zero",
            Some("ILL_ILLOPC" | "ILL_ILLOPN") => "that is no instruction of this machine",
            Some("TRAP_BRKPT") => "it came to a breakpoint",
            _ if matches!(step.signal.as_str(), "SIGSEGV" | "SIGBUS" | "SIGFPE" | "SIGILL" | "SIGTRAP") => {
                "its own instruction could not be carried out"
            }
            _ => return,
        };
        let at = match step.value {
            Some(SignalValue::Address(address)) => format!(" (address {address:#x})"),
            _ => String::new(),
        };
        self.say(format!(
            "It is a fault of its own making: {why}{at}. The thread was RUNNING, and gets the signal at once."
        ));
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
