//! Signal instances, joined from their lines.

use crate::event::{Nanos, Phase, SignalEvent, SignalId};

/// One signal instance as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalRow {
    /// Which instance.
    pub id: SignalId,
    /// Every step so far, in order, with its time.
    pub steps: Vec<(Nanos, SignalEvent)>,
}

impl SignalRow {
    /// The latest step.
    pub fn phase(&self) -> Option<Phase> {
        self.steps.last().map(|(_, event)| event.phase)
    }
}

/// Names of the standard signals, signal(7), by number from 1 on (x86, ARM and most others).
const STANDARD: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// SIGRTMIN as programs see it: glibc keeps the first two real-time signals to itself.
const RTMIN: i32 = 34;

/// The full name and number of a signal given as `USR1`, `SIGUSR1`, `10`, `RTMIN+2`; case does not matter.
pub fn signal_name(text: &str) -> Option<(String, i32)> {
    if let Ok(number) = text.parse::<i32>() {
        return match STANDARD.get(usize::try_from(number).ok()?.checked_sub(1)?) {
            Some(name) => Some(((*name).to_owned(), number)),
            None if (RTMIN..=64).contains(&number) => Some((format!("SIGRTMIN+{}", number - RTMIN), number)),
            None => None,
        };
    }
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(n) = short.strip_prefix("RTMIN") {
        let n = if n.is_empty() { 0 } else { n.strip_prefix('+')?.parse::<i32>().ok()? };
        return (0..=64 - RTMIN).contains(&n).then(|| (format!("SIGRTMIN+{n}"), RTMIN + n));
    }
    let place = STANDARD.iter().position(|name| name.get(3..) == Some(short))?;
    Some((format!("SIG{short}"), place as i32 + 1))
}
