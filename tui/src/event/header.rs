//! The first and the last line of a trace.

use std::collections::BTreeMap;

use serde::Serialize;

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
