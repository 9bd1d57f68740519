//! Bytes that move beyond what a trace sees must never be taken for somebody's: what counting proves nothing about is
//! unknown, and what was sent within the trace before is not.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use common::{Scratch, Trace, Value, ipcscope, number, text, trace_workload, workload};

/// What is said of each receive with bytes on a channel: `from`, or why not.
fn origins(trace: &Trace, channel: &str) -> Vec<String> {
    let with_bytes = |event: &&Value| event["bytes"].as_u64().is_some_and(|bytes| bytes > 0);
    let said = |event: &Value| {
        if event["from"].is_array() { "from".to_owned() } else { text(event, "from_unknown").to_owned() }
    };
    trace.on("recv", channel).filter(with_bytes).map(said).collect()
}

#[test]
#[ignore = "root"]
fn an_end_given_to_somebody_outside_makes_the_rest_external() {
    let socket = Scratch::new("socket");
    let mut taker = Command::new(workload()).arg("take").arg(&socket).spawn().unwrap();
    while !socket.0.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (trace, truth) = trace_workload(&["give", socket.0.to_str().unwrap()]);
    assert!(taker.wait().unwrap().success());
    let channel = &truth["channel"];
    assert_eq!(origins(&trace, channel), ["from", "external", "external"]);
    let passed = trace.one("ends sent", |event| event["event"] == "passed");
    assert_eq!((text(passed, "channel"), text(passed, "end")), (channel.as_str(), "w"));
    assert!(passed["peer"].is_null(), "{passed}");
    let sends: Vec<u64> = trace.on("send", channel).map(|event| number(event, "bytes")).collect();
    assert_eq!(sends, [4, 5]);
}

#[test]
#[ignore = "root"]
fn a_fifo_that_somebody_outside_writes_to_is_external() {
    let fifo = Scratch::new("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let file = Scratch::new("trace");
    let mut traced = ipcscope();
    traced.args(["trace", "--json", "-o"]).arg(&file).args(["--", "cat"]).arg(&fifo);
    let child = traced.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut outside = OpenOptions::new().write(true).custom_flags(0).open(&fifo.0).unwrap();
    for part in ["one", "two", "three"] {
        outside.write_all(part.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(150));
    }
    drop(outside);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.stdout, b"onetwothree", "{stderr}");
    let trace = Trace::parse(&file.read(), output.status, String::new(), stderr);
    trace.is_whole();
    let channel = text(trace.one("opened", |event| event["event"] == "opened" && event["type"] == "fifo"), "channel");
    assert_eq!(origins(&trace, channel), ["external"; 3]);
}

#[test]
#[ignore = "root"]
fn once_there_is_a_ring_nothing_is_counted() {
    let (trace, truth) = trace_workload(&["ring"]);
    let made = truth["ring"].parse::<i64>().unwrap_or_else(|error| panic!("{error}")) >= 0;
    // Where the kernel refuses it, nothing moves unseen.
    assert_eq!(origins(&trace, &truth["channel"]), ["from", if made { "overlap" } else { "from" }]);
}

#[test]
#[ignore = "root"]
fn what_a_ring_does_is_told_as_such() {
    let (trace, truth) = trace_workload(&["requests"]);
    if truth["ring"] != "0" {
        println!("SKIPPED (this kernel lets nobody have a ring)");
        return;
    }
    assert_eq!(truth["results"], "5 5 5 5 -9 0 0");
    trace.is_whole();
    let socket = truth["socket"].replace("socket:", "unix:");
    for (channel, failed) in [(&truth["pipe"], 1), (&socket, 0)] {
        let of = |kind| -> Vec<&Value> { trace.on(kind, channel).filter(|event| event["via"] == "io_uring").collect() };
        let (sends, mut receives) = (of("send"), of("recv"));
        if failed == 1 {
            let last = receives.pop().unwrap();
            assert_eq!((last["eof"].as_bool(), number(last, "bytes")), (Some(true), 0));
        }
        assert_eq!((sends.len(), receives.len()), (1 + failed, 1), "{channel}");
        for event in sends.iter().chain(&receives) {
            assert_eq!(event["syscall"], "io_uring_enter");
            assert!(event["fd"].is_u64() && event["from"].is_null(), "{event}");
        }
        assert_eq!((number(sends[0], "bytes"), number(receives[0], "bytes")), (5, 5));
        assert_eq!(receives[0]["from_unknown"], "overlap");
        assert!(sends[1..].iter().all(|event| event["error"] == "EBADF"), "{sends:?}");
    }
}

#[test]
#[ignore = "root"]
fn what_a_ring_does_with_sockets_is_told_as_calls_are() {
    let fifo = Scratch::new("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let (trace, truth) = trace_workload(&["serve", fifo.0.to_str().unwrap()]);
    if truth["ring"] != "0" {
        println!("SKIPPED (this kernel lets nobody have a ring)");
        return;
    }
    trace.is_whole();
    let [one, two]: [i64; 2] =
        truth["clients"].split(' ').map(|fd| fd.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap();
    let (first, second) = (one + 1, two + 1);
    assert!(truth["results"].contains("3 3 5 5 0 0 0 0 0 0"), "the kernel did something else: {}", truth["results"]);
    let by_ring: Vec<&Value> = trace.events.iter().filter(|event| event["via"] == "io_uring").collect();
    let told = |what: &str| -> Vec<i64> {
        let of = |event: &&&Value| event["event"] == what && event["type"] == "tcp";
        by_ring.iter().filter(of).map(|event| event["fd"].as_i64().unwrap()).collect()
    };
    assert_eq!(told("created"), [one, two]);
    assert_eq!(told("shutdown"), [one]);
    let (mut connected, mut accepted) = (told("connected"), told("accepted"));
    connected.sort_unstable();
    accepted.sort_unstable();
    assert_eq!((connected, accepted), (vec![one, two], vec![first, second]));
    let closed = trace.events.iter().filter(|event| event["event"] == "closed" && event["type"] == "tcp");
    let closed: Vec<i64> = closed.map(|event| event["fd"].as_i64().unwrap()).collect();
    assert_eq!(closed[..4], [first, one, second, two], "{closed:?}");
    let is_of_first = |event: &&&Value| event["fd"] == first && event["event"] == "accepted";
    let channel = text(by_ring.iter().find(is_of_first).unwrap(), "channel").to_owned();
    let bytes = |kind| -> Vec<u64> { trace.on(kind, &channel).map(|event| number(event, "bytes")).collect() };
    assert_eq!((bytes("send"), bytes("recv")), (vec![3, 5], vec![3, 5, 0]));
    assert!(trace.on("recv", &channel).all(|event| event["fd"] == first));
    let opened = trace.one("FIFO opened", |event| event["event"] == "opened" && event["type"] == "fifo");
    assert_eq!((opened["fd"].to_string(), text(opened, "via")), (truth["fifo"].clone(), "io_uring"));
    let pipes: Vec<&str> = by_ring
        .iter()
        .filter(|event| event["event"] == "created" && event["type"] == "pipe")
        .map(|event| text(event, "channel"))
        .collect();
    assert_eq!(pipes.concat(), truth["pipe"]);
}
