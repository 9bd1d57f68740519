//! Signals, one property each.

use std::{
    os::raw::c_int,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use super::sys::{check, close, fork, kill, name, outcome, pid, pipe, read, reap, say, sleep, until_state, write};

/// Runs a workload; `false` if there is none of that name.
pub fn run(name: &str) -> bool {
    match name {
        "senders" => senders(),
        "ignored" => ignored(),
        "coalesced" => coalesced(),
        "masked" => masked(),
        "eintr" => interrupted(0),
        "restart" => interrupted(libc::SA_RESTART),
        "stop" => stop(),
        "group" => group(),
        "alarm" => alarm(),
        "segv" => segv(),
        "term" => term(),
        "threads-term" => threads_term(),
        "nested" => nested(),
        "sigwait" => sigwait(),
        "realtime" => realtime(),
        "longjmp" => abandoned(),
        "faults" => faults(),
        "flushed" => flushed(),
        "signalfd" => signalfd(),
        "server" => server(),
        "broadcast" => broadcast(),
        _ => return false,
    }
    true
}

pub(super) static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// Counts a signal in a handler.
pub fn handle(signal: c_int, flags: c_int) {
    handle_with(signal, flags, count);
}

pub(super) fn handle_with(signal: c_int, flags: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: all zero is a valid sigaction; the handler only touches atomics and calls what is safe in one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags;
        check("sigaction", i64::from(libc::sigaction(signal, &raw const action, ptr::null_mut())));
    }
}

pub(super) fn disposition(signal: c_int, to: usize) {
    // SAFETY: SIG_IGN or SIG_DFL.
    unsafe { libc::signal(signal, to) };
}

pub(super) fn mask(how: c_int, signal: c_int) {
    // SAFETY: a set on the stack.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, signal);
        check("sigprocmask", i64::from(libc::sigprocmask(how, &raw const set, ptr::null_mut())));
    }
}

/// Every way to send a signal, to ourselves.
fn senders() {
    let me = pid();
    say("pid", me);
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGHUP, libc::SIGWINCH, libc::SIGURG, libc::SIGINT] {
        handle(signal, 0);
    }
    kill(me, libc::SIGUSR1);
    // SAFETY: plain calls; the pidfd is ours.
    unsafe {
        check("tgkill", libc::syscall(libc::SYS_tgkill, me, me, libc::SIGUSR2));
        let value = libc::sigval { sival_ptr: 42 as *mut _ };
        check("sigqueue", i64::from(libc::sigqueue(me, libc::SIGHUP, value)));
        let own = check("pidfd_open", libc::syscall(libc::SYS_pidfd_open, me, 0)) as c_int;
        check(
            "pidfd_send_signal",
            libc::syscall(libc::SYS_pidfd_send_signal, own, libc::SIGWINCH, ptr::null::<libc::siginfo_t>(), 0),
        );
        check("tkill", libc::syscall(libc::SYS_tkill, me, libc::SIGURG));
        check("raise", i64::from(libc::raise(libc::SIGINT)));
    }
    say("handled", HANDLED.load(Ordering::SeqCst));
}

/// To a child that ignores it, and one that means nothing to it by default.
fn ignored() {
    disposition(libc::SIGUSR1, libc::SIG_IGN);
    let (r, w) = pipe(0);
    let child = fork(|| {
        close(w);
        read(r, 1);
    });
    until_state(child, 'S');
    say("child", child);
    kill(child, libc::SIGUSR1);
    kill(child, libc::SIGWINCH);
    write(w, b"x");
    reap(child);
}

/// Three of a kind while blocked: one arrives.
fn coalesced() {
    say("pid", pid());
    handle(libc::SIGUSR1, 0);
    mask(libc::SIG_BLOCK, libc::SIGUSR1);
    for _ in 0..3 {
        kill(pid(), libc::SIGUSR1);
    }
    mask(libc::SIG_UNBLOCK, libc::SIGUSR1);
    say("handled", HANDLED.load(Ordering::SeqCst));
}

