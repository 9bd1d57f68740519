//! What BLOCKED threads wait for: the sets of poll(2) and its kin, and who is at the other end.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Trace, Value, number, trace_workload};

/// The waits of a process in a call, in order.
fn waits<'a>(trace: &'a Trace, pid: u64, syscall: &'a str) -> Vec<&'a Value> {
    trace
        .kind("state")
        .filter(|event| event["pid"] == pid && event["to"] == "BLOCKED" && event["on"]["syscall"] == syscall)
        .map(|event| &event["on"])
        .collect()
}

fn words<'a>(value: &'a Value, field: &str) -> Vec<&'a str> {
    value[field].as_array().map(|list| list.iter().map(|word| word.as_str().unwrap()).collect()).unwrap_or_default()
}

#[test]
#[ignore = "root"]
fn a_set_is_told_with_its_channels() {
    let (trace, truth) = trace_workload(&["sets"]);
    let mut cases = 0;
    for (case, told) in truth.iter().filter(|(name, _)| name.contains('/')) {
        let (call, case) = case.split_once('/').unwrap();
        let parts: Vec<&str> = told.split(' ').collect();
        let (pid, channels): (u64, Vec<&str>) = (parts[0].parse().unwrap(), parts[1].split(',').collect());
        let fds: Vec<u64> = parts[2].split(',').map(|fd| fd.parse().unwrap()).collect();
        let waits = waits(&trace, pid, call);
        // Before the stop and after it: the same call.
        assert!(waits.len() >= 2 || call.starts_with("epoll"), "{call}/{case}: {waits:?}");
        for on in waits {
            let told = words(on, "channels");
            let told_fds: Vec<u64> = on["fds"].as_array().unwrap().iter().map(|fd| fd.as_u64().unwrap()).collect();
            if case == "many" && !call.contains("select") {
                assert_eq!((told.len(), on["cut"] == true), (32, true), "{call}/{case}: {on}");
                assert!(told.iter().all(|channel| channels.contains(channel)), "{call}/{case}: {on}");
            } else {
                let (mut told, mut channels) = (told, channels.clone());
                // The workload names pipes only; the other one is an eventfd.
                let counters = told.extract_if(.., |channel| channel.starts_with("eventfd:")).count();
                assert_eq!(counters, usize::from(case == "mixed"), "{call}/{case}: {on}");
                told.sort_unstable();
                channels.sort_unstable();
                assert_eq!(told, channels, "{call}/{case}: {on}");
                let mut told_fds = told_fds;
                told_fds.sort_unstable();
                assert_eq!(told_fds, fds, "{call}/{case}: {on}");
                assert!(on["cut"].is_null(), "{on}");
            }
            assert!(on["channel"].is_null(), "a set, not a channel: {on}");
            number(on, "op");
        }
        cases += 1;
    }
    assert_eq!(cases, 24);
}

#[test]
#[ignore = "root"]
fn the_one_process_at_the_other_end_is_named() {
    let (trace, truth) = trace_workload(&["peers"]);
    for others in ["1", "2"] {
        let of = |name: &str| truth[&format!("{name}-{others}")].parse::<u64>().unwrap();
        let names: Vec<&str> = truth[&format!("names-{others}")].split(' ').collect();
        let (reader, writer) = (of("reader"), of("writer"));
        let on = |pid: u64, call: &str, channel: &str| {
            waits(&trace, pid, call).into_iter().rfind(|on| on["channel"] == channel).cloned().unwrap_or_default()
        };
        // By then its maker has closed its own ends.
        let reading = on(reader, "read", names[0]);
        let writing = on(writer, "write", names[1]);
        if others == "1" {
            assert_eq!(reading["peer"]["pid"], writer, "{reading}");
        } else {
            assert!(reading["peer"].is_null(), "two: {reading}");
        }
        assert_eq!(writing["peer"]["pid"], reader, "{writing}");
    }
}
