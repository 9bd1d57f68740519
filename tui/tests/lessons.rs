//! The lessons as they were recorded: each shows what it says, and nothing of the machine that it was recorded on.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{fs, os::unix::process::ExitStatusExt as _, process::ExitStatus};

use common::{Trace, ipcscope, lessons, text};
use ipcscope::lessons::{LESSONS, Program};

/// Bytes of a recording.
const LARGEST: u64 = 200_000;

fn file(lesson: &str) -> String {
    format!("{}/lessons/{lesson}.ipcs", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn recordings_show_what_the_lessons_say() {
    for lesson in LESSONS.iter().filter(|lesson| matches!(lesson.program, Program::Here(_))) {
        let output = ipcscope().args(["print", "--json", &file(lesson.name)]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let trace = Trace::parse(&text, ExitStatus::from_raw(0), String::new(), String::new());
        trace.is_whole();
        lessons::shows(lesson.name, &trace);
        assert!(fs::metadata(file(lesson.name)).unwrap().len() < LARGEST, "{}", lesson.name);
    }
}

#[test]
fn recordings_are_of_no_machine_in_particular() {
    for lesson in LESSONS {
        let output = ipcscope().args(["print", "--json", &file(lesson.name)]).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let header = common::lines(&printed).remove(0);
        if matches!(lesson.program, Program::Here(_)) {
            assert_eq!(header["command"], serde_json::json!(["ipcscope", "lesson", lesson.name]));
            assert_eq!(text(&header, "host"), "lesson");
        }
        for word in ["/root", "/home", "/work", "target/"] {
            assert!(!printed.contains(word), "{word} in {}", lesson.name);
        }
    }
}

#[test]
fn lessons_are_listed_and_others_refused() {
    let output = ipcscope().arg("demo").output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    for lesson in LESSONS {
        assert!(list.lines().any(|line| line.starts_with(lesson.name) && line.ends_with(lesson.line)), "{list}");
    }
    assert!(list.lines().all(|line| line.chars().count() <= 120), "{list}");
    for arguments in [["demo", "knitting"], ["lesson", "knitting"], ["lesson", "pipeline"]] {
        let output = ipcscope().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
}