/// Pending while blocked, delivered when unblocked.
fn masked() {
    say("pid", pid());
    handle(libc::SIGUSR1, 0);
    mask(libc::SIG_BLOCK, libc::SIGUSR1);
    kill(pid(), libc::SIGUSR1);
    say("handled-before", HANDLED.load(Ordering::SeqCst));
    sleep(100);
    mask(libc::SIG_UNBLOCK, libc::SIGUSR1);
    say("handled", HANDLED.load(Ordering::SeqCst));
}

/// A read that waits, and a signal with a handler.
fn interrupted(flags: c_int) {
    let (r, w) = pipe(0);
    let (ready_r, ready_w) = pipe(0);
    say("channel", name(r));
    let child = fork(|| {
        handle(libc::SIGUSR1, flags);
        write(ready_w, b"r");
        let got = read(r, 100).0;
        say("saw", outcome(got));
        say("handled", HANDLED.load(Ordering::SeqCst));
    });
    say("child", child);
    read(ready_r, 1);
    sleep(50);
    until_state(child, 'S');
    kill(child, libc::SIGUSR1);
    sleep(50);
    // After EINTR nobody reads it: that is no matter.
    write(w, b"hello");
    reap(child);
}

/// Stopped and continued.
fn stop() {
    let (r, w) = pipe(0);
    let (ready_r, ready_w) = pipe(0);
    let child = fork(|| {
        handle(libc::SIGUSR1, libc::SA_RESTART);
        write(ready_w, b"r");
        read(r, 1);
    });
    say("child", child);
    read(ready_r, 1);
    until_state(child, 'S');
    kill(child, libc::SIGSTOP);
    until_state(child, 'T');
    kill(child, libc::SIGUSR1);
    sleep(100);
    kill(child, libc::SIGCONT);
    until_state(child, 'S');
    write(w, b"x");
    say("status", reap(child));
}

/// A whole group at once.
fn group() {
    let (ready_r, ready_w) = pipe(0);
    let mut leader = 0;
    let mut children = Vec::new();
    for _ in 0..3 {
        let child = fork(|| {
            // SAFETY: plain call.
            check("setpgid", i64::from(unsafe { libc::setpgid(0, leader) }));
            write(ready_w, b"r");
            sleep(60_000);
        });
        leader = if leader == 0 { child } else { leader };
        // SAFETY: as above; whoever comes first.
        unsafe { libc::setpgid(child, leader) };
        children.push(child);
    }
    let mut ready = 0;
    while ready < 3 {
        ready += read(ready_r, 1).0;
    }
    say("children", format!("{} {} {}", children[0], children[1], children[2]));
    kill(-leader, libc::SIGTERM);
    for child in children {
        say("status", reap(child));
    }
}

/// A timer's.
fn alarm() {
    handle(libc::SIGALRM, 0);
    let timer = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 50_000 },
    };
    // SAFETY: a value on the stack.
    let armed = unsafe { libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const timer, 0) };
    check("setitimer", armed);
    // SAFETY: plain call.
    unsafe { libc::pause() };
    say("error", outcome(-1));
    say("handled", HANDLED.load(Ordering::SeqCst));
}

/// The kernel's.
fn segv() {
    let child = fork(|| {
        disposition(libc::SIGSEGV, libc::SIG_DFL);
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: it is meant to die here, without a core.
        unsafe {
            libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
            libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
            ptr::without_provenance_mut::<u8>(16).write_volatile(1);
        }
    });
    say("child", child);
    say("status", reap(child));
}

/// Dies of SIGTERM by default.
fn term() {
    let child = fork(|| sleep(60_000));
    say("child", child);
    until_state(child, 'S');
    kill(child, libc::SIGTERM);
    say("status", reap(child));
}

