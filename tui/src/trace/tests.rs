//! Recordings survive whatever happens to them: properties over arbitrary frames and arbitrary damage.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;
use crate::event::{Ending, Header};

fn header() -> RecordingHeader {
    RecordingHeader {
        header: Header {
            schema: 1,
            kernel: "6.18.44".into(),
            command: vec!["sh".into(), "-c".into(), "ls | wc".into()],
            payload_limit: 64,
            ..Header::default()
        },
        wire: 1,
        ring_bytes: 64 << 20,
        clock: "CLOCK_MONOTONIC".into(),
        clock_start: 12_345,
        screen: Some(Screen { rows: 24, columns: 80 }),
        facts: [("cpus".to_owned(), 2.into())].into(),
        ..RecordingHeader::default()
    }
}

fn ending() -> Ending {
    Ending { events: 4, lost: 3, lost_by: [("pipe".to_owned(), 3)].into() }
}

/// A block for every `per_block` frames.
fn recording(frames: &[Frame], per_block: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    for (n, frame) in frames.iter().enumerate() {
        if n % per_block == 0 {
            writer.close().unwrap();
        }
        writer.frame(frame.kind, frame.time, &frame.bytes).unwrap();
    }
    writer.finish(&ending()).unwrap()
}

fn read(bytes: &[u8]) -> Result<(Vec<Frame>, Salvage, Option<Ending>), ReadError> {
    let mut reader = Reader::new(bytes)?;
    assert_eq!(*reader.header(), header(), "a header that can be read is the header");
    let frames = reader.by_ref().collect::<Result<_, _>>()?;
    Ok((frames, reader.salvage(), reader.ending().cloned()))
}

fn some_frames(count: u64) -> Vec<Frame> {
    (0..count)
        .map(|n| Frame {
            kind: if n % 3 == 0 { FrameKind::Output } else { FrameKind::Wire },
            time: n * 1_000 + (n % 2) * 5_000,
            bytes: (0..n * 7 % 90).map(|byte| (byte * n) as u8).collect(),
        })
        .collect()
}

/// `part` is `whole` with whole blocks left out.
fn is_subsequence(part: &[Frame], whole: &[Frame]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|frame| whole.any(|other| other == frame))
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let frame = (any::<u8>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..200))
        .prop_map(|(kind, time, bytes)| Frame { kind: kind.into(), time, bytes });
    prop::collection::vec(frame, 0..60)
}

proptest! {
    #[test]
    fn what_is_written_is_read(frames in frames(), per_block in 1_usize..20) {
        let (found, salvage, end) = read(&recording(&frames, per_block)).unwrap();
        prop_assert_eq!(found, frames);
        prop_assert!(salvage.is_complete());
        prop_assert_eq!(end, Some(ending()));
    }

    #[test]
    fn damage_never_makes_up_a_frame(
        frames in frames(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..6),
    ) {
        let mut bytes = recording(&frames, 4);
        for (at, value, how) in damage {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => drop(bytes.drain(at..(at + usize::from(value)).min(bytes.len() - 1))),
                _ => drop(bytes.splice(at..at, vec![value; usize::from(value)])),
            }
        }
        if let Ok((found, ..)) = read(&bytes) {
            prop_assert!(is_subsequence(&found, &frames));
        }
    }

    #[test]
    fn noise_is_no_recording(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
        // ... and noise behind a header holds no frames.
        let mut file = recording(&[], 1);
        let end = file.len() - 64 - 30;
        file.truncate(end);
        file.extend(bytes);
        prop_assert_eq!(read(&file).unwrap().0, vec![]);
    }
}

#[test]
fn every_truncation_is_a_prefix() {
    let frames = some_frames(40);
    let whole = recording(&frames, 5);
    let mut readable = 0;
    for len in 0..whole.len() {
        match read(&whole[..len]) {
            Ok((found, salvage, end)) => {
                assert!(frames.starts_with(&found), "cut at {len}");
                assert_eq!(found.len() % 5, 0, "whole blocks");
                assert_eq!(end, None);
                assert!(salvage.blocks_lost <= 1);
                assert!(found.len() >= readable, "a longer file has no less in it");
                readable = found.len();
            }
            Err(error) => assert!(readable == 0, "cut at {len}: {error}"),
        }
    }
    assert_eq!(readable, 40);
}

