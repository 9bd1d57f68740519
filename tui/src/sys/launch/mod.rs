//! Starting a command that is held before its exec, so that the kernel filter knows it before its first instruction.
//!
//! fork(2) gives the child; it becomes the user, takes its terminal, resets its signals and then waits at a gate: a
//! socket whose other end we hold. [`Held::release`] opens the gate; the child execs, which closes the socket, or it
//! sends why it could not. If we die first, the gate closes and the child goes away.
//!
//! Invariants: when [`Launch::hold`] returns, the child has the descriptors the command will have and the gate, nothing
//! else of ours (a seed taken from it shows no pipe of the tracer); whatever is not released is killed and reaped.
//!
//! Tested with real commands; as root also with another user's.

mod child;
mod plan;

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::process::ExitStatusExt as _,
    },
    process::ExitStatus,
};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use self::{child::Failure, plan::Plan};
use super::{identity::User, pty::Pty};

/// A command to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program, looked for in `PATH` unless it has a slash, and its arguments.
    pub argv: Vec<OsString>,
    /// As whom; `None`: as ourselves.
    pub user: Option<User>,
    /// On which terminal.
    pub terminal: Terminal,
}

/// Where a command's standard streams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// Where ours go, in our process group: a Ctrl-C reaches it and us.
    Inherit,
    /// To a new terminal, as leader of a new session, with `TERM=xterm-256color`.
    Pty {
        /// Lines.
        rows: u16,
        /// Columns.
        columns: u16,
    },
}

/// Why a command did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No such program.
    #[error("{0}: command not found")]
    NotFound(String),
    /// The file is there, what its first line (or its ELF header) wants to be run by is not.
    #[error("{0}: its interpreter does not exist; look at its first line, or try `file {0}`")]
    NoInterpreter(String),
    /// There is such a file, but it cannot be run.
    #[error("{0}: cannot be executed: {1}")]
    NotExecutable(String, #[source] io::Error),
    /// An argument that no program can get.
    #[error("an argument of the command contains a NUL byte")]
    Nul,
    /// Something else on the way.
    #[error("failed to start {command}: {step}: {error}{}", remedy(step, error))]
    Failed {
        /// The program.
        command: String,
        /// The call that failed.
        step: &'static str,
        /// How.
        #[source]
        error: io::Error,
    },
}

fn remedy(step: &str, error: &io::Error) -> &'static str {
    match (step, error.raw_os_error()) {
        ("setgroups" | "setgid" | "setuid", Some(libc::EPERM)) => {
            "; only root can run a command as another user: use sudo"
        }
        _ => "",
    }
}

impl LaunchError {
    /// What a shell's exit status would be.
    pub fn exit_status(&self) -> i32 {
        match self {
            Self::NotFound(_) | Self::NoInterpreter(_) => 127,
            Self::NotExecutable(..) => 126,
            Self::Nul | Self::Failed { .. } => 1,
        }
    }
}

impl Launch {
    /// Makes the process and everything about it but its program.
    pub fn hold(&self) -> Result<Held, LaunchError> {
        let name = self.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let failed = |step, error| LaunchError::Failed { command: name.clone(), step, error };
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(|error| failed("socketpair", error.into()))?;
        let (pty, slave) = match self.terminal {
            Terminal::Inherit => (None, None),
            Terminal::Pty { rows, columns } => {
                let (pty, slave) = Pty::open(rows, columns).map_err(|error| failed("opening a terminal", error))?;
                (Some(pty), Some(slave))
            }
        };
        if let (Some(slave), Some(user)) = (&slave, &self.user) {
            nix::unistd::fchown(slave, Some(user.uid.into()), None)
                .map_err(|error| failed("giving the terminal to the user", error.into()))?;
        }
        let mut plan = Plan::new(self, &theirs, slave.as_ref())?;
        let pid = child::fork(&mut plan).map_err(|error| failed("fork", error))?;
        drop((theirs, slave));
        let child = Child { pid, status: None };
        let held = Held { child: Some(child), gate: ours, pty, name };
        match held.answer() {
            Some(failure) if failure.is_ready() => Ok(held),
            Some(failure) => Err(held.explain(failure)),
            None => {
                let gone = io::Error::other("the new process went away");
                Err(LaunchError::Failed { command: held.name.clone(), step: "preparing it", error: gone })
            }
        }
    }
}

