//! `cargo xtask bench`: what tracing costs, as ratios measured in one run, in the form the README shows.
//!
//! Variants are run in turn, round after round, so that a machine that gets slower slows all of them; the median of the
//! rounds counts. Each row shows the command one would type. Runs as root.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::application::Application;
use crate::checkout::Checkout;
use crate::packages::{self, PERF, STRACE, STRESS_NG};
use crate::privilege::{self, Privilege};
use crate::recordings::Recordings;
use crate::{command, demo, unknown_argument};

/// System calls and switches in the purest form: two processes pass one byte to and fro. Prints its own time.
const PING_PONG: &str = "perf bench sched pipe -l 50000";
/// The same on one processor: no wake-up of an idle one hides what tracing costs, and where the scheduler puts the two
/// decides nothing.
const ON_ONE_PROCESSOR: &str = "taskset -c 0 perf bench sched pipe -l 50000";
/// As much data through a pipe as goes.
const FLOOD: &str = "stress-ng --pipe 1 -t 10";
const DEFAULT_ROUNDS: usize = 5;
/// Set by ourselves when we start again through sudo: all is built and installed.
const BUILT: &str = "--built";

pub(crate) fn run(checkout: &Checkout, arguments: &[String]) -> Result<ExitCode> {
    let options = parse(arguments)?;
    if !options.built {
        demo::build(checkout, "release")?;
        Recordings::build(checkout)?;
        packages::ensure(&[PERF, STRACE, STRESS_NG])?;
    }
    if !privilege::is_root() {
        return as_root(&options);
    }
    let files = Scratch::new()?;
    let bench = Bench { path: path_with(checkout)?, recording: files.folder.join("bench.ipcs") };
    let costs = bench.costs(PING_PONG, &VARIANTS, options.rounds)?;
    let alone = bench.costs(ON_ONE_PROCESSOR, VARIANTS.get(..OURS).unwrap_or_default(), options.rounds)?;
    let losses = bench.losses();
    eprintln!("xtask: the application");
    let application = Application::measure(&bench.path, &files.folder, options.rounds);
    let costs_tables = costs_table(&[&costs, &alone], options.rounds);
    eprintln!("xtask: a large recording");
    let recordings = Recordings::measure(checkout, &bench.path, &bench.recording);
    let application_table = application_table(&application);
    print!("{costs_tables}\n{}\n{application_table}\n{}", losses_table(&losses), recordings.table());
    // perf trace may be impossible on a machine; our own rows may not.
    let ours = costs.iter().chain(&alone).filter(|cost| cost.variant.wrapper.starts_with("ipcscope"));
    let mut measured = ours.map(|cost| cost.seconds.is_ok()).chain(losses.iter().map(|loss| loss.end.is_ok()));
    let complete = application.start.is_ok() && application.idle.is_ok() && recordings.0.is_ok();
    Ok(if measured.all(|one| one) && complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Options {
    rounds: usize,
    built: bool,
}

fn parse(arguments: &[String]) -> Result<Options> {
    let mut options = Options { rounds: DEFAULT_ROUNDS, built: false };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--runs" => {
                let rounds = arguments.next().and_then(|text| text.parse().ok()).filter(|rounds| *rounds > 0);
                options.rounds = rounds.context("--runs wants a number above 0")?;
            }
            BUILT => options.built = true,
            other => return Err(unknown_argument(other)),
        }
    }
    Ok(options)
}

/// The same once more, through sudo; what was built stays the user's.
fn as_root(options: &Options) -> Result<ExitCode> {
    let privilege = Privilege::find("measuring");
    // Started again already, and still not root: sudo does something else here.
    if privilege == Privilege::None || options.built {
        bail!("tracing is measured as root: run `sudo -E cargo xtask bench`");
    }
    let myself = std::env::current_exe().context("find the program that is running")?;
    command::run(privilege.command(myself).args(["bench", BUILT, "--runs", &options.rounds.to_string()]))?;
    Ok(ExitCode::SUCCESS)
}

/// A folder for recordings that goes away in the end.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ipcscope-bench-{}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Self { folder })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// PATH with the binary just built first.
fn path_with(checkout: &Checkout) -> Result<std::ffi::OsString> {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(checkout.target("release")).chain(std::env::split_paths(&old));
    std::env::join_paths(folders).context("put the release folder on PATH")
}

/// One way to run the same program, and how to show it.
struct Variant {
    name: &'static str,
    /// What comes before the program; `FILE` stands for a recording.
    wrapper: &'static str,
    variable: Option<(&'static str, &'static str)>,
}

/// The first is what the others are compared with.
const VARIANTS: [Variant; 5] = [
    Variant { name: "untraced", wrapper: "", variable: None },
    Variant { name: "ipcscope, everything recorded", wrapper: "ipcscope record -o FILE --", variable: None },
    Variant {
        name: "the same hooks with empty programs: the floor",
        wrapper: "ipcscope record -o FILE --",
        variable: Some(("IPCSCOPE_FLOOR", "1")),
    },
    Variant { name: "perf trace", wrapper: "perf trace -o /dev/null --", variable: None },
    Variant { name: "strace -f", wrapper: "strace -f -o /dev/null", variable: None },
];

