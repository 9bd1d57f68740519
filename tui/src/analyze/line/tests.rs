//! Lines: one per kind of event.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use super::{Lines, TimeStyle, line};
use crate::{
    event::{Event, Nanos},
    model::script::{SAMPLE, parse},
};

const SETUP: &str = "0.001 4711 ls exec /bin/ls\n0.001 4712 wc exec /bin/wc\n0.001 4710 sh pipe 8124 3 4\n\
                     0.001 4712 wc state BLOCKED read 8124\n0.001 4711 ls write 8124 1 9\n0.001 4710 sh write 8124 1 9\n";

/// The last line of a script, full.
fn told(last: &str) -> String {
    let mut lines = Lines::new();
    let told: Vec<_> = (parse(&format!("{SETUP}{last}")).unwrap().iter()).map(|e| lines.full_line(e, false)).collect();
    told.last().unwrap().clone()
}

#[test]
fn the_contracts_examples() {
    for (script, expected) in [
        ("0.001204 4711 ls write 8124 1 28 fill 28", "0.001204 4711 ls     write 28 B → pipe:[8124] (28/65536)"),
        ("0.001377 4712 wc read 8124 0 28 from 4711:28", "0.001377 4712 wc     read 28 B ← pipe:[8124] from ls"),
        (
            "0.020114 4710 sh signal USR1 4712 generated state BLOCKED",
            "0.020114 4710 sh     SIGUSR1 → 4712 (BLOCKED in read on pipe:[8124])",
        ),
        (
            "0.020131 4712 wc signal USR1 4712 delivered action handler pending 17us interrupted read verdict EINTR",
            "0.020131 4712 wc     SIGUSR1 delivered to handler after 17 µs; read interrupted: EINTR",
        ),
    ] {
        assert_eq!(told(script), expected);
    }
}

#[test]
fn every_kind() {
    for (script, expected) in [
        ("fork 4713", "fork → 4713"),
        ("fork 4713 thread", "new thread → 4713"),
        ("exec /bin/sh -c a|b …", "exec /bin/sh -c a|b …"),
        ("exit 0", "exit 0"),
        ("exit 7", "exit 7"),
        ("exit SIGSEGV core", "killed by SIGSEGV (core dumped)"),
        ("exit thread 0", "thread exit 0"),
        ("state RUNNING cpu1", "BLOCKED → RUNNING on cpu1"),
        ("state READY by 4711", "BLOCKED → READY (woken by ls)"),
        ("state READY by 99", "BLOCKED → READY (woken by pid 99)"),
        ("state READY by kernel", "BLOCKED → READY (woken by the kernel)"),
        ("state READY preempted", "BLOCKED → READY (preempted)"),
        ("state STOPPED traced", "BLOCKED → STOPPED (by a tracer)"),
        ("state BLOCKED write 8124", "BLOCKED → BLOCKED in write on pipe:[8124]"),
        ("state BLOCKED read fd 3", "BLOCKED → BLOCKED in read on fd 3"),
        ("state BLOCKED wait4 for 4711", "BLOCKED → BLOCKED in wait4 for ls"),
        ("state BLOCKED fault", "BLOCKED → BLOCKED on a page fault"),
        ("state BLOCKED io", "BLOCKED → BLOCKED on a device"),
        ("pipe 9 3 4", "create pipe:[9]: read end fd 3, write end fd 4"),
        ("open fifo:/tmp/f w 3", "open fifo:/tmp/f: write end fd 3"),
        ("dup 9 w 4 1", "duplicate pipe:[9]: write end fd 1 of fd 4"),
        ("inherit 9 r 3 from 4710", "inherit pipe:[9]: read end fd 3 from sh"),
        ("pass 9 rw 3 from 4710", "get pipe:[9]: both ends fd 3 from sh"),
        ("attach 9 r 0", "hold pipe:[9]: read end fd 0 (since before the trace)"),
        ("resize 9 1048576 256", "resize pipe:[9] to 1048576 B (256 buffers)"),
        ("close 9 r 3", "close pipe:[9]: read end fd 3"),
        ("write 8124 1 28 requested 100 fill 65536", "write 28 of 100 B → pipe:[8124] (65536/65536)"),
        ("write 8124 1 1 fill 16 slots 16/16", "write 1 B → pipe:[8124] (16/65536, all 16 buffers in use)"),
        ("write 9 1 28 fill 28", "write 28 B → pipe:[9] (28 B inside)"),
        ("write 8124 1 EPIPE requested 9", "write 9 B → pipe:[8124] failed: EPIPE (nobody holds the read end)"),
        ("write 8124 1 EAGAIN", "write → pipe:[8124] failed: EAGAIN (the channel is full)"),
        ("write 8124 1 9 by splice blocked 21us", "splice 9 B → pipe:[8124], blocked 21 µs"),
        ("read 8124 0 EAGAIN", "read ← pipe:[8124] failed: EAGAIN (the channel is empty)"),
        ("read 8124 0 EINTR blocked 2400ms", "read ← pipe:[8124] failed: EINTR, blocked 2.4 s"),
        ("read 8124 0 eof", "read end-of-file ← pipe:[8124]"),
        ("read 8124 0 9 from 4711:4,4710:3,4711:2", "read 9 B ← pipe:[8124] from ls 6 B, sh 3 B"),
        (
            "read 8124 0 9 from 1:1@1,2:1@2,3:1@3,4:1@4,5:5@5",
            "read 9 B ← pipe:[8124] from pid 1 1 B, pid 2 1 B, pid 3 1 B, pid 4 1 B and 1 more",
        ),
        ("read 8124 0 9 from overlap", "read 9 B ← pipe:[8124] from ? (sends overlapped)"),
        (
            "read 8124 0 9 from before-start peek",
            "read 9 B ← pipe:[8124] from ? (sent before the trace), left in place",
        ),
        ("read 8124 0 9 from 4711:9 discarded 4", "read 9 B ← pipe:[8124] from ls, 4 B discarded"),
        ("read 8124 0 9 from 4711:9 restarts 2", "read 9 B ← pipe:[8124] from ls, restarted 2x"),
        ("read 8124 0 0 unfinished", "read 0 B ← pipe:[8124], unfinished"),
        ("signal USR1 4712 generated state RUNNING", "SIGUSR1 → 4712 (RUNNING)"),
        ("signal USR1 99 generated external", "SIGUSR1 → 99 (not traced)"),
        ("signal INT 4712 generated tty pts/3 state READY", "SIGINT → 4712 (READY) from the terminal pts/3"),
        ("signal CHLD 4710 generated sender child code CLD_EXITED", "SIGCHLD → 4710 about child wc (CLD_EXITED)"),
        ("signal SEGV 4712 generated sender kernel code SEGV_MAPERR", "SIGSEGV → 4712 from the kernel (SEGV_MAPERR)"),
        ("signal ALRM 4712 generated sender timer", "SIGALRM → 4712 from a timer"),
        ("signal USR1 4712 pending masked", "SIGUSR1 pending: blocked by the mask"),
        ("signal USR1 4712 pending state STOPPED", "SIGUSR1 pending: the process is stopped"),
        ("signal USR1 4712 ignored", "SIGUSR1 ignored"),
        ("signal USR1 4712 coalesced into 1", "SIGUSR1 coalesced: one is pending already"),
        ("signal RTMIN+2 4712 overflowed", "SIGRTMIN+2 overflowed: the queue is full"),
        ("signal PIPE 4712 delivered action terminate pending 18us", "SIGPIPE delivered after 18 µs: terminates"),
        ("signal TSTP 4712 delivered action stop", "SIGTSTP delivered: stops"),
        (
            "signal USR1 4712 handled took 9us interrupted read verdict restarted",
            "SIGUSR1 handled in 9 µs; read interrupted: restarted",
        ),
        ("signal USR1 4712 handled took 9us verdict none", "SIGUSR1 handled in 9 µs"),
        ("signal USR1 4712 abandoned", "SIGUSR1: the handler never returned"),
        ("signal USR1 4712 consumed syscall rt_sigtimedwait", "SIGUSR1 consumed by rt_sigtimedwait"),
        ("signal USR1 4712 discarded reason exec", "SIGUSR1 discarded: exec"),
        ("lost 5 calls 0.5 0.75", "5 events lost (calls) between 0.500000 and 0.750000"),
    ] {
        let full = told(&format!("1 4712 wc {script}"));
        assert_eq!(full.strip_prefix("1.000000 4712 wc     "), Some(expected), "{full}");
    }
}

