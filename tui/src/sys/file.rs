//! The file a recording goes to: the invoking user's, for nobody else to read, overwritten in place.
//!
//! Under sudo it is opened with that user's rights (setfsuid(2)), so that root's are lent to nobody: what the user could
//! not overwrite, we do not overwrite, wherever a link leads.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Uid, geteuid, setfsgid, setfsuid};

use super::identity::User;

/// A file that takes a recording. Errors name it.
#[derive(Debug)]
pub struct FileSink {
    file: File,
    path: PathBuf,
    /// What was there before has still to go.
    old: bool,
}

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}{remedy}", path = path.display())]
pub struct CreateError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
    remedy: String,
}

impl FileSink {
    /// Opens or makes the file, for `owner` if we are root, else for ourselves. What it holds goes with the first bytes
    /// that are written: a trace that cannot begin takes no older one along.
    pub fn create(path: &Path, owner: Option<&User>) -> Result<Self, CreateError> {
        let owner = owner.filter(|owner| geteuid().is_root() && owner.uid != 0);
        let file = match owner {
            Some(owner) => with_rights_of(owner, || open(path, owner.uid)),
            None => open(path, geteuid().as_raw()),
        };
        match file {
            Ok(file) => Ok(Self { file, path: path.to_owned(), old: true }),
            Err(error) => {
                let remedy = remedy(&error, owner);
                Err(CreateError { path: path.to_owned(), error, remedy })
            }
        }
    }
}

fn open(path: &Path, owner: u32) -> io::Result<File> {
    // Not truncated yet: first see what it is.
    let open =
        |flags| OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path);
    let file = match open(libc::O_NOFOLLOW) {
        // In a sticky directory the kernel may say EACCES first (may_create_in_sticky, fs/namei.c).
        Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::EACCES)) => {
            match std::fs::symlink_metadata(path) {
                // Others' links, in /tmp above all, may lead anywhere.
                Ok(link) if link.is_symlink() && link.uid() != owner && link.uid() != 0 => {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                Ok(link) if link.is_symlink() => open(0),
                _ => Err(error),
            }
        }
        file => file,
    }?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.uid() == owner {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Runs `work` with the rights on files that `user` has; of this thread only.
fn with_rights_of<T>(user: &User, work: impl FnOnce() -> T) -> T {
    let group = setfsgid(Gid::from_raw(user.gid));
    let before = setfsuid(Uid::from_raw(user.uid));
    let result = work();
    setfsuid(before);
    setfsgid(group);
    result
}

fn remedy(error: &io::Error, owner: Option<&User>) -> String {
    match (error.raw_os_error(), owner) {
        (Some(libc::EACCES | libc::EPERM), Some(owner)) => {
            format!(
                "; choose a place that {name} may write to, such as {home}",
                name = owner.name,
                home = owner.home.display()
            )
        }
        (Some(libc::EACCES | libc::EROFS | libc::EPERM), _) => "; choose a place that you may write to".into(),
        (Some(libc::ELOOP), _) => "; it is somebody else's symbolic link, choose another name".into(),
        _ => String::new(),
    }
}

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.old) && self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => error,
            kind => io::Error::new(kind, format!("{}: {error}", self.path.display())),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use std::os::unix::fs::{chown, symlink};

    use super::*;

    /// A directory anybody may write to, as /tmp.
    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ipcscope-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o1777)).unwrap();
        path
    }

    #[test]
    fn overwrites_in_place_and_keeps_it_private() {
        let directory = directory("overwrite");
        let path = directory.join("a.ipcs");
        std::fs::write(&path, "old and long").unwrap();
        let before = std::fs::metadata(&path).unwrap();
        let mut sink = FileSink::create(&path, None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old and long", "until there is something new");
        sink.write_all(b"new").unwrap();
        let after = std::fs::metadata(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!((before.ino(), after.mode() & 0o777), (after.ino(), 0o600));
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn errors_name_the_file_and_what_to_do() {
        let error = FileSink::create(Path::new("/no/such/dir/a.ipcs"), None).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/dir/a.ipcs: No such file"), "{error}");
        let mut full = FileSink::create(Path::new("/dev/full"), None).unwrap();
        let error = full.write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("/dev/full: No space left"), "{error}");
    }

    #[test]
    fn root_lends_its_rights_to_nobody() {
        if !geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let nobody = User::find("nobody").unwrap();
        let directory = directory("rights");
        let path = directory.join("theirs.ipcs");
        drop(FileSink::create(&path, Some(&nobody)).unwrap());
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (nobody.uid, nobody.gid, 0o600));

        let root_only = directory.join("root.ipcs");
        std::fs::write(&root_only, "precious").unwrap();
        std::fs::set_permissions(&root_only, Permissions::from_mode(0o644)).unwrap();
        let link = directory.join("link.ipcs");
        symlink(&root_only, &link).unwrap();
        for path in [&root_only, &link] {
            let error = FileSink::create(path, Some(&nobody)).unwrap_err().to_string();
            assert!(error.contains("Permission denied") && error.contains("nobody"), "{error}");
        }
        assert_eq!(std::fs::read(&root_only).unwrap(), b"precious");

        let trap = directory.join("trap.ipcs");
        symlink(&root_only, &trap).unwrap();
        std::os::unix::fs::lchown(&trap, Some(nobody.uid), Some(nobody.gid)).unwrap();
        let error = FileSink::create(&trap, None).unwrap_err().to_string();
        assert!(error.contains("somebody else's symbolic link"), "{error}");
        assert_eq!(std::fs::read(&root_only).unwrap(), b"precious");
        chown(&path, Some(0), Some(0)).unwrap();
        std::fs::remove_dir_all(directory).unwrap();
    }
}