#[test]
fn every_flipped_byte_costs_no_more_than_its_block() {
    let frames = some_frames(40);
    let whole = recording(&frames, 5);
    let start = (0..whole.len()).find(|len| read(&whole[..*len]).is_ok()).unwrap();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            match read(&bytes) {
                Ok((found, salvage, end)) => {
                    assert!(is_subsequence(&found, &frames), "byte {at}");
                    assert!(found.len() >= 35 && at >= start, "byte {at}: {} frames", found.len());
                    assert_eq!(salvage.blocks_lost, 1, "byte {at}");
                    assert!(salvage.bytes_skipped > 0);
                    assert_eq!(found.len() == 40, end.is_none(), "byte {at}: either frames or the ending");
                }
                Err(error) => assert!(at < start, "byte {at}: {error}"),
            }
        }
    }
}

#[test]
fn a_missing_block_is_counted_by_its_number() {
    let frames = some_frames(30);
    let whole = recording(&frames, 10);
    let cut = |blocks: u64| {
        (0..whole.len()).find(|len| read(&whole[..*len]).is_ok_and(|r| r.0.len() as u64 == blocks * 10)).unwrap()
    };
    let bytes = [&whole[..cut(1)], &whole[cut(2)..]].concat();
    let (found, salvage, end) = read(&bytes).unwrap();
    assert_eq!(found, [&frames[..10], &frames[20..]].concat());
    assert_eq!((salvage.blocks_lost, salvage.bytes_skipped), (1, 0));
    assert_eq!(end, Some(ending()));
    assert_eq!(salvage.to_string(), "1 block of the recording (0 bytes) could not be read");
}

#[test]
fn newer_minors_open_newer_majors_name_what_they_need() {
    let mut bytes = recording(&some_frames(3), 5);
    bytes[8] = 4;
    bytes[12..28].copy_from_slice(b"7.1.0\0\0\0\0\0\0\0\0\0\0\0");
    let error = read(&bytes).unwrap_err().to_string();
    assert_eq!(error, "the recording has format 4, this ipcscope reads 3 and older: it needs ipcscope 7.1.0 or newer");
    bytes[8] = 0;
    assert!(matches!(read(&bytes), Err(ReadError::TooOld(0))));
    bytes[8] = 3;
    bytes[10] = 9;
    let json = u32::from_le_bytes(bytes[36..40].try_into().unwrap()) as usize;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..40]);
    crc.update(&bytes[44..44 + json]);
    bytes[40..44].copy_from_slice(&crc.finalize().to_le_bytes());
    assert_eq!(read(&bytes).unwrap().0, some_frames(3));
}

#[test]
fn other_files_are_refused() {
    assert!(matches!(read(b""), Err(ReadError::NotARecording)));
    assert!(matches!(read(b"\x7fELF"), Err(ReadError::NotARecording)));
    assert!(matches!(read(b"\x89ipc"), Err(ReadError::CutOff)));
}

#[test]
fn blocks_close_by_size_and_by_age() {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    let empty = writer.written();
    writer.frame(FrameKind::Wire, 1, b"x").unwrap();
    writer.tick(10_000_000_000).unwrap();
    writer.tick(10_900_000_000).unwrap();
    assert_eq!(writer.written(), empty);
    writer.tick(11_000_000_000).unwrap();
    let one = writer.written();
    assert!(one > empty);
    writer.tick(20_000_000_000).unwrap();
    assert_eq!(writer.written(), one, "nothing to write");
    writer.frame(FrameKind::Wire, 2, &vec![0; 1 << 20]).unwrap();
    assert!(writer.written() > one);
    assert!(matches!(writer.frame(FrameKind::Wire, 3, &vec![0; 9 << 20]), Err(WriteError::FrameTooLong(_))));
}

