//! What is kept without anybody who takes it: ends in flight, connections that are not accepted, memory with a name.

use super::{one, rules};

#[test]
fn a_write_end_in_flight() {
    let script = "0 1 par exec /bin/par\n0 1 par state RUNNING cpu0\n0 1 par pipe 7 3 4\n0 1 par pair unix:[9] rw 5\n\
                  0 1 par pair unix:[9] rw 6\n0.1 1 par write unix:[9] 5 1 by sendmsg\n0.2 1 par close 7 w 4\n\
                  0.3 1 par state BLOCKED read 7 fd 3\n2 1 par state READY by kernel";
    one(
        script,
        "no-end-of-file",
        &[
            "it is in flight, passed (SCM_RIGHTS) through unix:[9], into which par 1 sent",
            "close the descriptor that comes",
        ],
        &[5, 6, 7],
    );
    for twin in [
        script.replace("0.2 1 par close", "0.2 1 par read unix:[9] 6 1 by recvmsg\n0.2 1 par close"),
        script.replace("by sendmsg", "by sendto"),
        script.replace("2 1 par state READY", "0.5 1 par state READY"),
        // The close of a child, that wrote before, was what it waited for.
        script
            .replace("0.1 1 par", "0.1 1 par fork 2\n0.1 2 kid inherit 7 w 4 from 1\n0.1 1 par")
            .replace("2 1 par state", "1.9 2 kid write 7 4 1\n1.9 2 kid close 7 w 4\n1.9 1 par state"),
    ] {
        assert!(rules(&twin).is_empty(), "{twin}");
    }
}

#[test]
fn a_full_accept_queue() {
    let script = "0 1 srv state RUNNING cpu0\n0 1 srv listen unix:[3] rw 3 at /s backlog 0\n\
                  0.1 2 one connect unix:[4] rw 4 to /s\n0.2 3 two pair unix:[5] rw 4\n0.2 3 two state BLOCKED connect unix:[5] fd 4\n";
    let waits = format!("{script}2 1 srv state READY by kernel");
    one(
        &waits,
        "listen-overflow",
        &[
            "The accept queue of /s, on which srv 1 listens with a backlog of 0, is full: 1 connection not yet accepted",
            "two 3 wants to connect: it has been BLOCKED in connect for 1.8 s",
        ],
        &[1, 2, 4],
    );
    // A child that has it and ends is not who listens.
    let forked = waits
        .replace("0.2 3 two pair", "0.1 1 srv fork 9\n0.1 9 kid exit 0\n0.1 9 kid close unix:[3] rw 3\n0.2 3 two pair");
    assert_eq!(rules(&forked), ["listen-overflow"]);
    let late = format!("{script}1.5 1 srv accept unix:[4] rw 5\n1.6 3 two connect unix:[5] rw 4 to /s\n");
    one(&late, "listen-overflow", &["for 1.4 s, until it was connected"], &[1, 2, 4]);
    let refused = script
        .replace("0.2 3 two state BLOCKED connect unix:[5] fd 4", "0.3 3 two connect unix:[5] rw 4 to /s error EAGAIN");
    one(&refused, "listen-overflow", &["a connect of it failed with EAGAIN"], &[1, 2, 4]);
    for twin in [
        waits.replace("backlog 0", "backlog 1"),
        late.replace("1.5 1 srv accept", "0.4 1 srv accept").replace("1.6 3", "0.5 3"),
        waits.replace("0.2 3 two pair", "0.15 1 srv accept unix:[4] rw 5\n0.2 3 two pair"),
    ] {
        assert!(rules(&twin).is_empty(), "{twin}");
    }
}

#[test]
fn memory_that_keeps_its_name() {
    let script =
        "0 1 a state RUNNING cpu0\n0.1 1 a open shm:/n rw 3 capacity 0\n0.1 1 a resize shm:/n 4096 1\n0.2 1 a exit 0";
    one(script, "left-behind", &["a 1 made shm:/n (shared memory)", "`rm /dev/shm/n`"], &[1]);
    assert!(rules(&script.replace("0.2 1 a exit", "0.2 1 a remove shm:/n\n0.2 1 a exit")).is_empty());
    assert!(rules(&script.replace("capacity 0", "capacity 4096")).is_empty(), "it was there before");
}
