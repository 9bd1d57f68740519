//! Who may trace, whose the command and the recordings are, and what is left behind.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use common::{Running, Scratch, Value, ipcscope, program, wait};

/// nobody: no privileges, and in virtual machines not even in a database.
const NOBODY: u32 = 65534;

/// The program where everybody may run it.
struct Public(PathBuf);

impl Public {
    fn new() -> Self {
        let path = Scratch::new("program").0.clone();
        fs::copy(program(), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    /// As nobody.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.uid(NOBODY).gid(NOBODY).current_dir("/").stdin(std::process::Stdio::null());
        for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER"] {
            command.env_remove(name);
        }
        command
    }
}

impl Drop for Public {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
#[ignore = "root"]
fn without_privileges_the_way_to_get_them_is_told() {
    let public = Public::new();
    for arguments in [&["trace", "--", "true"][..], &["record", "-o", "/dev/null", "--", "true"], &["trace", "-p", "1"]]
    {
        let output = public.command().args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("ipcscope: ") && stderr.contains("sudo"), "{stderr}");
    }
}

#[test]
#[ignore = "root"]
fn without_privileges_the_doctor_says_so() {
    let public = Public::new();
    let output = public.command().arg("doctor").output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{stdout}");
    assert!(stdout.contains("sudo"), "{stdout}");
    let output = public.command().args(["doctor", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["checks"].as_array().unwrap().iter().any(|check| check["state"] == "fail"), "{report}");
}

#[test]
#[ignore = "root"]
fn the_doctor_finds_root_well() {
    let output = ipcscope().arg("doctor").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "root"]
fn under_sudo_the_command_and_the_recording_are_the_users() {
    let folder = Scratch::new("folder");
    fs::create_dir(&folder.0).unwrap();
    std::os::unix::fs::chown(&folder.0, Some(NOBODY), Some(NOBODY)).unwrap();
    let file = folder.0.join("trace.ipcs");
    let output = ipcscope()
        .env("SUDO_UID", NOBODY.to_string())
        .env("SUDO_GID", NOBODY.to_string())
        .env("SUDO_USER", "nobody")
        .args(["record", "-o"])
        .arg(&file)
        .args(["--", "sh", "-c", "cat /proc/self/status; echo \"sudo $SUDO_UID user $USER\""])
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let ids = |name: &str| -> Vec<u32> {
        let line = stdout.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(|id| id.parse().unwrap()).collect()
    };
    assert_eq!(ids("Uid:"), [NOBODY; 4]);
    assert_eq!(ids("Gid:"), [NOBODY; 4]);
    assert!(!ids("Groups:").contains(&0), "{stdout}");
    for set in ["CapPrm:", "CapEff:"] {
        let capabilities = stdout.lines().find_map(|line| line.strip_prefix(set)).unwrap();
        assert!(capabilities.trim().bytes().all(|digit| digit == b'0'), "{set} {capabilities}");
    }
    assert!(stdout.contains("sudo  user nobody"), "{stdout}");
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (NOBODY, NOBODY, 0o600));
    fs::remove_dir_all(&folder.0).unwrap();
}

#[test]
#[ignore = "root"]
fn under_sudo_nothing_is_written_that_the_user_could_not_write() {
    let secret = Scratch::new("secret");
    fs::write(&secret.0, "root's").unwrap();
    fs::set_permissions(&secret.0, fs::Permissions::from_mode(0o600)).unwrap();
    for arguments in [&["record", "-o"][..], &["trace", "-o"]] {
        let output = ipcscope()
            .env("SUDO_UID", NOBODY.to_string())
            .env("SUDO_GID", NOBODY.to_string())
            .env("SUDO_USER", "nobody")
            .args(arguments)
            .arg(&secret)
            .args(["--", "true"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(secret.read(), "root's");
    }
}

#[test]
#[ignore = "root"]
fn a_recording_is_private() {
    let file = Scratch::new("ipcs");
    let status = ipcscope().args(["record", "-o"]).arg(&file).args(["--", "true"]).status().unwrap();
    assert!(status.success());
    assert_eq!(fs::metadata(&file.0).unwrap().mode() & 0o7777, 0o600);
}

/// Ids of all programs in the kernel (bpf(2), `BPF_PROG_GET_NEXT_ID`).
fn programs() -> BTreeSet<u32> {
    const GET_NEXT_ID: i32 = 11;
    let mut ids = BTreeSet::new();
    let mut attributes = [0_u32; 32];
    // SAFETY: the attributes are a start id, a next id and zeroes.
    while unsafe { libc::syscall(libc::SYS_bpf, GET_NEXT_ID, attributes.as_mut_ptr(), size_of_val(&attributes)) == 0 } {
        attributes[0] = attributes[1];
        ids.insert(attributes[1]);
    }
    ids
}

/// Ids of the programs that a process holds.
fn programs_of(pid: u32) -> BTreeSet<u32> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let texts = files.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    texts
        .flat_map(|text| {
            let ids = text.lines().filter_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
            ids.collect::<Vec<u32>>()
        })
        .collect()
}

/// Waits until none of those programs is left: the kernel frees them some time after their last user.
fn until_gone(programs_then: &BTreeSet<u32>) {
    let began = Instant::now();
    loop {
        let left: Vec<u32> = programs().intersection(programs_then).copied().collect();
        if left.is_empty() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "programs are left: {left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "root"]
fn no_program_is_left_in_the_kernel() {
    for end in [None, Some(libc::SIGTERM), Some(libc::SIGKILL)] {
        let mut running = Running::trace(&["--", "sh", "-c", "sleep 1; true"]);
        let lines = running.until("the command", |lines| lines.iter().any(|event| event["kind"] == "exec"));
        let ours = programs_of(running.child.id());
        assert!(ours.len() > 3 && ours.is_subset(&programs()), "{ours:?}");
        if let Some(signal) = end {
            let pid = lines.iter().find(|event| event["kind"] == "exec").unwrap()["pid"].as_u64().unwrap() as u32;
            running.signal(signal);
            wait(&mut running.child);
            assert!(common::lives(pid), "it goes on without us");
        } else {
            wait(&mut running.child);
        }
        until_gone(&ours);
    }
}
