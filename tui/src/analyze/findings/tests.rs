//! Findings: scripts with a mistake, and their correct twins.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod deadlocks;
mod kept;

use super::{Finding, Findings};
use crate::{
    event::Nanos,
    model::{World, arbitrary, script},
};

fn findings(script: &str) -> Vec<Finding> {
    let (mut world, mut findings) = (World::new(), Findings::new());
    for event in script::parse(script).unwrap() {
        findings.apply(&world, &event);
        world.apply(&event);
    }
    findings.at(&world, world.now)
}

/// The rules, in order.
fn rules(script: &str) -> Vec<&'static str> {
    findings(script).iter().map(|finding| finding.rule).collect()
}

/// The one finding there is.
#[track_caller]
fn one(script: &str, rule: &str, parts: &[&str], evidence: &[u64]) {
    let found = findings(script);
    let rules: Vec<_> = found.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, [rule], "{found:#?}");
    let finding = found.first().unwrap();
    for part in parts {
        let text = format!("{} {}", finding.what, finding.advice);
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert_eq!(finding.evidence, evidence, "{finding:#?}");
}

/// A parent with a pipe (3, 4) and a child that reads from it.
const PARENT: &str = "0 1 par exec /bin/par\n0 1 par state RUNNING cpu0\n0 1 par pipe 7 3 4\n0 1 par fork 2\n\
                      0 2 kid inherit 7 r 3 from 1\n0 2 kid inherit 7 w 4 from 1\n0 2 kid state RUNNING cpu1\n\
                      0 1 par close 7 r 3\n";

fn with_parent(rest: &str) -> String {
    format!("{PARENT}{rest}")
}

#[test]
fn a_write_end_forgotten_in_the_parent() {
    let script = with_parent(
        "0.1 2 kid close 7 w 4\n0.2 1 par write 7 4 5 fill 5\n0.2 2 kid read 7 3 5 fill 0\n\
         0.3 2 kid state BLOCKED read 7 fd 3\n0.3 1 par state BLOCKED wait4 for 2\n1 1 par state READY by kernel",
    );
    one(
        &script,
        "no-end-of-file",
        &[
            "No end-of-file for kid 2 on pipe:[7]: it has been BLOCKED in read for 700 ms",
            "still open in par 1 (fd 4), which wrote 5 bytes to it but has not closed it",
            "Close it there after the last write, before waiting",
        ],
        &[2, 11],
    );
    // In time.
    let closed = script.replace("0.3 1 par state", "0.25 1 par close 7 w 4\n0.3 1 par state");
    assert!(rules(&closed).is_empty());
}

#[test]
fn a_write_end_forgotten_in_the_reader() {
    let script = with_parent(
        "0.2 1 par write 7 4 5 fill 5\n0.2 1 par close 7 w 4\n0.2 2 kid read 7 3 5 fill 0\n\
         0.3 2 kid state BLOCKED read 7 fd 3\n0.3 1 par state BLOCKED wait4\n1 1 par state READY by kernel",
    );
    one(&script, "no-end-of-file", &["kid 2 (fd 4), which never wrote", "in the reader before it reads"], &[5, 11]);
}

#[test]
fn a_write_end_forgotten_in_a_sibling_that_sleeps() {
    let script = with_parent(
        "0.1 1 par fork 3\n0.1 3 sib inherit 7 w 4 from 1\n0.1 3 sib state BLOCKED nanosleep\n0.1 2 kid close 7 w 4\n\
         0.2 1 par write 7 4 5 fill 5\n0.2 1 par close 7 w 4\n0.2 2 kid read 7 3 5 fill 0\n\
         0.3 2 kid state BLOCKED read 7 fd 3\n0.3 1 par state BLOCKED wait4 for 2\n2 3 sib state READY by kernel",
    );
    one(&script, "no-end-of-file", &["sib 3 (fd 4), which never wrote", "in sib 3 right after fork"], &[9, 15]);
    // It may still write: nothing is said of a slow writer.
    let slow = script
        .replace("1 par close 7 w 4", "1 par state RUNNING cpu0")
        .replace("par state BLOCKED wait4 for 2", "par state BLOCKED nanosleep");
    assert!(rules(&slow).is_empty(), "{slow}");
}

#[test]
fn what_may_be_held_outside_is_not_judged() {
    let script = "0 1 par exec /bin/par\n0 1 par attach 7 r 3\n0 1 par attach 7 w 4\n0 1 par state RUNNING cpu0\n\
                  0.1 1 par state BLOCKED read 7 fd 3\n5 1 par state READY by kernel";
    assert!(rules(script).is_empty());
    one(
        &script.replace("attach 7 r 3", "pipe 7 3 4").replace("0 1 par attach 7 w 4\n", ""),
        "no-end-of-file",
        &["par 1 (fd 4)"],
        &[1, 3],
    );
}

