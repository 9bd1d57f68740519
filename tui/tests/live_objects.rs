//! eventfd, timerfd, signalfd, pidfd, pseudoterminals, mapped memory and futexes: what they are called, what went through,
//! who let whom go on.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::{HashMap, HashSet};

use common::{Trace, Value, number, text, trace_with, trace_workload, workload};

fn changes<'a>(trace: &'a Trace, channel: &'a str) -> Vec<&'a str> {
    trace.on("channel", channel).map(|event| text(event, "event")).collect()
}

fn is_of(event: &Value, pid: &str) -> bool {
    event["pid"].as_u64() == pid.parse().ok()
}

#[test]
#[ignore = "root"]
fn a_counter_names_the_writes_since_the_last_read() {
    let (trace, truth) = trace_workload(&["counter"]);
    let channel = &truth["channel"];
    let writes: Vec<&Value> = trace.on("send", channel).collect();
    let reads: Vec<&Value> = trace.on("recv", channel).collect();
    assert_eq!(writes.iter().map(|write| number(write, "value")).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(reads.iter().map(|read| number(read, "value")).collect::<Vec<_>>(), [7, 5]);
    let ops = |read: &Value| -> Vec<u64> {
        read["from"].as_array().unwrap().iter().map(|origin| number(origin, "op")).collect()
    };
    assert_eq!(ops(reads[0]), [number(writes[0], "op"), number(writes[1], "op")]);
    assert_eq!(ops(reads[1]), [number(writes[2], "op")]);
    assert!(is_of(reads[1], &truth["reader"]) && number(reads[1], "blocked_ns") > 0);
    let mut waits = trace.kind("state").filter(|state| state["to"] == "BLOCKED" && is_of(state, &truth["reader"]));
    assert!(waits.any(|state| state["on"]["channel"] == channel.as_str()));
    assert_eq!(changes(&trace, channel)[0], "created");

    let semaphore = &truth["semaphore"];
    let reads: Vec<&Value> = trace.on("recv", semaphore).collect();
    let origins: Vec<&str> = reads
        .iter()
        .map(|read| match (&read["from"], &read["from_unknown"], &read["error"]) {
            (Value::Array(_), ..) => "known",
            (_, Value::String(why), _) => why.as_str(),
            (.., Value::String(error)) => error.as_str(),
            _ => "?",
        })
        .collect();
    assert_eq!(origins, ["before-start", "before-start", "EAGAIN", "known", "known"]);
}

/// What is claimed adds up to what was read, and nothing is claimed twice; answers reads with and without origins.
fn load(writers: u32, readers: u32, rounds: u32) -> (usize, usize) {
    let words = [writers, readers, rounds].map(|n| n.to_string());
    let program = workload();
    let command = [program.to_str().unwrap(), "counter-load", &words[0], &words[1], &words[2]];
    let trace = trace_with(&["-e", "event,process", "--buffer", "64M"], &command);
    trace.is_well_formed();
    assert_eq!(trace.end["lost"], 0, "{}", trace.end);
    let channel = &common::truths(&trace.stdout)["channel"];
    let writes: HashMap<u64, &Value> = trace.on("send", channel).map(|send| (number(send, "op"), send)).collect();
    let (mut claimed, mut known, mut unknown) = (HashSet::new(), 0, 0);
    let mut sum = 0;
    for read in trace.on("recv", channel).filter(|read| read["error"].is_null() && read["value"].is_u64()) {
        sum += number(read, "value");
        let Some(from) = read["from"].as_array() else {
            assert_eq!(read["from_unknown"], "overlap", "{read}");
            unknown += 1;
            continue;
        };
        let given: u64 = from.iter().map(|origin| number(writes[&number(origin, "op")], "value")).sum();
        assert_eq!(given, number(read, "value"), "{read}");
        for origin in from {
            assert!(claimed.insert(number(origin, "op")), "claimed twice: {read}");
        }
        known += 1;
    }
    let written: u64 = writes.values().map(|write| number(write, "value")).sum();
    assert!(sum <= written, "{sum} of {written}");
    println!("{writers} writers, {readers} readers: {known} reads of {} name their writes", known + unknown);
    (known, unknown)
}

#[test]
#[ignore = "root"]
fn what_a_read_claims_adds_up_to_what_it_got() {
    for (writers, readers, rounds) in [(1, 1, 2000), (4, 1, 1000), (16, 1, 300)] {
        let (known, unknown) = load(writers, readers, rounds);
        assert!(known > 9 * unknown, "{known} of {}", known + unknown);
    }
    // Readers that overlap may be told apart or not, but never wrongly.
    load(4, 4, 500);
    load(16, 16, 100);
}

#[test]
#[ignore = "root"]
fn timers_processes_and_signals_as_descriptors() {
    let (trace, truth) = trace_workload(&["events"]);
    let timer = "timerfd:1";
    // Each of three children has a copy.
    let life = ["created", "changed", "inherited", "closed", "inherited", "closed", "inherited", "closed", "closed"];
    assert_eq!(changes(&trace, timer), life);
    let set = trace.on("channel", timer).nth(1).unwrap();
    assert_eq!((number(set, "value"), number(set, "interval_ns")), (20_000_000, 10_000_000));
    let reads: Vec<String> = trace.on("recv", timer).map(|read| read["value"].to_string()).collect();
    assert_eq!(reads, [truth["first"].as_str(), &truth["second"]]);

    let process = format!("pidfd:{}", truth["child"]);
    assert_eq!(changes(&trace, &process), ["opened", "closed"]);
    let opened = trace.on("channel", &process).next().unwrap();
    assert_eq!(opened["peer"]["pid"].to_string(), truth["child"]);
    let mut waits = trace.kind("state").filter(|state| state["to"] == "BLOCKED" && state["on"]["syscall"] == "poll");
    assert!(waits.any(|state| state["on"]["channels"][0] == process.as_str()));
    // It may come with the child.
    for (name, call) in [("cloned", "clone"), ("cloned3", "clone3")] {
        let process = format!("pidfd:{}", truth[name]);
        assert_eq!(changes(&trace, &process), ["opened", "closed"], "{call}");
        let opened = trace.on("channel", &process).next().unwrap();
        assert_eq!((opened["peer"]["pid"].to_string(), text(opened, "syscall")), (truth[name].clone(), call));
    }

    let signals = "signalfd:1";
    assert_eq!(changes(&trace, signals), ["created", "closed"]);
    let read = trace.on("recv", signals).next().unwrap();
    assert_eq!(read["bytes"], 128);
    let consumed = trace.one("the signal's end", |event| event["phase"] == "consumed");
    assert_eq!(consumed["consumed_by"]["op"], read["op"]);
}

#[test]
#[ignore = "root"]
fn who_has_mapped_what_is_known() {
    let (trace, truth) = trace_workload(&["mappings"]);
    let channel = format!("shm:{}", truth["name"]);
    let life: Vec<&Value> = trace.on("channel", &channel).collect();
    let of = |child: bool| -> Vec<&str> {
        let is_child = |event: &&&Value| is_of(event, &truth["child"]) == child;
        life.iter().filter(is_child).map(|event| text(event, "event")).collect()
    };
    assert_eq!(of(false), ["opened", "resized", "attached", "detached", "closed", "removed"]);
    let opened = life[0];
    assert_eq!((text(opened, "mode"), opened["name"].as_str().map(|name| format!("/{name}"))), {
        ("640", Some(truth["name"].clone()))
    });
    assert_eq!((number(life[1], "capacity"), text(life[2], "address")), (3 * 4096, truth["place"].as_str()));
    assert_eq!(life[2]["end"], "r");
    // The descriptor, the mapping; then the middle of it, and what is left on either side.
    let mut child = of(true);
    child[3..].sort_unstable();
    assert_eq!(child, ["inherited", "inherited", "detached", "closed", "detached", "detached"]);

    let memory = &truth["memfd"];
    assert_eq!(changes(&trace, memory), ["created", "resized", "attached", "closed", "detached"]);
    assert_eq!(trace.on("channel", memory).next().unwrap()["name"], "mine");
    let anonymous: Vec<&str> = changes(&trace, &truth["anonymous"]);
    assert_eq!(anonymous, ["created", "inherited", "detached", "detached"]);
}

#[test]
#[ignore = "root"]
fn who_waits_on_a_word_is_let_go_by_somebody() {
    let (trace, truth) = trace_workload(&["locks"]);
    let wait = trace.kind("recv").find(|wait| wait["type"] == "futex" && is_of(wait, &truth["waiter"])).unwrap();
    let [from] = wait["from"].as_array().unwrap().as_slice() else { panic!("one let it go: {wait}") };
    let wake = trace.kind("send").find(|wake| wake["type"] == "futex" && is_of(wake, &truth["giver"])).unwrap();
    assert_eq!((number(from, "op"), from["pid"].to_string()), (number(wake, "op"), truth["giver"].clone()));
    assert_eq!((&wake["channel"], &wake["value"]), (&wait["channel"], &Value::from(1)));
    assert!(number(wait, "blocked_ns") > 0);

    let locker = |event: &&Value| event["tid"].as_u64() == truth["locker"].parse().ok();
    let blocked = trace.kind("state").filter(locker).find(|state| state["on"]["owner"].is_object());
    let on = &blocked.unwrap()["on"];
    assert_eq!((&on["owner"]["tid"], &on["lock"]), (&on["owner"]["pid"], &Value::from(true)));
    let channel = text(on, "channel");
    let wait = trace.on("recv", channel).find(locker).unwrap();
    let wake = trace.on("send", channel).next().unwrap();
    assert_eq!(number(&wait["from"][0], "op"), number(wake, "op"));
}

#[test]
#[ignore = "root"]
fn a_terminal_has_two_sides_and_changes_what_goes_through() {
    let (trace, truth) = trace_workload(&["terminal"]);
    let channel = &truth["channel"];
    let names: Vec<&str> = trace.on("channel", channel).filter_map(|event| event["name"].as_str()).collect();
    let slave = channel.replace("pty:", "/dev/pts/");
    assert_eq!(names, ["/dev/ptmx", slave.as_str()]);
    let sends: Vec<&str> = trace.on("send", channel).map(|send| text(send, "payload")).collect();
    assert_eq!(sends, ["joe\\x0a", "hello joe\\x0a"]);
    let got: u64 = trace.on("recv", channel).filter_map(|recv| recv["bytes"].as_u64()).sum();
    assert_eq!(got, 4 + 16);
    for recv in trace.on("recv", channel).filter(|recv| recv["bytes"].as_u64() > Some(0)) {
        assert_eq!(recv["from_unknown"], "transformed", "{recv}");
    }
    assert!(trace.on("recv", channel).any(|recv| recv["error"] == "EIO"));
    let mut waits = trace.kind("state").filter(|state| is_of(state, &truth["child"]) && state["to"] == "BLOCKED");
    assert!(waits.any(|state| state["on"]["channel"] == channel.as_str()));
}
