//! What the live tests share: starting ipcscope and the workloads, reading JSON lines, and what is true of every trace.
//!
//! The tests also run in virtual machines that have busybox and no cargo: `IPCSCOPE` and `IPCSCOPE_WORKLOAD` then say where
//! the programs are.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: each uses a part of this, and a surprise ends it"
)]

mod held;
pub mod lessons;
mod terminal;

pub use held::Held;
pub use terminal::Terminal;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsStr,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

pub use serde_json::Value;

/// How long anything may take before a test gives up. `cargo xtask vm` builds with `IPCSCOPE_SLOW`: without hardware help
/// a virtual machine takes the better part of a minute to read the kernel's types and to verify the probes.
pub const PATIENCE: Duration = Duration::from_secs(if SLOW { 300 } else { 60 });

/// Every instruction is emulated.
pub const SLOW: bool = option_env!("IPCSCOPE_SLOW").is_some();

/// The program under test.
pub fn program() -> PathBuf {
    std::env::var_os("IPCSCOPE").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_ipcscope")), PathBuf::from)
}

/// The program that knows the truth.
pub fn workload() -> PathBuf {
    std::env::var_os("IPCSCOPE_WORKLOAD").map_or_else(
        || {
            let test = std::env::current_exe().expect("our own path");
            let folder = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
            folder.join("examples").join("workload")
        },
        PathBuf::from,
    )
}

/// A command that runs ipcscope, without what may be set around the tests.
pub fn ipcscope() -> Command {
    let mut command = Command::new(program());
    for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER", "NO_COLOR", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A file for a while.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// A name that is nobody else's; the file is not there yet.
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("ipcscope-test-{}-{number}-{name}", std::process::id())))
    }

    /// What is in it.
    pub fn read(&self) -> String {
        fs::read_to_string(&self.0).unwrap_or_default()
    }
}

impl AsRef<OsStr> for Scratch {
    fn as_ref(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// JSON lines; the last may not be complete yet.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What a workload printed: `name value` a line.
pub fn truths(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A trace that has been taken.
#[derive(Debug)]
pub struct Trace {
    /// First line.
    pub header: Value,
    /// Lines between.
    pub events: Vec<Value>,
    /// Last line.
    pub end: Value,
    /// ipcscope's own.
    pub status: ExitStatus,
    /// What the command printed.
    pub stdout: String,
    /// What the command and ipcscope complained of.
    pub stderr: String,
}

/// Traces a command with options: `ipcscope trace --json -o FILE OPTIONS -- COMMAND`.
pub fn trace_with(options: &[&str], command: &[&str]) -> Trace {
    let file = Scratch::new("trace");
    let output = ipcscope()
        .args(["trace", "--json", "-o"])
        .arg(&file)
        .args(options)
        .arg("--")
        .args(command)
        .output()
        .expect("ipcscope starts");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("panicked"), "{stderr}");
    Trace::parse(&file.read(), output.status, stdout, stderr)
}

/// Traces a command.
pub fn trace(command: &[&str]) -> Trace {
    let trace = trace_with(&[], command);
    trace.is_whole();
    trace
}

/// Traces a workload, which has to succeed, and gives what it knows.
pub fn trace_workload(words: &[&str]) -> (Trace, BTreeMap<String, String>) {
    let program = workload();
    let mut command = vec![program.to_str().expect("a plain path")];
    command.extend(words);
    let trace = trace(&command);
    assert_eq!(trace.status.code(), Some(0), "{words:?}: {}", trace.stderr);
    let truths = truths(&trace.stdout);
    (trace, truths)
}

/// Whether an event has that kind.
pub fn is(event: &Value, kind: &str) -> bool {
    event["kind"] == kind
}

/// A number that must be there.
pub fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap_or_else(|| panic!("no number {field:?} in {event}"))
}

/// A text that must be there.
pub fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_else(|| panic!("no text {field:?} in {event}"))
}

impl Trace {
    /// From JSON lines: a header, events, an end.
    pub fn parse(text: &str, status: ExitStatus, stdout: String, stderr: String) -> Self {
        let mut all: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{stderr}")))
            .collect();
        assert!(all.len() >= 2, "no trace ({status}): {text}\n{stderr}");
        let end = all.pop().expect("an end");
        let header = all.remove(0);
        Self { header, events: all, end, status, stdout, stderr }
    }

