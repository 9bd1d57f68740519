//! Waiting for several channels at once: poll(2) and its kin. Each case is a child that waits for two pipes, of which a second
//! child writes into one.

use std::{os::raw::c_int, ptr::null};

use super::sys::{check, close, fork, kill, name, pipe, read, reap, say, sleep, until_state, write};

/// Runs a workload; `false` if there is none of that name.
pub fn run(name: &str) -> bool {
    match name {
        "sets" => sets(),
        "peers" => peers(),
        _ => return false,
    }
    true
}

macro_rules! sys {
    ($nr:ident $(, $argument:expr)*) => {
        // SAFETY: a plain call; what its arguments point to lives until it returns.
        unsafe { libc::syscall(libc::$nr $(, $argument)*) }
    };
}

fn polled(fds: &[c_int]) -> Vec<libc::pollfd> {
    fds.iter().map(|&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect()
}

fn selected(fds: &[c_int]) -> ([u64; 16], c_int) {
    let mut set = [0; 16];
    for fd in fds {
        set[*fd as usize / 64] |= 1 << (*fd % 64);
    }
    (set, fds.iter().max().unwrap() + 1)
}

fn watch(fds: &[c_int]) -> c_int {
    let set = check("epoll_create1", sys!(SYS_epoll_create1, 0)) as c_int;
    for &fd in fds {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        check("epoll_ctl", sys!(SYS_epoll_ctl, set, libc::EPOLL_CTL_ADD, fd, &raw mut event));
    }
    set
}

type Call = fn(&[c_int]) -> i64;

const CALLS: &[(&str, Call)] = &[
    ("poll", |fds| {
        let mut set = polled(fds);
        sys!(SYS_poll, set.as_mut_ptr(), set.len(), -1)
    }),
    ("ppoll", |fds| {
        let mut set = polled(fds);
        sys!(SYS_ppoll, set.as_mut_ptr(), set.len(), null::<u8>(), null::<u8>(), 8)
    }),
    ("select", |fds| {
        let (mut set, count) = selected(fds);
        sys!(SYS_select, count, set.as_mut_ptr(), null::<u8>(), null::<u8>(), null::<u8>())
    }),
    ("pselect6", |fds| {
        let (mut set, count) = selected(fds);
        sys!(SYS_pselect6, count, set.as_mut_ptr(), null::<u8>(), null::<u8>(), null::<u8>(), null::<u8>())
    }),
    ("epoll_wait", |fds| {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        sys!(SYS_epoll_wait, watch(fds), &raw mut event, 1, -1)
    }),
    ("epoll_pwait", |fds| {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        sys!(SYS_epoll_pwait, watch(fds), &raw mut event, 1, -1, null::<u8>(), 8)
    }),
];

/// Each call on one pipe, on two, on 40, and on a pipe and a descriptor that is no channel's; interrupted once by a stop.
fn sets() {
    for (call_name, call) in CALLS {
        for (case, count) in [("one", 1), ("two", 2), ("many", 40), ("mixed", 1)] {
            let pipes: Vec<(c_int, c_int)> = (0..count).map(|_| pipe(0)).collect();
            let mut fds: Vec<c_int> = pipes.iter().map(|(r, _)| *r).collect();
            let names: Vec<String> = fds.iter().map(|fd| name(*fd)).collect();
            if case == "mixed" {
                fds.push(check("eventfd2", sys!(SYS_eventfd2, 0, 0)) as c_int);
            }
            let writer = fork(|| {
                for (r, _) in &pipes {
                    close(*r);
                }
                sleep(60_000);
            });
            let waiter = fork(|| {
                for (_, w) in &pipes {
                    close(*w);
                }
                // epoll_wait fails when its process is stopped.
                while call(&fds) < 0 {}
            });
            for (r, w) in &pipes[1..] {
                close(*r);
                close(*w);
            }
            close(pipes[0].0);
            until_state(waiter, 'S');
            kill(waiter, libc::SIGSTOP);
            until_state(waiter, 'T');
            kill(waiter, libc::SIGCONT);
            sleep(5);
            write(pipes[0].1, b"x");
            reap(waiter);
            kill(writer, libc::SIGKILL);
            reap(writer);
            close(pipes[0].1);
            if case == "mixed" {
                close(fds[1]);
            }
            let numbers: Vec<String> = fds.iter().map(ToString::to_string).collect();
            say(&format!("{call_name}/{case}"), format!("{waiter} {} {}", names.join(","), numbers.join(",")));
        }
    }
}

/// A reader and a writer that wait for each other's end, with nobody else; and the same with two at the other end.
fn peers() {
    for others in [1, 2] {
        let (r, w) = pipe(0);
        let (full_r, full_w) = pipe(0);
        let reader = fork(|| {
            close(w);
            close(full_w);
            // Until whoever made the pipes has closed them.
            sleep(30);
            read(r, 1);
            sleep(30);
            while read(full_r, 65536).0 > 0 {}
        });
        close(r);
        close(full_r);
        let writers: Vec<c_int> = (0..others)
            .map(|_| {
                fork(|| {
                    sleep(60);
                    write(w, b"x");
                    write(full_w, &vec![0; 100_000]);
                })
            })
            .collect();
        say(&format!("names-{others}"), format!("{} {}", name(w), name(full_w)));
        close(w);
        close(full_w);
        say(&format!("reader-{others}"), reader);
        say(&format!("writer-{others}"), writers[0]);
        for writer in writers {
            reap(writer);
        }
        reap(reader);
    }
}
