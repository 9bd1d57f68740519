//! Too much for the buffer, and very many processes: nothing is lost silently, nothing wrong is told.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    time::Duration,
};

use crossbeam_channel::RecvTimeoutError;
use ipcscope::{
    decode::record::{self, Record},
    source::live::{Capture, Session, Target},
    sys::launch::{self, Launch},
};
use ipcscope_common::{call, settings::lost, signal};

use common::{Trace, Value, number, trace, trace_with, truths, workload};

fn traced(options: &[&str], words: &[&str]) -> Trace {
    let program = workload();
    let mut command = vec![program.to_str().unwrap_or_default()];
    command.extend(words);
    trace_with(options, &command)
}

/// What the end line says was lost of a class.
fn lost_of(trace: &Trace, class: &str) -> u64 {
    trace.end["lost_by"][class].as_u64().unwrap_or(0)
}

#[test]
#[ignore = "root"]
fn a_buffer_that_is_too_small_is_seen_to_be() {
    const MESSAGES: u64 = 100_000;
    let trace = traced(&["--buffer", "64K"], &["busy", &MESSAGES.to_string()]);
    let truth = truths(&trace.stdout);
    assert_eq!(trace.status.code(), Some(0), "{}", trace.stderr);
    trace.is_well_formed();
    trace.edges_are_right();
    let lost = number(&trace.end, "lost");
    assert!(lost > 0, "{}", trace.end);
    let by: u64 = trace.end["lost_by"].as_object().map_or(0, |by| by.values().filter_map(Value::as_u64).sum());
    assert_eq!(by, lost, "by class: {}", trace.end);
    let told: u64 = trace.kind("lost").map(|event| number(event, "count")).sum();
    assert_eq!(told, lost, "`lost` events: {}", trace.end);
    for event in trace.kind("lost") {
        assert!(number(event, "t_from") <= number(event, "t_to"), "{event}");
    }
    // Every call on a pipe is either told or counted: the messages, the reads, the end of file, and a write for each truth.
    let reads: u64 = truth["reads"].parse().unwrap_or(0);
    let calls = MESSAGES + reads + 1 + truth.len() as u64;
    let done = |kind| trace.kind(kind).filter(|event| !event["bytes"].is_null()).count() as u64;
    let (sends, receives) = (done("send"), done("recv"));
    println!("{calls} calls: {sends} sends, {receives} receives: {}", trace.end);
    assert!(sends + receives < calls, "some are missing");
    assert_eq!(sends + receives + lost_of(&trace, "pipe"), calls, "{}", trace.end);
    // Nothing is missing without a reason.
    assert_eq!(lost_of(&trace, "unknown"), 0, "{}", trace.end);
}

/// What came of a command through a small buffer: records of each kind, and losses of each class.
fn flood(command: &[&str]) -> (BTreeMap<u16, u64>, BTreeMap<u32, u64>) {
    let argv = std::iter::once(workload().into_os_string()).chain(command.iter().map(Into::into)).collect();
    let launch = Launch { argv, user: None, terminal: launch::Terminal::Inherit };
    let capture = Capture {
        follow: true,
        signals: true,
        pipes: true,
        mqueues: false,
        shm: false,
        sems: false,
        terminals: false,
        events: false,
        futexes: false,
        queues: true,
        sockets: true,
        rpc: false,
        sched: true,
        payload: 64,
        ring: 1 << 16,
        floor: false,
    };
    let mut session = Session::start(Target::Command(launch), capture).unwrap();
    let mut running = session.running.take().unwrap();
    let (mut records, mut lost) = (BTreeMap::new(), BTreeMap::new());
    let mut ended = false;
    loop {
        match session.batches.recv_timeout(Duration::from_millis(20)) {
            Ok(batch) => {
                for bytes in batch.iter() {
                    let header = record::header(bytes).unwrap();
                    *records.entry(header.kind).or_default() += 1;
                    if let Ok(Record::Lost(record)) = record::parse(bytes)
                        && record.over == 1
                    {
                        *lost.entry(record.class).or_default() += record.count;
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if !ended && let Some(status) = running.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            ended = true;
            session.wind_down();
        }
    }
    (records, lost)
}

fn is_pipe(file: BorrowedFd<'_>) -> bool {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    link.to_string_lossy().starts_with("pipe:")
}

#[test]
#[ignore = "root"]
fn every_record_is_there_or_counted_in_its_class() {
    const SIGNALS: u64 = 30_000;
    let (records, lost) = flood(&["signal-flood", &SIGNALS.to_string()]);
    let count = |kinds: &[u16]| kinds.iter().filter_map(|kind| records.get(kind)).sum::<u64>();
    let lost_of = |class: u32| lost.get(&class).copied().unwrap_or(0);
    println!("{records:?}, lost {lost:?}");
    assert!(lost_of(lost::SIGNAL) > 0, "{lost:?}");
    // Each is generated and delivered, and the end of the command is told to us.
    assert_eq!(count(&[signal::GENERATE, signal::DELIVER]) + lost_of(lost::SIGNAL), 2 * SIGNALS + 1);
    // Each handler returns by a call. The call after it, the next kill, is told as it begins and ends: it might have been the
    // interrupted one. What follows the last handler is a write, whose end is a record of its own if that is to a pipe.
    let to_a_pipe = u64::from(is_pipe(std::io::stdout().as_fd()));
    assert_eq!(count(&[call::CALL_END, call::CALL_BEGIN]) + lost_of(lost::CALL), 3 * SIGNALS - to_a_pipe);
    assert_eq!(lost_of(lost::UNKNOWN), 0, "{lost:?}");
}

#[test]
#[ignore = "root"]
fn a_busy_pipe_fits_the_usual_buffer() {
    let trace = traced(&[], &["busy", "50000"]);
    trace.is_whole();
    let truth = truths(&trace.stdout);
    let channel = truth["channel"].as_str();
    assert_eq!(trace.on("send", channel).count().to_string(), truth["sends"]);
    let receives = trace.on("recv", channel).filter(|event| number(event, "bytes") > 0);
    let bytes: u64 = receives.map(|event| number(event, "bytes")).sum();
    assert_eq!(bytes.to_string(), truth["received"]);
    trace.all_known(channel);
}

#[test]
#[ignore = "root"]
fn five_thousand_short_lived_processes_are_all_told() {
    let program = workload();
    let trace = trace(&[program.to_str().unwrap_or_default(), "forks", "5000"]);
    assert_eq!(trace.kind("fork").count(), 5000);
    assert_eq!(trace.kind("exit").count(), 5001);
    trace.everybody_ends();
}
