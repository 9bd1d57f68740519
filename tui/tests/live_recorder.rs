//! Recordings that are not kept whole, and recorders that do not live to see the end.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use common::{Value, ipcscope, is, lines, number, text};
use ipcscope::trace::{FrameKind, Reader};

/// A folder for a while.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = common::Scratch::new(name).0.clone();
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn record(file: &Path, options: &[&str], script: &str) -> Command {
    let mut command = ipcscope();
    command.args(["record", "-o"]).arg(file).args(options).args(["--", "sh", "-c", script]);
    command
}

/// What a recording says, and what `print` complains of.
fn print(file: &Path) -> (Vec<Value>, String) {
    let output = ipcscope().args(["print", "--json"]).arg(file).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {complaint}", file.display());
    (lines(&String::from_utf8_lossy(&output.stdout)), complaint)
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: our own child, not yet waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

fn wait_for(file: &Path) {
    let until = Instant::now() + common::PATIENCE;
    while !file.exists() {
        assert!(Instant::now() < until, "{} never came", file.display());
        thread::sleep(Duration::from_millis(20));
    }
}

/// Nothing before it is told; who was there before and holds what is; nothing that is not known is claimed.
fn begins_in_the_middle(events: &[Value]) -> u64 {
    assert!(is(&events[0], "header"));
    let at = events.iter().position(|event| event["where"] == "not-kept").unwrap();
    let begins = number(&events[at], "t");
    assert!(number(&events[at], "count") > 0 && begins > 0, "{}", events[at]);
    for event in &events[1..at] {
        assert_eq!(number(event, "t"), begins, "{event}");
        assert!(is(event, "state") || text(event, "event") == "attached", "{event}");
    }
    let held = events[1..at].iter().filter(|event| is(event, "channel")).count();
    assert!(held >= 2, "both ends of the pipe are held");
    let end = events.last().unwrap();
    assert_eq!(end["lost_by"].as_object().unwrap().keys().collect::<Vec<_>>(), ["not-kept"], "{end}");
    begins
}

#[test]
#[ignore = "root"]
fn a_flight_recorder_keeps_the_last_seconds() {
    let folder = Folder::new("flight");
    let (file, first) = (folder.file("a.ipcs"), folder.file("a.1.ipcs"));
    // Each second has its own number, four times.
    let marker = common::Scratch::new("marker");
    let script = format!(
        "for n in 1 2 3 4 5 6 7; do for m in 1 2 3 4; do echo $n; sleep 0.25; done; \
         [ $n != 5 ] || : > {}; done | while read x; do :; done",
        marker.0.display()
    );
    let mut command = record(&file, &["--last", "2s"], &script);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&marker.0);
    assert_eq!(fs::metadata(&file).unwrap().len(), 0, "nothing is written before it is asked for");
    signal(&child, libc::SIGUSR1);
    wait_for(&first);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("saved ") && told.contains("a.1.ipcs"), "{told}");
    let mut last = 0;
    for file in [&first, &file] {
        let (events, complaint) = print(file);
        assert_eq!(complaint, "", "{}", file.display());
        let begins = begins_in_the_middle(&events);
        let ends = number(&events[events.len() - 2], "t");
        // At least what was asked for, and at most two blocks more, which close after a second. It is counted from the last
        // record; the last event may be a pause of the script (0.25 s) older.
        let kept = Duration::from_nanos(ends - begins);
        assert!((1.7..4.6).contains(&kept.as_secs_f64()), "{kept:?} {}", file.display());
        assert!(begins > last, "the later one begins later");
        last = begins;
        // Once the pipe has been seen empty it is known again who wrote what.
        let known = events.iter().filter(|event| is(event, "recv") && event["from"].is_array()).count();
        assert!(known > 0, "origins are found again");
        let diagnosis = ipcscope().arg("diagnose").arg(file).output().unwrap();
        assert!(matches!(diagnosis.status.code(), Some(0 | 3)), "{diagnosis:?}");
    }
}

#[test]
#[ignore = "root"]
fn files_of_limited_size_can_each_be_read_for_themselves() {
    let folder = Folder::new("rotate");
    let file = folder.file("a.ipcs");
    let script = "head -c 60000000 /dev/urandom | cat | cat >/dev/null";
    assert!(record(&file, &["--max-size", "1M", "-s", "4096"], script).status().unwrap().success());
    let parts: Vec<PathBuf> = std::iter::once(file)
        .chain((2..1000).map(|number| folder.file(&format!("a.{number}.ipcs"))))
        .take_while(|part| part.exists())
        .collect();
    assert!(parts.len() > 3 && fs::read_dir(&folder.0).unwrap().count() == parts.len(), "{parts:?}");
    let (mut ends, mut sent) = (0, 0);
    for (number_of_part, part) in parts.iter().enumerate() {
        let size = fs::metadata(part).unwrap().len();
        // One block of incompressible bytes is a MiB by itself.
        assert!(size < 2_300_000, "{size}");
        let (events, complaint) = print(part);
        assert_eq!(complaint, "", "{}", part.display());
        let begins = if number_of_part == 0 { 0 } else { begins_in_the_middle(&events) };
        assert!(begins >= ends, "{begins} is before {ends}");
        ends = number(&events[events.len() - 2], "t");
        let bytes = events.iter().filter(|event| is(event, "send")).filter_map(|event| event["bytes"].as_u64());
        sent += bytes.sum::<u64>();
    }
    assert_eq!(sent, 2 * 60_000_000, "nothing is missing between two files");
}

