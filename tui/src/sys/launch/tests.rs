//! Real commands, held and released.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use super::*;

fn launch(argv: &[&str]) -> Launch {
    Launch { argv: argv.iter().map(Into::into).collect(), user: None, terminal: Terminal::Inherit }
}

fn run(argv: &[&str]) -> ExitStatus {
    launch(argv).hold().unwrap().release().unwrap().wait().unwrap()
}

/// Everything a command on its own terminal prints.
fn output(mut running: Running) -> (String, ExitStatus) {
    let pty = running.pty.take().unwrap();
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    let mut reader = File::from(pty.reader);
    while let Ok(n @ 1..) = reader.read(&mut buffer) {
        text.extend_from_slice(&buffer[..n]);
    }
    (String::from_utf8_lossy(&text).replace("\r\n", "\n"), running.wait().unwrap())
}

fn on_pty(argv: &[&str]) -> Launch {
    Launch { terminal: Terminal::Pty { rows: 11, columns: 77 }, ..launch(argv) }
}

#[test]
fn nothing_runs_before_the_release() {
    let file = std::env::temp_dir().join(format!("ipcscope-held-{}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let held = launch(&["touch", file.to_str().unwrap()]).hold().unwrap();
    let exe = |pid| std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert_eq!(exe(held.pid()), exe(std::process::id()), "still us");
    std::thread::sleep(Duration::from_millis(50));
    assert!(!file.exists());
    let mut running = held.release().unwrap();
    assert!(running.wait().unwrap().success());
    assert!(file.exists());
    assert_eq!(running.signal_group(libc::SIGTERM).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    let _ = std::fs::remove_file(&file);
}

#[test]
fn exit_statuses_come_through() {
    assert_eq!(run(&["sh", "-c", "exit 7"]).code(), Some(7));
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).signal(), Some(libc::SIGTERM));
}

#[test]
fn what_cannot_start_says_why() {
    let dir = std::env::temp_dir().join(format!("ipcscope-launch-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = |name: &str, text: &str, mode| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let lost = file("lost", "#!/no/such/interpreter\n", 0o755);
    let plain = file("plain", "exit 5\n", 0o644);
    for (name, status) in [
        ("no-such-command-here", 127),
        ("/no/such/path", 127),
        ("", 127),
        (lost.as_str(), 127),
        (plain.as_str(), 126),
        (dir.to_str().unwrap(), 126),
    ] {
        let error = launch(&[name]).hold().unwrap().release().unwrap_err();
        assert_eq!(error.exit_status(), status, "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(matches!(launch(&["a\0b"]).hold(), Err(LaunchError::Nul)));
    // No `#!`: the shell runs it, as after execvp(3).
    assert_eq!(run(&[&file("script", "exit 5\n", 0o755)]).code(), Some(5));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_dropped_one_is_gone() {
    let held = launch(&["true"]).hold().unwrap();
    let pid = held.pid();
    drop(held);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn it_holds_no_descriptor_of_ours() {
    let ours = File::open("/dev/zero").unwrap();
    let held = launch(&["true"]).hold().unwrap();
    let names: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", held.pid()))
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(!names.iter().any(|name| name == "/dev/zero"), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.starts_with("socket:")).count(), 1, "the gate only: {names:?}");
    drop(ours);
}

#[test]
fn signals_start_from_their_defaults() {
    // SAFETY: nothing here depends on SIGUSR2; the test harness ignores SIGPIPE itself.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
    let (text, _) =
        output(on_pty(&["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]).hold().unwrap().release().unwrap());
    assert_eq!(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

#[test]
fn it_has_a_terminal_of_its_own() {
    let (text, status) = output(
        on_pty(&["sh", "-c", "stty size; tty >/dev/null && echo $TERM; exec ps -o tpgid= -o pgid= -p $$"])
            .hold()
            .unwrap()
            .release()
            .unwrap(),
    );
    let mut lines = text.lines();
    assert_eq!((lines.next(), lines.next()), (Some("11 77"), Some("xterm-256color")));
    let groups: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(groups[0], groups[1], "in the foreground: {text}");
    assert!(status.success());
}

#[test]
fn control_c_is_a_sigint_from_its_terminal() {
    let mut running = on_pty(&["sh", "-c", "echo up; exec sleep 60"]).hold().unwrap().release().unwrap();
    let pty = running.pty.as_ref().unwrap();
    let mut reader = File::from(pty.reader.try_clone().unwrap());
    let mut up = [0; 2];
    reader.read_exact(&mut up).unwrap();
    pty.resize(30, 100).unwrap();
    File::from(pty.writer.try_clone().unwrap()).write_all(&[3]).unwrap();
    assert_eq!(running.wait().unwrap().signal(), Some(libc::SIGINT));
}

#[test]
fn ending_reaches_the_whole_group() {
    let mut running = on_pty(&["sh", "-c", "sleep 61 & echo $!; wait"]).hold().unwrap().release().unwrap();
    let mut reader = File::from(running.pty.as_ref().unwrap().reader.try_clone().unwrap());
    let mut buffer = [0; 64];
    let n = reader.read(&mut buffer).unwrap();
    let child: u32 = std::str::from_utf8(&buffer[..n]).unwrap().trim().parse().unwrap();
    assert!(running.try_wait().unwrap().is_none());
    running.signal_group(libc::SIGTERM).unwrap();
    assert_eq!(running.wait().unwrap().signal(), Some(libc::SIGTERM));
    let deadline = Instant::now() + Duration::from_secs(5);
    let alive = || std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while alive() {
        assert!(Instant::now() < deadline, "the grandchild lives");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn root_can_run_it_as_somebody_else() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let user = User::find("nobody").unwrap();
    let mut launch = on_pty(&["sh", "-c", "id -u; id -G; echo $HOME $USER; stat -c %u $(tty)"]);
    launch.user = Some(user.clone());
    let (text, _) = output(launch.hold().unwrap().release().unwrap());
    let groups = user.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let home = user.home.display();
    assert_eq!(text, format!("{uid}\n{groups}\n{home} nobody\n{uid}\n", uid = user.uid));
}

#[test]
fn one_that_is_held_does_not_keep_another_from_starting() {
    let mut threads = Vec::new();
    for _ in 0..4 {
        threads.push(std::thread::spawn(|| {
            let mut slowest = Duration::ZERO;
            for _ in 0..50 {
                let begin = Instant::now();
                let held = launch(&["true"]).hold().unwrap();
                let other = launch(&["true"]).hold().unwrap();
                assert!(other.release().unwrap().wait().unwrap().success());
                assert!(held.release().unwrap().wait().unwrap().success());
                slowest = slowest.max(begin.elapsed());
            }
            slowest
        }));
    }
    for thread in threads {
        assert!(thread.join().unwrap() < Duration::from_secs(5));
    }
}
