//! What the application costs, measured from outside on a terminal of its own: start to first frame, and the processor
//! time it takes while little happens.
//!
//! The terminal is script(1)'s; its output is what a user would see. Part of `cargo xtask bench`.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::command;

/// Something to look at that does nothing.
const SLEEPER: &str = "sleep 30";
/// About 1,000 events a second: each round is a fork, an exec, an exit, a SIGCHLD and the states between.
const PACE: &str = "timeout 30 sh -c 'while sleep 0.02; do :; done'";
/// A word that every first frame has; the key before it has a style of its own.
const FRAME: &str = "quit";
/// A process that waits is on the map: the probes work.
const PROCESS: &str = "BLOCKED";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What happens before this is the start.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the processor time is measured.
const SPAN: Duration = Duration::from_secs(10);
/// `sysconf(_SC_CLK_TCK)`: the same on every x86-64.
const TICKS_PER_SECOND: f64 = 100.0;

/// The numbers.
pub(crate) struct Application {
    /// From start to the first frame, and to the first process on the map.
    pub(crate) start: Result<(Duration, Duration)>,
    pub(crate) idle: Result<Idle>,
}

pub(crate) struct Idle {
    /// Processor time over elapsed time.
    pub(crate) share: f64,
    /// Events recorded of the same command.
    pub(crate) events_per_second: f64,
}

impl Application {
    /// What is measured at the start.
    pub(crate) fn start_command() -> String {
        format!("ipcscope watch -- {SLEEPER}")
    }

    /// What is watched at a steady pace.
    pub(crate) fn idle_command() -> String {
        format!("ipcscope watch -- {PACE}")
    }

    /// Measures. `path`: PATH with our binary; `folder`: for files; the start is the median of so many.
    pub(crate) fn measure(path: &OsStr, folder: &Path, rounds: usize) -> Self {
        Self { start: start(path, folder, rounds), idle: idle(path, folder) }
    }
}

fn start(path: &OsStr, folder: &Path, rounds: usize) -> Result<(Duration, Duration)> {
    let (mut frames, mut processes) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut screen = Screen::open(path, folder, &Application::start_command())?;
        frames.push(screen.until(FRAME)?);
        processes.push(screen.until(PROCESS)?);
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().context("measure no start at all")
    };
    Ok((median(frames)?, median(processes)?))
}

fn idle(path: &OsStr, folder: &Path) -> Result<Idle> {
    let recording = folder.join("pace.ipcs");
    // The command goes on for a second longer; 124 is how timeout(1) says that it ended it.
    let line = format!(
        "ipcscope record --duration 5s -o {} -- timeout 6 {} || [ $? = 124 ]",
        recording.display(),
        pace_of_shell()
    );
    command::run(Command::new("sh").args(["-c", &line]).env("PATH", path).stdout(Stdio::null()))?;
    let mut print = Command::new("ipcscope");
    let printed = command::output(print.args(["print", "--json"]).arg(&recording).env("PATH", path))?;
    let events = printed.lines().count().saturating_sub(2);

    let mut screen = Screen::open(path, folder, &Application::idle_command())?;
    screen.until(PROCESS)?;
    std::thread::sleep(SETTLE);
    let (began, before) = (Instant::now(), screen.ticks()?);
    std::thread::sleep(SPAN);
    let (took, after) = (began.elapsed(), screen.ticks()?);
    let share = after.saturating_sub(before) as f64 / TICKS_PER_SECOND / took.as_secs_f64();
    Ok(Idle { share, events_per_second: events as f64 / 5.0 })
}

/// The pace without its limit of time.
fn pace_of_shell() -> &'static str {
    PACE.split_once("30 ").map_or(PACE, |(_, shell)| shell)
}

/// The application on a terminal.
struct Screen {
    script: Child,
    began: Instant,
    /// When which bytes came.
    bytes: Receiver<(Instant, Vec<u8>)>,
    seen: Vec<(Instant, usize)>,
    text: Vec<u8>,
    pid: PathBuf,
}

impl Screen {
    fn open(path: &OsStr, folder: &Path, line: &str) -> Result<Self> {
        let pid = folder.join("pid");
        let _ = std::fs::remove_file(&pid);
        let inside = format!("stty cols 120 rows 40; echo $$ > {}; exec {line}", pid.display());
        let mut command = Command::new("script");
        command.args(["-qec", &inside, "/dev/null"]).env("PATH", path).env("TERM", "xterm-256color");
        // Its own input must not be ours; a pipe that stays open keeps it from an end of file.
        let began = Instant::now();
        let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start script(1)")?;
        let output = script.stdout.take().context("read what script(1) shows")?;
        Ok(Self { script, began, bytes: reader(output), seen: Vec::new(), text: Vec::new(), pid })
    }

    /// Since the start, when these words were first shown.
    fn until(&mut self, words: &str) -> Result<Duration> {
        loop {
            if let Some(at) = find(&self.text, words.as_bytes()) {
                let end = at + words.len();
                let time = self.seen.iter().find(|(_, length)| *length >= end).map(|(time, _)| *time);
                return Ok(time.unwrap_or(self.began).saturating_duration_since(self.began));
            }
            let left = PATIENCE.saturating_sub(self.began.elapsed());
            let Ok((time, bytes)) = self.bytes.recv_timeout(left) else {
                bail!("the application never shows {words:?}");
            };
            self.text.extend(bytes);
            self.seen.push((time, self.text.len()));
        }
    }

    fn process(&self) -> Result<u32> {
        let text = std::fs::read_to_string(&self.pid).with_context(|| format!("read {}", self.pid.display()))?;
        text.trim().parse().context("read the application's process id")
    }

    /// Processor time of all its threads so far.
    fn ticks(&self) -> Result<u64> {
        let path = format!("/proc/{}/stat", self.process()?);
        let stat = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        ticks(&stat).with_context(|| format!("make sense of {path}"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The traced command goes with its terminal.
        if let Ok(process) = self.process() {
            let _ = command::run(Command::new("kill").arg(process.to_string()));
        }
        let _ = self.script.wait();
    }
}

fn reader(mut output: ChildStdout) -> Receiver<(Instant, Vec<u8>)> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            let bytes = buffer.get(..count).unwrap_or_default().to_vec();
            if sender.send((Instant::now(), bytes)).is_err() {
                return;
            }
        }
    });
    receiver
}

fn find(text: &[u8], words: &[u8]) -> Option<usize> {
    text.windows(words.len()).position(|window| window == words)
}

/// User and system time of /proc/PID/stat, fields 14 and 15 (proc_pid_stat(5)); the second field may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_of_a_process_with_an_odd_name() {
        assert_eq!(ticks("42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20"), Some(42));
        assert_eq!(ticks("42 (x"), None);
    }

    #[test]
    fn the_pace_is_one_command() {
        assert_eq!(pace_of_shell(), "sh -c 'while sleep 0.02; do :; done'");
        assert_eq!(find(b"ab quit", FRAME.as_bytes()), Some(3));
    }
}
