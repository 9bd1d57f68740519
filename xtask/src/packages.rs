//! Programs that tests and measurements run: installed from the distribution when they are not there.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::privilege::Privilege;

/// A program and the packages that may hold it; the first that apt knows is taken.
pub(crate) struct Need {
    pub(crate) program: &'static str,
    pub(crate) packages: &'static [&'static str],
}

pub(crate) const PERF: Need = Need { program: "perf", packages: &["linux-perf", "linux-tools-generic"] };
pub(crate) const STRACE: Need = Need { program: "strace", packages: &["strace"] };
pub(crate) const STRESS_NG: Need = Need { program: "stress-ng", packages: &["stress-ng"] };
pub(crate) const TMUX: Need = Need { program: "tmux", packages: &["tmux"] };
pub(crate) const QEMU: Need = Need { program: "qemu-system-x86_64", packages: &["qemu-system-x86"] };
pub(crate) const IP: Need = Need { program: "ip", packages: &["iproute2"] };
pub(crate) const DOT: Need = Need { program: "dot", packages: &["graphviz"] };
pub(crate) const TSHARK: Need = Need { program: "tshark", packages: &["tshark"] };
pub(crate) const XMLLINT: Need = Need { program: "xmllint", packages: &["libxml2-utils"] };
pub(crate) const PYTHON: Need = Need { program: "python3", packages: &["python3"] };

/// Installs what is missing; does nothing, quickly, when nothing is.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| command::program(need.program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|need| need.program).collect();
    let names = names.join(", ");
    let by_hand = || format!("install these programs with your package manager, then run this again: {names}");
    if command::program("apt-get").is_none() {
        bail!("no apt-get here; {}", by_hand());
    }
    let privilege = Privilege::find(&format!("installing {names}"));
    if privilege == Privilege::None {
        bail!("not root, and sudo is not to be had; {}", by_hand());
    }
    eprintln!("xtask: installing {names}");
    apt_get(privilege, &["update", "-q"]).with_context(by_hand)?;
    let packages: Vec<&str> = missing.iter().filter_map(|need| known_to_apt(need)).collect();
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(privilege, &arguments).with_context(by_hand)
}

fn known_to_apt(need: &Need) -> Option<&'static str> {
    let known = |package: &&&str| command::succeeds(Command::new("apt-cache").args(["show", "--", package]));
    need.packages.iter().find(known).or(need.packages.first()).copied()
}

fn apt_get(privilege: Privilege, arguments: &[&str]) -> Result<()> {
    let mut apt = privilege.command("env");
    apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments);
    command::run(&mut apt)
}
