//! The whole path, on commands that any machine has: one trace, complete; exit statuses; limits; recordings.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::Stdio,
    time::{Duration, Instant},
};

use common::{Running, Scratch, Trace, Value, died_of, ipcscope, is, number, text, trace, trace_with, wait};

/// The events of a trace that the same command gives every time, counted: states come as the scheduler likes, and a
/// SIGCHLD may coalesce with the one before.
fn kinds(trace: &Trace) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    let varies = |event: &Value| is(event, "state") || is(event, "signal") && event["phase"] != "generated";
    for event in trace.events.iter().filter(|event| !varies(event)) {
        *kinds.entry(text(event, "kind").to_owned()).or_default() += 1;
    }
    kinds
}

#[test]
#[ignore = "root"]
fn a_pipeline_is_told_from_its_first_instruction_to_its_last() {
    let trace = trace(&["sh", "-c", "printf hello | wc -c"]);
    assert_eq!(trace.stdout.trim(), "5");
    assert_eq!(trace.status.code(), Some(0));
    trace.everybody_ends();

    let created = trace.one("pipes created", |event| event["event"] == "created");
    let channel = text(created, "channel");
    let shell = number(created, "pid");
    let children: Vec<u64> =
        trace.kind("fork").filter(|e| e["pid"] == shell).map(|e| number(&e["child"], "pid")).collect();
    assert_eq!(children.len(), 2, "{}", trace.text());

    let send = trace.one("sends into it", |event| is(event, "send") && event["channel"] == channel);
    assert_eq!(number(send, "pid"), children[0]);
    assert_eq!((number(send, "bytes"), number(send, "offset")), (5, 0));
    assert_eq!(send["payload"], "hello");

    let receives: Vec<_> = trace.on("recv", channel).collect();
    assert!(receives.iter().all(|event| event["pid"] == children[1]), "{receives:?}");
    let (last, first) = receives.split_last().unwrap();
    assert_eq!(first.iter().map(|event| number(event, "bytes")).sum::<u64>(), 5);
    assert_eq!(first[0]["from"][0]["op"], send["op"]);
    assert_eq!(first[0]["from"][0]["pid"], children[0]);
    assert_eq!((&last["eof"], number(last, "bytes")), (&true.into(), 0));

    for child in &children {
        let exit = trace.one("exits of a child", |event| is(event, "exit") && event["pid"] == *child);
        assert_eq!(exit["code"], 0);
        let died = trace.one("SIGCHLD", |event| {
            event["signal"] == "SIGCHLD" && event["phase"] == "generated" && event["sender"]["pid"] == *child
        });
        assert_eq!((&died["to"]["pid"], &died["sender"]["kind"]), (&shell.into(), &"child".into()));
        let ends = trace
            .kind("signal")
            .filter(|event| event["id"] == died["id"] && event["phase"] != "generated")
            .map(|event| text(event, "phase"))
            .next_back();
        assert!(matches!(ends, Some("ignored" | "handled" | "coalesced" | "discarded")), "{ends:?}: {}", trace.text());
    }
    let opened = trace.on("channel", channel).filter(|event| event["event"] == "created").count();
    assert_eq!(opened, 1);
}

#[test]
#[ignore = "root"]
fn the_exit_status_is_the_commands() {
    for (command, code) in [
        (&["sh", "-c", "exit 7"][..], 7),
        (&["true"], 0),
        (&["/no/such/command"], 127),
        (&["no-such-command-anywhere"], 127),
        (&["/dev/null"], 126),
        (&["/"], 126),
    ] {
        let output = ipcscope().arg("trace").arg("--").args(command).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command:?}: {stderr}");
        if code > 100 {
            assert!(stderr.starts_with("ipcscope: ") && stderr.contains(command[0]), "{stderr}");
        }
    }
}

#[test]
#[ignore = "root"]
fn a_command_that_dies_of_a_signal_takes_us_along() {
    for (name, signal) in [("TERM", libc::SIGTERM), ("KILL", libc::SIGKILL), ("USR1", libc::SIGUSR1)] {
        let script = format!("kill -{name} $$");
        let trace = trace(&["sh", "-c", &script]);
        assert_eq!(died_of(trace.status), Some(signal), "{name}: {}", trace.status);
        assert!(!trace.status.core_dumped());
        let exit = trace.kind("exit").last().unwrap();
        assert_eq!(exit["signal"], format!("SIG{name}"));
    }
}

