//! What a recording says about itself, in JSON of its own: the types of a file change later than those of the program.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Ending, FamilySet, Header, HostClock};

/// How a recording was made. Of it all, the decoder needs `wire`; the rest is for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordingHeader {
    /// As in the first line of `--json`.
    #[serde(with = "StoredHeader", default)]
    pub header: Header,
    /// Version of the kernel records in it.
    #[serde(default)]
    pub wire: u32,
    /// Size of the ring buffer they came through, bytes.
    #[serde(default)]
    pub ring_bytes: u64,
    /// The kernel's name of the clock: `CLOCK_MONOTONIC`.
    #[serde(default)]
    pub clock: String,
    /// What that clock showed when the trace began, ns.
    #[serde(default)]
    pub clock_start: u64,
    /// Of the command's terminal when it began, if it had its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<Screen>,
    /// Anything else worth keeping, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Value>,
    /// Of a merged recording: what it was made of, in the order of `header.hosts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

impl RecordingHeader {
    /// Those that are decoded: of a merged recording its parts', else this one.
    pub fn recordings(&self) -> impl Iterator<Item = &Self> {
        let own = self.parts.is_empty().then_some(self);
        own.into_iter().chain(self.parts.iter().map(|part| &part.recording))
    }

    /// What was captured.
    pub fn families(&self) -> FamilySet {
        self.facts.get("events").and_then(|set| set.as_str()?.parse().ok()).unwrap_or_else(FamilySet::all)
    }

    /// Children of those traced were traced too.
    pub fn follows(&self) -> bool {
        self.facts.get("follow").and_then(Value::as_bool).unwrap_or(true)
    }
}

/// A recording that became part of a merged one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Part {
    /// Its own header.
    pub recording: RecordingHeader,
    /// What could not be read of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// TCP connections that are called otherwise in the whole.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub renamed: BTreeMap<String, String>,
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screen {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// [`Header`] as stored; a field that is not there is empty.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Header")]
struct StoredHeader {
    #[serde(default)]
    schema: u32,
    #[serde(default)]
    version: String,
    #[serde(default)]
    kernel: String,
    #[serde(default)]
    arch: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    boot_id: String,
    #[serde(default)]
    start: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    hooks: Vec<String>,
    #[serde(default)]
    payload_limit: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<HostClock>,
}

/// [`Ending`] as stored.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Ending")]
struct StoredEnding {
    #[serde(default)]
    events: u64,
    #[serde(default)]
    lost: u64,
    #[serde(default)]
    lost_by: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
struct Wrapped(#[serde(with = "StoredEnding")] Ending);

/// As it is stored.
pub fn encode_ending(ending: &Ending) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Wrapped(ending.clone()))
}

/// From how it is stored.
pub fn decode_ending(json: &[u8]) -> serde_json::Result<Ending> {
    serde_json::from_slice(json).map(|Wrapped(ending)| ending)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::*;

    #[test]
    fn what_is_missing_is_empty_and_what_is_new_is_ignored() {
        let header: RecordingHeader =
            serde_json::from_str(r#"{"header":{"kernel":"9.9","planet":"earth"},"wire":3,"new":[1]}"#).unwrap();
        assert_eq!((header.header.kernel.as_str(), header.wire, header.clock.as_str()), ("9.9", 3, ""));
        assert_eq!(decode_ending(br#"{"events":5,"x":0}"#).unwrap(), Ending { events: 5, ..Ending::default() });
    }
}
