//! The machine we run on: processes, users, terminals, privileges, what the kernel can do.
//!
//! Invariants: system calls other than file IO are made here only, and so is `unsafe`; every error names the call and
//! the thing it was about; every descriptor opened here is close-on-exec.
//!
//! Tests run real processes; what needs root says so and is skipped without it.

pub mod clock;
pub mod doctor;
pub mod file;
pub mod host;
pub mod identity;
pub mod launch;
pub mod outcome;
pub mod pty;

/// Beyond a file size limit writing fails, as on a full disk, instead of killing us.
pub fn quiet_file_limit() {
    // SAFETY: changes the disposition of one signal, before any thread starts.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}
