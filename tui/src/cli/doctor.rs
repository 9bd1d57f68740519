//! `doctor`: what this machine and this user can trace.

use std::io::Write as _;

use super::args::DoctorArgs;
use crate::{
    source::live::probe,
    sys::{
        doctor::{Check, Report},
        outcome::Outcome,
    },
};

/// Looks and tells.
pub fn run(args: &DoctorArgs) -> anyhow::Result<Outcome> {
    let mut report = Report::new();
    if report.can_trace() {
        report.checks.push(match probe() {
            Ok(hooks) => Check::ok("probes", format!("all {} programs load and attach", hooks.len())),
            Err(error) => Check::fail(
                "probes",
                error.to_string(),
                "report this with the output of `uname -a`: the kernel should be able to",
            ),
        });
    }
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", report.to_json())?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(Outcome::Code(report.exit_status()))
}
