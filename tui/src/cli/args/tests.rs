//! What can be typed and what cannot, and what help says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use clap::CommandFactory as _;

use super::*;
use crate::event::Family;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(["ipcscope"].into_iter().chain(line.split(' '))).map(|cli| cli.command)
}

fn trace(line: &str) -> TraceArgs {
    match parse(&format!("trace {line}")).unwrap() {
        Command::Trace(args) => args,
        other => panic!("{other:?}"),
    }
}

/// The usage error, in one line.
fn refused(line: &str) -> String {
    let error = parse(line).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{line}");
    error.to_string().replace('\n', " ")
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_target_is_a_command_or_processes() {
    let command = |words: &[&str]| Target::Command(words.iter().map(Into::into).collect());
    assert_eq!(trace("-- ls -l -p 1").target.target(), command(&["ls", "-l", "-p", "1"]));
    assert_eq!(trace("ls -l --help").target.target(), command(&["ls", "-l", "--help"]), "as strace takes it");
    assert_eq!(trace("-p 3,1 --pid 2 -p 1").target.target(), Target::Pids(vec![1, 2, 3]));
    assert!(refused("trace").contains("required"));
    assert!(refused("trace -p 1 -- ls").contains("cannot be used with"));
    assert!(refused("trace -p 1 -u root").contains("cannot be used with"));
    assert!(refused("trace -p x").contains("\"x\" is not a process id"));
    assert!(refused("record -- ls").contains("--output"));
}

#[test]
fn options_of_every_target() {
    let plain = trace("-- ls").target;
    assert_eq!((plain.payload, plain.buffer, plain.events), (64, BufferSize(64 << 20), FamilySet::all()));
    assert_eq!((plain.no_follow, plain.duration, plain.count, plain.user), (false, None, None, None));

    let all = trace("-f -u root -e !sched -s 0 --buffer 5K --duration 1.5s -n 10 -- ls").target;
    assert!(!all.events.contains(Family::Sched) && all.events.contains(Family::Pipe));
    assert_eq!((all.payload, all.buffer, all.count), (0, BufferSize(8 << 10), Some(10)));
    assert_eq!((all.duration, all.user.as_deref()), (Some(Duration::from_millis(1_500)), Some("root")));
    assert!(trace("--no-follow -- ls").target.no_follow);

    for (line, part) in [
        (
            "-e pipes -- ls",
            "there are signal, pipe, fifo, sysv-mq, posix-mq, unix, inet, rpc, pty, event, shm, sync, sched, process and all",
        ),
        ("-s 4097 -- ls", "0..=4096"),
        ("--buffer 1T -- ls", "64M"),
        ("--duration soon -- ls", "500ms"),
        ("-n 0 -- ls", "--count"),
        ("-f --no-follow -- ls", "cannot be used with"),
    ] {
        let error = refused(&format!("trace {line}"));
        assert!(error.contains(part), "{line}: {error}");
    }
}

#[test]
fn times_are_as_with_strace() {
    for (line, times) in [
        ("-- ls", Times::SinceStart),
        ("-t -- ls", Times::Day),
        ("-tt -- ls", Times::DayMicros),
        ("-t -t -- ls", Times::DayMicros),
        ("-r -- ls", Times::SinceLast),
    ] {
        assert_eq!(trace(line).lines.times(), times, "{line}");
    }
    refused("trace -t -r -- ls");
    refused("print --json -t a.ipcs");
}

#[test]
fn every_command_parses() {
    for line in [
        "watch --record a.ipcs -- ls",
        "watch --color never -p 1",
        "trace -o - --json --record a.ipcs --filter kind:signal -- ls",
        "record -o a.ipcs -- ls",
        "replay a.ipcs",
        "print --json a.ipcs",
        "print -r --filter x --color always -",
        "stats --json --filter kind:send a.ipcs",
        "diagnose --json a.ipcs",
        "check a.ipcs rules",
        "diagnose --color never -",
        "demo",
        "demo pipeline",
        "doctor --json",
        "completions zsh",
        "man",
        "demo pipeline --recorded",
        "replay --speed 0.1 a.ipcs",
    ] {
        parse(line).unwrap();
    }
    for line in
        ["", "watch", "replay", "completions", "completions csh", "frobnicate", "trace --frob -- ls", "rec -o a ls"]
    {
        refused(line);
    }
    let version = Cli::try_parse_from(["ipcscope", "--version"]).unwrap_err();
    assert_eq!((version.exit_code(), version.to_string().starts_with("ipcscope ")), (0, true));
}

#[test]
fn every_option_is_documented() {
    for command in Cli::command().get_subcommands() {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
    }
}

#[test]
fn help_says() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut help = command.render_long_help().to_string();
    for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set()) {
        let (name, text) = (sub.get_name().to_owned(), sub.render_help());
        help = format!("{help}\n=== {name} ===\n{text}");
    }
    insta::assert_snapshot!(help);
}
