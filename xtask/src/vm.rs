//! `cargo xtask vm`: boots Debian's kernels in QEMU and runs the live tests inside.
//!
//! Kernels and busybox are Debian's packages, unpacked below the target folder. The machine has one processor: with
//! two, QEMU without KVM crashes kernels when tracepoints are attached. Its root file system is one file with the
//! static programs at the paths they have here, because tests know each other and their files by these paths. `/init`
//! (vm-init.sh) prints marks that begin with `ipcscope-vm:`, from which the outcome is read.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::debian::Suite;
use crate::executables::{self, Executable};
use crate::initramfs::Archive;
use crate::packages::{self, QEMU};
use crate::tally::{Reader, Tally};
use crate::unknown_argument;

const DEFAULT_VERSIONS: [&str; 2] = ["6.1", "6.12"];
/// Where kernels are looked for, in this order.
const SUITES: [&str; 6] = ["bookworm", "bookworm-backports", "trixie", "trixie-backports", "forky", "bullseye"];
/// Whether a kernel counts as failed when `ipcscope doctor` fails on it.
const DOCTOR_MUST_PASS: bool = true;
/// How long a kernel may take to start /init with KVM; on some machines it hangs for ever.
const KVM_BOOT_LIMIT: Duration = Duration::from_secs(30);
/// How long one kernel may take by default: minutes of tests without KVM.
const LIMIT: Duration = Duration::from_secs(20 * 60);
/// Under QEMU 7.2 without KVM, Debian's 6.12 died at boot in 27 of 54 runs, in slab allocation or code patching; with
/// the instruction cmpxchg16b hidden from it in 1 of 18, and that one may only have been slow. 6.1 never did.
const TCG_PROCESSOR: &str = "max,cx16=off";
const TARGET: &str = "x86_64-unknown-linux-gnu";
const MARK: &str = "ipcscope-vm: ";
const INIT: &str = include_str!("vm-init.sh");

struct Options {
    versions: Vec<String>,
    kvm: bool,
    limit: Duration,
}

pub(crate) fn run(checkout: &Checkout, arguments: &[String]) -> Result<ExitCode> {
    let mut options = parse(arguments)?;
    options.kvm &= File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if !cfg!(target_arch = "x86_64") {
        bail!("the virtual machines are x86-64: run this on such a machine");
    }
    packages::ensure(&[QEMU])?;
    let kernels: Vec<Kernel> =
        options.versions.iter().map(|version| Kernel::find(checkout, version)).collect::<Result<_>>()?;
    let initramfs = build_initramfs(checkout)?;
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

fn parse(arguments: &[String]) -> Result<Options> {
    let mut options = Options { versions: Vec::new(), kvm: true, limit: LIMIT };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--tcg" => options.kvm = false,
            "--limit" => {
                let seconds = arguments.next().and_then(|text| text.parse().ok());
                options.limit = Duration::from_secs(seconds.context("--limit wants a number of seconds")?);
            }
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

/// One kernel, unpacked.
struct Kernel {
    /// Its release, with Debian's flavour: "6.1.0-40-cloud-amd64".
    name: String,
    image: PathBuf,
}

impl Kernel {
    /// The newest of that version ("6.1" or longer) in the first suite that has one.
    fn find(checkout: &Checkout, version: &str) -> Result<Self> {
        for suite in SUITES {
            let suite = Suite::open(checkout, suite)?;
            let names = suite.names(&format!("linux-image-{version}"))?;
            if let Some(package) = newest(&names, version) {
                let name = package.trim_start_matches("linux-image-").to_owned();
                // In the newest ones the image is in a package of its own, on which this one depends.
                let binary = format!("linux-binary-{name}");
                let has_binary = suite.names(&binary)?.contains(&binary);
                let package = if has_binary { &binary } else { package };
                let folder = checkout.target("vm/packages").join(package);
                suite.unpack(package, &folder)?;
                let image = [format!("boot/vmlinuz-{name}"), format!("usr/lib/modules/{name}/vmlinuz")]
                    .into_iter()
                    .map(|image| folder.join(image))
                    .find(|image| image.is_file())
                    .with_context(|| format!("find the kernel in the package {package}"))?;
                return Ok(Self { name, image });
            }
        }
        bail!("no Debian suite among {} has a cloud kernel {version}", SUITES.join(", "))
    }
}

/// The newest signed cloud kernel of that version among packages that begin with it.
fn newest<'n>(packages: &'n [String], version: &str) -> Option<&'n str> {
    let prefix = format!("linux-image-{version}");
    let fits = |package: &&str| {
        package.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with(['.', '+', '-']))
            && package.ends_with("-cloud-amd64")
    };
    packages.iter().map(String::as_str).filter(fits).max_by_key(|package| numbers(package))
}

