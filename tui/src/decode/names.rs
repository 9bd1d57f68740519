//! Numbers of the kernel by their names in the manual.

use ipcscope_common::{call::BIT_32, ring::ENTER};
use syscalls::Sysno;

use crate::event::Via;

/// A system call by the number that records have; none for one that is newer than our table.
pub fn sysno(number: i32) -> Option<Sysno> {
    usize::try_from(number).ok().and_then(|number| Sysno::new(number & !(BIT_32 as usize)))
}

/// Its name; `unknown` for one that is newer than our table.
pub fn syscall(number: i32) -> &'static str {
    sysno(number).map_or("unknown", |call| call.name())
}

/// How it was made.
pub fn via(number: i32) -> Option<Via> {
    if number == ENTER {
        return Some(Via::IoUring);
    }
    (number >= 0 && number & BIT_32 != 0).then_some(Via::Compat)
}

/// The error of a call that returned `ret`; the restart codes that never reach a program count as EINTR.
pub fn errno(ret: i64) -> &'static str {
    match ret.checked_neg().map(i32::try_from) {
        Some(Ok(512..=516)) => "EINTR",
        Some(Ok(number)) => syscalls::Errno::new(number).name().unwrap_or("unknown"),
        _ => "unknown",
    }
}

/// A signal.
pub use crate::event::signal_name_of as signal;

/// `si_code` of a signal (sigaction(2)).
pub fn si_code(signo: i32, code: i32) -> Option<&'static str> {
    Some(match (signo, code) {
        (_, 0) => "SI_USER",
        (_, 0x80) => "SI_KERNEL",
        (_, -1) => "SI_QUEUE",
        (_, -2) => "SI_TIMER",
        (_, -3) => "SI_MESGQ",
        (_, -4) => "SI_ASYNCIO",
        (_, -5) => "SI_SIGIO",
        (_, -6) => "SI_TKILL",
        (17, 1) => "CLD_EXITED",
        (17, 2) => "CLD_KILLED",
        (17, 3) => "CLD_DUMPED",
        (17, 4) => "CLD_TRAPPED",
        (17, 5) => "CLD_STOPPED",
        (17, 6) => "CLD_CONTINUED",
        (11, 1) => "SEGV_MAPERR",
        (11, 2) => "SEGV_ACCERR",
        (7, 1) => "BUS_ADRALN",
        (7, 2) => "BUS_ADRERR",
        (7, 3) => "BUS_OBJERR",
        (8, 1) => "FPE_INTDIV",
        (8, 2) => "FPE_INTOVF",
        (4, 1) => "ILL_ILLOPC",
        (4, 2) => "ILL_ILLOPN",
        (29, 1) => "POLL_IN",
        (29, 2) => "POLL_OUT",
        (29, 3) => "POLL_MSG",
        (29, 4) => "POLL_ERR",
        (29, 5) => "POLL_PRI",
        (29, 6) => "POLL_HUP",
        (5, 1) => "TRAP_BRKPT",
        (5, 2) => "TRAP_TRACE",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_manual_s() {
        assert_eq!(syscall(0), "read");
        assert_eq!(syscall(-1), "unknown");
        assert_eq!(errno(-32), "EPIPE");
        assert_eq!(errno(-512), "EINTR");
        assert_eq!(errno(i64::MIN), "unknown", "a record that nobody made");
    }
}
