//! Programs that tests and measurements run: installed from the distribution when they are not there.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::privilege::Privilege;

/// A program and the packages that may hold it; the first that apt knows is taken.
pub(crate) struct Need {
    pub(crate) program: &'static str,
    /// Programs that do as well.
    others: &'static [&'static str],
    packages: &'static [&'static str],
    /// Where no package holds it, it is done without: its tests are skipped.
    spared: bool,
}

impl Need {
    const fn new(program: &'static str, packages: &'static [&'static str]) -> Self {
        Self { program, others: &[], packages, spared: false }
    }

    fn is_met(&self) -> bool {
        [self.program].iter().chain(self.others).any(|program| command::program(program).is_some())
    }
}

pub(crate) const PERF: Need = Need::new("perf", &["linux-perf", "linux-tools-generic"]);
pub(crate) const STRACE: Need = Need::new("strace", &["strace"]);
pub(crate) const STRESS_NG: Need = Need::new("stress-ng", &["stress-ng"]);
pub(crate) const TMUX: Need = Need::new("tmux", &["tmux"]);
pub(crate) const QEMU: Need = Need::new("qemu-system-x86_64", &["qemu-system-x86"]);
pub(crate) const IP: Need = Need::new("ip", &["iproute2"]);
pub(crate) const DOT: Need = Need::new("dot", &["graphviz"]);
pub(crate) const TSHARK: Need = Need::new("tshark", &["tshark"]);
pub(crate) const XMLLINT: Need = Need::new("xmllint", &["libxml2-utils"]);
pub(crate) const CXX: Need = Need::new("c++", &["g++"]);
pub(crate) const PYTHON: Need = Need::new("python3", &["python3"]);
/// Ubuntu has none as a package: its `chromium-browser` installs a snap.
pub(crate) const BROWSER: Need = Need {
    others: &["chromium", "google-chrome"],
    spared: true,
    ..Need::new("chromium-headless-shell", &["chromium-headless-shell", "chromium"])
};

/// Installs what is missing; does nothing, quickly, when nothing is.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|need| need.program).collect();
    let names = names.join(", ");
    let by_hand = || format!("install these programs with your package manager, then run this again: {names}");
    let privilege = match privilege(&names) {
        Ok(privilege) => privilege,
        Err(obstacle) if missing.iter().all(|need| need.spared) => {
            eprintln!("xtask: {obstacle}; what {names} tests is skipped");
            return Ok(());
        }
        Err(obstacle) => bail!("{obstacle}; {}", by_hand()),
    };
    eprintln!("xtask: installing {names}");
    apt_get(privilege, &["update", "-q"]).with_context(by_hand)?;
    let packages: Vec<&str> = missing.iter().filter_map(|need| package(need)).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(privilege, &arguments).with_context(by_hand)
}

/// With which to install, or what is in the way.
fn privilege(names: &str) -> Result<Privilege, &'static str> {
    if command::program("apt-get").is_none() {
        return Err("no apt-get here");
    }
    match Privilege::find(&format!("installing {names}")) {
        Privilege::None => Err("not root, and sudo is not to be had"),
        privilege => Ok(privilege),
    }
}

/// The one to install; `None`, said loudly, if there is none and it is done without.
fn package(need: &Need) -> Option<&'static str> {
    let known = |package: &&&str| command::succeeds(Command::new("apt-cache").args(["show", "--", package]));
    let found = need.packages.iter().find(known);
    if found.is_none() && need.spared {
        eprintln!("xtask: no package holds {}: what it tests is skipped", need.program);
        return None;
    }
    found.or(need.packages.first()).copied()
}

fn apt_get(privilege: Privilege, arguments: &[&str]) -> Result<()> {
    let mut apt = privilege.command("env");
    apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments);
    command::run(&mut apt)
}
