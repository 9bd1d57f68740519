//! `cargo xtask vm`: boots Debian's kernels in QEMU and runs the live tests inside.
//!
//! Kernels (`kernel`) and busybox are Debian's packages, unpacked below the target folder. The machine has one
//! processor: with two, QEMU without KVM crashes kernels when tracepoints are attached. Its root file system (`image`)
//! is one file in memory. `/init` (init.sh) prints marks that begin with `ipcscope-vm:`, from which the `outcome` is
//! read. The console is kept in target/vm/KERNEL.log, each line with the seconds since the machine was started.

mod image;
mod kernel;
mod outcome;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::packages::{self, QEMU};
use crate::unknown_argument;
use kernel::Kernel;
use outcome::{Aim, Outcome};

const DEFAULT_VERSIONS: [&str; 2] = ["6.1", "6.12"];
/// How long a kernel may take to start /init with KVM; on some machines it hangs for ever.
const KVM_BOOT_LIMIT: Duration = Duration::from_secs(30);
/// How long one kernel may take by default: an hour or two of tests without KVM, where loading the probes takes ten times
/// as long.
const LIMIT: Duration = Duration::from_secs(3 * 60 * 60);
/// Under QEMU 7.2 without KVM, Debian's 6.12 died at boot in 27 of 54 runs, in slab allocation or code patching; with
/// the instruction cmpxchg16b hidden from it in 1 of 18, and that one may only have been slow. 6.1 never did.
const TCG_PROCESSOR: &str = "max,cx16=off";

struct Options {
    versions: Vec<String>,
    kvm: bool,
    limit: Duration,
    /// A machine that cannot boot them is passed over.
    if_possible: bool,
    scope: Scope,
}

/// What is run inside.
#[derive(Default)]
struct Scope {
    /// No tests.
    doctor: bool,
    /// Files of live tests; all of them if none is named.
    files: Vec<String>,
    /// For the tests' executables.
    arguments: Vec<String>,
}

pub(crate) fn run(checkout: &Checkout, arguments: &[String]) -> Result<ExitCode> {
    let mut options = parse(arguments)?;
    options.kvm &= File::options().read(true).write(true).open("/dev/kvm").is_ok();
    let kernels = match find(checkout, &options.versions) {
        Err(error) if options.if_possible => {
            println!("SKIPPED ({error:#}): no other kernel was tried");
            return Ok(ExitCode::SUCCESS);
        }
        kernels => kernels?,
    };
    let initramfs = image::build(checkout, &options.scope)?;
    let mut outcomes = Vec::new();
    for kernel in &kernels {
        println!("--- {}", kernel.name);
        let mut outcome = boot(checkout, kernel, &initramfs, &options)?;
        if outcome.kernel.is_none() {
            // Before /init runs, nothing of ours can be the reason.
            println!("--- {}: did not boot; once more, without KVM", kernel.name);
            options.kvm = false;
            outcome = boot(checkout, kernel, &initramfs, &options)?;
        }
        outcomes.push(outcome);
    }
    println!("---");
    for (kernel, outcome) in kernels.iter().zip(&outcomes) {
        println!("{}: {}", kernel.name, outcome.summary());
    }
    Ok(if outcomes.iter().all(Outcome::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// QEMU and what it is to boot.
fn find(checkout: &Checkout, versions: &[String]) -> Result<Vec<Kernel>> {
    if !cfg!(target_arch = "x86_64") {
        bail!("the virtual machines are x86-64: run this on such a machine");
    }
    packages::ensure(&[QEMU])?;
    image::busybox(checkout)?;
    versions.iter().map(|version| Kernel::find(checkout, version)).collect()
}

fn parse(arguments: &[String]) -> Result<Options> {
    let scope = Scope::default();
    let mut options = Options { versions: Vec::new(), kvm: true, limit: LIMIT, if_possible: false, scope };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--tcg" => options.kvm = false,
            "--if-possible" => options.if_possible = true,
            "--doctor" => options.scope.doctor = true,
            "--tests" => {
                let names = arguments.next().context("--tests wants names, with commas between")?;
                options.scope.files.extend(names.split(',').map(str::to_owned));
            }
            "--limit" => {
                let seconds = arguments.next().and_then(|text| text.parse().ok());
                options.limit = Duration::from_secs(seconds.context("--limit wants a number of seconds")?);
            }
            "--" => options.scope.arguments = arguments.by_ref().cloned().collect(),
            version if version.starts_with(|first: char| first.is_ascii_digit()) => {
                options.versions.push(version.to_owned());
            }
            other => return Err(unknown_argument(other)),
        }
    }
    if options.versions.is_empty() {
        options.versions = DEFAULT_VERSIONS.map(str::to_owned).to_vec();
    }
    Ok(options)
}

fn boot(checkout: &Checkout, kernel: &Kernel, initramfs: &Path, options: &Options) -> Result<Outcome> {
    let log_path = checkout.target("vm").join(format!("{}.log", kernel.name));
    let mut log = File::create(&log_path).with_context(|| format!("create {}", log_path.display()))?;
    let start = Instant::now();
    let mut qemu = qemu(kernel, initramfs, options.kvm);
    let mut child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start QEMU")?;
    let lines = console(&mut child)?;
    let aim = match (kernel.is_too_old(), options.scope.doctor) {
        (true, _) => Aim::Refusal,
        (false, true) => Aim::Doctor,
        (false, false) => Aim::Tests,
    };
    let mut outcome = Outcome::new(aim);
    loop {
        let booting = options.kvm && outcome.kernel.is_none();
        let limit = if booting { KVM_BOOT_LIMIT } else { options.limit };
        let left = limit.saturating_sub(start.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) => {
                println!("{line}");
                writeln!(log, "[{:7.2}] {line}", start.elapsed().as_secs_f64())
                    .with_context(|| format!("write {}", log_path.display()))?;
                outcome.read(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                outcome.timed_out = true;
                break;
            }
        }
    }
    if outcome.timed_out {
        child.kill().context("stop QEMU")?;
    }
    child.wait().context("wait for QEMU")?;
    outcome.took = start.elapsed();
    Ok(outcome)
}

fn qemu(kernel: &Kernel, initramfs: &Path, kvm: bool) -> Command {
    let mut qemu = Command::new(QEMU.program);
    qemu.args([
        "-accel",
        if kvm { "kvm" } else { "tcg" },
        "-cpu",
        if kvm { "max" } else { TCG_PROCESSOR },
        "-smp",
        "1",
        "-m",
        "1024",
        "-no-reboot",
        "-nic",
        "none",
    ]);
    qemu.args(["-nographic", "-append", "console=ttyS0 panic=-1 quiet"]);
    qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs);
    qemu
}

/// The console's lines as they come, without what would clear our own terminal.
fn console(child: &mut Child) -> Result<Receiver<String>> {
    let stdout = child.stdout.take().context("read the console of QEMU")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(std::io::Result::ok) {
            if sender.send(printable(&String::from_utf8_lossy(&line))).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Without escape sequences and other control characters.
fn printable(line: &str) -> String {
    let mut text = String::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' if characters.peek() == Some(&'[') => {
                characters.next();
                // Parameters, then one letter.
                while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\u{1b}' => {
                characters.next();
            }
            '\t' => text.push('\t'),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_cannot_clear_our_terminal() {
        assert_eq!(printable("\u{1b}c\u{1b}[?7l\u{1b}[2JSeaBIOS\r"), "SeaBIOS");
    }
}
