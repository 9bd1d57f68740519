//! Remote procedure calls: programs that know what they asked and were answered.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{Scratch, Trace, Value, ipcscope, number, text, trace_with, trace_workload, workload};

fn rpcs<'a>(trace: &'a Trace, role: &'a str) -> Vec<&'a Value> {
    trace.kind("rpc").filter(|event| event["role"] == role).collect()
}

/// Calls with their answers, `METHOD` to `STATUS`; every answer names its call, which came before it on the same channel
/// from somebody else, and its latency is what lies between the sends.
fn answered(trace: &Trace, protocol: &str) -> Vec<(String, String)> {
    let sends: BTreeMap<u64, &Value> = trace.kind("send").map(|send| (number(send, "op"), send)).collect();
    let mut calls: BTreeMap<u64, &Value> =
        rpcs(trace, "call").into_iter().map(|call| (number(call, "seq"), call)).collect();
    let mut all = Vec::new();
    for answer in trace.kind("rpc").filter(|event| event["role"] == "reply" || event["role"] == "error") {
        let call = calls.remove(&number(answer, "call")).unwrap();
        assert_eq!((&call["method"], &call["id"]), (&answer["method"], &answer["id"]), "{answer}");
        assert_eq!((text(call, "protocol"), text(answer, "protocol")), (protocol, protocol));
        assert_ne!(call["pid"], answer["pid"], "{answer}");
        let (asked, told) = (sends[&number(call, "of")], sends[&number(answer, "of")]);
        assert_eq!((&asked["pid"], &told["pid"]), (&call["pid"], &answer["pid"]));
        if protocol != "http" {
            let entered = number(asked, "t") - number(asked, "took_ns");
            assert_eq!(number(answer, "latency_ns"), number(told, "t") - entered, "{answer}");
        }
        all.push((text(call, "method").to_owned(), answer["status"].as_str().unwrap_or_default().to_owned()));
    }
    assert!(calls.is_empty(), "not answered: {calls:?}");
    all
}

/// HTTP requests as the clients saw them.
fn truth(truths: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let calls = truths.iter().filter(|(name, _)| name.starts_with("call-"));
    let mut calls: Vec<_> = calls
        .map(|(_, text)| text.split_once('|').map(|(call, status)| (call.to_owned(), status.to_owned())).unwrap())
        .collect();
    calls.sort();
    calls
}

#[test]
#[ignore = "root"]
fn http_requests_find_their_answers() {
    for (clients, requests) in ["1", "4", "16"].map(|clients| (clients, "20")) {
        let (trace, truths) = trace_workload(&["http", clients, requests]);
        let mut found = answered(&trace, "http");
        found.sort();
        let known = truth(&truths);
        assert_eq!(known.len(), clients.parse::<usize>().unwrap() * 20);
        assert_eq!(found, known);
        assert!(rpcs(&trace, "error").iter().all(|error| text(error, "status") == "404 Not Found"));
    }
}

#[test]
#[ignore = "root"]
fn pipelined_requests_are_answered_in_order() {
    let (trace, _) = trace_workload(&["http-pipelined"]);
    let found = answered(&trace, "http");
    let found: Vec<_> = found.iter().map(|(call, status)| (call.as_str(), status.as_str())).collect();
    assert_eq!(found, [("GET /one", "200 OK"), ("GET /missing", "404 Not Found"), ("GET /three", "200 OK")]);
    let calls = rpcs(&trace, "call");
    assert!(calls.iter().all(|call| call["of"] == calls[0]["of"]));
}

#[test]
#[ignore = "root"]
fn dbus_calls_find_their_returns() {
    let (trace, _) = trace_workload(&["dbus", "40"]);
    let found = answered(&trace, "dbus");
    assert_eq!(found.len(), 40);
    assert!(found.iter().all(|(method, _)| method == "org.example.Echo.Say"));
    assert_eq!(found.iter().filter(|(_, status)| status == "org.example.Error.No").count(), 10);
    let serials: Vec<u64> = rpcs(&trace, "call").iter().map(|call| number(call, "id")).collect();
    assert_eq!(serials, (1..=40).collect::<Vec<_>>());
    let signals = rpcs(&trace, "signal");
    assert_eq!(signals.len(), 40);
    assert!(signals.iter().all(|signal| text(signal, "method") == "org.example.Echo.Said"));
}

#[test]
#[ignore = "root"]
fn onc_calls_find_their_answers() {
    for over in ["udp", "tcp"] {
        let (trace, truths) = trace_workload(&["onc", over, "40"]);
        let server: u64 = truths["server"].parse().unwrap();
        let found = answered(&trace, "onc-rpc");
        assert_eq!(found.len(), 40, "{over}: {}", trace.text());
        for (index, (method, status)) in found.iter().enumerate() {
            let expected = if index % 2 == 0 { "portmap v2 GETPORT" } else { "nfs v3 LOOKUP" };
            let denied = if index % 4 == 3 { "AUTH_BADCRED" } else { "" };
            assert_eq!((method.as_str(), status.as_str()), (expected, denied));
        }
        let answers = rpcs(&trace, "reply");
        assert!(answers.iter().all(|answer| number(answer, "pid") == server));
    }
}

#[test]
#[ignore = "root"]
fn what_is_no_call_is_none() {
    let (trace, truths) = trace_workload(&["not-rpc"]);
    assert_eq!(trace.kind("send").filter(|e| e["type"] == "unix-stream").count().to_string(), truths["sends"]);
    assert_eq!(trace.kind("rpc").count(), 0, "{}", trace.text());
}

#[test]
#[ignore = "root"]
fn little_payload_is_kept_and_calls_are_read_all_the_same() {
    let file = Scratch::new("rpc");
    let program = workload();
    let record = file.0.to_str().unwrap();
    let trace = trace_with(&["-s", "8", "--record", record], &[program.to_str().unwrap(), "http", "1", "20"]);
    assert_eq!(answered(&trace, "http").len(), 20);
    assert!(trace.kind("send").filter(|s| s["type"] == "tcp").all(|s| text(s, "payload").len() <= 8 * 4));
    assert_eq!(trace.header["payload_limit"], 8);
    let printed = ipcscope().args(["print", "--json", record]).output().unwrap();
    let printed = common::lines(&String::from_utf8(printed.stdout).unwrap());
    assert_eq!(printed[1..printed.len() - 1], trace.events[..]);
}

#[test]
#[ignore = "root"]
fn calls_alone_can_be_captured() {
    let program = workload();
    let trace = trace_with(&["-e", "rpc"], &[program.to_str().unwrap(), "dbus", "3"]);
    assert!(trace.events.iter().all(|event| event["kind"] == "rpc"));
    assert_eq!(trace.events.len(), 9);
}