#[test]
#[ignore = "root"]
fn wrong_usage_is_2_and_says_how() {
    for arguments in [
        &["trace"][..],
        &["trace", "-p", "x"],
        &["frobnicate"],
        &["trace", "-e", "nonsense", "--", "true"],
        &["print", "--filter", "kind:", "/dev/null"],
    ] {
        let output = ipcscope().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stderr.is_empty());
    }
}

#[test]
#[ignore = "root"]
fn tracing_stops_after_n_events_and_the_command_goes_on() {
    let trace = trace_with(&["-n", "5"], &["sh", "-c", "true | true; sleep 0.2; printf done; exit 3"]);
    assert_eq!(trace.events.len(), 5);
    trace.is_well_formed();
    assert_eq!((trace.stdout.as_str(), trace.status.code()), ("done", Some(3)));
}

#[test]
#[ignore = "root"]
fn tracing_stops_after_a_time_and_the_command_goes_on() {
    let began = Instant::now();
    let trace = trace_with(&["--duration", "200ms"], &["sh", "-c", "sleep 1; printf done; exit 3"]);
    assert!(began.elapsed() >= Duration::from_secs(1), "it waits for the command");
    trace.is_well_formed();
    assert_eq!((trace.stdout.as_str(), trace.status.code()), ("done", Some(3)));
    assert_eq!(trace.kind("exit").filter(|event| event["code"] == 3).count(), 0, "the end is not in the trace");
}

#[test]
#[ignore = "root"]
fn a_recording_prints_as_what_was_traced() {
    let (traced, recorded) = (Scratch::new("json"), Scratch::new("ipcs"));
    let status = ipcscope()
        .args(["trace", "--json", "-o"])
        .arg(&traced)
        .arg("--record")
        .arg(&recorded)
        .args(["--", "sh", "-c", "yes | head -n 20000 | sort | uniq -c; kill -USR1 $$"])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(died_of(status), Some(libc::SIGUSR1));
    let printed = ipcscope().args(["print", "--json"]).arg(&recorded).output().unwrap();
    assert!(printed.status.success());
    let (traced, printed) = (traced.read(), String::from_utf8(printed.stdout).unwrap());
    for (one, other) in traced.lines().zip(printed.lines()) {
        assert_eq!(one, other);
    }
    assert_eq!(traced.lines().count(), printed.lines().count());
    let text = ipcscope().args(["print", "--color", "always"]).arg(&recorded).output().unwrap();
    assert!(text.status.success() && !text.stdout.is_empty());
}

#[test]
#[ignore = "root"]
fn record_keeps_the_events_that_trace_tells() {
    let command = ["sh", "-c", "printf hello | wc -c | cat"];
    let traced = trace(&command);
    let file = Scratch::new("ipcs");
    let output = ipcscope().args(["record", "-o"]).arg(&file).arg("--").args(command).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = ipcscope().args(["print", "--json"]).arg(&file).output().unwrap();
    let recorded =
        Trace::parse(&String::from_utf8(printed.stdout).unwrap(), printed.status, String::new(), String::new());
    recorded.is_whole();
    recorded.everybody_ends();
    assert_eq!(kinds(&recorded), kinds(&traced));
}

#[test]
#[ignore = "root"]
fn only_what_is_asked_for_is_captured() {
    let command = ["sh", "-c", "kill -CONT $$; printf hello | wc -c"];
    for (set, has, has_not) in [
        ("signal", &["signal"][..], &["send", "recv", "channel", "state"][..]),
        ("pipe", &["send", "recv", "channel"], &["signal", "state"]),
        ("sched", &["state"], &["signal", "send", "recv", "channel"]),
        ("!sched", &["signal", "send", "recv", "channel", "exec", "exit"], &["state"]),
        ("all", &["signal", "send", "recv", "channel", "exec", "exit", "state"], &[]),
    ] {
        let trace = trace_with(&["-e", set], &command);
        trace.is_well_formed();
        assert_eq!(trace.status.code(), Some(0));
        for kind in has {
            assert!(trace.kind(kind).count() > 0, "-e {set}: no {kind}");
        }
        for kind in has_not {
            assert_eq!(trace.kind(kind).count(), 0, "-e {set}: {kind}\n{}", trace.text());
        }
    }
}

