//! What students get wrong is named, each mistake by its rule and its culprit; programs that are right get no finding.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::process::Command;

use common::{Scratch, Value, ipcscope, lines, text, truths, workload};

/// Records a workload and diagnoses it: the truth, the findings, the exit status, the text.
fn diagnose(words: &[&str]) -> (std::collections::BTreeMap<String, String>, Vec<Value>, Option<i32>, String) {
    let file = Scratch::new("mistake.ipcs");
    let recorded = ipcscope().args(["record", "-o"]).arg(&file).arg("--").arg(workload()).args(words).output().unwrap();
    let stderr = String::from_utf8_lossy(&recorded.stderr);
    assert!(!stderr.contains("lost") && !stderr.contains("panicked"), "{words:?}: {stderr}");
    let truth = truths(&String::from_utf8_lossy(&recorded.stdout));
    if let Some(set) = truth.get("left") {
        // Removed already, where it was not forgotten.
        let _ = Command::new("ipcrm").args(["-s", set]).output();
    }
    if let Some(name) = truth.get("left-name") {
        let _ = std::fs::remove_file(format!("/dev/shm{name}"));
    }
    let json = ipcscope().args(["diagnose", "--json"]).arg(&file).output().unwrap();
    let all = lines(&String::from_utf8(json.stdout).unwrap());
    assert_eq!((text(&all[0], "kind"), text(all.last().unwrap(), "kind")), ("header", "end"), "{words:?}");
    let events = all.last().unwrap()["events"].as_u64().unwrap();
    let findings: Vec<_> = all[1..all.len() - 1].to_vec();
    for finding in &findings {
        assert_eq!(text(finding, "kind"), "finding");
        let evidence = finding["evidence"].as_array().unwrap();
        assert!(!evidence.is_empty() && evidence.iter().all(|seq| seq.as_u64().unwrap() < events), "{finding}");
    }
    let told = ipcscope().arg("diagnose").arg(&file).output().unwrap();
    assert_eq!(told.status.code(), json.status.code());
    let told = String::from_utf8(told.stdout).unwrap();
    (truth, findings, json.status.code(), told)
}

const MISTAKES: &[(&str, &str)] = &[
    ("unclosed-in-parent", "no-end-of-file"),
    ("unclosed-in-reader", "no-end-of-file"),
    ("unclosed-in-sibling", "no-end-of-file"),
    ("forgotten-wait", "zombie"),
    ("write-before-read", "full-pipe"),
    ("wait-before-read", "full-pipe"),
    ("both-read-first", "deadlock"),
    ("eintr", "eintr-not-retried"),
    ("sigpipe-ignored", "sigpipe-ignored"),
    ("lost-signals", "signal-coalesced"),
    ("blocked-signal", "signal-pending"),
    ("stopped-holder", "stopped-holder"),
    ("lock-order", "deadlock"),
    ("left-behind", "left-behind"),
    ("fifo-alone", "fifo-one-side"),
    ("no-room", "datagrams-dropped"),
    ("mutex-order", "deadlock"),
    ("sockets-read-first", "deadlock"),
    ("queues-receive-first", "deadlock"),
    ("end-in-flight", "no-end-of-file"),
    ("memory-left", "left-behind"),
    ("listen-full", "listen-overflow"),
];

#[test]
#[ignore = "root"]
fn each_mistake_is_named() {
    for (name, rule) in MISTAKES {
        let (truth, findings, code, told) = diagnose(&["mistake", name]);
        let rules: Vec<_> = findings.iter().map(|finding| text(finding, "rule")).collect();
        assert_eq!(rules, [*rule], "{name}: {findings:#?}");
        assert_eq!(code, Some(3), "{name}");
        let culprit = &truth["culprit"];
        assert!(text(&findings[0], "text").contains(&format!(" {culprit}")), "{name}: {culprit}: {findings:#?}");
        assert!(told.contains(&format!("! {rule} ")) && told.contains("\n1 finding in "), "{told}");
        // The evidence stands there as `print` shows it.
        let shown = told.lines().filter(|line| line.starts_with("    ") && line.contains('.')).count();
        assert_eq!(shown, findings[0]["evidence"].as_array().unwrap().len(), "{told}");
    }
}

#[test]
#[ignore = "root"]
fn programs_that_are_right_get_no_finding() {
    for (name, _) in MISTAKES {
        let (_, findings, code, told) = diagnose(&["correct", name]);
        assert!(findings.is_empty(), "{name}: {told}");
        assert_eq!((code, told.starts_with("0 findings in ")), (Some(0), true), "{name}");
    }
}

#[test]
#[ignore = "root"]
fn ordinary_commands_get_no_finding() {
    for command in [
        "printf hello | wc -c",
        "seq 20000 | sort -n | tail -n 1",
        "yes | head -n 3",
        "true & wait; x=$(echo y); echo $x",
    ] {
        let file = Scratch::new("ordinary.ipcs");
        let status =
            ipcscope().args(["record", "-o"]).arg(&file).args(["--", "sh", "-c", command]).output().unwrap().status;
        assert!(status.success(), "{command}");
        let told = ipcscope().arg("diagnose").arg(&file).output().unwrap();
        assert_eq!(told.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&told.stdout));
    }
}
