//! Damaged recordings, from the file to the printed line: an error or what could be salvaged, in little time and memory.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ipcscope::{
    analyze::{Findings, Lines},
    event::Ending,
    model::World,
    source::{
        merge::Merge,
        recording::{Item, Recording},
    },
    trace::{self, Batch, Frame, FrameKind, Note, Reader, Recorder, RecordingHeader, Writer},
};
use proptest::prelude::*;

/// What the present version has written; see docs/format.md.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A file for a while.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(env::temp_dir().join(format!("ipcscope-damage-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Reads, folds and prints; how many lines. An error is an answer, a panic or a long time is none.
fn through_everything(path: &Path) -> Option<usize> {
    let began = Instant::now();
    let mut recording = Recording::open(path).ok()?;
    let (mut world, mut findings, mut lines) = (World::default(), Findings::default(), Lines::new());
    let (mut events, mut bytes, mut count) = (Vec::new(), 0, 0);
    while let Ok(Some(item)) = recording.next_item(&mut events) {
        if let Item::Output(_, output) = item {
            bytes += output.len();
        }
        for event in events.drain(..) {
            findings.apply(&world, &event);
            world.apply(&event);
            bytes += event.to_json().len() + lines.full_line(&event, false).len();
            count += 1;
        }
    }
    bytes += trace::read_notes(path).unwrap().iter().map(|note| note.text.len()).sum::<usize>();
    bytes += recording.note().map_or(0, |note| note.len());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(bytes < 1 << 30);
    Some(count)
}

#[test]
fn notes_are_kept_behind_the_end_and_touch_nothing_else() {
    let file = Scratch::new("notes");
    fs::copy(fixture("small.ipcs"), &file.0).unwrap();
    let before = fs::read(&file.0).unwrap();
    assert_eq!(trace::read_notes(&file.0).unwrap(), []);
    let note = |t, text: &str| Note { t: ipcscope::event::Nanos(t), text: text.to_owned() };
    let one = [note(5, "here it goes wrong")];
    trace::write_notes(&file.0, &one).unwrap();
    let two = [note(1, ""), note(5, "here it goes wrong")];
    trace::write_notes(&file.0, &two).unwrap();
    assert_eq!(trace::read_notes(&file.0).unwrap(), two);
    let after = fs::read(&file.0).unwrap();
    assert_eq!(after[..before.len()], before);
    assert_eq!(through_everything(&file.0), through_everything(&fixture("small.ipcs")));
    assert!(Recording::open(&file.0).unwrap().note().is_some(), "nothing has been read");
    // Whatever happens to the last ones, the ones before are there; at no length is there anything else.
    for len in before.len()..after.len() {
        fs::write(&file.0, &after[..len]).unwrap();
        let notes = trace::read_notes(&file.0).unwrap();
        assert!(notes.is_empty() || notes == one, "{len}: {notes:?}");
    }
    // Nothing is written behind what is still being recorded, or was cut off.
    fs::write(&file.0, &before[..before.len() - 1]).unwrap();
    assert!(matches!(trace::write_notes(&file.0, &one), Err(trace::NotesError::NoEnd)));
    assert_eq!(fs::read(&file.0).unwrap().len(), before.len() - 1);
    // What others wrote into it gets to a screen without its control characters.
    fs::write(&file.0, &before).unwrap();
    trace::write_notes(&file.0, &[note(1, "\x1b[31mred")]).unwrap();
    assert_eq!(trace::read_notes(&file.0).unwrap(), [note(1, "[31mred")]);
    // The fixture of this version says what it said.
    assert_eq!(trace::read_notes(&fixture("noted.ipcs")).unwrap(), two);
}

#[test]
fn every_byte_flipped_and_every_length() {
    // A loss is told once for each host.
    whatever_happens_to("small.ipcs", 1);
    whatever_happens_to("alike.ipcs", 1);
    whatever_happens_to("merged.ipcs", 2);
}

fn whatever_happens_to(name: &str, hosts: usize) {
    let whole = fs::read(fixture(name)).unwrap();
    let all = through_everything(&fixture(name)).unwrap();
    assert!(all > 20, "{all}");
    let file = Scratch::new("byte");
    let mut told = 0;
    for at in 0..whole.len() {
        fs::write(&file.0, &whole[..at]).unwrap();
        told += through_everything(&file.0).unwrap_or(0);
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&file.0, &bytes).unwrap();
        let count = through_everything(&file.0).unwrap_or(0);
        assert!(count <= all + hosts, "{name}, byte {at}: more than there was");
        told += count;
    }
    assert!(told > 0);
}

