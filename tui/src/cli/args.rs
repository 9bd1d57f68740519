//! What can be typed. The texts here are the manual: `--help`, the page and the completions come from them.
//!
//! A command or option is here only once it works. Usage errors exit with 2 (clap's own way out).

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::{
    BufferSize, FamilySet, Pids,
    units::{duration, file_size},
};
use crate::{analyze::Filter, export::Format};

/// Makes inter-process communication on Linux visible
///
/// ipcscope traces processes with eBPF and shows how they talk: who writes to which pipe and who reads it, which signals
/// are sent, delivered and handled, and who is running, ready or blocked, on what. Tracing needs root (`sudo ipcscope …`;
/// the traced command then still runs as you); recordings can be looked at by anybody.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "ipcscope",
    version,
    max_term_width = 100,
    infer_subcommands = false,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  sudo ipcscope watch -- sh -c 'ls | sort | wc -l'     look on while a pipeline works
  sudo ipcscope trace -e signal -p 4711                the signals of a running process
  sudo ipcscope record -o a.ipcs -- make -j4           record now ...
  ipcscope replay a.ipcs                               ... look later, without root
  ipcscope diagnose a.ipcs                             what went wrong in it
  ipcscope demo                                        lessons, for a start
  ipcscope doctor                                      what is missing for tracing here",
    after_long_help = "\
Examples:
  sudo ipcscope watch -- sh -c 'ls | sort | wc -l'     look on while a pipeline works
  sudo ipcscope trace -e signal -p 4711                the signals of a running process
  sudo ipcscope record -o a.ipcs -- make -j4           record now ...
  ipcscope replay a.ipcs                               ... look later, without root
  ipcscope diagnose a.ipcs                             what went wrong in it
  ipcscope demo                                        lessons, for a start
  ipcscope doctor                                      what is missing for tracing here

Exit status of watch, trace and record with a command: that of the command; if a signal killed it, ipcscope dies of \
the same signal. Command not found 127, not executable 126. Otherwise 0; own failure 1, wrong usage 2, findings 3, not \
permitted 4.

Environment: NO_COLOR and TERM=dumb switch colours off."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Trace and show it live, in a full-screen application
    #[command(
        override_usage = "ipcscope watch [OPTIONS] -- CMD [ARG]...\n       ipcscope watch [OPTIONS] -p PID[,PID]...",
        after_help = "\
Examples:
  sudo ipcscope watch -- sh -c 'yes | head -n 200000 | sort | uniq -c'
  sudo ipcscope watch -p \"$(pgrep nginx)\" --record nginx.ipcs

The command runs on a terminal of its own, in a pane that can be typed into. When it has ended, the application \
stays open; q quits, ? helps."
    )]
    Watch(WatchArgs),
    /// Trace and print a line for each event
    #[command(
        override_usage = "ipcscope trace [OPTIONS] -- CMD [ARG]...\n       ipcscope trace [OPTIONS] -p PID[,PID]...",
        after_help = "\
Examples:
  sudo ipcscope trace -- sh -c 'printf hello | wc -c'
  sudo ipcscope trace -o log -t -e '!sched' -- ./program
  sudo ipcscope trace --json -o - -p 4711 | jq 'select(.kind == \"signal\")'"
    )]
    Trace(TraceArgs),
    /// Trace into a file, to be looked at later
    #[command(
        override_usage = "ipcscope record [OPTIONS] -o FILE -- CMD [ARG]...\n       ipcscope record [OPTIONS] -o FILE -p PID[,PID]...",
        after_help = "\
Examples:
  sudo ipcscope record -o build.ipcs -- make -j4
  sudo ipcscope record -o now.ipcs --duration 10s -p \"$(pgrep postgres)\"
  sudo ipcscope record -o box.ipcs --last 60s -- ./server      kill -USR1 it when something odd happens"
    )]
    Record(RecordArgs),
    /// Show a recording in the full-screen application
    #[command(after_help = "Example:\n  ipcscope replay build.ipcs")]
    Replay(ReplayArgs),
    /// Print the events of a recording, a line each
    #[command(after_help = "\
