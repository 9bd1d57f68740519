//! POSIX message queues, exactly: the programs number their messages, and the trace has to tell the same.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    collections::HashMap,
    ffi::CString,
    io::{BufRead as _, BufReader, Write as _},
    os::raw::c_int,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use common::{Running, Trace, Value, is, number, text, trace_with, trace_workload, wait, workload};

/// A name of a queue that is nobody else's; what has it in the end is unlinked.
struct Name(String);

impl Name {
    fn new(what: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!("/ipcscope-{}-{number}-{what}", std::process::id()))
    }

    fn channel(&self) -> String {
        format!("posix-mq:{}", self.0)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let name = CString::new(self.0.as_str()).unwrap();
        // SAFETY: a text that lives until it returns.
        unsafe { libc::mq_unlink(name.as_ptr()) };
    }
}

/// Takes `senders` x `messages` through one queue to `receivers`.
fn load(senders: u32, receivers: u32, messages: u32) {
    let name = Name::new("load");
    let words = [senders, receivers, messages].map(|n| n.to_string());
    let program = workload();
    let command = [program.to_str().unwrap(), "mqueue-load", &name.0, &words[0], &words[1], &words[2]];
    // So much in so little time that a busy machine needs room for it.
    let trace = trace_with(&["-e", "posix-mq,process", "--buffer", "128M", "-s", "64"], &command);
    assert_eq!(trace.status.code(), Some(0), "{}", trace.stderr);
    trace.is_well_formed();
    assert_eq!(trace.end["lost"], 0, "{}", trace.end);
    let truth = common::truths(&trace.stdout);
    let channel = &truth["channel"];
    let sends: HashMap<u64, &Value> = trace.on("send", channel).map(|send| (number(send, "op"), send)).collect();
    assert_eq!(sends.len(), (senders * messages + receivers) as usize);
    let sent: u64 = sends.values().map(|send| number(send, "bytes")).sum();
    let (mut receives, mut bytes, mut stops, mut direct) = (0, 0, 0, 0);
    let mut taken: HashMap<u64, u64> = HashMap::new();
    for receive in trace.on("recv", channel) {
        receives += 1;
        bytes += number(receive, "bytes");
        let Some([from]) = receive["from"].as_array().map(Vec::as_slice) else {
            panic!("one message, one sender: {receive}")
        };
        let send = sends[&number(from, "op")];
        assert!(taken.insert(number(from, "op"), number(receive, "op")).is_none(), "received twice: {send}");
        // The text names the sender and the number of the message.
        for field in ["payload", "priority", "bytes"] {
            assert_eq!(send[field], receive[field], "{field}: {send} {receive}");
        }
        assert_eq!((&send["pid"], &from["bytes"]), (&from["pid"], &receive["bytes"]));
        let payload = text(receive, "payload");
        if payload == "stop" {
            stops += 1;
        } else {
            let sender = payload.split(':').next().unwrap();
            assert_eq!(truth[&format!("sender-{sender}")], number(from, "pid").to_string(), "{receive}");
        }
        direct += u32::from(number(send, "depth") == 0);
    }
    assert_eq!((receives, bytes), (sends.len(), sent), "all bytes are accounted for");
    let told: u64 =
        (0..receivers).map(|n| truth[&format!("got-{n}")].split(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!((told, stops), (u64::from(senders * messages), receivers));
    println!("{senders} senders, {receivers} receivers: {receives} receives, {direct} queues empty after the send");
}

#[test]
#[ignore = "root"]
fn one_sender_and_one_receiver_leave_nothing_unknown() {
    load(1, 1, 5000);
}

#[test]
#[ignore = "root"]
fn every_message_of_many_senders_is_told_apart() {
    for (senders, receivers, messages) in [(4, 4, 2000), (16, 1, 500), (1, 16, 4000), (16, 16, 700)] {
        load(senders, receivers, messages);
    }
}

/// Calls on a queue of one kind: priority and text, or the error.
fn told(trace: &Trace, kind: &str, channel: &str) -> Vec<String> {
    let one = |event: &Value| match event["error"].as_str() {
        Some(error) => error.to_owned(),
        None => format!("{} {}", event["priority"], event["payload"].as_str().unwrap_or_default()),
    };
    trace.on(kind, channel).map(one).collect()
}

fn changes<'a>(trace: &'a Trace, channel: &'a str, pid: u64) -> Vec<&'a str> {
    trace.on("channel", channel).filter(|event| event["pid"] == pid).map(|event| text(event, "event")).collect()
}

#[test]
#[ignore = "root"]
fn priorities_limits_and_failures_are_told() {
    let name = Name::new("each");
    let (trace, truth) = trace_workload(&["mqueues", &name.0]);
    let channel = name.channel();
    assert_eq!(truth["channel"], channel);
    let pid = number(trace.on("channel", &channel).next().unwrap(), "pid");
    let all = changes(&trace, &channel, pid);
    let expected = [
        "created",
        "refused",
        "opened",
        "opened",
        "duplicated",
        "closed",
        "changed",
        "closed",
        // At its end.
        "closed",
        "closed",
    ];
    assert_eq!(all, expected, "{}", trace.text());
    let created = trace.on("channel", &channel).next().unwrap();
    assert_eq!((text(created, "type"), text(created, "name"), text(created, "mode")), ("posix-mq", &*name.0, "640"));
    assert_eq!((number(created, "owner"), number(created, "capacity"), number(created, "slots")), (0, 64, 4));
    assert_eq!((text(created, "end"), number(created, "fd").to_string()), ("rw", truth["queue"].clone()));
    let opened: Vec<&str> =
        trace.on("channel", &channel).filter(|e| e["event"] == "opened").map(|e| text(e, "end")).collect();
    assert_eq!(opened, ["r", "rw"]);
    let refused: Vec<(&str, &str)> = trace
        .kind("channel")
        .filter(|e| e["event"] == "refused")
        .map(|e| (text(e, "name"), text(e, "error")))
        .collect();
    let none = format!("{}-none", name.0);
    assert_eq!(refused, [(&*name.0, "EEXIST"), (&*none, "ENOENT")]);
    let duplicated = trace.one("dup", |event| event["channel"] == *channel && event["event"] == "duplicated");
    assert_eq!((number(duplicated, "fd").to_string(), &duplicated["of_fd"]), (truth["copy"].clone(), &created["fd"]));

    let sends = [
        "1 low",
        "9 high",
        "5 ",
        "9 high again",
        "EBADF",
        "EMSGSIZE",
        "EAGAIN",
        "ETIMEDOUT",
        "3 fills",
        "3 fills",
        "3 fills",
        "3 fills",
        "2 in the end",
        "8 direct",
        "1 poll",
    ];
    let mut by_entry = told(&trace, "send", &channel);
    by_entry.sort_unstable();
    let mut wanted = sends.to_vec();
    wanted.sort_unstable();
    assert_eq!(by_entry, wanted);
    let receives = [
        "EMSGSIZE",
        "9 high",
        "9 high again",
        "5 ",
        "1 low",
        "EAGAIN",
        "ETIMEDOUT",
        "3 fills",
        "3 fills",
        "3 fills",
        "3 fills",
        "2 in the end",
        "8 direct",
        "1 poll",
    ];
    assert_eq!(told(&trace, "recv", &channel), receives);
    let depths: Vec<u64> = trace.on("send", &channel).take(4).map(|event| number(event, "depth")).collect();
    assert_eq!(depths, [1, 2, 3, 4]);
    assert_eq!(number(trace.on("send", &channel).nth(3).unwrap(), "fill"), 3 + 4 + 10);
    for (kind, error) in [("send", "EAGAIN"), ("recv", "EAGAIN")] {
        let call = trace.on(kind, &channel).find(|event| event["error"] == error).unwrap();
        assert_eq!(call["nonblocking"], true, "{call}");
    }
    let timed = trace.on("recv", &channel).find(|event| event["error"] == "ETIMEDOUT").unwrap();
    assert!(number(timed, "blocked_ns") > 0 && timed["nonblocking"].is_null(), "{timed}");
    trace.all_known(&channel);
    let by = |who: &str, kind: &'static str| {
        trace.on(kind, &channel).find(|event| number(event, "pid").to_string() == truth[who]).unwrap()
    };
    for (who, kind) in [("full", "send"), ("waits", "recv")] {
        let call = by(who, kind);
        assert!(number(call, "blocked_ns") > 0, "{call}");
        let blocked = |event: &Value| event["to"] == "BLOCKED" && event["on"]["op"] == call["op"];
        let states: Vec<&Value> = trace.events.iter().filter(|event| blocked(event)).collect();
        assert!(!states.is_empty() && states.iter().all(|state| state["on"]["channel"] == *channel), "{states:?}");
        let pid = number(call, "pid");
        assert_eq!(changes(&trace, &channel, pid).iter().filter(|change| **change == "inherited").count(), 3);
    }
    let direct = trace.on("send", &channel).find(|event| event["payload"] == "direct").unwrap();
    assert_eq!((&by("waits", "recv")["from"][0]["op"], number(direct, "depth")), (&direct["op"], 0));
    let polls: u64 = truth["polls"].parse().unwrap();
    let polls = trace
        .kind("state")
        .find(|event| event["to"] == "BLOCKED" && event["on"]["syscall"] == "poll" && event["pid"] == polls);
    assert_eq!(polls.unwrap()["on"]["channels"], serde_json::json!([channel]));
}

#[test]
#[ignore = "root"]
fn an_unlinked_queue_lives_on_and_its_name_is_used_again() {
    let name = Name::new("again");
    let (trace, truth) = trace_workload(&["mqueue-again", &name.0]);
    assert_eq!((&*truth["first"], &*truth["second"], &*truth["still"]), ("first", "second", "still there"));
    let (first, second) = (name.channel(), format!("{}#2", name.channel()));
    let pid = number(trace.on("channel", &first).next().unwrap(), "pid");
    assert_eq!(changes(&trace, &first, pid), ["created", "removed", "removed", "closed"]);
    let removed: Vec<&Value> =
        trace.on("channel", &first).filter(|e| e["event"] == "removed").map(|e| &e["error"]).collect();
    assert_eq!(removed, [&Value::Null, &"ENOENT".into()]);
    assert_eq!(
        changes(&trace, &second, pid),
        ["created", "opened", "closed", "closed", "opened", "removed", "closed"],
        "{}",
        trace.text()
    );
    assert_eq!(told(&trace, "recv", &first), ["1 first", "1 still there"]);
    assert_eq!(told(&trace, "recv", &second), ["1 second"]);
    trace.all_known(&first);
    trace.all_known(&second);
}

#[test]
#[ignore = "root"]
fn who_makes_a_queue_is_told_however_many_open_it() {
    let name = Name::new("races");
    let (trace, _) = trace_workload(&["mqueue-races", &name.0, "50"]);
    for round in 1..=50 {
        let channel = if round == 1 { name.channel() } else { format!("{}#{round}", name.channel()) };
        let mut opens: Vec<&str> = trace.on("channel", &channel).map(|event| text(event, "event")).collect();
        opens.retain(|event| *event != "closed");
        opens.sort_unstable();
        assert_eq!(opens, ["created", "opened", "removed"], "{channel}");
    }
}

#[test]
#[ignore = "root"]
fn interrupted_calls_are_one_call_each() {
    let name = Name::new("signals");
    let (trace, truth) = trace_workload(&["mqueue-signals", &name.0]);
    let channel = &truth["channel"];
    for (case, kind, saw, restarts) in [
        ("receive-restart", "recv", "7", 1),
        ("receive-fail", "recv", "EINTR", 0),
        ("send-restart", "send", "0", 1),
        ("send-fail", "send", "EINTR", 0),
    ] {
        assert_eq!(truth[&format!("{case}-saw")], saw, "{case}");
        let pid: u64 = truth[case].parse().unwrap();
        let calls: Vec<&Value> = trace.on(kind, channel).filter(|event| event["pid"] == pid).collect();
        let [call] = calls.as_slice() else { panic!("{case}: {calls:?}") };
        assert_eq!(call["restarts"].as_u64().unwrap_or(0), restarts, "{case}: {call}");
        assert_eq!(call["interrupted_by"].as_array().map(Vec::len), Some(1), "{case}: {call}");
        assert_eq!(call["error"].as_str(), (saw == "EINTR").then_some("EINTR"), "{case}: {call}");
        let handled =
            trace.one(case, |event| is(event, "signal") && event["phase"] == "handled" && event["to"]["pid"] == pid);
        let verdict = if restarts == 0 { "EINTR" } else { "restarted" };
        assert_eq!(text(handled, "verdict"), verdict, "{case}: {handled}");
        assert_eq!(handled["interrupted"]["op"], call["op"], "{case}: {handled}");
        assert_eq!(handled["interrupted"]["channel"], channel.as_str(), "{case}: {handled}");
        let blocked = |event: &Value| is(event, "state") && event["pid"] == pid && event["on"]["op"] == call["op"];
        let states: Vec<&Value> = trace.events.iter().filter(|event| blocked(event)).collect();
        assert!(!states.is_empty(), "{case}");
        assert!(states.iter().all(|state| state["on"]["channel"] == *channel), "{case}: {states:?}");
    }
    trace.all_known(channel);
    // What a sender had made before it was interrupted went nowhere: its message is that of the second try.
    let waited = trace.on("recv", channel).find(|event| event["payload"] == "waits").unwrap();
    assert_eq!(waited["from"][0]["pid"].to_string(), truth["send-restart"]);
}

/// A workload that has opened a queue before anybody traces it.
struct Target(Child, BufReader<std::process::ChildStdout>);

impl Target {
    fn start(name: &Name) -> Self {
        let mut child = Command::new(workload())
            .args(["mqueue-attach", &name.0])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self(child, output)
    }

    /// Its next line, without the name that it has.
    fn says(&mut self, name: &str) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().strip_prefix(name).unwrap_or_else(|| panic!("{line:?} for {name}")).trim_start().to_owned()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "root"]
fn an_open_queue_is_found_and_messages_of_others_are_nobody_s() {
    let name = Name::new("attach");
    let channel = name.channel();
    let mut target = Target::start(&name);
    let fd = target.says("queue");
    let mut running = Running::trace(&["-p", &target.0.id().to_string()]);
    running.until("attached", |events| {
        events.iter().any(|event| event["event"] == "attached" && event["channel"] == *channel)
    });
    target.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    target.says("empty");
    send_from_outside(&name, "from outside");
    assert!(wait(&mut target.0).success());
    let trace = running.finish();
    trace.is_whole();
    let attached = trace.one("attached", |event| event["event"] == "attached" && event["channel"] == *channel);
    assert_eq!((text(attached, "name"), text(attached, "mode")), (&*name.0, "640"));
    assert_eq!((number(attached, "capacity"), number(attached, "slots")), (64, 4));
    assert_eq!((number(attached, "fd").to_string(), text(attached, "end")), (fd, "rw"));
    let receives: Vec<&Value> = trace.on("recv", &channel).collect();
    let [before, own, outside] = receives.as_slice() else { panic!("{receives:?}") };
    assert_eq!((&before["from_unknown"], &before["payload"]), (&"before-start".into(), &"from before".into()));
    assert_eq!(own["from"][0]["pid"], own["pid"]);
    assert_eq!((&outside["from_unknown"], &outside["payload"]), (&"external".into(), &"from outside".into()));
    assert_eq!(number(outside, "priority"), 6);
}

/// Nobody traces us.
fn send_from_outside(name: &Name, message: &str) {
    let name = CString::new(name.0.as_str()).unwrap();
    // SAFETY: texts that live until the calls return.
    unsafe {
        let queue: c_int = libc::mq_open(name.as_ptr(), libc::O_WRONLY);
        assert!(queue >= 0);
        assert_eq!(libc::mq_send(queue, message.as_ptr().cast(), message.len(), 6), 0);
        libc::mq_close(queue);
    }
}
