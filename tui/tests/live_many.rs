//! Ten thousand channels at once, of each kind: each is told of, and whose message came out of it. Thousands one after the
//! other: those that are over are not carried along.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Scratch, ipcscope, number, text, trace_workload, workload};
use ipcscope::{event::Kind, source::recording::Recording};

const MANY: &str = "10000";

/// `ends`: descriptors of each; 0: the mechanism has none.
fn all_are_told(mechanism: &str, ends: usize) {
    let (trace, truth) = trace_workload(&["many", mechanism, MANY]);
    let count: usize = truth["channels"].parse().unwrap();
    println!("{count} of {mechanism}");
    assert!(count >= 100, "the limit on descriptors is too low: {count}");
    trace.is_whole();
    // What it prints goes through a pipe, too, but is longer.
    let messages = trace.kind("send").filter(|send| send["type"] == mechanism && send["requested"] == 8);
    let used: BTreeSet<&str> = messages.map(|send| text(send, "channel")).collect();
    assert_eq!(used.len(), count);
    // One message each, and the receive names the send that the channel had.
    let mut sent: BTreeMap<&str, u64> = BTreeMap::new();
    for send in trace.kind("send").filter(|send| used.contains(text(send, "channel"))) {
        assert!(sent.insert(text(send, "channel"), number(send, "op")).is_none(), "{send}");
    }
    let received: Vec<_> = trace.kind("recv").filter(|receive| used.contains(text(receive, "channel"))).collect();
    assert_eq!(received.len(), count);
    for receive in received {
        let from: Vec<u64> = receive["from"].as_array().unwrap().iter().map(|part| number(part, "op")).collect();
        assert_eq!(from, [sent[text(receive, "channel")]], "{receive}");
    }
    let gone = if ends == 0 { "removed" } else { "closed" };
    let changes = trace.kind("channel").filter(|change| change["type"] == mechanism && change["event"] == gone);
    assert!(changes.count() >= count * ends.max(1), "all {gone}");
}

#[test]
#[ignore = "root"]
fn pipes() {
    all_are_told("pipe", 2);
}

#[test]
#[ignore = "root"]
fn event_counters() {
    all_are_told("eventfd", 1);
}

#[test]
#[ignore = "root"]
fn connections() {
    all_are_told("unix-stream", 2);
}

#[test]
#[ignore = "root"]
fn addresses() {
    all_are_told("udp", 1);
}

#[test]
#[ignore = "root"]
fn message_queues() {
    all_are_told("sysv-mq", 0);
}

#[test]
#[ignore = "root"]
fn connections_that_are_over_are_forgotten() {
    let file = Scratch::new("over");
    let status = ipcscope()
        .args(["record", "-o"])
        .arg(&file.0)
        .arg("--")
        .arg(workload())
        .args(["one-after-the-other", "2000"])
        .status()
        .unwrap();
    assert!(status.success());
    let mut recording = Recording::open(&file.0).unwrap();
    let (mut events, mut received, mut heaviest) = (Vec::new(), 0, 0);
    while recording.next_item(&mut events).unwrap().is_some() {
        heaviest = heaviest.max(recording.weight(usize::MAX));
        for event in events.drain(..) {
            let Kind::Recv(receive) = &event.kind else { continue };
            if receive.mechanism == ipcscope::event::ChannelType::Tcp && receive.bytes > Some(0) {
                assert!(receive.from.is_some(), "{event:?}");
                received += receive.bytes.unwrap();
            }
        }
    }
    assert_eq!(recording.note(), None);
    assert_eq!(received, 2000 * 2000);
    // All of them, with what was sent in them, would be 2,000 times 1,300 bytes and more.
    println!("at most {heaviest} bytes");
    assert!(heaviest < 1 << 20, "{heaviest}");
}
