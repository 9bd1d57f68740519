//! System V semaphores and shared memory.

use std::os::raw::c_int;

use super::sys::{check, fork, outcome, pid, reap, say, until_state};

/// Runs a workload; `false` if there is none of that name.
pub fn run(words: &[&str]) -> bool {
    match words {
        ["semaphores"] => semaphores(),
        ["sem-load", givers, takers, rounds] => {
            load(givers.parse().unwrap(), takers.parse().unwrap(), rounds.parse().unwrap());
        }
        ["memory"] => memory(),
        _ => return false,
    }
    true
}

/// semget(2).
fn set(key: c_int, count: c_int, flags: c_int) -> i64 {
    // SAFETY: a plain call.
    i64::from(unsafe { libc::semget(key, count, flags) })
}

/// semctl(2) with an int.
fn control(set: c_int, number: c_int, command: c_int, value: c_int) -> i64 {
    // SAFETY: these commands need no buffer.
    i64::from(unsafe { libc::semctl(set, number, command, value) })
}

/// semop(2).
fn operate(set: c_int, operations: &[(u16, i16, c_int)]) -> i64 {
    let mut list: Vec<libc::sembuf> = operations
        .iter()
        .map(|&(sem_num, sem_op, flags)| libc::sembuf { sem_num, sem_op, sem_flg: flags as i16 })
        .collect();
    // SAFETY: a slice and its length.
    i64::from(unsafe { libc::semop(set, list.as_mut_ptr(), list.len()) })
}

/// A set of that many, all 0.
pub fn make(count: c_int) -> c_int {
    check("semget", set(libc::IPC_PRIVATE, count, 0o600)) as c_int
}

/// semop(2) on one of them.
pub fn add(set: c_int, number: u16, change: i16) -> i64 {
    operate(set, &[(number, change, 0)])
}

/// Removes a set.
pub fn remove(set: c_int) {
    check("semctl", control(set, 0, libc::IPC_RMID, 0));
}

/// One of each thing that is done with semaphores; who waits is let go by somebody known.
fn semaphores() {
    let key = pid() | 0x4000_0000;
    let id = check("semget", set(key, 5, libc::IPC_CREAT | 0o640)) as c_int;
    say("channel", format!("sysv-sem:{id}"));
    say("key", format!("{key:#010x}"));
    assert!(set(key, 0, 0) == i64::from(id) && set(key, 5, libc::IPC_CREAT | libc::IPC_EXCL) == -1);
    check("semctl", control(id, 4, libc::SETVAL, 3));
    let waiters: Vec<c_int> = (0..3_u16)
        .map(|number| {
            let waiter = fork(|| {
                check("semop", operate(id, &[(number, -1, 0)]));
            });
            until_state(waiter, 'S');
            waiter
        })
        .collect();
    // Not in the order in which they wait.
    for number in [1_usize, 0, 2] {
        let giver = fork(|| {
            check("semop", operate(id, &[(number as u16, 1, 0)]));
        });
        assert!(reap(giver) == 0 && reap(waiters[number]) == 0);
        say(&format!("let-go-{}", waiters[number]), giver);
    }
    // Both at once: one is taken, another given; and an operation that waits for nothing.
    check("semop", operate(id, &[(4, -2, libc::SEM_UNDO), (3, 2, 0), (2, 0, 0)]));
    say("refused", outcome(operate(id, &[(0, -1, libc::IPC_NOWAIT)])));
    let last = fork(|| {
        say("removed-under", outcome(operate(id, &[(0, -1, 0)])));
    });
    until_state(last, 'S');
    check("semctl", control(id, 0, libc::IPC_RMID, 0));
    assert_eq!(reap(last), 0);
}

/// One semaphore for each giver; takers take from all of them.
fn load(givers: u32, takers: u32, rounds: u32) {
    let id = check("semget", set(libc::IPC_PRIVATE, givers as c_int, 0o600)) as c_int;
    say("channel", format!("sysv-sem:{id}"));
    let mut children: Vec<c_int> = Vec::new();
    for taker in 0..takers {
        children.push(fork(|| {
            for round in 0..givers * rounds / takers {
                check("semop", operate(id, &[(((taker + round) % givers) as u16, -1, 0)]));
            }
        }));
    }
    // Nobody has given anything yet.
    for taker in &children {
        until_state(*taker, 'S');
    }
    for giver in 0..givers {
        children.push(fork(|| {
            for _ in 0..rounds {
                check("semop", operate(id, &[(giver as u16, 1, 0)]));
            }
        }));
    }
    assert!(children.into_iter().all(|child| reap(child) == 0));
    check("semctl", control(id, 0, libc::IPC_RMID, 0));
}

/// A segment that is attached twice, inherited, dropped by exec and by exit, and removed while it is attached.
fn memory() {
    let key = pid() | 0x4000_0000;
    let get = |size: usize, flags: c_int| {
        // SAFETY: a plain call.
        i64::from(unsafe { libc::shmget(key, size, flags) })
    };
    let attach = |id: c_int, flags: c_int| {
        // SAFETY: the kernel chooses the place.
        unsafe { libc::shmat(id, std::ptr::null(), flags) as i64 }
    };
    let detach = |place: i64| {
        // SAFETY: nothing refers to that memory.
        check("shmdt", i64::from(unsafe { libc::shmdt(place as *const _) }));
    };
    let id = check("shmget", get(10_000, libc::IPC_CREAT | 0o640)) as c_int;
    say("channel", format!("shm:{id}"));
    say("key", format!("{key:#010x}"));
    assert!(get(0, 0) == i64::from(id) && get(1, libc::IPC_CREAT | libc::IPC_EXCL) == -1);
    let (first, second) = (attach(id, 0), attach(id, libc::SHM_RDONLY));
    say("first", format!("{first:#x}"));
    say("second", format!("{second:#x}"));
    let leaver = fork(|| detach(second));
    say("leaver", leaver);
    assert_eq!(reap(leaver), 0);
    let executor = fork(|| {
        let program = c"/bin/true";
        // SAFETY: NUL-terminated, and lists that end in null.
        unsafe { libc::execv(program.as_ptr(), [program.as_ptr(), std::ptr::null()].as_ptr()) };
    });
    say("executor", executor);
    assert_eq!(reap(executor), 0);
    // SAFETY: needs no buffer.
    check("shmctl", i64::from(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }));
    detach(first);
}
