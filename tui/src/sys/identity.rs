//! Whose command it is: under sudo the command and the recordings belong to the person who typed it.
//!
//! sudo(8) leaves the invoking user in `SUDO_UID`, `SUDO_GID` and `SUDO_USER`. They are believed only while we are root:
//! nobody gains anything by setting them otherwise.

use std::{
    ffi::{CString, OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
};

use nix::unistd::{self, Gid, Uid};

/// A user as the system's databases describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name; the number where there is none.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups, the primary one among them.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
}

/// Why a user could not be found.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such entry.
    #[error("there is no user {0:?} on this machine; `getent passwd` lists them")]
    Unknown(String),
    /// The database could not be read.
    #[error("looking up user {0:?} failed: {1}")]
    Lookup(String, #[source] nix::Error),
}

impl User {
    /// By name or by number, as in `-u`.
    pub fn find(name: &str) -> Result<Self, UserError> {
        let fail = |error| UserError::Lookup(name.to_owned(), error);
        let mut entry = unistd::User::from_name(name).map_err(fail)?;
        if let (None, Ok(uid)) = (&entry, name.parse()) {
            entry = unistd::User::from_uid(Uid::from_raw(uid)).map_err(fail)?;
        }
        entry.map(|entry| Self::from_entry(entry, None)).ok_or_else(|| UserError::Unknown(name.to_owned()))
    }

    /// Who called sudo; `None` if we are not root or nobody did.
    pub fn invoking() -> Option<Self> {
        if !unistd::geteuid().is_root() {
            return None;
        }
        let var = |name| std::env::var(name).ok();
        Self::from_sudo(&var("SUDO_UID")?, &var("SUDO_GID")?, &var("SUDO_USER")?)
    }

    fn from_sudo(uid: &str, gid: &str, name: &str) -> Option<Self> {
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        let entry = unistd::User::from_uid(Uid::from_raw(uid)).ok().flatten();
        Some(match entry {
            Some(entry) => Self::from_entry(entry, Some(gid)),
            None => Self {
                name: name.to_owned(),
                uid,
                gid,
                groups: vec![gid],
                home: PathBuf::from("/"),
                shell: PathBuf::from("/bin/sh"),
            },
        })
    }

    fn from_entry(entry: unistd::User, gid: Option<u32>) -> Self {
        let gid = gid.unwrap_or(entry.gid.as_raw());
        let groups = CString::new(entry.name.as_str())
            .ok()
            .and_then(|name| unistd::getgrouplist(&name, Gid::from_raw(gid)).ok())
            .map_or_else(|| vec![gid], |groups| groups.into_iter().map(Gid::as_raw).collect());
        Self { name: entry.name, uid: entry.uid.as_raw(), gid, groups, home: entry.dir, shell: entry.shell }
    }

    /// Nothing has to change to be this user.
    pub fn is_current(&self) -> bool {
        unistd::getuid().as_raw() == self.uid && unistd::geteuid().as_raw() == self.uid
    }

    /// `ours` as this user would have it: without what sudo says of itself, with this user's home, name and shell.
    pub fn environment(&self, ours: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
        let own = [
            ("HOME", self.home.as_os_str()),
            ("USER", OsStr::new(&self.name)),
            ("LOGNAME", OsStr::new(&self.name)),
            ("SHELL", self.shell.as_os_str()),
        ];
        let kept = |name: &OsStr| !name.as_bytes().starts_with(b"SUDO_") && own.iter().all(|(own, _)| name != *own);
        ours.into_iter()
            .filter(|(name, _)| kept(name))
            .chain(own.iter().map(|(name, value)| (OsString::from(name), value.to_os_string())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

    use super::*;

    #[test]
    fn finds_users_by_name_and_by_number() {
        let root = User::find("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(User::find("0").unwrap(), root);
        let error = User::find("no such user").unwrap_err().to_string();
        assert!(error.contains("no such user"), "{error}");
    }

    #[test]
    fn sudo_names_a_user_who_need_not_be_in_the_database() {
        let user = User::from_sudo("4000000", "4000001", "ghost").unwrap();
        assert_eq!((user.name.as_str(), user.uid, user.gid), ("ghost", 4_000_000, 4_000_001));
        assert_eq!(User::from_sudo("x", "0", "root"), None);
        assert_eq!(User::from_sudo("0", "7", "root").unwrap().gid, 7, "sudo's group counts");
    }

    #[test]
    fn the_environment_becomes_the_users() {
        let user = User::from_sudo("4000000", "4000000", "ghost").unwrap();
        let ours = [("PATH", "/bin"), ("HOME", "/root"), ("SUDO_UID", "1"), ("LANG", "C"), ("USER", "root")];
        let theirs = user.environment(ours.map(|(name, value)| (name.into(), value.into())));
        let expect = [
            ("PATH", "/bin"),
            ("LANG", "C"),
            ("HOME", "/"),
            ("USER", "ghost"),
            ("LOGNAME", "ghost"),
            ("SHELL", "/bin/sh"),
        ];
        assert_eq!(theirs, expect.map(|(name, value)| (OsString::from(name), OsString::from(value))));
    }
}
