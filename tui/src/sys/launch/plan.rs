//! All that the child will need, made before the fork: after it nothing may be allocated.

use std::{
    ffi::{CString, OsStr, OsString},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    ptr,
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{Launch, LaunchError, Terminal};

/// What the child does, ready to be handed to system calls.
pub(super) struct Plan {
    /// The child's end of the gate.
    pub(super) gate: RawFd,
    /// The terminal to take.
    pub(super) terminal: Option<RawFd>,
    /// Close-on-exec descriptors of ours, to be closed before anybody looks or waits for their end; never the gate.
    pub(super) close: Vec<RawFd>,
    /// Groups, group, user to become.
    pub(super) identity: Option<(Vec<libc::gid_t>, libc::gid_t, libc::uid_t)>,
    /// Paths to try, in order.
    pub(super) programs: Strings,
    /// NULL at the end.
    pub(super) argv: Strings,
    /// `/bin/sh`, the path (to be filled in), the arguments: for a file the kernel does not take as a program.
    pub(super) shell_argv: Strings,
    /// NULL at the end.
    pub(super) environment: Strings,
}

/// C strings and the pointers to them that execve(2) wants.
pub(super) struct Strings {
    _owned: Vec<CString>,
    /// Ends with NULL.
    pub(super) pointers: Vec<*const libc::c_char>,
}

impl Strings {
    fn new(strings: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, LaunchError> {
        let owned =
            strings.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>().map_err(|_| LaunchError::Nul)?;
        // Moving the vector of strings does not move what they point to.
        let pointers = owned.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Ok(Self { _owned: owned, pointers })
    }
}

impl Plan {
    pub(super) fn new(launch: &Launch, gate: &OwnedFd, terminal: Option<&OwnedFd>) -> Result<Self, LaunchError> {
        let environment = environment(launch);
        let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
        let mut arguments = launch.argv.iter().map(|argument| argument.as_bytes().to_vec());
        let name = arguments.next().unwrap_or_default();
        let rest: Vec<_> = arguments.collect();
        let gate = gate.as_raw_fd();
        let user = launch.user.as_ref().filter(|user| !user.is_current());
        Ok(Self {
            gate,
            terminal: terminal.map(AsRawFd::as_raw_fd),
            close: close_on_exec().into_iter().filter(|fd| *fd != gate).collect(),
            identity: user.map(|user| (user.groups.clone(), user.gid, user.uid)),
            programs: Strings::new(programs(&name, path))?,
            argv: Strings::new([name.clone()].into_iter().chain(rest.iter().cloned()))?,
            shell_argv: Strings::new([b"/bin/sh".to_vec(), name].into_iter().chain(rest))?,
            environment: Strings::new(environment.into_iter().map(|(name, value)| {
                let mut entry = name.into_vec();
                entry.push(b'=');
                entry.extend_from_slice(value.as_bytes());
                entry
            }))?,
        })
    }
}

fn environment(launch: &Launch) -> Vec<(OsString, OsString)> {
    let mut environment = match &launch.user {
        Some(user) => user.environment(std::env::vars_os()),
        None => std::env::vars_os().collect(),
    };
    if let Terminal::Pty { .. } = launch.terminal {
        // These tell of our terminal; the new one is the application's pane.
        environment.retain(|(name, _)| !["TERM", "LINES", "COLUMNS"].iter().any(|other| name == *other));
        environment.push(("TERM".into(), "xterm-256color".into()));
    }
    environment
}

/// Where execvp(3) would look.
fn programs(name: &[u8], path: Option<&OsStr>) -> Vec<Vec<u8>> {
    if name.is_empty() || name.contains(&b'/') {
        return vec![name.to_vec()];
    }
    let path = path.map_or(&b"/bin:/usr/bin"[..], OsStr::as_bytes);
    path.split(|byte| *byte == b':')
        .map(|directory| match directory {
            b"" => name.to_vec(),
            directory => [directory, b"/", name].concat(),
        })
        .collect()
}

/// Our descriptors that exec would close.
fn close_on_exec() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok())
        .filter(|fd| {
            // SAFETY: looked at for the length of one call only; a closed one gives EBADF.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(*fd) };
            fcntl(fd, FcntlArg::F_GETFD).is_ok_and(|flags| FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_where_execvp_looks() {
        for (name, path, expect) in [
            ("ls", Some("/bin:/usr/bin"), &["/bin/ls", "/usr/bin/ls"][..]),
            ("ls", Some(":/x"), &["ls", "/x/ls"]),
            ("ls", None, &["/bin/ls", "/usr/bin/ls"]),
            ("./ls", Some("/bin"), &["./ls"]),
            ("", Some("/bin"), &[""]),
        ] {
            let found = programs(name.as_bytes(), path.map(OsStr::new));
            assert_eq!(found, expect.iter().map(|path| path.as_bytes()).collect::<Vec<_>>(), "{name} in {path:?}");
        }
    }
}
