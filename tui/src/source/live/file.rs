//! What is at the path of a call that the kernel has no file for.
//!
//! Invariant: a record says that a named pipe is there only if the call made it, or if one is there when the record is
//! read, some ms after the call, in the mount namespace that we are in ourselves, and was there before the call, too. Of
//! anything else nothing is kept but that there was a call.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use ipcscope_common::{
    descriptor::{PART_LEN, PATH_PARTS},
    file::{FILE_CALL, FileCall, GIVEN_LEN},
};
use zerocopy::FromBytes as _;

use crate::{decode::record, sys::clock};

/// The record with what was found out, if it is a [`FileCall`].
pub fn settle(bytes: &[u8]) -> Option<FileCall> {
    if record::header(bytes).ok()?.kind != FILE_CALL {
        return None;
    }
    let (call, _) = FileCall::read_from_prefix(bytes).ok()?;
    Some(found(&call).unwrap_or_else(|| emptied(&call)))
}

/// The same without any path.
fn emptied(call: &FileCall) -> FileCall {
    FileCall { count: 0, given: [0; GIVEN_LEN], parts: [[0; PART_LEN]; PATH_PARTS], ..*call }
}

fn found(call: &FileCall) -> Option<FileCall> {
    if u64::from(call.namespace) != fs::metadata("/proc/self/ns/mnt").ok()?.ino() {
        return None;
    }
    let given = path(call)?;
    let file = fs::metadata(&given).ok().filter(|file| file.file_type().is_fifo() && is_older(file, call));
    let path = fs::canonicalize(&given).ok();
    let mut found = emptied(call);
    let path = match (file, path) {
        (Some(file), Some(path)) => {
            (found.ino, found.mode, found.owner) = (file.ino(), file.mode(), file.uid());
            // As the kernel has it in `super_block.s_dev` (include/linux/kdev_t.h).
            found.dev = libc::major(file.dev()) << 20 | libc::minor(file.dev());
            path
        }
        // It was there for a moment, and there is no more to know.
        _ if call.ret == 0 => {
            found.mode = libc::S_IFIFO;
            fs::canonicalize(given.parent()?).ok()?.join(given.file_name()?)
        }
        _ => return None,
    };
    let bytes = path.as_os_str().as_bytes();
    // One that fills its place may go on.
    found.given.get_mut(..bytes.len()).filter(|place| place.len() < GIVEN_LEN - 1)?.copy_from_slice(bytes);
    Some(found)
}

/// Whether a file was there when the call returned, as far as clocks tell: those of file systems go in steps.
fn is_older(file: &fs::Metadata, call: &FileCall) -> bool {
    let since = Duration::from_nanos(clock::now().saturating_sub(call.header.time));
    let born = file.created().or_else(|_| file.modified());
    born.is_ok_and(|born| SystemTime::now().checked_sub(since).is_some_and(|returned| born <= returned))
}

/// Where the call looked.
fn path(call: &FileCall) -> Option<PathBuf> {
    let text = |bytes: &[u8]| bytes.split(|byte| *byte == 0).next().map(<[u8]>::to_vec).unwrap_or_default();
    let given = text(&call.given);
    if given.is_empty() || given.len() >= GIVEN_LEN - 1 {
        return None;
    }
    let mut path = PathBuf::from("/");
    for part in call.parts.get(..call.count as usize)?.iter().rev() {
        let name = text(part);
        if name.is_empty() || name.len() >= PART_LEN - 1 {
            return None;
        }
        path.push(OsStr::from_bytes(&name));
    }
    let given = Path::new(OsStr::from_bytes(&given));
    path.push(given.strip_prefix("/").unwrap_or(given));
    Some(path)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::process::Command;

    use ipcscope_common::Header;
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;

    fn call(given: &str, parts: &[&str]) -> FileCall {
        let mut call = FileCall::new_zeroed();
        call.header.kind = FILE_CALL;
        call.given.iter_mut().zip(given.bytes()).for_each(|(to, from)| *to = from);
        for (to, from) in call.parts.iter_mut().zip(parts) {
            to.iter_mut().zip(from.bytes()).for_each(|(to, from)| *to = from);
        }
        call.count = parts.len() as u32;
        (call.ret, call.header.time) = (-13, clock::now());
        call.namespace = fs::metadata("/proc/self/ns/mnt").unwrap().ino() as u32;
        call
    }

    #[test]
    fn a_path_begins_in_its_directory() {
        let whole = |given: &str, parts: &[&str]| path(&call(given, parts)).map(|path| path.display().to_string());
        assert_eq!(whole("/tmp/f", &[]).as_deref(), Some("/tmp/f"));
        assert_eq!(whole("/tmp/f", &["root", "jail"]).as_deref(), Some("/jail/root/tmp/f"));
        assert_eq!(whole("d/f", &["b", "a"]).as_deref(), Some("/a/b/d/f"));
        assert_eq!(whole("", &["b", "a"]), None);
        assert_eq!(whole("f", &[&"d".repeat(63)]), None);
        assert_eq!(whole(&"f".repeat(255), &[]), None);
        assert_eq!(path(&FileCall { count: 17, ..call("f", &[]) }), None);
    }

    #[test]
    fn only_of_a_named_pipe_anything_is_kept() {
        let place = std::env::temp_dir().join(format!("named-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let (pipe, file) = (place.join("pipe"), place.join("file"));
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
        fs::write(&file, "").unwrap();
        let settled = |path: &Path| settle(call(path.to_str().unwrap(), &[]).as_bytes()).unwrap();
        let (found, other) = (settled(&pipe), settled(&file));
        let elsewhere = settle(FileCall { namespace: 1, ..call(pipe.to_str().unwrap(), &[]) }.as_bytes()).unwrap();
        let truth = fs::metadata(&pipe).unwrap();
        let before =
            FileCall { header: Header { time: 1, ..call("", &[]).header }, ..call(pipe.to_str().unwrap(), &[]) };
        let before = settle(before.as_bytes()).unwrap();
        fs::remove_dir_all(&place).unwrap();
        assert_eq!((found.ino, found.mode, found.owner), (truth.ino(), 0o010_600, truth.uid()));
        assert!(found.given.starts_with(pipe.to_str().unwrap().as_bytes()));
        let gone = settle(FileCall { ret: 0, ..call(pipe.to_str().unwrap(), &[]) }.as_bytes()).unwrap();
        assert_eq!((gone.mode, gone.ino), (0, 0), "nor is its directory there");
        for nothing in [other, elsewhere, before] {
            assert_eq!((nothing.mode, nothing.given[0]), (0, 0));
        }
    }
}
