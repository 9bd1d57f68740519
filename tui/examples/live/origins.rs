//! Signals that nobody sends by kill(2): of terminals, timers, files, message queues, children; and what becomes of those that
//! tracers see first, or that an exec takes away.

use std::{
    ffi::CStr,
    io::Error,
    mem::zeroed,
    os::raw::c_int,
    ptr::{self, null},
    sync::atomic::Ordering,
};

use super::{
    signals::{HANDLED, disposition, handle, handle_with, mask},
    sys::{check, close, fork, kill, name, pid, pipe, read, reap, say, sleep, state, until_state, write},
};

/// Runs a workload; `false` if there is none of that name.
pub fn run(name: &str) -> bool {
    match name {
        "keys" => keys(),
        "hangup" => hangup(),
        "asyncio" => asyncio(),
        "notify" => notify(),
        "posix-timer" => posix_timer(),
        "timer-deleted" => timer_deleted(),
        "autoreap" => autoreap(),
        "tracer" => tracer(),
        "undelivered" => undelivered(),
        "exec-discards" => exec_discards(),
        "exec-continues" => exec_continues(),
        _ => return false,
    }
    true
}

extern "C" fn leaves(_: c_int) {
    // SAFETY: allowed in a handler.
    unsafe { libc::_exit(7) };
}

/// Both sides of a new terminal.
fn terminal() -> (c_int, c_int) {
    // SAFETY: plain calls; the name is used at once.
    unsafe {
        let master = check("openpt", libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY).into()) as c_int;
        libc::grantpt(master);
        libc::unlockpt(master);
        let name = CStr::from_ptr(libc::ptsname(master));
        let slave = check("open", libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY).into()) as c_int;
        say("tty", name.to_str().unwrap().trim_start_matches("/dev/").replace('/', ""));
        (master, slave)
    }
}

/// A child of the shell on that terminal: in a group of its own, which is in the foreground then.
fn lead(slave: c_int) {
    disposition(libc::SIGTTOU, libc::SIG_IGN);
    // SAFETY: plain calls.
    unsafe {
        check("setsid", libc::setsid().into());
        check("TIOCSCTTY", libc::ioctl(slave, libc::TIOCSCTTY, 0).into());
    }
}

/// So many members of a new group in the foreground, which sleep; `with` is what each does first.
fn foreground(slave: c_int, count: usize, with: impl Fn(usize)) -> Vec<c_int> {
    let (ready_r, ready_w) = pipe(0);
    let mut members: Vec<c_int> = Vec::new();
    for index in 0..count {
        let group = members.first().copied().unwrap_or(0);
        let member = fork(|| {
            // SAFETY: a plain call.
            unsafe { libc::setpgid(0, group) };
            with(index);
            write(ready_w, b"r");
            sleep(60_000);
        });
        members.push(member);
        // SAFETY: a plain call; whoever comes first.
        unsafe { libc::setpgid(member, members[0]) };
        read(ready_r, 1);
    }
    // SAFETY: a plain call.
    check("tcsetpgrp", unsafe { libc::tcsetpgrp(slave, members[0]) }.into());
    for member in &members {
        until_state(*member, 'S');
    }
    let names: Vec<String> = members.iter().map(ToString::to_string).collect();
    say("group", members[0]);
    say("members", names.join(" "));
    members
}

/// Ctrl-Z and Ctrl-C, typed while a group of three is in the foreground.
fn keys() {
    let (master, slave) = terminal();
    let (step_r, step_w) = pipe(0);
    let shell = fork(|| {
        close(master);
        lead(slave);
        let members = foreground(slave, 3, |index| {
            if index == 0 {
                handle_with(libc::SIGINT, 0, leaves);
            }
        });
        write(step_w, b"1");
        for member in &members {
            until_state(*member, 'T');
        }
        kill(-members[0], libc::SIGCONT);
        for member in &members {
            until_state(*member, 'S');
        }
        write(step_w, b"2");
        for member in members {
            say(&format!("status-{member}"), reap(member));
        }
    });
    say("shell", shell);
    for key in [b"\x1a", b"\x03"] {
        read(step_r, 1);
        sleep(20);
        write(master, key);
    }
    reap(shell);
}

/// The terminal goes away: its session's leader is told, and when that ends, the group in the foreground.
fn hangup() {
    let (master, slave) = terminal();
    let (ready_r, ready_w) = pipe(0);
    let leader = fork(|| {
        close(master);
        close(ready_r);
        lead(slave);
        handle_with(libc::SIGHUP, 0, leaves);
        foreground(slave, 2, |_| disposition(libc::SIGHUP, libc::SIG_DFL));
        write(ready_w, b"r");
        sleep(60_000);
    });
    say("leader", leader);
    close(slave);
    close(ready_w);
    read(ready_r, 1);
    until_state(leader, 'S');
    close(master);
    say("status", reap(leader));
    // The members hold the other end until they die.
    read(ready_r, 1);
}

