//! Signals and states: each workload knows what it sent and what it saw.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{Trace, Value, is, number, text, trace_workload};

fn pid(truth: &BTreeMap<String, String>, name: &str) -> u64 {
    truth[name].parse().unwrap()
}

/// States of a process's first thread, in order.
fn states(trace: &Trace, pid: u64) -> Vec<&str> {
    trace.kind("state").filter(|event| event["tid"] == pid).map(|event| text(event, "to")).collect()
}

fn only<'a>(trace: &'a Trace, signal: &'a str, phase: &'a str) -> &'a Value {
    let found = trace.signals(signal, phase);
    assert_eq!(found.len(), 1, "{signal} {phase}: {}", trace.text());
    found[0]
}

#[test]
#[ignore = "root"]
fn every_way_to_send_is_told_with_its_call() {
    let (trace, truth) = trace_workload(&["senders"]);
    let me = pid(&truth, "pid");
    assert_eq!(truth["handled"], "6");
    for (signal, calls, code, scope) in [
        ("SIGUSR1", &["kill"][..], "SI_USER", "process"),
        ("SIGUSR2", &["tgkill"], "SI_TKILL", "thread"),
        ("SIGHUP", &["rt_sigqueueinfo"], "SI_QUEUE", "process"),
        ("SIGWINCH", &["pidfd_send_signal"], "SI_USER", "process"),
        ("SIGURG", &["tkill"], "SI_TKILL", "thread"),
        ("SIGINT", &["tgkill", "tkill", "kill"], "", "thread"),
    ] {
        let generated = only(&trace, signal, "generated");
        assert_eq!((&generated["sender"]["kind"], &generated["sender"]["pid"]), (&"process".into(), &me.into()));
        assert_eq!((&generated["pid"], &generated["to"]["pid"]), (&me.into(), &me.into()));
        assert!(calls.contains(&text(generated, "syscall")), "{generated}");
        if !code.is_empty() {
            // Linux 7.2 no longer says SI_USER.
            assert!(generated["code"] == code || generated["code"].is_null(), "{generated}");
            assert_eq!(generated["scope"], scope, "{generated}");
        }
        assert_eq!(trace.phases(signal, me), ["generated", "delivered", "handled"], "{signal}");
        let handled = only(&trace, signal, "handled");
        assert_eq!((&handled["id"], &handled["verdict"]), (&generated["id"], &"none".into()));
        assert_eq!(handled["action"], "handler");
        number(handled, "handler_ns");
    }
}

#[test]
#[ignore = "root"]
fn ignored_signals_end_as_ignored() {
    let (trace, truth) = trace_workload(&["ignored"]);
    let child = pid(&truth, "child");
    for signal in ["SIGUSR1", "SIGWINCH"] {
        assert_eq!(trace.phases(signal, child), ["generated", "ignored"]);
        let generated = only(&trace, signal, "generated");
        assert_eq!((&generated["action"], &generated["target_state"]), (&"ignore".into(), &"BLOCKED".into()));
    }
    assert!(!states(&trace, child).is_empty());
}

#[test]
#[ignore = "root"]
fn a_second_of_a_kind_coalesces_with_the_first() {
    let (trace, truth) = trace_workload(&["coalesced"]);
    let me = pid(&truth, "pid");
    assert_eq!(truth["handled"], "1");
    assert_eq!(
        trace.phases("SIGUSR1", me),
        ["generated", "pending", "generated", "coalesced", "generated", "coalesced", "delivered", "handled"]
    );
    let first = number(trace.signals("SIGUSR1", "generated")[0], "id");
    for coalesced in trace.signals("SIGUSR1", "coalesced") {
        assert_eq!(number(coalesced, "into"), first);
        assert_ne!(number(coalesced, "id"), first);
    }
    assert_eq!(number(only(&trace, "SIGUSR1", "handled"), "id"), first);
}

#[test]
#[ignore = "root"]
fn a_blocked_signal_is_pending_until_it_is_let_in() {
    let (trace, truth) = trace_workload(&["masked"]);
    let me = pid(&truth, "pid");
    assert_eq!((truth["handled-before"].as_str(), truth["handled"].as_str()), ("0", "1"));
    assert_eq!(trace.phases("SIGUSR1", me), ["generated", "pending", "delivered", "handled"]);
    assert_eq!(only(&trace, "SIGUSR1", "generated")["blocked_by_mask"], true);
    assert!(number(only(&trace, "SIGUSR1", "delivered"), "pending_ns") >= 100_000_000);
}