Examples:
  ipcscope print build.ipcs
  ipcscope print --json build.ipcs | jq .kind | sort | uniq -c
  ipcscope print --filter 'kind:signal | error:EPIPE' build.ipcs")]
    Print(PrintArgs),
    /// Tables of a recording: per process, per channel, per signal
    #[command(after_help = "\
Examples:
  ipcscope stats build.ipcs
  ipcscope stats --json build.ipcs | jq 'select(.of == \"channel\")'
  ipcscope stats --filter 't:2..3 comm:sort' build.ipcs")]
    Stats(StatsArgs),
    /// Say what is wrong in a recording: what happened, what to change, and the events that show it
    #[command(after_help = "\
Examples:
  ipcscope diagnose build.ipcs
  ipcscope diagnose --json build.ipcs | jq -r 'select(.kind == \"finding\").text'

Exit status: 0 if nothing was found, 3 if something was.")]
    Diagnose(DiagnoseArgs),
    /// Check a recording against rules, for grading and CI
    #[command(after_help = "\
A rule is a line `NAME: [no|N..M] FILTER [within T]`: at least one event matches the filter (see `print`), none does, or \
N to M do (N.. and ..M leave a side open); `within 2s` looks at the first two seconds only. Built-in rules stand alone:
  no-lost-events           nothing is missing in the recording
  no-leaked-ends           nobody ends with an open pipe end (beyond fd 2) that it never used
  every-message-received   as many bytes came out of each channel as went in
  no-eintr-unhandled       no call is given up because a signal interrupted it
  no-deadlock              nobody waits for what cannot come: deadlock, no end-of-file, a full pipe without reader
`#` starts a comment. What was lost makes a rule that rests on it broken.

Example:
  printf 'three: 3..3 kind:send comm:client\nno-deadlock\n' > rules
  ipcscope check run.ipcs rules

Exit status: 0 if all rules hold, 3 if one is broken, 1 if the rules cannot be read.")]
    Check(CheckArgs),
    /// Write a recording down for other tools: diagrams, tables, time lines
    #[command(after_help = "\
Examples:
  ipcscope export run.ipcs --to html -o run.html
  ipcscope export run.ipcs --to dot | dot -Tsvg > run.svg
  ipcscope export run.ipcs --to mermaid --filter 't:0.1..0.2 channel:8124'

A diagram that could not be read is refused: choose less of it with --filter.")]
    Export(ExportArgs),
    /// Put recordings of several hosts or namespaces on one time line
    #[command(after_help = "\
Examples:
  sudo ipcscope record -o client.ipcs -- ./client      on one host ...
  sudo ipcscope record -o server.ipcs -- ./server      ... and at the same time on another
  ipcscope merge -o both.ipcs client.ipcs server.ipcs
  ipcscope replay both.ipcs                            or print, stats, diagnose, export …

The clocks are aligned by TCP: what one host received cannot have been received before another sent it. How sure that is \
is told of each host, and kept in the recording. The first recording's clock is that of the whole. Recordings of one boot \
(namespaces, containers) have one clock. Where no message was matched, the time of day has to do.")]
    Merge(MergeArgs),
    /// Lessons that show how processes communicate; without a name, their list
    Demo(DemoArgs),
    /// The program of a lesson, which demo watches
    #[command(hide = true)]
    Lesson {
        /// The lesson.
        name: String,
        /// With short pauses.
        #[arg(long)]
        fast: bool,
    },
    /// Check what this machine and this user can trace, and say what to do about what is missing
    #[command(after_help = "Exit status: 0 if tracing is possible, 4 if it is not.")]
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  ipcscope completions bash > ~/.local/share/bash-completion/completions/ipcscope"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  ipcscope man | man -l -")]
    Man,
}

/// Whom to trace: one of the two.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct Who {
    /// Trace these running processes; they live on afterwards
    ///
    /// Commas, blanks or newlines between them, so that the output of pgrep fits; may be repeated.
    #[arg(short = 'p', long = "pid", value_name = "PID", help_heading = "Target")]
    pids: Vec<Pids>,
    /// Start this command and trace it from its first instruction
    #[arg(value_name = "CMD", trailing_var_arg = true, help_heading = "Target")]
    command: Vec<OsString>,
}

