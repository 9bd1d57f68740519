//! Calls that block, each interrupted in four ways, and what the program itself saw of it.
//!
//! A line a case: `CALL/MODE PID SYSCALL RESULT`. RESULT is `EINTR`, `partial`, or `done`: the call went on until it was let go.

use std::{
    ffi::{CStr, CString},
    io::Error,
    mem::zeroed,
    os::raw::c_int,
    ptr::null,
    time::{Duration, Instant},
};

use super::{
    signals::{disposition, handle, mask},
    sys::{check, close, fork, kill, pipe, read, reap, say, sleep, state, until_state, write},
};

/// How each call is interrupted.
const MODES: [&str; 4] = ["ignored", "handler", "restart", "stop"];
/// What a write that cannot be done at once asks for.
const LARGE: usize = 200_000;

/// A call in the making: how a child makes it, and how others let it go on.
struct Subject {
    call: Box<dyn Fn() -> i64>,
    release: Box<dyn Fn(c_int)>,
}

fn subject(call: impl Fn() -> i64 + 'static, release: impl Fn(c_int) + 'static) -> Subject {
    Subject { call: Box::new(call), release: Box::new(release) }
}

/// One that ends by itself.
fn timed(call: impl Fn() -> i64 + 'static) -> Subject {
    subject(call, |_| {})
}

macro_rules! sys {
    ($nr:ident $(, $argument:expr)*) => {
        // SAFETY: a plain call; what its arguments point to lives until it returns.
        unsafe { libc::syscall(libc::$nr $(, $argument)*) }
    };
}

type Make = fn() -> Subject;

