//! Signals by number: their names, and sets of them.

use std::fmt;

use serde::{Serialize, Serializer};

/// The standard signals, from 1 (signal(7), x86).
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

/// The first real-time signal that the C library leaves to programs.
const SIGRTMIN: i32 = 34;

/// The name of a signal: `SIGUSR1`, `SIGRTMIN+2`.
pub fn signal_name_of(signo: i32) -> String {
    let standard = usize::try_from(signo).ok().and_then(|n| STANDARD.get(n.checked_sub(1)?));
    match standard {
        Some(name) => (*name).to_owned(),
        None if signo == SIGRTMIN => "SIGRTMIN".to_owned(),
        None => format!("SIGRTMIN{:+}", i64::from(signo) - i64::from(SIGRTMIN)),
    }
}

/// The full name and number of a signal given as `USR1`, `SIGUSR1`, `10`, `RTMIN+2`; case does not matter.
pub fn signal_name(text: &str) -> Option<(String, i32)> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then(|| (signal_name_of(number), number));
    }
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let signo = match short.strip_prefix("RTMIN") {
        Some("") => SIGRTMIN,
        Some(offset) => SIGRTMIN + offset.parse::<i32>().ok().filter(|n| (-2..=30).contains(n))?,
        None => STANDARD.iter().position(|name| name.get(3..) == Some(short))? as i32 + 1,
    };
    Some((signal_name_of(signo), signo))
}

/// A set of signals: bit n-1 is signal n, as the kernel's `sigset_t` has it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Without signals.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The same, as serde asks for it.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    pub(super) fn is_empty_ref(&self) -> bool {
        self.is_empty()
    }

    /// That signal is in it.
    pub fn contains(self, signo: i32) -> bool {
        (1..=64).contains(&signo) && self.0 >> (signo - 1) & 1 == 1
    }

    /// With that signal too; a number that is none changes nothing.
    #[must_use]
    pub fn with(self, signo: i32) -> Self {
        if (1..=64).contains(&signo) { Self(self.0 | 1 << (signo - 1)) } else { self }
    }

    /// The numbers in it, ascending.
    pub fn iter(self) -> impl Iterator<Item = i32> {
        (1..=64).filter(move |signo| self.contains(*signo))
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = String> {
        self.iter().map(signal_name_of)
    }
}

impl FromIterator<i32> for SignalSet {
    fn from_iter<I: IntoIterator<Item = i32>>(signals: I) -> Self {
        signals.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Serialize for SignalSet {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_manual_s() {
        for (signo, name) in [(10, "SIGUSR1"), (31, "SIGSYS"), (34, "SIGRTMIN"), (36, "SIGRTMIN+2"), (33, "SIGRTMIN-1")]
        {
            assert_eq!(signal_name_of(signo), name);
            assert_eq!(signal_name(name), Some((name.to_owned(), signo)));
            assert_eq!(signal_name(&signo.to_string()), Some((name.to_owned(), signo)));
        }
        assert_eq!(signal_name("usr1"), Some(("SIGUSR1".to_owned(), 10)));
        for text in ["", "0", "65", "-1", "USR3", "RTMIN+31", "RTMIN*2"] {
            assert_eq!(signal_name(text), None, "{text}");
        }
        signal_name_of(i32::MIN);
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let set = SignalSet::from_iter([10, 1, 64, 0, 65, -3]);
        assert_eq!(set.0, 1 << 9 | 1 | 1 << 63);
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 10, 64]);
        assert!(set.contains(64) && !set.contains(0) && !set.contains(2) && !set.contains(i32::MAX));
        assert_eq!(serde_json::to_string(&set).unwrap_or_default(), r#"["SIGHUP","SIGUSR1","SIGRTMIN+30"]"#);
    }
}
