//! The command line: what can be typed ([`args`]), what is generated from the same definitions ([`manual`]), and a file
//! for each command.

pub mod args;
mod check;
mod demo;
mod diagnose;
mod doctor;
mod export;
mod follow;
mod lines;
pub mod manual;
mod merge;
mod print;
mod record;
mod replay;
mod setup;
mod stats;
mod trace;
mod units;
mod watch;

pub use crate::event::FamilySet;
pub use units::{BufferSize, Pids};

use std::io;

use clap::Parser as _;

use crate::{source::live::StartError, sys::outcome::Outcome};
use args::{Cli, Command};

/// Does what the command line says; answers how to end.
pub fn run() -> Outcome {
    let cli = Cli::parse();
    crate::sys::quiet_file_limit();
    let result = match &cli.command {
        Command::Watch(args) => watch::run(args),
        Command::Trace(args) => trace::run(args),
        Command::Record(args) => record::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Print(args) => print::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Check(args) => check::run(args),
        Command::Export(args) => export::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Diagnose(args) => diagnose::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Lesson { name, fast } => crate::lessons::run(name, *fast),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions { shell } => {
            manual::completions(*shell, &mut io::stdout()).map(|()| SUCCESS).map_err(Into::into)
        }
        Command::Man => manual::man(&mut io::stdout()).map(|()| SUCCESS).map_err(Into::into),
    };
    result.unwrap_or_else(|error| failed(&error))
}

const SUCCESS: Outcome = Outcome::Code(0);

/// An error with its reasons, each once: some errors' own text tells theirs.
pub(crate) fn reasons(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let reason = cause.to_string();
        if text.is_empty() {
            text = reason;
        } else if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
    }
    text
}

/// Says why, and what a script gets to see.
fn failed(error: &anyhow::Error) -> Outcome {
    if error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
    {
        // Whoever read our output has had enough.
        return SUCCESS;
    }
    eprintln!("ipcscope: {}", reasons(error));
    let status = error.downcast_ref::<StartError>().map_or(1, StartError::exit_status);
    Outcome::Code(status)
}