/// Name, number, how to make it.
const CASES: &[(&str, i64, Make)] = &[
    ("read", libc::SYS_read, || reads(|fd| read(fd, 9).0)),
    ("readv", libc::SYS_readv, || {
        reads(|fd| {
            let mut byte = 0_u8;
            let part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
            sys!(SYS_readv, fd, &raw const part, 1)
        })
    }),
    ("poll", libc::SYS_poll, || {
        reads(|fd| {
            let mut set = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            sys!(SYS_poll, &raw mut set, 1, -1)
        })
    }),
    ("ppoll", libc::SYS_ppoll, || {
        reads(|fd| {
            let mut set = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            sys!(SYS_ppoll, &raw mut set, 1, null::<u8>(), null::<u8>(), 8)
        })
    }),
    ("select", libc::SYS_select, || {
        reads(|fd| {
            let mut set = 1_u64 << fd;
            sys!(SYS_select, fd + 1, &raw mut set, null::<u8>(), null::<u8>(), null::<u8>())
        })
    }),
    ("pselect6", libc::SYS_pselect6, || {
        reads(|fd| {
            let mut set = 1_u64 << fd;
            sys!(SYS_pselect6, fd + 1, &raw mut set, null::<u8>(), null::<u8>(), null::<u8>(), null::<u8>())
        })
    }),
    ("epoll_wait", libc::SYS_epoll_wait, || {
        reads(|fd| {
            let set = check("epoll_create1", sys!(SYS_epoll_create1, 0));
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
            check("epoll_ctl", sys!(SYS_epoll_ctl, set, libc::EPOLL_CTL_ADD, fd, &raw mut event));
            sys!(SYS_epoll_wait, set, &raw mut event, 1, -1)
        })
    }),
    ("splice", libc::SYS_splice, || {
        reads(|fd| {
            let (_, to) = pipe(0);
            sys!(SYS_splice, fd, null::<u8>(), to, null::<u8>(), 9, 0)
        })
    }),
    ("tee", libc::SYS_tee, || {
        reads(|fd| {
            let (_, to) = pipe(0);
            sys!(SYS_tee, fd, to, 9, 0)
        })
    }),
    ("write", libc::SYS_write, || writes(1)),
    ("write-large", libc::SYS_write, || writes(LARGE)),
    ("open", libc::SYS_openat, open_fifo),
    ("nanosleep", libc::SYS_nanosleep, || timed(|| sys!(SYS_nanosleep, &raw const SHORT, null::<u8>()))),
    ("clock_nanosleep", libc::SYS_clock_nanosleep, || {
        timed(|| {
            // SAFETY: all zero is a time.
            let mut until: libc::timespec = unsafe { zeroed() };
            check("clock_gettime", sys!(SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut until));
            until.tv_sec += 1;
            sys!(SYS_clock_nanosleep, libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &raw const until, null::<u8>())
        })
    }),
    ("futex", libc::SYS_futex, || futex(null())),
    ("futex-timeout", libc::SYS_futex, || futex(&raw const SHORT)),
    ("wait4", libc::SYS_wait4, || waits(|child| sys!(SYS_wait4, child, null::<u8>(), 0, null::<u8>()))),
    ("waitid", libc::SYS_waitid, || {
        waits(|child| sys!(SYS_waitid, libc::P_PID, child, null::<u8>(), libc::WEXITED, null::<u8>()))
    }),
    ("accept", libc::SYS_accept, || {
        let (listener, address, length) = listener(8);
        subject(
            move || sys!(SYS_accept, listener, null::<u8>(), null::<u8>()),
            move |_| {
                let socket = socket(0);
                sys!(SYS_connect, socket, &raw const address, length);
            },
        )
    }),
    ("connect", libc::SYS_connect, || {
        let (listener, address, length) = listener(0);
        // One may wait to be accepted.
        check("connect", sys!(SYS_connect, socket(0), &raw const address, length));
        subject(
            move || sys!(SYS_connect, socket(0), &raw const address, length),
            move |_| {
                sys!(SYS_accept, listener, null::<u8>(), null::<u8>());
            },
        )
    }),
    ("recvfrom", libc::SYS_recvfrom, || receives(receive)),
    ("recvfrom-timeout", libc::SYS_recvfrom, || {
        let (ours, _theirs) = pair();
        let limit = libc::timeval { tv_sec: 1, tv_usec: 0 };
        let option = (libc::SOL_SOCKET, libc::SO_RCVTIMEO);
        check("setsockopt", sys!(SYS_setsockopt, ours, option.0, option.1, &raw const limit, size_of_val(&limit)));
        timed(move || receive(ours))
    }),
    ("recvmsg", libc::SYS_recvmsg, || {
        receives(|fd| {
            let mut byte = 0_u8;
            let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
            // SAFETY: all zero is an empty message.
            let mut message: libc::msghdr = unsafe { zeroed() };
            (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
            sys!(SYS_recvmsg, fd, &raw mut message, 0)
        })
    }),
    ("sendto", libc::SYS_sendto, || {
        let (ours, theirs) = pair();
        let bytes = [0_u8; 4096];
        let send = move |flags: c_int| sys!(SYS_sendto, ours, bytes.as_ptr(), bytes.len(), flags, null::<u8>(), 0);
        while send(libc::MSG_DONTWAIT) > 0 {}
        subject(move || send(0), move |_| drain(theirs))
    }),
    ("msgrcv", libc::SYS_msgrcv, || {
        let queue = check("msgget", sys!(SYS_msgget, libc::IPC_PRIVATE, 0o600));
        subject(
            move || {
                let mut message = [0_i64; 2];
                sys!(SYS_msgrcv, queue, message.as_mut_ptr(), 8, 0, 0)
            },
            move |_| {
                let message = [1_i64, 0];
                sys!(SYS_msgsnd, queue, message.as_ptr(), 8, libc::IPC_NOWAIT);
                sleep(20);
                sys!(SYS_msgctl, queue, libc::IPC_RMID, null::<u8>());
            },
        )
    }),
    ("semop", libc::SYS_semop, || {
        let set = check("semget", sys!(SYS_semget, libc::IPC_PRIVATE, 1, 0o600));
        let change = |by| libc::sembuf { sem_num: 0, sem_op: by, sem_flg: 0 };
        subject(
            move || {
                let take = change(-1);
                sys!(SYS_semop, set, &raw const take, 1)
            },
            move |_| {
                let give = change(1);
                sys!(SYS_semop, set, &raw const give, 1);
                sleep(20);
                sys!(SYS_semctl, set, 0, libc::IPC_RMID, 0);
            },
        )
    }),
    ("flock", libc::SYS_flock, || {
        let ours = temporary();
        check("flock", sys!(SYS_flock, ours, libc::LOCK_EX));
        subject(
            move || {
                let again = again(ours);
                sys!(SYS_flock, again, libc::LOCK_EX)
            },
            move |_| {
                sys!(SYS_flock, ours, libc::LOCK_UN);
            },
        )
    }),
    ("fcntl", libc::SYS_fcntl, || {
        let ours = temporary();
        // SAFETY: all zero is a lock from the beginning to the end.
        let mut lock: libc::flock = unsafe { zeroed() };
        lock.l_type = libc::F_WRLCK as i16;
        check("fcntl", sys!(SYS_fcntl, ours, libc::F_SETLK, &raw const lock));
        subject(
            move || sys!(SYS_fcntl, ours, libc::F_SETLKW, &raw const lock),
            move |_| {
                let mut open = lock;
                open.l_type = libc::F_UNLCK as i16;
                sys!(SYS_fcntl, ours, libc::F_SETLK, &raw const open);
            },
        )
    }),
    ("pause", libc::SYS_pause, || subject(|| sys!(SYS_pause), |child| kill(child, libc::SIGKILL))),
    ("rt_sigsuspend", libc::SYS_rt_sigsuspend, || {
        subject(
            || {
                let nothing = 0_u64;
                sys!(SYS_rt_sigsuspend, &raw const nothing, 8)
            },
            |child| kill(child, libc::SIGKILL),
        )
    }),
    ("rt_sigtimedwait", libc::SYS_rt_sigtimedwait, || {
        timed(|| {
            let wanted = 1_u64 << (libc::SIGUSR2 - 1);
            mask(libc::SIG_BLOCK, libc::SIGUSR2);
            sys!(SYS_rt_sigtimedwait, &raw const wanted, null::<u8>(), &raw const SHORT, 8)
        })
    }),
    ("read-eventfd", libc::SYS_read, || {
        let fd = check("eventfd2", sys!(SYS_eventfd2, 0, 0)) as c_int;
        subject(
            move || read(fd, 8).0,
            move |_| {
                write(fd, &1_u64.to_ne_bytes());
            },
        )
    }),
    ("read-timerfd", libc::SYS_read, || {
        timed(|| {
            let fd = check("timerfd_create", sys!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, 0)) as c_int;
            let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let timer = libc::itimerspec { it_interval: none, it_value: SHORT };
            check("timerfd_settime", sys!(SYS_timerfd_settime, fd, 0, &raw const timer, null::<u8>()));
            read(fd, 8).0
        })
    }),
    ("read-signalfd", libc::SYS_read, || {
        subject(
            || {
                let wanted = 1_u64 << (libc::SIGUSR2 - 1);
                mask(libc::SIG_BLOCK, libc::SIGUSR2);
                let fd = check("signalfd4", sys!(SYS_signalfd4, -1, &raw const wanted, 8, 0)) as c_int;
                read(fd, 128).0
            },
            |child| kill(child, libc::SIGUSR2),
        )
    }),
    ("read-tty", libc::SYS_read, || {
        // SAFETY: plain calls.
        let master = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) };
        // SAFETY: as above; the name is copied at once.
        let name = unsafe {
            libc::grantpt(master);
            libc::unlockpt(master);
            CStr::from_ptr(libc::ptsname(master)).to_owned()
        };
        let slave =
            check("open", sys!(SYS_openat, libc::AT_FDCWD, name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY)) as c_int;
        subject(
            move || read(slave, 9).0,
            move |_| {
                write(master, b"x\n");
            },
        )
    }),
];