/// The first so many are without any other tracer.
const OURS: usize = 3;

impl Variant {
    fn shown(&self, program: &str) -> String {
        let variable = self.variable.map(|(name, value)| format!("{name}={value} ")).unwrap_or_default();
        format!("{variable}{} {program}", self.wrapper).trim_start().to_owned()
    }
}

/// How the variants did: seconds of each round, or why there are none.
struct Cost {
    program: &'static str,
    variant: &'static Variant,
    seconds: Result<Vec<f64>>,
}

struct Bench {
    path: std::ffi::OsString,
    recording: PathBuf,
}

impl Bench {
    /// A shown command line, ready to run.
    fn command(&self, line: &str) -> Result<Command> {
        let recording = self.recording.display().to_string();
        let mut words = line.split_whitespace().map(|word| if word == "FILE" { &recording } else { word });
        let mut command = Command::new(words.next().context("run an empty command")?);
        command.args(words).env("PATH", &self.path).env("LC_ALL", "C");
        Ok(command)
    }

    fn costs(&self, program: &'static str, variants: &'static [Variant], rounds: usize) -> Result<Vec<Cost>> {
        let cost = |variant| Cost { program, variant, seconds: Ok(Vec::new()) };
        let mut costs: Vec<Cost> = variants.iter().map(cost).collect();
        for round in 1..=rounds {
            for cost in &mut costs {
                eprintln!("xtask: round {round} of {rounds}: {}", cost.variant.name);
                // One failure is enough: the reason goes into the table.
                let Ok(seconds) = &mut cost.seconds else {
                    continue;
                };
                match self.ping_pong(cost.variant, program) {
                    Ok(time) => seconds.push(time),
                    Err(error) => cost.seconds = Err(error),
                }
            }
        }
        match costs.first() {
            Some(Cost { seconds: Err(error), .. }) => bail!("measure `{program}`: {error:#}"),
            _ => Ok(costs),
        }
    }

    /// Seconds, as the program itself measures them.
    fn ping_pong(&self, variant: &Variant, program: &str) -> Result<f64> {
        let mut command = self.command(&format!("{} {program}", variant.wrapper))?;
        command.envs(variant.variable);
        let printed = command::output(&mut command)?;
        total_time(&printed).with_context(|| format!("`{}` printed no total time", command::shown(&command)))
    }

    fn losses(&self) -> Vec<Loss> {
        ["ipcscope record -o FILE --", "ipcscope record --buffer 64K -o FILE --"]
            .map(|wrapper| {
                let line = format!("{wrapper} {FLOOD}");
                eprintln!("xtask: {line}");
                Loss { end: self.flood(&line), line }
            })
            .into()
    }

    /// The last line of what was recorded.
    fn flood(&self, line: &str) -> Result<Value> {
        command::output(&mut self.command(line)?)?;
        let mut print = self.command("ipcscope print --json FILE")?;
        let last = last_line(print.stdin(Stdio::null()))?;
        let end: Value = serde_json::from_str(&last).with_context(|| format!("read the end line `{last}`"))?;
        if end.get("kind").and_then(Value::as_str) != Some("end") {
            bail!("the recording has no end line: `{last}`");
        }
        Ok(end)
    }
}

