//! What a large recording costs to keep and to look at: part of `cargo xtask bench`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::checkout::Checkout;
use crate::command;

/// Ten million events and more, without payload.
const FLOOD: &str = "ipcscope record -s 0 -o FILE -- stress-ng --pipe 1 -t 12";

/// What `travel` measured.
pub(crate) struct Recordings(pub(crate) Result<Value>);

impl Recordings {
    /// Builds what measures.
    pub(crate) fn build(checkout: &Checkout) -> Result<()> {
        let mut cargo = checkout.cargo();
        command::run(cargo.args(["build", "--release", "-p", "ipcscope", "--example", "travel"]))
    }

    /// Measures. `path`: PATH with our binary; `file`: where the recording goes.
    pub(crate) fn measure(checkout: &Checkout, path: &OsStr, file: &Path) -> Self {
        let travel = checkout.target("release").join("examples/travel");
        let measure = || {
            let line = FLOOD.replace("FILE", &file.display().to_string());
            command::output(Command::new("sh").args(["-c", &line]).env("PATH", path))?;
            let printed = command::output(Command::new(travel).arg(file))?;
            serde_json::from_str(&printed).context("read what travel prints")
        };
        Self(measure())
    }

    /// The rows of the table.
    pub(crate) fn table(&self) -> String {
        let mut rows = vec!["| a recording | measured | limit | command |\n|---|---:|---:|---|\n".to_owned()];
        let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let mut row = |what: &str, measured: String, limit: &str, command: &str| {
            rows.push(format!("| {what} | {measured} | {limit} | `{command}` |\n"));
        };
        match &self.0 {
            Err(error) => row("its size", format!("not measured: {error:#}"), "", FLOOD),
            Ok(value) => {
                let number = |name| number(value, name);
                let events = number("events");
                row("events", format!("{events:.0}"), "", FLOOD);
                row("bytes in the file per event", format!("{:.1}", number("bytes") / events), "12", FLOOD);
                let travel = "travel FILE";
                let millions = number("fold_events_per_s") / 1e6;
                row("decoded and folded on one core", format!("{millions:.2} M events/s"), "2 M events/s", travel);
                row("opened: first screen", format!("{:.0} ms", number("screen_ms")), "1000 ms", travel);
                row("opened: read to the end", format!("{:.1} s", number("indexed_ms") / 1e3), "", travel);
                row("gone anywhere: median of 50", format!("{:.0} ms", number("seek_ms")), "50 ms", travel);
                row("gone anywhere: worst of 50", format!("{:.0} ms", number("seek_worst_ms")), "50 ms", travel);
                let memory = number("resident_bytes") / events;
                row("memory per event", format!("{memory:.0} B"), "64 B", travel);
            }
        }
        rows.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_said() {
        let table = Recordings(Err(anyhow::anyhow!("no stress-ng"))).table();
        assert!(table.contains("not measured: no stress-ng"), "{table}");
        let value = serde_json::json!({"events": 10_000_000, "bytes": 90_000_000, "seek_ms": 12.3});
        let table = Recordings(Ok(value)).table();
        assert!(table.contains("| bytes in the file per event | 9.0 | 12 |"), "{table}");
        assert!(table.contains("| 12 ms | 50 ms |") && table.contains("NaN"), "{table}");
    }
}
