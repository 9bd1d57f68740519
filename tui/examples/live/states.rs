//! Time on and off the CPU: threads that know their own from the kernel's accounts.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::sys::{pipe, read, say, sleep, write};

/// Runs a workload; `false` if there is none of that name.
pub fn run(name: &str) -> bool {
    match name {
        "times" => times(),
        _ => return false,
    }
    true
}

/// `NAME TID RUN WAIT`: ns on a CPU and ns runnable but not on one (/proc/thread-self/schedstat).
fn account(name: &str) {
    // Brings the account up to date.
    thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let mut numbers = text.split(' ');
    let (run, wait) = (numbers.next().unwrap(), numbers.next().unwrap());
    // SAFETY: a plain call.
    say(name, format!("{} {run} {wait}", unsafe { libc::gettid() }));
}

/// Ticks of all CPUs so far: those of interrupts and of the hypervisor, and all (proc_stat(5)).
fn ticks() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    let numbers: Vec<u64> =
        text.lines().next().unwrap().split_whitespace().skip(1).map(|number| number.parse().unwrap()).collect();
    (numbers[5..8].iter().sum(), numbers[..8].iter().sum())
}

/// A CPU hog, a sleeper, and two that play ping-pong.
fn times() {
    let before = ticks();
    let (ping_r, ping_w) = pipe(0);
    let (pong_r, pong_w) = pipe(0);
    let hog = thread::spawn(|| {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(800) {
            std::hint::spin_loop();
        }
        account("hog");
    });
    let sleeper = thread::spawn(|| {
        for _ in 0..20 {
            sleep(20);
        }
        account("sleeper");
    });
    let ping = thread::spawn(move || {
        for _ in 0..5000 {
            write(ping_w, b"i");
            read(pong_r, 1);
        }
        account("ping");
    });
    let pong = thread::spawn(move || {
        for _ in 0..5000 {
            read(ping_r, 1);
            write(pong_w, b"o");
        }
        account("pong");
    });
    for thread in [hog, sleeper, ping, pong] {
        thread.join().unwrap();
    }
    let after = ticks();
    // In thousandths: the kernel's accounts leave these out, the scheduler's records cannot.
    say("elsewhere", 1000 * (after.0 - before.0) / (after.1 - before.1).max(1));
}
