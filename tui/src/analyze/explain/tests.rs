//! Sentences: one test per rule.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use super::explain;
use crate::model::{
    World,
    script::{SAMPLE, parse},
};

/// yes writes to 7, head reads from it; the shell has let go.
const SETUP: &str = "0 1 sh pipe 7 3 4\n0 1 sh fork 11\n0 1 sh fork 12\n0 11 yes inherit 7 w 1 from 1\n\
                     0 12 head inherit 7 r 0 from 1\n0 1 sh close 7 r 3\n0 1 sh close 7 w 4\n";

/// What is said of the last event, as one text.
fn said(script: &str) -> String {
    let mut world = World::new();
    let events = parse(&format!("{SETUP}{script}")).unwrap();
    for event in &events {
        world.apply(event);
    }
    explain(&world, events.last().unwrap()).join(" ")
}

#[track_caller]
fn check(rules: &[(&str, &str)]) {
    for (script, expected) in rules {
        let text = said(script);
        assert!(text.contains(expected), "{script}\nsays: {text}\nnot:  {expected}");
    }
}

#[test]
fn sends() {
    check(&[
        (
            "1 11 yes write 7 1 28",
            "yes (11) put 28 bytes into pipe:[7] by write: a unidirectional byte stream, buffered in the kernel.",
        ),
        ("1 11 yes write fifo:/f 1 1", "put 1 byte into fifo:/f by write: a named pipe"),
        ("1 11 yes write 7 1 28 fill 28", "It now holds 28 of 65536 bytes."),
        ("1 11 yes write 9 1 28 fill 28", "It now holds 28 bytes."),
        (
            "1 11 yes write 7 1 28 fill 65536",
            "It is full now (65536/65536 bytes): the next write will wait for a reader.",
        ),
        (
            "1 11 yes write 7 1 28 fill 448 slots 16/16",
            "All its 16 buffers are in use: it is full with 448 of 65536 bytes",
        ),
        ("1 11 yes write 7 1 28 requested 99 nonblock", "a part of the 99 asked for: the descriptor is non-blocking"),
        (
            "1 1 sh signal USR1 11 generated\n1 11 yes write 7 1 28 requested 99 interrupted 1",
            "a part of the 99 asked for: SIGUSR1 from sh (1) interrupted write",
        ),
        (
            "1 11 yes write 7 1 EPIPE",
            "Nobody holds the read end of pipe:[7] any more, so write failed with EPIPE. The kernel also sends SIGPIPE",
        ),
        ("1 11 yes write 7 1 EAGAIN", "pipe:[7] had no room, and the descriptor is non-blocking"),
        ("1 11 yes write 7 1 EFAULT", "write of yes (11) on pipe:[7] failed with EFAULT."),
        (
            "1 11 yes write 7 1 28 took 60us blocked 21us",
            "yes (11) was BLOCKED for 21 µs of the 60 µs it took. A writer is BLOCKED while the pipe is full.",
        ),
        ("1 11 yes write 7 1 1 unfinished", "The call never returned"),
        (
            "1 1 sh write 7 4 1\n1 11 yes write 7 1 4096",
            "several writers, but up to 4096 bytes (PIPE_BUF) stay in one piece",
        ),
        (
            "1 1 sh write 7 4 1\n1 11 yes write 7 1 4097",
            "several writers, and more than 4096 bytes (PIPE_BUF) may be mixed",
        ),
    ]);
}

