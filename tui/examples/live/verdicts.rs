//! Calls that block, each interrupted in four ways, and what the program itself saw of it.
//!
//! A line a case: `CALL/MODE PID SYSCALL RESULT`. RESULT is `EINTR`, `partial`, or `done`: the call went on until it was let go.

use std::{
    io::Error,
    os::raw::c_int,
    time::{Duration, Instant},
};

use super::{
    blocking::{CASES, Make},
    signals::{disposition, handle},
    subject::{LARGE, Subject, ring},
    sys::{close, fork, kill, pipe, read, reap, say, sleep, state, until_state, write},
};

/// How each call is interrupted.
const MODES: [&str; 4] = ["ignored", "handler", "restart", "stop"];

/// Whether a process sleeps in that call, or in its continuation.
fn is_in(child: c_int, nr: i64) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{child}/syscall")).unwrap_or_default();
    let now = text.split(' ').next().and_then(|word| word.trim().parse::<i64>().ok());
    state(child) == 'S' && (now == Some(nr) || now == Some(libc::SYS_restart_syscall))
}

fn until_in(child: c_int, nr: i64) {
    let began = Instant::now();
    while !is_in(child, nr) {
        assert!(began.elapsed() < Duration::from_secs(30), "{child} never was in {nr}");
        sleep(1);
    }
}

/// All of them.
pub fn verdicts() {
    for (name, nr, make) in CASES {
        let child = (*nr == libc::SYS_io_uring_enter).then(|| fork(|| assert!(ring() >= 0)));
        if child.is_some_and(|child| reap(child) != 0) {
            continue;
        }
        for mode in MODES {
            one(name, *nr, *make, mode);
        }
    }
}

fn one(name: &str, nr: i64, make: Make, mode: &str) {
    let Subject { call, release } = make();
    let (said_r, said_w) = pipe(0);
    let child = fork(|| {
        match mode {
            "ignored" => disposition(libc::SIGUSR1, libc::SIG_IGN),
            "handler" => handle(libc::SIGUSR1, 0),
            "restart" => handle(libc::SIGUSR1, libc::SA_RESTART),
            _ => {}
        }
        let got = call();
        let error = Error::last_os_error().raw_os_error();
        let saw = match (got, error) {
            (-1, Some(libc::EINTR)) => "EINTR",
            (1.., _) if name == "write-large" && (got as usize) < LARGE => "partial",
            // Timeouts are as good as success.
            (0.., _) | (-1, Some(libc::EAGAIN | libc::ETIMEDOUT)) => "done",
            _ => "failed",
        };
        write(said_w, saw.as_bytes());
    });
    close(said_w);
    until_in(child, nr);
    if mode == "stop" {
        kill(child, libc::SIGSTOP);
        until_state(child, 'T');
        kill(child, libc::SIGCONT);
    } else {
        kill(child, libc::SIGUSR1);
    }
    sleep(30);
    let goes_on = is_in(child, nr);
    release(child);
    reap(child);
    let (count, saw) = read(said_r, 20);
    close(said_r);
    // Who waits for nothing but signals is killed, and says nothing.
    let saw = if count == 0 && goes_on { "done".into() } else { String::from_utf8_lossy(&saw).into_owned() };
    say(&format!("{name}/{mode}"), format!("{child} {nr} {saw}"));
}