#[test]
#[ignore = "root"]
fn payload_is_cut_where_asked() {
    for (limit, expect) in [("0", None), ("3", Some("hel")), ("4096", Some("hello\\x0a"))] {
        let trace = trace_with(&["-s", limit], &["sh", "-c", "printf 'hello\\n' | wc -c"]);
        trace.is_whole();
        let channel = text(trace.one("a pipe", |event| event["event"] == "created"), "channel").to_owned();
        let send = trace.on("send", &channel).next().unwrap();
        assert_eq!(send["payload"].as_str(), expect, "-s {limit}: {send}");
        assert_eq!(number(send, "bytes"), 6);
    }
}

#[test]
#[ignore = "root"]
fn a_broken_output_pipe_is_success() {
    let mut child = ipcscope()
        .args(["trace", "--json", "-o", "-", "--", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("\"header\""), "{line}");
    let status = wait(&mut child);
    let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(status.success(), "{status}: {stderr}");
    assert!(stderr.is_empty(), "{stderr}");
}

#[test]
#[ignore = "root"]
fn nothing_of_others_reaches_the_terminal_as_a_control_character() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J";
    for options in [&[][..], &["--json"]] {
        let output = ipcscope()
            .args(["trace", "-o", "-"])
            .args(options)
            .args(["--", "sh", "-c", "printf '%s' \"$1\" | cat > /dev/null", "sh", evil])
            .output()
            .unwrap();
        assert!(output.status.success());
        let bad = output.stdout.iter().find(|byte| **byte < b' ' && **byte != b'\n' || **byte == 0x7f);
        assert_eq!(bad, None, "{}", String::from_utf8_lossy(&output.stdout).escape_debug());
        assert!(String::from_utf8_lossy(&output.stdout).contains("x1b]0;owned"));
    }
}

#[test]
#[ignore = "root"]
fn two_ipcscopes_at_once_see_their_own() {
    let one = Running::trace(&["--", "sh", "-c", "printf one | cat; sleep 0.5; printf one | cat"]);
    let two = Running::trace(&["--", "sh", "-c", "printf second | cat; sleep 0.5; printf second | cat"]);
    for (trace, word, other) in [(one.finish(), "one", "second"), (two.finish(), "second", "one")] {
        trace.is_whole();
        trace.everybody_ends();
        assert!(trace.kind("send").any(|event| event["payload"] == word));
        assert!(trace.kind("send").all(|event| event["payload"] != other));
    }
}

#[test]
#[ignore = "root"]
fn the_terminals_interrupt_reaches_the_command_and_we_tell_its_end() {
    // Both in one process group, as a terminal's foreground job.
    let mut running = Running::trace(&["--", "sh", "-c", "sleep 30"]);
    running.until("the command sleeps", |lines| {
        lines.iter().any(|event| event["to"] == "BLOCKED" && event["on"]["syscall"] == "clock_nanosleep")
            || lines.iter().any(|event| event["to"] == "BLOCKED" && event["on"]["syscall"] == "nanosleep")
    });
    let lines = running.until("the command", |lines| lines.iter().any(|event| is(event, "exec")));
    let pid = number(lines.iter().find(|event| is(event, "exec")).unwrap(), "pid") as i32;
    // A SIGINT to us alone must not end anything ...
    running.signal(libc::SIGINT);
    std::thread::sleep(Duration::from_millis(300));
    assert!(common::lives(pid.unsigned_abs()));
    // ... the command's own end does.
    // SAFETY: a plain call; the process is a grandchild that the trace has told of.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    // The shell may have a child, which the terminal would have told as well.
    for event in &running.until("SIGINT", |lines| lines.iter().any(|event| event["signal"] == "SIGINT")) {
        if is(event, "fork") {
            let child = number(&event["child"], "pid") as i32;
            // SAFETY: as above.
            unsafe { libc::kill(child, libc::SIGINT) };
        }
    }
    let trace = running.finish();
    assert_eq!(died_of(trace.status), Some(libc::SIGINT), "{}", trace.status);
    trace.everybody_ends();
}