#[test]
fn receives() {
    check(&[
        (
            "1 11 yes write 7 1 28\n1 12 head read 7 0 28 fill 0",
            "head (12) took 28 bytes out of pipe:[7] by read. They were sent by yes (11). The channel is empty now",
        ),
        (
            "1 11 yes write 7 1 28\n1 11 yes write 7 1 28\n1 12 head read 7 0 30",
            "They come from 2 sends, by yes (11): a byte stream keeps no boundaries between messages.",
        ),
        (
            "1 11 yes write 7 1 28\n1 1 sh write 7 4 2\n1 12 head read 7 0 30",
            "They come from 2 sends, by yes (11): 28 bytes and sh (1): 2 bytes",
        ),
        ("1 12 head read 7 0 9 from overlap", "Whose bytes they are is not known: sends overlapped"),
        ("1 12 head read 7 0 9 from external", "not known: their sender is not traced"),
        (
            "1 12 head read 7 0 eof",
            "pipe:[7] is empty and nobody holds its write end any more: read told head (12) end-of-file",
        ),
        ("1 12 head read 7 0 EAGAIN", "pipe:[7] was empty, and the descriptor is non-blocking"),
        ("1 12 head read 7 0 EINTR", "A signal interrupted read before a byte was moved"),
        (
            "1 1 sh signal USR1 12 generated\n1 12 head read 7 0 EINTR interrupted 1",
            "SIGUSR1 from sh (1) interrupted read before a byte was moved: it failed with EINTR.",
        ),
        ("1 12 head read 7 0 9 peek by tee", "The bytes stay in the channel"),
        ("1 12 head read 7 0 9 discarded 3", "its last 3 bytes are gone"),
        ("1 12 head read 7 0 9 blocked 2ms", "A reader is BLOCKED while the pipe is empty"),
        (
            "1 1 sh signal USR1 12 generated\n1 12 head read 7 0 9 restarts 1 interrupted 1",
            "Signals interrupted it (SIGUSR1 from sh (1)), and the kernel started it again, once.",
        ),
    ]);
}

#[test]
fn channels() {
    check(&[
        (
            "1 1 sh pipe 8 5 6",
            "sh (1) made pipe:[8]: a unidirectional byte stream, buffered in the kernel. What is written to fd 6 is read from fd 5, in the same order. It holds up to 65536 bytes.",
        ),
        ("1 1 sh open fifo:/f w 5", "sh (1) opened the write end of fifo:/f (fd 5): a named pipe"),
        (
            "1 12 head dup 7 r 0 5",
            "head (12) copied its descriptor of fd 0: the read end of pipe:[7] now has one more (fd 5).",
        ),
        (
            "1 12 head inherit 7 r 5 from 1",
            "fork copied the open descriptors: head (12) holds the read end of pipe:[7] (fd 5) as sh (1) does.",
        ),
        ("1 12 head pass 7 w 5 from 11", "got the write end of pipe:[7] (fd 5) from yes (11) through a socket"),
        ("1 12 head attach 7 w 5", "held the write end of pipe:[7] (fd 5) when the trace began"),
        ("1 12 head resize 7 1048576 256", "changed how much pipe:[7] can hold to 1048576 bytes"),
        (
            "1 11 yes close 7 w 1",
            "No process in the trace holds a write end any more: once it is empty, readers get end-of-file.",
        ),
        ("1 11 yes dup 7 w 1 5\n1 11 yes close 7 w 1", "A write end is still open in yes (11, fd 5): no end-of-file"),
        ("1 12 head close 7 r 0", "who writes now gets EPIPE and SIGPIPE"),
    ]);
}

