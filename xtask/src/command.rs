//! Running programs, with errors that show what was run.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs to the end with our own input and output; an error unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs to the end and gives what it printed; what it complained of becomes part of the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = finished(command)?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}", shown(command), output.status, complaint.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end and keeps everything, whatever the exit status.
pub(crate) fn finished(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("start `{}`", shown(command)))
}

/// Whether it can be started and succeeds; prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The program of that name on PATH, or where a user's PATH often does not look.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// A command line as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        let plain = !argument.is_empty() && !argument.contains([' ', '\t', '\n', '\'', '"', '$', '|', '&', ';', '*']);
        let quoted = if plain { argument.into_owned() } else { format!("'{}'", argument.replace('\'', r"'\''")) };
        let _ = write!(line, " {quoted}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_typed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo it's", "", "x"]);
        assert_eq!(shown(&command), r"sh -c 'echo it'\''s' '' x");
    }

    #[test]
    fn a_failure_shows_the_complaint() {
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).map_err(|e| e.to_string());
        assert!(matches!(error, Err(text) if text.contains("why") && text.contains('3')));
    }
}
