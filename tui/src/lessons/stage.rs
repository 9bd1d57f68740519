//! What all lessons share: processes with names, pauses to look at what happened, and an end that leaves nothing behind.
//!
//! A lesson's first process makes what the others talk through, starts them, and waits. A signal that ends a lesson
//! (Ctrl-C, SIGTERM, SIGHUP) ends its other processes; the first notices, waits for them, removes what it made, and then
//! dies of that signal.

use std::{
    cell::RefCell,
    ffi::CString,
    fmt::Display,
    io::{Write as _, stderr, stdout},
    path::PathBuf,
    process,
    sync::atomic::{AtomicI32, Ordering},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal},
        wait::{WaitStatus, wait, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};

use crate::sys::outcome::Outcome;

const PACE: Duration = Duration::from_millis(700);
/// For tests.
const FAST: Duration = Duration::from_millis(60);
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The signal that ended the lesson.
static ENDED: AtomicI32 = AtomicI32::new(0);

extern "C" fn ended(signal: i32) {
    ENDED.store(signal, Ordering::Relaxed);
}

/// Where a lesson plays.
#[derive(Debug)]
pub struct Stage {
    pace: Duration,
    first: Pid,
    /// Processes that have not been waited for.
    others: RefCell<Vec<Pid>>,
}

#[expect(clippy::unused_self, reason = "what a lesson can do is all in one place")]
impl Stage {
    /// This process becomes a lesson's first.
    pub(super) fn new(name: &str, fast: bool) -> anyhow::Result<Self> {
        be_called(name)?;
        // No SA_RESTART: wait(2) is to fail with EINTR, so that the first process learns of it.
        for signal in ENDING {
            dispose(signal, SigHandler::Handler(ended))?;
        }
        Ok(Self { pace: if fast { FAST } else { PACE }, first: Pid::this(), others: RefCell::default() })
    }

    /// A line of the lesson.
    pub(super) fn say(&self, line: impl Display) {
        // The lesson goes on where nobody reads.
        let _ = writeln!(stdout(), "{line}");
    }

    /// Time to look, so many times the lesson's pace.
    pub(super) fn pause(&self, times: u32) {
        for _ in 0..times {
            if ENDED.load(Ordering::Relaxed) == 0 {
                thread::sleep(self.pace);
            }
        }
    }

    /// A new process of that name, which does its work and ends.
    pub(super) fn start(&self, name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Pid> {
        // SAFETY: a lesson's processes have one thread each.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Parent { child } => {
                self.others.borrow_mut().push(child);
                Ok(child)
            }
            ForkResult::Child => {
                let done = self.begin(name).and_then(|()| work());
                if let Err(error) = &done {
                    let _ = writeln!(stderr(), "{name}: {error:#}");
                }
                process::exit(i32::from(done.is_err()));
            }
        }
    }

    /// In the child: nothing of what ends the first process concerns it, but it ends with it.
    fn begin(&self, name: &str) -> anyhow::Result<()> {
        be_called(name)?;
        // Rust programs ignore SIGPIPE; what is run by exec is to find it as the shell would leave it.
        for signal in ENDING.into_iter().chain([Signal::SIGPIPE]) {
            dispose(signal, SigHandler::SigDfl)?;
        }
        prctl::set_pdeathsig(Signal::SIGTERM).context("prctl(PR_SET_PDEATHSIG)")?;
        if nix::unistd::getppid() != self.first || ENDED.load(Ordering::Relaxed) != 0 {
            process::exit(1);
        }
        Ok(())
    }

    /// Waits until a process waits for something: its state is S (interruptible sleep) in /proc.
    pub(super) fn until_it_waits(&self, process: Pid) {
        let path = format!("/proc/{process}/stat");
        let waits = || {
            let stat = std::fs::read_to_string(&path).unwrap_or_default();
            // The name in brackets may hold anything.
            stat.rsplit(')').next().is_none_or(|rest| !rest.starts_with(" R") && !rest.starts_with(" D"))
        };
        while ENDED.load(Ordering::Relaxed) == 0 && !waits() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until so many processes have ended well.
    pub(super) fn wait_for(&self, count: usize) -> anyhow::Result<()> {
        let mut left = count;
        while left > 0 {
            if ENDED.load(Ordering::Relaxed) != 0 {
                anyhow::bail!("ended by a signal");
            }
            let ended = match wait() {
                Err(Errno::EINTR) => continue,
                ended => ended.context("wait")?,
            };
            self.others.borrow_mut().retain(|other| Some(*other) != ended.pid());
            match ended {
                WaitStatus::Exited(_, 0) => left -= 1,
                WaitStatus::Exited(child, status) => anyhow::bail!("process {child} exited with {status}"),
                WaitStatus::Signaled(child, signal, _) => anyhow::bail!("process {child} was ended by {signal}"),
                _ => {}
            }
        }
        Ok(())
    }

    /// The lesson is over: whoever is left is ended.
    pub(super) fn close(self, ran: anyhow::Result<()>) -> anyhow::Result<Outcome> {
        for other in self.others.take() {
            // It may have ended by itself, but has not been waited for: the id is still its own.
            let _ = signal::kill(other, Signal::SIGTERM);
            while waitpid(other, None) == Err(Errno::EINTR) {}
        }
        match ENDED.load(Ordering::Relaxed) {
            0 => ran.map(|()| Outcome::Code(0)),
            signal => Ok(Outcome::Signal(signal)),
        }
    }
}

/// What ps(1) and ipcscope show.
fn be_called(name: &str) -> anyhow::Result<()> {
    prctl::set_name(&CString::new(name)?).context("prctl(PR_SET_NAME)")
}

fn dispose(signal: Signal, handler: SigHandler) -> anyhow::Result<()> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the only handler here stores a number, which is async-signal-safe.
    unsafe { signal::sigaction(signal, &action) }.context("sigaction")?;
    Ok(())
}

/// A name in the file system that is nobody else's, and gone when the first process is done with it.
pub(super) struct Name(pub(super) PathBuf);

impl Name {
    pub(super) fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("lesson-{name}-{}", process::id())))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