#[test]
fn a_pipe_that_nobody_reads() {
    let alone = "0 1 par exec /bin/par\n0 1 par pipe 7 3 4\n0 1 par state RUNNING cpu0\n\
                 0.1 1 par state BLOCKED write 7 fd 4\n1 1 par state READY by kernel";
    one(alone, "full-pipe", &["par 1 has been BLOCKED in write for 900 ms", "held by par 1 itself"], &[1, 3]);
    let waits = with_parent("0.1 1 par pipe 8 5 6\n").replace("close 7 r 3", "close 7 w 4")
        + "0.2 2 kid close 7 r 3\n0.3 2 kid state BLOCKED write 7 fd 4\n0.3 1 par state BLOCKED wait4 for 2\n1 1 par state READY by 2";
    let waits = waits.replace("0 1 par close 7 w 4", "0 1 par close 7 w 4\n0 1 par state RUNNING cpu0");
    one(&waits, "full-pipe", &["kid 2 has been BLOCKED in write", "par 1, which waits for it"], &[2, 11]);
}

#[test]
fn two_who_both_read_first() {
    let script = "0 1 par exec /bin/par\n0 1 par pipe 7 3 4\n0 1 par pipe 8 5 6\n0 1 par fork 2\n\
                  0 2 kid inherit 7 r 3 from 1\n0 2 kid inherit 8 w 6 from 1\n0 1 par close 7 r 3\n0 1 par close 8 w 6\n\
                  0 2 kid state RUNNING cpu0\n0.1 2 kid state BLOCKED read 7 fd 3\n0.2 1 par state BLOCKED read 8 fd 5\n\
                  1 1 par state READY by kernel";
    one(
        script,
        "deadlock",
        &["par 1 reads from the empty pipe:[8], which only kid 2 can change", "kid 2 reads from the empty pipe:[7]"],
        &[9, 10],
    );
    // Somebody else could write to one of them.
    let helped = script.replace(
        "0 1 par close 7 r 3",
        "0 1 par fork 3\n0 3 aid inherit 7 w 4 from 1\n0 1 par close 7 r 3\n0 3 aid state RUNNING cpu1",
    );
    assert!(rules(&helped).is_empty());
    // It has only just come to that.
    assert!(rules(&script.replace("\n1 1 par state READY by kernel", "")).is_empty());
}

#[test]
fn a_stopped_process_that_holds_an_end() {
    let script = with_parent(
        "0.1 2 kid close 7 w 4\n0.1 2 kid state BLOCKED read 7 fd 3\n0.2 1 par state STOPPED\n1.5 1 par state READY by kernel",
    );
    one(
        &script,
        "stopped-holder",
        &["kid 2 has been BLOCKED for 1.3 s", "write end is STOPPED: par 1 (fd 4)"],
        &[2, 9, 10],
    );
    assert!(rules(&script.replace("1.5 1", "1.1 1")).is_empty());
    assert!(rules(&script.replace("STOPPED", "STOPPED traced")).is_empty());
}

#[test]
fn zombies() {
    let script = "0 1 par exec /bin/par\n0 1 par fork 2\n0 2 kid state RUNNING cpu0\n0.1 2 kid exit 0\n\
                  0.1 2 kid state ZOMBIE\n1.5 1 par exit 0";
    one(script, "zombie", &["par 1 has not waited for a child and ended without it: kid 2 stayed ZOMBIE"], &[4]);
    assert!(rules(&script.replace("1.5 1 par", "1.4 2 kid state DEAD\n1.5 1 par")).is_empty());
    assert!(rules(&script.replace("1.5 1", "0.9 1")).is_empty());
    one(&script.replace("1.5 1 par exit 0", "1.5 1 par state RUNNING cpu0"), "zombie", &["so far"], &[4]);
}

/// A parent with a set of semaphores and two children that use it.
const SEMAPHORES: &str = "0 1 par exec /bin/par\n0 1 par state RUNNING cpu0\n0 1 par make sysv-sem:5\n0 1 par fork 2\n\
                          0 1 par fork 3\n0 2 one state RUNNING cpu1\n0 3 two state RUNNING cpu0\n\
                          0 2 one read sysv-sem:5 -1 0 by semop from overlap\n0 3 two read sysv-sem:5 -1 0 by semop from overlap\n";

