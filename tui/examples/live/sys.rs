//! System calls as they are: what a test is about must not be hidden by a library.

use std::{
    io::{Error, Write as _},
    os::raw::c_int,
    thread,
    time::{Duration, Instant},
};

/// Prints a truth, at once and in one write.
pub fn say(name: &str, value: impl std::fmt::Display) {
    let line = format!("{name} {value}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

/// Fails loudly.
pub fn check(what: &str, result: i64) -> i64 {
    assert!(result >= 0, "{what}: {}", Error::last_os_error());
    result
}

/// What a call gave: a number, or the name of the error.
pub fn outcome(result: i64) -> String {
    if result >= 0 {
        return result.to_string();
    }
    match Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => "EAGAIN",
        Some(libc::EPIPE) => "EPIPE",
        Some(libc::EINTR) => "EINTR",
        Some(libc::EBUSY) => "EBUSY",
        Some(libc::ECONNRESET) => "ECONNRESET",
        _ => "other",
    }
    .to_owned()
}

/// A pipe; reading end first.
pub fn pipe(flags: c_int) -> (c_int, c_int) {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    check("pipe2", i64::from(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) }));
    (ends[0], ends[1])
}

/// What the trace calls the channel behind a descriptor of a pipe.
pub fn name(fd: c_int) -> String {
    std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap().to_str().unwrap().to_owned()
}

/// write(2).
pub fn write(fd: c_int, bytes: &[u8]) -> i64 {
    // SAFETY: a slice and its length.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) as i64 }
}

/// read(2) of at most `count` bytes.
pub fn read(fd: c_int, count: usize) -> (i64, Vec<u8>) {
    let mut buffer = vec![0; count];
    // SAFETY: a slice and its length.
    let got = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), count) as i64 };
    buffer.truncate(usize::try_from(got).unwrap_or(0));
    (got, buffer)
}

/// close(2).
pub fn close(fd: c_int) {
    // SAFETY: a plain call.
    check("close", i64::from(unsafe { libc::close(fd) }));
}

/// dup(2).
pub fn dup(fd: c_int) -> c_int {
    // SAFETY: a plain call.
    check("dup", i64::from(unsafe { libc::dup(fd) })) as c_int
}

/// A child that runs `work` and exits with 0.
pub fn fork(work: impl FnOnce()) -> c_int {
    // SAFETY: whoever calls this has one thread.
    match check("fork", i64::from(unsafe { libc::fork() })) {
        0 => {
            work();
            // SAFETY: ends at once.
            unsafe { libc::_exit(0) }
        }
        pid => pid as c_int,
    }
}

/// waitpid(2); the raw status.
pub fn reap(pid: c_int) -> c_int {
    let mut status = 0;
    loop {
        // SAFETY: room for a status.
        let got = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if got < 0 && Error::last_os_error().raw_os_error() == Some(libc::EINTR) {
            continue;
        }
        check("waitpid", i64::from(got));
        return status;
    }
}

/// kill(2).
pub fn kill(pid: c_int, signal: c_int) {
    // SAFETY: a plain call.
    check("kill", i64::from(unsafe { libc::kill(pid, signal) }));
}

/// Ourselves.
pub fn pid() -> c_int {
    std::process::id() as c_int
}

/// Sleeps.
pub fn sleep(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

/// The state letter of a process.
pub fn state(pid: c_int) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next()).unwrap_or('X')
}

/// Waits until another process is in a state.
pub fn until_state(pid: c_int, wanted: char) {
    let began = Instant::now();
    while state(pid) != wanted {
        assert!(began.elapsed() < Duration::from_secs(30), "{pid} never was {wanted}");
        sleep(1);
    }
}
