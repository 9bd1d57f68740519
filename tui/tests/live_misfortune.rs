//! Bad luck: machines that lack something, files that cannot be written, processes that are not what they seem. Each ends
//! in a clear message that says what to do, or in correct work.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    ffi::CString,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use common::{Running, Scratch, Value, ipcscope, is, lives, number, text, trace_with, trace_workload, workload};

const NOBODY: &str = "65534";

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails with that status and says something with these words; the command was not started.
fn refuses(mut command: Command, status: i32, words: &[&str]) {
    let marker = Scratch::new("started");
    let output = command.args(["--", "sh", "-c", &format!("echo > {}", marker.0.display())]).output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(status), "{message}");
    assert!(message.starts_with("ipcscope: ") && !message.contains("panicked"), "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message}");
    }
    assert!(!marker.0.exists(), "the command ran: {message}");
}

fn mount(what: &str, at: &Path, options: &str) {
    let [kind, source] = [what, what].map(|text| CString::new(text).unwrap());
    let at = CString::new(at.to_str().unwrap()).unwrap();
    let options = CString::new(options).unwrap();
    // SAFETY: strings that end with zero.
    let done = unsafe { libc::mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
    assert_eq!(done, 0, "mount: {}", std::io::Error::last_os_error());
}

/// A small disk of our own, for a while.
struct Disk(PathBuf);

impl Disk {
    fn new(options: &str) -> Self {
        let path = Scratch::new("disk").0.clone();
        fs::create_dir(&path).unwrap();
        let disk = Self(path);
        mount("tmpfs", &disk.0, options);
        disk
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = CString::new(self.0.to_str().unwrap()).unwrap();
        // SAFETY: a string that ends with zero.
        unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
        let _ = fs::remove_dir(&self.0);
    }
}

/// ipcscope on a machine that does not describe its kernel's types: an empty folder lies over them.
fn without_btf() -> Command {
    let mut command = ipcscope();
    // SAFETY: plain system calls on strings made before.
    unsafe {
        command.pre_exec(|| {
            let none = c"none".as_ptr();
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let done = libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(none, c"/".as_ptr(), std::ptr::null(), private, std::ptr::null()) == 0
                && libc::mount(none, c"/sys/kernel/btf".as_ptr(), c"tmpfs".as_ptr(), 0, std::ptr::null()) == 0;
            if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    command
}

#[test]
#[ignore = "root"]
fn a_kernel_that_does_not_describe_itself_is_named() {
    let mut command = without_btf();
    command.arg("trace");
    refuses(command, 1, &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"]);
    let output = without_btf().arg("doctor").output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(stdout(&output).lines().any(|line| line.starts_with("FAIL  btf")), "{}", stdout(&output));
}

#[test]
#[ignore = "root"]
fn the_doctor_finds_an_old_kernel_too_old() {
    const UNAME26: libc::c_ulong = 0x002_0000;
    let mut command = ipcscope();
    // SAFETY: a plain call: uname(2) then tells of a kernel 2.6.
    unsafe {
        command.pre_exec(|| if libc::personality(UNAME26) < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) });
    }
    let output = command.arg("doctor").output().unwrap();
    let report = stdout(&output);
    assert_eq!(output.status.code(), Some(4), "{report}");
    assert!(
        report.lines().any(|line| line.starts_with("FAIL  kernel") && line.contains("older than 5.15")),
        "{report}"
    );
    assert!(report.contains("boot a newer kernel"), "{report}");
}

#[test]
#[ignore = "root"]
fn root_without_capabilities_is_told_so() {
    let dropped = || {
        let mut command = ipcscope();
        // SAFETY: plain calls: CAP_SYS_ADMIN, CAP_PERFMON and CAP_BPF are not to be had after exec.
        unsafe {
            command.pre_exec(|| {
                for capability in [21, 38, 39] {
                    libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
                }
                Ok(())
            });
        }
        command
    };
    let mut command = dropped();
    command.arg("trace");
    refuses(command, 4, &["CAP_BPF", "doctor"]);
    let output = dropped().arg("doctor").output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(stdout(&output).contains("--cap-add BPF"), "{}", stdout(&output));
}

#[test]
#[ignore = "root"]
fn a_process_that_goes_while_we_attach_is_traced_to_its_end_or_was_not_there() {
    for delay in 0..12 {
        let mut target = Command::new("sleep").arg(format!("0.{delay:02}")).spawn().unwrap();
        let pid = target.id().to_string();
        // It has to be reaped, or it would stay there as a zombie.
        let reaper = std::thread::spawn(move || target.wait());
        let output = ipcscope().args(["trace", "--json", "-o", "-", "-p", &pid]).output().unwrap();
        reaper.join().unwrap().unwrap();
        let message = stderr(&output);
        match output.status.code() {
            Some(0) => assert!(stdout(&output).contains("\"kind\":\"end\""), "{}", stdout(&output)),
            Some(1) => assert!(message.starts_with("ipcscope: ") && message.contains(&pid), "{message}"),
            other => assert_eq!(other, Some(0), "{message}"),
        }
    }
}

#[test]
#[ignore = "root"]
fn what_was_attached_to_outlives_our_sudden_death() {
    let mut target = Command::new("sleep").arg("60").spawn().unwrap();
    let mut running = Running::trace(&["-p", &target.id().to_string()]);
    running.until("it sleeps", |lines| lines.iter().any(|event| event["to"] == "BLOCKED"));
    running.signal(libc::SIGKILL);
    common::wait(&mut running.child);
    std::thread::sleep(Duration::from_millis(200));
    assert!(lives(target.id()));
    target.kill().unwrap();
    target.wait().unwrap();
}

#[test]
#[ignore = "root"]
fn a_recording_on_a_full_disk_ends_there_and_the_command_does_not() {
    let disk = Disk::new("size=64k");
    let file = disk.0.join("full.ipcs");
    let marker = Scratch::new("marker");
    let script = format!("{} busy 60000; echo > {}", workload().display(), marker.0.display());
    let output = ipcscope().args(["record", "-o"]).arg(&file).args(["--", "sh", "-c", &script]).output().unwrap();
    let message = stderr(&output);
    assert!(marker.0.exists(), "the command came to its end");
    assert!(message.contains("ipcscope: ") && message.contains("No space left"), "{message}");
    assert_eq!(output.status.code(), Some(1), "{message}");
    // What had been written can be read.
    let printed = ipcscope().args(["print", "--json"]).arg(&file).output().unwrap();
    assert!(printed.status.success(), "{}", stderr(&printed));
    let lines = common::lines(&stdout(&printed));
    assert!(is(&lines[0], "header") && is(&lines[lines.len() - 1], "end"), "{} lines", lines.len());
    assert!(stderr(&printed).contains("recording"), "it says that something is missing: {}", stderr(&printed));
}

#[test]
#[ignore = "root"]
fn a_file_that_cannot_be_written_is_named_before_anything_starts() {
    let disk = Disk::new("ro,size=64k");
    for path in [disk.0.join("x.ipcs"), disk.0.clone(), PathBuf::from("/no/such/folder/x.ipcs")] {
        for arguments in [&["record", "-o"][..], &["trace", "-o"], &["trace", "--record"]] {
            let mut command = ipcscope();
            command.args(arguments).arg(&path);
            refuses(command, 1, &[path.to_str().unwrap()]);
        }
    }
}

#[test]
#[ignore = "root"]
fn whoever_reads_our_output_may_leave() {
    let file = Scratch::new("ipcs");
    let status = ipcscope().args(["record", "-o"]).arg(&file).arg("--").arg(workload()).args(["forks", "200"]).status();
    assert!(status.unwrap().success());
    for options in [&["print"][..], &["print", "--json"]] {
        let mut child =
            ipcscope().args(options).arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        // The pipe goes with its reader.
        BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}: {}", output.status, stderr(&output));
    }
}

#[test]
#[ignore = "root"]
fn names_of_others_are_text() {
    let folder = Scratch::new("folder");
    fs::create_dir(&folder.0).unwrap();
    let evil = folder.0.join("\x1b]0;file\x07");
    symlink(workload(), &evil).unwrap();
    for options in [&["trace", "-o", "-"][..], &["trace", "--json", "-o", "-"]] {
        let output =
            ipcscope().args(options).arg("--").arg(&evil).arg("ignores").stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let bad = output.stdout.iter().find(|byte| **byte < b' ' && **byte != b'\n' || **byte == 0x7f);
        assert_eq!(bad, None, "{}", stdout(&output).escape_debug());
        for name in ["x1b]0;file", "x1b]0;name"] {
            assert!(stdout(&output).contains(name), "{name}: {}", stdout(&output));
        }
    }
    fs::remove_dir_all(&folder.0).unwrap();
}

#[test]
#[ignore = "root"]
fn a_tree_of_processes_is_told_whole() {
    let (trace, truth) = trace_workload(&["tree", "8", "2"]);
    assert_eq!(trace.kind("fork").count().to_string(), truth["processes"]);
    trace.everybody_ends();
}

#[test]
#[ignore = "root"]
fn a_thread_that_executes_takes_its_process_over() {
    let (trace, truth) = trace_workload(&["exec-thread"]);
    let pid: u64 = truth["pid"].parse().unwrap();
    let thread: u64 = truth["thread"].parse().unwrap();
    assert_ne!(pid, thread);
    let execs: Vec<&Value> = trace.kind("exec").collect();
    assert_eq!(execs.len(), 2, "{}", trace.text());
    assert!(execs.iter().all(|event| number(event, "pid") == pid && number(event, "tid") == pid), "{execs:?}");
    // Whoever writes after it is the process itself.
    let says = trace.kind("send").find(|event| text(event, "payload").starts_with("ids ")).unwrap();
    assert_eq!((number(says, "pid"), number(says, "tid")), (pid, pid));
    let exit = trace.one("the end of the process", |event| is(event, "exit") && event["thread"] != true);
    assert_eq!((number(exit, "pid"), &exit["code"]), (pid, &0.into()));
}

#[test]
#[ignore = "root"]
fn a_number_that_is_used_again_is_another_process() {
    let (trace, truth) = trace_workload(&["reuse"]);
    let Some(pid) = truth.get("reused") else {
        println!("SKIPPED (this kernel does not let us choose process ids): {truth:?}");
        return;
    };
    let pid: u64 = pid.parse().unwrap();
    let forks = trace.kind("fork").filter(|event| event["child"]["pid"] == pid).count();
    let exits = trace.kind("exit").filter(|event| event["pid"] == pid).count();
    assert_eq!((forks, exits), (2, 2), "{}", trace.text());
}

#[test]
#[ignore = "root"]
fn a_process_in_a_pid_namespace_has_two_numbers() {
    let (trace, truth) = trace_workload(&["namespace"]);
    assert_eq!((truth["inside"].as_str(), truth["second-inside"].as_str()), ("1", "2"));
    for (says, ns_pid) in [("inside 1", 1), ("second-inside 2", 2)] {
        let send = trace.kind("send").find(|event| text(event, "payload").starts_with(says)).unwrap();
        assert_eq!(send["ns_pid"], ns_pid, "{send}");
        if ns_pid == 1 {
            assert_eq!(send["pid"].to_string(), truth["child"], "{send}");
        }
    }
}

#[test]
#[ignore = "root"]
fn the_command_runs_as_who_is_asked_for() {
    let by_number = trace_with(&["-u", NOBODY], &["sh", "-c", "id -u; id -g"]);
    assert_eq!(by_number.stdout.split_whitespace().next(), Some(NOBODY), "{}", by_number.stderr);
    let by_name = trace_with(&["-u", "nobody"], &["sh", "-c", "id -u"]);
    assert_eq!(by_name.stdout.trim(), NOBODY, "{}", by_name.stderr);
    let mut command = ipcscope();
    command.args(["trace", "-u", "no-such-user-anywhere"]);
    refuses(command, 1, &["no-such-user-anywhere"]);
}

#[test]
#[ignore = "root"]
fn a_setuid_command_keeps_its_rights() {
    let folder = Scratch::new("folder");
    fs::create_dir(&folder.0).unwrap();
    let program = folder.0.join("setuid");
    fs::copy(workload(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let trace = trace_with(&["-u", NOBODY], &[program.to_str().unwrap(), "ids"]);
    assert_eq!(trace.stdout.trim(), format!("ids {NOBODY} 0"), "{}", trace.stderr);
    trace.is_whole();
    assert!(trace.kind("send").any(|event| text(event, "payload").starts_with("ids ")), "{}", trace.text());
    fs::remove_dir_all(&folder.0).unwrap();
}

#[test]
#[ignore = "root"]
fn very_many_processes_take_no_more_memory_than_many() {
    // The buffer of the kernel is ours as well: a small one.
    let peak = |count: &str| {
        let mut child = ipcscope()
            .args(["trace", "--buffer", "8M", "-o", "/dev/null", "--"])
            .arg(workload())
            .args(["forks", count])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
            peak = kib.unwrap_or(0).max(peak);
            assert!(began.elapsed() < common::PATIENCE);
            std::thread::sleep(Duration::from_millis(5));
        }
        peak
    };
    let (few, many) = (peak("1000"), peak("5000"));
    println!("1,000 processes: {few} KiB at most, 5,000: {many} KiB");
    assert!(few > 0 && many < few + 16 * 1024, "{few} KiB, then {many} KiB");
}

/// ipcscope in a pid namespace of its own, as in a container; `None`, loudly, where there is no program to make one.
fn contained(script: &str) -> Option<Output> {
    let mut command = Command::new("unshare");
    command.args(["-f", "-p", "-m", "sh", "-c"]).arg(format!("mount -t proc proc /proc && {script}"));
    match command.env("IPCSCOPE", common::program()).stdin(Stdio::null()).output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("SKIPPED (unshare(1): {error})");
            None
        }
    }
}

#[test]
#[ignore = "root"]
fn in_a_container_a_command_is_traced_and_its_numbers_are_told_apart() {
    let script = "\"$IPCSCOPE\" trace --json -o - -- sh -c 'printf hello | wc -c; exit 7'";
    let Some(output) = contained(script) else { return };
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    let lines = common::lines(&stdout(&output));
    let exec = lines.iter().find(|event| is(event, "exec")).unwrap_or_else(|| unreachable!("{lines:#?}"));
    assert!(number(exec, "ns_pid") < number(exec, "pid"), "{exec}");
    assert!(lines.iter().any(|event| is(event, "send") && event["payload"] == "hello"), "{lines:#?}");
}

#[test]
#[ignore = "root"]
fn in_a_container_processes_are_attached_to_by_their_numbers_there() {
    let script = "sleep 30 & \"$IPCSCOPE\" trace --json -o - --duration 1s -p $!; echo \"status $?\"; \
                  \"$IPCSCOPE\" trace -p 4000000; echo \"status $?\"";
    let Some(output) = contained(script) else { return };
    let lines = common::lines(&stdout(&output));
    let comms: Vec<&str> = lines.iter().filter_map(|event| event["comm"].as_str()).collect();
    assert!(!comms.is_empty() && comms.iter().all(|comm| *comm == "sleep"), "{comms:?} {}", stderr(&output));
    let statuses: Vec<String> =
        stdout(&output).lines().filter(|line| line.starts_with("status")).map(str::to_owned).collect();
    assert_eq!(statuses, ["status 0", "status 1"], "{}", stderr(&output));
}