#[test]
#[ignore = "root"]
fn a_handler_without_restart_makes_a_read_fail() {
    let (trace, truth) = trace_workload(&["eintr"]);
    let child = pid(&truth, "child");
    assert_eq!((truth["saw"].as_str(), truth["handled"].as_str()), ("EINTR", "1"));
    assert_eq!(trace.phases("SIGUSR1", child), ["generated", "delivered", "handled"]);
    let generated = only(&trace, "SIGUSR1", "generated");
    assert_eq!(generated["target_state"], "BLOCKED");
    let handled = only(&trace, "SIGUSR1", "handled");
    assert_eq!(handled["verdict"], "EINTR");
    let read =
        trace.one("the read", |e| is(e, "recv") && e["pid"] == child && e["channel"] == truth["channel"].as_str());
    assert_eq!((&read["error"], &read["syscall"]), (&"EINTR".into(), &"read".into()));
    assert_eq!((&handled["interrupted"]["op"], &handled["interrupted"]["syscall"]), (&read["op"], &"read".into()));
    assert_eq!(read["interrupted_by"], Value::from(vec![number(handled, "id")]));
    assert!(number(read, "blocked_ns") >= 40_000_000, "{read}");
}

#[test]
#[ignore = "root"]
fn a_handler_with_restart_lets_a_read_go_on() {
    let (trace, truth) = trace_workload(&["restart"]);
    let child = pid(&truth, "child");
    assert_eq!((truth["saw"].as_str(), truth["handled"].as_str()), ("5", "1"));
    let handled = only(&trace, "SIGUSR1", "handled");
    assert_eq!(handled["verdict"], "restarted");
    assert!(handled["flags"].as_array().unwrap().contains(&"SA_RESTART".into()), "{handled}");
    let read =
        trace.one("the read", |e| is(e, "recv") && e["pid"] == child && e["channel"] == truth["channel"].as_str());
    assert_eq!((number(read, "bytes"), number(read, "restarts")), (5, 1));
    assert_eq!(read["interrupted_by"], Value::from(vec![number(handled, "id")]));
    assert!(number(read, "took_ns") >= 80_000_000, "from its first entry: {read}");
    assert!(number(read, "blocked_ns") >= 80_000_000, "both waits count: {read}");
}

#[test]
#[ignore = "root"]
fn a_restarted_call_keeps_its_number() {
    let (trace, truth) = trace_workload(&["restart"]);
    let child = pid(&truth, "child");
    let handled = only(&trace, "SIGUSR1", "handled");
    let read =
        trace.one("the read", |e| is(e, "recv") && e["pid"] == child && e["channel"] == truth["channel"].as_str());
    assert_eq!(handled["interrupted"]["op"], read["op"]);
    let waits = |e: &&Value| e["pid"] == child && e["on"]["channel"] == truth["channel"].as_str();
    for wait in trace.kind("state").filter(waits) {
        assert_eq!(wait["on"]["op"], read["op"], "{wait}");
    }
}

#[test]
#[ignore = "root"]
fn a_stopped_process_is_stopped_until_it_is_continued() {
    let (trace, truth) = trace_workload(&["stop"]);
    let child = pid(&truth, "child");
    assert_eq!(truth["status"], "0");
    let stopped: Vec<&Value> =
        trace.kind("state").filter(|event| event["tid"] == child && event["to"] == "STOPPED").collect();
    assert_eq!(stopped.len(), 1, "{:?}", states(&trace, child));
    assert!(stopped[0]["traced"].is_null() || stopped[0]["traced"] == false);
    let delivered = only(&trace, "SIGSTOP", "delivered");
    assert_eq!((&delivered["action"], &delivered["to"]["pid"]), (&"stop".into(), &child.into()));
    // What comes while it is stopped has to wait.
    let sent = only(&trace, "SIGUSR1", "generated");
    assert_eq!(sent["target_state"], "STOPPED");
    assert_eq!(trace.phases("SIGUSR1", child), ["generated", "pending", "delivered", "handled"]);
    assert!(number(only(&trace, "SIGUSR1", "delivered"), "pending_ns") >= 90_000_000);
    let continued = only(&trace, "SIGCONT", "generated");
    assert_eq!((&continued["target_state"], &continued["action"]), (&"STOPPED".into(), &"continue".into()));
    let after = trace.kind("state").find(|e| e["tid"] == child && e["from"] == "STOPPED").unwrap();
    assert!(number(after, "t") + 1_000_000 >= number(continued, "t"), "{after}");
}

#[test]
#[ignore = "root"]
fn a_signal_to_a_group_is_one_multicast() {
    let (trace, truth) = trace_workload(&["group"]);
    let children: Vec<u64> = truth["children"].split(' ').map(|pid| pid.parse().unwrap()).collect();
    let generated = trace.signals("SIGTERM", "generated");
    assert_eq!(generated.len(), 3, "{generated:?}");
    let mut to: Vec<u64> = generated.iter().map(|event| number(&event["to"], "pid")).collect();
    to.sort_unstable();
    let mut sorted = children.clone();
    sorted.sort_unstable();
    assert_eq!(to, sorted);
    for event in &generated {
        assert_eq!((&event["multicast"], &event["op"]), (&generated[0]["multicast"], &generated[0]["op"]), "{event}");
        number(event, "multicast");
    }
    for child in children {
        assert_eq!(trace.phases("SIGTERM", child), ["generated", "delivered"]);
        let exit = trace.one("exit", |event| is(event, "exit") && event["pid"] == child);
        assert_eq!(exit["signal"], "SIGTERM");
    }
}

