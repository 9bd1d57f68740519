//! Tracks for ui.perfetto.dev: a track for each thread with its states as slices, messages and signals as flow arrows,
//! the fill of each channel as a counter, remote procedure calls as slices beside the caller's tracks.
//!
//! The format is Trace Event JSON, which Perfetto, chrome://tracing and speedscope open. Times are in µs; the fraction
//! keeps the ns. Written as it comes, so a recording of any size can be exported.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
};

use serde_json::{Value, json};

use super::{
    Export, ExportError,
    lanes::{Lanes, Span},
};
use crate::{
    analyze::Lines,
    event::{Event, Kind, Nanos, OpId, Phase, Role, Rpc, SignalId, Task, number, shown},
};

/// Sends whose arrow may still come.
const MOST_SENDS: usize = 1 << 20;

/// Calls whose answer may still come.
const MOST_CALLS: usize = 1 << 16;

/// The trace.
pub(super) struct Perfetto<W> {
    out: W,
    first: bool,
    lanes: Lanes,
    lines: Lines,
    names: HashMap<Task, String>,
    /// Where and when a send ended, by its number.
    sends: BTreeMap<OpId, (Task, Nanos)>,
    /// Who generated a signal, and when.
    signals: HashMap<SignalId, (Task, Nanos)>,
    /// Who called, and when, by the `seq` of the call.
    calls: BTreeMap<u64, (Task, Nanos)>,
    flows: u64,
}

