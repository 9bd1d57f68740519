//! The application on a real terminal, with real processes.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{process::Stdio, time::Duration};

use common::{Scratch, Terminal, died_of, ipcscope, lives};

fn watch(command: &[&str]) -> Terminal {
    let mut arguments = vec!["watch", "--"];
    arguments.extend(command);
    Terminal::start(120, 40, &arguments)
}

/// A file whose content a command wrote, once it is there.
fn written(file: &Scratch) -> String {
    let began = std::time::Instant::now();
    while !file.read().ends_with('\n') {
        assert!(began.elapsed() < common::PATIENCE, "nothing in {}", file.0.display());
        std::thread::sleep(Duration::from_millis(10));
    }
    file.read().trim().to_owned()
}

#[test]
#[ignore = "root"]
fn the_first_frame_comes_at_once() {
    let mut terminal = watch(&["sh", "-c", "sleep 30"]);
    let took = terminal.until("a frame", |screen| screen.contains("q quit"));
    println!("first frame after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(terminal.modes().0, "on the alternate screen");
    terminal.types("qe");
    terminal.finish();
}

#[test]
#[ignore = "root"]
fn a_pipeline_is_drawn_as_boxes_and_pipes() {
    let mut terminal = watch(&["sh", "-c", "sleep 60 | cat | wc -c"]);
    for name in ["sh", "sleep", "cat", "wc"] {
        terminal.until(name, |screen| {
            screen.lines().any(|line| line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == name))
        });
    }
    terminal.shows("BLOCKED");
    terminal.until("in pipeline order", |screen| {
        let place = |name: &str| {
            screen.lines().find_map(|line| {
                let at = line.find(&format!("┌ {name} ")).or_else(|| line.find(&format!("┌{name} ")))?;
                Some(line[..at].chars().count())
            })
        };
        match [place("sleep"), place("cat"), place("wc")] {
            [Some(sleep), Some(cat), Some(wc)] => sleep < cat && cat < wc,
            _ => false,
        }
    });
    terminal.shows("empty");
    terminal.types("2");
    terminal.until("the events", |screen| screen.contains("exec") || screen.contains("blocked"));
    terminal.types("1");
    terminal.shows("BLOCKED");
    terminal.types("q");
    terminal.shows("What shall become of it?");
    terminal.types("e");
    assert_eq!(died_of(terminal.finish()), Some(libc::SIGTERM));
}

#[test]
#[ignore = "root"]
fn what_is_typed_reaches_the_command() {
    let file = Scratch::new("typed");
    let script = format!("read line; echo \"got $line\"; echo \"got $line\" > {}; exit 5", file.0.display());
    let mut terminal = watch(&["sh", "-c", &script]);
    terminal.shows("t types into it");
    terminal.types("t");
    terminal.shows("keys go to the command");
    terminal.types("some words\r");
    assert_eq!(written(&file), "got some words");
    terminal.shows("got some words");
    // It stays, until it is left.
    terminal.until("the end", |screen| !screen.contains("keys go to the command"));
    assert!(terminal.child.try_wait().unwrap().is_none());
    terminal.types("q");
    assert_eq!(terminal.finish().code(), Some(5));
}

#[test]
#[ignore = "root"]
fn ctrl_c_reaches_the_command_as_its_terminals_sigint() {
    let file = Scratch::new("int");
    let script =
        format!("trap 'echo interrupted > {}; exit 9' INT; echo ready; while :; do sleep 1; done", file.0.display());
    let mut terminal = watch(&["sh", "-c", &script]);
    terminal.shows("ready");
    terminal.types("t");
    terminal.shows("keys go to the command");
    terminal.types("\x03");
    assert_eq!(written(&file), "interrupted");
    terminal.until("the end", |screen| !screen.contains("keys go to the command"));
    terminal.types("2");
    terminal.shows("SIGINT");
    terminal.types("q");
    assert_eq!(terminal.finish().code(), Some(9));
}

#[test]
#[ignore = "root"]
fn ctrl_c_kills_a_command_without_a_handler() {
    let mut terminal = watch(&["sleep", "60"]);
    terminal.shows("t types into it");
    terminal.types("t");
    terminal.shows("keys go to the command");
    terminal.types("\x03");
    terminal.until("the end", |screen| !screen.contains("keys go to the command"));
    terminal.types("q");
    assert_eq!(died_of(terminal.finish()), Some(libc::SIGINT));
}

