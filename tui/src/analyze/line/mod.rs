//! Text lines (contract, section 3): `TIME PID COMM  subject verb object  detail`.
//!
//! A line tells what its event tells. Names of other processes, the size of a channel and what a signal's target waited
//! in come from the events before: [`Lines`] remembers them; without them the line is shorter, never wrong.

mod object;
mod rpc;
mod shared;
mod words;

use foldhash::HashMap;

use super::span::{Role, Span, Spans, coloured, harmless, plain};
use crate::event::{Blocked, ChannelId, Comm, Event, Hosts, Kind, Nanos, Origin, number, shown};

/// Names remembered; more than processes live at a time. Beyond, all are forgotten: a line then says `pid 4711`.
const REMEMBERED: usize = 1 << 16;

/// How the time of a line is given; as strace does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeStyle {
    /// Seconds since the start of the trace.
    #[default]
    Elapsed,
    /// The time of day (`-t`), with microseconds (`-tt`).
    Clock {
        /// When the trace began: ns since local midnight.
        start: Nanos,
        /// With microseconds.
        micros: bool,
    },
    /// Seconds since the line before (`-r`).
    Delta,
}

/// Writes events as lines, learning from each.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    times: TimeStyle,
    payload: bool,
    names: HashMap<u32, Comm>,
    hosts: Hosts,
    capacities: HashMap<ChannelId, u64>,
    /// What a thread is BLOCKED on, by thread id.
    waits: HashMap<u32, Box<Blocked>>,
    last: Option<Nanos>,
    pid_width: usize,
    comm_width: usize,
}

/// `subject verb object  detail` of an event by itself: without time, pid and name.
pub fn line(event: &Event) -> String {
    plain(&Lines::new().spans(event))
}

impl Lines {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self { comm_width: 6, ..Self::default() }
    }

    /// With another way to give the time.
    #[must_use]
    pub fn with_times(self, times: TimeStyle) -> Self {
        Self { times, ..self }
    }

    /// With the payload of each send and receive at the end of its line.
    #[must_use]
    pub fn with_payload(self, payload: bool) -> Self {
        Self { payload, ..self }
    }

    /// `subject verb object  detail`; learns from the event.
    pub fn line(&mut self, event: &Event) -> String {
        self.learn(event);
        plain(&self.spans(event))
    }

    /// `TIME PID COMM  subject verb object  detail`; learns from the event.
    pub fn full_line(&mut self, event: &Event, colour: bool) -> String {
        let spans = self.full_spans(event);
        if colour { coloured(&spans) } else { plain(&spans) }
    }

    /// The pieces of a full line; learns from the event.
    pub fn full_spans(&mut self, event: &Event) -> Vec<Span> {
        self.learn(event);
        let pid = match event.task {
            None => "-".to_owned(),
            Some(task) if task.pid == task.tid => shown(task.pid, event.host.as_ref()),
            Some(task) => format!("{}/{}", number(task.pid), shown(task.tid, event.host.as_ref())),
        };
        let comm = event.comm.map_or_else(|| "-".to_owned(), |comm| comm.to_string());
        // Columns grow and never shrink; an escaped name may be long, and is then alone in being so.
        self.pid_width = self.pid_width.max(pid.len());
        self.comm_width = self.comm_width.max(comm.chars().count().min(15));
        let mut spans = Spans::default();
        spans.dim(self.time(event.t)).plain(" ");
        spans.add(Role::Pid, format!("{pid:>0$}", self.pid_width)).plain(" ");
        spans.add(Role::Comm, format!("{comm:<0$}", self.comm_width)).plain(" ");
        spans.extend(self.spans(event));
        spans.finish()
    }

    /// The pieces of a line without time, pid and name, with what has been learned so far.
    pub fn spans(&self, event: &Event) -> Vec<Span> {
        let mut spans = Spans::default();
        self.write(event, &mut spans);
        spans.finish()
    }

    /// Takes note of names, sizes and waits.
    pub fn learn(&mut self, event: &Event) {
        self.hosts.learn(event);
        if let (Some(task), Some(comm)) = (event.task, event.comm) {
            // A thread may be called other than its process.
            if task.pid == task.tid || !self.names.contains_key(&task.pid) {
                self.remember(task.pid, comm);
            }
        }
        match &event.kind {
            Kind::Fork { child, thread: false } => self.remember(child.pid, event.comm.unwrap_or_default()),
            Kind::Channel(change) => {
                if let Some(capacity) = change.capacity.filter(|_| change.error.is_none()) {
                    limit(&mut self.capacities);
                    self.capacities.insert(change.channel.clone(), capacity);
                }
            }
            Kind::State(change) => {
                if let Some(task) = event.task {
                    limit(&mut self.waits);
                    match &change.on {
                        Some(on) => self.waits.insert(task.tid, on.clone()),
                        None => self.waits.remove(&task.tid),
                    };
                }
            }
            _ => {}
        }
    }

    fn remember(&mut self, pid: u32, comm: Comm) {
        limit(&mut self.names);
        if comm != Comm::default() {
            self.names.insert(pid, comm);
        }
    }

    /// What to call a process.
    fn name(&self, pid: u32) -> String {
        self.names.get(&pid).map_or_else(|| format!("pid {}", self.hosts.shown(pid)), |comm| harmless(comm.to_string()))
    }

    /// The same of a sender, which may be on another host.
    fn sender(&self, origin: &Origin) -> String {
        let name = self.name(origin.pid);
        match &origin.host {
            Some(host) if self.names.contains_key(&origin.pid) => format!("{name}@{host}"),
            _ => name,
        }
    }

    fn time(&mut self, t: Nanos) -> String {
        let elapsed = |ns: u64| format!("{}.{:06}", ns / 1_000_000_000, ns / 1_000 % 1_000_000);
        match self.times {
            TimeStyle::Elapsed => elapsed(t.0),
            TimeStyle::Delta => elapsed(t.since(self.last.replace(t).unwrap_or_default())),
            TimeStyle::Clock { start, micros } => {
                let at = start.0.saturating_add(t.0);
                let s = at / 1_000_000_000 % 86_400;
                let clock = format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60);
                if micros { format!("{clock}.{:06}", at / 1_000 % 1_000_000) } else { clock }
            }
        }
    }
}

fn limit<K, V>(map: &mut HashMap<K, V>) {
    if map.len() >= REMEMBERED {
        map.clear();
    }
}

#[cfg(test)]
mod tests;