#[test]
#[ignore = "root"]
fn a_recorder_killed_at_any_moment_leaves_a_file_that_opens() {
    // The same a hundred times, without the kernel: `killed_a_hundred_times` in damage.rs.
    const ROUNDS: u32 = 8;
    let folder = Folder::new("killed");
    let file = folder.file("a.ipcs");
    let mut running = Command::new("sh");
    running.args(["-c", "while :; do printf 'one two three' | wc -c; done"]).stdout(Stdio::null());
    let mut subject = running.spawn().unwrap();
    let (mut told, mut empty) = (0, 0);
    for round in 0..ROUNDS {
        let _ = fs::remove_file(&file);
        let mut command = ipcscope();
        command.args(["record", "-s", "4096", "-o"]).arg(&file).arg("-p").arg(subject.id().to_string());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        wait_until_it_grows(&file);
        // From before the first block is closed to some time after.
        thread::sleep(Duration::from_micros(u64::from(round) * 300_007));
        child.kill().unwrap();
        child.wait().unwrap();
        let (events, complaint) = print(&file);
        assert!(is(&events[0], "header") && is(events.last().unwrap(), "end"), "round {round}");
        assert!(complaint.contains("cut off") && !complaint.contains("panicked"), "round {round}: {complaint}");
        let count = events.len() - 2;
        told += count;
        empty += u32::from(count == 0);
    }
    let _ = subject.kill();
    subject.wait().unwrap();
    println!("{told} events in {ROUNDS} recordings, {empty} of them without a whole block");
}

/// The header is written: tracing has begun.
fn wait_until_it_grows(file: &Path) {
    let until = Instant::now() + common::PATIENCE;
    while fs::metadata(file).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(Instant::now() < until, "{} never came", file.display());
        thread::sleep(Duration::from_millis(2));
    }
}

/// A file system of our own for a while.
struct Disk(PathBuf);

impl Disk {
    fn new(options: &str) -> Self {
        let path = common::Scratch::new("disk").0.clone();
        fs::create_dir(&path).unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).status().unwrap();
        assert!(status.success(), "mount {status}");
        Self(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
#[ignore = "root"]
fn a_disk_too_small_for_the_next_file_disturbs_nobody() {
    let disk = Disk::new("size=3M");
    let (file, marker) = (disk.0.join("a.ipcs"), common::Scratch::new("marker"));
    let script = format!("head -c 40000000 /dev/urandom | cat >/dev/null; echo > {}", marker.0.display());
    let output = record(&file, &["--max-size", "1M", "-s", "4096"], &script).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(marker.0.exists(), "the command came to its end");
    assert!(output.status.code() == Some(1) && told.contains("No space left"), "{told}");
    let (events, _) = print(&file);
    assert!(events.len() > 10, "the first file is whole");
}

#[test]
#[ignore = "root"]
fn a_flight_that_cannot_be_saved_goes_on() {
    let disk = Disk::new("size=64k");
    let (file, first) = (disk.0.join("a.ipcs"), disk.0.join("a.1.ipcs"));
    fs::create_dir(&first).unwrap();
    let child = record(&file, &["--last", "1m"], "sleep 2.5").stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_secs(2));
    signal(&child, libc::SIGUSR1);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("failed to save") && told.contains("a.1.ipcs"), "{told}");
    let (events, complaint) = print(&file);
    assert!(events.len() > 2 && complaint.is_empty(), "{complaint}");
}

#[test]
#[ignore = "root"]
fn what_waits_in_the_buffer_leaves_in_order() {
    let folder = Folder::new("backlog");
    let (file, begun) = (folder.file("trace.ipcs"), folder.file("begun"));
    // On all processors at once, while the recorder does not get to run.
    let bytes = "dd if=/dev/zero bs=1 count=150000 2>/dev/null | dd of=/dev/null bs=1 2>/dev/null";
    let script = format!("touch '{}'; sleep 0.2; {bytes} & {bytes} & wait", begun.display());
    let mut child = record(&file, &["--buffer", "256MiB", "-e", "pipe", "-s", "0"], &script).spawn().unwrap();
    wait_for(&begun);
    for _ in 0..8 {
        signal(&child, libc::SIGSTOP);
        thread::sleep(Duration::from_millis(300));
        signal(&child, libc::SIGCONT);
        thread::sleep(Duration::from_millis(50));
    }
    assert!(common::wait(&mut child).success());
    let reader = Reader::new(fs::File::open(&file).unwrap()).unwrap();
    let times: Vec<u64> =
        reader.map(Result::unwrap).filter(|frame| frame.kind == FrameKind::Wire).map(|frame| frame.time).collect();
    let back: Vec<_> = times.windows(2).filter(|pair| pair[1] < pair[0]).collect();
    println!("{} records", times.len());
    assert!(times.len() > 500_000, "{}", times.len());
    assert!(back.is_empty(), "{} times: {:?}", back.len(), &back[..back.len().min(5)]);
}
