//! The words of a script line, and the names that events hold as constants.

use std::str::FromStr;

/// What is wrong with a line.
pub(super) type Problem = String;

/// The words of a line, one after the other.
pub(super) struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line }
    }

    /// The next word, which must be there.
    pub(super) fn word(&mut self, what: &str) -> Result<&'a str, Problem> {
        self.next().ok_or_else(|| format!("{what} is missing"))
    }

    /// The next word, a number.
    pub(super) fn number<T: FromStr>(&mut self, what: &str) -> Result<T, Problem> {
        let word = self.word(what)?;
        word.parse().map_err(|_| bad(what, word))
    }

    /// Takes the next word if it is this one.
    pub(super) fn take(&mut self, expected: &str) -> bool {
        let mut ahead = Words { rest: self.rest };
        let found = ahead.next() == Some(expected);
        if found {
            self.rest = ahead.rest;
        }
        found
    }

    /// All that is left, as one text.
    pub(super) fn rest(&mut self) -> &'a str {
        std::mem::take(&mut self.rest).trim()
    }

    /// Nothing may be left.
    pub(super) fn end(&mut self) -> Result<(), Problem> {
        self.next().map_or(Ok(()), |word| Err(format!("`{word}` is too much")))
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let start = self.rest.trim_start();
        let (word, rest) = start.split_at(start.find(char::is_whitespace).unwrap_or(start.len()));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }
}

pub(super) fn bad(what: &str, word: &str) -> Problem {
    format!("`{word}` is not {what}")
}

/// The one of `all` with that name.
pub(super) fn lookup<'t, T>(all: &'t [T], word: &str, name: fn(&T) -> &'static str) -> Result<&'t T, Problem> {
    all.iter().find(|item| name(item) == word).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(name).collect();
        format!("`{word}` is not one of {}", names.join(", "))
    })
}

/// `17us`, `1.5ms`, `2s` in ns.
pub(super) fn nanos(word: &str) -> Result<u64, Problem> {
    let problem = || bad("a duration (17us, 4ms)", word);
    let (number, unit) = word.split_at(word.find(|c: char| c.is_alphabetic()).ok_or_else(problem)?);
    let factor: u64 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return Err(problem()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().map_err(|_| problem())?;
    let mut ns = whole.checked_mul(factor).ok_or_else(problem)?;
    let mut place = factor;
    for digit in fraction.chars() {
        place /= 10;
        ns = ns.saturating_add(u64::from(digit.to_digit(10).ok_or_else(problem)?) * place);
    }
    Ok(ns)
}

/// Calls, errors, flags, codes and reasons: events hold them as constants, so a script can only use these.
const NAMES: &[&str] = &[
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "splice",
    "tee",
    "vmsplice",
    "sendfile",
    "pipe",
    "pipe2",
    "openat",
    "close",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "sendmsg",
    "recvmsg",
    "semop",
    "semget",
    "semctl",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "epoll_wait",
    "futex",
    "wait4",
    "waitid",
    "nanosleep",
    "clock_nanosleep",
    "pause",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "kill",
    "tkill",
    "tgkill",
    "rt_sigqueueinfo",
    "pidfd_send_signal",
    "sendto",
    "msgrcv",
    "msgsnd",
    "accept",
    "connect",
    "flock",
    "execve",
    "exit_group",
    "EAGAIN",
    "EPIPE",
    "EINTR",
    "EBADF",
    "EFAULT",
    "EINVAL",
    "EPERM",
    "EMFILE",
    "ESRCH",
    "EIO",
    "ENXIO",
    "SA_RESTART",
    "SA_SIGINFO",
    "SA_NODEFER",
    "SA_RESETHAND",
    "SA_ONSTACK",
    "SA_NOCLDSTOP",
    "SA_NOCLDWAIT",
    "SI_USER",
    "SI_KERNEL",
    "SI_QUEUE",
    "SI_TIMER",
    "SI_TKILL",
    "CLD_EXITED",
    "CLD_KILLED",
    "CLD_DUMPED",
    "CLD_STOPPED",
    "CLD_CONTINUED",
    "SEGV_MAPERR",
    "SEGV_ACCERR",
    "FPE_INTDIV",
    "exec",
    "exit",
    "ignored",
    "SIGCONT",
];

/// `word` as a constant.
pub(super) fn static_word(word: &str) -> Result<&'static str, Problem> {
    NAMES
        .iter()
        .find(|name| **name == word)
        .copied()
        .ok_or_else(|| format!("`{word}` is not a known name (add it to NAMES in script/words.rs)"))
}