    /// Events of a kind.
    pub fn kind<'a>(&'a self, kind: &'a str) -> impl DoubleEndedIterator<Item = &'a Value> {
        self.events.iter().filter(move |event| is(event, kind))
    }

    /// Events of a kind on a channel.
    pub fn on<'a>(&'a self, kind: &'a str, channel: &'a str) -> impl DoubleEndedIterator<Item = &'a Value> {
        self.kind(kind).filter(move |event| event["channel"] == channel)
    }

    /// Signal events of a phase.
    pub fn signals<'a>(&'a self, signal: &'a str, phase: &'a str) -> Vec<&'a Value> {
        self.kind("signal").filter(|event| event["signal"] == signal && event["phase"] == phase).collect()
    }

    /// Phases that a signal of that name went through at a receiver, in order.
    pub fn phases(&self, signal: &str, pid: u64) -> Vec<&str> {
        self.kind("signal")
            .filter(|event| event["signal"] == signal && event["to"]["pid"] == pid)
            .map(|event| text(event, "phase"))
            .collect()
    }

    /// What is true of every trace that lost nothing.
    pub fn is_whole(&self) {
        assert_eq!(self.end["lost"], 0, "{}", self.end);
        assert_eq!(self.kind("lost").count(), 0);
        self.is_well_formed();
        self.states_follow_each_other();
        self.edges_are_right();
        self.signals_end_once();
    }

    /// Header first, end last, `seq` without gaps, time never back, fields of calls where they belong.
    pub fn is_well_formed(&self) {
        assert!(is(&self.header, "header") && self.header["schema"] == 1, "{}", self.header);
        assert!(is(&self.end, "end"), "{}", self.end);
        assert_eq!(self.end["events"], self.events.len() as u64, "{}", self.end);
        let mut last = 0;
        for (seq, event) in self.events.iter().enumerate() {
            assert_eq!(event["seq"], seq as u64, "{event}");
            assert!(number(event, "t") >= last, "time goes back: {event}");
            last = number(event, "t");
            if matches!(text(event, "kind"), "send" | "recv") {
                number(event, "op");
                text(event, "syscall");
                let ends = [!event["bytes"].is_null(), !event["error"].is_null(), event["unfinished"] == true];
                assert_eq!(ends.iter().filter(|end| **end).count(), 1, "one of bytes, error, unfinished: {event}");
            }
        }
        let mut ops = HashSet::new();
        for event in self.events.iter().filter(|e| is(e, "send")) {
            // A splice is a receive and a send of the same number.
            assert!(ops.insert(number(event, "op")), "two sends of one number: {event}");
        }
    }

    /// Every thread's `from` is the `to` before.
    pub fn states_follow_each_other(&self) {
        let mut states: HashMap<u64, &str> = HashMap::new();
        for event in self.kind("state") {
            let tid = number(event, "tid");
            let to = text(event, "to");
            match states.get(&tid) {
                None => {
                    assert!(event["from"].is_null() || to == "DEAD" || to == "ZOMBIE", "a start has no from: {event}");
                }
                Some(&"DEAD") => assert!(event["from"].is_null() && to == "NEW", "after death: {event}"),
                Some(from) => assert_eq!(event["from"], *from, "{event}"),
            }
            assert_eq!(to == "BLOCKED", !event["on"].is_null(), "{event}");
            if matches!(event["on"]["syscall"].as_str(), Some("wait4" | "clock_nanosleep" | "pause")) {
                assert!(event["on"]["channel"].is_null(), "such a call is on no channel: {event}");
            }
            states.insert(tid, to);
        }
    }

    /// Everybody in the trace has ended.
    pub fn everybody_ends(&self) {
        let mut began: HashSet<u64> = self.kind("exec").map(|event| number(event, "pid")).collect();
        began.extend(self.kind("fork").map(|event| number(&event["child"], "tid")));
        let exits: HashSet<u64> = self.kind("exit").map(|event| number(event, "tid")).collect();
        assert_eq!(began, exits, "who began, who ended");
        let last: HashMap<u64, &str> =
            self.kind("state").map(|event| (number(event, "tid"), text(event, "to"))).collect();
        for tid in began {
            let state = last.get(&tid).copied().unwrap_or("none");
            assert!(matches!(state, "DEAD" | "ZOMBIE"), "{tid} ends {state}");
        }
    }

    /// Every edge names sends that are there, as many bytes as were received, and the places in the stream agree.
    pub fn edges_are_right(&self) {
        let sends: HashMap<u64, &Value> = self.kind("send").map(|event| (number(event, "op"), event)).collect();
        let mut senders: HashMap<&str, HashSet<u64>> = HashMap::new();
        for event in sends.values() {
            senders.entry(text(event, "channel")).or_default().insert(number(event, "tid"));
        }
        for event in self.kind("recv") {
            let received = event["bytes"].as_u64().unwrap_or(0);
            let Some(parts) = event["from"].as_array() else {
                let told = received == 0 || !event["from_unknown"].is_null();
                assert!(told, "neither from nor from_unknown: {event}");
                continue;
            };
            assert!(event["from_unknown"].is_null(), "{event}");
            assert_eq!(parts.iter().map(|part| number(part, "bytes")).sum::<u64>(), received, "{event}");
            let mut at = event["offset"].as_u64();
            for part in parts {
                let send = sends.get(&number(part, "op")).unwrap_or_else(|| panic!("no such send: {event}"));
                assert_eq!(send["pid"], part["pid"], "{event}");
                assert_eq!(send["channel"], event["channel"], "{event}");
                let Some(from) = at else { continue };
                let to = from + number(part, "bytes");
                at = Some(to);
                let Some(start) = send["offset"].as_u64() else { continue };
                // Those of another writer may stand between the bytes of a large write (pipe(7), PIPE_BUF).
                let whole =
                    number(send, "bytes") <= 4096 || senders.get(text(send, "channel")).is_some_and(|s| s.len() == 1);
                let ends = !whole || to <= start + number(send, "bytes");
                assert!(start <= from && ends, "{from}..{to} is not in {send}: {event}");
            }
        }
    }

    /// No instance of a signal ends twice.
    pub fn signals_end_once(&self) {
        let mut ended = HashMap::new();
        for event in self.kind("signal") {
            let phase = text(event, "phase");
            let is_end = match phase {
                "generated" | "pending" => false,
                "delivered" => event["action"] != "handler",
                _ => true,
            };
            if is_end && let Some(before) = ended.insert(number(event, "id"), phase) {
                panic!("ended twice, {before} and {phase}: {event}");
            }
        }
    }

    /// The receives on a channel have whole, known origins.
    pub fn all_known(&self, channel: &str) {
        for event in self.on("recv", channel) {
            assert!(event["from_unknown"].is_null(), "{event}");
        }
    }

    /// The one event that fits.
    pub fn one<'a>(&'a self, what: &str, fits: impl Fn(&Value) -> bool) -> &'a Value {
        let found: Vec<&Value> = self.events.iter().filter(|event| fits(event)).collect();
        assert_eq!(found.len(), 1, "{what}: {found:#?}\n{}", self.text());
        found[0]
    }

    /// All of it, for messages.
    pub fn text(&self) -> String {
        text_of(&self.events)
    }
}

