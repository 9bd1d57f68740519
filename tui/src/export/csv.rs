//! A row for each event (RFC 4180), for spreadsheets and data frames.

use std::io::Write;

use super::{Export, ExportError};
use crate::{
    analyze::Lines,
    event::{ChannelType, Event, Kind, Nanos, number},
};

/// The columns.
const HEAD: [&str; 22] = [
    "t_ns",
    "seq",
    "pid",
    "tid",
    "comm",
    "kind",
    "event",
    "channel",
    "type",
    "fd",
    "op",
    "syscall",
    "bytes",
    "offset",
    "error",
    "from",
    "signal",
    "to_pid",
    "blocked_ns",
    "took_ns",
    "text",
    "host",
];

/// The table.
pub(super) struct Csv<W: Write> {
    out: csv::Writer<W>,
    lines: Lines,
}

impl<W: Write> Csv<W> {
    pub(super) fn new(out: W) -> Result<Self, ExportError> {
        let mut out = csv::Writer::from_writer(out);
        out.write_record(HEAD).map_err(|error| ExportError::Encode(error.to_string()))?;
        Ok(Self { out, lines: Lines::new() })
    }
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// What an event is called, and what happened in it.
fn names(kind: &Kind) -> (&'static str, String) {
    match kind {
        Kind::Fork { .. } => ("fork", String::new()),
        Kind::Exec(_) => ("exec", String::new()),
        Kind::Exit(_) => ("exit", String::new()),
        Kind::State(change) => ("state", change.to.name().to_owned()),
        Kind::Channel(channel) => ("channel", channel.event.verb().to_owned()),
        Kind::Send(_) => ("send", String::new()),
        Kind::Recv(receive) => ("recv", if receive.eof { "eof".to_owned() } else { String::new() }),
        Kind::Signal(signal) => ("signal", signal.phase.name().to_owned()),
        Kind::Rpc(rpc) => ("rpc", rpc.role.name().to_owned()),
        Kind::Lost(lost) => ("lost", lost.class.clone()),
        Kind::Disposition(_) | Kind::Dispositions(_) | Kind::Mask(_) => ("", String::new()),
    }
}

impl<W: Write> Export for Csv<W> {
    fn event(&mut self, event: &Event, wanted: bool) -> Result<(), ExportError> {
        let text = self.lines.line(event);
        if !wanted {
            return Ok(());
        }
        let (kind, what) = names(&event.kind);
        let transfer = match &event.kind {
            Kind::Send(transfer) | Kind::Recv(transfer) => Some(transfer),
            _ => None,
        };
        let (mechanism, fd) = match (&event.kind, transfer) {
            (Kind::Channel(channel), _) => (Some(channel.mechanism), channel.fd),
            (_, Some(transfer)) => (Some(transfer.mechanism), transfer.fd),
            (Kind::Rpc(rpc), _) => (Some(rpc.mechanism), None),
            _ => (None, None),
        };
        let signal = if let Kind::Signal(signal) = &event.kind { Some(signal) } else { None };
        let from = transfer.map(|transfer| match (&transfer.from, transfer.from_unknown) {
            (Some(parts), _) => {
                let parts = parts.iter().map(|part| format!("{}:{}", part.op.0, part.bytes));
                parts.collect::<Vec<_>>().join(" ")
            }
            (None, Some(why)) => why.name().to_owned(),
            (None, None) => String::new(),
        });
        let to = signal.map(|signal| signal.to.pid).or(match &event.kind {
            Kind::Fork { child, .. } => Some(child.pid),
            _ => None,
        });
        let call = event.call();
        let row = [
            event.t.0.to_string(),
            event.seq.to_string(),
            or_empty(event.task.map(|task| number(task.pid))),
            or_empty(event.task.map(|task| number(task.tid))),
            or_empty(event.comm),
            kind.to_owned(),
            what,
            or_empty(event.channel()),
            or_empty(mechanism.map(ChannelType::name)),
            or_empty(fd),
            or_empty(call.map(|call| call.op.0)),
            or_empty(call.map(|call| call.syscall)),
            or_empty(transfer.and_then(|transfer| transfer.bytes)),
            or_empty(transfer.and_then(|transfer| transfer.offset)),
            or_empty(transfer.and_then(|transfer| transfer.error)),
            or_empty(from),
            or_empty(signal.map(|signal| &signal.signal)),
            or_empty(to.map(number)),
            or_empty(call.and_then(|call| call.blocked_ns)),
            or_empty(call.map(|call| call.took_ns)),
            text,
            or_empty(event.host.as_ref()),
        ];
        self.out.write_record(&row).map_err(|error| ExportError::Encode(error.to_string()))
    }

    fn finish(mut self: Box<Self>, _until: Nanos, _lost: u64) -> Result<(), ExportError> {
        Ok(self.out.flush()?)
    }
}
