//! Mistakes that end in a deadlock, and each done right: mutexes, a connection, two queues.

use std::{
    os::{fd::IntoRawFd as _, raw::c_int},
    time::{Duration, Instant},
};

use super::{
    mistakes::end_at,
    sys::{check, close, fork, pid, read, reap, say, sleep, write},
};

/// Two threads that take two mutexes in different orders.
pub fn mutex_order(wrong: bool) {
    let [a, b] = [0, 1].map(|_| std::ptr::from_mut(Box::leak(Box::new(libc::PTHREAD_MUTEX_INITIALIZER))) as usize);
    say("culprit", pid());
    let both = |first: usize, second: usize| {
        std::thread::spawn(move || {
            // SAFETY: mutexes that live to the end.
            unsafe {
                libc::pthread_mutex_lock(first as *mut _);
                sleep(100);
                libc::pthread_mutex_lock(second as *mut _);
                libc::pthread_mutex_unlock(second as *mut _);
                libc::pthread_mutex_unlock(first as *mut _);
            }
        })
    };
    let one = both(a, b);
    let other = if wrong { both(b, a) } else { both(a, b) };
    one.join().unwrap();
    other.join().unwrap();
}

/// Each side of a connection waits for the other to begin.
pub fn sockets_read_first(wrong: bool) {
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let (one, other) = (one.into_raw_fd(), other.into_raw_fd());
    let child = fork(|| {
        close(one);
        read(other, 1);
        write(other, b"b");
    });
    say("culprit", child);
    close(other);
    if wrong {
        read(one, 1);
        write(one, b"a");
    } else {
        write(one, b"a");
        read(one, 1);
    }
    reap(child);
}

/// Each of two waits for a message of the other, in two queues that nobody else knows.
pub fn queues_receive_first(wrong: bool) {
    // SAFETY: plain calls; messages that live to their end.
    let make = || check("msgget", i64::from(unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) })) as c_int;
    let send = |queue| {
        let message = [1_i64, 0];
        // SAFETY: as above.
        check("msgsnd", i64::from(unsafe { libc::msgsnd(queue, message.as_ptr().cast(), 8, 0) }));
    };
    let receive = |queue| {
        let mut message = [0_i64; 2];
        // SAFETY: as above.
        unsafe { libc::msgrcv(queue, message.as_mut_ptr().cast(), 8, 0, 0) }
    };
    let (there, back) = (make(), make());
    let end = Instant::now() + Duration::from_secs(2);
    let first = fork(|| {
        end_at(end);
        receive(there);
        send(back);
    });
    let second = fork(|| {
        end_at(end);
        if wrong {
            receive(back);
            send(there);
        } else {
            send(there);
            receive(back);
        }
    });
    say("culprit", first);
    reap(first);
    reap(second);
    for queue in [there, back] {
        // SAFETY: as above.
        check("msgctl", i64::from(unsafe { libc::msgctl(queue, libc::IPC_RMID, std::ptr::null_mut()) }));
    }
}
