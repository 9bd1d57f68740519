//! What the checks look at.

use std::{env, fs};

use super::super::host::{self, PidNamespace};

/// The machine and the user, as far as tracing is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub arch: String,
    /// Size of the kernel's description of its own types, bytes, or why it cannot be read.
    pub btf: Result<u64, String>,
    /// The effective ones, a bit each (capabilities(7)).
    pub capabilities: u64,
    /// Effective user 0.
    pub root: bool,
    /// There is a sudo to be found.
    pub sudo: bool,
    /// Our users are the machine's.
    pub initial_users: bool,
    /// Our process ids are the kernel's; `None` if /proc does not say.
    pub initial_pids: Option<bool>,
    /// The mode the kernel is in; `None` if it knows no such thing.
    pub lockdown: Option<String>,
}

impl Facts {
    /// Looks.
    pub fn gather() -> Self {
        let (release, arch, _) = host::names();
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let btf = fs::File::open("/sys/kernel/btf/vmlinux").and_then(|file| file.metadata());
        Self {
            release,
            arch,
            btf: btf.map(|metadata| metadata.len()).map_err(|error| error.to_string()),
            capabilities: capabilities(&read("/proc/self/status")),
            root: nix::unistd::geteuid().is_root(),
            sudo: env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join("sudo").is_file())),
            initial_users: maps_everybody(&read("/proc/self/uid_map")),
            initial_pids: PidNamespace::current().ok().map(PidNamespace::is_initial),
            lockdown: lockdown(&read("/sys/kernel/security/lockdown")),
        }
    }
}

/// `CapEff` of /proc/PID/status, proc_pid_status(5).
fn capabilities(status: &str) -> u64 {
    let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    hex.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

/// The first user namespace maps all numbers to themselves, user_namespaces(7). So does a file that is not there: older
/// kernels without such namespaces.
fn maps_everybody(uid_map: &str) -> bool {
    let words: Vec<_> = uid_map.split_whitespace().collect();
    words.is_empty() || words == ["0", "0", "4294967295"]
}

/// `none [integrity] confidentiality`: the one in brackets, kernel_lockdown(7).
fn lockdown(modes: &str) -> Option<String> {
    let (_, rest) = modes.split_once('[')?;
    rest.split_once(']').map(|(mode, _)| mode.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_prints() {
        assert_eq!(capabilities("Name:\tx\nCapPrm:\t0\nCapEff:\t000001fffeffffff\n"), 0x1ff_feff_ffff);
        assert_eq!(capabilities(""), 0);
        assert_eq!(lockdown("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(lockdown(""), None);
        assert!(maps_everybody("         0          0 4294967295\n"));
        assert!(!maps_everybody("         0       1000          1\n"));
    }
}