#[test]
#[ignore = "root"]
fn an_alarm_comes_from_a_timer() {
    let (trace, truth) = trace_workload(&["alarm"]);
    assert_eq!((truth["error"].as_str(), truth["handled"].as_str()), ("EINTR", "1"));
    let generated = only(&trace, "SIGALRM", "generated");
    assert_eq!(generated["sender"]["kind"], "timer", "{generated}");
    // The interrupt wakes it before it tells of the signal.
    assert_eq!(generated["target_state"], "BLOCKED", "{generated}");
    assert!(generated["pid"].is_null() && generated["sender"]["pid"].is_null(), "nobody sent it: {generated}");
    let handled = only(&trace, "SIGALRM", "handled");
    assert_eq!((&handled["verdict"], &handled["interrupted"]["syscall"]), (&"EINTR".into(), &"pause".into()));
}

#[test]
#[ignore = "root"]
fn a_bad_address_is_the_kernels_signal() {
    let (trace, truth) = trace_workload(&["segv"]);
    let child = pid(&truth, "child");
    assert_eq!(truth["status"], "11");
    let generated = only(&trace, "SIGSEGV", "generated");
    assert_eq!((&generated["sender"]["kind"], &generated["code"]), (&"kernel".into(), &"SEGV_MAPERR".into()));
    assert!(generated["pid"].is_null(), "nobody sent it: {generated}");
    let delivered = only(&trace, "SIGSEGV", "delivered");
    assert_eq!(delivered["action"], "core");
    let exit = trace.one("exit", |event| is(event, "exit") && event["pid"] == child);
    assert_eq!((&exit["signal"], &exit["core"]), (&"SIGSEGV".into(), &false.into()));
    let died = trace.signals("SIGCHLD", "generated").into_iter().find(|e| e["sender"]["pid"] == child).unwrap();
    assert_eq!((&died["sender"]["kind"], &died["code"]), (&"child".into(), &"CLD_KILLED".into()));
}

#[test]
#[ignore = "root"]
fn a_fatal_signal_keeps_its_name() {
    for (workload, threads) in [("term", 0), ("threads-term", 3)] {
        let (trace, truth) = trace_workload(&[workload]);
        let child = pid(&truth, "child");
        assert_eq!(truth["status"], "15");
        assert_eq!(trace.phases("SIGTERM", child), ["generated", "delivered"], "{workload}");
        assert_eq!(only(&trace, "SIGTERM", "delivered")["action"], "terminate");
        assert!(trace.phases("SIGKILL", child).is_empty(), "{workload}: {}", trace.text());
        let exits: Vec<&Value> = trace.kind("exit").filter(|event| event["pid"] == child).collect();
        assert_eq!(exits.len(), 1 + threads);
        assert!(exits.iter().all(|event| event["signal"] == "SIGTERM"), "{exits:?}");
        assert_eq!(exits.iter().filter(|event| event["thread"] == false).count(), 1, "{exits:?}");
        trace.everybody_ends();
    }
}

#[test]
#[ignore = "root"]
fn a_handler_can_be_interrupted_by_another() {
    let (trace, truth) = trace_workload(&["nested"]);
    let me = pid(&truth, "pid");
    let phases: Vec<(&str, &str)> = trace
        .kind("signal")
        .filter(|event| event["to"]["pid"] == me)
        .map(|event| (text(event, "signal"), text(event, "phase")))
        .collect();
    assert_eq!(
        phases,
        [
            ("SIGUSR1", "generated"),
            ("SIGUSR1", "delivered"),
            ("SIGUSR2", "generated"),
            ("SIGUSR2", "delivered"),
            ("SIGUSR2", "handled"),
            ("SIGUSR1", "handled"),
        ]
    );
}

#[test]
#[ignore = "root"]
fn a_signal_that_is_waited_for_is_consumed() {
    let (trace, truth) = trace_workload(&["sigwait"]);
    assert_eq!(truth["took"], "10");
    assert_eq!(trace.phases("SIGUSR1", pid(&truth, "pid")), ["generated", "pending", "consumed"]);
}

#[test]
#[ignore = "root"]
fn real_time_signals_queue() {
    let (trace, truth) = trace_workload(&["realtime"]);
    assert_eq!(truth["handled"], "3");
    let me = pid(&truth, "pid");
    // glibc keeps two for itself, musl three: the number is what counts.
    let events: Vec<&Value> =
        trace.kind("signal").filter(|event| number(event, "signo") > 31 && event["to"]["pid"] == me).collect();
    assert!(events.iter().all(|event| text(event, "signal").starts_with("SIGRTMIN+")), "{events:?}");
    let count = |phase: &str| events.iter().filter(|event| event["phase"] == phase).count();
    assert_eq!((count("generated"), count("pending"), count("handled")), (3, 3, 3));
    assert_eq!(count("coalesced"), 0);
}

#[test]
#[ignore = "root"]
fn a_handler_that_never_returns_is_abandoned() {
    let (trace, truth) = trace_workload(&["longjmp"]);
    assert_eq!(trace.phases("SIGUSR1", pid(&truth, "child")), ["generated", "delivered", "abandoned"]);
}
