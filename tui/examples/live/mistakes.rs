//! What students get wrong, one mistake a program, and each done right.
//!
//! `culprit` is the process to be named. What hangs is ended after a while by whoever started it.

use std::{
    os::{fd::AsRawFd as _, raw::c_int},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    deadlocks, kept, shared,
    signals::{HANDLED, disposition, handle, mask},
    sys::{check, close, fork, kill, pid, pipe, read, reap, say, sleep, until_state, write},
};

/// Runs one, wrong or right.
pub fn run(name: &str, wrong: bool) {
    let program = match name {
        "unclosed-in-parent" => unclosed_in_parent,
        "unclosed-in-reader" => unclosed_in_reader,
        "unclosed-in-sibling" => unclosed_in_sibling,
        "forgotten-wait" => forgotten_wait,
        "write-before-read" => write_before_read,
        "wait-before-read" => wait_before_read,
        "both-read-first" => both_read_first,
        "eintr" => eintr,
        "sigpipe-ignored" => sigpipe_ignored,
        "lost-signals" => lost_signals,
        "blocked-signal" => blocked_signal,
        "stopped-holder" => stopped_holder,
        "lock-order" => lock_order,
        "left-behind" => left_behind,
        "fifo-alone" => fifo_alone,
        "no-room" => no_room,
        "mutex-order" => deadlocks::mutex_order,
        "sockets-read-first" => deadlocks::sockets_read_first,
        "end-in-flight" => kept::end_in_flight,
        "memory-left" => kept::memory_left,
        "listen-full" => kept::listen_full,
        "queues-receive-first" => deadlocks::queues_receive_first,
        _ => {
            eprintln!("no mistake {name}");
            std::process::exit(2);
        }
    };
    let child = fork(|| {
        // SAFETY: plain call.
        check("setpgid", i64::from(unsafe { libc::setpgid(0, 0) }));
        program(wrong);
    });
    let began = Instant::now();
    let mut status = 0;
    // SAFETY: room for a status; the child is ours.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        // This one ends itself, sooner or later.
        let limit = if name == "lock-order" { 20 } else { 3 };
        if began.elapsed() > Duration::from_secs(limit) {
            kill(-child, libc::SIGKILL);
            reap(child);
            return;
        }
        sleep(20);
    }
}

/// Two that take two semaphores in different orders; an alarm ends them, both at once.
fn lock_order(wrong: bool) {
    let set = shared::make(2);
    let take = |number| assert!(shared::add(set, number, -1) == 0);
    let give = |number| assert!(shared::add(set, number, 1) == 0);
    give(0);
    give(1);
    // One has its first before the other begins, and goes on when that has its own, or waits for it: however slow it is.
    let (taken_r, taken_w) = pipe(0);
    let (go_r, go_w) = pipe(0);
    let end = Instant::now() + Duration::from_secs(3);
    let both = |first, second, leads: bool| {
        fork(|| {
            take(first);
            if leads {
                write(taken_w, b"t");
                read(go_r, 1);
            }
            end_at(end);
            take(second);
            give(second);
            give(first);
        })
    };
    let one = both(0, 1, true);
    say("culprit", one);
    read(taken_r, 1);
    let other = if wrong { both(1, 0, false) } else { both(0, 1, false) };
    sleep(100);
    write(go_w, b"g");
    for end in [taken_r, taken_w, go_r, go_w] {
        close(end);
    }
    reap(one);
    reap(other);
    shared::remove(set);
}

/// SIGALRM comes at that moment.
pub fn end_at(end: Instant) {
    let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let value = libc::timeval { tv_sec: left.as_secs() as i64, tv_usec: i64::from(left.subsec_micros()) };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: a timer's value; the old one is not asked for.
    check(
        "setitimer",
        i64::from(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }),
    );
}

/// A set of semaphores that nobody removes; whoever started this does, afterwards.
fn left_behind(wrong: bool) {
    let set = shared::make(1);
    say("culprit", pid());
    say("left", set);
    if !wrong {
        shared::remove(set);
    }
}

