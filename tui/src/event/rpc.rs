//! Remote procedure calls, as they are read out of what was sent.

use serde::Serialize;

use super::{ChannelId, ChannelType, OpId};

/// A message of a protocol on top of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rpc {
    /// Which protocol.
    pub protocol: Protocol,
    /// What the message is.
    pub role: Role,
    /// What is called, escaped: `GET /path`, `interface.member`, `nfs v3 LOOKUP`; of an answer, what was called, if that
    /// was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The number that a call and its answer have in common: D-Bus serial, ONC xid; HTTP has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// What an answer says of itself, escaped: HTTP's `200 OK`, the name of a D-Bus error, `PROC_UNAVAIL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Of an answer: from when the send of the call was entered until the send of the answer returned, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ns: Option<u64>,
    /// Of an answer: `seq` of the event that is the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<u64>,
    /// The send that it came with, or its last; absent where the sender is not traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<OpId>,
    /// Through which channel.
    pub channel: ChannelId,
    /// Its mechanism.
    #[serde(rename = "type")]
    pub mechanism: ChannelType,
    /// Its head was longer than what is looked at: the method may be longer, or unknown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// A protocol of remote procedure calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The D-Bus specification.
    Dbus,
    /// RFC 5531.
    OncRpc,
    /// HTTP/1, RFC 9112.
    Http,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dbus, Self::OncRpc, Self::Http];

    /// As in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dbus => "dbus",
            Self::OncRpc => "onc-rpc",
            Self::Http => "http",
        }
    }

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Dbus => "D-Bus",
            Self::OncRpc => "ONC RPC",
            Self::Http => "HTTP",
        }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Something is to be done.
    Call,
    /// It was done.
    Reply,
    /// Something happened; nobody answers (D-Bus).
    Signal,
    /// It was not done.
    Error,
}

impl Role {
    /// As in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Reply => "reply",
            Self::Signal => "signal",
            Self::Error => "error",
        }
    }

    /// It answers a call.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Reply | Self::Error)
    }
}
