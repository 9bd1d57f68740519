//! Message queues, exactly: the programs number their messages, and the trace has to tell the same.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{collections::HashMap, process::Command};

use common::{Trace, Value, number, text, trace_with, trace_workload, workload};

/// Takes `senders` x `messages` through one queue to `receivers`; gives receives, and how many of them are unknown.
fn load(senders: u32, receivers: u32, messages: u32) -> (usize, usize) {
    let words = [senders, receivers, messages].map(|n| n.to_string());
    let program = workload();
    let command = [program.to_str().unwrap(), "queue-load", &words[0], &words[1], &words[2]];
    // So much in so little time that a busy machine needs room for it.
    let trace = trace_with(&["-e", "sysv-mq,process", "--buffer", "128M", "-s", "64"], &command);
    trace.is_well_formed();
    assert_eq!(trace.end["lost"], 0, "{}", trace.end);
    let truth = common::truths(&trace.stdout);
    let channel = &truth["channel"];
    let sends: HashMap<u64, &Value> = trace.on("send", channel).map(|send| (number(send, "op"), send)).collect();
    assert_eq!(sends.len(), (senders * messages + receivers) as usize);
    let sent: u64 = sends.values().map(|send| number(send, "bytes")).sum();
    let (mut receives, mut unknown, mut bytes) = (0, 0, 0);
    let mut taken: HashMap<u64, u64> = HashMap::new();
    let mut stops = 0;
    for receive in trace.on("recv", channel) {
        receives += 1;
        bytes += number(receive, "bytes");
        stops += u32::from(receive["payload"] == "stop");
        if receive["from_unknown"].is_string() {
            unknown += 1;
            continue;
        }
        let [from] = receive["from"].as_array().unwrap().as_slice() else {
            panic!("one message, one sender: {receive}")
        };
        let send = sends[&number(from, "op")];
        assert!(taken.insert(number(from, "op"), number(receive, "op")).is_none(), "received twice: {send}");
        // The text names the sender and the number of the message.
        for field in ["payload", "msg_type", "bytes"] {
            assert_eq!(send[field], receive[field], "{field}: {send} {receive}");
        }
        assert_eq!(send["pid"], from["pid"]);
        assert_eq!(from["bytes"], receive["bytes"]);
    }
    assert_eq!((receives, bytes), (sends.len(), sent), "all bytes are accounted for");
    let told: u64 =
        (0..receivers).map(|n| truth[&format!("got-{n}")].split(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!((told, stops), (u64::from(senders * messages), receivers));
    println!("{senders} senders, {receivers} receivers: {receives} receives, {unknown} unknown");
    (receives, unknown)
}

#[test]
#[ignore = "root"]
fn one_sender_and_one_receiver_leave_nothing_unknown() {
    assert_eq!(load(1, 1, 5000).1, 0);
}

#[test]
#[ignore = "root"]
fn every_message_of_many_senders_is_told_apart() {
    for (senders, receivers, messages) in [(4, 4, 3000), (16, 4, 1000), (16, 16, 1000)] {
        assert_eq!(load(senders, receivers, messages).1, 0);
    }
}

/// Calls on a queue of one kind: type and text, or the error.
fn told(trace: &Trace, kind: &str, channel: &str) -> Vec<String> {
    let one = |event: &Value| match event["error"].as_str() {
        Some(error) => error.to_owned(),
        None => format!("{} {}", event["msg_type"], text(event, "payload").split('x').next().unwrap()),
    };
    trace.on(kind, channel).map(one).collect()
}

#[test]
#[ignore = "root"]
fn types_limits_and_failures_are_told() {
    let (trace, truth) = trace_workload(&["queues"]);
    let channel = &truth["channel"];
    let changes: Vec<&str> = trace.on("channel", channel).map(|event| text(event, "event")).collect();
    assert_eq!(changes, ["created", "opened", "changed", "removed"]);
    let created = trace.on("channel", channel).next().unwrap();
    assert_eq!((text(created, "key"), text(created, "mode")), (truth["key"].as_str(), "640"));
    assert_eq!(created["owner"], 0);
    let changed = trace.on("channel", channel).nth(2).unwrap();
    assert_eq!((number(changed, "capacity"), text(changed, "mode")), (2000, "600"));
    let refused = trace.one("refused", |event| event["event"] == "refused");
    assert_eq!((text(refused, "error"), text(refused, "key")), ("EEXIST", truth["key"].as_str()));
    let sends = ["3 three", "1 one", "2 two", "2 again two", "5 cut off here", "1 ", "EAGAIN", "4 in the end"];
    assert_eq!(told(&trace, "send", channel), sends);
    let receives =
        ["2 two", "1 one", "3 three", "5 cut off here", "2 again t", "ENOMSG", "E2BIG", "1 ", "4 in the end", "EIDRM"];
    assert_eq!(told(&trace, "recv", channel), receives);
    let got: Vec<&Value> = trace.on("recv", channel).filter(|event| !event["bytes"].is_null()).collect();
    assert!(got.iter().all(|event| event["from"].is_array()));
    assert_eq!(got.iter().map(|event| &event["discarded"]).filter(|cut| cut.is_number()).collect::<Vec<_>>(), [2]);
    let depths: Vec<u64> = trace.on("send", channel).take(5).map(|event| number(event, "depth")).collect();
    assert_eq!(depths, [1, 2, 3, 4, 5]);
    assert_eq!(number(trace.on("send", channel).nth(4).unwrap(), "fill"), 5 + 3 + 3 + 9 + 12);
    assert_eq!(trace.on("recv", channel).nth(5).unwrap()["nonblocking"], true);
    for (who, kind) in [("full", "send"), ("waits", "recv")] {
        let call = trace.on(kind, channel).find(|event| number(event, "pid").to_string() == truth[who]).unwrap();
        assert!(number(call, "blocked_ns") > 0, "{call}");
        let state = trace.one("blocked on it", |event| event["to"] == "BLOCKED" && event["on"]["op"] == call["op"]);
        assert_eq!(state["on"]["channel"], channel.as_str());
    }
}

#[test]
#[ignore = "root"]
fn a_queue_from_before_is_found_and_its_messages_are_nobody_s() {
    let output = Command::new(workload()).arg("queue-leave").output().unwrap();
    let queue = common::truths(std::str::from_utf8(&output.stdout).unwrap())["queue"].clone();
    let (trace, _) = trace_workload(&["queue-use-up", &queue]);
    let channel = format!("sysv-mq:{queue}");
    let changes: Vec<&str> = trace.on("channel", &channel).map(|event| text(event, "event")).collect();
    assert_eq!(changes, ["attached", "removed"]);
    let receives: Vec<&Value> = trace.on("recv", &channel).collect();
    assert_eq!(
        (&receives[0]["from_unknown"], &receives[0]["payload"]),
        (&"before-start".into(), &"from before".into())
    );
    assert_eq!(receives[1]["from"][0]["pid"], receives[1]["pid"]);
}