/// The same with several threads: the kernel ends each with SIGKILL, but the signal was SIGTERM.
fn threads_term() {
    let (ready_r, ready_w) = pipe(0);
    let child = fork(|| {
        for _ in 0..3 {
            std::thread::spawn(move || {
                write(ready_w, b"r");
                sleep(60_000);
            });
        }
        sleep(60_000);
    });
    say("child", child);
    let mut ready = 0;
    while ready < 3 {
        ready += read(ready_r, 3).0;
    }
    sleep(50);
    kill(child, libc::SIGTERM);
    say("status", reap(child));
}

extern "C" fn sends_another(_: c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
    // SAFETY: allowed in a handler.
    unsafe { libc::raise(libc::SIGUSR2) };
}

/// A handler that a second one interrupts.
fn nested() {
    say("pid", pid());
    handle_with(libc::SIGUSR1, 0, sends_another);
    handle(libc::SIGUSR2, 0);
    kill(pid(), libc::SIGUSR1);
    say("handled", HANDLED.load(Ordering::SeqCst));
}

/// Taken without a handler.
fn sigwait() {
    say("pid", pid());
    mask(libc::SIG_BLOCK, libc::SIGUSR1);
    kill(pid(), libc::SIGUSR1);
    // SAFETY: sets on the stack.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGUSR1);
        let mut signal = 0;
        libc::sigwait(&raw const set, &raw mut signal);
        say("took", signal);
    }
}

/// Real-time signals queue.
fn realtime() {
    say("pid", pid());
    let signal = libc::SIGRTMIN() + 1;
    handle(signal, 0);
    mask(libc::SIG_BLOCK, signal);
    for number in 0..3_usize {
        let value = libc::sigval { sival_ptr: number as *mut _ };
        // SAFETY: plain call.
        check("sigqueue", i64::from(unsafe { libc::sigqueue(pid(), signal, value) }));
    }
    mask(libc::SIG_UNBLOCK, signal);
    say("handled", HANDLED.load(Ordering::SeqCst));
}

extern "C" fn leaves(_: c_int) {
    // SAFETY: ends the process inside the handler.
    unsafe { libc::_exit(0) };
}

/// A handler that never returns.
fn abandoned() {
    let child = fork(|| {
        handle_with(libc::SIGUSR1, 0, leaves);
        kill(pid(), libc::SIGUSR1);
    });
    say("child", child);
    reap(child);
}

/// Every fault that a program brings upon itself; no core, and one with a handler.
fn faults() {
    let one = |name: &str, fault: fn()| {
        let child = fork(|| {
            // SAFETY: it is meant to die here, without a core.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
            for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP] {
                disposition(signal, libc::SIG_DFL);
            }
            fault();
        });
        say(name, format!("{child} {}", reap(child)));
    };
    // SAFETY: it is meant to fault.
    one("SIGSEGV", || unsafe { ptr::without_provenance_mut::<u8>(16).write_volatile(1) });
    // SAFETY: it is meant to fault.
    one("SIGFPE", || unsafe {
        std::arch::asm!("xor edx, edx", "xor ecx, ecx", "mov eax, 1", "div ecx", out("eax") _, out("ecx") _, out("edx") _);
    });
    // SAFETY: it is meant to fault.
    one("SIGILL", || unsafe { std::arch::asm!("ud2") });
    // SAFETY: it is meant to fault.
    one("SIGTRAP", || unsafe { std::arch::asm!("int3") });
    // SAFETY: it is meant to fault.
    one("SIGBUS", || unsafe {
        let file = libc::memfd_create(c"empty".as_ptr(), 0);
        let page = libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file, 0);
        page.cast::<u8>().read_volatile();
    });
}