/// A pipe that tells of bytes by a signal.
fn asyncio() {
    let (r, w) = pipe(0);
    say("channel", name(r));
    handle(libc::SIGIO, 0);
    // SAFETY: plain calls.
    unsafe {
        check("F_SETOWN", libc::fcntl(r, libc::F_SETOWN, pid()).into());
        check("O_ASYNC", libc::fcntl(r, libc::F_SETFL, libc::O_ASYNC).into());
    }
    say("pid", pid());
    let writer = fork(|| {
        disposition(libc::SIGIO, libc::SIG_DFL);
        write(w, b"x");
    });
    say("writer", writer);
    reap(writer);
    say("handled", HANDLED.load(Ordering::SeqCst));
    // Else the writers' end would be told in the same way.
    // SAFETY: a plain call.
    check("F_SETFL", unsafe { libc::fcntl(r, libc::F_SETFL, 0) }.into());
}

/// A message queue that tells of its first message by a signal.
fn notify() {
    let queue_name = std::ffi::CString::new(format!("/ipcscope-notify-{}", pid())).unwrap();
    handle(libc::SIGUSR1, 0);
    // SAFETY: values on the stack.
    let queue = unsafe {
        let mut attributes: libc::mq_attr = zeroed();
        (attributes.mq_maxmsg, attributes.mq_msgsize) = (1, 8);
        let flags = libc::O_RDWR | libc::O_CREAT;
        let queue = check("mq_open", libc::mq_open(queue_name.as_ptr(), flags, 0o600, &raw mut attributes).into());
        let mut event: libc::sigevent = zeroed();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGUSR1;
        event.sigev_value.sival_ptr = ptr::without_provenance_mut(42);
        check("mq_notify", libc::mq_notify(queue as c_int, &raw const event).into());
        queue as c_int
    };
    say("pid", pid());
    let sender = fork(|| {
        // SAFETY: one byte.
        check("mq_send", unsafe { libc::mq_send(queue, c"x".as_ptr(), 1, 0) }.into());
    });
    say("sender", sender);
    reap(sender);
    // SAFETY: a plain call.
    unsafe { libc::mq_unlink(queue_name.as_ptr()) };
    say("handled", HANDLED.load(Ordering::SeqCst));
}

/// A timer of this process that brings a number along.
fn timer(signal: c_int, value: usize) -> libc::timer_t {
    // SAFETY: values on the stack.
    unsafe {
        let mut event: libc::sigevent = zeroed();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signal;
        event.sigev_value.sival_ptr = ptr::without_provenance_mut(value);
        let mut timer: libc::timer_t = ptr::null_mut();
        check("timer_create", libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer).into());
        timer
    }
}

/// Lets it run out after 10 ms, and then every so many.
fn arm(timer: libc::timer_t, every: i64) {
    let time = |ms: i64| libc::timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
    let spec = libc::itimerspec { it_interval: time(every), it_value: time(10) };
    // SAFETY: a value on the stack.
    check("timer_settime", unsafe { libc::timer_settime(timer, 0, &raw const spec, ptr::null_mut()) }.into());
}

/// Two timers of one signal; the second runs out over and over while its signal waits.
fn posix_timer() {
    let signal = libc::SIGRTMIN() + 2;
    say("pid", pid());
    handle(signal, 0);
    mask(libc::SIG_BLOCK, signal);
    let (once, often) = (timer(signal, 41), timer(signal, 42));
    arm(once, 0);
    sleep(20);
    arm(often, 10);
    sleep(60);
    mask(libc::SIG_UNBLOCK, signal);
    mask(libc::SIG_BLOCK, signal);
    say("handled", HANDLED.load(Ordering::SeqCst));
    // SAFETY: a plain call.
    unsafe { libc::timer_delete(often) };
}

/// Timers that are set anew and deleted while their signals wait. Later another of the same number comes.
fn timer_deleted() {
    let signal = libc::SIGRTMIN() + 2;
    say("pid", pid());
    handle(signal, 0);
    mask(libc::SIG_BLOCK, signal);
    let (gone, off) = (timer(signal, 41), timer(signal, 42));
    arm(gone, 0);
    arm(off, 0);
    sleep(40);
    // SAFETY: all zero switches it off.
    unsafe {
        let never: libc::itimerspec = zeroed();
        check("timer_delete", libc::timer_delete(gone).into());
        check("timer_settime", libc::timer_settime(off, 0, &raw const never, ptr::null_mut()).into());
    }
    mask(libc::SIG_UNBLOCK, signal);
    say("handled-timer", HANDLED.load(Ordering::SeqCst));
    kill(pid(), signal);
    say("handled", HANDLED.load(Ordering::SeqCst));
}