#[test]
fn states() {
    check(&[
        (
            "1 12 head state BLOCKED read 7",
            "head (12) is BLOCKED in read, because pipe:[7] is empty. Its write end is open in yes (11, fd 1): it waits until there is data, or the last of these is closed.",
        ),
        (
            "1 11 yes close 7 w 1\n1 12 head attach 7 w 5\n1 12 head state BLOCKED read 7",
            "Its write end is open only in head (12, fd 5): unless another thread acts, it waits for itself forever.",
        ),
        ("1 11 yes close 7 w 1\n1 12 head state BLOCKED read 7", "No process in the trace holds its write end."),
        (
            "1 11 yes state BLOCKED write 7",
            "yes (11) is BLOCKED in write, because pipe:[7] is full. Its read end is open in head (12, fd 0): it waits until there is room.",
        ),
        (
            "1 11 yes state BLOCKED write 7 uninterruptible",
            "yes (11) is BLOCKED in write on pipe:[7]. No signal can wake it",
        ),
        ("1 1 sh state BLOCKED wait4", "until one of its children changes its state"),
        ("1 1 sh state BLOCKED wait4 for 12", "until its child head (12) changes its state"),
        ("1 1 sh state BLOCKED nanosleep", "it sleeps until a time"),
        ("1 1 sh state BLOCKED futex", "a lock or condition"),
        ("1 1 sh state BLOCKED poll", "until one of several descriptors is ready"),
        ("1 1 sh state BLOCKED pause", "until a signal comes"),
        ("1 1 sh state BLOCKED read fd 4", "is BLOCKED in read on fd 4"),
        ("1 1 sh state BLOCKED fault", "until a page of its memory"),
        ("1 1 sh state BLOCKED io", "until a device has answered"),
        ("1 12 head state BLOCKED read 7\n2 12 head state READY by 11", "yes (11) made head (12) READY."),
        ("1 12 head state READY by kernel", "The kernel (an interrupt or a timer) made head (12) READY"),
        ("1 12.13 head state READY by 12", "Thread 12 of its own process made head (12, thread 13) READY"),
        ("1 12 head state READY preempted", "was preempted"),
        ("1 12 head state RUNNING cpu2", "The scheduler gave head (12) CPU 2."),
        ("1 12 head state NEW", "has not run yet"),
        ("1 12 head state STOPPED", "until SIGCONT or SIGKILL"),
        ("1 12 head state STOPPED traced", "held by a tracer"),
        ("1 12 head state ZOMBIE", "What is left is its exit code"),
        ("1 12 head state DEAD", "has been reaped"),
    ]);
}

#[test]
fn signals() {
    check(&[
        ("1 1 sh signal USR1 12 generated syscall kill", "sh (1) sent SIGUSR1 to head (12) by kill."),
        ("1 1 sh signal USR1 12 generated thread 13", "to thread 13 of head (12)"),
        ("1 12 head signal ABRT 12 generated", "head (12) sent SIGABRT to itself."),
        (
            "1 11 yes signal PIPE 11 generated sender kernel",
            "yes (11), which wrote into a channel that nobody can read from",
        ),
        ("1 - - signal SEGV 11 generated code SEGV_MAPERR", "The kernel sent SIGSEGV to yes (11) (SEGV_MAPERR)."),
        ("1 - - signal ALRM 11 generated sender timer", "A timer ran out"),
        (
            "1 - - signal TSTP 11 generated tty pts/3",
            "The terminal pts/3 sent SIGTSTP to its foreground process group; yes (11) is one of it. Ctrl-Z is SIGTSTP, although slides often say SIGSTOP",
        ),
        (
            "1 12 head signal CHLD 1 generated sender child code CLD_EXITED",
            "sh (1) is told by SIGCHLD that its child head (12) has ended by itself (CLD_EXITED). The child is a ZOMBIE",
        ),
        ("1 1 sh signal TERM 12 generated group 1", "to several processes at once"),
        ("1 1 sh signal TERM 99 generated external", "process 99 is not traced"),
        (
            "1 1 sh signal USR1 12 generated state RUNNING",
            "head (12) was RUNNING: unless it ignores SIGUSR1, it takes the signal on its way out of the kernel",
        ),
        (
            "1 1 sh signal USR1 12 generated state READY",
            "head (12) was READY: unless it ignores SIGUSR1, it takes the signal when it gets the CPU",
        ),
        (
            "1 1 sh signal USR1 12 generated state BLOCKED",
            "head (12) was BLOCKED: unless it ignores SIGUSR1, the signal makes it READY and cuts its wait short",
        ),
        ("1 1 sh signal USR1 12 generated state STOPPED", "the signal waits until SIGCONT"),
        ("1 1 sh signal USR1 12 generated state BLOCKED masked", "its mask blocks SIGUSR1: it will be pending"),
        ("1 1 sh signal USR1 12 generated state BLOCKED action ignore", "ignores SIGUSR1: nothing happens"),
        ("1 12 head signal USR1 12 pending masked", "pending until the mask lets it through"),
        ("1 12 head signal USR1 12 pending state STOPPED", "is stopped: SIGUSR1 stays pending"),
        ("1 12 head signal CHLD 12 ignored", "head (12) ignores SIGCHLD"),
        (
            "1 12 head signal USR1 12 coalesced into 7",
            "One SIGUSR1 (#7) was pending for head (12) already. Standard signals are not queued",
        ),
        ("1 12 head signal RTMIN 12 overflowed", "RLIMIT_SIGPENDING"),
        ("1 12 head signal USR1 12 abandoned", "never returned"),
        (
            "1 12 head signal USR1 12 consumed syscall rt_sigtimedwait",
            "took SIGUSR1 out of its queue by rt_sigtimedwait",
        ),
        ("1 12 head signal USR1 12 discarded reason SIGCONT", "a SIGCONT drops pending stop signals"),
        ("1 12 head signal PIPE 12 delivered action terminate", "the default action of SIGPIPE ends it."),
        ("1 12 head signal SEGV 12 delivered action core", "with a core dump"),
        ("1 12 head signal TSTP 12 delivered action stop", "SIGTSTP stops head (12) until SIGCONT"),
        ("1 12 head signal CONT 12 delivered action continue", "lets head (12) go on"),
    ]);
}

