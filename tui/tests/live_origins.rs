//! Where signals come from besides kill(2), and that each ends exactly once: terminals, timers, files, message queues,
//! children; tracers and exec. The workloads know what they did.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{Trace, Value, is, number, text, trace_workload};

fn pid(truth: &BTreeMap<String, String>, name: &str) -> u64 {
    truth[name].parse().unwrap()
}

fn pids(truth: &BTreeMap<String, String>, name: &str) -> Vec<u64> {
    truth[name].split(' ').map(|pid| pid.parse().unwrap()).collect()
}

/// Traces a workload in which everybody ends: then every instance that was generated inside has ended, once. So has one
/// that nobody generated because a tracer made it of another.
fn origins(workload: &str) -> (Trace, BTreeMap<String, String>) {
    let (trace, truth) = trace_workload(&[workload]);
    let mut lives: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for event in trace.kind("signal").filter(|event| event["to"]["external"] != true) {
        let runs = event["phase"] == "delivered" && event["action"] == "handler";
        lives.entry(number(event, "id")).or_default().push(if runs { "runs" } else { text(event, "phase") });
    }
    for (id, phases) in lives {
        let ends = phases.iter().filter(|phase| !matches!(**phase, "generated" | "pending" | "runs")).count();
        let begins = phases[0] == "generated" || workload == "tracer" && phases[0] == "runs";
        assert!(begins && ends == 1, "{id}: {phases:?}\n{}", trace.text());
    }
    (trace, truth)
}

fn to<'a>(trace: &'a Trace, signal: &'a str, phase: &'a str, pid: u64) -> Vec<&'a Value> {
    trace.signals(signal, phase).into_iter().filter(|event| event["to"]["pid"] == pid).collect()
}

#[test]
#[ignore = "root"]
fn keys_go_to_the_group_in_the_foreground() {
    let (trace, truth) = origins("keys");
    let members = pids(&truth, "members");
    let mut numbers = Vec::new();
    for signal in ["SIGTSTP", "SIGINT"] {
        let generated = trace.signals(signal, "generated");
        let mut reached: Vec<u64> = generated.iter().map(|event| number(&event["to"], "pid")).collect();
        reached.sort_unstable();
        assert_eq!(reached, members, "{signal}");
        for event in &generated {
            assert_eq!(event["sender"], serde_json::json!({"kind": "terminal", "tty": truth["tty"]}), "{event}");
            assert!(event["pid"].is_null() && event["op"].is_null(), "nobody sent it: {event}");
            assert_eq!(event["process_group"], pid(&truth, "group"), "{event}");
            assert_eq!(event["multicast"], generated[0]["multicast"], "one act: {event}");
        }
        numbers.push(number(generated[0], "multicast"));
    }
    assert_ne!(numbers[0], numbers[1], "two keys");
    for member in members {
        assert_eq!(trace.phases("SIGTSTP", member), ["generated", "delivered"]);
        assert_eq!(to(&trace, "SIGTSTP", "delivered", member)[0]["action"], "stop");
        let handles = truth[&format!("status-{member}")] == "1792";
        assert_eq!(
            trace.phases("SIGINT", member)[2..],
            [if handles { "abandoned" } else { "" }][usize::from(!handles)..]
        );
        let exit = trace.one("exit", |event| is(event, "exit") && event["pid"] == member);
        assert_eq!(exit["signal"], if handles { Value::Null } else { "SIGINT".into() });
        // The shell continues them by one call.
        let continued = to(&trace, "SIGCONT", "generated", member)[0];
        assert_eq!((&continued["sender"]["kind"], &continued["syscall"]), (&"process".into(), &"kill".into()));
    }
    let shell = pid(&truth, "shell");
    let told: Vec<&Value> = to(&trace, "SIGCHLD", "generated", shell);
    assert!(told.iter().all(|event| event["sender"]["kind"] == "child"), "{told:?}");
    assert_eq!(told.iter().filter(|event| event["code"] == "CLD_STOPPED").count(), 3, "{told:?}");
}

