//! `cargo xtask paths`: fails if a tracked file names a folder of the building machine.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::{command, toolchain, unknown_argument};

pub(crate) fn run(checkout: &Checkout, arguments: &[String]) -> Result<ExitCode> {
    if let Some(argument) = arguments.first() {
        return Err(unknown_argument(argument));
    }
    let folders = folders(checkout);
    let listed = command::output(Command::new("git").args(["ls-files", "-z"]).current_dir(checkout.root()))
        .context("list the tracked files")?;
    let mut count = 0;
    for name in listed.split_terminator('\0') {
        // Deleted, or a link into nowhere: then it names nothing.
        if let Ok(bytes) = std::fs::read(checkout.path(name)) {
            check_bytes(name, &bytes, &folders)?;
            count += 1;
        }
    }
    println!("{count} tracked files name none of: {}", folders.join(" "));
    Ok(ExitCode::SUCCESS)
}

/// The folders that tell one machine from another, each with a slash at its end.
pub(crate) fn folders(checkout: &Checkout) -> Vec<String> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    // Root's home is the same everywhere, and texts speak of it; what is in it is covered by the others.
    let home = variable("HOME").filter(|home| !home.ends_with("root"));
    // Recordings and texts may have been made in another working tree.
    let listed =
        command::output(Command::new("git").args(["worktree", "list", "--porcelain"]).current_dir(checkout.root()));
    let listed = listed.unwrap_or_default();
    let trees = listed.lines().filter_map(|line| line.strip_prefix("worktree ")).map(|tree| Some(PathBuf::from(tree)));
    let mut folders: Vec<String> = [
        Some(checkout.root().to_path_buf()),
        Some(checkout.target("")),
        toolchain::cargo_home(),
        variable("RUSTUP_HOME").or_else(|| variable("HOME").map(|home| home.join(".rustup"))),
        home,
    ]
    .into_iter()
    .chain(trees)
    .flatten()
    .map(|folder| format!("{}/", folder.display().to_string().trim_end_matches('/')))
    .filter(|folder| folder.len() > 2)
    .collect();
    folders.sort();
    folders.dedup();
    folders
}

/// An error if the bytes name one of the folders.
pub(crate) fn check_bytes(name: &str, bytes: &[u8], folders: &[String]) -> Result<()> {
    match folders.iter().find(|folder| names(bytes, folder.as_bytes())) {
        Some(folder) => bail!("{name} names {folder}, a folder of this machine"),
        None => Ok(()),
    }
}

/// Whether the folder's path is in there, and not only as the end of a longer path.
fn names(bytes: &[u8], folder: &[u8]) -> bool {
    let longer = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    let mut before = None;
    for (at, &byte) in bytes.iter().enumerate() {
        let here = bytes.get(at..).is_some_and(|rest| rest.starts_with(folder));
        if here && !before.is_some_and(longer) {
            return true;
        }
        before = Some(byte);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_folder_is_found_in_text_and_in_binaries() {
        assert!(names(b"see /build/me/x.rs", b"/build/me/"));
        assert!(names(b"\0/build/me/x.rs\0", b"/build/me/"));
        assert!(!names(b"see common/src/x.rs", b"/src/"));
        assert!(!names(b"see /build/mean", b"/build/me/"));
    }
}
