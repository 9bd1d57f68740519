//! System V message queues: programs that number their messages, and one of each thing a queue does.

use std::os::raw::{c_int, c_long};

use super::sys::{check, fork, reap, say, sleep, until_state};

/// Longer than any message here.
const ROOM: usize = 4096;
/// Tells a receiver to stop.
const STOP: c_long = 1000;

fn create() -> c_int {
    // SAFETY: a plain call.
    check("msgget", i64::from(unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) })) as c_int
}

fn remove(queue: c_int) {
    // SAFETY: needs no buffer.
    check("msgctl", i64::from(unsafe { libc::msgctl(queue, libc::IPC_RMID, std::ptr::null_mut()) }));
}

/// msgsnd(2).
fn send(queue: c_int, kind: c_long, text: &[u8], flags: c_int) -> i64 {
    let mut message = kind.to_ne_bytes().to_vec();
    message.extend_from_slice(text);
    // SAFETY: a type and as much text as is said.
    unsafe { i64::from(libc::msgsnd(queue, message.as_ptr().cast(), text.len(), flags)) }
}

/// msgrcv(2): the result, the type and the text.
fn receive(queue: c_int, kind: c_long, room: usize, flags: c_int) -> (i64, c_long, Vec<u8>) {
    let mut message = [0_u8; ROOM + 8];
    // SAFETY: room for a type and as much text as is said.
    let got = unsafe { libc::msgrcv(queue, message.as_mut_ptr().cast(), room.min(ROOM), kind, flags) };
    let kind = c_long::from_ne_bytes(message[..8].try_into().unwrap());
    let text = message[8..].iter().take(usize::try_from(got).unwrap_or(0)).copied().collect();
    (got as i64, kind, text)
}

/// Every message says who sent it, and its number; half of the receivers take any type, half choose.
pub fn load(senders: u32, receivers: u32, messages: u32) {
    let queue = create();
    say("channel", format!("sysv-mq:{queue}"));
    let mut getting = Vec::new();
    for number in 0..receivers {
        getting.push(fork(|| {
            let (mut count, mut bytes) = (0, 0);
            // 0: the first; -2000: the lowest type; else all but one that nobody sends.
            let (kind, flags) = [(0, 0), (-2000, 0), (7777, libc::MSG_EXCEPT)][number as usize % 3];
            loop {
                let (got, kind, text) = receive(queue, kind, ROOM, flags);
                if check("msgrcv", got) == 4 && kind == STOP && text == b"stop" {
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
            fork(|| {
                for message in 0..messages {
                    let mut text = format!("{number}:{message}:").into_bytes();
                    // Some need more than a page with what the kernel puts in front.
                    text.resize(
                        text.len() + [3, 40, 300, 2000][message as usize % 4] * usize::from(message % 32 > 3),
                        b'.',
                    );
                    check("msgsnd", send(queue, c_long::from(1 + number), &text, 0));
                }
            })
        })
        .collect();
    assert!(sending.into_iter().all(|pid| reap(pid) == 0));
    for _ in 0..receivers {
        check("msgsnd", send(queue, STOP, b"stop", 0));
    }
    assert!(getting.into_iter().all(|pid| reap(pid) == 0));
    remove(queue);
}

/// Types, flags and failures, one after the other.
pub fn queues() {
    let key = std::process::id() as c_int | 0x4000_0000;
    // SAFETY: a plain call.
    let queue = check("msgget", i64::from(unsafe { libc::msgget(key, libc::IPC_CREAT | 0o640) })) as c_int;
    // SAFETY: as above.
    let again = check("msgget", i64::from(unsafe { libc::msgget(key, 0) }));
    // SAFETY: as above.
    let refused = unsafe { libc::msgget(key, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
    assert!(again == i64::from(queue) && refused == -1);
    say("channel", format!("sysv-mq:{queue}"));
    say("key", format!("{key:#010x}"));
    for (kind, text) in [(3, "three"), (1, "one"), (2, "two"), (2, "again two"), (5, "cut off here")] {
        check("msgsnd", send(queue, kind, text.as_bytes(), 0));
    }
    for (kind, room, flags) in
        [(2, 100, 0), (-3, 100, 0), (0, 100, 0), (2, 100, libc::MSG_EXCEPT), (0, 7, libc::MSG_NOERROR)]
    {
        let (_, kind, text) = receive(queue, kind, room, flags);
        say("took", format!("{kind} {}", String::from_utf8_lossy(&text)));
    }
    receive(queue, 9, 100, libc::IPC_NOWAIT);
    check("msgsnd", send(queue, 1, &[b'x'; 2000], 0));
    receive(queue, 1, 10, 0);
    // Full: what it may hold is made as little as it holds.
    // SAFETY: all zero is valid.
    let mut facts: libc::msqid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: room for the facts.
    unsafe {
        check("msgctl", i64::from(libc::msgctl(queue, libc::IPC_STAT, &raw mut facts)));
        facts.msg_qbytes = 2000;
        facts.msg_perm.mode = 0o600;
        check("msgctl", i64::from(libc::msgctl(queue, libc::IPC_SET, &raw mut facts)));
    }
    send(queue, 1, b"no room", libc::IPC_NOWAIT);
    let full = fork(|| assert!(send(queue, 4, b"in the end", 0) == 0));
    say("full", full);
    until_state(full, 'S');
    sleep(50);
    receive(queue, 1, ROOM, 0);
    assert_eq!(reap(full), 0);
    receive(queue, 4, ROOM, 0);
    let waits = fork(|| assert!(receive(queue, 8, ROOM, 0).0 == -1));
    say("waits", waits);
    until_state(waits, 'S');
    remove(queue);
    assert_eq!(reap(waits), 0);
}

/// Leaves a queue with a message in it behind; its id.
pub fn leave() {
    let queue = create();
    check("msgsnd", send(queue, 1, b"from before", 0));
    say("queue", queue);
}

/// Takes the message of such a queue, sends one to itself and removes the queue.
pub fn use_up(queue: c_int) {
    receive(queue, 0, ROOM, 0);
    check("msgsnd", send(queue, 2, b"now", 0));
    receive(queue, 0, ROOM, 0);
    remove(queue);
}
