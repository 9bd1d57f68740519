//! The test executables of the workspace: built by cargo, run by us.
//!
//! Running them directly keeps their output apart and countable, lets the live ones run as root without a build as
//! root, and lets them be carried into a virtual machine.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command;
use crate::tally::{Reader, Tally};

/// How the names of live integration tests (tui/tests/live_*.rs) begin. Each of their tests is `#[ignore = "root"]`.
const LIVE_PREFIX: &str = "live_";

/// One executable: full of tests, or a program that tests start.
pub(crate) struct Executable {
    pub(crate) name: String,
    /// "lib", "bin", "test" …
    pub(crate) kind: String,
    pub(crate) is_test: bool,
    pub(crate) path: PathBuf,
    /// Where cargo would run it: the folder of its package.
    pub(crate) folder: PathBuf,
}

impl Executable {
    /// Whether its ignored tests trace the real kernel.
    pub(crate) fn is_live(&self) -> bool {
        self.is_test && self.kind == "test" && self.name.starts_with(LIVE_PREFIX)
    }

    /// Prepares a command, which may be a wrapper such as sudo, as cargo would.
    pub(crate) fn prepare<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder)
    }
}

/// Builds with that command (`cargo test --no-run …`) and gives the executables, tests and programs.
pub(crate) fn build(cargo: &mut Command) -> Result<Vec<Executable>> {
    cargo.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stdout(Stdio::piped());
    let line = command::shown(cargo);
    let mut child = cargo.spawn().with_context(|| format!("start `{line}`"))?;
    let mut executables = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for message in BufReader::new(stdout).lines() {
            let message = message.with_context(|| format!("read what `{line}` prints"))?;
            executables.extend(serde_json::from_str(&message).ok().as_ref().and_then(parse));
        }
    }
    let status = child.wait().with_context(|| format!("wait for `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    executables.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
    Ok(executables)
}

/// One of cargo's messages, if it is about an executable that the build is for.
fn parse(message: &Value) -> Option<Executable> {
    let path = message.get("executable")?.as_str()?;
    let target = message.get("target")?;
    Some(Executable {
        name: target.get("name")?.as_str()?.to_owned(),
        kind: target.get("kind")?.get(0)?.as_str()?.to_owned(),
        is_test: message.get("profile")?.get("test")?.as_bool()?,
        path: PathBuf::from(path),
        folder: PathBuf::from(message.get("manifest_path")?.as_str()?).parent()?.to_path_buf(),
    })
}

/// Runs a test executable (or something that runs it), passes its output on and counts what it reports.
pub(crate) fn run(command: &mut Command) -> Result<Tally> {
    Ok(run_and_name(command)?.0)
}

/// The same, and the names of the tests that failed.
pub(crate) fn run_and_name(command: &mut Command) -> Result<(Tally, Vec<String>)> {
    let line = command::shown(command);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("start `{line}`"))?;
    let mut reader = Reader::default();
    if let Some(stdout) = child.stdout.take() {
        // Bytes: a test may print anything.
        for text in BufReader::new(stdout).split(b'\n') {
            let text = text.with_context(|| format!("read what `{line}` prints"))?;
            let text = String::from_utf8_lossy(&text);
            println!("{text}");
            reader.read(&text);
        }
    }
    let status = child.wait().with_context(|| format!("wait for `{line}`"))?;
    let mut tally = reader.tally;
    if !status.success() && tally.failed == 0 {
        println!("`{line}` ended before its tests did: {status}");
        tally.failed += 1;
    }
    Ok((tally, reader.failures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_messages_name_the_executables() {
        let message = r#"{"reason":"compiler-artifact","manifest_path":"/c/tui/Cargo.toml",
            "target":{"kind":["test"],"name":"live_pipe"},"profile":{"test":true},"executable":"/t/live_pipe-1"}"#;
        let parsed = serde_json::from_str(message).ok().as_ref().and_then(parse);
        let parsed = parsed.map(|test| (test.is_live(), test.path, test.folder));
        assert_eq!(parsed, Some((true, PathBuf::from("/t/live_pipe-1"), PathBuf::from("/c/tui"))));
        assert!(parse(&serde_json::json!({"executable": null})).is_none());
    }

    #[test]
    fn results_are_counted_and_an_early_end_is_a_failure() {
        let count = |script: &str| run(Command::new("sh").args(["-c", script])).ok();
        let result = "echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out'";
        assert_eq!(count(result), Some(Tally { passed: 3, failed: 0, skipped: 1 }));
        assert_eq!(count("kill -SEGV $$"), Some(Tally { failed: 1, ..Tally::default() }));
    }
}
