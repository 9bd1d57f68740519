//! The first and the last line of a trace.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where and how a trace was taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Header {
    /// Version of these lines; raised only when a field changes its meaning.
    pub schema: u32,
    /// Of ipcscope.
    pub version: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub arch: String,
    /// The host's name.
    pub host: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// When `t` was 0: RFC 3339, UTC.
    pub start: String,
    /// The command line that was traced; empty when processes were attached to.
    pub command: Vec<String>,
    /// The tracepoints in use.
    pub hooks: Vec<String>,
    /// Payload bytes kept of each message.
    pub payload_limit: u32,
    /// Of a merged trace: where its parts come from, the one whose clock is that of the trace first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostClock>,
}

/// A part of a merged trace, and how its clock was aligned with that of the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostClock {
    /// What events say as `host`.
    pub host: String,
    /// The recording's file name, escaped.
    pub file: String,
    /// ns to be added to a time of that recording to get one of this trace.
    pub offset_ns: u64,
    /// The offset is right within so many ns either way; absent: nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncertainty_ns: Option<u64>,
    /// Receives in it, or elsewhere of what it sent, whose send is known.
    pub matched: u64,
    /// What the offset rests on.
    pub basis: Basis,
    /// Some of them say that others are wrong by so many ns: the clocks drifted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violation_ns: Option<u64>,
}

/// What a host's offset rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// It is the first.
    Reference,
    /// The same boot as one before: the same clock.
    SameBoot,
    /// Messages in both directions.
    Messages,
    /// The time of day when the recordings began, kept from contradicting messages that all went one way.
    OneWay,
    /// The time of day when the recordings began, and nothing else.
    #[default]
    #[serde(other)]
    TimeOfDay,
}

/// How a trace ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ending {
    /// Lines between the first and this one.
    pub events: u64,
    /// Records lost in the whole run.
    pub lost: u64,
    /// The same, by class.
    pub lost_by: BTreeMap<String, u64>,
}