/// A process that has everything but its program. Dropping it ends it.
#[derive(Debug)]
pub struct Held {
    child: Option<Child>,
    gate: OwnedFd,
    pty: Option<Pty>,
    name: String,
}

impl Held {
    /// Its process id, in our own PID namespace.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, |child| child.pid.unsigned_abs())
    }

    /// The terminal that was made for it ([`pty::place`]).
    pub fn terminal(&self) -> Option<u64> {
        self.pty.as_ref()?.place
    }

    /// Lets it exec, and waits until it has.
    pub fn release(mut self) -> Result<Running, LaunchError> {
        // Whoever was killed while waiting has closed its end; what killed it is then in its exit status.
        let _ = send(self.gate.as_raw_fd(), &[1], MsgFlags::MSG_NOSIGNAL);
        if let Some(failure) = self.answer() {
            return Err(self.explain(failure));
        }
        match self.child.take() {
            Some(child) => Ok(Running { pid: child.pid.unsigned_abs(), pty: self.pty.take(), child }),
            None => Err(self.explain(Failure::default())),
        }
    }

    /// What the child says; `None` once its end is closed: by exec, or by death.
    fn answer(&self) -> Option<Failure> {
        let mut message = [0; Failure::SIZE];
        loop {
            match recv(self.gate.as_raw_fd(), &mut message, MsgFlags::empty()) {
                Err(nix::Error::EINTR) => {}
                Ok(Failure::SIZE) => return Some(Failure::decode(message)),
                _ => return None,
            }
        }
    }

    fn explain(&self, failure: Failure) -> LaunchError {
        let error = io::Error::from_raw_os_error(failure.errno);
        let command = self.name.clone();
        match (failure.step.is_exec(), failure.errno) {
            (true, libc::ENOENT) if command.contains('/') && std::fs::metadata(&command).is_ok() => {
                LaunchError::NoInterpreter(command)
            }
            (true, libc::ENOENT | libc::ENOTDIR) => LaunchError::NotFound(command),
            (true, libc::EACCES | libc::ENOEXEC | libc::ELOOP | libc::ETXTBSY | libc::EPERM | libc::EINVAL) => {
                LaunchError::NotExecutable(command, error)
            }
            _ => LaunchError::Failed { command, step: failure.step.name(), error },
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.signal(libc::SIGKILL, false);
            let _ = child.wait(0);
        }
    }
}

/// A command that runs. Dropping it lets it run on.
#[derive(Debug)]
pub struct Running {
    /// Its process id, in our own PID namespace.
    pub pid: u32,
    /// Its terminal, if it has one of its own; for the taking.
    pub pty: Option<Pty>,
    child: Child,
}

impl Running {
    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.wait(libc::WNOHANG)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait(0)?.ok_or_else(|| io::Error::other("waitpid returned nothing"))
    }

    /// Sends a signal: to its process group if it leads one (it has its own terminal), else, since that group is ours
    /// too, to the command alone. ESRCH once its end has been waited for: the number may be somebody else's by now.
    pub fn signal_group(&self, signal: i32) -> io::Result<()> {
        self.child.signal(signal, self.leads_group())
    }

    fn leads_group(&self) -> bool {
        // SAFETY: asks for a number.
        unsafe { libc::getpgid(self.child.pid) == self.child.pid }
    }
}

/// A child of ours that nobody else waits for.
#[derive(Debug)]
struct Child {
    pid: libc::pid_t,
    status: Option<ExitStatus>,
}

impl Child {
    fn wait(&mut self, flags: i32) -> io::Result<Option<ExitStatus>> {
        while self.status.is_none() {
            let mut status = 0;
            // SAFETY: waits for our own child, writes one int.
            match unsafe { libc::waitpid(self.pid, &raw mut status, flags) } {
                0 => break,
                pid if pid == self.pid => self.status = Some(ExitStatus::from_raw(status)),
                _ => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
        Ok(self.status)
    }

    fn signal(&self, signal: i32, group: bool) -> io::Result<()> {
        if self.status.is_some() {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // SAFETY: not yet waited for, the number is still our child's.
        match unsafe { libc::kill(if group { -self.pid } else { self.pid }, signal) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests;
