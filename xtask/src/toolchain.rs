//! The tool chain of the eBPF side: one exact compiler with its standard library's sources, and bpf-linker.
//!
//! Only looks; `setup` installs. The compiler is the one that tracer-ebpf/rust-toolchain.toml names, under whatever
//! name rustup has it, or on PATH without rustup.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::checkout::Checkout;
use crate::command;

/// The last bpf-linker that uses rustc's own LLVM, so that no LLVM needs to be installed.
pub(crate) const LINKER_VERSION: &str = "0.10.4";

/// A compiler of exactly the release the eBPF side is built with.
pub(crate) struct Compiler {
    pub(crate) release: String,
    pub(crate) sysroot: PathBuf,
    /// Its name in rustup, which is needed to add a component to it.
    pub(crate) rustup_name: Option<String>,
}

/// Everything that is needed.
pub(crate) struct Toolchain {
    pub(crate) compiler: Compiler,
    /// The folder with core/, alloc/ and the rest.
    pub(crate) library: PathBuf,
    pub(crate) linker: PathBuf,
}

impl Toolchain {
    /// An error says what is missing.
    pub(crate) fn find(checkout: &Checkout) -> Result<Self> {
        let compiler = Compiler::find(checkout)?
            .with_context(|| format!("find Rust {}: not installed", release(checkout).unwrap_or_default()))?;
        let library = compiler.library(checkout).with_context(|| {
            format!("find the sources of the standard library (rust-src) of Rust {}", compiler.release)
        })?;
        let linker =
            linker(checkout, &compiler).with_context(|| format!("find bpf-linker {LINKER_VERSION}: not installed"))?;
        Ok(Self { compiler, library, linker })
    }
}

/// The release that tracer-ebpf/ asks for.
pub(crate) fn release(checkout: &Checkout) -> Result<String> {
    let path = checkout.path("tracer-ebpf/rust-toolchain.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let channel = text.lines().find_map(|line| line.strip_prefix("channel = "));
    let channel = channel.with_context(|| format!("read {}: it names no channel", path.display()))?;
    Ok(channel.trim().trim_matches('"').to_owned())
}

impl Compiler {
    pub(crate) fn find(checkout: &Checkout) -> Result<Option<Self>> {
        let release = release(checkout)?;
        let named = rustup_names(&release).into_iter().map(Some);
        let mut candidates = named.chain(std::iter::once(None));
        Ok(candidates.find_map(|name| Self::of(checkout, &release, name)))
    }

    /// The compiler rustup knows by that name, or the one on PATH, if it is of that release.
    fn of(checkout: &Checkout, release: &str, rustup_name: Option<String>) -> Option<Self> {
        let ask = |argument: &[&str]| {
            let mut rustc = Command::new("rustc");
            clean_environment(&mut rustc);
            rustc.args(argument).current_dir(checkout.root());
            if let Some(name) = &rustup_name {
                rustc.env("RUSTUP_TOOLCHAIN", name);
            }
            command::output(&mut rustc).ok()
        };
        let version = ask(&["-vV"])?;
        if version.lines().find_map(|line| line.strip_prefix("release: ")) != Some(release) {
            return None;
        }
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim());
        Some(Self { release: release.to_owned(), sysroot, rustup_name })
    }

    /// The library's sources: rustup's component, or what `setup` unpacked from Debian.
    pub(crate) fn library(&self, checkout: &Checkout) -> Option<PathBuf> {
        [self.sysroot_library(), debian_library(checkout, &self.release)]
            .into_iter()
            .find(|library| library.join("core/src/lib.rs").is_file())
    }

    /// Where cargo looks for them by itself.
    pub(crate) fn sysroot_library(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust/library")
    }

    /// `cargo` of this compiler, without what the caller's environment says about builds.
    pub(crate) fn cargo(&self) -> Command {
        let own = self.sysroot.join("bin/cargo");
        let mut cargo = Command::new(if own.is_file() { own } else { PathBuf::from("cargo") });
        clean_environment(&mut cargo);
        cargo.env("PATH", self.path()).env("RUSTC", self.sysroot.join("bin/rustc"));
        cargo
    }

    /// PATH with this compiler first: bpf-linker finds its LLVM at PATH/../lib.
    fn path(&self) -> OsString {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.sysroot.join("bin")).chain(std::env::split_paths(&old));
        std::env::join_paths(folders).unwrap_or(old)
    }
}

/// Where the package rust-src of Debian ends up when it is unpacked.
pub(crate) fn debian_library(checkout: &Checkout, release: &str) -> PathBuf {
    debian_sources(checkout).join(format!("usr/src/rustc-{release}/library"))
}

/// Where `setup` unpacks it.
pub(crate) fn debian_sources(checkout: &Checkout) -> PathBuf {
    checkout.target("tools/rust-src")
}

/// bpf-linker of exactly our version: on PATH, where cargo installs, or where `setup` put it.
pub(crate) fn linker(checkout: &Checkout, compiler: &Compiler) -> Option<PathBuf> {
    let wanted = format!("bpf-linker {LINKER_VERSION}");
    let is_ours = |linker: &PathBuf| {
        let mut ask = Command::new(linker);
        ask.arg("--version").env("PATH", compiler.path());
        command::output(&mut ask).is_ok_and(|version| version.trim() == wanted)
    };
    let installed = checkout.target("tools/bin/bpf-linker");
    [command::program("bpf-linker"), cargo_home().map(|home| home.join("bin/bpf-linker")), Some(installed)]
        .into_iter()
        .flatten()
        .find(is_ours)
}

/// Where cargo keeps what it downloads.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let default = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(default)
}

/// What rustup has installed, the exact name first. Asking rustup for others could make it install them.
fn rustup_names(release: &str) -> Vec<String> {
    let listed = command::output(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let mut names: Vec<String> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    names.sort_by_key(|name| !name.starts_with(release));
    names
}

/// Removes every variable that changes what cargo or rustc build; those that say where to download from stay.
fn clean_environment(command: &mut Command) {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "RUSTUP_HOME"];
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let about_builds = name.starts_with("CARGO") || name.starts_with("RUST") || name.starts_with("__CARGO");
        if about_builds && !KEPT.iter().any(|kept| name.starts_with(kept)) {
            command.env_remove(&*name);
        }
    }
}