fn frames(path: &Path) -> (RecordingHeader, Vec<Frame>) {
    let bytes = fs::read(path).unwrap();
    let reader = Reader::new(bytes.as_slice()).unwrap();
    (reader.header().clone(), reader.map(Result::unwrap).collect())
}

/// A recording with right checksums, whatever is in it.
fn write(path: &Path, header: &RecordingHeader, frames: &[Frame]) {
    let mut writer = Writer::new(Vec::new(), header).unwrap();
    for frame in frames {
        writer.frame(frame.kind, frame.time, &frame.bytes).unwrap();
    }
    fs::write(path, writer.finish(&Ending::default()).unwrap()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whoever wrote it was wrong, or wants to do harm: the checksums are right.
    #[test]
    fn records_that_nobody_made(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0_u8..5), 1..40),
        which in 0_usize..3,
    ) {
        let lesson = Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons/pipeline.ipcs");
        let (header, mut frames) = frames(&[lesson, fixture("small.ipcs"), fixture("merged.ipcs")][which]);
        frames.truncate(6_000);
        for (frame, at, value, how) in damage {
            if frames.is_empty() {
                break;
            }
            let index = frame.index(frames.len());
            match how {
                0 => drop(frames.remove(index)),
                1 => frames[index].time ^= u64::from(value) << 40,
                2 => frames[index].kind = FrameKind::from(value % 5),
                3 => {
                    let len = at.index(frames[index].bytes.len() + 1);
                    frames[index].bytes.truncate(len);
                }
                _ if !frames[index].bytes.is_empty() => {
                    let at = at.index(frames[index].bytes.len());
                    frames[index].bytes[at] = value;
                }
                _ => {}
            }
        }
        let file = Scratch::new("records");
        write(&file.0, &header, &frames);
        prop_assert!(through_everything(&file.0).is_some());
        // What can be read can be merged with another one, and read again.
        if which < 2 {
            let merge = Merge::prepare(&[file.0.clone(), fixture("flight.ipcs")]).unwrap();
            let merged = Scratch::new("of-records");
            fs::write(&merged.0, merge.write(Vec::new()).unwrap().0).unwrap();
            prop_assert!(through_everything(&merged.0).is_some());
        }
    }

    /// A merged recording may claim anything of its parts.
    #[test]
    fn headers_that_nobody_wrote(
        offsets in prop::collection::vec(any::<u64>(), 0..4),
        parts in 0_usize..5,
        renamed in prop::collection::vec("\\PC{0,20}", 0..4),
    ) {
        let (mut header, frames) = frames(&fixture("merged.ipcs"));
        header.parts.resize(parts, header.parts[0].clone());
        header.header.hosts.truncate(offsets.len());
        for (clock, offset) in header.header.hosts.iter_mut().zip(&offsets) {
            (clock.offset_ns, clock.host) = (*offset, "\x1b[31m".to_owned());
        }
        for part in &mut header.parts {
            part.renamed = renamed.iter().map(|name| (name.clone(), "tcp:x".to_owned())).collect();
            part.note = Some("\x1b[31m".to_owned());
        }
        let file = Scratch::new("headers");
        write(&file.0, &header, &frames);
        prop_assert!(through_everything(&file.0).is_some());
        let mut recording = Recording::open(&file.0).unwrap();
        let mut events = Vec::new();
        while recording.next_item(&mut events).unwrap().is_some() {}
        let mut lines = Lines::new();
        for event in &events {
            let line = lines.full_line(event, false);
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
        }
        prop_assert!(recording.note().is_none_or(|note| !note.chars().any(char::is_control)));
    }
}

/// What a recording says, line by line.
fn said(path: &Path) -> String {
    let mut recording = Recording::open(path).unwrap();
    let mut said = recording.header().to_json() + "\n";
    let mut events = Vec::new();
    while recording.next_item(&mut events).unwrap().is_some() {}
    for event in events.iter().filter(|event| !event.kind.is_quiet()) {
        said += &(event.to_json() + "\n");
    }
    assert_eq!(recording.note(), None);
    said
}