#[test]
#[ignore = "root"]
fn leaving_asks_and_detaching_lets_the_command_live() {
    let file = Scratch::new("pid");
    let script = format!("echo $$ > {}; sleep 30; true", file.0.display());
    let mut terminal = watch(&["sh", "-c", &script]);
    let pid: u32 = written(&file).parse().unwrap();
    terminal.shows("BLOCKED");
    terminal.types("q");
    terminal.shows("What shall become of it?");
    terminal.types("\x1b");
    terminal.until("no question", |screen| !screen.contains("What shall become of it?"));
    terminal.types("q");
    terminal.shows("What shall become of it?");
    terminal.types("d");
    assert_eq!(terminal.finish().code(), Some(0));
    std::thread::sleep(Duration::from_millis(300));
    assert!(lives(pid), "it was to live on");
    // SAFETY: plain calls; the process was started by this test.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
}

#[test]
#[ignore = "root"]
fn a_command_that_ignores_signals_is_ended_all_the_same() {
    let file = Scratch::new("pid");
    let script = format!("trap '' TERM HUP INT; echo $$ > {}; while :; do sleep 1; done", file.0.display());
    let mut terminal = watch(&["sh", "-c", &script]);
    let pid: u32 = written(&file).parse().unwrap();
    terminal.shows("BLOCKED");
    terminal.types("q");
    terminal.shows("What shall become of it?");
    terminal.types("e");
    assert_eq!(died_of(terminal.finish()), Some(libc::SIGKILL));
    assert!(!lives(pid));
}

#[test]
#[ignore = "root"]
fn any_size_will_do() {
    let mut terminal = watch(&["sh", "-c", "sleep 60 | cat"]);
    terminal.shows("BLOCKED");
    for (columns, rows) in [(80, 24), (200, 50), (30, 8), (80, 24)] {
        terminal.resize(columns, rows);
        std::thread::sleep(Duration::from_millis(400));
        if columns >= 80 {
            terminal.shows("BLOCKED");
        }
    }
    terminal.resize(10, 3);
    terminal.shows("too small");
    terminal.resize(80, 24);
    terminal.shows("BLOCKED");
    terminal.types("qe");
    terminal.finish();
    let mut tiny = Terminal::start(10, 3, &["watch", "--", "sh", "-c", "exit 6"]);
    tiny.shows("too small");
    // Nothing tells that the command has ended.
    std::thread::sleep(Duration::from_secs(3));
    tiny.types("q");
    assert_eq!(tiny.finish().code(), Some(6));
}

#[test]
#[ignore = "root"]
fn a_terminal_of_one_cell_is_survived() {
    let mut terminal = Terminal::start(1, 1, &["watch", "--", "sh", "-c", "sleep 60"]);
    // Nothing can be said there; it must neither end nor stop listening.
    std::thread::sleep(Duration::from_secs(1));
    assert!(terminal.child.try_wait().unwrap().is_none(), "{}", terminal.screen());
    terminal.resize(80, 24);
    terminal.shows("BLOCKED");
    terminal.resize(1, 1);
    std::thread::sleep(Duration::from_millis(200));
    terminal.types("qe");
    assert_eq!(died_of(terminal.finish()), Some(libc::SIGTERM));
}

#[test]
#[ignore = "root"]
fn signals_while_the_probes_are_loaded_do_no_harm() {
    // The verifier gives up where one is pending; without a pause the storm would be one signal.
    let mut terminal = watch(&["sleep", "20"]);
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        terminal.signal(libc::SIGWINCH);
        std::thread::sleep(Duration::from_micros(200));
    }
    terminal.shows("BLOCKED");
    terminal.types("qe");
    assert_eq!(died_of(terminal.finish()), Some(libc::SIGTERM));
}

#[test]
#[ignore = "root"]
fn a_storm_of_sizes_is_weathered() {
    let mut terminal = watch(&["sh", "-c", "yes | head -n 3000000 | wc -l; sleep 60"]);
    terminal.shows("sh");
    for round in 0..300_u16 {
        // Pseudo-random, from nothing to more than there is.
        terminal.resize(1 + round * 37 % 210, 1 + round * 53 % 61);
        if round % 50 == 0 {
            terminal.types("?\t12");
        }
        std::thread::sleep(Duration::from_millis(2));
        assert!(terminal.child.try_wait().unwrap().is_none(), "{}", terminal.screen());
    }
    terminal.resize(120, 40);
    terminal.types("\x1b");
    std::thread::sleep(Duration::from_millis(100));
    // What was drawn while our own screen still had another size is gone from it: Ctrl-L draws everything anew.
    terminal.types("1\x0c");
    terminal.shows("BLOCKED");
    terminal.types("qe");
    assert_eq!(died_of(terminal.finish()), Some(libc::SIGTERM));
}

