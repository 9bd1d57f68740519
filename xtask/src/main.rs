//! `cargo xtask …`: everything CI does, one command each, for a machine where nothing was installed by hand.
//!
//! One file per command; beside them `checkout` (where things are), `command` (running programs), `privilege`
//! (becoming root), `packages` and `debian` (what is installed, and what is only unpacked), `toolchain` (the compiler
//! of the eBPF side). Options are few, so they are parsed by hand. `cargo test -p xtask` tests what is pure.

mod application;
mod bench;
mod checkout;
mod command;
mod debian;
mod demo;
mod ebpf;
mod executables;
mod fingerprint;
mod fuzz;
mod initramfs;
mod packages;
mod paths;
mod privilege;
mod recordings;
mod setup;
mod strip;
mod tally;
mod test;
mod toolchain;
mod vm;

use std::process::ExitCode;

use anyhow::{Result, bail};
use checkout::Checkout;

const USAGE: &str = "\
cargo xtask COMMAND

  setup                      install what rebuilding the eBPF object needs
  ebpf [--check]             build the eBPF object; --check: fail if the committed one is not what the sources give
  test [--no-install] [ARG…] install what tests need, run them all, the live ones as root; ARGs go to the tests
  vm [--doctor | --tests NAME,…] [--if-possible] [--tcg] [--limit SECONDS] [VERSION…] [-- ARG…]
                             run the live tests on Debian's kernels in QEMU (default: 6.1 6.12); --tests: of these
                             files only (live_pipes,…); ARGs go to the tests; --doctor: only see whether the probes
                             load; --if-possible: where QEMU or a kernel is not to be had, say so and be content;
                             --tcg: no KVM. A kernel older than 5.15 has to be refused
  demo [NAME]                build ipcscope and show a lesson (default: pipeline)
  bench [--runs N]           measure what tracing costs, as a markdown table
  fuzz [TARGET…] [SECONDS] [FILE…]
                             fuzz what reads bytes of others, each target (default: all) for so long (default: 60);
                             FILEs are inputs to be tried again
  paths                      fail if a tracked file names a folder of this machine";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<ExitCode> {
    let Some((name, rest)) = arguments.split_first() else {
        println!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let checkout = Checkout::find()?;
    match name.as_str() {
        "setup" => setup::run(&checkout, rest),
        "ebpf" => ebpf::run(&checkout, rest),
        "test" => test::run(&checkout, rest),
        "vm" => vm::run(&checkout, rest),
        "demo" => demo::run(&checkout, rest),
        "bench" => bench::run(&checkout, rest),
        "fuzz" => fuzz::run(&checkout, rest),
        "paths" => paths::run(&checkout, rest),
        other => bail!("no command `{other}`\n\n{USAGE}"),
    }
}

/// The error for an argument that a command does not know.
fn unknown_argument(argument: &str) -> anyhow::Error {
    anyhow::anyhow!("unknown argument `{argument}`\n\n{USAGE}")
}