#[test]
fn senders_and_faults() {
    check(&[
        (
            "1 1 sh signal RTMIN+1 12 generated syscall rt_sigqueueinfo value 42",
            "by rt_sigqueueinfo, with the value 42.",
        ),
        (
            "1 1 sh signal TERM 12 generated group 1 pgrp 12",
            "It is a multicast: every member of process group 12 gets it.",
        ),
        (
            "1 1 sh signal TERM 12 generated group 1 broadcast",
            "It is a broadcast (kill(-1)): SIGTERM goes to every process",
        ),
        ("1 - - signal INT 11 generated tty pts/3", "Ctrl-C is SIGINT: the terminal makes the signal"),
        ("1 - - signal QUIT 11 generated tty pts/3", "is SIGQUIT: like Ctrl-C, but its default action dumps core."),
        ("1 - - signal WINCH 11 generated tty pts/3", "Its window has another size now"),
        ("1 - - signal HUP 11 generated tty pts/3", "The line was hung up"),
        ("1 1 sh signal KILL 12 generated", "SIGKILL cannot be caught, blocked or ignored."),
        ("1 1 sh signal STOP 12 generated", "SIGSTOP cannot be caught, blocked or ignored."),
        (
            "1 - - signal SEGV 11 generated code SEGV_MAPERR address 0x10",
            "It is a fault of its own making: there is no memory at the address it used (address 0x10). The thread was RUNNING, and gets the signal at once.",
        ),
        ("1 - - signal SEGV 11 generated code SEGV_ACCERR", "does not allow what it did. The thread"),
        ("1 - - signal FPE 11 generated code FPE_INTDIV", "it divided an integer by zero"),
        ("1 - - signal ILL 11 generated", "its own instruction could not be carried out"),
        (
            "1 12 head signal CHLD 1 generated sender child code CLD_STOPPED",
            "its child head (12) was stopped (CLD_STOPPED).",
        ),
        ("1 12 head signal CHLD 1 generated sender child code CLD_KILLED", "was killed by a signal (CLD_KILLED)."),
    ]);
}

#[test]
fn what_becomes_of_a_signal() {
    check(&[
        (
            "1 12 head signal USR1 12 pending masked mask USR1|TERM",
            "blocks SIGUSR1 by its mask (SIGUSR1 and SIGTERM): it stays",
        ),
        ("1 12 head signal CONT 12 ignored action continue", "It goes on all the same if it was stopped"),
        (
            "1 12 head signal USR1 12 consumed by rt_sigtimedwait",
            "by rt_sigtimedwait; no handler runs. It had blocked the signal",
        ),
        ("1 12 head signal USR1 12 discarded reason exit", "was dropped before delivery: its target ended first."),
        ("1 12 head signal USR1 12 discarded reason SA_RESTART", "was dropped before delivery: SA_RESTART."),
        ("1 12 head signal USR1 12 consumed by read", "It reads its signals like data (signalfd)."),
        ("1 12 head signal KILL 12 delivered action terminate", "SIGKILL ends head (12): it cannot be caught"),
        ("1 12 head signal STOP 12 delivered action stop", "SIGTSTP, which Ctrl-Z sends, can."),
        ("1 12 head signal USR1 12 delivered handler 0x1 nesting 1", "It interrupts another handler: handlers nest"),
        ("1 12 head signal USR1 12 delivered handler 0x1 flags SA_RESETHAND", "for one time only"),
        ("1 12 head signal USR1 12 delivered handler 0x1 flags SA_NODEFER", "may interrupt its own handler"),
        ("1 12 head signal USR1 12 delivered handler 0x1 flags SA_ONSTACK", "a stack of its own"),
        (
            "1 - - signal TSTP 12 generated tty pts/3\n1 12 head signal TSTP 12 delivered action stop\n1 12 head state STOPPED",
            "head (12) is stopped by SIGTSTP from the terminal and stays so until SIGCONT",
        ),
        ("1 12 head state STOPPED", "head (12) is stopped by a signal and"),
    ]);
}

