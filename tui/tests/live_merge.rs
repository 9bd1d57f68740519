//! A client and a server in network namespaces of their own, recorded by two ipcscopes, on one time line.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    mem::offset_of,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use common::{Scratch, Trace, Value, ipcscope, number, text, trace, truths, workload};
use ipcscope::trace::{FrameKind, Reader, Writer};
use ipcscope_common::{
    Header,
    descriptor::{DESCRIPTOR, Descriptor},
    socket::{SOCKET_CALL, SOCKET_CHANGE, SocketCall, SocketChange},
};

/// Numbers the namespaces of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Two network namespaces with a cable between; gone when this is.
struct Namespaces([String; 2]);

fn ip(words: &[&str]) -> bool {
    let output = Command::new("ip").args(words).output();
    output.is_ok_and(|output| output.status.success())
}

impl Namespaces {
    /// `None`: there is no ip(8), or it may not.
    fn new(id: u32) -> Option<Self> {
        let names = ["client", "server"].map(|side| format!("ipcscope-{side}-{}-{id}", std::process::id()));
        let made = Self(names);
        let [client, server] = &made.0;
        let cables = ["c", "s"].map(|side| format!("ipcs{side}{}.{id}", std::process::id() % 1_000_000));
        let done = ip(&["netns", "add", client])
            && ip(&["netns", "add", server])
            && ip(&[
                "link", "add", &cables[0], "netns", client, "type", "veth", "peer", "name", &cables[1], "netns", server,
            ])
            && [(client, &cables[0], "10.77.0.1/24"), (server, &cables[1], "10.77.0.2/24")].iter().all(
                |(space, cable, address)| {
                    ip(&["-n", space, "addr", "add", address, "dev", cable])
                        && ip(&["-n", space, "link", "set", cable, "up"])
                },
            );
        done.then_some(made)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.0 {
            ip(&["netns", "del", name]);
        }
    }
}

