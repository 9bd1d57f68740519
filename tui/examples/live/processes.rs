//! Processes and threads that come and go in unusual ways.

use std::{ffi::CString, fs, os::unix::process::CommandExt as _, process::Command};

use super::sys::{check, fork, pid, reap, say, sleep};

/// Runs a workload; `false` if there is none of that name.
pub fn run(name: &str) -> bool {
    match name {
        "exec-thread" => exec_in_thread(),
        "reuse" => reuse(),
        "namespace" => namespace(),
        "ids" => ids(),
        "ignores" => ignores(),
        _ => return false,
    }
    true
}

/// Every process of a tree has `width` children, `depth` deep; all live until the deepest have ended.
pub fn tree(depth: u32, width: u32) {
    grow(depth, width);
    say("processes", (1..=depth).map(|level| width.pow(level)).sum::<u32>());
}

fn grow(depth: u32, width: u32) {
    if depth == 0 {
        return;
    }
    let children: Vec<_> = (0..width).map(|_| fork(|| grow(depth - 1, width))).collect();
    for child in children {
        reap(child);
    }
}

/// A thread that is not the first one executes another program: it takes the process over, number and all.
fn exec_in_thread() {
    say("pid", pid());
    let thread = std::thread::spawn(|| {
        // SAFETY: a plain call.
        say("thread", unsafe { libc::gettid() });
        // Rust's own exec would do no other.
        let error = Command::new("/proc/self/exe").arg("ids").exec();
        say("error", error);
    });
    let _ = thread.join();
}

/// Two processes, one after the other, of the same number, if the kernel lets us choose it.
fn reuse() {
    let first = fork(|| {});
    reap(first);
    // The first is freed a little later.
    sleep(200);
    for _ in 0..50 {
        if fs::write("/proc/sys/kernel/ns_last_pid", (first - 1).to_string()).is_err() {
            break;
        }
        let second = fork(|| {});
        reap(second);
        if second == first {
            say("reused", first);
            return;
        }
        sleep(20);
    }
    say("not-reused", first);
}

/// A child in a pid namespace of its own, and a grandchild there.
fn namespace() {
    // SAFETY: a plain call; only children are affected.
    check("unshare", i64::from(unsafe { libc::unshare(libc::CLONE_NEWPID) }));
    let child = fork(|| {
        say("inside", pid());
        let grandchild = fork(|| say("second-inside", pid()));
        say("grandchild", grandchild);
        reap(grandchild);
    });
    say("child", child);
    reap(child);
}

/// Who it is.
fn ids() {
    // SAFETY: plain calls.
    let (real, effective) = unsafe { (libc::getuid(), libc::geteuid()) };
    say("ids", format!("{real} {effective}"));
}

/// Its name is a control sequence; it ignores all it can, until it has slept.
fn ignores() {
    let name = CString::new("\x1b]0;name\x07").unwrap();
    // SAFETY: a string that ends with zero.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, name.as_ptr());
        for signal in 1..32 {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
    say("pid", pid());
    sleep(300);
}
