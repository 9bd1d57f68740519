//! POSIX message queues: programs that number their messages, and one of each thing a queue does. Whoever starts them
//! gives the name, and unlinks what is left.

use std::{ffi::CString, io::Error, os::raw::c_int, ptr};

use super::{
    signals::handle,
    sys::{check, close, dup, fork, kill, outcome, reap, say, sleep, until_state},
};

/// Longer than any message here.
const ROOM: usize = 4096;

pub fn run(words: &[&str]) -> bool {
    match words {
        ["mqueue-load", name, senders, receivers, messages] => {
            load(name, senders.parse().unwrap(), receivers.parse().unwrap(), messages.parse().unwrap());
        }
        ["mqueues", name] => mqueues(name),
        ["mqueue-again", name] => again(name),
        ["mqueue-signals", name] => signals(name),
        ["mqueue-attach", name] => attach(name),
        ["mqueue-races", name, rounds] => races(name, rounds.parse().unwrap()),
        _ => return false,
    }
    true
}

fn c_string(name: &str) -> CString {
    CString::new(name).unwrap()
}

/// mq_open(3) of a queue for so many messages of so many bytes.
fn create(name: &str, flags: c_int, messages: i64, size: i64) -> c_int {
    // SAFETY: all zero is valid.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    (attributes.mq_maxmsg, attributes.mq_msgsize) = (messages, size);
    // SAFETY: values that live until it returns.
    let queue = unsafe { libc::mq_open(c_string(name).as_ptr(), flags | libc::O_CREAT, 0o640, &raw mut attributes) };
    check("mq_open", queue.into()) as c_int
}

/// mq_open(3) of one that is there; -1: it is not.
fn open(name: &str, flags: c_int) -> c_int {
    // SAFETY: a text that lives until it returns.
    unsafe { libc::mq_open(c_string(name).as_ptr(), flags) }
}

fn unlink(name: &str) -> c_int {
    // SAFETY: as above.
    unsafe { libc::mq_unlink(c_string(name).as_ptr()) }
}

fn send(queue: c_int, priority: u32, text: &[u8]) -> i64 {
    // SAFETY: a slice and its length.
    unsafe { libc::mq_send(queue, text.as_ptr().cast(), text.len(), priority).into() }
}

/// mq_receive(3): the result, the priority and the text.
fn receive(queue: c_int, room: usize) -> (i64, u32, Vec<u8>) {
    let (mut text, mut priority) = (vec![0_u8; ROOM], 0);
    // SAFETY: room for a message and a number.
    let got = unsafe { libc::mq_receive(queue, text.as_mut_ptr().cast(), room.min(ROOM), &raw mut priority) };
    text.truncate(usize::try_from(got).unwrap_or(0));
    (got as i64, priority, text)
}

/// A moment so many ms from now.
fn deadline(ms: i64) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for a time.
    check("clock_gettime", unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time) }.into());
    time.tv_nsec += ms * 1_000_000;
    time.tv_sec += time.tv_nsec / 1_000_000_000;
    time.tv_nsec %= 1_000_000_000;
    time
}

fn fails_with(error: c_int, result: i64) {
    assert_eq!((result, Error::last_os_error().raw_os_error()), (-1, Some(error)));
}

/// Every message says who sent it, and its number. The queue has no name any more when it begins.
fn load(name: &str, senders: u32, receivers: u32, messages: u32) {
    let queue = create(name, libc::O_RDWR, 10, ROOM as i64);
    check("mq_unlink", unlink(name).into());
    say("channel", format!("posix-mq:{name}"));
    let mut getting = Vec::new();
    for number in 0..receivers {
        getting.push(fork(|| {
            let (mut count, mut bytes) = (0, 0);
            loop {
                let (got, _, text) = receive(queue, ROOM);
                check("mq_receive", got);
                if text == b"stop" {
                    break;
                }
                count += 1;
                bytes += got;
            }
            say(&format!("got-{number}"), format!("{count} {bytes}"));
        }));
    }
    let sending: Vec<c_int> = (0..senders)
        .map(|number| {
            let child = fork(|| {
                for message in 0..messages {
                    let mut text = format!("{number}:{message}:").into_bytes();
                    // Some need more than a page with what the kernel puts in front.
                    let length = [3, 40, 300, 2000, 4050][message as usize % 5];
                    text.resize(text.len() + length * usize::from(message % 32 > 3), b'.');
                    check("mq_send", send(queue, 1 + message % 7, &text[..text.len().min(ROOM)]));
                }
            });
            say(&format!("sender-{number}"), child);
            child
        })
        .collect();
    assert!(sending.into_iter().all(|pid| reap(pid) == 0));
    for _ in 0..receivers {
        check("mq_send", send(queue, 0, b"stop"));
    }
    assert!(getting.into_iter().all(|pid| reap(pid) == 0));
}

