//! Deadlocks: of threads by their locks, of processes over connections and queues.

use super::{findings, one, rules};
use crate::event::Nanos;

/// Two threads of one process, each with a lock that the other one waits for.
const LOCKS: &str = "0 7 srv state RUNNING cpu0\n0 7 srv fork 8 thread\n0 7 srv fork 9 thread\n\
                     0.1 7.8 srv state BLOCKED futex futex:7:0xb lock word owner 7.9\n\
                     0.2 7.9 srv state BLOCKED futex futex:7:0xa lock word owner 7.8\n";

#[test]
fn threads_that_wait_for_one_anothers_locks() {
    let parts = [
        "thread 8 of srv 7 has futex:7:0xa and waits for futex:7:0xb, which thread 9 of srv 7 has",
        "thread 9 of srv 7 has futex:7:0xb and waits for futex:7:0xa",
        "in the same order",
    ];
    one(LOCKS, "deadlock", &parts, &[3, 4]);
    assert_eq!(findings(LOCKS).first().unwrap().t, Nanos(200_000_000), "at once");
    // Whoever ends it is told of still.
    let ended = format!(
        "{LOCKS}1 7.8 srv state READY by kernel\n1 7.8 srv exit thread 0\n1 7.9 srv exit thread 0\n1 7 srv exit 0\n"
    );
    one(&ended, "deadlock", &parts, &[3, 4]);
    // A signal made it wait once more.
    let again = format!(
        "{LOCKS}1 7.8 srv state READY by kernel\n1 7.8 srv state RUNNING cpu0\n\
         1 7.8 srv state BLOCKED futex futex:7:0xb lock word owner 7.9 restarts 1\n"
    );
    one(&again, "deadlock", &parts, &[3, 4]);
    for twin in [
        LOCKS.replace("0xa lock", "0xa timed lock"),
        LOCKS.replace("owner 7.8", ""),
        // The owner waits for nothing.
        LOCKS.replace("owner 7.8", "owner 7.7"),
        // It was given back, or went on.
        format!("{LOCKS}0.3 7 srv write futex:7:0xb 0 0 by futex\n"),
        format!("{LOCKS}0.3 7.8 srv state READY by kernel\n0.3 7.8 srv read futex:7:0xb 0 0 by futex from overlap\n"),
        format!("{LOCKS}0.3 7.8 srv state READY by kernel\n0.4 7.8 srv state BLOCKED nanosleep\n"),
        // Somebody else may have got it meanwhile.
        LOCKS.replace(
            "0.2 7.9",
            "0.1 7.7 srv state BLOCKED futex futex:7:0xb lock word owner 7.9\n0.15 7.7 srv state READY by 7.9\n0.2 7.9",
        ),
        LOCKS.replace("0.2 7.9", "0.15 7.9 srv write futex:7:0xb 0 0 by futex\n0.2 7.9"),
    ] {
        assert_eq!(rules(&twin), [] as [&str; 0], "{twin}");
    }
    let itself = "0 7 srv state RUNNING cpu0\n0.1 7 srv state BLOCKED futex futex:7:0xa lock word owner 7\n";
    one(itself, "deadlock", &["srv 7 has the lock futex:7:0xa and waits for it again", "RECURSIVE"], &[1]);
}

/// A process with a connection to its child: it has one end (5), the child the other (6).
const PAIR: &str = "0 1 par exec /bin/par\n0 1 par state RUNNING cpu0\n0 1 par pair unix:[9] rw 5\n\
                    0 1 par pair unix:[9] rw 6\n0 1 par fork 2\n0 2 kid inherit unix:[9] rw 5 from 1\n\
                    0 2 kid inherit unix:[9] rw 6 from 1\n0 2 kid state RUNNING cpu1\n0 1 par close unix:[9] rw 6\n\
                    0 2 kid close unix:[9] rw 5\n0.1 1 par state BLOCKED read unix:[9] fd 5\n\
                    0.2 2 kid state BLOCKED read unix:[9] fd 6\n";

#[test]
fn two_who_both_receive_first_from_one_connection() {
    let script = format!("{PAIR}1 3 other state RUNNING cpu0");
    one(
        &script,
        "deadlock",
        &["par 1 waits to receive from unix:[9], which only kid 2 can change", "kid 2 waits to", "who sends first"],
        &[10, 11],
    );
    // Ended while it stands; ended by itself (a time limit, a signal), which was no deadlock.
    let ended =
        format!("{PAIR}1 2 kid state READY by kernel\n1 2 kid read unix:[9] 6 EINTR unfinished\n1 2 kid exit SIGTERM");
    assert_eq!(rules(&ended), ["deadlock"]);
    let left = format!("{PAIR}1 2 kid state READY by kernel\n1 2 kid read unix:[9] 6 EAGAIN\n1.1 2 kid exit 0");
    assert!(rules(&left).is_empty());
    // Ended by a signal that its call told of first; by the end of the other one.
    let killed = format!("{PAIR}1 2 kid state READY by kernel\n1 2 kid read unix:[9] 6 EINTR\n1 2 kid exit SIGALRM");
    assert_eq!(rules(&killed), ["deadlock"]);
    let after = format!(
        "{PAIR}1 2 kid exit SIGKILL\n1.1 1 par state READY by kernel\n1.1 1 par read unix:[9] 5 eof\n1.2 1 par exit 0"
    );
    assert_eq!(rules(&after), ["deadlock"]);
    for twin in [
        // The child still has the other end as well, or one was passed on: what it could do is not known.
        script.replace("0 2 kid close unix:[9] rw 5\n", "0 2 kid pass unix:[9] rw 5 from 1\n"),
        // One of them sends first, or somebody else has an end.
        script.replace("0.2 2 kid state BLOCKED read unix:[9] fd 6\n", ""),
        script.replace("0 1 par close unix:[9] rw 6\n", "0 1 par fork 3\n0 3 aid inherit unix:[9] rw 6 from 1\n"),
        script.replace("pair unix:[9] rw 6", "attach unix:[9] rw 6"),
    ] {
        assert!(rules(&twin).is_empty(), "{twin}");
    }
}

#[test]
fn two_who_both_wait_for_a_message() {
    let script = "0 1 par exec /bin/par\n0 1 par make sysv-mq:3\n0 1 par make sysv-mq:4\n0 1 par fork 2\n0 1 par fork 3\n\
                  0.1 2 one state BLOCKED msgrcv sysv-mq:3\n0.1 3 two state BLOCKED msgrcv sysv-mq:4\n\
                  0.1 1 par state BLOCKED wait4\n1 1 par state READY by kernel";
    let found = findings(script);
    assert_eq!(rules(script), ["deadlock"], "{found:#?}");
    let what = &found.first().unwrap().what;
    assert!(
        what.contains("one 2 waits for a message in sysv-mq:3, which only par 1, one 2 and two 3 have had"),
        "{what}"
    );
    assert!(rules(&script.replace("BLOCKED wait4", "BLOCKED pause")).is_empty());
    assert!(rules(&script.replace("make sysv-mq:3", "state RUNNING cpu0")).is_empty());
}
