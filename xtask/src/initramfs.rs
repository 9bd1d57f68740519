//! A root file system in one file: a cpio archive in the "newc" form that the kernel unpacks into memory at boot.
//!
//! Written here because the form is a page long (the kernel's Documentation/driver-api/early-userspace/
//! buffer-format.rst) and the files need not exist on the building machine with the right owners and modes.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Component, Path};

use anyhow::{Context as _, Result};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const DEVICE: u32 = 0o020_600;

/// An archive under construction. Folders come by themselves.
pub(crate) struct Archive<W: Write> {
    out: W,
    written: usize,
    inode: u32,
    folders: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    /// With /dev/console, which the kernel opens for the first program.
    pub(crate) fn new(out: W) -> Result<Self> {
        let mut archive = Self { out, written: 0, inode: 0, folders: BTreeSet::new() };
        archive.folder(Path::new("/dev"))?;
        archive.entry("dev/console", DEVICE, (5, 1), &[])?;
        Ok(archive)
    }

    /// An executable file with those bytes.
    pub(crate) fn file(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        self.entry(&inside(path), PROGRAM, (0, 0), bytes)
    }

    /// A copy of a file or of a whole folder, at its own path unless another is given.
    pub(crate) fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        if !from.is_dir() {
            let bytes = std::fs::read(from).with_context(|| format!("read {}", from.display()))?;
            return self.file(to, &bytes);
        }
        self.folder(to)?;
        for entry in std::fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
            let entry = entry.with_context(|| format!("list {}", from.display()))?;
            self.copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        Ok(())
    }

    /// The folder and those it is in.
    pub(crate) fn folder(&mut self, path: &Path) -> Result<()> {
        let mut name = String::new();
        for part in path.components().filter(|part| matches!(part, Component::Normal(_))) {
            if !name.is_empty() {
                name.push('/');
            }
            name.push_str(&part.as_os_str().to_string_lossy());
            if self.folders.insert(name.clone()) {
                self.entry(&name, FOLDER, (0, 0), &[])?;
            }
        }
        Ok(())
    }

    /// Writes the end mark and gives the writer back.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), bytes: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(bytes.len()).with_context(|| format!("archive {name}: 4 GiB or longer"))?;
        let (owner, group, links, time) = (0, 0, 1, 0);
        // The four numbers before the last two: the file system's device, and the device that the entry is.
        let fields =
            [self.inode, mode, owner, group, links, time, size, 0, 0, device.0, device.1, name.len() as u32 + 1, 0];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format_field(field));
        }
        self.write(header.as_bytes())?;
        self.write(name.as_bytes())?;
        self.write(b"\0")?;
        self.pad()?;
        self.write(bytes)?;
        self.pad()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len();
        self.out.write_all(bytes).context("write the initramfs")
    }

    /// Everything starts at a multiple of four.
    fn pad(&mut self) -> Result<()> {
        let missing = self.written.next_multiple_of(4) - self.written;
        self.write([0; 3].get(..missing).unwrap_or_default())
    }
}

fn format_field(number: u32) -> String {
    format!("{number:08x}")
}

/// A path as the archive names it: without the first slash.
fn inside(path: &Path) -> String {
    path.display().to_string().trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_once_and_everything_is_aligned() {
        let archive = Archive::new(Vec::new()).and_then(|mut archive| {
            archive.file(Path::new("/a/b/one"), b"12345")?;
            archive.file(Path::new("/a/b/two"), b"")?;
            archive.finish()
        });
        let bytes = archive.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<&str> =
            text.split("070701").skip(1).filter_map(|entry| entry.get(104..)?.split('\0').next()).collect();
        assert_eq!(names, ["dev", "dev/console", "a", "a/b", "a/b/one", "a/b/two", "TRAILER!!!"]);
        assert_eq!(bytes.len() % 4, 0);
        assert!(text.contains("12345\u{0}\u{0}\u{0}070701"));
    }
}
