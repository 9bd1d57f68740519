//! What becomes of interrupted calls and of every signal instance, told by the trace and known by the programs themselves.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{SLOW, Scratch, Trace, Value, ipcscope, number, text, trace_with, trace_workload, workload};

/// How instances of a trace ended, by phase; `waiting`: they had not when it ended.
fn ends(trace: &Trace) -> BTreeMap<&str, u64> {
    let mut last: HashMap<u64, (&str, bool)> = HashMap::new();
    let mut count = BTreeMap::new();
    for event in trace.kind("signal") {
        let phase = text(event, "phase");
        let external = event["to"]["external"] == true;
        if phase == "generated" {
            *count.entry("generated").or_default() += 1;
        }
        let phase = if phase == "delivered" && event["action"] == "handler" { "runs" } else { phase };
        let known = last.insert(number(event, "id"), (phase, external));
        assert!(phase == "generated" || known.is_some(), "never generated: {event}");
    }
    for (phase, external) in last.into_values() {
        let end = match phase {
            "generated" if external => "external",
            "generated" | "pending" => "waiting",
            phase => phase,
        };
        *count.entry(end).or_default() += 1;
    }
    count
}

#[test]
#[ignore = "root"]
fn every_blocking_call_s_verdict_is_what_the_program_saw() {
    let (trace, truth) = trace_workload(&["verdicts"]);
    let mut wrong = Vec::new();
    let mut cases = 0;
    for (case, saw) in truth.iter().filter(|(name, _)| name.contains('/')) {
        let (_, mode) = case.split_once('/').unwrap();
        let words: Vec<&str> = saw.split(' ').collect();
        let (child, result) = (words[0].parse::<u64>().unwrap(), words[2]);
        assert!(matches!(result, "done" | "EINTR" | "partial"), "{case}: {saw}");
        cases += 1;
        let (signal, phase) = if mode == "stop" { ("SIGSTOP", "delivered") } else { ("SIGUSR1", "handled") };
        let told: Vec<&Value> =
            trace.signals(signal, phase).into_iter().filter(|event| event["to"]["pid"] == child).collect();
        if mode == "ignored" {
            let phases = trace.phases("SIGUSR1", child);
            if phases != ["generated", "ignored"] || result != "done" {
                wrong.push(format!("{case}: saw {result}, told {phases:?}"));
            }
            continue;
        }
        let expected = match result {
            "done" => "restarted",
            result => result,
        };
        let verdicts: Vec<&str> = told.iter().map(|event| text(event, "verdict")).collect();
        let call: Vec<&Value> = told.iter().map(|event| &event["interrupted"]["syscall"]).collect();
        if verdicts != [expected] || call[0].is_null() {
            wrong.push(format!("{case}: saw {result}, told {verdicts:?} of {call:?}"));
        }
    }
    assert!(cases >= 4 * 25, "{cases} cases");
    assert!(wrong.is_empty(), "{} of {cases} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "root"]
fn every_instance_of_a_storm_ends() {
    let file = Scratch::new("storm.ipcs");
    let record = ipcscope()
        // Nothing may be lost here, however fast signals come and however busy the machine is.
        .args(["record", "--buffer", "256M", "-e", "signal", "-o"])
        .arg(&file)
        .args(["--", "stress-ng", "--quiet", "--kill", "1", "--sigq", "1", "--sigrt", "1", "-t", "2"])
        .output()
        .unwrap();
    if !record.status.success() && record.status.code() == Some(127) {
        println!("SKIPPED (no stress-ng)");
        return;
    }
    assert!(record.status.success(), "{}", String::from_utf8_lossy(&record.stderr));
    let print = ipcscope().args(["print", "--json"]).arg(&file).output().unwrap();
    let trace = Trace::parse(&String::from_utf8_lossy(&print.stdout), print.status, String::new(), String::new());
    assert_eq!(trace.end["lost"], 0, "{}", trace.end);
    trace.is_well_formed();
    trace.signals_end_once();
    let ends = ends(&trace);
    let generated = ends["generated"];
    assert!(generated > 10_000, "{ends:?}");
    assert_eq!(ends.values().sum::<u64>(), 2 * generated, "{ends:?}");
    // Everybody has ended, so nothing can wait or run.
    assert_eq!((ends.get("waiting"), ends.get("runs")), (None, None), "{ends:?}");
}

#[test]
#[ignore = "root"]
fn faults_are_told_with_cause_and_address() {
    let (trace, truth) = trace_workload(&["faults"]);
    for (signal, code) in [
        ("SIGSEGV", "SEGV_MAPERR"),
        ("SIGFPE", "FPE_INTDIV"),
        ("SIGILL", "ILL_ILLOPN"),
        ("SIGTRAP", "SI_KERNEL"),
        ("SIGBUS", "BUS_ADRERR"),
    ] {
        let child: u64 = truth[signal].split(' ').next().unwrap().parse().unwrap();
        assert_eq!(trace.phases(signal, child), ["generated", "delivered"]);
        let generated = trace.signals(signal, "generated")[0];
        assert_eq!(generated["sender"]["kind"], "kernel", "{generated}");
        assert_eq!(generated["target_state"], "RUNNING", "{generated}");
        assert_eq!(generated["code"], code, "{generated}");
        assert_eq!(trace.signals(signal, "delivered")[0]["action"], "core");
    }
    assert_eq!(trace.signals("SIGSEGV", "generated")[0]["value"], "0x10");
    assert!(trace.signals("SIGFPE", "generated")[0]["value"].as_str().unwrap().starts_with("0x"));
}

#[test]
#[ignore = "root"]
fn what_waits_is_taken_away() {
    let (trace, truth) = trace_workload(&["flushed"]);
    let me: u64 = truth["pid"].parse().unwrap();
    assert_eq!(truth["handled"], "0");
    assert_eq!(trace.phases("SIGUSR1", me), ["generated", "pending", "discarded"]);
    assert_eq!(trace.signals("SIGUSR1", "discarded")[0]["reason"], "ignored");
    assert_eq!(trace.phases("SIGTSTP", me), ["generated", "pending", "discarded", "generated", "pending", "discarded"]);
    assert!(trace.signals("SIGTSTP", "discarded").iter().all(|event| event["reason"] == "SIGCONT"));
    assert_eq!(trace.phases("SIGCONT", me), ["generated", "pending", "discarded", "generated", "pending", "discarded"]);
    let reasons: Vec<&str> = trace.signals("SIGCONT", "discarded").iter().map(|event| text(event, "reason")).collect();
    assert_eq!(reasons, ["stopped", "exit"]);
    let mask = &trace.signals("SIGUSR1", "pending")[0]["mask"];
    assert_eq!(*mask, serde_json::json!(["SIGUSR1", "SIGCONT", "SIGTSTP"]));
}

#[test]
#[ignore = "root"]
fn a_descriptor_s_reader_consumes_in_its_order() {
    let (trace, truth) = trace_workload(&["signalfd"]);
    let consumed: Vec<&Value> = trace.kind("signal").filter(|event| event["phase"] == "consumed").collect();
    let numbers: Vec<String> = consumed.iter().map(|event| number(event, "signo").to_string()).collect();
    assert_eq!(numbers.join(" "), truth["took"]);
    assert!(consumed.iter().all(|event| event["consumed_by"]["syscall"] == "read"), "{consumed:?}");
    let sent: Vec<u64> = trace
        .kind("signal")
        .filter(|event| event["phase"] == "generated" && number(event, "signo") > 31)
        .map(|event| number(event, "id"))
        .collect();
    let got: Vec<u64> =
        consumed.iter().filter(|event| number(event, "signo") > 31).map(|event| number(event, "id")).collect();
    assert_eq!((sent.len(), sent), (2, got), "in order");
    let values: Vec<&Value> = trace
        .kind("signal")
        .filter(|event| event["phase"] == "generated" && number(event, "signo") > 31)
        .map(|event| &event["value"])
        .collect();
    assert_eq!(values, [7, 8]);
}

/// Of so many runs one has to agree: the accounts are compared with a clock, which a busy machine holds up.
const RUNS: usize = 8;

#[test]
#[ignore = "root"]
fn states_add_up_and_agree_with_the_kernel_s_accounts() {
    let mut problems = Vec::new();
    for _ in 0..RUNS {
        let found = disagreements();
        if found.is_empty() {
            return;
        }
        println!("{found:#?}");
        problems.push(found);
    }
    assert!(problems.len() < RUNS, "no run of {RUNS} agrees: {problems:#?}");
}

/// Checks that states are gapless and add up; answers where their times differ from the kernel's accounts.
fn disagreements() -> Vec<String> {
    let mut found = Vec::new();
    let (trace, truth) = trace_workload(&["times"]);
    // Interrupts and a hypervisor take time that the kernel's accounts leave out.
    let tolerance = 20 + truth["elsewhere"].parse::<u64>().unwrap();
    for name in ["hog", "sleeper", "ping", "pong"] {
        let words: Vec<u64> = truth[name].split(' ').map(|word| word.parse().unwrap()).collect();
        let (tid, run, wait) = (words[0], words[1], words[2]);
        let changes: Vec<&Value> = trace.kind("state").filter(|event| event["tid"] == tid).collect();
        assert_eq!(changes[0]["to"], "NEW", "{name}");
        let mut spent: BTreeMap<&str, u64> = BTreeMap::new();
        // It looked at its account, and wrote that down at once: what comes later does not count.
        let wrote = trace.kind("send").rfind(|event| event["tid"] == tid).unwrap();
        let told_at = number(wrote, "t") - number(wrote, "took_ns");
        let mut before: BTreeMap<&str, u64> = BTreeMap::new();
        for pair in changes.windows(2) {
            assert_eq!(pair[1]["from"], pair[0]["to"], "{name}: gapless");
            *spent.entry(text(pair[0], "to")).or_default() += number(pair[1], "t") - number(pair[0], "t");
            let until = number(pair[1], "t").min(told_at);
            *before.entry(text(pair[0], "to")).or_default() += until.saturating_sub(number(pair[0], "t"));
        }
        let whole = number(changes[changes.len() - 1], "t") - number(changes[0], "t");
        assert_eq!(spent.values().sum::<u64>(), whole, "{name}: {spent:?}");
        let near =
            |told: u64, truth: u64, more: u64| told.abs_diff(truth) <= truth / 1000 * tolerance + 3_000_000 + more;
        // The kernel counts waiting from when the thread is queued on its CPU, we from when it is woken, some µs before;
        // and running from where the scheduler looks at its clock, we from where it switches. An emulated processor takes
        // ten times as long from the one to the other.
        let wakes = changes.iter().filter(|event| event["to"] == "READY" && event["from"] == "BLOCKED").count() as u64;
        let (per_switch, per_wake) = if SLOW { (3_000, 30_000) } else { (0, 3_000) };
        let (told_run, told_wait) = (before["RUNNING"], before.get("READY").copied().unwrap_or(0));
        if !near(told_run, run, per_switch * wakes) {
            found.push(format!("{name}: told RUNNING {told_run}, kernel {run}: {before:?}"));
        }
        if !near(told_wait, wait, per_wake * wakes) {
            found.push(format!("{name}: told READY {told_wait}, kernel {wait}: {before:?}"));
        }
    }
    found
}

#[test]
#[ignore = "root"]
fn a_pre_forking_server_tells_its_workers() {
    let (trace, truth) = trace_workload(&["server"]);
    let parent: u64 = truth["parent"].parse().unwrap();
    assert_eq!(truth["status"], "0");
    let mut workers = 0;
    for (name, status) in truth.iter().filter_map(|(name, status)| Some((name.strip_prefix("ended-")?, status))) {
        let (told, worker) = name.split_once('-').unwrap();
        let worker: u64 = worker.parse().unwrap();
        let signal = if told == "10" { "SIGUSR1" } else { "SIGTERM" };
        let generated: Vec<&Value> =
            trace.signals(signal, "generated").into_iter().filter(|event| event["to"]["pid"] == worker).collect();
        assert_eq!(generated.len(), 1, "{name}");
        assert_eq!((&generated[0]["pid"], &generated[0]["syscall"]), (&parent.into(), &"kill".into()));
        let exit = trace.one("exit", |event| event["kind"] == "exit" && event["pid"] == worker);
        assert_eq!(exit["signal"], signal);
        assert_eq!(status, if told == "10" { "10" } else { "15" });
        assert!(number(exit, "t") > number(generated[0], "t"));
        let child = trace.one("SIGCHLD", |event| {
            event["signal"] == "SIGCHLD" && event["phase"] == "generated" && event["sender"]["pid"] == worker
        });
        assert_eq!((&child["to"]["pid"], &child["code"]), (&parent.into(), &"CLD_KILLED".into()));
        workers += 1;
    }
    assert_eq!(workers, 6);
    for signal in ["SIGHUP", "SIGUSR1", "SIGTERM"] {
        let handled: Vec<&Value> =
            trace.signals(signal, "handled").into_iter().filter(|event| event["to"]["pid"] == parent).collect();
        assert_eq!(handled.len(), 1, "{signal}");
        assert_eq!((&handled[0]["verdict"], &handled[0]["interrupted"]["syscall"]), (&"EINTR".into(), &"pause".into()));
    }
}

#[test]
#[ignore = "root"]
fn a_signal_to_everybody_is_a_broadcast() {
    let program = workload();
    let trace = trace_with(&[], &["unshare", "--pid", "--fork", program.to_str().unwrap(), "broadcast"]);
    if trace.status.code() == Some(127) {
        println!("SKIPPED (no unshare)");
        return;
    }
    assert_eq!(trace.status.code(), Some(0), "{}", trace.stderr);
    trace.is_whole();
    let generated = trace.signals("SIGTERM", "generated");
    assert_eq!(generated.len(), 3, "{generated:?}");
    for event in generated {
        assert_eq!((&event["broadcast"], &event["process_group"]), (&true.into(), &Value::Null), "{event}");
        number(event, "multicast");
    }
}