fn are_to_be_written() -> bool {
    env::var_os("IPCSCOPE_FIXTURES").is_some_and(|value| value == "write")
}

/// Each format that was ever written opens and says the same.
#[test]
fn fixtures_say_what_they_said() {
    for name in ["small", "flight", "merged", "families"] {
        let path = fixture(&format!("{name}.ipcs"));
        let said = said(&path);
        let expected = path.with_extension("jsonl");
        if are_to_be_written() {
            fs::write(&expected, &said).unwrap();
        }
        assert_eq!(said, fs::read_to_string(expected).unwrap(), "{name}");
    }
}

/// Written as it is today, a recording of an earlier format says the same.
#[test]
fn formats_differ_in_nothing_but_size() {
    for name in ["small", "flight", "merged", "families"] {
        let path = fixture(&format!("{name}.ipcs"));
        let (header, frames) = frames(&path);
        let file = Scratch::new("today");
        write(&file.0, &header, &frames);
        assert_eq!(said(&file.0), said(&path), "{name}");
        // The fixture of format 3.
        if name == "small" && are_to_be_written() {
            fs::copy(&file.0, fixture("alike.ipcs")).unwrap();
        }
    }
    assert_eq!(said(&fixture("alike.ipcs")), said(&fixture("small.ipcs")));
}

/// docs/format.md says how long each record is, and which number it has.
#[test]
fn the_document_is_up_to_date() {
    use ipcscope_common::{pipe, records, sem, socket};
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/format.md")).unwrap();
    let check = |told: String| assert!(document.contains(&told), "{told}");
    for record in records::ALL {
        check(format!("**`{}`**, {} bytes.", record.name, record.size));
        check(format!("| {:#x} | `{}` |", record.kind, record.name));
    }
    // What is within them.
    for (name, size) in [
        ("Position", size_of::<pipe::Position>()),
        ("Buffer", size_of::<pipe::Buffer>()),
        ("Operation", size_of::<sem::Operation>()),
        ("SocketPiece", size_of::<socket::SocketPiece>()),
        ("Endpoint", size_of::<socket::Endpoint>()),
    ] {
        check(format!("**`{name}`**, {size} bytes."));
    }
}

/// Where the child of [`killed_a_hundred_times`] writes.
const KILLED: &str = "IPCSCOPE_KILLED";

/// Numbers and noise: blocks of a MiB that do not shrink.
fn numbered(number: u64) -> Vec<u8> {
    let noise = (number..number + 512).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    std::iter::once(number).chain(noise).flat_map(u64::to_le_bytes).collect()
}

#[test]
#[ignore = "not a test: the child of killed_a_hundred_times"]
fn writes_until_it_is_killed() {
    let Some(path) = env::var_os(KILLED) else { return };
    let recorder = Recorder::start(File::create(path).unwrap(), &RecordingHeader::default(), 8 << 20).unwrap();
    let mut number = 0;
    loop {
        let mut batch = Batch::default();
        batch.push(FrameKind::Output, number, &numbered(number));
        // No room: later.
        while !recorder.record(batch.clone()) {
            thread::sleep(Duration::from_millis(1));
        }
        number += 1;
    }
}

#[test]
fn killed_a_hundred_times() {
    let file = Scratch::new("killed");
    let (mut blocks, mut longest) = (0, 0);
    for round in 0..100 {
        let _ = fs::remove_file(&file.0);
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "writes_until_it_is_killed", "--ignored"])
            .env(KILLED, &file.0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while fs::metadata(&file.0).map_or(0, |metadata| metadata.len()) == 0 {
            assert!(Instant::now() < until, "it never began");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(round * 7_919 % 97_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut reader = Reader::new(File::open(&file.0).unwrap()).unwrap();
        let frames: Vec<Frame> = reader.by_ref().map(Result::unwrap).collect();
        for (number, frame) in frames.iter().enumerate() {
            assert_eq!(frame.bytes, numbered(number as u64), "round {round}");
        }
        assert!(reader.ending().is_none() && reader.salvage().blocks_lost <= 1, "round {round}");
        // A block holds 256 of them.
        blocks += frames.len() / 256;
        longest = longest.max(frames.len());
    }
    assert!(blocks > 20 && longest > 256, "{blocks} blocks in 100 rounds");
}