static SHORT: libc::timespec = libc::timespec { tv_sec: 1, tv_nsec: 0 };

/// Waits for bytes in a pipe.
fn reads(call: fn(c_int) -> i64) -> Subject {
    let (r, w) = pipe(0);
    subject(
        move || call(r),
        move |_| {
            write(w, b"x");
        },
    )
}

/// Waits for room in a pipe: a small write in a full one, or a large one in an empty one.
fn writes(count: usize) -> Subject {
    let (r, w) = pipe(0);
    if count < LARGE {
        for _ in 0..16 {
            write(w, &[0; 4096]);
        }
    }
    subject(move || write(w, &vec![0; count]), move |_| drain(r))
}

/// Takes all there is, and all that comes while somebody is at it.
fn drain(fd: c_int) {
    check("fcntl", sys!(SYS_fcntl, fd, libc::F_SETFL, libc::O_NONBLOCK));
    for _ in 0..20 {
        while read(fd, 65536).0 > 0 {}
        sleep(2);
    }
}

fn open_fifo() -> Subject {
    let path = CString::new(format!("/tmp/ipcscope-verdict-{}", super::sys::pid())).unwrap();
    check("mkfifo", sys!(SYS_mknodat, libc::AT_FDCWD, path.as_ptr(), libc::S_IFIFO | 0o600, 0));
    let other = path.clone();
    subject(
        move || sys!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDONLY),
        move |_| {
            sys!(SYS_openat, libc::AT_FDCWD, other.as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK);
            sleep(20);
            sys!(SYS_unlinkat, libc::AT_FDCWD, other.as_ptr(), 0);
        },
    )
}

