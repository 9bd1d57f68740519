//! `stats`: a recording in numbers.

use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

use super::{
    args::StatsArgs,
    diagnose::{each, note},
    lines::colours,
};
use crate::{
    analyze::{
        ChannelStats, Latency, ProcessStats, Properties, RpcStats, SignalStats, Stats, Tables, clock_told, clock_whose,
        duration, properties,
    },
    event::{ChannelType, Ending, HostClock, Nanos, ThreadState, number, shown},
    source::recording::Recording,
    sys::outcome::Outcome,
};

/// Whom a process waited for: so many are named in text.
const NAMED: usize = 3;
/// Characters of a method in text.
const METHOD: usize = 48;

/// Counts.
pub fn run(args: &StatsArgs) -> anyhow::Result<Outcome> {
    let mut recording = Recording::open(&args.file)?;
    let mut stats = Stats::new(args.filter.clone().unwrap_or_default());
    let (mut events, mut last) = (0, Nanos(0));
    each(&mut recording, |event| {
        stats.apply(event);
        events += u64::from(!event.kind.is_quiet());
        last = last.max(event.t);
    })?;
    let tables = stats.tables(Nanos(last.0.max(recording.until())));
    let ending = Ending { events, ..recording.ending() };
    let mut out = io::BufWriter::new(io::stdout());
    if args.json {
        writeln!(out, "{}", recording.header().to_json())?;
        json(&mut out, "process", &tables.processes)?;
        json(&mut out, "channel", &tables.channels)?;
        json(&mut out, "type", &natures(&tables))?;
        json(&mut out, "signal", &tables.signals)?;
        json(&mut out, "rpc", &tables.rpcs)?;
        writeln!(out, "{}", ending.to_json())?;
    } else {
        let strong = colours(args.color, io::stdout().is_terminal());
        text(&mut out, &tables, strong)?;
        clocks(&mut out, &recording.header().hosts, strong)?;
        if ending.lost > 0 {
            writeln!(out, "{} records lost: numbers are too small where they are missing", ending.lost)?;
        }
    }
    out.flush()?;
    note(&recording, &args.file);
    Ok(Outcome::Code(0))
}

/// What a mechanism is, as the lecture has it.
#[derive(Serialize)]
struct Nature {
    #[serde(rename = "type")]
    mechanism: ChannelType,
    #[serde(flatten)]
    properties: Properties,
}

/// Of every mechanism that occurs, in the order of the channels.
fn natures(tables: &Tables) -> Vec<Nature> {
    let mut natures: Vec<Nature> = Vec::new();
    for mechanism in tables.channels.iter().map(|channel| channel.mechanism) {
        if natures.iter().all(|nature| nature.mechanism != mechanism) {
            natures.push(Nature { mechanism, properties: properties(mechanism) });
        }
    }
    natures
}

fn json<T: Serialize>(out: &mut impl Write, of: &'static str, rows: &[T]) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Line<'a, T> {
        kind: &'static str,
        of: &'static str,
        #[serde(flatten)]
        row: &'a T,
    }
    for row in rows {
        writeln!(out, "{}", serde_json::to_string(&Line { kind: "stats", of, row })?)?;
    }
    Ok(())
}

fn text(out: &mut impl Write, tables: &Tables, strong: bool) -> io::Result<()> {
    let processes = tables.processes.iter().map(process_row).collect();
    let head = &[
        "PID",
        "COMM",
        "RUNNING",
        "READY",
        "BLOCKED",
        "other",
        "calls",
        "failed",
        "sent B",
        "received B",
        "waited for",
    ];
    table(out, strong, head, processes)?;
    let channels = tables.channels.iter().map(channel_row).collect();
    let head = &[
        "CHANNEL",
        "sends",
        "B",
        "receives",
        "B",
        "p50",
        "p90",
        "p99",
        "max",
        "senders blocked",
        "receivers blocked",
        "most inside",
    ];
    table(out, strong, head, channels)?;
    let row = |nature: Nature| vec![nature.mechanism.name().to_owned(), nature.properties.words()];
    table(out, strong, &["TYPE", "properties"], natures(tables).into_iter().map(row).collect())?;
    let signals = tables.signals.iter().map(signal_row).collect();
    table(out, strong, &["SIGNAL", "sent", "became", "calls interrupted", "p50", "p99", "max"], signals)?;
    let rpcs = tables.rpcs.iter().map(rpc_row).collect();
    let head = &["METHOD", "protocol", "calls", "replies", "errors", "signals", "p50", "p90", "p99", "max"];
    table(out, strong, head, rpcs)
}

