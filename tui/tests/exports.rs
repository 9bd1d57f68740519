//! Exports as the programs they are for take them: Graphviz, Wireshark, an XML parser, the Trace Event format.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output},
};

use common::{Scratch, Value, ipcscope, is, lines};

const LESSON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lessons/pipeline.ipcs");

/// The one with remote procedure calls.
const CALLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lessons/http.ipcs");

/// The lesson in a format.
fn export(format: &str, filter: &str) -> Scratch {
    export_of(LESSON, format, filter)
}

fn export_of(lesson: &str, format: &str, filter: &str) -> Scratch {
    let file = Scratch::new(format);
    let mut export = ipcscope();
    export.args(["export", lesson, "--to", format, "--filter", filter, "-o"]).arg(&file);
    let output = export.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    file
}

/// What a program says about a file; `None`, said loudly, if it is not to be had.
fn run(program: &str, arguments: &[&str], file: &Scratch) -> Option<Output> {
    let path = Path::new(file.as_ref());
    match Command::new(program).args(arguments).arg(path).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Some(output)
        }
        Err(error) => {
            println!("SKIPPED (no {program}: {error})");
            None
        }
    }
}

#[test]
fn what_is_refused_leaves_no_file() {
    let file = Scratch::new("mermaid");
    let mut export = ipcscope();
    let output = export.args(["export", LESSON, "--to", "mermaid", "-o"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Choose with --filter"));
    assert!(!Path::new(file.as_ref()).exists());
}

fn events() -> Vec<Value> {
    let output = ipcscope().args(["print", "--json", LESSON]).output().unwrap();
    lines(&String::from_utf8(output.stdout).unwrap())
}

#[test]
fn graphviz_draws_the_graph() {
    let Some(output) = run("dot", &["-Tsvg"], &export("dot", "")) else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("<svg") && text.contains(">sh ") && text.contains("pipe:["), "{text}");
}

#[test]
fn pictures_and_pages_are_well_formed() {
    let svg = export("svg", "t:0.1..0.201");
    if run("xmllint", &["--noout"], &svg).is_none() {
        return;
    }
    // A page is not XML, but it must be read without anything being guessed, but for tags its parser is too old for.
    let page = export("html", "t:0.1..0.201");
    let Some(output) = run("xmllint", &["--html", "--noout"], &page) else { return };
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let others = complaints.lines().filter(|line| line.contains("error") && !line.contains(" invalid")).count();
    assert_eq!(others, 0, "{complaints}");
}

#[test]
fn wireshark_reads_a_packet_for_each_transfer() {
    let file = export("pcapng", "");
    let arguments = ["-n", "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.cap_len", "-r"];
    let Some(output) = run("tshark", &arguments, &file) else { return };
    let packets = String::from_utf8(output.stdout).unwrap();
    let moved: Vec<Value> = events()
        .into_iter()
        .filter(|event| is(event, "send") || is(event, "recv"))
        .filter(|event| event["bytes"].as_u64().is_some_and(|bytes| bytes > 0))
        .collect();
    assert!(moved.len() > 1000);
    assert_eq!(packets.lines().count(), moved.len());
    let mut last = 0.0;
    for packet in packets.lines() {
        let fields: Vec<f64> = packet.split('\t').map(|field| field.parse().unwrap()).collect();
        assert!(fields[0] >= last && fields[1] >= fields[2], "{packet}");
        last = fields[0];
    }
}

#[test]
fn the_trace_events_are_what_their_format_wants() {
    let file = export("perfetto", "");
    let path = Path::new(file.as_ref());
    let trace: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut flows: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for event in trace["traceEvents"].as_array().unwrap() {
        let kind = event["ph"].as_str().unwrap();
        *kinds.entry(kind.to_owned()).or_default() += 1;
        assert!(event["pid"].is_u64(), "{event}");
        assert!(kind == "M" || event["ts"].as_f64().is_some_and(|ts| ts >= 0.0), "{event}");
        match kind {
            // A slice has a length, a counter numbers, a flow a beginning and an end.
            "X" => assert!(event["dur"].as_f64().is_some_and(|dur| dur >= 0.0) && event["tid"].is_u64(), "{event}"),
            "C" => assert!(event["args"].as_object().unwrap().values().all(Value::is_number), "{event}"),
            "s" => flows.entry(event["id"].as_u64().unwrap()).or_default().0 += 1,
            "f" => flows.entry(event["id"].as_u64().unwrap()).or_default().1 += 1,
            "M" | "i" => assert!(event["name"].is_string(), "{event}"),
            other => unreachable!("{other}"),
        }
    }
    assert!(["X", "C", "s", "f", "M"].iter().all(|kind| kinds.contains_key(*kind)), "{kinds:?}");
    assert!(flows.values().all(|(begun, ended)| (*begun, *ended) == (1, 1)), "{flows:?}");
}

#[test]
fn a_call_is_a_slice_of_its_caller_until_it_is_answered() {
    let trace: Value = serde_json::from_str(&export_of(CALLS, "perfetto", "").read()).unwrap();
    let of = |phase: &str, category: &str| {
        let events = trace["traceEvents"].as_array().unwrap().iter();
        events.filter(|event| event["ph"] == phase && event["cat"] == category).cloned().collect::<Vec<_>>()
    };
    let (begins, ends) = (of("b", "rpc"), of("e", "rpc"));
    let names: Vec<_> = begins.iter().map(|begin| begin["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["GET /hello", "POST /echo", "GET /missing", "GET /late"]);
    let flows = (of("s", "rpc"), of("f", "rpc"));
    for (place, (begin, end)) in begins.iter().zip(&ends).enumerate() {
        assert_eq!((&begin["id"], &begin["pid"], &begin["name"]), (&end["id"], &end["pid"], &end["name"]));
        let lasts = end["ts"].as_f64().unwrap() - begin["ts"].as_f64().unwrap();
        assert!(lasts > 100_000.0, "the server takes its time: {lasts} µs");
        let (start, finish) = (&flows.0[place], &flows.1[place]);
        assert_eq!((&start["pid"], &finish["pid"]), (&begin["pid"], &begin["args"]["server"]));
        assert_eq!(finish["ts"], end["ts"]);
    }
    assert_eq!(begins[2]["args"]["status"], "404 Not Found");
}

#[test]
fn arrows_name_what_is_called_and_answered() {
    for format in ["mermaid", "svg", "html"] {
        let text = export_of(CALLS, format, "type:tcp").read();
        for part in ["call POST /echo", "reply 200 OK to POST /echo after ", "error 404 Not Found to GET /missing"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
