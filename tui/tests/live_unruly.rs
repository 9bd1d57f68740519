//! Datagrams that a network has doubled or reordered are told as such, each with the send it came from.
//!
//! The network is the loopback of a namespace, with tc(8): a mirror doubles, two classes of different rates reorder.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{Trace, Value, number, text, trace_with, truths, workload};

/// What a script says that found it cannot have what it needs.
const NOT_HERE: i32 = 77;

/// `unruly COUNT` on a loopback that `rules` were told to; `None`, said loudly, if there is none to be had.
fn unruly(rules: &str, count: &str) -> Option<(Trace, BTreeMap<String, String>)> {
    let program = workload();
    let script = format!("{{ ip link set lo up && {rules}; }} || exit {NOT_HERE}; exec \"$0\" \"$@\"");
    let program = program.to_str().unwrap();
    let trace = trace_with(&[], &["unshare", "-n", "sh", "-ec", &script, program, "unruly", count]);
    // 127: there is no unshare(1).
    if matches!(trace.status.code(), Some(NOT_HERE | 127)) {
        println!("SKIPPED (no loopback with rules of tc(8) here): {}", trace.stderr);
        return None;
    }
    assert_eq!(trace.status.code(), Some(0), "{}", trace.stderr);
    trace.is_whole();
    trace.edges_are_right();
    let truths = truths(&trace.stdout);
    Some((trace, truths))
}

/// Number and fate of each datagram in the order in which they were received; its origin has to have sent that number.
fn received(trace: &Trace, to: &str) -> Vec<String> {
    let channel = format!("udp:{to}");
    let sent: BTreeMap<u64, &Value> = trace.on("send", &channel).map(|send| (number(send, "op"), send)).collect();
    let arrived = trace.on("recv", &channel).filter(|receive| receive["error"].is_null());
    let told = arrived.map(|receive| {
        let from = receive["from"].as_array().unwrap_or_else(|| unreachable!("{receive}"));
        assert_eq!(from.len(), 1, "{receive}");
        assert_eq!(text(sent[&number(&from[0], "op")], "payload"), text(receive, "payload"), "{receive}");
        let arrival = receive["arrival"].as_str().map(|arrival| format!(" {arrival}")).unwrap_or_default();
        format!("{}{arrival}", text(receive, "payload").trim())
    });
    told.collect()
}

#[test]
#[ignore = "root"]
fn a_datagram_that_came_twice_is_told_as_a_duplicate() {
    // What comes from the loopback's own way back in has a local source, which is refused otherwise.
    let rules = "for rule in all/accept_local lo/accept_local lo/route_localnet; do \
                 echo 1 > /proc/sys/net/ipv4/conf/$rule || exit 77; done && tc qdisc add dev lo clsact && \
                 tc filter add dev lo egress bpf bytecode '1,6 0 0 4294967295,' action mirred ingress mirror dev lo";
    let Some((trace, truth)) = unruly(rules, "5") else { return };
    assert_eq!(truth["got"], "0,0,1,1,2,2,3,3,4,4");
    let twice = (0..5).flat_map(|number| [number.to_string(), format!("{number} duplicate")]);
    assert_eq!(received(&trace, &truth["to"]), twice.collect::<Vec<_>>(), "{}", trace.text());
}

#[test]
#[ignore = "root"]
fn datagrams_that_overtook_each_other_are_told_as_reordered() {
    let rules = "tc qdisc add dev lo root handle 1: htb default 20 && \
                 tc class add dev lo parent 1: classid 1:10 htb rate 8kbit burst 1 cburst 1 quantum 2000 && \
                 tc class add dev lo parent 1: classid 1:20 htb rate 1gbit quantum 2000";
    let Some((trace, truth)) = unruly(rules, "6") else { return };
    let told = received(&trace, &truth["to"]);
    let order: Vec<&str> = told.iter().map(|told| told.split(' ').next().unwrap()).collect();
    assert_eq!(order.join(","), truth["got"]);
    assert!(truth["got"] != "0,1,2,3,4,5", "nothing was reordered");
    // Late is what came behind one that was sent later.
    let mut latest = 0;
    for told in &told {
        let (number, arrival) = told.split_once(' ').unwrap_or((told, ""));
        let number: u32 = number.parse().unwrap();
        assert_eq!(arrival, if number < latest { "reordered" } else { "" }, "{told:?} of {}", truth["got"]);
        latest = latest.max(number);
    }
}
