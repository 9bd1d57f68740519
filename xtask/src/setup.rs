//! `cargo xtask setup`: installs what rebuilding the eBPF object needs. Quick when all is there.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::command;
use crate::debian::Suite;
use crate::toolchain::{self, Compiler, LINKER_VERSION, Toolchain};
use crate::unknown_argument;

pub(crate) fn run(checkout: &Checkout, arguments: &[String]) -> Result<ExitCode> {
    if let Some(argument) = arguments.first() {
        return Err(unknown_argument(argument));
    }
    let toolchain = ensure(checkout)?;
    println!("Rust {}: {}", toolchain.compiler.release, toolchain.compiler.sysroot.display());
    println!("rust-src: {}", toolchain.library.display());
    println!("bpf-linker {LINKER_VERSION}: {}", toolchain.linker.display());
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing and gives what there is then.
pub(crate) fn ensure(checkout: &Checkout) -> Result<Toolchain> {
    let compiler = match Compiler::find(checkout)? {
        Some(compiler) => compiler,
        None => install_compiler(checkout)?,
    };
    if compiler.library(checkout).is_none() {
        install_library(checkout, &compiler)?;
    }
    if toolchain::linker(checkout, &compiler).is_none() {
        install_linker(checkout, &compiler)?;
    }
    Toolchain::find(checkout)
}

fn install_compiler(checkout: &Checkout) -> Result<Compiler> {
    let release = toolchain::release(checkout)?;
    if command::program("rustup").is_none() {
        bail!("Rust {release} is needed to rebuild the eBPF object: install it, or rustup, which can");
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["toolchain", "install", &release, "--profile", "minimal", "--component", "rust-src"]);
    command::run(&mut rustup).with_context(|| format!("install Rust {release}"))?;
    Compiler::find(checkout)?.with_context(|| format!("find Rust {release}, which rustup has just installed"))
}

/// From rustup; failing that, Debian's package of the same release.
fn install_library(checkout: &Checkout, compiler: &Compiler) -> Result<()> {
    if let Some(name) = &compiler.rustup_name {
        let mut rustup = Command::new("rustup");
        rustup.args(["component", "add", "rust-src", "--toolchain", name]);
        if command::run(&mut rustup).is_ok() && compiler.library(checkout).is_some() {
            return Ok(());
        }
    }
    eprintln!("xtask: rustup cannot give rust-src; trying Debian's");
    debian_library(checkout, compiler).with_context(|| {
        format!(
            "get the sources of the standard library: `rustup component add rust-src` for Rust {}",
            compiler.release
        )
    })
}

fn debian_library(checkout: &Checkout, compiler: &Compiler) -> Result<()> {
    const PACKAGE: &str = "rust-src";
    for name in ["trixie-backports", "forky", "trixie"] {
        let suite = Suite::open(checkout, name)?;
        let same = |version: &String| version.starts_with(&format!("{}+", compiler.release));
        if let Some(version) = suite.versions(PACKAGE)?.into_iter().find(same) {
            let package = format!("{PACKAGE}={version}");
            return suite.unpack(&package, &toolchain::debian_sources(checkout));
        }
    }
    bail!("no Debian suite has rust-src {}", compiler.release)
}

/// Into our target folder: the user's own cargo folder is none of our business.
fn install_linker(checkout: &Checkout, compiler: &Compiler) -> Result<()> {
    let mut cargo = compiler.cargo();
    cargo.args(["install", "--locked", "--root"]).arg(checkout.target("tools"));
    cargo.arg(format!("bpf-linker@{LINKER_VERSION}")).current_dir(checkout.root());
    cargo.env("CARGO_TARGET_DIR", checkout.target("tools/build"));
    command::run(&mut cargo).with_context(|| format!("install bpf-linker {LINKER_VERSION}"))?;
    let _ = std::fs::remove_dir_all(checkout.target("tools/build"));
    Ok(())
}