#[test]
#[ignore = "root"]
fn sigterm_gives_the_terminal_back() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        let mut terminal = watch(&["sleep", "3"]);
        terminal.shows("BLOCKED");
        terminal.signal(signal);
        assert_eq!(died_of(terminal.finish()), Some(signal));
    }
}

#[test]
#[ignore = "root"]
fn the_command_may_end_first() {
    for (script, code, signal) in
        [("exit 3", Some(3), None), ("kill -USR1 $$", None, Some(libc::SIGUSR1)), ("exit 0", Some(0), None)]
    {
        let mut terminal = watch(&["sh", "-c", script]);
        terminal.until("its end", |screen| screen.contains("q quit") && !screen.contains("t types into it"));
        std::thread::sleep(Duration::from_millis(300));
        assert!(terminal.child.try_wait().unwrap().is_none(), "it stays open");
        terminal.types("q");
        let status = terminal.finish();
        assert_eq!((status.code(), died_of(status)), (code, signal), "{script}");
    }
    let mut terminal = watch(&["/no/such/command"]);
    for _ in 0..600 {
        if terminal.child.try_wait().unwrap().is_some() {
            break;
        }
        if terminal.screen().contains("failed") {
            terminal.types("q");
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(terminal.finish().code(), Some(127));
    assert!(terminal.screen().contains("/no/such/command"), "{}", terminal.screen());
}

#[test]
#[ignore = "root"]
fn watching_a_process_leaves_it_alone() {
    let mut target = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let pid = target.id().to_string();
    let mut terminal = Terminal::start(100, 30, &["watch", "-p", &pid]);
    terminal.shows("BLOCKED");
    terminal.types("q");
    assert_eq!(terminal.finish().code(), Some(0));
    assert!(target.try_wait().unwrap().is_none());
    target.kill().unwrap();
    target.wait().unwrap();
}

#[test]
#[ignore = "root"]
fn without_a_terminal_there_is_advice() {
    let output = ipcscope().args(["watch", "--", "true"]).stdout(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("ipcscope trace"), "{stderr}");
}

#[test]
#[ignore = "root"]
fn escape_sequences_of_others_stay_inside() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[?1000h\u{1b}[2J\u{1b}c";
    let script = "printf '%s' \"$1\"; printf '%s' \"$1\" | cat > /dev/null; echo; echo after; sleep 60";
    let mut terminal = watch(&["sh", "-c", script, "sh", evil]);
    terminal.shows("after");
    terminal.types("2");
    std::thread::sleep(Duration::from_millis(500));
    terminal.types("qe");
    terminal.finish();
    let bytes = terminal.bytes();
    let has = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    for sequence in [&b"\x1b]0;owned"[..], b"\x1b[?1000h", b"\x1bc", b"\x07"] {
        assert!(!has(sequence), "{:?} reached the terminal", String::from_utf8_lossy(sequence));
    }
}

#[test]
#[ignore = "root"]
fn a_watched_command_can_be_recorded_and_printed() {
    let file = Scratch::new("ipcs");
    let name = file.0.to_str().unwrap().to_owned();
    let mut terminal =
        Terminal::start(120, 40, &["watch", "--record", &name, "--", "sh", "-c", "printf hello | wc -c; echo done"]);
    terminal.shows("done");
    terminal.until("its end", |screen| !screen.contains("t types into it"));
    std::thread::sleep(Duration::from_millis(500));
    terminal.types("q");
    assert_eq!(terminal.finish().code(), Some(0));
    let output = ipcscope().args(["print", "--json", &name]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let trace = common::Trace::parse(&text, output.status, String::new(), String::new());
    trace.is_whole();
    trace.everybody_ends();
    assert!(trace.kind("send").any(|event| event["payload"] == "hello"));
    let mut replay = Terminal::start(120, 40, &["replay", "--speed", "0", &name]);
    replay.shows("sh");
    replay.shows("done");
    replay.types("q");
    assert_eq!(replay.finish().code(), Some(0));
}
