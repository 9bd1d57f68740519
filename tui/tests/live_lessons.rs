//! The lessons' programs, traced: what is traced is what they say; ended at any moment, they leave nothing behind.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use common::{died_of, ipcscope, lessons, lives, program, trace, wait};
use ipcscope::lessons::{LESSONS, Program};

fn names() -> impl Iterator<Item = &'static str> {
    LESSONS.iter().filter(|lesson| matches!(lesson.program, Program::Here(_))).map(|lesson| lesson.name)
}

/// Names in the file system and queues that lessons made.
fn left_behind() -> Vec<String> {
    let files = fs::read_dir(std::env::temp_dir()).unwrap();
    let files = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    let queues = fs::read_to_string("/proc/sysvipc/msg").unwrap_or_default();
    let queues = queues.lines().filter_map(|line| line.split_whitespace().next()?.parse::<i32>().ok());
    files
        .filter(|name| name.starts_with("lesson-"))
        .chain(queues.filter(|key| key >> 16 == 0x6789).map(|key| format!("queue {key:x}")))
        .collect()
}

#[test]
#[ignore = "root"]
fn lessons_do_what_they_say() {
    for name in names() {
        let program = program();
        let trace = trace(&[program.to_str().unwrap(), "lesson", name, "--fast"]);
        assert_eq!(trace.status.code(), Some(0), "{name}: {}", trace.stderr);
        lessons::shows(name, &trace);
        assert!(trace.stdout.contains("over"), "{name}: {}", trace.stdout);
    }
    assert_eq!(left_behind(), Vec::<String>::new());
}

#[test]
#[ignore = "root"]
fn a_lesson_that_is_ended_leaves_nothing() {
    for name in names() {
        for (signal, after) in [(libc::SIGTERM, 1), (libc::SIGINT, 3), (libc::SIGHUP, 5)] {
            let mut child = ipcscope().args(["lesson", name]).stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            for _ in 0..after {
                lines.next();
            }
            let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
            let children: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
            let began = Instant::now();
            // SAFETY: a child of ours that has not been waited for.
            assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
            let status = wait(&mut child);
            assert!(began.elapsed() < Duration::from_secs(2), "{name}: {:?}", began.elapsed());
            assert_eq!(died_of(status), Some(signal), "{name}");
            thread::sleep(Duration::from_millis(10));
            assert!(!children.iter().any(|child| lives(*child)), "{name}: {children:?}");
            assert_eq!(left_behind(), Vec::<String>::new(), "{name} after {after} lines");
        }
    }
}
