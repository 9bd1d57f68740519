//! Where the sources are, and where what is built goes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;

/// The checkout this xtask was started in.
pub(crate) struct Checkout {
    root: PathBuf,
    target: PathBuf,
}

impl Checkout {
    /// Asks cargo, which knows `CARGO_TARGET_DIR` and every configuration file.
    pub(crate) fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let xtask = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| manifest.to_path_buf(), PathBuf::from);
        let root = xtask.parent().context("find the checkout: xtask/ has no parent folder")?.to_path_buf();
        let mut cargo = Command::new(cargo());
        cargo.args(["metadata", "--no-deps", "--format-version=1", "--offline"]).current_dir(&root);
        let metadata: serde_json::Value =
            serde_json::from_str(&command::output(&mut cargo)?).context("read what `cargo metadata` printed")?;
        let target = metadata
            .get("target_directory")
            .and_then(serde_json::Value::as_str)
            .context("read what `cargo metadata` printed: no target_directory")?;
        Ok(Self { root, target: PathBuf::from(target) })
    }

    /// A path inside the checkout.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the folder of built things, which nobody keeps.
    pub(crate) fn target(&self, inside: &str) -> PathBuf {
        self.target.join(inside)
    }

    /// `cargo`, as this xtask was started with, in the checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(cargo());
        command.current_dir(&self.root);
        command
    }
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