/// A recording may be printed in millions of lines: only one is kept.
fn last_line(command: &mut Command) -> Result<String> {
    let shown = command::shown(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("start `{shown}`"))?;
    let mut last = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            last = line.with_context(|| format!("read what `{shown}` prints"))?;
        }
    }
    let status = child.wait().with_context(|| format!("wait for `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(last)
}

/// From perf bench's "     Total time: 0.396 [sec]".
fn total_time(printed: &str) -> Option<f64> {
    let line = printed.lines().find_map(|line| line.trim().strip_prefix("Total time:"))?;
    line.trim().strip_suffix("[sec]")?.trim().parse().ok()
}

fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// A program's variants are compared with the first of them.
fn costs_table(programs: &[&[Cost]], rounds: usize) -> String {
    let medians = |cost: &Cost| cost.seconds.as_ref().ok().and_then(|seconds| median(seconds));
    let mut table = format!("{}, median of {rounds} interleaved runs:\n\n", machine());
    table += "| what | time | ratio | command |\n|---|---:|---:|---|\n";
    for costs in programs {
        let bare = costs.first().and_then(medians);
        for cost in *costs {
            let (time, ratio) = match (&cost.seconds, medians(cost), bare) {
                (Err(error), ..) => ("-".to_owned(), first_line(error)),
                (_, Some(time), Some(bare)) => (format!("{time:.3} s"), format!("{:.2}", time / bare)),
                _ => ("-".to_owned(), "-".to_owned()),
            };
            let command = format!("`{}`", cost.variant.shown(cost.program));
            table += &row(&[cost.variant.name, &time, &ratio, &command]);
        }
    }
    table
}

/// What a recording under flood lost.
struct Loss {
    line: String,
    end: Result<Value>,
}

fn losses_table(losses: &[Loss]) -> String {
    let mut table = String::from("| events | lost | by class | command |\n|---:|---:|---|---|\n");
    for loss in losses {
        let command = format!("`{}`", loss.line);
        table += &match &loss.end {
            Ok(end) => row(&[&field(end, "events"), &field(end, "lost"), &classes(end), &command]),
            Err(error) => row(&["-", "-", &first_line(error), &command]),
        };
    }
    table
}

/// Start to first frame (limit: 300 ms) and processor time at about 1,000 events/s (limit: 5 % of a core).
fn application_table(application: &Application) -> String {
    let mut table = String::from("| what | measured | limit | command |\n|---|---:|---:|---|\n");
    let start = Application::start_command();
    table += &match &application.start {
        Ok((frame, process)) => {
            application_row("start to first frame", &format!("{} ms", frame.as_millis()), "300 ms", &start)
                + &application_row("start to first process", &format!("{} ms", process.as_millis()), "", &start)
        }
        Err(error) => application_row("start to first frame", &first_line(error), "300 ms", &start),
    };
    let idle = Application::idle_command();
    table += &match &application.idle {
        Ok(measured) => application_row(
            &format!("application at {:.0} events/s", measured.events_per_second),
            &format!("{:.1} % of a core", measured.share * 100.0),
            "5 %",
            &idle,
        ),
        Err(error) => application_row("application at 1,000 events/s", &first_line(error), "5 %", &idle),
    };
    table
}

fn application_row(what: &str, measured: &str, limit: &str, command: &str) -> String {
    row(&[what, measured, limit, &format!("`{command}`")])
}

fn row(cells: &[&str]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn field(end: &Value, name: &str) -> String {
    end.get(name).map_or_else(|| "-".to_owned(), Value::to_string)
}

/// "signal 3, pipe 90"; nothing when nothing was lost.
fn classes(end: &Value) -> String {
    let classes = end.get("lost_by").and_then(Value::as_object);
    let parts: Vec<String> = classes.into_iter().flatten().map(|(class, lost)| format!("{class} {lost}")).collect();
    parts.join(", ")
}

/// An error in a cell of a table.
fn first_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let lines = text.lines().take(2).collect::<Vec<_>>().join(": ");
    format!("not measured: {}", lines.replace('|', "/"))
}

fn machine() -> String {
    let kernel = std::fs::read_to_string(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Linux {}, {processors} CPUs", kernel.trim())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn perf_bench_prints_its_time() {
        let printed = "# Running 'sched/pipe' benchmark:\n\n     Total time: 0.396 [sec]\n\n       7.9 usecs/op\n";
        assert_eq!(total_time(printed), Some(0.396));
        assert_eq!(total_time(""), None);
    }

    #[test]
    fn the_table_compares_medians_with_the_first_row() {
        let [bare, traced, floor, ..] = &VARIANTS;
        let costs = [
            Cost { program: PING_PONG, variant: bare, seconds: Ok(vec![1.0, 9.0, 2.0]) },
            Cost { program: PING_PONG, variant: traced, seconds: Ok(vec![3.0, 3.0, 4.0]) },
            Cost { program: PING_PONG, variant: floor, seconds: Err(anyhow::anyhow!("a | b")) },
        ];
        let alone = [
            Cost { program: ON_ONE_PROCESSOR, variant: bare, seconds: Ok(vec![4.0]) },
            Cost { program: ON_ONE_PROCESSOR, variant: traced, seconds: Ok(vec![6.0]) },
        ];
        let table = costs_table(&[&costs, &alone], 3);
        assert!(table.contains("| 6.000 s | 1.50 | `ipcscope record -o FILE -- taskset -c 0 perf bench"), "{table}");
        assert!(table.contains("| untraced | 2.000 s | 1.00 | `perf bench sched pipe -l 50000` |"), "{table}");
        assert!(table.contains("| 3.000 s | 1.50 | `ipcscope record -o FILE -- perf bench"), "{table}");
        assert!(table.contains("| - | not measured: a / b | `IPCSCOPE_FLOOR=1 ipcscope record"), "{table}");
    }

    #[test]
    fn what_the_application_takes() {
        let application = Application {
            start: Ok((Duration::from_millis(42), Duration::from_millis(300))),
            idle: Err(anyhow::anyhow!("no script(1)")),
        };
        let table = application_table(&application);
        assert!(table.contains("| start to first frame | 42 ms | 300 ms | `ipcscope watch -- sleep 30` |"), "{table}");
        assert!(table.contains("| not measured: no script(1) | 5 % |"), "{table}");
    }

    #[test]
    fn losses_by_class() {
        let end = serde_json::json!({"kind": "end", "events": 9, "lost": 5, "lost_by": {"pipe": 2, "sched": 3}});
        let table = losses_table(&[Loss { line: "x".to_owned(), end: Ok(end) }]);
        assert!(table.ends_with("| 9 | 5 | pipe 2, sched 3 | `x` |\n"), "{table}");
    }
}