/// Priorities, limits and failures, one after the other.
fn mqueues(name: &str) {
    // SAFETY: a plain call: the permissions are as asked for.
    unsafe { libc::umask(0) };
    let queue = create(name, libc::O_RDWR, 4, 16);
    say("channel", format!("posix-mq:{name}"));
    say("queue", queue);
    fails_with(libc::EEXIST, refused_creation(name));
    fails_with(libc::ENOENT, open(&format!("{name}-none"), libc::O_RDONLY).into());
    let (reading, nonblocking) = (open(name, libc::O_RDONLY), open(name, libc::O_RDWR | libc::O_NONBLOCK));
    check("mq_open", reading.min(nonblocking).into());
    for (priority, text) in [(1, "low"), (9, "high"), (5, ""), (9, "high again")] {
        check("mq_send", send(queue, priority, text.as_bytes()));
    }
    fails_with(libc::EBADF, send(reading, 1, b"x"));
    fails_with(libc::EMSGSIZE, send(queue, 1, &[b'x'; 17]));
    fails_with(libc::EMSGSIZE, receive(queue, 15).0);
    fails_with(libc::EAGAIN, send(nonblocking, 1, b"x"));
    let soon = deadline(20);
    // SAFETY: a byte and a time.
    fails_with(libc::ETIMEDOUT, unsafe { libc::mq_timedsend(queue, c"x".as_ptr(), 1, 1, &raw const soon) }.into());
    for _ in 0..4 {
        let (got, priority, text) = receive(reading, 16);
        check("mq_receive", got);
        say("took", format!("{priority} {}", String::from_utf8_lossy(&text)));
    }
    fails_with(libc::EAGAIN, receive(nonblocking, 16).0);
    let (mut room, soon) = ([0_u8; 16], deadline(20));
    // SAFETY: room for a message, and a time.
    let got =
        unsafe { libc::mq_timedreceive(queue, room.as_mut_ptr().cast(), 16, ptr::null_mut(), &raw const soon) as i64 };
    fails_with(libc::ETIMEDOUT, got);

    // Full.
    for _ in 0..4 {
        check("mq_send", send(queue, 3, b"fills"));
    }
    let full = fork(|| assert!(send(queue, 2, b"in the end") == 0));
    say("full", full);
    until_state(full, 'S');
    sleep(50);
    for _ in 0..4 {
        receive(queue, 16);
    }
    assert_eq!(reap(full), 0);
    receive(queue, 16);
    // Empty; who waits gets the message from its sender's hand, and does not ask for its priority.
    let waits = fork(|| {
        let mut room = [0_u8; 16];
        // SAFETY: room for a message.
        let got = unsafe { libc::mq_receive(queue, room.as_mut_ptr().cast(), 16, ptr::null_mut()) };
        assert!(got == 6 && room.starts_with(b"direct"));
    });
    say("waits", waits);
    until_state(waits, 'S');
    sleep(50);
    check("mq_send", send(queue, 8, b"direct"));
    assert_eq!(reap(waits), 0);
    let polls = fork(|| {
        let mut set = libc::pollfd { fd: reading, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry.
        check("poll", unsafe { libc::poll(&raw mut set, 1, -1) }.into());
    });
    say("polls", polls);
    until_state(polls, 'S');
    sleep(20);
    check("mq_send", send(queue, 1, b"poll"));
    assert_eq!(reap(polls), 0);
    receive(reading, 16);

    let copy = dup(queue);
    say("copy", copy);
    close(copy);
    // SAFETY: all zero is valid; what was is not asked for.
    let changed = unsafe {
        let mut attributes: libc::mq_attr = std::mem::zeroed();
        attributes.mq_flags = libc::O_NONBLOCK.into();
        libc::mq_setattr(queue, &raw const attributes, ptr::null_mut())
    };
    check("mq_setattr", changed.into());
    close(nonblocking);
}

fn refused_creation(name: &str) -> i64 {
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
    // SAFETY: a text that lives until it returns; the defaults for attributes.
    unsafe { libc::mq_open(c_string(name).as_ptr(), flags, 0o600, ptr::null_mut::<libc::mq_attr>()) }.into()
}

/// A queue that is unlinked while it is open, and another one of its name.
fn again(name: &str) {
    let first = create(name, libc::O_RDWR | libc::O_EXCL, 4, 16);
    check("mq_send", send(first, 1, b"first"));
    check("mq_unlink", unlink(name).into());
    fails_with(libc::ENOENT, unlink(name).into());
    let second = create(name, libc::O_RDWR, 4, 16);
    let found = create(name, libc::O_WRONLY, 4, 16);
    check("mq_send", send(second, 1, b"second"));
    say("first", String::from_utf8_lossy(&receive(first, 16).2));
    say("second", String::from_utf8_lossy(&receive(second, 16).2));
    check("mq_send", send(first, 1, b"still there"));
    say("still", String::from_utf8_lossy(&receive(first, 16).2));
    for queue in [found, first, second] {
        close(queue);
    }
    let third = open(name, libc::O_RDONLY);
    check("mq_open", third.into());
    check("mq_unlink", unlink(name).into());
    close(third);
}

/// Calls that a signal interrupts, with and without `SA_RESTART`.
fn signals(name: &str) {
    let queue = create(name, libc::O_RDWR, 1, 16);
    check("mq_unlink", unlink(name).into());
    say("channel", format!("posix-mq:{name}"));
    for (case, flags) in [("restart", libc::SA_RESTART), ("fail", 0)] {
        let child = fork(|| {
            handle(libc::SIGUSR1, flags);
            say(&format!("receive-{case}-saw"), outcome(receive(queue, 16).0));
        });
        say(&format!("receive-{case}"), child);
        interrupt(child);
        if flags != 0 {
            check("mq_send", send(queue, 4, b"at last"));
        }
        assert_eq!(reap(child), 0);
        check("mq_send", send(queue, 1, b"fills"));
        let child = fork(|| {
            handle(libc::SIGUSR1, flags);
            say(&format!("send-{case}-saw"), outcome(send(queue, 5, b"waits")));
        });
        say(&format!("send-{case}"), child);
        interrupt(child);
        say("took", String::from_utf8_lossy(&receive(queue, 16).2));
        assert_eq!(reap(child), 0);
        if flags != 0 {
            say("took", String::from_utf8_lossy(&receive(queue, 16).2));
        }
    }
}

/// Sends a signal to who is BLOCKED, and lets it be handled.
fn interrupt(child: c_int) {
    until_state(child, 'S');
    sleep(30);
    kill(child, libc::SIGUSR1);
    sleep(50);
}

/// Waits for a line, then takes what was there before, what it sends itself, and what others send.
fn attach(name: &str) {
    let queue = create(name, libc::O_RDWR, 4, 16);
    check("mq_send", send(queue, 3, b"from before"));
    say("queue", queue);
    std::io::stdin().read_line(&mut String::new()).unwrap();
    receive(queue, 16);
    check("mq_send", send(queue, 2, b"own"));
    receive(queue, 16);
    say("empty", 0);
    receive(queue, 16);
}

/// Two processes open one queue at the same time, again and again: one of them makes it.
fn races(name: &str, rounds: u32) {
    for _ in 0..rounds {
        let (start, go) = super::sys::pipe(0);
        let children = [(); 2].map(|()| {
            fork(|| {
                close(go);
                // The end of the pipe.
                super::sys::read(start, 1);
                close(create(name, libc::O_RDWR, 1, 16));
            })
        });
        close(start);
        close(go);
        assert!(children.into_iter().all(|child| reap(child) == 0));
        check("mq_unlink", unlink(name).into());
    }
}
