//! A recording cut anywhere says nothing after the cut that the whole one does not say.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    path::Path,
};

use serde_json::Value;

use super::{super::Decoder, *};
use crate::{
    event::FamilySet,
    trace::{FrameKind, Reader},
};

fn records(path: &Path) -> Vec<Vec<u8>> {
    let frames = Reader::new(File::open(path).unwrap()).unwrap().map(Result::unwrap);
    frames.filter(|frame| frame.kind == FrameKind::Wire).map(|frame| frame.bytes).collect()
}

/// What the decoder tells of records; `cut`: those before are not kept.
fn told(records: &[Vec<u8>], cut: usize) -> Vec<Value> {
    let mut decoder = Decoder::new(FamilySet::all(), 64);
    let mut events = Vec::new();
    if cut > 0 {
        let mut roots = Roots::default();
        records[..cut].iter().for_each(|record| roots.take(record));
        roots.records_instead().iter().for_each(|record| decoder.record(record, &mut events));
        decoder.not_kept(roots.records(), &mut events);
        roots.records_behind().iter().for_each(|record| decoder.record(record, &mut events));
    }
    records[cut..].iter().for_each(|record| decoder.record(record, &mut events));
    decoder.finish(&mut events);
    let shown = events.iter().filter(|event| !event.kind.is_quiet());
    shown.map(|event| serde_json::from_str(&event.to_json()).unwrap()).collect()
}

/// What an event is of, so that it is found again in another telling.
fn identity(event: &Value) -> String {
    let fields = ["t", "pid", "tid", "kind", "op_entered", "fd", "signal", "phase", "to", "event", "child", "syscall"];
    // An address may have been learnt before the cut.
    let is_address = |field: &str| field == "to" && matches!(event["kind"].as_str(), Some("send" | "recv"));
    fields.map(|field| if is_address(field) { String::new() } else { event[field].to_string() }).join(" ")
}

/// Who did the calls of a trace, by their numbers.
fn callers(events: &[Value]) -> HashMap<u64, (Value, Value)> {
    let calls = events.iter().filter(|event| event["kind"] == "send");
    calls.filter_map(|event| Some((event["op"].as_u64()?, (event["tid"].clone(), event["t"].clone())))).collect()
}

/// Numbers that each telling gives out itself.
const OWN: [&str; 10] =
    ["consumed_by", "seq", "op", "id", "channel", "from", "interrupted_by", "multicast", "into", "interrupted"];
/// What a telling that knows less says instead.
const UNKNOWN: [&str; 2] = ["from_unknown", "unfinished"];

/// Every fact of an event is one of the other's too.
fn says_no_more(event: &Value, of: &Value) -> Result<(), String> {
    for (field, value) in event.as_object().unwrap() {
        let known = &of[field.as_str()];
        let is_own = OWN.contains(&field.as_str()) || UNKNOWN.contains(&field.as_str());
        // A thread whose state was not known comes from nowhere.
        let says_less = field == "on" || value == known;
        if !is_own && !says_less {
            return Err(format!("{field}: {value} is {known}\n{event}\n{of}"));
        }
    }
    Ok(())
}

fn compare(
    records: &[Vec<u8>],
    cut: usize,
    whole: &BTreeMap<String, Vec<&Value>>,
    all: &HashMap<u64, (Value, Value)>,
    problems: &mut Vec<String>,
) -> usize {
    let part = told(records, cut);
    let begins = part.iter().position(|event| event["where"] == "not-kept").unwrap();
    let callers = callers(&part);
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut known = 0;
    for event in &part[begins + 1..] {
        let name = identity(event);
        let at = seen.entry(name.clone()).or_default();
        let Some(same) = whole.get(&name) else {
            // What is new to the one who begins here: a channel met for the first time.
            if !(event["kind"] == "channel" && event["event"] == "attached") {
                problems.push(format!("cut at {cut}: nobody tells of {event}"));
            }
            continue;
        };
        let of = same[(*at).min(same.len() - 1)];
        *at += 1;
        if let Err(problem) = says_no_more(event, of) {
            problems.push(format!("cut at {cut}: {problem}"));
        }
        let Some(parts) = event["from"].as_array() else { continue };
        let Some(true_parts) = of["from"].as_array() else {
            problems.push(format!("cut at {cut}: {event} names more than {of}"));
            continue;
        };
        let resolve = |parts: &[Value], of: &HashMap<u64, (Value, Value)>| {
            parts
                .iter()
                .map(|part| {
                    (part["pid"].clone(), part["bytes"].clone(), of.get(&part["op"].as_u64().unwrap()).cloned())
                })
                .collect::<Vec<_>>()
        };
        let (said, truth) = (resolve(parts, &callers), resolve(true_parts, all));
        let same_bytes = said.iter().map(|part| (&part.0, &part.1)).eq(truth.iter().map(|part| (&part.0, &part.1)));
        let same_sends = said.iter().zip(&truth).all(|(said, truth)| said.2.is_none() || said.2 == truth.2);
        known += said.iter().filter(|part| part.2.is_some()).count();
        if !same_bytes || !same_sends {
            problems.push(format!("cut at {cut}: other origins\n{event}\n{of}"));
        }
    }
    known
}

fn never_wrong(path: &Path, cuts: usize) -> usize {
    let records = records(path);
    let events = told(&records, 0);
    let all = callers(&events);
    let mut whole: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for event in &events {
        whole.entry(identity(event)).or_default().push(event);
    }
    let step = (records.len() / cuts).max(1);
    let mut problems = Vec::new();
    let known = (1..records.len()).step_by(step).map(|cut| compare(&records, cut, &whole, &all, &mut problems)).sum();
    let (count, path) = (problems.len(), path.display());
    assert!(problems.is_empty(), "{path}: {count} problems\n{}", problems[..count.min(5)].join("\n"));
    known
}

#[test]
fn a_cut_lesson_is_never_wrong() {
    let known = never_wrong(&Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons/pipeline.ipcs"), 23);
    assert!(known > 100, "what comes after the cut is told again: {known}");
}

/// Where a handler runs, its call begins anew: see the module above.
#[test]
#[ignore = "for recordings of one's own: IPCSCOPE_RECORDINGS=FOLDER cargo test -p ipcscope -- --ignored cut_recordings"]
fn cut_recordings_are_never_wrong() {
    for entry in fs::read_dir(std::env::var_os("IPCSCOPE_RECORDINGS").unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let told = std::panic::catch_unwind(|| never_wrong(&path, 97));
        println!("{}: {told:?}", path.display());
    }
}