/// Signals that wait are taken away: by being ignored, by SIGCONT, by a stop signal.
fn flushed() {
    say("pid", pid());
    for signal in [libc::SIGUSR1, libc::SIGTSTP, libc::SIGCONT] {
        mask(libc::SIG_BLOCK, signal);
    }
    handle(libc::SIGUSR1, 0);
    kill(pid(), libc::SIGUSR1);
    disposition(libc::SIGUSR1, libc::SIG_IGN);
    kill(pid(), libc::SIGTSTP);
    kill(pid(), libc::SIGCONT);
    kill(pid(), libc::SIGTSTP);
    kill(pid(), libc::SIGCONT);
    for signal in [libc::SIGUSR1, libc::SIGTSTP] {
        mask(libc::SIG_UNBLOCK, signal);
    }
    say("handled", HANDLED.load(Ordering::SeqCst));
}

/// Several at once from a descriptor, in the order in which it gives them.
fn signalfd() {
    say("pid", pid());
    let realtime = libc::SIGRTMIN() + 1;
    let mut wanted = 0_u64;
    for signal in [libc::SIGUSR1, libc::SIGUSR2, realtime] {
        mask(libc::SIG_BLOCK, signal);
        wanted |= 1 << (signal - 1);
    }
    // SAFETY: plain calls on memory that outlives them.
    let fd = unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const wanted, 8, 0) } as c_int;
    kill(pid(), libc::SIGUSR2);
    for number in [7_usize, 8] {
        let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(number) };
        // SAFETY: plain call.
        check("sigqueue", i64::from(unsafe { libc::sigqueue(pid(), realtime, value) }));
    }
    kill(pid(), libc::SIGUSR1);
    let (count, bytes) = read(fd, 128 * 8);
    check("read", count);
    let numbers: Vec<String> = bytes.chunks(128).map(|info| info[0].to_string()).collect();
    say("took", numbers.join(" "));
}

/// What a pre-forking web server does about TERM, HUP and USR1.
fn server() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    extern "C" fn ask(signal: c_int) {
        ASKED.store(signal as u32, Ordering::SeqCst);
    }
    let (ready_r, ready_w) = pipe(0);
    let parent = fork(|| {
        for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1] {
            handle_with(signal, 0, ask);
        }
        let worker = || {
            fork(|| {
                disposition(libc::SIGTERM, libc::SIG_DFL);
                disposition(libc::SIGHUP, libc::SIG_DFL);
                disposition(libc::SIGUSR1, libc::SIG_DFL);
                write(ready_w, b"w");
                sleep(60_000);
            })
        };
        let mut workers = [worker(), worker()];
        loop {
            // SAFETY: plain call.
            unsafe { libc::pause() };
            let signal = ASKED.swap(0, Ordering::SeqCst) as c_int;
            // USR1: gracefully, after what is at work; here the same as HUP but for the signal.
            let tell = if signal == libc::SIGUSR1 { libc::SIGUSR1 } else { libc::SIGTERM };
            for worker in workers {
                kill(worker, tell);
                say(&format!("ended-{signal}-{worker}"), reap(worker));
            }
            if signal == libc::SIGTERM {
                return;
            }
            workers = [worker(), worker()];
        }
    });
    say("parent", parent);
    let ready = || {
        for _ in 0..2 {
            read(ready_r, 1);
        }
        until_state(parent, 'S');
        sleep(20);
    };
    ready();
    kill(parent, libc::SIGHUP);
    ready();
    kill(parent, libc::SIGUSR1);
    ready();
    kill(parent, libc::SIGTERM);
    say("status", reap(parent));
}

/// To everybody; only in a pid namespace of its own, whose init it is.
fn broadcast() {
    assert_eq!(pid(), 1, "not in a pid namespace of its own");
    let (ready_r, ready_w) = pipe(0);
    let children: Vec<c_int> = (0..3)
        .map(|_| {
            fork(|| {
                write(ready_w, b"r");
                sleep(60_000);
            })
        })
        .collect();
    for _ in &children {
        read(ready_r, 1);
    }
    sleep(20);
    kill(-1, libc::SIGTERM);
    for child in children {
        say("status", reap(child));
    }
}