/// A FIFO whose reader never comes.
fn fifo_alone(wrong: bool) {
    let path = std::env::temp_dir().join(format!("alone-{}", pid()));
    let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: a path.
    check("mkfifo", i64::from(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }));
    let writer = fork(|| {
        // SAFETY: a path.
        let fd = check("open", i64::from(unsafe { libc::open(name.as_ptr(), libc::O_WRONLY) }));
        write(fd as c_int, b"hello");
    });
    say("culprit", writer);
    until_state(writer, 'S');
    if wrong {
        sleep(1300);
        kill(writer, libc::SIGTERM);
    } else {
        // SAFETY: a path.
        let fd = check("open", i64::from(unsafe { libc::open(name.as_ptr(), libc::O_RDONLY) }));
        read_to_end(fd as c_int);
    }
    reap(writer);
    std::fs::remove_file(path).unwrap();
}

/// Datagrams sent faster than they are received, to little room.
fn no_room(wrong: bool) {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    say("culprit", pid());
    let to = receiver.local_addr().unwrap();
    let room: c_int = 4096;
    // SAFETY: an option that is a number.
    let set = unsafe {
        libc::setsockopt(receiver.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, (&raw const room).cast(), 4)
    };
    check("setsockopt", i64::from(set));
    for _ in 0..64 {
        sender.send_to(&[b'x'; 1000], to).unwrap();
        if !wrong {
            receiver.recv(&mut [0; 2000]).unwrap();
        }
    }
}

pub fn read_to_end(fd: c_int) -> i64 {
    let mut all = 0;
    loop {
        match read(fd, 4096).0 {
            0 => return all,
            n => all += check("read", n),
        }
    }
}

/// The parent waits for a reader and has not closed its write end.
fn unclosed_in_parent(wrong: bool) {
    let (r, w) = pipe(0);
    let reader = fork(|| {
        close(w);
        read_to_end(r);
    });
    say("culprit", pid());
    close(r);
    write(w, b"hello");
    if !wrong {
        close(w);
    }
    reap(reader);
}

/// The reader itself still has the write end it inherited.
fn unclosed_in_reader(wrong: bool) {
    let (r, w) = pipe(0);
    let reader = fork(|| {
        if !wrong {
            close(w);
        }
        read_to_end(r);
    });
    say("culprit", reader);
    close(r);
    write(w, b"hello");
    close(w);
    reap(reader);
}

/// A third process, which has nothing to do with the pipe, has inherited its write end.
fn unclosed_in_sibling(wrong: bool) {
    let (r, w) = pipe(0);
    let sibling = fork(|| {
        close(r);
        if !wrong {
            close(w);
        }
        sleep(1500);
    });
    say("culprit", sibling);
    let writer = fork(|| {
        close(r);
        write(w, b"hello");
    });
    let reader = fork(|| {
        close(w);
        read_to_end(r);
    });
    close(r);
    close(w);
    for child in [writer, reader, sibling] {
        reap(child);
    }
}

/// Children end, and their parent works on without a wait.
fn forgotten_wait(wrong: bool) {
    let children = [0, 1, 2].map(|_| fork(|| {}));
    say("culprit", pid());
    if !wrong {
        for child in children {
            reap(child);
        }
    }
    sleep(1400);
}

/// More than a pipe holds, and nobody who reads meanwhile.
fn write_before_read(wrong: bool) {
    let (r, w) = pipe(0);
    say("culprit", pid());
    if wrong {
        write(w, &vec![b'x'; 100_000]);
        read(r, 100_000);
        return;
    }
    let reader = fork(|| {
        close(w);
        read_to_end(r);
    });
    close(r);
    write(w, &vec![b'x'; 100_000]);
    close(w);
    reap(reader);
}

/// Waits for a child that cannot end before it has been read from.
fn wait_before_read(wrong: bool) {
    let (r, w) = pipe(0);
    let writer = fork(|| {
        close(r);
        write(w, &vec![b'x'; 100_000]);
    });
    say("culprit", writer);
    close(w);
    if wrong {
        reap(writer);
        read_to_end(r);
    } else {
        read_to_end(r);
        reap(writer);
    }
}