/// Children that nobody has to wait for: with a handler and SA_NOCLDWAIT, and with SIGCHLD ignored.
fn autoreap() {
    say("pid", pid());
    let wait = |child: c_int| {
        // SAFETY: a plain call.
        let got = unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
        let gone = got == -1 && Error::last_os_error().raw_os_error() == Some(libc::ECHILD);
        assert!(gone || Error::last_os_error().raw_os_error() == Some(libc::EINTR), "{got}");
    };
    handle(libc::SIGCHLD, libc::SA_NOCLDWAIT);
    let told = fork(|| sleep(10));
    say("told", told);
    while state(told) != 'X' {
        wait(told);
    }
    disposition(libc::SIGCHLD, libc::SIG_IGN);
    let untold = fork(|| sleep(10));
    say("untold", untold);
    wait(untold);
    say("handled", HANDLED.load(Ordering::SeqCst));
}

fn ptrace(request: u32, child: c_int, data: c_int) {
    // SAFETY: a plain call, on a child of ours.
    check("ptrace", unsafe { libc::ptrace(request, child, 0, data as usize) });
}

/// A child under ptrace(2): one signal is passed on, one is suppressed, one becomes another.
fn tracer() {
    let child = fork(|| {
        for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGHUP] {
            handle(signal, 0);
        }
        // SAFETY: a plain call.
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, null::<u8>(), null::<u8>()) };
        for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGHUP] {
            kill(pid(), signal);
            // A call of its own after each.
            sleep(5);
        }
        say("handled", HANDLED.load(Ordering::SeqCst));
    });
    say("child", child);
    for passed in [libc::SIGUSR1, 0, libc::SIGUSR2] {
        let status = reap(child);
        assert!(libc::WIFSTOPPED(status), "{status:#x}");
        ptrace(libc::PTRACE_CONT, child, passed);
    }
    say("status", reap(child));
}

/// A child that waits for a byte; a signal interrupts that, and its tracer suppresses the signal.
fn undelivered() {
    let (r, w) = pipe(0);
    say("channel", name(r));
    let child = fork(|| {
        // SAFETY: a plain call.
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, null::<u8>(), null::<u8>()) };
        say("got", read(r, 1).0);
    });
    say("child", child);
    until_state(child, 'S');
    kill(child, libc::SIGUSR1);
    assert!(libc::WIFSTOPPED(reap(child)));
    ptrace(libc::PTRACE_CONT, child, 0);
    until_state(child, 'S');
    write(w, b"x");
    say("status", reap(child));
}

/// A thread with a signal of its own waiting, and one that waits for the process: the first goes at exec.
fn exec_discards() {
    replace(false);
}

/// The same when another thread than the first calls exec.
fn exec_continues() {
    replace(true);
}

fn replace(by_another: bool) {
    let child = fork(|| {
        // All threads inherit it; the new program keeps it.
        mask(libc::SIG_BLOCK, libc::SIGUSR1);
        mask(libc::SIG_BLOCK, libc::SIGUSR2);
        let (ready_r, ready_w) = pipe(0);
        let (go_r, go_w) = pipe(0);
        std::thread::spawn(move || {
            // SAFETY: a plain call.
            let me = unsafe { libc::gettid() };
            write(ready_w, &me.to_ne_bytes());
            if by_another {
                read(go_r, 1);
                exec();
            }
            sleep(60_000);
        });
        let (_, id) = read(ready_r, 4);
        let other = c_int::from_ne_bytes(id.try_into().unwrap());
        let first = pid();
        let (goes, stays) = if by_another { (first, other) } else { (other, first) };
        say("goes", goes);
        say("stays", stays);
        // SAFETY: plain calls.
        unsafe {
            check("tgkill", libc::syscall(libc::SYS_tgkill, first, goes, libc::SIGUSR1));
            check("tgkill", libc::syscall(libc::SYS_tgkill, first, stays, libc::SIGUSR1));
        }
        kill(first, libc::SIGUSR2);
        if by_another {
            write(go_w, b"x");
            sleep(60_000);
        }
        exec();
    });
    say("child", child);
    say("status", reap(child));
}

fn exec() {
    // SAFETY: a null-terminated list of strings.
    unsafe {
        let arguments = [c"true".as_ptr(), null()];
        libc::execvp(c"true".as_ptr(), arguments.as_ptr());
    }
    // The program is not there.
    // SAFETY: ends at once.
    unsafe { libc::_exit(127) };
}
