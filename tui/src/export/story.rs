//! Who said what to whom: the arrows of a sequence diagram.
//!
//! An arrow is a receive and the sends its bytes came from, a signal with what became of it, or a fork; notes are what a
//! process did alone. Invariant: arrows are in the order in which they arrived; one without a known sender has none.
//! Memory: the arrows, and so many sends. Tested through the formats.

use std::collections::{BTreeMap, HashMap};

use crate::{
    analyze::duration,
    event::{
        Action, Event, Hosts, Kind, Nanos, OpId, Phase, Rpc, SenderKind, SignalEvent, SignalId, Transfer, Verdict, text,
    },
};

/// Sends remembered: bytes of an older one still give an arrow, without payload and time.
const MOST_SENDS: usize = 1 << 16;
/// Bytes of payload shown on an arrow.
const SHOWN: usize = 24;

/// Somebody who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Party {
    /// A process.
    Process(u32),
    /// Senders that are no process.
    Kernel,
    Terminal,
    Timer,
    /// It is not known who.
    Unknown,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Bytes through a channel; the send's time, where it is known.
    Message {
        sent: Option<Nanos>,
    },
    Signal,
    Fork,
    /// One process alone: it executes, it ends.
    Note,
}

/// One arrow, or a note.
#[derive(Clone, Debug)]
pub(super) struct Arrow {
    pub(super) t: Nanos,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) what: What,
    pub(super) text: String,
}

#[derive(Debug)]
struct Sent {
    t: Nanos,
    payload: String,
    /// The messages of remote procedure calls that it is, instead.
    calls: Vec<String>,
}

/// All arrows.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) arrows: Vec<Arrow>,
    names: HashMap<u32, String>,
    hosts: Hosts,
    sends: BTreeMap<OpId, Sent>,
    signals: HashMap<SignalId, usize>,
}

impl Story {
    /// Learns from an event; it becomes arrows if it is wanted.
    pub(super) fn event(&mut self, event: &Event, wanted: bool) {
        self.hosts.learn(event);
        if let (Some(task), Some(comm)) = (event.task, event.comm)
            && (task.pid == task.tid || !self.names.contains_key(&task.pid))
        {
            self.names.insert(task.pid, comm.to_string());
        }
        let pid = event.task.map(|task| task.pid);
        match &event.kind {
            Kind::Send(send) if send.bytes.is_some() => {
                if self.sends.len() >= MOST_SENDS {
                    self.sends.pop_first();
                }
                self.sends.insert(send.call.op, Sent { t: event.t, payload: payload(send), calls: Vec::new() });
            }
            Kind::Rpc(rpc) => {
                if let Some(sent) = rpc.of.and_then(|op| self.sends.get_mut(&op)) {
                    sent.calls.push(called(rpc));
                }
            }
            Kind::Recv(receive) if wanted => self.receive(event.t, pid, receive),
            Kind::Signal(signal) => self.signal(event, signal, wanted),
            Kind::Fork { child, thread: false } if wanted => {
                self.push(event.t, party(pid), Party::Process(child.pid), What::Fork, "fork".to_owned());
            }
            Kind::Exec(exec) if wanted => {
                let name = exec.exe.rsplit('/').next().unwrap_or(&exec.exe);
                self.note(event.t, pid, format!("exec {name}"));
            }
            Kind::Exit(exit) if wanted && !exit.thread => {
                let how = match (&exit.signal, exit.code) {
                    (Some(signal), _) => format!("killed by {signal}"),
                    (None, Some(code)) => format!("exit {code}"),
                    (None, None) => "exit".to_owned(),
                };
                self.note(event.t, pid, how);
            }
            _ => {}
        }
    }

    fn receive(&mut self, t: Nanos, pid: Option<u32>, receive: &Transfer) {
        let to = party(pid);
        if receive.eof {
            self.note(t, pid, format!("end of file on {}", receive.channel));
            return;
        }
        let Some(bytes) = receive.bytes.filter(|bytes| *bytes > 0 || receive.from.is_some()) else { return };
        let Some(parts) = &receive.from else {
            let why = receive.from_unknown.map_or("unknown", |why| why.name());
            let label = format!("{bytes} B {} (sender: {why})", receive.channel);
            self.push(t, Party::Unknown, to, What::Message { sent: None }, label);
            return;
        };
        let mut parts = parts.iter().peekable();
        while let Some(part) = parts.next() {
            let (mut bytes, mut sends) = (part.bytes, 1);
            while let Some(next) = parts.next_if(|next| next.pid == part.pid) {
                bytes += next.bytes;
                sends += 1;
            }
            let sent = self.sends.get(&part.op);
            let shown = match sent {
                Some(sent) if !sent.calls.is_empty() => format!(": {}", sent.calls.join(", ")),
                Some(sent) => sent.payload.clone(),
                None => String::new(),
            };
            let several = if sends > 1 { format!(" in {sends} sends") } else { String::new() };
            let label = format!("{bytes} B {}{several}{shown}", receive.channel);
            let what = What::Message { sent: sent.map(|sent| sent.t) };
            self.push(t, Party::Process(part.pid), to, what, label);
        }
    }

