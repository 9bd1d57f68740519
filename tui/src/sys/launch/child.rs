//! From fork(2) to execve(2), in the child: async-signal-safe calls only (signal-safety(7)), no allocation, no panic.

use std::{io, ptr};

use super::plan::Plan;

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    /// Nothing failed: it waits at the gate.
    #[default]
    Ready,
    Session,
    Terminal,
    Stdio,
    Groups,
    Gid,
    Uid,
    Exec,
}

impl Step {
    const ALL: [Self; 8] =
        [Self::Ready, Self::Session, Self::Terminal, Self::Stdio, Self::Groups, Self::Gid, Self::Uid, Self::Exec];

    pub(super) fn is_exec(self) -> bool {
        self == Self::Exec
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ready => "waiting",
            Self::Session => "setsid",
            Self::Terminal => "taking the terminal",
            Self::Stdio => "dup2",
            Self::Groups => "setgroups",
            Self::Gid => "setgid",
            Self::Uid => "setuid",
            Self::Exec => "execve",
        }
    }
}

/// What the child tells us through the gate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: i32,
}

impl Failure {
    /// Of its message, bytes.
    pub(super) const SIZE: usize = 5;

    pub(super) fn is_ready(self) -> bool {
        self.step == Step::Ready
    }

    fn encode(self) -> [u8; Self::SIZE] {
        let [a, b, c, d] = self.errno.to_le_bytes();
        [self.step as u8, a, b, c, d]
    }

    pub(super) fn decode([step, a, b, c, d]: [u8; Self::SIZE]) -> Self {
        let step = Step::ALL.get(usize::from(step)).copied().unwrap_or_default();
        Self { step, errno: i32::from_le_bytes([a, b, c, d]) }
    }
}

/// Makes the child; only the parent returns.
pub(super) fn fork(plan: &mut Plan) -> io::Result<libc::pid_t> {
    // SAFETY: the child runs `child`, which keeps to async-signal-safe calls, and never returns. All signals are blocked
    // meanwhile: a handler of ours must not run in the child.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let pid = libc::fork();
        if pid == 0 {
            child(plan);
        }
        let result = if pid > 0 { Ok(pid) } else { Err(io::Error::last_os_error()) };
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        result
    }
}

/// # Safety
/// Only in a process just forked, with all signals blocked.
unsafe fn child(plan: &mut Plan) -> ! {
    // SAFETY: all calls are async-signal-safe; pointers come from `plan`, which this copy of the process owns.
    unsafe {
        if let Err(failure) = prepare(plan) {
            give_up(plan, failure);
        }
        tell(plan, Failure::default());
        let mut go = [0_u8; 1];
        let opened = loop {
            match libc::read(plan.gate, go.as_mut_ptr().cast(), 1) {
                1 => break true,
                n if n < 0 && errno() == libc::EINTR => {}
                _ => break false,
            }
        };
        if !opened {
            libc::_exit(127);
        }
        let errno = exec(plan);
        give_up(plan, Failure { step: Step::Exec, errno });
    }
}

/// Everything but the program.
///
/// # Safety
/// As [`child`].
unsafe fn prepare(plan: &Plan) -> Result<(), Failure> {
    let check = |step, result: i32| if result < 0 { Err(Failure { step, errno: errno() }) } else { Ok(()) };
    // SAFETY: as in `child`.
    unsafe {
        if let Some(terminal) = plan.terminal {
            check(Step::Session, libc::setsid())?;
            check(Step::Terminal, libc::ioctl(terminal, libc::TIOCSCTTY, 0))?;
            for fd in 0..3 {
                check(Step::Stdio, libc::dup2(terminal, fd))?;
            }
        }
        for fd in &plan.close {
            libc::close(*fd);
        }
        // What another thread opened after the list was made. New numbers are the lowest free ones: they cannot be far.
        for fd in (3..plan.close.len() as i32 + 64).filter(|fd| *fd != plan.gate) {
            let flags = libc::fcntl(fd, libc::F_GETFD);
            if flags >= 0 && flags & libc::FD_CLOEXEC != 0 {
                libc::close(fd);
            }
        }
        if let Some((groups, gid, uid)) = &plan.identity {
            check(Step::Groups, libc::setgroups(groups.len(), groups.as_ptr()))?;
            check(Step::Gid, libc::setresgid(*gid, *gid, *gid))?;
            check(Step::Uid, libc::setresuid(*uid, *uid, *uid))?;
        }
        // All zero is SIG_DFL without flags in the kernel's own struct (32 bytes at most), whatever its order. The C
        // library would refuse the two signals it keeps for itself; SIGKILL and SIGSTOP refuse, rightly.
        let default = [0_u64; 4];
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null_mut::<u64>(), 8_usize);
        }
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
    Ok(())
}

/// As execvp(3): the first path that can be run; a refusal is remembered, a text file goes to the shell.
///
/// # Safety
/// As [`child`].
unsafe fn exec(plan: &mut Plan) -> i32 {
    let mut refused = libc::ENOENT;
    for program in plan.programs.pointers.iter().copied().take_while(|program| !program.is_null()) {
        let (argv, environment) = (plan.argv.pointers.as_ptr(), plan.environment.pointers.as_ptr());
        // SAFETY: NULL-terminated arrays of C strings that `plan` owns.
        unsafe { libc::execve(program, argv, environment) };
        match errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => refused = libc::EACCES,
            libc::ENOEXEC => {
                if let Some(script) = plan.shell_argv.pointers.get_mut(1) {
                    *script = program;
                }
                // SAFETY: as above.
                unsafe { libc::execve(c"/bin/sh".as_ptr(), plan.shell_argv.pointers.as_ptr(), environment) };
                return libc::ENOEXEC;
            }
            other => return other,
        }
    }
    refused
}

/// # Safety
/// As [`child`].
unsafe fn tell(plan: &Plan, failure: Failure) {
    let message = failure.encode();
    // SAFETY: sends bytes of this frame.
    unsafe { libc::send(plan.gate, message.as_ptr().cast(), message.len(), libc::MSG_NOSIGNAL) };
}

/// # Safety
/// As [`child`].
unsafe fn give_up(plan: &Plan, failure: Failure) -> ! {
    // SAFETY: ends this process.
    unsafe {
        tell(plan, failure);
        libc::_exit(127)
    }
}

fn errno() -> i32 {
    // SAFETY: the C library's own variable of this thread.
    unsafe { *libc::__errno_location() }
}
