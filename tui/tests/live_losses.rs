//! Too much for the buffer, and very many processes: nothing is lost silently, nothing wrong is told.
#![expect(clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Trace, Value, number, trace, trace_with, truths, workload};

fn traced(options: &[&str], words: &[&str]) -> Trace {
    let program = workload();
    let mut command = vec![program.to_str().unwrap_or_default()];
    command.extend(words);
    trace_with(options, &command)
}

#[test]
#[ignore = "root"]
fn a_buffer_that_is_too_small_is_seen_to_be() {
    const MESSAGES: u64 = 100_000;
    let trace = traced(&["--buffer", "4K"], &["busy", &MESSAGES.to_string()]);
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
    // Every send and every receive is either told or counted.
    let channel = truth["channel"].as_str();
    let reads: u64 = truth["reads"].parse().unwrap_or(0);
    let (sends, receives) = (trace.on("send", channel).count() as u64, trace.on("recv", channel).count() as u64);
    // The end of file is one more.
    let calls = MESSAGES + reads + 1;
    let of_pipes = trace.end["lost_by"]["pipe"].as_u64().unwrap_or(0);
    println!("{calls} calls: {sends} sends, {receives} receives, {of_pipes} lost: {}", trace.end);
    assert!(sends + receives < calls, "some are missing");
    assert!(sends + receives + lost >= calls, "what is missing is counted");
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
