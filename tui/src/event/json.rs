//! JSON lines (contract, section 2).

use serde::Serialize;

use super::{Ending, Event, Header};

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line<'a> {
    Header(&'a Header),
    End(&'a Ending),
}

fn line(value: &impl Serialize) -> String {
    // Our types hold strings and numbers only: serialising them cannot fail.
    serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"kind\":\"error\",\"error\":\"{error}\"}}"))
}

impl Header {
    /// The line, without its newline.
    pub fn to_json(&self) -> String {
        line(&Line::Header(self))
    }
}

impl Ending {
    /// The line, without its newline.
    pub fn to_json(&self) -> String {
        line(&Line::End(self))
    }
}

impl Event {
    /// The line, without its newline.
    pub fn to_json(&self) -> String {
        line(self)
    }
}
