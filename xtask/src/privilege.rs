//! How to run something as root: directly, through sudo, or not at all.

use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::process::Command;

use crate::command;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    Root,
    Sudo,
    None,
}

impl Privilege {
    /// Root, or sudo without a question, or sudo after a question if somebody is there to answer.
    pub(crate) fn find(purpose: &str) -> Self {
        if is_root() {
            return Self::Root;
        }
        if command::program("sudo").is_none() {
            return Self::None;
        }
        if command::succeeds(Command::new("sudo").args(["-n", "true"])) {
            return Self::Sudo;
        }
        if !std::io::stdin().is_terminal() {
            return Self::None;
        }
        eprintln!("xtask: {purpose} needs root; sudo may ask for your password");
        match command::run(Command::new("sudo").arg("-v")) {
            Ok(()) => Self::Sudo,
            Err(_) => Self::None,
        }
    }

    /// The program as root; without privileges as it is. The environment is kept.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Root | Self::None => Command::new(program),
            Self::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.arg("-E").arg(program);
                sudo
            }
        }
    }
}

/// Whether this process may do everything already.
pub(crate) fn is_root() -> bool {
    // The effective user id without a line of unsafe code: proc(5), "Uid: real effective saved filesystem".
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1)) == Some("0")
}
