//! The machine's root file system: one file with the static programs at the paths they have here, because tests know
//! each other and their files by these paths.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::Scope;
use crate::checkout::Checkout;
use crate::debian::Suite;
use crate::executables::{self, Executable};
use crate::initramfs::Archive;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const INIT: &str = include_str!("init.sh");

/// The static programs, the tests' files and /init in one file.
pub(super) fn build(checkout: &Checkout, scope: &Scope) -> Result<PathBuf> {
    let executables = build_static(checkout, scope)?;
    let path = checkout.target("vm/initramfs.cpio");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let mut archive = Archive::new(BufWriter::new(file))?;
    archive.copy(&busybox(checkout)?, Path::new("/bin/busybox"))?;
    for folder in ["/proc", "/sys", "/tmp", "/run", "/root"] {
        archive.folder(Path::new(folder))?;
    }
    let account = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    archive.file(Path::new("/etc/passwd"), account)?;
    archive.file(Path::new("/etc/group"), b"root:x:0:\nnogroup:x:65534:\n")?;
    // What tests read, where they were compiled to look for it.
    for folder in ["tui/tests", "tui/lessons"].map(|folder| checkout.path(folder)) {
        if folder.is_dir() {
            archive.copy(&folder, &folder)?;
        }
    }
    // CARGO_TARGET_TMPDIR.
    archive.folder(&checkout.target("vm").join(TARGET).join("tmp"))?;
    for executable in &executables {
        archive.folder(&executable.folder)?;
        archive.copy(&executable.path, &executable.path)?;
    }
    archive.file(Path::new("/programs"), &script(&executables, link))?;
    archive.file(Path::new("/tests"), &script(&executables, call))?;
    archive.file(Path::new("/arguments"), scope.arguments.join("\n").as_bytes())?;
    archive.file(Path::new("/init"), INIT.as_bytes())?;
    archive.finish()?.flush().context("write the initramfs")?;
    Ok(path)
}

/// `ipcscope`, the live tests and the workloads they start, without shared libraries.
fn build_static(checkout: &Checkout, scope: &Scope) -> Result<Vec<Executable>> {
    let named: Vec<String> = match scope.files.as_slice() {
        [] => vec!["--test=*".to_owned()],
        files => files.iter().map(|file| format!("--test={file}")).collect(),
    };
    let mut tests: Vec<&str> = named.iter().map(String::as_str).collect();
    tests.extend(["--no-run", "--bins"]);
    tests.insert(0, "test");
    // Named to `cargo test`, an example would be built as a test of itself.
    let commands = if scope.doctor { vec![vec!["build", "--bins"]] } else { vec![tests, vec!["build", "--examples"]] };
    let mut executables = Vec::new();
    for words in commands {
        let mut cargo = checkout.cargo();
        cargo.args(words).args(["--package=ipcscope", "--quiet", "--target", TARGET]);
        cargo.env("CARGO_TARGET_DIR", checkout.target("vm"));
        cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
        // Seen by the tests when they are compiled.
        cargo.env("IPCSCOPE_SLOW", "1");
        // Everything lives in the machine's memory.
        cargo.env("CARGO_PROFILE_DEV_STRIP", "debuginfo");
        executables.extend(executables::build(&mut cargo).context("build static programs")?);
    }
    executables.retain(|executable| executable.is_live() || !executable.is_test);
    if let Some(file) = scope.files.iter().find(|file| !executables.iter().any(|test| test.name == **file)) {
        bail!("{file} is no file of live tests: those are tui/tests/live_*.rs");
    }
    Ok(executables)
}

/// Lines for /init, one per executable that fits.
fn script(executables: &[Executable], line: impl Fn(&Executable) -> Option<String>) -> Vec<u8> {
    executables.iter().filter_map(line).collect::<Vec<_>>().join("\n").into_bytes()
}

/// Makes a program known by its name.
fn link(program: &Executable) -> Option<String> {
    (!program.is_test).then(|| format!("ln -s '{}' '/bin/{}'", program.path.display(), program.name))
}

/// Calls a function of /init.
fn call(test: &Executable) -> Option<String> {
    let (folder, path) = (test.folder.display(), test.path.display());
    test.is_live().then(|| format!("run_tests '{}' '{folder}' '{path}'", test.name))
}

/// The rest of the machine's programs.
pub(super) fn busybox(checkout: &Checkout) -> Result<PathBuf> {
    let folder = checkout.target("vm/packages/busybox-static");
    Suite::open(checkout, "bookworm")?.unpack("busybox-static", &folder)?;
    Ok(folder.join("bin/busybox"))
}