/// A file of which the test keeps hold, that fails after so many bytes.
#[derive(Clone, Default)]
struct Disk {
    file: Arc<Mutex<Vec<u8>>>,
    size: Option<usize>,
    delay: Duration,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::thread::sleep(self.delay);
        let mut file = self.file.lock().unwrap();
        let room = self.size.map_or(bytes.len(), |size| size - file.len()).min(bytes.len());
        file.extend_from_slice(&bytes[..room]);
        if room == 0 { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(room) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn batch(frames: &[Frame]) -> Batch {
    let mut batch = Batch::default();
    for frame in frames {
        batch.push(frame.kind, frame.time, &frame.bytes);
    }
    batch
}

#[test]
fn a_recorder_writes_what_it_gets() {
    let disk = Disk::default();
    let recorder = Recorder::start(disk.clone(), &header(), 1 << 20).unwrap();
    let frames = some_frames(100);
    for frames in frames.chunks(7) {
        assert!(recorder.record(batch(frames)));
    }
    let progress = recorder.finish(ending()).unwrap();
    let file = disk.file.lock().unwrap();
    assert_eq!(progress, Progress { frames: 100, written: file.len() as u64, lost: 0 });
    assert_eq!(read(&file).unwrap(), (frames, Salvage::default(), Some(ending())));
}

#[test]
fn a_slow_disk_loses_frames_and_says_so() {
    let disk = Disk { delay: Duration::from_millis(30), ..Disk::default() };
    let recorder = Recorder::start(disk.clone(), &header(), 3 << 20).unwrap();
    let big = Frame { kind: FrameKind::Wire, time: 5, bytes: vec![1; 1 << 20] };
    let begin = Instant::now();
    let taken = (0..20).filter(|_| recorder.record(batch(std::slice::from_ref(&big)))).count() as u64;
    assert!(begin.elapsed() < Duration::from_millis(500), "nobody waited for the disk");
    assert!(taken < 20);
    let progress = recorder.finish(ending()).unwrap();
    assert_eq!((progress.frames, progress.lost), (taken, 20 - taken));
    let (found, _, end) = read(&disk.file.lock().unwrap()).unwrap();
    assert_eq!(found.len() as u64, taken);
    let end = end.unwrap();
    assert_eq!((end.lost, end.lost_by["recording"]), (3 + 20 - taken, 20 - taken));
}

#[test]
fn a_full_disk_is_reported_once_and_leaves_what_fitted() {
    let disk = Disk { size: Some(4_000), ..Disk::default() };
    let recorder = Recorder::start(disk.clone(), &header(), 1 << 30).unwrap();
    let noise = |seed: u64| (0..2 << 20).map(|n: u64| (n.wrapping_mul(seed * 2 + 0x9e37_79b9) >> 13) as u8).collect();
    assert!(recorder.record(batch(&some_frames(10))));
    for seed in 0..4 {
        let big = Frame { kind: FrameKind::Wire, time: 9, bytes: noise(seed) };
        assert!(recorder.record(batch(&[big])));
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let failure = loop {
        match recorder.failure() {
            Some(failure) => break failure,
            None => assert!(Instant::now() < deadline),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(failure.to_string().contains("No space left"), "{failure}");
    let progress = recorder.finish(ending()).unwrap();
    assert!(progress.lost > 0);
    read(&disk.file.lock().unwrap()).unwrap();
    // A disk that is full at once is known before anything starts.
    assert!(Recorder::start(Disk { size: Some(0), ..Disk::default() }, &header(), 1).is_err());
}

#[test]
#[ignore = "a measurement: cargo test --release -p ipcscope -- --ignored --nocapture throughput"]
fn throughput() {
    // Like kernel records: 64 bytes, mostly small numbers, times and addresses that move on.
    let mut records = Vec::new();
    let mut random = 1_u64;
    for n in 0..3_000_000_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut record = [0_u8; 64];
        let time = n * 700 + (random >> 56);
        for (slot, value) in
            [n % 5, n, time, 4_711 << 32 | (4_711 + n % 7), 0xffff_8881_0000_0000 | (n % 64) << 8, random >> 50]
                .into_iter()
                .enumerate()
        {
            record[slot * 8..slot * 8 + 8].copy_from_slice(&value.to_le_bytes());
        }
        records.push((time, record));
    }
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    let begin = Instant::now();
    for (time, record) in &records {
        writer.frame(FrameKind::Wire, *time, record).unwrap();
    }
    let file = writer.finish(&ending()).unwrap();
    let mb = (records.len() * 64) as f64 / 1e6;
    let write = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let count = Reader::new(file.as_slice()).unwrap().map(Result::unwrap).count();
    let read = begin.elapsed().as_secs_f64();
    assert_eq!(count, records.len());
    let ratio = mb * 1e6 / file.len() as f64;
    println!("write {:.0} MB/s, read {:.0} MB/s, ratio {ratio:.1}", mb / write, mb / read);
}
