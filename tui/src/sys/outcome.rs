//! The command's end becomes ours: its exit status, or death of the same signal.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It exits with this status.
    Code(i32),
    /// It dies of this signal.
    Signal(i32),
}

impl From<ExitStatus> for Outcome {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Code(1),
        }
    }
}

impl Outcome {
    /// Ends this process the same way. A shell then sees what it would have seen of the command itself.
    ///
    /// Call it last: nothing is dropped, so terminals must have been restored and files flushed.
    pub fn pass_on(self) -> ! {
        match self {
            Self::Code(code) => std::process::exit(code),
            Self::Signal(signal) => {
                die_of(signal);
                // The signal did not kill us: say what a shell would have said.
                std::process::exit(128_i32.saturating_add(signal))
            }
        }
    }
}

/// Restores the default action of `signal`, unblocks it and raises it. Returns if that does not kill.
fn die_of(signal: i32) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: plain calls on values of this frame. The core is the command's, not ours: a limit of 0 prevents a file,
    // and a pipe in core_pattern, which ignores the limit (do_coredump, fs/coredump.c), asks whether we are dumpable.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::signal(signal, libc::SIG_DFL);
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::raise(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Run in a child: `outcome` in this process would end the tests.
    fn child_ends_with(outcome: Outcome) -> Outcome {
        // SAFETY: the child calls nothing that another thread may have locked before it ends.
        match unsafe { libc::fork() } {
            0 => {
                if let Outcome::Signal(signal) = outcome {
                    // SAFETY: as above.
                    unsafe { libc::signal(signal, libc::SIG_IGN) };
                    die_of(signal);
                }
                // SAFETY: ends the process at once.
                unsafe { libc::_exit(99) }
            }
            child => {
                let mut status = 0;
                // SAFETY: waits for our own child.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                let status = ExitStatus::from_raw(status);
                assert!(!status.core_dumped());
                status.into()
            }
        }
    }

    #[test]
    fn dies_of_the_same_signal_without_a_core() {
        for signal in [libc::SIGTERM, libc::SIGSEGV, libc::SIGKILL, libc::SIGRTMIN() + 2, libc::SIGQUIT] {
            assert_eq!(child_ends_with(Outcome::Signal(signal)), Outcome::Signal(signal));
        }
        assert_eq!(child_ends_with(Outcome::Signal(libc::SIGCHLD)), Outcome::Code(99), "it does not kill");
    }

    #[test]
    fn reads_wait_statuses() {
        assert_eq!(Outcome::from(ExitStatus::from_raw(7 << 8)), Outcome::Code(7));
        assert_eq!(Outcome::from(ExitStatus::from_raw(0x80 | 0x0b)), Outcome::Signal(11));
    }
}