    fn signal(&mut self, event: &Event, signal: &SignalEvent, wanted: bool) {
        if signal.phase == Phase::Generated {
            if !wanted {
                return;
            }
            let from = signal.sender.as_ref().map_or(party(event.task.map(|task| task.pid)), |sender| {
                match (sender.kind, sender.pid) {
                    (SenderKind::Terminal, _) => Party::Terminal,
                    (SenderKind::Timer, _) => Party::Timer,
                    (SenderKind::Kernel, _) => Party::Kernel,
                    (_, pid) => party(pid),
                }
            });
            self.signals.insert(signal.id, self.arrows.len());
            self.push(event.t, from, Party::Process(signal.to.pid), What::Signal, signal.signal.clone());
            return;
        }
        let Some(arrow) = self.signals.get(&signal.id).and_then(|at| self.arrows.get_mut(*at)) else { return };
        let verdict = signal.delivery.verdict.map(Verdict::name).filter(|name| *name != "none");
        let action = signal.delivery.action.map(Action::name);
        let how = match (signal.phase, action) {
            (Phase::Delivered | Phase::Handled, Some(action)) => action,
            (phase, _) => phase.name(),
        };
        let call = signal.delivery.interrupted.as_ref().map(|call| call.syscall);
        arrow.text = match (call, verdict) {
            (Some(call), Some(verdict)) => format!("{}: {how}, {call} {verdict}", signal.signal),
            _ => format!("{}: {how}", signal.signal),
        };
    }

    fn note(&mut self, t: Nanos, pid: Option<u32>, text: String) {
        self.push(t, party(pid), party(pid), What::Note, text);
    }

    fn push(&mut self, t: Nanos, from: Party, to: Party, what: What, text: String) {
        self.arrows.push(Arrow { t, from, to, what, text });
    }

    /// Everybody in an arrow, in the order of their first.
    pub(super) fn parties(&self) -> Vec<Party> {
        let mut seen = Vec::new();
        for party in self.arrows.iter().flat_map(|arrow| [arrow.from, arrow.to]) {
            if !seen.contains(&party) {
                seen.push(party);
            }
        }
        seen
    }

    /// A party's name: the last one of a process.
    pub(super) fn name(&self, party: Party) -> String {
        match party {
            Party::Process(pid) => match self.names.get(&pid) {
                Some(name) => format!("{name} {}", self.hosts.shown(pid)),
                None => format!("process {}", self.hosts.shown(pid)),
            },
            Party::Kernel => "kernel".to_owned(),
            Party::Terminal => "terminal".to_owned(),
            Party::Timer => "timer".to_owned(),
            Party::Unknown => "?".to_owned(),
        }
    }
}

fn party(pid: Option<u32>) -> Party {
    pid.map_or(Party::Unknown, Party::Process)
}

/// `call GET /`; `reply 200 OK to GET / after 1.2 ms`.
fn called(rpc: &Rpc) -> String {
    let method = rpc.method.as_deref().unwrap_or("?");
    if !rpc.role.is_answer() {
        return format!("{} {method}", rpc.role.name());
    }
    let status = rpc.status.as_ref().map_or_else(String::new, |status| format!(" {status}"));
    let after = rpc.latency_ns.map_or_else(String::new, |ns| format!(" after {}", duration(ns)));
    format!("{}{status} to {method}{after}", rpc.role.name())
}

/// ` "hello"`, cut off where it is long; nothing if no payload was kept.
fn payload(send: &Transfer) -> String {
    let Some(bytes) = send.payload.as_deref().filter(|bytes| !bytes.is_empty()) else { return String::new() };
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    let more = if send.bytes > Some(shown.len() as u64) { "…" } else { "" };
    format!(" \"{}{more}\"", text::escape(shown))
}