/// Each waits for the other to begin.
fn both_read_first(wrong: bool) {
    let (there_r, there_w) = pipe(0);
    let (back_r, back_w) = pipe(0);
    let other = fork(|| {
        close(there_w);
        close(back_r);
        read(there_r, 1);
        write(back_w, b"b");
    });
    say("culprit", other);
    close(there_r);
    close(back_w);
    if wrong {
        read(back_r, 1);
        write(there_w, b"a");
    } else {
        write(there_w, b"a");
        read(back_r, 1);
    }
    reap(other);
}

/// A read that a signal interrupts is taken for the end.
fn eintr(wrong: bool) {
    let (r, w) = pipe(0);
    let (ready_r, ready_w) = pipe(0);
    let reader = fork(|| {
        close(w);
        close(ready_r);
        handle(libc::SIGUSR1, 0);
        write(ready_w, b"r");
        loop {
            let got = read(r, 100).0;
            let again = !wrong && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR);
            match got {
                0 => break,
                ..0 if !again => {
                    // SAFETY: ends at once.
                    unsafe { libc::_exit(1) }
                }
                _ => {}
            }
        }
    });
    say("culprit", reader);
    close(r);
    close(ready_w);
    read(ready_r, 1);
    sleep(50);
    until_state(reader, 'S');
    kill(reader, libc::SIGUSR1);
    sleep(100);
    write(w, b"hello");
    close(w);
    reap(reader);
}

/// Nobody reads any more, and the writer does not look.
fn sigpipe_ignored(wrong: bool) {
    disposition(libc::SIGPIPE, libc::SIG_IGN);
    let (r, w) = pipe(0);
    let reader = fork(|| {
        close(w);
        read(r, 1);
    });
    say("culprit", pid());
    close(r);
    write(w, b"1");
    reap(reader);
    for _ in 0..5 {
        if write(w, b"more") < 0 && !wrong {
            break;
        }
    }
}

/// Five signals, sent faster than they are taken; with real-time signals none is lost.
fn lost_signals(wrong: bool) {
    let signal = if wrong { libc::SIGUSR1 } else { libc::SIGRTMIN() + 1 };
    let (ready_r, ready_w) = pipe(0);
    let (go_r, go_w) = pipe(0);
    let counter = fork(|| {
        close(ready_r);
        close(go_w);
        handle(signal, libc::SA_RESTART);
        mask(libc::SIG_BLOCK, signal);
        write(ready_w, b"r");
        read(go_r, 1);
        mask(libc::SIG_UNBLOCK, signal);
        say("handled", HANDLED.load(Ordering::SeqCst));
    });
    say("culprit", counter);
    close(ready_w);
    close(go_r);
    read(ready_r, 1);
    for _ in 0..5 {
        kill(counter, signal);
    }
    write(go_w, b"g");
    reap(counter);
}

/// A signal is blocked for a critical section that never ends.
fn blocked_signal(wrong: bool) {
    let (ready_r, ready_w) = pipe(0);
    let receiver = fork(|| {
        close(ready_r);
        handle(libc::SIGUSR1, 0);
        mask(libc::SIG_BLOCK, libc::SIGUSR1);
        write(ready_w, b"r");
        sleep(100);
        if !wrong {
            mask(libc::SIG_UNBLOCK, libc::SIGUSR1);
        }
        sleep(1400);
    });
    say("culprit", receiver);
    close(ready_w);
    read(ready_r, 1);
    kill(receiver, libc::SIGUSR1);
    reap(receiver);
}

/// A reader waits for somebody who is stopped.
fn stopped_holder(wrong: bool) {
    let (r, w) = pipe(0);
    let writer = fork(|| {
        close(r);
        write(w, b"one");
        kill(pid(), libc::SIGSTOP);
        write(w, b"two");
    });
    say("culprit", writer);
    let reader = fork(|| {
        close(w);
        read_to_end(r);
    });
    close(r);
    close(w);
    until_state(writer, 'T');
    sleep(if wrong { 1600 } else { 50 });
    kill(writer, libc::SIGCONT);
    reap(writer);
    reap(reader);
}
