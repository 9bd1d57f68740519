//! `cargo xtask test`: installs what tests need and runs them all, the live ones as root.
//!
//! The last line is "N passed, N failed, N skipped". Tests are skipped only for want of privileges, or of something that
//! the kernel or the machine must have, and loudly.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::checkout::Checkout;
use crate::command;
use crate::executables::{self, Executable};
use crate::packages::{self, BROWSER, DOT, IP, PERF, PYTHON, STRACE, STRESS_NG, TMUX, TSHARK, XMLLINT};
use crate::privilege::Privilege;
use crate::tally::Tally;

/// How long one live executable may take in all, in seconds.
const LIMIT: &str = "600";

pub(crate) fn run(checkout: &Checkout, arguments: &[String]) -> Result<ExitCode> {
    let (options, filters): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| *argument == "--no-install");
    if options.is_empty() {
        packages::ensure(&[BROWSER, DOT, IP, PERF, PYTHON, STRACE, STRESS_NG, TMUX, TSHARK, XMLLINT])?;
    }
    let executables = executables::build(checkout.cargo().args(["test", "--workspace", "--no-run", "--quiet"]))?;
    let mut total = pure(&executables, &filters)?;
    total += executables::run(checkout.cargo().args(["test", "--workspace", "--doc", "--quiet", "--"]).args(&filters))?;
    total += live(&executables, &filters)?;
    println!("{total}");
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that needs no privileges.
fn pure(executables: &[Executable], filters: &[&String]) -> Result<Tally> {
    let mut total = Tally::default();
    for executable in executables.iter().filter(|executable| executable.is_test) {
        println!("{} ({}):", executable.name, executable.kind);
        let mut tally = executables::run(executable.prepare(&mut Command::new(&executable.path)).args(filters))?;
        if executable.is_live() {
            // Their ignored tests are not skipped: they run next.
            tally.skipped = 0;
        }
        total += tally;
    }
    Ok(total)
}

/// The ignored tests of the live executables, one at a time: each traces, and would see the others.
///
/// They race with the scheduler of a machine that others may load. One that fails is run once more by itself, and told at
/// the end if it passes then: flaky is neither passed in silence nor a reason to stop everything.
fn live(executables: &[Executable], filters: &[&String]) -> Result<Tally> {
    let executables: Vec<&Executable> = executables.iter().filter(|executable| executable.is_live()).collect();
    if executables.is_empty() {
        return Ok(Tally::default());
    }
    let privilege = Privilege::find("tracing in the live tests");
    let mut total = Tally::default();
    let mut flaky = Vec::new();
    for executable in executables {
        if privilege == Privilege::None {
            total.skipped += count(executable, filters)?;
            continue;
        }
        println!("{} as root:", executable.name);
        let mut command = live_command(privilege, executable);
        let (mut tally, failures) = executables::run_and_name(command.args(filters))?;
        for name in failures {
            println!("{name} once more:");
            let again = executables::run(live_command(privilege, executable).args(["--exact", &name]))?;
            if again.passed == 1 && again.failed == 0 {
                tally.failed -= 1;
                tally.passed += 1;
                flaky.push(format!("{}::{name}", executable.name));
            }
        }
        total += tally;
    }
    if !flaky.is_empty() {
        println!("FLAKY (failed, and passed when run once more): {}", flaky.join(", "));
    }
    if privilege == Privilege::None {
        println!("SKIPPED (not root): {} live tests", total.skipped);
    }
    Ok(total)
}

/// A live executable, to be ended if it hangs.
fn live_command(privilege: Privilege, executable: &Executable) -> Command {
    let mut command = privilege.command(Path::new("timeout"));
    executable.prepare(&mut command).args(["--kill-after=10", LIMIT]).arg(&executable.path).args([
        "--ignored",
        "--test-threads=1",
        "--show-output",
    ]);
    command
}

/// How many live tests there would be.
fn count(executable: &Executable, filters: &[&String]) -> Result<u64> {
    let mut list = Command::new(&executable.path);
    executable.prepare(&mut list).args(["--ignored", "--list", "--format=terse"]).args(filters);
    Ok(command::output(&mut list)?.lines().filter(|line| line.ends_with(": test")).count() as u64)
}
