//! What each lesson must show, whether it was recorded or is traced now.
//!
//! Other kinds of channels may be traced besides: only those that a lesson is about are looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::{Trace, Value, number, text};

/// The trace of a lesson shows what the lesson says.
pub fn shows(lesson: &str, trace: &Trace) {
    match lesson {
        "connect" => connect(trace),
        "fifo" => fifo(trace),
        "eintr" => eintr(trace),
        "queue" => queue(trace),
        "http" => http(trace),
        "multicast" => multicast(trace),
        "dbus" => dbus(trace),
        "rpc" => rpc(trace),
        other => panic!("there is no lesson {other}"),
    }
}

/// Transfers through channels of that kind, but for those that nobody who is traced receives from: standard output
/// may be one.
fn of<'a>(trace: &'a Trace, kind: &'a str, mechanism: &'a str) -> Vec<&'a Value> {
    let received: BTreeSet<&str> =
        trace.kind("recv").filter(|event| event["type"] == mechanism).map(|event| text(event, "channel")).collect();
    trace.kind(kind).filter(|event| event["type"] == mechanism && received.contains(text(event, "channel"))).collect()
}

fn by<'a>(events: &[&'a Value], comm: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["comm"] == comm).copied().collect()
}

/// On every channel of that kind as many bytes were received as were sent, by those who are named as their senders.
fn nothing_is_missing(trace: &Trace, mechanism: &str) {
    let (sends, receives) = (of(trace, "send", mechanism), of(trace, "recv", mechanism));
    let sum = |events: &[&Value]| {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for event in events {
            *sums.entry(text(event, "channel").to_owned()).or_default() += event["bytes"].as_u64().unwrap_or(0);
        }
        sums
    };
    assert!(!sends.is_empty(), "nobody sent on a {mechanism}: {}", trace.text());
    assert_eq!(sum(&sends), sum(&receives), "{mechanism}");
    for event in receives.iter().filter(|event| event["bytes"].as_u64().unwrap_or(0) > 0) {
        assert!(event["from"].as_array().is_some_and(|from| !from.is_empty()), "{event}");
    }
}

/// Calls with what was answered, in order of the answers: `METHOD: STATUS`.
fn calls(trace: &Trace, protocol: &str) -> Vec<String> {
    let all: Vec<_> = trace.kind("rpc").filter(|event| event["protocol"] == protocol).collect();
    let mut calls: BTreeMap<u64, &Value> =
        all.iter().filter(|event| event["role"] == "call").map(|call| (number(call, "seq"), *call)).collect();
    let mut answered = Vec::new();
    for answer in all.iter().filter(|event| event["role"] == "reply" || event["role"] == "error") {
        let call = calls.remove(&number(answer, "call")).expect("an answer to one call");
        assert_eq!(call["method"], answer["method"], "{answer}");
        assert_ne!(call["pid"], answer["pid"], "{answer}");
        assert!(number(answer, "latency_ns") > 1_000_000, "the server takes its time: {answer}");
        answered.push(format!("{}: {}", text(call, "method"), answer["status"].as_str().unwrap_or("done")));
    }
    assert!(calls.is_empty(), "not answered: {calls:?}");
    answered
}

/// Whoever is called that was BLOCKED in a call on that channel, or, where the channel is not known yet, in a call of
/// that name; waits for a disk or a lock of the kernel are not meant.
fn waited(trace: &Trace, comm: &str, call: &str) -> usize {
    let waits = |event: &&Value| {
        event["comm"] == comm && event["to"] == "BLOCKED" && text(&event["on"], "syscall").starts_with(call)
    };
    let states = trace.kind("state").filter(|event| !event["on"]["syscall"].is_null());
    states.filter(|event| event["on"]["uninterruptible"] != true).filter(waits).count()
}

fn connect(trace: &Trace) {
    nothing_is_missing(trace, "pipe");
    let (sends, receives) = (of(trace, "send", "pipe"), of(trace, "recv", "pipe"));
    assert_eq!(by(&sends, "ls").len(), sends.len());
    assert_eq!(by(&receives, "wc").len(), receives.len());
    let executed: Vec<_> = trace.kind("exec").map(|exec| text(exec, "exe").rsplit('/').next().unwrap()).collect();
    assert!(executed.ends_with(&["wc", "ls"]), "{executed:?}");
    let end = receives.last().unwrap();
    assert_eq!(end["eof"], true);
    let ls = trace.one("the end of ls", |event| event["kind"] == "exit" && event["comm"] == "ls");
    assert!(number(ls, "t") < number(end, "t") - number(end, "took_ns") || number(end, "blocked_ns") > 1_000_000);
    assert!(waited(trace, "wc", "read") >= 1);
}