/// What a trace is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A command to start, and its arguments.
    Command(Vec<OsString>),
    /// Processes that run, each once.
    Pids(Vec<u32>),
}

/// Whom to trace, and what of them.
#[derive(Args, Clone, Debug)]
pub struct TargetArgs {
    #[command(flatten)]
    who: Who,
    /// Run CMD as this user, by name or number (root only)
    ///
    /// Under sudo, CMD runs as the user who called sudo unless this says otherwise.
    #[arg(short, long, value_name = "USER", conflicts_with = "pids", help_heading = "Target")]
    pub user: Option<String>,
    /// Trace only the given processes, not those they create
    #[arg(long, help_heading = "Target")]
    pub no_follow: bool,
    /// Follow forks: always done, accepted for those used to strace
    #[arg(short = 'f', conflicts_with = "no_follow", help_heading = "Target")]
    follow: bool,
    /// What to capture: signal, pipe, fifo, sysv-mq, posix-mq, unix, inet, rpc, pty, event, shm, sync, sched, process or all, with commas between; !x leaves x out
    #[arg(short = 'e', long = "events", value_name = "SET", default_value_t, help_heading = "Capture")]
    pub events: FamilySet,
    /// Keep so many bytes of what is sent, up to 4096
    #[arg(
        short = 's', long = "payload", value_name = "N", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(0..=4096), help_heading = "Capture"
    )]
    pub payload: u32,
    /// Size of the buffer between kernel and tracer: a number and K, M or G, rounded up to a power of two
    #[arg(long, value_name = "SIZE", default_value_t, help_heading = "Capture")]
    pub buffer: BufferSize,
    /// Stop tracing after this time: a number and ms, s, m or h; CMD goes on and is waited for
    #[arg(long, value_name = "T", value_parser = duration, help_heading = "Capture")]
    pub duration: Option<Duration>,
    /// Stop tracing after N events; CMD goes on and is waited for
    #[arg(short = 'n', long = "count", value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Capture")]
    pub count: Option<u64>,
}

impl TargetArgs {
    /// The command or the processes.
    pub fn target(&self) -> Target {
        if self.who.pids.is_empty() {
            return Target::Command(self.who.command.clone());
        }
        let mut pids: Vec<_> = self.who.pids.iter().flat_map(|Pids(pids)| pids).copied().collect();
        pids.sort_unstable();
        pids.dedup();
        Target::Pids(pids)
    }
}

/// How much of a recording is kept.
#[derive(Args, Clone, Debug, Default)]
pub struct KeepArgs {
    /// Go on with another file once one has this size, a number and K, M or G: a.ipcs, a.2.ipcs, a.3.ipcs …
    ///
    /// Each can be read for itself: it begins with who is there and holds what. With --last: keep no more than this in
    /// memory (otherwise 1G).
    #[arg(long, value_name = "SIZE", value_parser = file_size, help_heading = "Recording")]
    pub max_size: Option<u64>,
    /// Flight recorder: keep only the last T, a number and ms, s, m or h, in memory, and write it at the end
    ///
    /// SIGUSR1 to ipcscope writes what there is at once, to a.1.ipcs, a.2.ipcs and so on. What was before is counted as
    /// lost, not-kept; who was there, who held what and who was blocked when the kept part begins is in it.
    #[arg(long, value_name = "T", value_parser = duration, help_heading = "Recording")]
    pub last: Option<Duration>,
}

/// `watch`.
#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// Whom and what.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Record into FILE at the same time
    #[arg(long, value_name = "FILE", help_heading = "Recording")]
    pub record: Option<PathBuf>,
    /// How much of it.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value_t, value_enum)]
    pub color: Color,
}

/// `trace`.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// Whom and what.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Write to FILE instead of standard error; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Record into FILE at the same time
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// How lines look.
    #[command(flatten)]
    pub lines: LineArgs,
}

/// `record`.
#[derive(Args, Clone, Debug)]
pub struct RecordArgs {
    /// Whom and what.
    #[command(flatten)]
    pub target: TargetArgs,
    /// The recording: private to you, overwritten if it is there; by custom it ends in .ipcs
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// How much of it.
    #[command(flatten)]
    pub keep: KeepArgs,
}