#[test]
fn an_event_by_itself() {
    let events = parse(&format!("{SETUP}1 4712 wc read 8124 0 9 from 4711:9")).unwrap();
    assert_eq!(line(events.last().unwrap()), "read 9 B ← pipe:[8124] from pid 4711");
}

#[test]
fn times_and_columns() {
    let events = parse("0.5 1 a exit 0\n2 123.4567 a_longer_name exit thread 0\n3 - - lost 1 x 0 1").unwrap();
    let all = |lines: Lines| {
        let mut lines = lines;
        events.iter().map(|e: &Event| lines.full_line(e, false)).collect::<Vec<_>>()
    };
    assert_eq!(
        all(Lines::new()),
        [
            "0.500000 1 a      exit 0",
            "2.000000 123/4567 a_longer_name thread exit 0",
            "3.000000        - -             1 events lost (x) between 0.000000 and 1.000000"
        ]
    );
    let start = |micros| TimeStyle::Clock { start: Nanos(86_399_000_000_000), micros };
    for (style, expected) in [
        (TimeStyle::Delta, ["0.500000", "1.500000", "1.000000"]),
        (start(false), ["23:59:59", "00:00:01", "00:00:02"]),
        (start(true), ["23:59:59.500000", "00:00:01.000000", "00:00:02.000000"]),
    ] {
        let lines = all(Lines::new().with_times(style));
        let times: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(times, expected);
    }
}

#[test]
fn payload_and_colour() {
    let events = parse("0 1 a write 7 1 9 payload y y\x01").unwrap();
    let event = events.first().unwrap();
    assert_eq!(Lines::new().with_payload(true).line(event), "write 9 B → pipe:[7]  \"y y\\x01\"…");
    assert_eq!(
        Lines::new().full_line(event, true),
        "\x1b[2m0.000000\x1b[0m 1 \x1b[1ma     \x1b[0m write 9 B → \x1b[36mpipe:[7]\x1b[0m"
    );
}

#[test]
fn the_sample_reads_well() {
    let mut lines = Lines::new();
    let text: Vec<_> = parse(SAMPLE).unwrap().iter().map(|e| lines.full_line(e, false)).collect();
    for expected in [
        "0.003340 4711 yes    RUNNING → BLOCKED in write on pipe:[8124]",
        "0.003700 4710 sh     SIGUSR1 → 4713 (BLOCKED in read on pipe:[8125])",
        "0.004022 4711 yes    SIGPIPE → 4711 (RUNNING) from the kernel (SI_KERNEL)",
        "0.004050 4711 yes    killed by SIGPIPE",
    ] {
        assert!(text.iter().any(|line| line == expected), "{expected}\n{}", text.join("\n"));
    }
}
