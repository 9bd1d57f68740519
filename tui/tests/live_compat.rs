//! 32-bit calls are followed like any other, and say what they are.
#![expect(clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{Trace, Value, number, text, trace_workload};

/// A trace of all of them, and what the program says; none where the kernel has no such calls.
fn traced() -> Option<(Trace, BTreeMap<String, String>)> {
    let (trace, truth) = trace_workload(&["compat"]);
    if truth["compat"] != "all" {
        println!("SKIPPED (this kernel has no 32-bit calls)");
        return None;
    }
    Some((trace, truth))
}

/// A call: its name, the bytes, whether it is a 32-bit one; of a receive, how many bytes are from which sends.
type Moved = (String, u64, bool, Vec<u64>);

/// A channel's sends and receives with bytes.
fn calls(trace: &Trace, channel: &str) -> Vec<Moved> {
    let of = |event: &Value| {
        let from = event["from"].as_array().into_iter().flatten().map(|part| number(part, "bytes")).collect();
        (text(event, "syscall").to_owned(), number(event, "bytes"), event["via"] == "compat", from)
    };
    let on = |event: &&Value| event["channel"] == channel && (event["kind"] == "send" || event["kind"] == "recv");
    trace.events.iter().filter(on).filter(|event| event["bytes"].is_u64()).map(of).collect()
}

/// The same as the tests write it.
fn expected(calls: &[(&str, u64, bool, &[u64])]) -> Vec<Moved> {
    calls.iter().map(|&(call, bytes, compat, from)| (call.to_owned(), bytes, compat, from.to_vec())).collect()
}

#[test]
#[ignore = "root"]
fn calls_of_32_bit_are_followed_like_any_other() {
    let Some((trace, truth)) = traced() else { return };
    trace.is_whole();
    trace.edges_are_right();
    trace.signals_end_once();

    // Between plain calls, a 32-bit one is what it is: nobody takes its bytes for theirs.
    assert_eq!(
        calls(&trace, &truth["pipe"]),
        expected(&[
            ("write", 5, false, &[]),
            ("read", 5, false, &[5]),
            ("write", 6, true, &[]),
            ("write", 6, false, &[]),
            ("read", 6, false, &[6]),
            ("read", 6, false, &[6]),
        ])
    );
    assert_eq!(calls(&trace, &truth["vectored"]), expected(&[("writev", 10, true, &[]), ("readv", 10, true, &[10])]));
    let vectored = trace.on("send", &truth["vectored"]).next().unwrap_or_else(|| panic!("no send"));
    assert_eq!(text(vectored, "payload"), "narrnarrow");
    assert_eq!(
        calls(&trace, &truth["socket"]),
        expected(&[
            ("sendto", 12, true, &[]),
            ("recvfrom", 12, true, &[12]),
            ("sendmsg", 7, true, &[]),
            ("recvmsg", 7, true, &[7]),
        ])
    );
    // No address was given, though something stands where it would.
    assert!(trace.on("send", &truth["socket"]).all(|event| event["to"].is_null() && event["address"].is_null()));
    let passed: Vec<u64> = trace
        .on("channel", &truth["passed"])
        .filter(|event| event["event"] == "passed")
        .map(|event| number(event, "fd"))
        .collect();
    assert_eq!(passed.last().map(u64::to_string).as_ref(), truth.get("descriptor"));
    assert_eq!(passed.len(), 2);
}

#[test]
#[ignore = "root"]
fn calls_of_32_bit_on_queues_and_semaphores_are_told() {
    let Some((trace, truth)) = traced() else { return };
    let queue = format!("sysv-mq:{}", truth["queue"]);
    let sends: Vec<(u64, u64)> =
        trace.on("send", &queue).map(|event| (number(event, "msg_type"), number(event, "op"))).collect();
    let received: Vec<(u64, u64)> =
        trace.on("recv", &queue).map(|event| (number(event, "msg_type"), number(&event["from"][0], "op"))).collect();
    assert_eq!(sends.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [5, 7]);
    assert_eq!(received, [sends[1], sends[0]]);
    assert!(trace.on("send", &queue).chain(trace.on("recv", &queue)).all(|event| event["via"] == "compat"));
    let set = format!("sysv-sem:{}", truth["set"]);
    let values: Vec<(i64, u64)> = trace
        .events
        .iter()
        .filter(|event| event["channel"] == set.as_str() && event["operations"].is_array())
        .map(|event| (event["operations"][0]["change"].as_i64().unwrap_or(0), number(&event["operations"][0], "value")))
        .collect();
    assert_eq!(values, [(3, 3), (-1, 2)]);
}

#[test]
#[ignore = "root"]
fn signals_and_calls_of_32_bit_know_each_other() {
    let Some((trace, truth)) = traced() else { return };
    assert_eq!((truth["restarted"].as_str(), truth["interrupted"].as_str()), ("1", "-4"));
    let sent = trace.signals("SIGUSR1", "generated");
    assert_eq!(sent.iter().map(|event| text(event, "syscall")).collect::<Vec<_>>(), ["kill"]);
    let restarted = trace.one("restarted", |event| event["kind"] == "recv" && event["restarts"] == 1);
    // What it waited before the signal, though the handler made a call in between.
    assert!(number(restarted, "blocked_ns") > 50_000_000, "{restarted}");
    let verdicts: Vec<&str> =
        trace.signals("SIGALRM", "handled").into_iter().map(|event| text(event, "verdict")).collect();
    assert_eq!(verdicts, ["restarted", "EINTR"]);
}