/// Events as lines.
pub fn text_of(events: &[Value]) -> String {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    lines.join("\n")
}

/// ipcscope at work while the test does something else; ended when dropped.
pub struct Running {
    /// The process.
    pub child: Child,
    file: Scratch,
}

impl Running {
    /// `ipcscope trace --json -o FILE OPTIONS`.
    pub fn trace(options: &[&str]) -> Self {
        let file = Scratch::new("running");
        let child = ipcscope()
            .args(["trace", "--json", "-o"])
            .arg(&file)
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ipcscope starts");
        Self { child, file }
    }

    /// Waits until the lines so far tell something.
    pub fn until(&mut self, what: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let lines = lines(&self.file.read());
            if fits(&lines) {
                return lines;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("ipcscope ended ({status}) before {what}:\n{}", text_of(&lines));
            }
            assert!(began.elapsed() < PATIENCE, "{what}: never, in\n{}", self.file.read());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal to ipcscope.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a plain call, on a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Trace {
        let status = wait(&mut self.child);
        let mut stderr = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut pipe, &mut stderr);
        }
        assert!(!stderr.contains("panicked"), "{stderr}");
        Trace::parse(&self.file.read(), status, String::new(), stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a child, but not forever.
pub fn wait(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status;
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{} does not end", child.id());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The signal that a process died of.
pub fn died_of(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// Whether a process lives, a zombie not being alive.
pub fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next()))
        .is_some_and(|state| state != 'Z' && state != 'X')
}