#[test]
fn semaphores_taken_in_different_orders() {
    let script = format!(
        "{SEMAPHORES}0.1 2 one state BLOCKED semop sysv-sem:5\n0.1 3 two state BLOCKED semop sysv-sem:5\n\
         0.1 1 par state BLOCKED wait4\n1 1 par state READY by kernel"
    );
    let found = findings(&script);
    assert_eq!(rules(&script), ["deadlock"], "{found:#?}");
    let what = &found.first().unwrap().what;
    for part in ["one 2 waits for a semaphore of sysv-sem:5, which only one 2 and two 3", "par 1 waits for a child"] {
        assert!(what.contains(part), "{part:?} is not in {what:?}");
    }
    // Somebody who does something else might give one.
    assert!(rules(&script.replace("BLOCKED wait4", "BLOCKED pause")).is_empty());
    assert!(rules(&script.replace("0.1 3 two state BLOCKED semop sysv-sem:5\n", "")).is_empty());
}

#[test]
fn what_outlives_its_makers() {
    let script = "0 1 par exec /bin/par\n0 1 par state RUNNING cpu0\n0.1 1 par make shm:5\n0.2 1 par make sysv-sem:7\n\
                  0.3 1 par remove sysv-sem:7\n0.4 1 par exit 0";
    one(script, "left-behind", &["par 1 made shm:5 (shared memory)", "`ipcrm -m 5`"], &[2]);
    assert!(rules(&script.replace("sysv-sem:7", "shm:5").replace("0.2 1 par make shm:5\n", "")).is_empty());
    assert!(rules(&script.replace("0.4 1 par exit 0", "0.4 1 par state READY")).is_empty(), "it may still remove it");
}

#[test]
fn bytes_that_nobody_ever_reads() {
    let script = with_parent(
        "0.1 2 kid close 7 w 4\n0.2 1 par write 7 4 28 fill 28\n0.2 1 par close 7 w 4\n0.3 2 kid read 7 3 8 fill 20\n0.4 2 kid exit 0",
    );
    one(&script, "never-received", &["20 bytes that par 1 sent into pipe:[7]", "kid 2 read only a part"], &[9, 12]);
    assert!(rules(&script.replace("7 3 8 fill 20", "7 3 28 fill 0")).is_empty());
    let told = script.replace("0.2 1 par close 7 w 4\n", "") + "\n0.5 1 par write 7 4 EPIPE\n0.6 1 par exit 1";
    assert!(rules(&told).is_empty(), "the writer knows");
}

#[test]
fn calls_given_up_after_eintr() {
    let script = with_parent(
        "0.1 2 kid close 7 w 4\n0.2 1 par signal USR1 2 generated\n0.2 2 kid signal USR1 2 delivered handler 0x1\n\
         0.2 2 kid signal USR1 2 handled verdict EINTR\n0.2 2 kid read 7 3 EINTR interrupted 1\n0.3 2 kid exit 1",
    );
    one(
        &script,
        "eintr-not-retried",
        &["read of kid 2 on pipe:[7] failed with EINTR (SIGUSR1 from par 1", "it ended with status 1", "SA_RESTART"],
        &[12, 13],
    );
    for twin in [
        script.replace("0.3 2 kid exit", "0.25 2 kid read 7 3 eof\n0.3 2 kid exit"),
        script.replace("0.3 2 kid exit", "0.25 2 kid state BLOCKED read 7 fd 3\n0.3 2 kid exit"),
        // It was asked to end, and did; somebody ended it; a timeout.
        script.replace("USR1", "TERM").replace("exit 1", "exit 0"),
        script.replace("exit 1", "exit SIGKILL"),
        script.replace("generated", "generated sender timer"),
    ] {
        assert!(rules(&twin).is_empty(), "{twin}");
    }
    one(
        &script.replace("0.3 2 kid exit 1", "0.3 2 kid close 7 r 3"),
        "eintr-not-retried",
        &["closed its end"],
        &[12, 13],
    );
}

#[test]
fn signals_that_were_to_be_counted() {
    let script = "0 1 a state RUNNING cpu0\n0 1 a fork 2\n0.1 1 a signal USR1 2 generated id 1\n\
                  0.1 2 b signal USR1 2 pending masked\n0.1 1 a signal USR1 2 generated id 2\n\
                  0.1 2 b signal USR1 2 coalesced id 2 into 1\n0.2 2 b signal USR1 2 delivered id 1 handler 0x1\n\
                  0.3 2 b signal USR1 2 handled id 1\n";
    one(script, "signal-coalesced", &["1 of 2 SIGUSR1 to", "2 were lost", "it took 1"], &[5, 7]);
    for twin in [
        script.replace("USR1", "CHLD"),
        script.replace("USR1", "TERM"),
        script.replace("0.1 2 b signal USR1 2 coalesced id 2 into 1\n", ""),
        // Nobody acts on it.
        script.replace("0.3 2 b signal USR1 2 handled id 1\n", ""),
    ] {
        assert!(rules(&twin).is_empty(), "{twin}");
    }
}

