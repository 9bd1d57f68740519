//! `cargo xtask ebpf`: builds the eBPF object, the same bytes on every machine, to be committed; `--check` fails when
//! what is committed is not what the sources give.
//!
//! Reproducible because the compiler, the linker and every crate are pinned, each path of the building machine is
//! replaced by a fixed one, debug information is taken out, and what the caller's environment says about builds is
//! not heard.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::fingerprint::Fingerprint;
use crate::toolchain::{self, Toolchain};
use crate::{command, paths, setup, strip, unknown_argument};

const TARGET: &str = "bpfel-unknown-none";
/// The binary's name in tracer-ebpf/Cargo.toml.
const BUILT: &str = "ipcscope-ebpf";
const OBJECT_NAME: &str = "ipcscope.bpf.o";
const OBJECT: &str = "tui/ebpf/ipcscope.bpf.o";
const HASHES: &str = "tui/ebpf/ipcscope.bpf.sha256";

pub(crate) fn run(checkout: &Checkout, arguments: &[String]) -> Result<ExitCode> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => write(checkout)?,
        ["--check"] => check(checkout)?,
        [.., other] => return Err(unknown_argument(other)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds and stores the object with its hashes.
fn write(checkout: &Checkout) -> Result<()> {
    let object = build(checkout, &setup::ensure(checkout)?, Lock::MayChange)?;
    let fingerprint = Fingerprint::of(checkout, &object)?;
    let path = checkout.path(OBJECT);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    std::fs::write(&path, &object).with_context(|| format!("write {OBJECT}"))?;
    std::fs::write(checkout.path(HASHES), fingerprint.text(OBJECT_NAME)).with_context(|| format!("write {HASHES}"))?;
    println!("{OBJECT}: {} bytes, sha256 {}", object.len(), fingerprint.object);
    Ok(())
}

/// Compares what is committed with what the sources give.
fn check(checkout: &Checkout) -> Result<()> {
    let committed = std::fs::read(checkout.path(OBJECT)).with_context(|| format!("read {OBJECT}"))?;
    check_hashes(checkout, &committed)?;
    let toolchain = match setup::ensure(checkout) {
        Ok(toolchain) => toolchain,
        Err(error) => {
            eprintln!("{}", warning(&error));
            println!("{OBJECT}: NOT REBUILT; its bytes and its sources have the recorded hashes");
            return Ok(());
        }
    };
    let built = build(checkout, &toolchain, Lock::Fixed)?;
    if built != committed {
        let rebuilt = checkout.target("ebpf").join(OBJECT_NAME);
        std::fs::write(&rebuilt, &built).with_context(|| format!("write {}", rebuilt.display()))?;
        bail!(
            "{OBJECT} ({} bytes) is not what its sources give ({} bytes, kept as {}): \
             run `cargo xtask ebpf` and commit what it writes",
            committed.len(),
            built.len(),
            rebuilt.display()
        );
    }
    println!("{OBJECT}: rebuilt, the same {} bytes", built.len());
    Ok(())
}

/// The recorded hashes must be those of the committed object and of the sources as they are.
fn check_hashes(checkout: &Checkout, object: &[u8]) -> Result<()> {
    let text = std::fs::read_to_string(checkout.path(HASHES)).with_context(|| format!("read {HASHES}"))?;
    let recorded = Fingerprint::parse(&text).with_context(|| format!("read {HASHES}: not two hashes"))?;
    let now = Fingerprint::of(checkout, object)?;
    if recorded.object != now.object {
        bail!("{OBJECT} has not the hash that {HASHES} records: run `cargo xtask ebpf` and commit both");
    }
    if recorded.sources != now.sources {
        bail!(
            "the eBPF sources have changed since {OBJECT} was built: run `cargo xtask ebpf` and commit what it writes"
        );
    }
    Ok(())
}

fn warning(error: &anyhow::Error) -> String {
    let line = "!".repeat(100);
    format!(
        "{line}\n!! THE eBPF OBJECT WAS NOT REBUILT: its tool chain cannot be had on this machine.\n!! {error:#}\n\
         !! Comparing the recorded hashes of the object and of its sources instead.\n{line}"
    )
}

/// Whether tracer-ebpf/Cargo.lock may be brought up to date by the build.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    MayChange,
    Fixed,
}

fn build(checkout: &Checkout, toolchain: &Toolchain, lock: Lock) -> Result<Vec<u8>> {
    let target = checkout.target("ebpf");
    let mut cargo = toolchain.compiler.cargo();
    cargo.args(["build", "--release", "--target", TARGET, "-Z", "build-std=core"]);
    if lock == Lock::Fixed {
        cargo.arg("--locked");
    }
    cargo.current_dir(checkout.path("tracer-ebpf"));
    cargo.env("CARGO_TARGET_DIR", &target);
    // aya-ebpf uses an unstable feature: this one build of a stable compiler allows it.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(checkout, toolchain).join("\u{1f}"));
    if toolchain.library != toolchain.compiler.sysroot_library() {
        // Cargo's own way to take the library's sources from elsewhere.
        cargo.env("__CARGO_TESTS_ONLY_SRC_ROOT", &toolchain.library);
    }
    command::run(&mut cargo).context("build the eBPF object")?;
    let built = target.join(TARGET).join("release").join(BUILT);
    let object = std::fs::read(&built).with_context(|| format!("read {}", built.display()))?;
    let object = strip::without_debug(&object)?;
    paths::check_bytes(OBJECT, &object, &paths::folders(checkout))?;
    Ok(object)
}

fn flags(checkout: &Checkout, toolchain: &Toolchain) -> Vec<String> {
    let mut flags = vec![
        // v3: atomic operations that give the old value, and 32-bit jumps; in every kernel from 5.12 on.
        "-Ctarget-cpu=v3".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", toolchain.linker.display()),
    ];
    // The last that matches wins: from the general to the particular.
    let mut remap = |from: Option<PathBuf>, to: &str| {
        flags.extend(from.map(|from| format!("--remap-path-prefix={}={to}", from.display())));
    };
    remap(toolchain::cargo_home(), "/cargo");
    remap(Some(checkout.root().to_path_buf()), "/ipcscope");
    remap(Some(checkout.target("ebpf")), "/target");
    remap(Some(toolchain.compiler.sysroot.clone()), "/rust");
    remap(Some(toolchain.library.clone()), "/rust-library");
    flags
}