fn fifo(trace: &Trace) {
    nothing_is_missing(trace, "fifo");
    let (sends, receives) = (of(trace, "send", "fifo"), of(trace, "recv", "fifo"));
    assert_eq!((by(&sends, "writer").len(), by(&sends, "writer2").len(), sends.len()), (2, 2, 4));
    assert_eq!(receives.iter().filter(|event| event["eof"] == true).count(), 2);
    assert!(receives.iter().all(|event| event["comm"] == "reader"));
    assert!(sends.iter().all(|event| text(event, "channel").contains("/lesson-fifo-")));
    assert_eq!(waited(trace, "reader", "open"), 2, "{}", trace.text());
}

fn eintr(trace: &Trace) {
    let delivered = |signal| {
        let phases = trace.signals(signal, "handled");
        phases.iter().map(|event| event["verdict"].as_str().unwrap_or("none").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(delivered("SIGUSR1"), ["EINTR", "none"]);
    assert_eq!(delivered("SIGUSR2"), ["restarted"]);
    assert_eq!(trace.signals("SIGUSR1", "pending").len(), 1);
    assert_eq!(trace.signals("SIGUSR1", "coalesced").len(), 2);
    nothing_is_missing(trace, "pipe");
}

fn queue(trace: &Trace) {
    let (sends, receives) = (of(trace, "send", "sysv-mq"), of(trace, "recv", "sysv-mq"));
    assert_eq!((sends.len(), receives.len()), (8, 8));
    for event in &receives {
        let from = event["from"].as_array().unwrap_or_else(|| panic!("{event}"));
        let send = sends.iter().find(|send| send["op"] == from[0]["op"]).unwrap();
        assert_eq!((from.len(), &send["msg_type"], &send["bytes"]), (1, &event["msg_type"], &event["bytes"]));
        let kind = if event["comm"] == "server" { 1 } else { number(event, "pid") };
        assert_eq!(number(event, "msg_type"), kind, "{event}");
    }
    assert!(waited(trace, "server", "msgrcv") >= 1);
    trace.one("the removal", |event| event["type"] == "sysv-mq" && event["event"] == "removed");
}

fn http(trace: &Trace) {
    nothing_is_missing(trace, "tcp");
    let ok = "200 OK";
    assert_eq!(
        calls(trace, "http"),
        [
            format!("GET /hello: {ok}"),
            format!("POST /echo: {ok}"),
            "GET /missing: 404 Not Found".to_owned(),
            format!("GET /late: {ok}")
        ]
    );
}

fn multicast(trace: &Trace) {
    // The socket that found a port was closed before the others were made.
    assert!(trace.kind("channel").all(|event| event["type"] != "udp" || event["event"] != "inherited"));
    let (sends, receives) = (of(trace, "send", "udp"), of(trace, "recv", "udp"));
    assert_eq!((sends.len(), receives.len()), (3, 9));
    for send in &sends {
        assert_eq!(send["comm"], "sender");
        let got = receives.iter().filter(|event| event["from"][0]["op"] == send["op"]);
        let mut who: Vec<_> = got.map(|event| text(event, "comm")).collect();
        who.sort_unstable();
        assert_eq!(who, ["receiver1", "receiver2", "receiver3"], "{send}");
    }
}

fn dbus(trace: &Trace) {
    nothing_is_missing(trace, "unix-stream");
    let of = "org.example.Calculator";
    assert_eq!(
        calls(trace, "dbus"),
        [
            format!("{of}.Add: done"),
            format!("{of}.Divide: done"),
            format!("{of}.Divide: org.example.Error.DividedByZero")
        ]
    );
    let signal = trace.one("the signal", |event| event["kind"] == "rpc" && event["role"] == "signal");
    assert_eq!((&signal["comm"], text(signal, "method")), (&"service".into(), &*format!("{of}.Done")));
}

fn rpc(trace: &Trace) {
    nothing_is_missing(trace, "tcp");
    assert!(of(trace, "recv", "udp").iter().all(|event| event["from"].as_array().is_some_and(|from| from.len() == 1)));
    let expected = ["portmap v2 NULL: done", "portmap v2 GETPORT: done", "nfs v3 NULL: done"];
    let calls = calls(trace, "onc-rpc");
    assert_eq!(calls[..3], expected);
    assert_eq!(calls[3..], ["nfs v3 GETATTR: PROC_UNAVAIL"]);
}
