//! eventfd, timerfd, signalfd, pidfd, pseudoterminals, mapped memory, futexes.

use std::{
    os::raw::{c_int, c_void},
    ptr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use super::sys::{check, close, fork, pid, read, reap, say, sleep, until_state, write};

/// Runs a workload; `false` if there is none of that name.
pub fn run(words: &[&str]) -> bool {
    match words {
        ["counter"] => counter(),
        ["counter-load", writers, readers, rounds] => {
            load(writers.parse().unwrap(), readers.parse().unwrap(), rounds.parse().unwrap());
        }
        ["events"] => events(),
        ["mappings"] => mappings(),
        ["locks"] => locks(),
        ["lock-cycle"] => lock_cycle(),
        ["terminal"] => terminal(),
        _ => return false,
    }
    true
}

fn eventfd(value: u32, flags: c_int) -> c_int {
    // SAFETY: a plain call.
    check("eventfd", i64::from(unsafe { libc::eventfd(value, flags) })) as c_int
}

/// The trace's name of what a descriptor counts.
fn name(fd: c_int) -> String {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let id = info.lines().find_map(|line| line.strip_prefix("eventfd-id:")).unwrap();
    format!("eventfd:{}", id.trim())
}

fn add(fd: c_int, value: u64) {
    check("write", write(fd, &value.to_ne_bytes()));
}

fn take(fd: c_int) -> u64 {
    let (got, bytes) = read(fd, 8);
    check("read", got);
    u64::from_ne_bytes(bytes.try_into().unwrap())
}

/// Two writes that one read takes, one that a sleeping reader gets, and a semaphore.
fn counter() {
    let fd = eventfd(0, 0);
    say("channel", name(fd));
    let writer = fork(|| {
        add(fd, 3);
        add(fd, 4);
    });
    assert_eq!(reap(writer), 0);
    assert_eq!(take(fd), 7);
    let reader = fork(|| {
        assert_eq!(take(fd), 5);
    });
    say("reader", reader);
    until_state(reader, 'S');
    add(fd, 5);
    assert_eq!(reap(reader), 0);
    let semaphore = eventfd(2, libc::EFD_SEMAPHORE | libc::EFD_NONBLOCK);
    say("semaphore", name(semaphore));
    assert_eq!((take(semaphore), take(semaphore)), (1, 1));
    assert_eq!(read(semaphore, 8).0, -1);
    add(semaphore, 2);
    assert_eq!((take(semaphore), take(semaphore)), (1, 1));
}

/// Every write adds another number, so that a sum tells what it is of. Readers say what they got in all.
fn load(writers: u64, readers: u64, rounds: u64) {
    let fd = eventfd(0, 0);
    say("channel", name(fd));
    let mut children = Vec::new();
    for writer in 0..writers {
        children.push(fork(|| {
            for round in 0..rounds {
                add(fd, 1 + (writer * rounds + round) * 7919 % 1_000_003);
            }
        }));
    }
    let all: u64 = (0..writers * rounds).map(|number| 1 + number * 7919 % 1_000_003).sum();
    say("sum", all);
    // Who reads shares what has been read so far; the last one ends.
    let shared = shared(4096);
    // SAFETY: a page of our own, all zero, that holds the sum.
    let sum = unsafe { &*shared.cast::<std::sync::atomic::AtomicU64>() };
    for _ in 0..readers {
        children.push(fork(|| {
            while sum.load(Ordering::SeqCst) < all {
                let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
                // SAFETY: one pollfd.
                unsafe { libc::poll(&raw mut poll, 1, 10) };
                if poll.revents != 0 {
                    // Another reader may have been faster, and then nothing more may come.
                    let mut value = 0_u64;
                    // SAFETY: room for a number.
                    let got = unsafe { libc::read(fd, (&raw mut value).cast(), 8) };
                    if got == 8 {
                        sum.fetch_add(value, Ordering::SeqCst);
                        if sum.load(Ordering::SeqCst) >= all {
                            // Those who wait in vain may go: 1 is nobody's number but this one's.
                            for _ in 1..readers {
                                add(fd, 1);
                            }
                        }
                    }
                }
            }
        }));
    }
    assert!(children.into_iter().all(|child| reap(child) == 0));
}

/// A timer that is read late, a process that is waited for by its descriptor, a signal that is read.
fn events() {
    // SAFETY: plain calls; the structures live until they return.
    unsafe {
        let timer = check("timerfd", i64::from(libc::timerfd_create(libc::CLOCK_MONOTONIC, 0))) as c_int;
        let ms = |ms: i64| libc::timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
        let times = libc::itimerspec { it_interval: ms(10), it_value: ms(20) };
        check("timerfd_settime", i64::from(libc::timerfd_settime(timer, 0, &raw const times, ptr::null_mut())));
        say("first", take(timer));
        sleep(45);
        say("second", take(timer));
        let child = fork(|| sleep(100));
        say("child", child);
        let process = check("pidfd_open", libc::syscall(libc::SYS_pidfd_open, child, 0)) as c_int;
        let mut poll = libc::pollfd { fd: process, events: libc::POLLIN, revents: 0 };
        check("poll", i64::from(libc::poll(&raw mut poll, 1, -1)));
        assert_eq!(reap(child), 0);
        close(process);
        for (name, by) in [("cloned", libc::SYS_clone), ("cloned3", libc::SYS_clone3)] {
            let (child, process) = clone_with_descriptor(by);
            say(name, child);
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let waited = libc::waitid(libc::P_PIDFD, process as libc::id_t, &raw mut info, libc::WEXITED);
            check("waitid", waited.into());
            close(process);
        }
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGUSR2);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
        let signals = check("signalfd", i64::from(libc::signalfd(-1, &raw const set, 0))) as c_int;
        libc::kill(pid(), libc::SIGUSR2);
        let (got, _) = read(signals, 128);
        assert_eq!(got, 128);
    }
}

