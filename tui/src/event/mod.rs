//! Events: what happened, in the terms of the contract.
//!
//! An [`Event`] is one line of `--json`. It is produced by `decode`, folded by `model`, printed by `line` and drawn by
//! `ui`; nothing here knows where it came from.
//!
//! Invariants: events leave `decode` in order of `t`, `seq` has no gap, and a field that is unknown is `None`: nothing
//! is made up. Absent on purpose: file handles, clocks, kernel addresses.

mod call;
mod channel;
mod disposition;
mod family;
mod header;
mod host;
mod id;
mod json;
mod rpc;
mod signal;
mod signo;
mod state;
pub mod text;
mod transfer;

pub use call::{Call, Via};
pub use channel::{ChannelChange, ChannelEvent, End, PeerPid};
pub use disposition::{Disposition, Dispositions, Mask};
pub use family::{Family, FamilySet};
pub use header::{Basis, Ending, Header, HostClock};
pub use host::{Host, Hosts, MAX_HOSTS, as_number, as_number_if_any, host_place, number, on_host, shown};
pub use id::{ChannelId, ChannelType, Comm, Nanos, OpId, SignalId, Task};
pub use rpc::{Protocol, Role, Rpc};
pub use signal::{
    Action, Delivery, Destination, Interrupted, Phase, Scope, Sender, SenderKind, SignalEvent, SignalValue, Verdict,
};
pub use signo::{SignalSet, signal_name, signal_name_of};
pub use state::{Blocked, Cause, Lock, StateChange, ThreadState, WokenBy};
pub use transfer::{Arrival, FromUnknown, Origin, SemOperation, Stream, Transfer, Way};

use serde::Serialize;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When: ns since the start of the trace. For a system call, when it returned.
    pub t: Nanos,
    /// Place in the trace, without gaps, from 0; a quiet event has that of the next that is told.
    pub seq: u64,
    /// Who: absent where nobody did it (a signal of the kernel, a loss).
    #[serde(flatten)]
    pub task: Option<Task>,
    /// The name of that thread at that moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<Comm>,
    /// The process id that the process sees for itself, where it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_pid: Option<u32>,
    /// On which host, in a merged trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// What.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What happened. Events are moved and kept by the million: what is larger than a change of state is boxed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    /// A process or thread was created (fork(2), clone(2)).
    Fork {
        /// The new thread.
        child: Task,
        /// It shares the process of its creator.
        thread: bool,
    },
    /// A process started another program (execve(2)).
    Exec(Box<Exec>),
    /// A thread, or with its last thread the process, ended.
    Exit(Box<Exit>),
    /// A thread changed its state.
    State(StateChange),
    /// A channel, or a descriptor of it, changed.
    Channel(Box<ChannelEvent>),
    /// Bytes or a message went into a channel.
    Send(Box<Transfer>),
    /// Bytes or a message came out of a channel.
    Recv(Box<Transfer>),
    /// A step in the life of a signal instance.
    Signal(Box<SignalEvent>),
    /// A message of a remote procedure call.
    Rpc(Box<Rpc>),
    /// The disposition of a signal changed; quiet.
    Disposition(Box<Disposition>),
    /// All dispositions; quiet.
    Dispositions(Dispositions),
    /// A thread's mask; quiet.
    Mask(Mask),
    /// Events are missing here.
    Lost(Box<Lost>),
}

/// Which program a process started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exec {
    /// The path of the program, escaped.
    pub exe: String,
    /// Its arguments, escaped.
    pub argv: Vec<String>,
    /// The arguments were longer than what is kept.
    pub cut: bool,
}

/// How a thread or process ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exit {
    /// Only a thread ended; its process lives on.
    pub thread: bool,
    /// The exit code, if it was not killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that killed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// A core was dumped.
    pub core: bool,
}

/// Events that the kernel side could not hand over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lost {
    /// How many records.
    pub count: u64,
    /// What they were: a class of records.
    #[serde(rename = "where")]
    pub class: String,
    /// After this time, ns since start.
    pub t_from: Nanos,
    /// Before this time, ns since start.
    pub t_to: Nanos,
}

impl Lost {
    /// The class of records that a recording was told not to keep (`--last`, `--max-size`).
    pub const NOT_KEPT: &'static str = "not-kept";
}

const _: () = assert!(size_of::<Event>() <= 104);

impl Kind {
    /// It has no line and no number: for the model and the views only.
    pub fn is_quiet(&self) -> bool {
        matches!(self, Self::Disposition(_) | Self::Dispositions(_) | Self::Mask(_))
    }

    /// Which family it belongs to; a loss belongs to all.
    pub fn family(&self) -> Option<Family> {
        Some(match self {
            Self::Fork { .. } | Self::Exec(_) | Self::Exit(_) => Family::Process,
            Self::State(_) => Family::Sched,
            Self::Channel(channel) => Family::of(channel.mechanism),
            Self::Send(transfer) | Self::Recv(transfer) => Family::of(transfer.mechanism),
            Self::Signal(_) | Self::Disposition(_) | Self::Dispositions(_) | Self::Mask(_) => Family::Signal,
            Self::Rpc(_) => Family::Rpc,
            Self::Lost(_) => return None,
        })
    }
}

impl Event {
    /// The call this event tells of, if it is a call's.
    pub fn call(&self) -> Option<&Call> {
        match &self.kind {
            Kind::Channel(c) => c.call.as_ref(),
            Kind::Send(t) | Kind::Recv(t) => Some(&t.call),
            _ => None,
        }
    }

    /// The channel it concerns, if any.
    pub fn channel(&self) -> Option<&ChannelId> {
        match &self.kind {
            Kind::Channel(c) => Some(&c.channel),
            Kind::Send(t) | Kind::Recv(t) => Some(&t.channel),
            Kind::Rpc(rpc) => Some(&rpc.channel),
            Kind::State(s) => s.on.as_ref().and_then(|on| on.channel.as_ref()),
            _ => None,
        }
    }
}
