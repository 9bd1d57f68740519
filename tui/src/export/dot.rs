//! Processes and channels as a graph in Graphviz's language (graphviz.org, "DOT").
//!
//! Boxes are processes, ellipses channels. An edge carries the sum of what went that way: bytes and messages into a channel
//! and out of it, signals by name, forks.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use super::{
    Export, ExportError,
    story::{Party, Story},
};
use crate::event::{ChannelId, Event, Kind, Nanos, Phase, SenderKind};

/// More than a layout can show.
const MOST: usize = 500;

#[derive(Debug, Default)]
struct Sum {
    bytes: u64,
    calls: u64,
}

/// The graph.
pub(super) struct Dot<W> {
    out: W,
    story: Story,
    channels: BTreeMap<ChannelId, &'static str>,
    sent: BTreeMap<(u32, ChannelId), Sum>,
    received: BTreeMap<(ChannelId, u32), Sum>,
    signals: BTreeMap<(Option<u32>, u32, String), u64>,
    forks: BTreeSet<(u32, u32)>,
}

impl<W: Write> Dot<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            story: Story::default(),
            channels: BTreeMap::new(),
            sent: BTreeMap::new(),
            received: BTreeMap::new(),
            signals: BTreeMap::new(),
            forks: BTreeSet::new(),
        }
    }

    fn processes(&self) -> BTreeSet<u32> {
        let senders = self.sent.keys().map(|(pid, _)| *pid);
        let receivers = self.received.keys().map(|(_, pid)| *pid);
        let signalled = self.signals.keys().flat_map(|(from, to, _)| from.iter().copied().chain([*to]));
        let forked = self.forks.iter().flat_map(|(parent, child)| [*parent, *child]);
        senders.chain(receivers).chain(signalled).chain(forked).collect()
    }
}

impl<W: Write> Export for Dot<W> {
    fn event(&mut self, event: &Event, wanted: bool) -> Result<(), ExportError> {
        // For the names.
        self.story.event(event, false);
        let (Some(task), true) = (event.task, wanted) else { return Ok(()) };
        match &event.kind {
            Kind::Send(transfer) => {
                self.channels.insert(transfer.channel.clone(), transfer.mechanism.name());
                let sum = self.sent.entry((task.pid, transfer.channel.clone())).or_default();
                sum.calls += u64::from(transfer.bytes.is_some());
                sum.bytes = sum.bytes.saturating_add(transfer.bytes.unwrap_or(0));
            }
            Kind::Recv(transfer) if !transfer.peek => {
                self.channels.insert(transfer.channel.clone(), transfer.mechanism.name());
                let sum = self.received.entry((transfer.channel.clone(), task.pid)).or_default();
                sum.calls += u64::from(transfer.bytes.is_some() && !transfer.eof);
                sum.bytes = sum.bytes.saturating_add(transfer.bytes.unwrap_or(0));
            }
            Kind::Signal(signal) if signal.phase == Phase::Generated => {
                let from = signal.sender.as_ref().and_then(|sender| {
                    let by_process = matches!(sender.kind, SenderKind::Process | SenderKind::Child);
                    sender.pid.filter(|_| by_process)
                });
                *self.signals.entry((from, signal.to.pid, signal.signal.clone())).or_default() += 1;
            }
            Kind::Fork { child, thread: false } => {
                self.forks.insert((task.pid, child.pid));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _until: Nanos, lost: u64) -> Result<(), ExportError> {
        let processes = self.processes();
        let found = processes.len() + self.channels.len();
        if found > MOST {
            return Err(ExportError::TooMuch { found, what: "processes and channels", most: MOST, format: "dot" });
        }
        let out = &mut self.out;
        writeln!(out, "digraph ipcscope {{")?;
        writeln!(out, "    rankdir=LR;")?;
        writeln!(out, "    node [fontname=\"monospace\"]; edge [fontname=\"monospace\", fontsize=10];")?;
        if lost > 0 {
            writeln!(out, "    label=\"{lost} events were lost: sums are too small where they are missing\";")?;
        }
        for pid in processes {
            writeln!(out, "    p{pid} [shape=box, label={}];", quoted(&self.story.name(Party::Process(pid))))?;
        }
        for (channel, mechanism) in &self.channels {
            writeln!(out, "    {0} [shape=ellipse, tooltip={1}];", quoted(&channel.0), quoted(mechanism))?;
        }
        for ((pid, channel), sum) in &self.sent {
            writeln!(out, "    p{pid} -> {} [label=\"{} B in {}\"];", quoted(&channel.0), sum.bytes, sum.calls)?;
        }
        for ((channel, pid), sum) in &self.received {
            writeln!(out, "    {} -> p{pid} [label=\"{} B in {}\"];", quoted(&channel.0), sum.bytes, sum.calls)?;
        }
        for ((from, to, signal), count) in &self.signals {
            let from = from.map_or_else(|| "\"kernel\"".to_owned(), |pid| format!("p{pid}"));
            let times = if *count > 1 { format!(" ×{count}") } else { String::new() };
            let label = quoted(&format!("{signal}{times}"));
            writeln!(out, "    {from} -> p{to} [label={label}, color=red, fontcolor=red];")?;
        }
        for (parent, child) in &self.forks {
            writeln!(out, "    p{parent} -> p{child} [style=dashed, color=gray, label=\"fork\", fontcolor=gray];")?;
        }
        writeln!(out, "}}")?;
        Ok(self.out.flush()?)
    }
}

/// A quoted string: DOT knows `\"`, and takes `\N` and its kin for its own.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
