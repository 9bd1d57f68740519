//! Each datagram that was received names its send, also where all look alike and nobody asked where they came from.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{Trace, number, trace_with, trace_workload, truths, workload};

/// What a script says that found it cannot have what it needs.
const NOT_HERE: i32 = 77;

/// Whether the kernel tells what comes into a socket's queue (from 6.4 on); if not, it is said loudly.
fn has_queues(trace: &Trace) -> bool {
    let has = trace.header["hooks"].as_array().unwrap().iter().any(|hook| hook == "sk_data_ready");
    if !has {
        println!("SKIPPED (no tracepoint sk_data_ready before Linux 6.4)");
    }
    has
}

/// The receives in their order are of the sends that the workload says, in its words `PID:NUMBER`; answers how many are
/// unknown, and all.
fn compare(trace: &Trace, truth: &BTreeMap<String, String>) -> (usize, usize) {
    let channel = format!("udp:{}", truth["to"]);
    let mut count: BTreeMap<u64, u64> = BTreeMap::new();
    let mut sent: BTreeMap<u64, String> = BTreeMap::new();
    for send in trace.on("send", &channel) {
        let next = count.entry(number(send, "pid")).or_default();
        sent.insert(number(send, "op"), format!("{}:{next}", send["pid"]));
        *next += 1;
    }
    let got: Vec<&str> = truth["got"].split(',').collect();
    let receives: Vec<_> = trace.on("recv", &channel).collect();
    assert_eq!((receives.len(), sent.len()), (got.len(), got.len()), "all are told");
    let mut unknown = 0;
    for (receive, got) in receives.iter().zip(&got) {
        match receive["from"][0]["op"].as_u64() {
            Some(op) => assert_eq!(&sent[&op], got, "{receive}"),
            None => unknown += 1,
        }
    }
    (unknown, got.len())
}

#[test]
#[ignore = "root"]
fn datagrams_that_look_alike_are_told_apart() {
    for (senders, count) in [(1, 200), (4, 100), (16, 50)] {
        let (trace, truth) = trace_workload(&["alike", &senders.to_string(), &count.to_string()]);
        trace.is_whole();
        trace.edges_are_right();
        if !has_queues(&trace) {
            return;
        }
        let (unknown, all) = compare(&trace, &truth);
        println!("{senders} senders: {unknown} of {all} receives are unknown");
        // Those that two put into the queue at the same moment.
        assert!(unknown <= if senders == 1 { 0 } else { all / 5 }, "{unknown} of {all}");
    }
}

#[test]
#[ignore = "root"]
fn how_many_wait_at_the_receiver_is_told() {
    let (trace, _) = trace_workload(&["queued"]);
    let has_udp = has_queues(&trace);
    for mechanism in ["udp", "unix-dgram"].into_iter().filter(|mechanism| has_udp || *mechanism != "udp") {
        let moved = trace.events.iter().filter(|event| event["type"] == mechanism && event["bytes"].is_u64());
        let depths: Vec<u64> = moved.map(|event| number(event, "depth")).collect();
        assert_eq!(depths, [1, 2, 3, 2, 1, 0], "{mechanism}");
    }
}

#[test]
#[ignore = "root"]
fn a_datagram_is_followed_into_another_network_namespace() {
    // Its packets are smaller than the datagrams: they come in fragments.
    let script = format!(
        "ip link set lo up || exit {NOT_HERE}
         unshare -n sleep 60 & far=$!
         trap 'kill $far' EXIT
         until [ \"$(readlink /proc/$far/ns/net)\" != \"$(readlink /proc/$$/ns/net)\" ]; do sleep 0.05; done
         {{ ip link add here type veth peer name there netns $far && ip addr add 10.9.8.1/24 dev here &&
            ip link set here up && nsenter -t $far -n ip addr add 10.9.8.2/24 dev there &&
            nsenter -t $far -n ip link set there up; }} || exit {NOT_HERE}
         until ip link show here | grep -q 'state UP'; do sleep 0.05; done
         \"$0\" alike 2 100 /proc/$far/ns/net 10.9.8.2"
    );
    let program = workload();
    let trace = trace_with(&[], &["unshare", "-n", "-m", "sh", "-c", &script, program.to_str().unwrap()]);
    // 127: there is no unshare(1).
    if matches!(trace.status.code(), Some(NOT_HERE | 127)) {
        println!("SKIPPED (no network namespaces here): {}", trace.stderr);
        return;
    }
    assert_eq!(trace.status.code(), Some(0), "{}", trace.stderr);
    trace.is_whole();
    if !has_queues(&trace) {
        return;
    }
    let (unknown, all) = compare(&trace, &truths(&trace.stdout));
    println!("across namespaces: {unknown} of {all} receives are unknown");
    assert!(unknown <= all / 5, "{unknown} of {all}");
}

#[test]
#[ignore = "root"]
fn who_peeks_further_back_names_who_sent_that() {
    let (trace, _) = trace_workload(&["peek-behind"]);
    let sends: Vec<u64> =
        trace.kind("send").filter(|send| send["type"] == "unix-stream").map(|send| number(send, "op")).collect();
    let of = |index: usize, bytes: u64| (sends[index], bytes);
    let receives = trace.kind("recv").filter(|receive| receive["type"] == "unix-stream");
    let told: Vec<Vec<(u64, u64)>> = receives
        .map(|receive| {
            let from = receive["from"].as_array().unwrap();
            from.iter().map(|origin| (number(origin, "op"), number(origin, "bytes"))).collect()
        })
        .collect();
    assert_eq!(told, [vec![of(0, 2)], vec![of(0, 1), of(1, 2)], vec![of(1, 2)], vec![of(0, 3), of(1, 4)]]);
}
