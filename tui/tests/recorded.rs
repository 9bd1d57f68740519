//! Commands on a recording, which anybody may run: numbers, findings, assertions.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{fs, process::Output};

use common::{Scratch, Value, ipcscope, is, lines, number};

const LESSON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lessons/pipeline.ipcs");

fn run(arguments: &[&str]) -> Output {
    ipcscope().args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Vec<Value> {
    let output = run(arguments);
    lines(&String::from_utf8(output.stdout).unwrap())
}

#[test]
fn numbers_are_those_of_the_events() {
    let events = json(&["print", "--json", LESSON]);
    let stats = json(&["stats", "--json", LESSON]);
    assert!(is(&stats[0], "header") && is(stats.last().unwrap(), "end"));
    assert_eq!(stats.last(), events.last());
    let rows = |of: &str| stats.iter().filter(|row| row["of"] == of).cloned().collect::<Vec<_>>();
    let sum = |kind: &str, channel: &Value| {
        let moved = events.iter().filter(|e| is(e, kind) && e["channel"] == *channel && e["peek"].is_null());
        moved.filter_map(|e| e["bytes"].as_u64()).sum::<u64>()
    };
    let channels = rows("channel");
    assert!(!channels.is_empty());
    for row in &channels {
        assert_eq!(
            (number(row, "sent"), number(row, "received")),
            (sum("send", &row["channel"]), sum("recv", &row["channel"]))
        );
        let most = events.iter().filter(|e| e["channel"] == row["channel"]).filter_map(|e| e["fill"].as_u64()).max();
        assert_eq!(row["high_water"].as_u64(), most);
        let latency = &row["latency"];
        assert!(number(latency, "p50_ns") <= number(latency, "p99_ns") && number(latency, "count") > 0, "{row}");
    }
    for row in rows("process") {
        let mine = |e: &&Value| e["pid"] == row["pid"] && (is(e, "send") || is(e, "recv")) && e["unfinished"].is_null();
        assert_eq!(number(&row, "calls"), events.iter().filter(mine).count() as u64, "{row}");
        assert!(row["spent"].as_object().unwrap().values().all(|ns| ns.as_u64().unwrap() > 0));
    }
    let natures = rows("type");
    assert_eq!(natures.len(), 1, "{natures:?}");
    for (name, value) in
        [("type", "pipe"), ("addressing", "indirect"), ("unit", "stream"), ("direction", "unidirectional")]
    {
        assert_eq!(natures[0][name], value, "{natures:?}");
    }
    assert_eq!(natures[0]["reliable"], true);
    assert!(natures[0]["reason"].as_str().unwrap().starts_with("pipe(7)"));
    for row in rows("signal") {
        for (phase, n) in row["phases"].as_object().unwrap() {
            let same = |e: &&Value| is(e, "signal") && e["signal"] == row["signal"] && e["phase"] == phase.as_str();
            assert_eq!(n.as_u64().unwrap(), events.iter().filter(same).count() as u64, "{phase} of {row}");
        }
    }
    let text = String::from_utf8(run(&["stats", LESSON]).stdout).unwrap();
    for head in ["PID", "CHANNEL", "SIGNAL"] {
        assert!(text.lines().any(|line| line.split_whitespace().next() == Some(head)), "{head}: {text}");
    }
}

#[test]
fn rules_hold_or_are_broken_with_their_events() {
    let sends = json(&["print", "--json", "--filter", "kind:send", LESSON]).len() - 2;
    let rules = Scratch::new("rules");
    let check = |text: &str| {
        fs::write(&rules.0, text).unwrap();
        let output = ipcscope().arg("check").arg(LESSON).arg(&rules).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, told, _) = check(&format!("all: {sends}..{sends} kind:send\nno-lost-events\nforks: kind:fork # some\n"));
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("ok     all: ") && told.ends_with("3 of 3 rules hold\n"), "{told}");

    let (code, told, _) = check("silent: no kind:send\nno-lost-events\n");
    assert_eq!(code, Some(3), "{told}");
    assert!(told.starts_with(&format!("BROKEN silent: {sends} events match and none may\n")), "{told}");
    assert!(told.lines().nth(1).unwrap().contains(" → pipe:["), "{told}");
    assert!(told.ends_with("1 of 2 rules hold\n"), "{told}");

    let (code, told, why) = check("no-lost-events\nwrong: kind:sent\n");
    assert_eq!((code, told.as_str()), (Some(1), ""));
    assert!(why.contains("line 2, column 13: `sent` is no kind"), "{why}");
    assert!(why.ends_with("\n  wrong: kind:sent\n              ^\n"), "{why}");
}

#[test]
fn findings_are_lines_or_text_with_the_same_exit_status() {
    let (text, lines) = (run(&["diagnose", LESSON]), run(&["diagnose", "--json", LESSON]));
    assert_eq!(text.status.code(), lines.status.code());
    let all = common::lines(&String::from_utf8(lines.stdout).unwrap());
    let findings = all.iter().filter(|line| is(line, "finding")).count();
    assert_eq!(findings + 2, all.len());
    assert_eq!(text.status.code(), Some(if findings == 0 { 0 } else { 3 }));
    let text = String::from_utf8(text.stdout).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("! ")).count(), findings, "{text}");
    assert!(run(&["diagnose", "/no/such/file"]).status.code() == Some(1));
}