/// A child that ends at once, and the descriptor of it that came with it (`CLONE_PIDFD`).
fn clone_with_descriptor(by: libc::c_long) -> (i64, c_int) {
    let mut process: c_int = -1;
    let flags = libc::CLONE_PIDFD as u64;
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls.
    let arguments = [flags, &raw mut process as u64, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
    // SAFETY: without CLONE_VM it is like fork(2); the child does nothing but end.
    let child = unsafe {
        let child = if by == libc::SYS_clone3 {
            libc::syscall(by, arguments.as_ptr(), size_of_val(&arguments))
        } else {
            libc::syscall(by, flags | libc::SIGCHLD as u64, 0, &raw mut process, 0, 0)
        };
        if child == 0 {
            libc::_exit(0);
        }
        child
    };
    (check("clone", child), process)
}

/// Memory of its own that children share.
fn shared(len: usize) -> *mut c_void {
    // SAFETY: a new mapping.
    let place = unsafe {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    };
    assert!(place != libc::MAP_FAILED);
    place
}

/// shm_open(3), memfd_create(2) and an anonymous mapping; one of them unmapped in parts.
fn mappings() {
    let path = format!("/ipcscope-{}", pid());
    let file = std::ffi::CString::new(path.clone()).unwrap();
    say("name", &path);
    // SAFETY: plain calls on memory of our own.
    unsafe {
        let fd = check("shm_open", i64::from(libc::shm_open(file.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o640)));
        let fd = fd as c_int;
        check("ftruncate", i64::from(libc::ftruncate(fd, 3 * 4096)));
        let place = libc::mmap(ptr::null_mut(), 3 * 4096, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
        say("place", format!("{:#x}", place as usize));
        let child = fork(|| {
            libc::munmap(place.add(4096), 4096);
        });
        say("child", child);
        assert_eq!(reap(child), 0);
        check("munmap", i64::from(libc::munmap(place, 3 * 4096)));
        close(fd);
        check("shm_unlink", i64::from(libc::shm_unlink(file.as_ptr())));
        let memory = check("memfd_create", i64::from(libc::memfd_create(c"mine".as_ptr(), 0))) as c_int;
        let metadata = std::fs::metadata(format!("/proc/self/fd/{memory}")).unwrap();
        say("memfd", format!("memfd:[{}]", std::os::unix::fs::MetadataExt::ino(&metadata)));
        check("ftruncate", i64::from(libc::ftruncate(memory, 4096)));
        let mapped = libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, memory, 0);
        close(memory);
        libc::munmap(mapped, 4096);
        let anonymous = shared(8192);
        say("anonymous", format!("shm:{}:{:#x}", pid(), anonymous as usize));
        assert_eq!(reap(fork(|| {})), 0);
    }
}

/// Threads that wait for a lock, and processes that wait on a word in shared memory.
fn locks() {
    let word = shared(4096);
    // SAFETY: a page of our own.
    let flag = unsafe { &*word.cast::<AtomicU32>() };
    let waiter = fork(|| {
        while flag.load(Ordering::SeqCst) == 0 {
            // SAFETY: a word of ours.
            unsafe { libc::syscall(libc::SYS_futex, flag.as_ptr(), libc::FUTEX_WAIT, 0, ptr::null::<c_void>()) };
        }
    });
    until_state(waiter, 'S');
    let giver = fork(|| {
        flag.store(1, Ordering::SeqCst);
        // SAFETY: as above.
        let woken = unsafe { libc::syscall(libc::SYS_futex, flag.as_ptr(), libc::FUTEX_WAKE, 1) };
        assert_eq!(woken, 1);
    });
    say("waiter", waiter);
    say("giver", giver);
    assert!(reap(giver) == 0 && reap(waiter) == 0);

    // SAFETY: a mutex of glibc's that lives to the end.
    let mutex: &'static mut libc::pthread_mutex_t = Box::leak(Box::new(libc::PTHREAD_MUTEX_INITIALIZER));
    let mutex = ptr::from_mut(mutex) as usize;
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    // SAFETY: as above.
    unsafe { libc::pthread_mutex_lock(mutex as *mut _) };
    let (tids, ready) = std::sync::mpsc::channel();
    let other = thread::spawn({
        let gate = Arc::clone(&gate);
        move || {
            // SAFETY: plain calls.
            unsafe {
                tids.send(libc::gettid()).unwrap();
                libc::pthread_mutex_lock(mutex as *mut _);
                libc::pthread_mutex_unlock(mutex as *mut _);
            }
            drop(gate);
        }
    });
    let tid = ready.recv().unwrap();
    say("locker", tid);
    until_state(tid, 'S');
    // SAFETY: locked above.
    unsafe { libc::pthread_mutex_unlock(mutex as *mut _) };
    other.join().unwrap();
}

/// Two threads that take two locks in opposite order; ended by whoever started it.
fn lock_cycle() {
    let locks: Vec<usize> = (0..2)
        .map(|_| ptr::from_mut::<libc::pthread_mutex_t>(Box::leak(Box::new(libc::PTHREAD_MUTEX_INITIALIZER))) as usize)
        .collect();
    let threads: Vec<_> = [[locks[0], locks[1]], [locks[1], locks[0]]]
        .map(|[first, second]| {
            thread::spawn(move || {
                // SAFETY: mutexes that live to the end.
                unsafe {
                    libc::pthread_mutex_lock(first as *mut _);
                    sleep(50);
                    libc::pthread_mutex_lock(second as *mut _);
                }
            })
        })
        .into();
    sleep(1500);
    drop(threads);
    std::process::exit(0);
}

/// A pseudoterminal with somebody at either side.
fn terminal() {
    let (mut master, mut slave) = (0, 0);
    // SAFETY: room for two descriptors.
    check("openpty", unsafe {
        i64::from(libc::openpty(&raw mut master, &raw mut slave, ptr::null_mut(), ptr::null(), ptr::null()))
    });
    let mut number: c_int = 0;
    // SAFETY: room for a number.
    check("ioctl", i64::from(unsafe { libc::ioctl(master, libc::TIOCGPTN, &raw mut number) }));
    say("channel", format!("pty:{number}"));
    let child = fork(|| {
        let (got, bytes) = read(slave, 100);
        assert_eq!((got, bytes.as_slice()), (4, &b"joe\n"[..]));
        check("write", write(slave, b"hello joe\n"));
    });
    say("child", child);
    until_state(child, 'S');
    check("write", write(master, b"joe\n"));
    assert_eq!(reap(child), 0);
    close(slave);
    let mut all = Vec::new();
    loop {
        let (got, bytes) = read(master, 100);
        if got <= 0 {
            break;
        }
        all.extend(bytes);
    }
    // With the echo of what was typed.
    assert_eq!(all, b"joe\r\nhello joe\r\n");
}
