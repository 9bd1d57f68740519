//! Signals: a line for each step in the life of an instance.

use serde::{Serialize, Serializer};

use super::{ChannelId, OpId, SignalId, SignalSet, ThreadState};

/// A step in a signal instance's life. The event's task is who generated it (`generated`), else its receiver.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SignalEvent {
    /// Its name: `SIGUSR1`, `SIGRTMIN+2`.
    pub signal: String,
    /// Its number.
    pub signo: i32,
    /// Which instance; one for all its lines.
    pub id: SignalId,
    /// Which step.
    pub phase: Phase,
    /// Who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// To whom.
    pub to: Destination,
    /// Directed to a thread or to a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// One number for all that one call sent to a process group or to everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multicast: Option<u64>,
    /// Sent to everybody the sender may send to: kill(-1).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub broadcast: bool,
    /// Sent to a process group: its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_group: Option<u32>,
    /// The sending call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<OpId>,
    /// The name of the sending call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syscall: Option<&'static str>,
    /// `si_code` by name (sigaction(2)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What came along: a number (sigqueue(3)), or the address of a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<SignalValue>,
    /// What the receiver was doing when it was generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_state: Option<ThreadState>,
    /// The receiver's mask blocks it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blocked_by_mask: bool,
    /// `pending`: all that the receiver's mask blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<SignalSet>,
    /// What will be, or was, done about it.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// The instance it merged with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<SignalId>,
    /// The call that took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_by: Option<Interrupted>,
    /// Why it was discarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// What became of a delivered signal.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Delivery {
    /// The disposition's action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The handler's address, `0x…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// `SA_*` names of the disposition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    /// How many other handlers of the thread had not returned when this one began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesting: Option<u32>,
    /// The call it interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<Interrupted>,
    /// What became of that call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// From generation to delivery, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_ns: Option<u64>,
    /// From delivery to the handler's return, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler_ns: Option<u64>,
}

/// What comes along with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalValue {
    /// The sender's number (sigqueue(3), timer_create(2)).
    Number(i64),
    /// Where a fault happened (`si_addr`).
    Address(u64),
}

impl Serialize for SignalValue {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => s.serialize_i64(*number),
            Self::Address(address) => s.collect_str(&format_args!("{address:#x}")),
        }
    }
}

/// The steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It came into being.
    Generated,
    /// It must wait: blocked by the mask, or its target is stopped.
    Pending,
    /// End: the disposition ignores it.
    Ignored,
    /// End: one of its kind was pending already.
    Coalesced,
    /// End: the queue was full.
    Overflowed,
    /// A thread took it; the end, unless a handler runs.
    Delivered,
    /// End: its handler returned.
    Handled,
    /// End: its handler never returned.
    Abandoned,
    /// End: taken by sigwait(3) or a signalfd(2).
    Consumed,
    /// End: dropped before delivery; why is in `reason`.
    Discarded,
}

impl Phase {
    /// As in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Pending => "pending",
            Self::Ignored => "ignored",
            Self::Coalesced => "coalesced",
            Self::Overflowed => "overflowed",
            Self::Delivered => "delivered",
            Self::Handled => "handled",
            Self::Abandoned => "abandoned",
            Self::Consumed => "consumed",
            Self::Discarded => "discarded",
        }
    }
}

/// Who sent a signal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sender {
    /// What it is.
    pub kind: SenderKind,
    /// Its process, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::as_number_if_any")]
    pub pid: Option<u32>,
    /// The terminal's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
}

/// Kinds of senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SenderKind {
    /// A process, by a call.
    Process,
    /// The kernel, about what the receiver did.
    Kernel,
    /// A timer ran out.
    Timer,
    /// A key was typed, the window changed, the line hung up.
    Terminal,
    /// A child changed its state.
    Child,
}

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// The process.
    #[serde(serialize_with = "super::as_number")]
    pub pid: u32,
    /// The thread, if directed to one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::as_number_if_any")]
    pub tid: Option<u32>,
    /// Outside the trace: what becomes of it is not seen.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
}

/// Whether a signal is for a thread or for a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// tgkill(2), a fault.
    Thread,
    /// kill(2): any thread may take it.
    Process,
}

/// What a disposition does, signal(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A function of the program runs.
    Handler,
    /// Nothing.
    Ignore,
    /// The process ends.
    Terminate,
    /// The process ends and dumps core.
    Core,
    /// The process stops.
    Stop,
    /// The process continues.
    Continue,
}

impl Action {
    /// As in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Ignore => "ignore",
            Self::Terminate => "terminate",
            Self::Core => "core",
            Self::Stop => "stop",
            Self::Continue => "continue",
        }
    }
}

/// A call that a signal interrupted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Interrupted {
    /// Its number, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<OpId>,
    /// Its name.
    pub syscall: &'static str,
    /// The channel it was on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelId>,
}

/// What became of an interrupted call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// It failed with EINTR.
    #[serde(rename = "EINTR")]
    Eintr,
    /// It went on.
    #[serde(rename = "restarted")]
    Restarted,
    /// It returned what it had done so far.
    #[serde(rename = "partial")]
    Partial,
    /// No call was interrupted.
    #[serde(rename = "none")]
    None,
}

impl Verdict {
    /// As in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eintr => "EINTR",
            Self::Restarted => "restarted",
            Self::Partial => "partial",
            Self::None => "none",
        }
    }
}
