//! `cargo xtask demo`: builds ipcscope and shows a lesson, live as root, or else from its recording.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::checkout::Checkout;
use crate::command;
use crate::privilege::Privilege;

const DEFAULT_LESSON: &str = "pipeline";
/// Plays the lesson's recording, which needs no privileges.
const RECORDED: &str = "--recorded";

pub(crate) fn run(checkout: &Checkout, arguments: &[String]) -> Result<ExitCode> {
    let ipcscope = build(checkout, "demo")?;
    let privilege = Privilege::find("tracing the lesson live");
    let mut demo = as_user_or_root(privilege, &ipcscope);
    demo.arg("demo");
    if arguments.is_empty() {
        demo.arg(DEFAULT_LESSON);
    }
    demo.args(arguments);
    if privilege == Privilege::None {
        eprintln!("xtask: not root, and sudo is not to be had: showing the lesson as it was recorded, not live");
        demo.arg(RECORDED);
    }
    let status = demo.status().with_context(|| format!("start `{}`", command::shown(&demo)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Under sudo without keeping the environment: ipcscope finds the invoking user's by itself.
fn as_user_or_root(privilege: Privilege, program: &PathBuf) -> Command {
    if privilege == Privilege::Sudo {
        let mut sudo = Command::new("sudo");
        sudo.arg(program);
        return sudo;
    }
    Command::new(program)
}

/// Builds the binary with a profile and says where it is.
pub(crate) fn build(checkout: &Checkout, profile: &str) -> Result<PathBuf> {
    command::run(checkout.cargo().args(["build", "--package=ipcscope", "--profile", profile]))?;
    Ok(checkout.target(profile).join("ipcscope"))
}