/// The whole story of the lecture, in its words.
#[test]
fn a_blocked_target_is_made_ready_by_the_signal() {
    let chain = "1 12 head state BLOCKED read 7\n2 1 sh signal USR1 12 generated syscall kill state BLOCKED\n\
                 2.000004 12 head state READY by 1\n";
    check(&[
        (chain, "sh (1) made head (12) READY. SIGUSR1 from sh (1) was on its way to it, and a signal ends a wait"),
        (
            &format!(
                "{chain}2.00001 12 head state RUNNING cpu0\n2.000011 12 head signal USR1 12 delivered handler 0x10 pending 11us interrupted read:7 verdict EINTR"
            ),
            "head (12) was BLOCKED in read on the empty pipe:[7]. SIGUSR1 from sh (1) made it READY after 4 µs and was \
             delivered 11 µs after it was sent. head (12) has a handler (0x10): it runs now, on top of what the thread was \
             doing. The handler has no SA_RESTART, so read failed with EINTR",
        ),
        (
            &format!(
                "{chain}2.00003 12 head signal USR1 12 handled handler 0x10 took 9us flags SA_RESTART interrupted read:7 verdict restarted"
            ),
            "SIGUSR1 from sh (1) made it READY after 4 µs. The handler of head (12) for SIGUSR1 returned after 9 µs.",
        ),
    ]);
    // As the kernel tells it: the wake-up first.
    check(&[(
        "1 12 head state BLOCKED read 7\n2 12 head state READY by 1\n2.000005 1 sh signal USR1 12 generated state BLOCKED\n\
         2.00001 12 head state RUNNING cpu0\n2.000011 12 head signal USR1 12 delivered handler 0x10 pending 6us interrupted read:7",
        "SIGUSR1 from sh (1) made it READY at once and was delivered 6 µs after it was sent.",
    )]);
    // Woken by another, the signal only came then.
    let other = said(
        "1 12 head state BLOCKED read 7\n2 1 sh signal USR1 12 generated state BLOCKED\n3 12 head state READY by 11\n\
         4 12 head signal USR1 12 delivered handler 0x10 pending 2s interrupted read:7",
    );
    assert!(other.contains("SIGUSR1 from sh (1) was delivered to it 2 s later."), "{other}");
    // A signal that is blocked wakes nobody.
    let masked = said(
        "1 12 head state BLOCKED read 7\n2 1 sh signal USR1 12 generated state BLOCKED masked\n3 12 head state READY by 1",
    );
    assert!(!masked.contains("SIGUSR1"), "{masked}");
}