fn futex(timeout: *const libc::timespec) -> Subject {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let word = check("mmap", sys!(SYS_mmap, null::<u8>(), 4096, protection, flags, -1, 0_i64));
    subject(
        move || sys!(SYS_futex, word, libc::FUTEX_WAIT, 0, timeout, null::<u8>(), 0),
        move |_| {
            sys!(SYS_futex, word, libc::FUTEX_WAKE, 1, null::<u8>(), null::<u8>(), 0);
        },
    )
}

/// Waits for a child of its own, which waits for a byte.
fn waits(call: fn(c_int) -> i64) -> Subject {
    let (r, w) = pipe(0);
    subject(
        move || {
            let child = fork(|| {
                read(r, 1);
            });
            call(child)
        },
        move |_| {
            write(w, b"x");
        },
    )
}

fn socket(flags: c_int) -> c_int {
    check("socket", sys!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM | flags, 0)) as c_int
}

/// A listening socket that the kernel gave a name.
fn listener(backlog: c_int) -> (c_int, libc::sockaddr_un, u32) {
    let listener = socket(0);
    // SAFETY: all zero is an address without a name.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    check("bind", sys!(SYS_bind, listener, &raw const address, 2));
    check("listen", sys!(SYS_listen, listener, backlog));
    let mut length = size_of_val(&address) as u32;
    check("getsockname", sys!(SYS_getsockname, listener, &raw mut address, &raw mut length));
    (listener, address, length)
}

fn pair() -> (c_int, c_int) {
    let mut ends = [0; 2];
    check("socketpair", sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()));
    (ends[0], ends[1])
}

fn receive(fd: c_int) -> i64 {
    let mut byte = 0_u8;
    sys!(SYS_recvfrom, fd, &raw mut byte, 1, 0, null::<u8>(), null::<u8>())
}

fn receives(call: fn(c_int) -> i64) -> Subject {
    let (ours, theirs) = pair();
    subject(
        move || call(ours),
        move |_| {
            write(theirs, b"x");
        },
    )
}

/// A file without a name.
fn temporary() -> c_int {
    check("memfd_create", sys!(SYS_memfd_create, c"verdict".as_ptr(), 0)) as c_int
}

/// The same file, opened anew.
fn again(fd: c_int) -> c_int {
    let path = CString::new(format!("/proc/self/fd/{fd}")).unwrap();
    check("open", sys!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDWR)) as c_int
}

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