#[test]
#[ignore = "root"]
fn a_hangup_is_told_to_the_leader_and_then_to_the_group() {
    let (trace, truth) = origins("hangup");
    let (leader, members) = (pid(&truth, "leader"), pids(&truth, "members"));
    let first = to(&trace, "SIGHUP", "generated", leader)[0];
    assert_eq!(first["sender"]["kind"], "terminal", "{first}");
    assert!(first["multicast"].is_null() && first["process_group"].is_null(), "to the leader alone: {first}");
    assert_eq!(trace.phases("SIGHUP", leader), ["generated", "delivered", "abandoned"]);
    let multicast = &to(&trace, "SIGHUP", "generated", members[0])[0]["multicast"];
    for &member in &members {
        let event = to(&trace, "SIGHUP", "generated", member)[0];
        assert_eq!(event["sender"]["kind"], "terminal", "{event}");
        assert_eq!((&event["process_group"], &event["multicast"]), (&members[0].into(), multicast), "{event}");
        assert!(number(event, "t") > number(first, "t"));
        assert_eq!(trace.phases("SIGHUP", member), ["generated", "delivered"]);
        // The one that continues whoever was stopped.
        assert_eq!(to(&trace, "SIGCONT", "generated", member)[0]["sender"]["kind"], "terminal");
    }
    assert!(multicast.is_number());
}

#[test]
#[ignore = "root"]
fn a_file_s_signal_is_the_kernel_s() {
    let (trace, truth) = origins("asyncio");
    let me = pid(&truth, "pid");
    assert_eq!(truth["handled"], "1");
    let generated = to(&trace, "SIGIO", "generated", me)[0];
    assert_eq!(generated["sender"], serde_json::json!({"kind": "kernel"}), "{generated}");
    assert!(generated["pid"].is_null(), "the writer did not mean to: {generated}");
    assert_eq!(trace.phases("SIGIO", me), ["generated", "delivered", "handled"]);
}

#[test]
#[ignore = "root"]
fn a_message_queue_s_signal_is_its_sender_s() {
    let (trace, truth) = origins("notify");
    let me = pid(&truth, "pid");
    assert_eq!(truth["handled"], "1");
    let generated = to(&trace, "SIGUSR1", "generated", me)[0];
    let sender = pid(&truth, "sender");
    assert_eq!((&generated["sender"]["kind"], &generated["sender"]["pid"]), (&"process".into(), &sender.into()));
    assert_eq!((&generated["code"], &generated["value"]), (&"SI_MESGQ".into(), &42.into()));
    assert_eq!(trace.phases("SIGUSR1", me), ["generated", "delivered", "handled"]);
}

#[test]
#[ignore = "root"]
fn a_timer_s_signals_merge_with_its_own() {
    let (trace, truth) = origins("posix-timer");
    assert_eq!(truth["handled"], "2");
    let timers: Vec<&Value> = trace.kind("signal").filter(|event| event["sender"]["kind"] == "timer").collect();
    let of = |phase: &str| timers.iter().filter(|event| event["phase"] == phase).copied().collect::<Vec<_>>();
    assert!(of("generated").iter().all(|event| event["code"] == "SI_TIMER" && event["pid"].is_null()), "{timers:?}");
    let handled: Vec<u64> = of("handled").iter().map(|event| number(event, "id")).collect();
    let first = |value: u64| number(of("generated").iter().find(|event| event["value"] == value).unwrap(), "id");
    assert_eq!(handled.len(), 2);
    assert!(handled.contains(&first(41)) && handled.contains(&first(42)), "{timers:?}");
    // The kernel counts the overruns of a timer instead: it tells of none, or of a signal that is there already.
    for event in of("coalesced") {
        assert_ne!(number(event, "into"), first(41), "the other timer's: {event}");
    }
}

#[test]
#[ignore = "root"]
fn a_timer_that_is_deleted_takes_its_signal_along() {
    let (trace, truth) = origins("timer-deleted");
    let timers: Vec<&Value> = trace.kind("signal").filter(|event| event["sender"]["kind"] == "timer").collect();
    let ends: Vec<&&Value> =
        timers.iter().filter(|event| !matches!(text(event, "phase"), "generated" | "pending" | "delivered")).collect();
    assert_eq!(ends.len(), 2, "{timers:?}");
    if truth["handled-timer"] == "0" {
        let reasons: Vec<&str> = ends.iter().map(|event| text(event, "reason")).collect();
        assert_eq!(reasons, ["timer deleted", "timer set anew"]);
    } else {
        // Before 6.13 they arrive all the same.
        assert!(ends.iter().all(|event| event["phase"] == "handled"), "{ends:?}");
    }
    // The one that comes later is not mistaken for them.
    let sent = trace.one("kill", |event| is(event, "signal") && event["syscall"] == "kill");
    let handled = trace.one("handled", |event| event["phase"] == "handled" && event["id"] == sent["id"]);
    assert_eq!(handled["sender"]["kind"], "process");
}

