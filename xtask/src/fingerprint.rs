//! Hashes of the eBPF object and of all that it is made from, kept beside it.
//!
//! The file has the form of sha256sum, so `sha256sum -c` understands it; the sources' hash is a comment there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::checkout::Checkout;

/// What the object is made from, besides the compiler that one of these files names.
const SOURCES: [&str; 3] = ["tracer-ebpf", "common/Cargo.toml", "common/src"];
const SOURCES_LABEL: &str = "# sources ";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) object: String,
    pub(crate) sources: String,
}

impl Fingerprint {
    /// Of that object, and of the sources as they are now.
    pub(crate) fn of(checkout: &Checkout, object: &[u8]) -> Result<Self> {
        Ok(Self { object: hex(&Sha256::digest(object)), sources: sources(checkout)? })
    }

    /// As it stands in the file.
    pub(crate) fn text(&self, object_name: &str) -> String {
        format!("{}  {object_name}\n{SOURCES_LABEL}{}\n", self.object, self.sources)
    }

    /// From the file.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let object = text.lines().find(|line| !line.starts_with('#'))?.split_whitespace().next()?;
        let sources = text.lines().find_map(|line| line.strip_prefix(SOURCES_LABEL))?;
        Some(Self { object: object.to_owned(), sources: sources.trim().to_owned() })
    }
}

/// One hash over the names, lengths and bytes of all source files.
fn sources(checkout: &Checkout) -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&checkout.path(source), &mut files)?;
    }
    files.sort();
    let mut all = Sha256::new();
    for file in files {
        let bytes = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        let name = file.strip_prefix(checkout.root()).unwrap_or(&file);
        all.update(format!("{} {}\n", name.display(), bytes.len()));
        all.update(bytes);
    }
    Ok(hex(&all.finalize()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).with_context(|| format!("list {}", path.display()))? {
        let entry = entry.with_context(|| format!("list {}", path.display()))?.path();
        if entry.file_name().is_none_or(|name| name != "target") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn what_is_written_is_read_back() {
        let fingerprint = Fingerprint { object: "ab12".to_owned(), sources: "cd34".to_owned() };
        let text = fingerprint.text("x.o");
        assert_eq!(text, "ab12  x.o\n# sources cd34\n");
        assert_eq!(Fingerprint::parse(&text), Some(fingerprint));
        assert_eq!(Fingerprint::parse(""), None);
    }
}