fn record(file: &Scratch, namespace: Option<&str>, words: &[&str]) -> Child {
    let mut command = ipcscope();
    command.args(["record", "-o"]).arg(file).arg("--");
    if let Some(namespace) = namespace {
        command.args(["ip", "netns", "exec", namespace]);
    }
    // By a relative path: a recording that is kept must not say where it was made.
    let program = workload();
    command.current_dir(program.parent().unwrap());
    command.arg(Path::new(".").join(program.file_name().unwrap())).args(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Recordings of both ends, and what the client says.
fn recorded(messages: &str) -> ([Scratch; 2], String) {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let spaces = Namespaces::new(id);
    if spaces.is_none() {
        println!("no network namespaces here: both ends are in one");
    }
    let address = format!("{}:{}", if spaces.is_some() { "10.77.0.2" } else { "127.0.0.1" }, 7070 + id);
    let [client, server] = spaces.as_ref().map_or([None; 2], |spaces| [Some(&*spaces.0[0]), Some(&*spaces.0[1])]);
    let files = [Scratch::new("client.ipcs"), Scratch::new("server.ipcs")];
    let serves = record(&files[1], server, &["tcp-serve", &address]);
    let asks = record(&files[0], client, &["tcp-ask", &address, messages]);
    let mut said = String::new();
    for child in [asks, serves] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        said += &String::from_utf8_lossy(&output.stdout);
    }
    (files, said)
}

/// Runs ipcscope; what it prints and what it says besides.
fn run(words: &[&str], files: &[&Path]) -> (String, String) {
    let output = ipcscope().args(words).args(files).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    // diagnose: something was found.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{words:?}: {told}");
    (String::from_utf8_lossy(&output.stdout).into_owned(), told)
}

fn merge(files: [&Path; 2]) -> (Scratch, Trace, String) {
    let merged = Scratch::new("merged.ipcs");
    let (_, told) = run(&["merge", "-o", merged.0.to_str().unwrap()], &files);
    let (lines, _) = run(&["print", "--json"], &[&merged.0]);
    let trace = Trace::parse(&lines, std::process::ExitStatus::default(), lines.clone(), String::new());
    (merged, trace, told)
}

/// What is true of every conversation that was merged.
fn is_one_conversation(trace: &Trace, channel: &str, bytes: u64) {
    assert_eq!(trace.end["lost"], 0, "{}", trace.end);
    trace.is_well_formed();
    trace.edges_are_right();
    let hosts: Vec<&str> = trace.header["hosts"].as_array().unwrap().iter().map(|host| text(host, "host")).collect();
    assert_eq!(hosts.len(), 2);
    assert!(trace.events.iter().all(|event| hosts.contains(&text(event, "host"))));
    let sends: HashMap<u64, &Value> = trace.on("send", channel).map(|event| (number(event, "op"), event)).collect();
    let senders: BTreeSet<&str> = sends.values().map(|event| text(event, "host")).collect();
    assert_eq!(senders, hosts.iter().copied().collect(), "both send on one channel");
    let mut received = HashMap::new();
    for event in trace.on("recv", channel).filter(|event| event["bytes"].as_u64().unwrap_or(0) > 0) {
        for part in event["from"].as_array().unwrap_or_else(|| unreachable!("{event}")) {
            let send = sends[&number(part, "op")];
            assert_ne!(send["host"], event["host"], "{event}");
            assert_eq!((&send["host"], &send["pid"]), (&part["host"], &part["pid"]), "{event}");
            let entered = number(send, "t") - number(send, "took_ns").min(number(send, "t"));
            assert!(entered <= number(event, "t"), "received before it was sent: {event}, {send}");
        }
        *received.entry(text(event, "host")).or_insert(0) += number(event, "bytes");
    }
    assert_eq!(received.into_values().collect::<Vec<_>>(), [bytes, bytes], "both got all");
}

/// The same recording, as if the machine were another one whose clock is ahead.
fn elsewhere(file: &Scratch, ahead: u64) -> Scratch {
    let read = fs::read(&file.0).unwrap();
    let reader = Reader::new(read.as_slice()).unwrap();
    let mut header = reader.header().clone();
    "another".clone_into(&mut header.header.boot_id);
    "elsewhere".clone_into(&mut header.header.host);
    "2020-02-02T02:02:02.000000000Z".clone_into(&mut header.header.start);
    header.clock_start += ahead;
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    for frame in reader {
        let mut frame = frame.unwrap();
        if frame.kind == FrameKind::Wire {
            let kind = u16::from_le_bytes(frame.bytes[14..16].try_into().unwrap());
            let mut later = vec![offset_of!(Header, time)];
            match kind {
                SOCKET_CALL => later.extend([offset_of!(SocketCall, entered), offset_of!(SocketCall, copied)]),
                SOCKET_CHANGE => later.push(offset_of!(SocketChange, entered)),
                DESCRIPTOR => later.push(offset_of!(Descriptor, entered)),
                _ => {}
            }
            for at in later {
                let time = u64::from_le_bytes(frame.bytes[at..at + 8].try_into().unwrap());
                let moved = if time == 0 { 0 } else { time + ahead };
                frame.bytes[at..at + 8].copy_from_slice(&moved.to_le_bytes());
            }
        }
        writer.frame(frame.kind, frame.time, &frame.bytes).unwrap();
    }
    let moved = Scratch::new("moved.ipcs");
    fs::write(&moved.0, writer.finish(&ipcscope::event::Ending::default()).unwrap()).unwrap();
    moved
}

#[test]
#[ignore = "root"]
fn two_ends_in_two_namespaces_are_one_conversation() {
    let ([client, server], said) = recorded("200");
    let truth = truths(&said);
    let bytes: u64 = truth["bytes"].parse().unwrap();
    let (merged, trace, told) = merge([&client.0, &server.0]);
    is_one_conversation(&trace, &truth["channel"], bytes);
    let second = &trace.header["hosts"][1];
    assert_eq!((&second["basis"], &second["uncertainty_ns"]), (&"same-boot".into(), &0.into()), "{told}");
    // Everything else works on it as on any recording.
    run(&["stats", "--json"], &[&merged.0]);
    run(&["stats"], &[&merged.0]);
    run(&["diagnose", "--json"], &[&merged.0]);
    for format in ["perfetto", "csv", "pcapng"] {
        run(&["export", "--to", format], &[&merged.0]);
    }
    let (lines, _) = run(&["print", "--filter", "kind:recv type:tcp host:nobody"], &[&merged.0]);
    assert_eq!(lines, "");

    // With a clock of its own, the server is found where it is, as nearly as is told.
    let moved = elsewhere(&server, 987_654_321_012);
    let (far, moved_trace, told) = merge([&client.0, &moved.0]);
    let found = &moved_trace.header["hosts"];
    assert_eq!(found[1]["basis"], "messages", "{told}");
    let uncertainty = number(&found[1], "uncertainty_ns");
    let apart = |hosts: &Value| number(&hosts[1], "offset_ns") as i64 - number(&hosts[0], "offset_ns") as i64;
    let off = (apart(found) - apart(&trace.header["hosts"])).unsigned_abs();
    assert!(off <= uncertainty && uncertainty < 1_000_000, "{off} ns off: {told}");
    println!("{told}{off} ns off");
    let names: BTreeSet<&str> = moved_trace.events.iter().map(|event| text(event, "host")).collect();
    assert!(names.contains("elsewhere"));
    is_one_conversation(&moved_trace, &truth["channel"], bytes);
    drop(far);
}

/// Who traces both needs no merge: the count of bytes says that it is one connection.
#[test]
#[ignore = "root"]
fn one_trace_of_two_namespaces_has_one_connection() {
    let Some(spaces) = Namespaces::new(NEXT.fetch_add(1, Ordering::Relaxed)) else {
        println!("NOT TESTED: there are no network namespaces here");
        return;
    };
    let [client, server] = &spaces.0;
    let program = workload();
    let (program, address) = (program.display(), "10.77.0.2:7060");
    let script = format!(
        "ip netns exec {server} {program} tcp-serve {address} & ip netns exec {client} {program} tcp-ask {address} 200; wait"
    );
    let trace = trace(&["sh", "-c", &script]);
    let truth = truths(&trace.stdout);
    trace.edges_are_right();
    trace.all_known(&truth["channel"]);
    let sends: HashMap<u64, u64> =
        trace.on("send", &truth["channel"]).map(|send| (number(send, "op"), number(send, "pid"))).collect();
    let mut received = HashMap::new();
    for event in trace.on("recv", &truth["channel"]).filter(|event| event["bytes"].as_u64() > Some(0)) {
        for part in event["from"].as_array().unwrap() {
            assert_eq!(sends[&number(part, "op")], number(part, "pid"));
            assert_ne!(number(part, "pid"), number(event, "pid"));
        }
        *received.entry(number(event, "pid")).or_insert(0) += number(event, "bytes");
    }
    let bytes: u64 = truth["bytes"].parse().unwrap();
    assert_eq!(received.into_values().collect::<Vec<u64>>(), [bytes, bytes], "both got all");
}

#[test]
#[ignore = "root"]
fn what_cannot_be_merged_is_refused_and_nothing_is_overwritten() {
    let ([client, server], _) = recorded("3");
    let before = fs::read(&client.0).unwrap();
    for (out, files, told) in [
        (&client, [&client, &server], "it is one of the recordings"),
        (&Scratch::new("out"), [&client, &client], "they are the same recording"),
    ] {
        let files: Vec<PathBuf> = files.iter().map(|file| file.0.clone()).collect();
        let output = ipcscope().args(["merge", "-o"]).arg(out).args(files).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(told));
    }
    assert_eq!(fs::read(&client.0).unwrap(), before);
    if std::env::var_os("IPCSCOPE_FIXTURES").is_some_and(|value| value == "write") {
        let (merged, ..) = merge([&client.0, &elsewhere(&server, 987_654_321_012).0]);
        fs::copy(&merged.0, Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/merged.ipcs")).unwrap();
    }
}