#[test]
#[ignore = "root"]
fn children_that_nobody_waits_for() {
    let (trace, truth) = origins("autoreap");
    let me = pid(&truth, "pid");
    assert_eq!(truth["handled"], "1");
    let (told, untold) = (pid(&truth, "told"), pid(&truth, "untold"));
    let sent = to(&trace, "SIGCHLD", "generated", me);
    assert_eq!(sent.len(), 1, "none where it is ignored: {sent:?}");
    assert_eq!((&sent[0]["sender"]["kind"], &sent[0]["sender"]["pid"]), (&"child".into(), &told.into()));
    assert!(sent[0]["flags"].as_array().unwrap().contains(&"SA_NOCLDWAIT".into()), "{}", sent[0]);
    for child in [told, untold] {
        let states: Vec<&str> =
            trace.kind("state").filter(|event| event["tid"] == child).map(|event| text(event, "to")).collect();
        assert_eq!(states.last(), Some(&"DEAD"), "{states:?}");
    }
}

#[test]
#[ignore = "root"]
fn what_a_tracer_does_with_signals() {
    let (trace, truth) = origins("tracer");
    let child = pid(&truth, "child");
    assert_eq!(truth["handled"], "2");
    assert_eq!(trace.phases("SIGUSR1", child), ["generated", "delivered", "handled"], "passed on");
    let suppressed = trace.signals("SIGUSR2", "generated")[0];
    let end = trace.one("end", |event| event["id"] == suppressed["id"] && event["phase"] == "discarded");
    assert_eq!(end["reason"], "tracer");
    assert_eq!(trace.phases("SIGHUP", child), ["generated", "discarded"], "became another");
    let other = trace.one("delivered", |event| event["signal"] == "SIGUSR2" && event["phase"] == "handled");
    assert_ne!(other["id"], suppressed["id"]);
    let stops = trace.kind("state").filter(|event| event["tid"] == child && event["traced"] == true).count();
    assert_eq!(stops, 3);
}

#[test]
#[ignore = "root"]
fn an_interruption_without_delivery_is_told_on_the_call() {
    let (trace, truth) = origins("undelivered");
    let child = pid(&truth, "child");
    assert_eq!(truth["got"], "1");
    let read = trace.one("read", |event| {
        is(event, "recv") && event["pid"] == child && event["channel"] == truth["channel"].as_str()
    });
    assert_eq!((number(read, "restarts"), number(read, "bytes")), (1, 1), "{read}");
    assert!(read["interrupted_by"].as_array().is_none_or(Vec::is_empty), "nothing was delivered: {read}");
    assert_eq!(trace.phases("SIGUSR1", child), ["generated", "discarded"]);
    let waits = trace.kind("state").filter(|event| event["pid"] == child && event["on"]["op"] == read["op"]);
    assert_eq!(waits.count(), 2, "before and after it: the same call");
}

#[test]
#[ignore = "root"]
fn exec_takes_the_signals_of_other_threads_away() {
    for workload in ["exec-discards", "exec-continues"] {
        let (trace, truth) = origins(workload);
        let (goes, stays, child) = (pid(&truth, "goes"), pid(&truth, "stays"), pid(&truth, "child"));
        let sent = |tid: u64| {
            trace.one("tgkill", |event| event["phase"] == "generated" && event["to"]["tid"] == tid)["id"].clone()
        };
        let end = |id: &Value| trace.one("end", |event| event["id"] == *id && event["phase"] == "discarded");
        assert_eq!(end(&sent(goes))["reason"], "exec", "{workload}");
        assert_eq!(end(&sent(stays))["reason"], "exit", "{workload}: it lived on");
        assert_eq!(trace.phases("SIGUSR2", child), ["generated", "pending", "discarded"]);
        assert_eq!(trace.signals("SIGUSR2", "discarded")[0]["reason"], "exit", "{workload}");
        let exec = trace.kind("exec").find(|event| event["pid"] == child).unwrap();
        assert!(number(end(&sent(goes)), "seq") < number(exec, "seq"), "{workload}");
    }
}