impl<W: Write> Perfetto<W> {
    pub(super) fn new(mut out: W) -> Result<Self, ExportError> {
        write!(out, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        Ok(Self {
            out,
            first: true,
            lanes: Lanes::default(),
            lines: Lines::new(),
            names: HashMap::new(),
            sends: BTreeMap::new(),
            signals: HashMap::new(),
            calls: BTreeMap::new(),
            flows: 0,
        })
    }

    fn write(&mut self, value: &Value) -> Result<(), ExportError> {
        let comma = if std::mem::take(&mut self.first) { "\n" } else { ",\n" };
        Ok(write!(self.out, "{comma}{value}")?)
    }

    fn name(&mut self, task: Task, comm: &str) -> Result<(), ExportError> {
        if self.names.get(&task).is_some_and(|known| known == comm) {
            return Ok(());
        }
        self.names.insert(task, comm.to_owned());
        if task.pid == task.tid {
            let name = json!({"name": comm});
            self.write(&json!({"ph": "M", "name": "process_name", "pid": task.pid, "tid": task.tid, "args": name}))?;
        }
        let name = json!({"name": comm});
        self.write(&json!({"ph": "M", "name": "thread_name", "pid": task.pid, "tid": task.tid, "args": name}))
    }

    fn span(&mut self, task: Task, span: &Span) -> Result<(), ExportError> {
        let name = match &span.on {
            Some(on) => format!("{} in {on}", span.state.name()),
            None => span.state.name().to_owned(),
        };
        let took = Nanos(span.until.0 - span.from.0);
        self.write(&json!({
            "ph": "X", "cat": "state", "name": name, "pid": task.pid, "tid": task.tid,
            "ts": micros(span.from), "dur": micros(took),
        }))
    }

    /// A moment of a thread, and what was said of it.
    fn instant(&mut self, task: Task, t: Nanos, category: &str, name: &str, event: &Event) -> Result<(), ExportError> {
        let said = self.lines.line(event);
        self.write(&json!({
            "ph": "i", "s": "t", "cat": category, "name": name, "pid": task.pid, "tid": task.tid,
            "ts": micros(t), "args": {"line": said, "seq": event.seq},
        }))
    }

    fn flow(&mut self, category: &str, from: (Task, Nanos), to: (Task, Nanos)) -> Result<(), ExportError> {
        self.flows += 1;
        for (phase, (task, t)) in [("s", from), ("f", to)] {
            self.write(&json!({
                "ph": phase, "bp": "e", "id": self.flows, "cat": category, "name": category,
                "pid": task.pid, "tid": task.tid, "ts": micros(t),
            }))?;
        }
        Ok(())
    }

    /// A moment for each message; from a call to its answer a slice of the caller (async, since states are no part of
    /// it nor it of them) and a flow to the server.
    fn rpc(&mut self, task: Task, event: &Event, rpc: &Rpc, wanted: bool) -> Result<(), ExportError> {
        if rpc.role == Role::Call {
            if self.calls.len() >= MOST_CALLS {
                self.calls.pop_first();
            }
            self.calls.insert(event.seq, (task, event.t));
        }
        let call = rpc.call.and_then(|call| self.calls.remove(&call));
        if !wanted {
            return Ok(());
        }
        let method = rpc.method.as_deref().unwrap_or("?");
        let what = if rpc.role.is_answer() { rpc.status.as_deref().unwrap_or(method) } else { method };
        self.instant(task, event.t, "rpc", &format!("{} {what}", rpc.role.name()), event)?;
        let Some((caller, called)) = call else { return Ok(()) };
        let began = rpc.latency_ns.map_or(called, |ns| Nanos(event.t.0.saturating_sub(ns)));
        let args = json!({"protocol": rpc.protocol.name(), "status": rpc.status, "server": number(task.pid)});
        for (phase, t) in [("b", began), ("e", event.t)] {
            self.write(&json!({
                "ph": phase, "cat": "rpc", "name": method, "id": event.seq, "pid": caller.pid, "tid": caller.tid,
                "ts": micros(t), "args": args,
            }))?;
        }
        self.flow("rpc", (caller, Nanos(called.0.min(event.t.0))), (task, event.t))
    }
}

impl<W: Write> Export for Perfetto<W> {
    fn event(&mut self, event: &Event, wanted: bool) -> Result<(), ExportError> {
        if let (Some(task), Some(comm)) = (event.task, event.comm) {
            // Its ids must differ, so in a merged trace they are not the processes' own: these are in the name.
            let name = match &event.host {
                Some(host) => format!("{comm} {}", shown(task.tid, Some(host))),
                None => comm.to_string(),
            };
            self.name(task, &name)?;
        }
        if let Some((task, span)) = self.lanes.event(event)
            && wanted
        {
            self.span(task, &span)?;
        }
        let Some(task) = event.task else { return Ok(()) };
        match &event.kind {
            Kind::Send(transfer) | Kind::Recv(transfer) => {
                let sends = matches!(event.kind, Kind::Send(_));
                if sends {
                    if self.sends.len() >= MOST_SENDS {
                        self.sends.pop_first();
                    }
                    self.sends.insert(transfer.call.op, (task, event.t));
                }
                if !wanted {
                    return Ok(());
                }
                let verb = if sends { "send" } else { "receive" };
                self.instant(task, event.t, "message", &format!("{verb} {}", transfer.channel), event)?;
                for part in transfer.from.iter().flatten() {
                    if let Some(from) = self.sends.get(&part.op).copied() {
                        // Read on one CPU before the write has returned on the other: an arrow does not go back.
                        let from = (from.0, Nanos(from.1.0.min(event.t.0)));
                        self.flow("message", from, (task, event.t))?;
                    }
                }
                if let Some(fill) = transfer.fill {
                    let args = json!({"bytes": fill});
                    self.write(&json!({
                        "ph": "C", "cat": "fill", "name": format!("{} fill", transfer.channel), "pid": 0,
                        "ts": micros(event.t), "args": args,
                    }))?;
                }
                Ok(())
            }
            Kind::Signal(signal) => {
                if signal.phase == Phase::Generated {
                    self.signals.insert(signal.id, (task, event.t));
                }
                if !wanted {
                    return Ok(());
                }
                let name = format!("{} {}", signal.signal, signal.phase.name());
                self.instant(task, event.t, "signal", &name, event)?;
                if matches!(signal.phase, Phase::Delivered | Phase::Consumed)
                    && let Some(from) = self.signals.get(&signal.id).copied()
                {
                    self.flow("signal", from, (task, event.t))?;
                }
                Ok(())
            }
            Kind::Rpc(rpc) => self.rpc(task, event, rpc, wanted),
            Kind::Fork { .. } | Kind::Exec(_) | Kind::Exit(_) if wanted => {
                self.instant(task, event.t, "process", "process", event)
            }
            _ => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>, until: Nanos, lost: u64) -> Result<(), ExportError> {
        for (task, span) in std::mem::take(&mut self.lanes).finish(until) {
            self.span(task, &span)?;
        }
        writeln!(self.out, "\n],\"otherData\":{{\"tool\":\"ipcscope\",\"lost\":{lost}}}}}")?;
        Ok(self.out.flush()?)
    }
}

/// µs with the ns as fraction.
fn micros(t: Nanos) -> Value {
    let text = format!("{}.{:03}", t.0 / 1_000, t.0 % 1_000);
    serde_json::from_str(&text).unwrap_or(Value::Null)
}