#[test]
fn a_signal_that_is_pending_for_seconds() {
    let script = "0 1 a state RUNNING cpu0\n0 1 a fork 2\n0.1 1 a signal USR1 2 generated\n\
                  0.1 2 b signal USR1 2 pending masked\n1.5 2 b signal USR1 2 discarded reason exit\n";
    one(script, "signal-pending", &["SIGUSR1 from a 1 to", "was pending for 1.4 s", "ended without it"], &[3, 4]);
    assert!(rules(&script.replace("1.5", "0.9")).is_empty());
    assert!(rules(&script.replace("masked", "")).is_empty(), "its target is stopped");
    let still = script.replace("1.5 2 b signal USR1 2 discarded reason exit", "1.5 2 b state RUNNING cpu0");
    one(&still, "signal-pending", &["it still is"], &[3]);
}

#[test]
fn writing_on_without_a_reader() {
    let fails = "0.2 - - signal PIPE 2 generated\n0.2 2 kid signal PIPE 2 ignored\n0.2 2 kid write 7 4 EPIPE\n";
    let script = with_parent(&fails.repeat(3));
    one(
        &script,
        "sigpipe-ignored",
        &["kid 2 wrote 3 times to pipe:[7]", "it ignores SIGPIPE", "Stop writing"],
        &[10, 13, 15, 16],
    );
    assert!(rules(&with_parent(&fails.repeat(2))).is_empty());
    one(&format!("{script}1 2 kid exit 0"), "sigpipe-ignored", &["3 times"], &[10, 13, 15, 16]);
}

#[test]
fn the_stage_that_all_wait_for() {
    let script = with_parent(
        "0.1 2 kid close 7 w 4\n0.1 1 par write 7 4 2000000 fill 65536 took 900ms blocked 900ms\n\
         1.2 2 kid read 7 3 2000000 fill 0\n1.3 1 par close 7 w 4\n",
    );
    one(&script, "slowest-stage", &["kid 2 is the slowest stage", "par 1 waited 900 ms of 1.2 s (75 %)"], &[9]);
    assert!(rules(&script.replace("900ms", "400ms")).is_empty());
}

#[test]
fn a_pipeline_that_is_right_has_none() {
    assert_eq!(rules(script::SAMPLE), Vec::<&str>::new());
}

#[test]
fn what_was_lost_is_said() {
    let script = with_parent(
        "0.05 - - lost 3 calls 0 0.05\n0.1 2 kid close 7 w 4\n0.3 2 kid state BLOCKED read 7 fd 3\n\
         0.3 1 par state BLOCKED wait4 for 2\n1 1 par state READY by kernel",
    );
    one(&script, "no-end-of-file", &["Records were lost before"], &[2, 10]);
}

#[test]
fn a_finding_is_a_line() {
    let finding =
        Finding { rule: "zombie", t: Nanos(1), what: "A.".to_owned(), advice: "B.".to_owned(), evidence: vec![1, 2] };
    assert_eq!(finding.to_json(), r#"{"kind":"finding","rule":"zombie","text":"A. B.","evidence":[1,2]}"#);
}

proptest::proptest! {
    #[test]
    fn nothing_panics(events in arbitrary::events()) {
        let (mut world, mut findings) = (World::new(), Findings::new());
        for event in &events {
            findings.apply(&world, event);
            world.apply(event);
            let _ = findings.at(&world, Nanos(world.now.0.saturating_add(10_000_000_000)));
        }
    }
}

#[test]
fn a_fifo_that_nobody_else_opens() {
    one(
        "0 1 a state RUNNING cpu0\n0.1 1 a state BLOCKED openat\n3 2 b state RUNNING cpu0",
        "fifo-one-side",
        &["a 1 was BLOCKED in openat for 2.9 s, and still is", "O_RDWR"],
        &[1],
    );
    one(
        "0 1 a state BLOCKED openat\n2 1 a state READY by kernel\n2 1 a exit TERM",
        "fifo-one-side",
        &["a 1 was BLOCKED in openat for 2 s, until it ended"],
        &[0, 2],
    );
    for twin in [
        "0 1 a state BLOCKED openat\n3 1 a state READY by 2\n3 1 a open fifo:/f r 3\n9 1 a exit 0",
        "0 1 a state BLOCKED openat\n0.5 1 a state READY by kernel\n0.5 1 a exit TERM\n9 2 b state RUNNING cpu0",
        "0 1 a state BLOCKED openat uninterruptible\n9 2 b state RUNNING cpu0",
    ] {
        assert_eq!(rules(twin), [] as [&str; 0], "{twin}");
    }
}

#[test]
fn datagrams_without_room() {
    one(
        "0 1 a drop udp:127.0.0.1:9\n1 1 a drop udp:127.0.0.1:9\n2 2 b drop udp:127.0.0.1:9",
        "datagrams-dropped",
        &["3 datagrams to udp:127.0.0.1:9 were dropped, sent by a 1 and b 2", "SO_RCVBUF"],
        &[0, 2],
    );
}