#[test]
fn verdicts() {
    check(&[(
        "1 11 yes signal PIPE 11 generated sender kernel state RUNNING\n2 11 yes signal PIPE 11 delivered action terminate",
        "yes (11) was RUNNING. SIGPIPE from the kernel was delivered to it.",
    )]);
    let sent = "1 1 sh signal USR1 12 generated state BLOCKED\n2 12 head signal USR1 12 ";
    for (step, expected) in [
        (
            "delivered handler 0x10 pending 11us interrupted read:7 verdict EINTR",
            "head (12) was BLOCKED in read on the empty pipe:[7]. SIGUSR1 from sh (1) was delivered to it 11 µs later. head (12) has \
             a handler (0x10): it runs now, on top of what the thread was doing. The handler has no SA_RESTART, so read \
             failed with EINTR: the program has to call it again.",
        ),
        (
            "handled handler 0x10 took 9us flags SA_RESTART interrupted read:7 verdict restarted",
            "head (12) was BLOCKED in read on the empty pipe:[7]. SIGUSR1 from sh (1) came. The handler of head (12) for SIGUSR1 \
             returned after 9 µs. The handler has SA_RESTART, so the kernel started read again: the program notices \
             nothing.",
        ),
        (
            "handled handler 0x10 flags SA_RESTART interrupted nanosleep verdict EINTR",
            "nanosleep failed with EINTR although the handler has SA_RESTART: this call is not restarted (signal(7)).",
        ),
        ("handled handler 0x10 interrupted write:7 verdict partial", "write had done a part and returned how much."),
        ("delivered action stop interrupted read:7 verdict restarted", "The kernel started read again"),
        ("delivered handler 0x10 interrupted read:7", "what becomes of it shows when the handler has returned"),
    ] {
        check(&[(&format!("{sent}{step}"), expected)]);
    }
}

#[test]
fn processes() {
    check(&[
        ("1 1 sh fork 14", "sh (1) created process 14: a copy of itself, with copies of its open descriptors."),
        ("1 1 sh fork 14 thread", "sh (1) started thread 14"),
        ("1 12 head exec /bin/head -n 1", "head (12) now runs /bin/head."),
        (
            "1 12 head exit 0",
            "head (12) ended with exit code 0 (success by convention). The process's descriptors are closed; it stays a ZOMBIE until its parent sh (1) has waited for it.",
        ),
        (
            "1 1 sh exit 3",
            "exit code 3 (failure by convention). The process's descriptors are closed; it stays a ZOMBIE until its parent has",
        ),
        ("1 12 head state ZOMBIE", "What is left is its exit code, until its parent sh (1) waits for it."),
        ("1 12 head exit SIGSEGV core", "was killed by SIGSEGV, and its memory was saved as a core dump"),
        ("1 12.13 head exit thread 0", "This thread is gone, its process lives on."),
        ("1 - - lost 5 sched 0 1", "5 records could not be handed over in time and are missing here (sched)."),
    ]);
}

#[test]
fn waits_of_other_kinds() {
    check(&[
        (
            "1 12 head state BLOCKED poll set 7,8 fds 3,5",
            "head (12) is BLOCKED in poll: it waits for any of pipe:[7] and pipe:[8].",
        ),
        ("1 12 head state BLOCKED select set 7 fds 3,5,6", "it waits for any of pipe:[7] and 2 other descriptors."),
        ("1 12 head state BLOCKED epoll_wait set 7 fds 3", "in epoll_wait: it waits for pipe:[7]."),
        ("1 12 head state BLOCKED poll fds 3,4 cut", "in poll: it waits for any of more than 2 descriptors."),
        ("1 12 head state BLOCKED poll fds 3", "in poll: it waits for fd 3."),
        ("1 12 head state BLOCKED poll", "in poll until one of several descriptors is ready."),
        ("1 12 head state BLOCKED read 7 peer 11", "At the other end is yes (11)."),
        ("1 12 head state BLOCKED flock lock /tmp/f", "Another holds the lock on /tmp/f."),
        ("1 12 head state BLOCKED futex lock word", "It waits for another thread to unlock it."),
        ("1 12 head state BLOCKED read 7 restarts 2", "start this call again, 2 times so far."),
        ("1 12 head state BLOCKED read 7 uninterruptible", "No signal can wake it from this wait"),
    ]);
}

#[test]
fn what_changes_is_told_of_its_moment_only() {
    let events = parse(&format!("{SETUP}1 12 head state BLOCKED read 7\n2 11 yes close 7 w 1")).unwrap();
    let mut world = World::new();
    for event in &events {
        world.apply(event);
    }
    let read = events.iter().rev().nth(1).unwrap();
    assert_eq!(explain(&world, read), ["head (12) is BLOCKED in read, because pipe:[7] is empty."]);
}

#[test]
fn every_event_of_the_sample_has_something_to_say() {
    let mut world = World::new();
    for event in parse(SAMPLE).unwrap() {
        world.apply(&event);
        assert!(!explain(&world, &event).is_empty(), "{event:?}");
    }
}
