//! What this machine and this user can trace, and the exact remedy for what not.
//!
//! Facts are gathered in one place and judged in another, without looking at the machine again: the judgements are
//! tested on machines that we do not have.
//!
//! Absent on purpose: `kernel.unprivileged_bpf_disabled` and `kernel.perf_event_paranoid` (they restrict only who lacks
//! the capabilities we need), RLIMIT_MEMLOCK (not asked since 5.11), tracefs (not used).

mod facts;

use std::fmt;

use serde::Serialize;

pub use facts::Facts;

use super::host;

/// The exit status of "not permitted".
const NOT_PERMITTED: i32 = 4;

const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Tracing works, something about it does not.
    Warn,
    /// Tracing is not possible.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: one word.
    pub name: &'static str,
    /// How it went.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do about it, to be typed if possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    /// All is well.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, detail: detail.into(), remedy: None }
    }

    /// Something does not work.
    pub fn warn(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: State::Warn, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    /// Nothing works.
    pub fn fail(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: State::Fail, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

/// All that was looked at, in the order to put it right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Further checks (that the programs load) are appended.
    pub checks: Vec<Check>,
}

impl Report {
    /// Of this machine and this user, without loading anything.
    pub fn new() -> Self {
        Self::judge(&Facts::gather())
    }

    /// What these facts mean.
    pub fn judge(facts: &Facts) -> Self {
        Self {
            checks: [architecture, kernel, btf, privileges, lockdown, pid_namespace].map(|check| check(facts)).into(),
        }
    }

    /// Nothing stands in the way.
    pub fn can_trace(&self) -> bool {
        self.checks.iter().all(|check| check.state != State::Fail)
    }

    /// 0 if tracing is possible, 4 if not.
    pub fn exit_status(&self) -> i32 {
        if self.can_trace() { 0 } else { NOT_PERMITTED }
    }

    /// One object, one line.
    pub fn to_json(&self) -> String {
        serde_json::json!({ "kind": "doctor", "can_trace": self.can_trace(), "checks": self.checks }).to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let state = match check.state {
                State::Ok => "ok",
                State::Warn => "warn",
                State::Fail => "FAIL",
            };
            writeln!(f, "{state:<5} {:<14} {}", check.name, check.detail)?;
            if let Some(remedy) = &check.remedy {
                writeln!(f, "{:<20} → {remedy}", "")?;
            }
        }
        let verdict = match self.checks.iter().filter(|check| check.state == State::Fail).count() {
            0 => "ipcscope can trace here.",
            _ => "ipcscope cannot trace here yet; `ipcscope replay FILE` and `ipcscope print FILE` work anyway.",
        };
        writeln!(f, "\n{verdict}")
    }
}

fn architecture(facts: &Facts) -> Check {
    match facts.arch.as_str() {
        "x86_64" => Check::ok("architecture", "x86_64"),
        other => Check::fail("architecture", other, "use an x86-64 machine: others are not supported yet"),
    }
}

fn kernel(facts: &Facts) -> Check {
    let release = facts.release.as_str();
    match host::is_too_old(release) {
        Some(false) => Check::ok("kernel", release),
        Some(true) => Check::fail(
            "kernel",
            format!("{release} is older than {}.{}", host::OLDEST.0, host::OLDEST.1),
            "boot a newer kernel (on Debian: `sudo apt install linux-image-amd64`, then reboot)",
        ),
        None => Check::warn("kernel", format!("cannot make sense of {release:?}"), "5.15 or newer is needed"),
    }
}

fn btf(facts: &Facts) -> Check {
    match &facts.btf {
        Ok(bytes) => Check::ok("btf", format!("/sys/kernel/btf/vmlinux, {} KiB", bytes >> 10)),
        Err(error) => Check::fail(
            "btf",
            format!("/sys/kernel/btf/vmlinux: {error}"),
            "mount /sys, or boot a kernel with CONFIG_DEBUG_INFO_BTF=y (those of the large distributions have it)",
        ),
    }
}

fn privileges(facts: &Facts) -> Check {
    let has = |capability: u32| facts.capabilities >> capability & 1 == 1;
    let enough = has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON));
    let name = "privileges";
    match (enough, facts.root) {
        (true, _) if !facts.initial_users => Check::fail(
            name,
            "these are those of a user namespace; bpf(2) wants the machine's own",
            "run it outside the container, or in one made with `--privileged` by the machine's root",
        ),
        (true, true) => Check::ok(name, "root"),
        (true, false) => Check::ok(name, "CAP_BPF and CAP_PERFMON"),
        (false, true) => Check::fail(
            name,
            "root, but without CAP_BPF and CAP_PERFMON: a container, probably",
            "start the container with `--privileged`, or with `--cap-add BPF --cap-add PERFMON`",
        ),
        (false, false) if facts.sudo => Check::fail(
            name,
            "CAP_BPF and CAP_PERFMON are missing",
            "run it with sudo: `sudo ipcscope …`; the command then still runs as you",
        ),
        (false, false) => Check::fail(
            name,
            "CAP_BPF and CAP_PERFMON are missing, and there is no sudo",
            "become root with `su -`, or have root run `setcap cap_bpf,cap_perfmon=ep` on this program",
        ),
    }
}

fn lockdown(facts: &Facts) -> Check {
    // LOCKDOWN_BPF_READ_KERNEL is refused from "confidentiality" on (include/linux/security.h): no field can be read.
    match facts.lockdown.as_deref() {
        None | Some("none") => Check::ok("lockdown", "none"),
        Some("integrity") => Check::ok("lockdown", "integrity: tracepoints work"),
        Some(mode) => Check::fail(
            "lockdown",
            format!("{mode}: programs may not read the kernel's memory"),
            "boot with `lockdown=integrity`, or with Secure Boot off",
        ),
    }
}

fn pid_namespace(facts: &Facts) -> Check {
    match facts.initial_pids {
        Some(true) => Check::ok("pid-namespace", "the machine's own"),
        Some(false) => Check::warn(
            "pid-namespace",
            "not the machine's own (a container): pids are shown as the machine counts them, with those in here as ns_pid, \
             and processes outside have no number here",
            "start the container with `--pid=host` to see and attach to all",
        ),
        None => {
            Check::fail("pid-namespace", "/proc/self/ns/pid cannot be read", "mount it: `mount -t proc proc /proc`")
        }
    }
}

#[cfg(test)]
mod tests;