/// `replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Play it so many times as fast as it happened; 0: all at once
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value_t, value_enum)]
    pub color: Color,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed >= 0.0 => Ok(speed),
        _ => Err("a number that is not negative is needed, such as 0.1 or 10".to_owned()),
    }
}

/// `print`.
#[derive(Args, Clone, Debug)]
pub struct PrintArgs {
    /// The recording; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How lines look.
    #[command(flatten)]
    pub lines: LineArgs,
}

/// How events are printed.
#[derive(Args, Clone, Debug)]
pub struct LineArgs {
    /// Print a JSON object a line, instead of text for people
    #[arg(long, conflicts_with_all = ["time_of_day", "relative"], help_heading = "Lines")]
    pub json: bool,
    /// Print the time of day; twice (-tt): with microseconds. Otherwise seconds since the start
    #[arg(short = 't', action = ArgAction::Count, conflicts_with = "relative", help_heading = "Lines")]
    time_of_day: u8,
    /// Print the time since the line before
    #[arg(short = 'r', long = "relative", help_heading = "Lines")]
    relative: bool,
    /// Print only events that match
    ///
    /// Words must all match: kind:signal, type:pipe, pid:42, comm:wc, channel:8124, signal:USR1, state:BLOCKED,
    /// syscall:read, bytes>100, blocked>10ms, t:1.5..2.0, error:EPIPE, host:NAME (merged); a bare word matches any text. `|` between words is
    /// or, `!` before one is not, brackets group, quotes keep blanks.
    #[arg(long, value_name = "EXPR", value_parser = filter, help_heading = "Lines")]
    pub filter: Option<Filter>,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value_t, value_enum, help_heading = "Lines")]
    pub color: Color,
}

fn filter(text: &str) -> Result<Filter, String> {
    Filter::parse(text).map_err(|error| error.to_string())
}

/// What stands at the beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Seconds since the start of the trace.
    SinceStart,
    /// Since the line before.
    SinceLast,
    /// The time of day, to the second.
    Day,
    /// The time of day, to the microsecond.
    DayMicros,
}

impl LineArgs {
    /// What `-t`, `-tt` and `-r` come to.
    pub fn times(&self) -> Times {
        match (self.relative, self.time_of_day) {
            (true, _) => Times::SinceLast,
            (false, 0) => Times::SinceStart,
            (false, 1) => Times::Day,
            (false, _) => Times::DayMicros,
        }
    }
}

/// `stats`.
#[derive(Args, Clone, Debug)]
pub struct StatsArgs {
    /// The recording; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print a JSON object a line, instead of text for people
    #[arg(long)]
    pub json: bool,
    /// Count only events that match (see `print`)
    #[arg(long, value_name = "EXPR", value_parser = filter)]
    pub filter: Option<Filter>,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value_t, value_enum)]
    pub color: Color,
}

/// `export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// The recording; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// For what
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub to: Format,
    /// Write to this file; - is standard output, which is also the default
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Take only events that match (see `print`)
    #[arg(long, value_name = "EXPR", value_parser = filter)]
    pub filter: Option<Filter>,
}

/// `merge`.
#[derive(Args, Clone, Debug)]
pub struct MergeArgs {
    /// The recording to make; - is standard output
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// The recordings, two or more
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    pub files: Vec<PathBuf>,
}

/// `diagnose`.
#[derive(Args, Clone, Debug)]
pub struct DiagnoseArgs {
    /// The recording; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print a JSON object a line, instead of text for people
    #[arg(long)]
    pub json: bool,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value_t, value_enum)]
    pub color: Color,
}

/// `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The rules, a line each
    #[arg(value_name = "RULES-FILE")]
    pub rules: PathBuf,
}

/// `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// The lesson
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Play the lesson's recording even where tracing is possible
    #[arg(long)]
    pub recorded: bool,
}

/// `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Print a JSON object instead of text for people
    #[arg(long)]
    pub json: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[cfg(test)]
mod tests;
