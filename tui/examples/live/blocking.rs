//! The calls whose verdicts are looked at.

use std::{
    ffi::{CStr, CString},
    mem::zeroed,
    os::raw::c_int,
    ptr::null,
};

use super::{
    signals::mask,
    subject::{
        IORING_ENTER_GETEVENTS, LARGE, Subject, again, drain, full, futex, listener, open_fifo, pair, reads, receive,
        receives, ring, socket, subject, sys, temporary, timed, waits, writes,
    },
    sys::{check, kill, pipe, read, sleep, write},
};

/// How to make a call.
pub type Make = fn() -> Subject;

/// Name, number, how to make it.
pub const CASES: &[(&str, i64, Make)] = &[
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
    ("fcntl-ofd", libc::SYS_fcntl, || {
        let ours = temporary();
        // SAFETY: all zero is a lock from the beginning to the end; of an open file the process id has to be 0.
        let mut lock: libc::flock = unsafe { zeroed() };
        lock.l_type = libc::F_WRLCK as i16;
        check("fcntl", sys!(SYS_fcntl, ours, libc::F_OFD_SETLK, &raw const lock));
        let theirs = again(ours);
        subject(
            move || sys!(SYS_fcntl, theirs, libc::F_OFD_SETLKW, &raw const lock),
            move |_| {
                let mut open = lock;
                open.l_type = libc::F_UNLCK as i16;
                sys!(SYS_fcntl, ours, libc::F_OFD_SETLK, &raw const open);
            },
        )
    }),
    ("mq_timedreceive", libc::SYS_mq_timedreceive, || {
        let name = CString::new(format!("/ipcscope-verdict-{}", super::sys::pid())).unwrap();
        // SAFETY: values on the stack.
        let queue = unsafe {
            let mut attributes: libc::mq_attr = zeroed();
            (attributes.mq_maxmsg, attributes.mq_msgsize) = (1, 8);
            let flags = libc::O_RDWR | libc::O_CREAT;
            let queue = check("mq_open", libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes).into());
            libc::mq_unlink(name.as_ptr());
            queue as c_int
        };
        subject(
            move || {
                let mut message = [0_u8; 8];
                sys!(SYS_mq_timedreceive, queue, message.as_mut_ptr(), 8, null::<u8>(), null::<u8>())
            },
            move |_| {
                sys!(SYS_mq_timedsend, queue, c"x".as_ptr(), 1, 0, null::<u8>());
            },
        )
    }),
    ("read-inotify", libc::SYS_read, || {
        let path = CString::new(format!("/tmp/ipcscope-verdict-{}", super::sys::pid())).unwrap();
        let modes = libc::O_CREAT | libc::O_WRONLY;
        let file = check("openat", sys!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), modes, 0o600)) as c_int;
        let fd = check("inotify_init1", sys!(SYS_inotify_init1, 0)) as c_int;
        check("inotify_add_watch", sys!(SYS_inotify_add_watch, fd, path.as_ptr(), libc::IN_MODIFY));
        sys!(SYS_unlinkat, libc::AT_FDCWD, path.as_ptr(), 0);
        subject(
            move || read(fd, 512).0,
            move |_| {
                write(file, b"x");
            },
        )
    }),
    ("sendfile", libc::SYS_sendfile, || {
        let file = temporary();
        write(file, &[0; 4096]);
        let (r, w) = full();
        subject(
            move || {
                let mut from = 0_i64;
                sys!(SYS_sendfile, w, file, &raw mut from, 4096)
            },
            move |_| drain(r),
        )
    }),
    ("io_uring_enter", libc::SYS_io_uring_enter, || {
        subject(
            || sys!(SYS_io_uring_enter, ring(), 0, 1, IORING_ENTER_GETEVENTS, null::<u8>(), 0),
            |child| kill(child, libc::SIGKILL),
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
