//! `cargo xtask fuzz`: the targets in `fuzz/`, guided by coverage.
//!
//! The flags are those of the compiler's own coverage counters, which stable Rust takes; so no nightly is needed, and
//! nothing else is installed but a C++ compiler for libFuzzer. What is built goes to `target/fuzz`; so does what was found
//! to reach something new (`corpus`), which later runs go on from, and what an error was found with (`found`). Stops at the
//! first. Seeds are made anew at every start, of the committed recordings and of those in `recordings`, a folder beside these.
//! Invariant: an input that is tried again is judged by the same limits.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::packages::{self, CXX};
use crate::{command, unknown_argument};

/// Each is a file in `fuzz/targets`.
const TARGETS: [&str; 5] = ["recording", "records", "payload", "screens", "text"];

/// Edges counted in a byte each, and what is compared told to libFuzzer. More units than one, and what a linker drops of
/// them is missed in the tables.
const FLAGS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg",
    "fuzzing",
    "-Ccodegen-units=1",
];

/// Seconds that an input may take, MiB that all of the program may need, and how long an input gets (bytes).
const LIMITS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=1024", "-max_len=16384"];

/// Whose recordings and scripts the seeds are made of.
const SEEDS: [&str; 3] = ["tui/tests/fixtures", "tui/lessons", "tui/tests/scripts"];
/// In the target folder: recordings that somebody has put there, of families that the others lack.
const MORE_SEEDS: &str = "recordings";

const DEFAULT_SECONDS: u32 = 60;

pub(crate) fn run(checkout: &Checkout, arguments: &[String]) -> Result<ExitCode> {
    let options = parse(arguments)?;
    packages::ensure(&[CXX])?;
    let programs = build(checkout)?;
    let folder = |inside: &str| -> Result<PathBuf> {
        let folder = checkout.target("fuzz").join(inside);
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(folder)
    };
    let found = folder("found")?;
    let mut folders: Vec<PathBuf> = SEEDS.iter().map(|inside| checkout.path(inside)).collect();
    folders.push(folder(MORE_SEEDS)?);
    command::run(Command::new(programs.join("seeds")).arg(folder("seeds")?).args(seeds(&folders)?))?;
    for target in &options.targets {
        let mut fuzzer = Command::new(programs.join(target));
        fuzzer.args(LIMITS).arg("-print_final_stats=1").arg(format!("-artifact_prefix={}/{target}-", found.display()));
        if options.inputs.is_empty() {
            println!("xtask: {target} for {} s", options.seconds);
            fuzzer.arg(format!("-max_total_time={}", options.seconds));
            fuzzer.args([folder(&format!("corpus/{target}"))?, folder(&format!("seeds/{target}"))?]);
        } else {
            fuzzer.args(&options.inputs);
        }
        command::run(&mut fuzzer).with_context(|| format!("fuzz `{target}`: the input is in {}", found.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, PartialEq)]
struct Options {
    targets: Vec<&'static str>,
    seconds: u32,
    inputs: Vec<PathBuf>,
}

fn parse(arguments: &[String]) -> Result<Options> {
    let mut options = Options { targets: Vec::new(), seconds: DEFAULT_SECONDS, inputs: Vec::new() };
    for argument in arguments {
        if let Some(target) = TARGETS.iter().find(|target| *target == argument) {
            options.targets.push(target);
        } else if let Ok(seconds) = argument.parse() {
            options.seconds = seconds;
        } else if PathBuf::from(argument).is_file() {
            options.inputs.push(PathBuf::from(argument));
        } else {
            return Err(unknown_argument(argument)).with_context(|| format!("fuzz one of {}", TARGETS.join(", ")));
        }
    }
    if options.targets.is_empty() && !options.inputs.is_empty() {
        bail!("an input is one of a target: name it ({})", TARGETS.join(", "));
    }
    if options.targets.is_empty() {
        options.targets = TARGETS.into();
    }
    Ok(options)
}

/// Where the programs are then. Told for which machine, cargo builds its own programs without the counters.
fn build(checkout: &Checkout) -> Result<PathBuf> {
    let version = command::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("`rustc -vV` names no host")?;
    let folder = checkout.target("fuzz");
    let mut cargo = checkout.cargo();
    cargo.args(["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target", host]);
    cargo.env("CARGO_TARGET_DIR", &folder).env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    command::run(&mut cargo).context("build the fuzz targets")?;
    Ok(folder.join(host).join("release"))
}

fn seeds(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry.with_context(|| format!("list {}", folder.display()))?.path();
            let is_one = path.extension().is_some_and(|end| end == "ipcs" || end == "script");
            files.extend(is_one.then_some(path));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_a_file() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/targets");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
            .filter(|name| name != "seeds")
            .collect();
        names.sort();
        let mut targets = TARGETS;
        targets.sort_unstable();
        assert_eq!(names, targets);
    }

    #[test]
    fn arguments_come_in_any_order() {
        let parse = |text: &str| parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).ok();
        let options = parse("600 text records");
        assert_eq!(options, Some(Options { targets: vec!["text", "records"], seconds: 600, inputs: Vec::new() }));
        assert_eq!(parse("").map(|options| options.targets.len()), Some(TARGETS.len()));
        assert_eq!(parse("nothing"), None);
        assert_eq!(parse(file!()), None, "of which target?");
    }
}
