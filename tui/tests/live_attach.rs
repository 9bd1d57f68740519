//! Attaching to processes that run, and letting them live on.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use common::{Running, Value, ipcscope, is, lives, number, text, wait, workload};

/// A workload that runs, its input and its output ours.
struct Target {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Target {
    fn start(name: &str) -> Self {
        let mut child =
            Command::new(workload()).arg(name).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The value of the next truth, which has that name.
    fn says(&mut self, name: &str) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let (told, value) = line.trim_end().split_once(' ').unwrap_or_else(|| panic!("{line:?} for {name}"));
        assert_eq!(told, name, "{line}");
        value.to_owned()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Closes its input: it ends by itself.
    fn ends(mut self) {
        drop(self.input.take());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.output, &mut rest).unwrap();
        assert!(wait(&mut self.child).success(), "{rest}");
    }

    fn trace(&self, options: &[&str]) -> Running {
        let pid = self.pid().to_string();
        let mut all = vec!["-p", &pid];
        all.extend(options);
        Running::trace(&all)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn blocked_in_read(lines: &[Value], pid: u32) -> Option<&Value> {
    lines.iter().rev().find(|event| event["to"] == "BLOCKED" && event["pid"] == pid && event["on"]["syscall"] == "read")
}

#[test]
#[ignore = "root"]
fn a_reader_that_waits_is_found_waiting_and_lives_on() {
    let mut target = Target::start("reader");
    target.says("pid");
    let pid = target.pid();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let mut running = target.trace(&[]);
    let lines = running.until("it waits", |lines| blocked_in_read(lines, pid).is_some());
    let first_state = lines.iter().find(|event| is(event, "state") && event["pid"] == pid).unwrap();
    assert_eq!((&first_state["to"], &first_state["on"]["syscall"]), (&"BLOCKED".into(), &"read".into()));
    for (fd, end) in [(0, "r"), (1, "w")] {
        let attached = lines.iter().find(|event| event["event"] == "attached" && event["fd"] == fd);
        let attached = attached.unwrap_or_else(|| panic!("descriptor {fd}: {lines:#?}"));
        assert_eq!((&attached["end"], &attached["pid"]), (&end.into(), &pid.into()));
        assert_eq!(number(attached, "capacity"), 65_536);
    }
    let input = lines.iter().find(|event| event["fd"] == 0).unwrap();
    let channel = text(input, "channel").to_owned();

    target.send(b"hello");
    assert_eq!(target.says("got"), "5");
    let lines = running.until("the bytes", |lines| {
        lines.iter().any(|event| is(event, "recv") && event["channel"] == channel.as_str())
    });
    let receive = lines.iter().find(|event| is(event, "recv") && event["channel"] == channel.as_str()).unwrap();
    assert_eq!((number(receive, "bytes"), &receive["payload"]), (5, &"hello".into()));
    // We wrote it, and nobody traces us.
    assert!(
        receive["from"].is_null() && matches!(text(receive, "from_unknown"), "external" | "before-start"),
        "{receive}"
    );

    running.signal(libc::SIGINT);
    let trace = running.finish();
    assert_eq!(trace.status.code(), Some(0));
    trace.is_whole();
    assert!(lives(pid), "it was only attached to");
    assert_eq!(trace.kind("exit").count(), 0);
    target.send(b"again");
    assert_eq!(target.says("got"), "5");
    target.ends();
}

#[test]
#[ignore = "root"]
fn sigterm_detaches_as_well_and_is_died_of() {
    let mut target = Target::start("reader");
    target.says("pid");
    let pid = target.pid();
    let mut running = target.trace(&[]);
    running.until("it waits", |lines| blocked_in_read(lines, pid).is_some());
    running.signal(libc::SIGTERM);
    let trace = running.finish();
    assert_eq!(common::died_of(trace.status), Some(libc::SIGTERM));
    trace.is_whole();
    assert!(lives(pid));
    target.ends();
}

#[test]
#[ignore = "root"]
fn the_trace_ends_with_the_last_process() {
    let mut target = Target::start("reader");
    target.says("pid");
    let pid = target.pid();
    let mut running = target.trace(&[]);
    running.until("it waits", |lines| blocked_in_read(lines, pid).is_some());
    target.ends();
    let trace = running.finish();
    assert_eq!(trace.status.code(), Some(0));
    trace.is_whole();
    let exit = trace.one("its exit", |event| is(event, "exit"));
    assert_eq!((&exit["pid"], &exit["code"]), (&pid.into(), &0.into()));
}

#[test]
#[ignore = "root"]
fn two_processes_that_talk_are_joined() {
    let mut target = Target::start("pair");
    let channel = target.says("channel");
    target.says("pid");
    let child: u32 = target.says("child").parse().unwrap();
    let pid = target.pid();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let mut running = target.trace(&["-p", &child.to_string()]);
    running
        .until("both wait", |lines| blocked_in_read(lines, pid).is_some() && blocked_in_read(lines, child).is_some());
    for line in [&b"one\n"[..], b"another\n"] {
        target.send(line);
        assert_eq!(target.says("got"), (line.len() - 1).to_string());
    }
    target.ends();
    let trace = running.finish();
    trace.is_whole();
    let sends: Vec<&Value> = trace.on("send", &channel).collect();
    let receives: Vec<&Value> = trace.on("recv", &channel).filter(|event| event["bytes"] != 0).collect();
    assert_eq!((sends.len(), receives.len()), (2, 2), "{}", trace.text());
    for (send, receive) in sends.iter().zip(&receives) {
        assert_eq!((&send["pid"], &receive["pid"]), (&child.into(), &pid.into()));
        assert_eq!(send["payload"], receive["payload"]);
        // What was in the pipe when the trace began is not known until it has once been seen empty.
        let is_first = receive["op"] == receives[0]["op"] && receive["from_unknown"] == "before-start";
        assert!(is_first || receive["from"][0]["op"] == send["op"], "{receive}");
    }
}

#[test]
#[ignore = "root"]
fn threads_and_forks_of_what_was_attached_to_are_followed() {
    let mut target = Target::start("threads");
    let channel = target.says("channel");
    target.says("pid");
    let pid = target.pid();
    let mut running = target.trace(&[]);
    running.until("both threads wait", |lines| {
        let tids: std::collections::BTreeSet<u64> = lines
            .iter()
            .filter(|event| event["to"] == "BLOCKED" && event["pid"] == pid)
            .map(|event| number(event, "tid"))
            .collect();
        tids.len() == 2
    });
    target.send(b"go\n");
    assert_eq!(
        (target.says("old-thread"), target.says("new-thread"), target.says("child")),
        ("4".into(), "10".into(), "5".into())
    );
    target.ends();
    let trace = running.finish();
    trace.is_whole();
    let sends: Vec<&Value> = trace.on("send", &channel).collect();
    assert_eq!(sends.len(), 3, "{}", trace.text());
    let threads: std::collections::BTreeSet<u64> = sends.iter().map(|event| number(event, "tid")).collect();
    assert_eq!(threads.len(), 3, "each is another thread");
    assert_eq!((&sends[0]["pid"], &sends[1]["pid"]), (&pid.into(), &pid.into()));
    assert_ne!(sends[2]["pid"], pid);
    let forks: Vec<&Value> = trace.kind("fork").collect();
    assert_eq!(forks.len(), 2);
    assert_eq!((&forks[0]["thread"], &forks[1]["thread"]), (&true.into(), &false.into()));
    // The first empties a pipe whose content was not known when the trace began.
    for receive in trace.on("recv", &channel).skip(1) {
        assert!(receive["from"].is_array(), "{receive}");
    }
}

#[test]
#[ignore = "root"]
fn no_follow_stays_with_what_was_given() {
    let mut target = Target::start("threads");
    let channel = target.says("channel");
    target.says("pid");
    let pid = target.pid();
    let mut running = target.trace(&["--no-follow"]);
    running.until("it waits", |lines| blocked_in_read(lines, pid).is_some());
    target.send(b"go\n");
    target.says("old-thread");
    target.ends();
    let trace = running.finish();
    trace.is_well_formed();
    assert!(trace.on("send", &channel).all(|event| event["pid"] == pid), "{}", trace.text());
    for event in &trace.events {
        assert!(event["pid"].is_null() || event["pid"] == pid || is(event, "signal"), "{event}");
    }
}

#[test]
#[ignore = "root"]
fn a_command_without_its_children() {
    let trace = common::trace_with(&["--no-follow"], &["sh", "-c", "printf hello | cat; exit 4"]);
    trace.is_well_formed();
    assert_eq!(trace.status.code(), Some(4));
    let shell = number(trace.kind("exec").next().unwrap(), "pid");
    assert!(trace.kind("send").chain(trace.kind("recv")).all(|event| event["pid"] == shell), "{}", trace.text());
    assert_eq!(trace.kind("exit").count(), 1);
}

#[test]
#[ignore = "root"]
fn a_process_that_is_not_there_is_an_error() {
    // An id that was one of ours and is reaped.
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id().to_string();
    child.wait().unwrap();
    for command in ["trace", "record"] {
        let output = ipcscope().arg(command).args(["-p", &pid]).args(["-o", "/dev/null"]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {stderr}");
        assert!(stderr.starts_with("ipcscope: ") && stderr.contains(&pid), "{stderr}");
    }
}