/// The numbers in a name, in order: what versions are compared by.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// The static programs, the tests' files and /init in one file.
fn build_initramfs(checkout: &Checkout) -> Result<PathBuf> {
    let executables = build_static(checkout)?;
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
    archive.file(Path::new("/init"), INIT.as_bytes())?;
    archive.finish()?.flush().context("write the initramfs")?;
    Ok(path)
}

/// `ipcscope`, the live tests and the workloads they start, without shared libraries.
fn build_static(checkout: &Checkout) -> Result<Vec<Executable>> {
    let mut executables = Vec::new();
    // Named to `cargo test`, an example would be built as a test of itself.
    for words in [&["test", "--no-run", "--test=*", "--bins"][..], &["build", "--examples"]] {
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

fn busybox(checkout: &Checkout) -> Result<PathBuf> {
    let folder = checkout.target("vm/packages/busybox-static");
    Suite::open(checkout, "bookworm")?.unpack("busybox-static", &folder)?;
    Ok(folder.join("bin/busybox"))
}

/// How it went on one kernel.
#[derive(Default)]
struct Outcome {
    kernel: Option<String>,
    doctor: Option<i32>,
    tests: Reader,
    /// Test executables that died.
    crashed: u64,
    /// Whether /init came to its end.
    complete: bool,
    timed_out: bool,
    took: Duration,
}

impl Outcome {
    fn is_good(&self) -> bool {
        self.complete
            && self.tally().failed == 0
            && self.tally().passed > 0
            && (!DOCTOR_MUST_PASS || self.doctor == Some(0))
    }

    fn tally(&self) -> Tally {
        let mut tally = self.tests.tally;
        // An executable that dies reports no failed test.
        tally.failed += self.crashed;
        tally
    }

    /// Takes in a line of the console.
    fn read(&mut self, line: &str) {
        self.tests.read(line);
        let Some((mark, value)) = line.strip_prefix(MARK).and_then(|mark| mark.split_once(' ')) else {
            return;
        };
        match mark {
            "kernel" => self.kernel = Some(value.to_owned()),
            "doctor" => self.doctor = value.parse().ok(),
            "crashed" => self.crashed += 1,
            "end" => self.complete = true,
            _ => {}
        }
    }

    fn summary(&self) -> String {
        let verdict = if self.is_good() { "good" } else { "FAILED" };
        let doctor = match self.doctor {
            Some(0) => "doctor content".to_owned(),
            Some(status) => format!("doctor failed with {status}"),
            None => "doctor did not run".to_owned(),
        };
        let end = match (self.timed_out, self.complete, &self.kernel) {
            (true, ..) => ", stopped at the time limit",
            (_, false, None) => ", did not boot",
            (_, false, Some(_)) => ", died before the end",
            _ => "",
        };
        format!("{verdict}: {}, {doctor}{end}, {} s", self.tally(), self.took.as_secs())
    }
}

fn boot(checkout: &Checkout, kernel: &Kernel, initramfs: &Path, options: &Options) -> Result<Outcome> {
    let log_path = checkout.target("vm").join(format!("{}.log", kernel.name));
    let mut log = File::create(&log_path).with_context(|| format!("create {}", log_path.display()))?;
    let start = Instant::now();
    let mut qemu = qemu(kernel, initramfs, options.kvm);
    let mut child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start QEMU")?;
    let lines = console(&mut child)?;
    let mut outcome = Outcome::default();
    loop {
        let booting = options.kvm && outcome.kernel.is_none();
        let limit = if booting { KVM_BOOT_LIMIT } else { options.limit };
        let left = limit.saturating_sub(start.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) => {
                println!("{line}");
                writeln!(log, "{line}").with_context(|| format!("write {}", log_path.display()))?;
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
    fn the_newest_kernel_is_by_number_and_signed() {
        let names = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-40-cloud-amd64",
            "linux-image-6.1.0-41-cloud-amd64-unsigned",
            "linux-image-6.12.9+bpo-cloud-amd64",
            "linux-image-6.1.0-50-amd64",
        ]
        .map(str::to_owned);
        assert_eq!(newest(&names, "6.1"), Some("linux-image-6.1.0-40-cloud-amd64"));
        assert_eq!(newest(&names, "6.12"), Some("linux-image-6.12.9+bpo-cloud-amd64"));
        assert_eq!(newest(&names, "6.13"), None);
    }

    #[test]
    fn the_console_decides() {
        let mut outcome = Outcome::default();
        let result = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        for line in ["ipcscope-vm: kernel 6.1.0", "ipcscope-vm: doctor 0", result] {
            outcome.read(line);
        }
        assert!(!outcome.is_good(), "not at the end yet");
        outcome.read("ipcscope-vm: end 0");
        assert!(outcome.is_good());
        outcome.read("ipcscope-vm: crashed live_pipe");
        assert!(!outcome.is_good());
    }

    #[test]
    fn the_console_cannot_clear_our_terminal() {
        assert_eq!(printable("\u{1b}c\u{1b}[?7l\u{1b}[2JSeaBIOS\r"), "SeaBIOS");
    }
}