/// Of a merged recording: whose clock is how sure.
fn clocks(out: &mut impl Write, hosts: &[HostClock], strong: bool) -> io::Result<()> {
    let row = |clock: &HostClock| vec![clock_whose(clock), clock_told(clock)];
    table(out, strong, &["HOST", "clock"], hosts.iter().map(row).collect())
}

/// ` 52 % 1.2 s`, of all the time in any state.
fn share(ns: u64, all: u64) -> String {
    if all == 0 { "-".to_owned() } else { format!("{} % {}", u128::from(ns) * 100 / u128::from(all), duration(ns)) }
}

fn process_row(row: &ProcessStats) -> Vec<String> {
    let of =
        |state: ThreadState| ThreadState::ALL.iter().zip(row.spent).find(|(s, _)| **s == state).map_or(0, |(_, ns)| ns);
    // A zombie does not live any more.
    let states = [ThreadState::Running, ThreadState::Ready, ThreadState::Blocked];
    let other = of(ThreadState::New).saturating_add(of(ThreadState::Stopped));
    let all = states.map(of).iter().fold(other, |sum, ns| sum.saturating_add(*ns));
    let waited = row.waited_for.iter().take(NAMED).map(|waited| {
        let who = match (waited.pid, waited.comm) {
            (Some(pid), Some(comm)) => format!("{comm} {}", number(pid)),
            (Some(pid), None) => format!("process {}", number(pid)),
            _ => "kernel".to_owned(),
        };
        format!("{who} {}", duration(waited.ns))
    });
    let mut cells = vec![shown(row.pid, row.host.as_ref()), row.comm.to_string()];
    cells.extend(states.map(|state| share(of(state), all)));
    cells.push(share(other, all));
    cells.extend([row.calls, row.failed, row.sent, row.received].map(|n| n.to_string()));
    cells.push(waited.collect::<Vec<_>>().join(", "));
    cells
}

fn channel_row(row: &ChannelStats) -> Vec<String> {
    let mut cells = vec![row.channel.to_string()];
    cells.extend([row.sends, row.sent, row.receives, row.received].map(|n| n.to_string()));
    cells.extend([50.0, 90.0, 99.0, 100.0].map(|percent| percentile(&row.latency, percent)));
    cells.extend(
        [row.senders_blocked_ns, row.receivers_blocked_ns].map(|ns| ns.map_or_else(|| "-".to_owned(), duration)),
    );
    cells.push(match (row.high_water, row.capacity) {
        (Some(most), Some(all)) => format!("{most}/{all}"),
        (Some(most), None) => most.to_string(),
        (None, _) => "-".to_owned(),
    });
    cells
}

fn signal_row(row: &SignalStats) -> Vec<String> {
    let count = |(name, n): (&&str, &u64)| format!("{n} {name}");
    let became = row.phases.iter().filter(|(name, _)| **name != "generated").map(count).collect::<Vec<_>>();
    let verdicts = row.verdicts.iter().map(count).collect::<Vec<_>>();
    let mut cells = vec![row.signal.clone(), row.phases.get("generated").unwrap_or(&0).to_string()];
    cells.extend([became.join(", "), verdicts.join(", ")]);
    cells.extend([50.0, 99.0, 100.0].map(|percent| percentile(&row.latency, percent)));
    cells
}

fn rpc_row(row: &RpcStats) -> Vec<String> {
    let method = row.method.as_deref().unwrap_or("?");
    let mut shown: String = method.chars().take(METHOD).collect();
    if shown.len() < method.len() {
        shown.push('…');
    }
    let mut cells = vec![shown, row.protocol.name().to_owned()];
    cells.extend([row.calls, row.replies, row.errors, row.signals].map(|n| n.to_string()));
    cells.extend([50.0, 90.0, 99.0, 100.0].map(|percent| percentile(&row.latency, percent)));
    cells
}

fn percentile(latency: &Latency, percent: f64) -> String {
    latency.percentile(percent).map_or_else(|| "-".to_owned(), duration)
}

/// Columns as wide as what is in them; numbers to the right.
fn table(out: &mut impl Write, strong: bool, head: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = head.iter().map(|name| width(name)).collect();
    for row in &rows {
        for (most, cell) in widths.iter_mut().zip(row) {
            *most = (*most).max(width(cell));
        }
    }
    let line = |cells: Vec<String>| {
        let padded = cells.into_iter().zip(&widths).enumerate().map(|(column, (cell, room))| {
            let left = column == 0 || cell.chars().next().is_some_and(char::is_alphabetic) || cell.contains(", ");
            if left { format!("{cell:<room$}") } else { format!("{cell:>room$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let (on, off) = if strong { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    writeln!(out, "{on}{}{off}", line(head.iter().map(|name| (*name).to_owned()).collect()))?;
    for row in rows {
        writeln!(out, "{}", line(row))?;
    }
    writeln!(out)
}
