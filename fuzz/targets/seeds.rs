//! `seeds FOLDER FILE…`: what each target begins with, out of recordings, scripts and rules, in `FOLDER/TARGET/`.
//!
//! Fails if what a target is there for does not come out of its seeds: then it would fuzz nothing.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use ipcscope::{
    event::Kind,
    trace::{Frame, FrameKind},
};
use ipcscope_common::{Header, records, socket::SocketCall};
use ipcscope_fuzz::{file, frames, sends, told};
use zerocopy::FromBytes as _;

/// An input is no longer, bytes; what a recording begins with is in all of its inputs.
const MOST: usize = 12 << 10;
const BEGINNING: usize = 4 << 10;

const FILTERS: [&str; 12] = [
    "kind:signal pid:4711 | !(comm:cat error:EPIPE)",
    "bytes>100 bytes<=4k dur>=1.5ms",
    "t:1.5..2.0 | t:..1",
    "'a b' \"c\\\"d\" channel:8124",
    "signal:PIPE phase:deliver",
    "host:a pid:1@a state:BLOCKED",
    "payload:\"GET /\" fd:3 syscall:read",
    "kind:rpc method:/ status:200 id:7",
    "x: 1..3 kind:send within 1.5s\nno-deadlock\nall: every-message-received # c",
    "x: no kind:signal\ny: ..2 bytes>3 within 3500ms",
    "signal,pipe,-sched",
    "all",
];

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().unwrap_or_default();
    let mut to = Corpus { folder, count: 0, rpcs: 0 };
    for path in arguments {
        let bytes = fs::read(&path)?;
        match file::read(&bytes) {
            Some((_, frames)) => to.recording(&bytes, &frames)?,
            // A script.
            None => to.put("text", &[&[2], &*bytes].concat())?,
        }
    }
    for (choice, filter) in (0..4).flat_map(|choice| FILTERS.map(|filter| (choice, filter))) {
        to.put("text", &[&[choice], filter.as_bytes()].concat())?;
    }
    let blanks =
        records::ALL.iter().map(|record| frames::blank(record, &Header { tid: 1, tgid: 1, ..Header::default() }));
    let blanks: Vec<Frame> = blanks.map(|bytes| Frame { kind: FrameKind::Wire, time: 0, bytes }).collect();
    to.records(&blanks)?;
    println!("{} seeds", to.count);
    if to.rpcs == 0 { Err(io::Error::other("no procedure call comes out of the seeds")) } else { Ok(()) }
}

struct Corpus {
    folder: PathBuf,
    count: usize,
    rpcs: usize,
}

impl Corpus {
    fn put(&mut self, target: &str, bytes: &[u8]) -> io::Result<()> {
        let folder: &Path = &self.folder.join(target);
        fs::create_dir_all(folder)?;
        self.count += 1;
        fs::write(folder.join(format!("seed-{:04}", self.count)), bytes)
    }

    fn recording(&mut self, bytes: &[u8], frames: &[Frame]) -> io::Result<()> {
        if bytes.len() <= MOST {
            self.put("recording", bytes)?;
        }
        // Behind the beginning, one piece after the other.
        let beginning = frames::decode(&frames::encode(frames, BEGINNING));
        let mut rest = frames.get(beginning.len()..).unwrap_or_default();
        for _ in 0..16 {
            let piece = frames::decode(&frames::encode(rest, MOST - BEGINNING));
            rest = rest.get(piece.len().max(1)..).unwrap_or_default();
            self.records(&[&*beginning, &*piece].concat())?;
            if rest.is_empty() {
                break;
            }
        }
        self.payload(frames)
    }

    /// As records of one host and of two; on a screen.
    fn records(&mut self, frames: &[Frame]) -> io::Result<()> {
        let mut frames = frames.to_vec();
        let is_merged = frames.iter().any(|frame| frame.kind == FrameKind::Part);
        for frame in frames.iter_mut().filter(|frame| frame.kind == FrameKind::Part) {
            let [part, kind, bytes @ ..] = &*frame.bytes else { continue };
            frame.kind = if *part == 0 { (*kind).into() } else { FrameKind::Part };
            frame.bytes = bytes.to_vec();
        }
        let frames = frames::encode(&frames, MOST);
        let choice = self.count as u8 % 10;
        let ways: &[u8] = if is_merged { &[1] } else { &[0, 2] };
        for way in ways {
            self.put("records", &[&[choice, *way], &*frames].concat())?;
        }
        let screen: &[&[u8; 16]] = &[b"\x50\x18\x001234fe\0tas/n+", b"\xa0\x32\x411\x04\0s\0e\x043+-c?q"];
        for keys in screen {
            self.put("screens", &[&keys[..], &*frames].concat())?;
        }
        Ok(())
    }

    /// What was sent, by who sent it.
    fn payload(&mut self, frames: &[Frame]) -> io::Result<()> {
        let mut sends = Vec::new();
        let mut first = None;
        for frame in frames {
            let Ok((call, payload)) = SocketCall::read_from_prefix(&frame.bytes) else { continue };
            let is_send = call.header.kind == ipcscope_common::socket::SOCKET_CALL && call.flags & 1 != 0;
            if frame.kind == FrameKind::Wire && is_send && !payload.is_empty() {
                let second = *first.get_or_insert(call.end.sock) != call.end.sock;
                sends.push(Frame { kind: u8::from(second).into(), time: 0, bytes: payload.to_vec() });
            }
        }
        for choice in 0..4 {
            if !sends.is_empty() {
                let input = frames::encode(&sends, MOST);
                self.put("payload", &[&[9, choice], &*input].concat())?;
                told::decode(&sends::records(&sends, choice), 0, |event| {
                    self.rpcs += usize::from(matches!(event.kind, Kind::Rpc(_)));
                });
            }
        }
        Ok(())
    }
}
