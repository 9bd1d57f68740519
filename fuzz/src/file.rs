//! Recordings as bytes: mutated where they are not protected, and with checksums made right where they are.

use std::io::Cursor;

use ipcscope::{
    event::Ending,
    trace::{Frame, Reader, RecordingHeader, Writer},
};
use libfuzzer_sys::fuzzer_mutate;

use crate::mutate::{self, Dice};

/// As `trace` has them: how long a prologue and the head of a block are, and how a block begins.
const PROLOGUE: usize = 44;
const BLOCK: usize = 64;
const MARKER: &[u8] = b"\xf5ipcblk\x9e";

/// Changes a recording: its frames, its header, or its bytes, mostly so that the checksums are right.
pub fn input(data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    let mut dice = Dice::new(seed);
    let way = dice.below(8);
    if way < 4
        && let Some((header, mut frames)) = data.get(..size).and_then(read)
    {
        for _ in 0..=dice.below(4) {
            mutate::change(&mut frames, &mut dice);
        }
        if let Some(made) = write(&header, &frames).filter(|made| made.len() <= most) {
            return mutate::put(data, &made, most);
        }
    }
    let size = fuzzer_mutate(data, size, most);
    if way != 7
        && let Some(bytes) = data.get_mut(..size)
    {
        repair(bytes);
    }
    size
}

/// Its header and frames, if there are any.
pub fn read(bytes: &[u8]) -> Option<(RecordingHeader, Vec<Frame>)> {
    let mut reader = Reader::new(Cursor::new(bytes)).ok()?;
    let frames: Vec<Frame> = reader.by_ref().take(4096).map_while(Result::ok).collect();
    (!frames.is_empty()).then(|| (reader.header().clone(), frames))
}

/// A recording with an end.
pub fn write(header: &RecordingHeader, frames: &[Frame]) -> Option<Vec<u8>> {
    let mut writer = Writer::new(Vec::new(), header).ok()?;
    for frame in frames {
        writer.frame(frame.kind, frame.time, &frame.bytes).ok()?;
    }
    writer.finish(&Ending::default()).ok()
}

/// Makes lengths and checksums right: of the prologue, and of every block that begins with a marker.
pub fn repair(bytes: &mut [u8]) {
    let Some((prologue, rest)) = bytes.split_first_chunk_mut::<PROLOGUE>() else { return };
    let id: [u8; 8] = prologue[28..36].try_into().unwrap_or_default();
    // The header ends where the first block begins.
    let len = position(rest).unwrap_or(rest.len());
    prologue[36..40].copy_from_slice(&(len as u32).to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&prologue[..40]);
    sum.update(&rest[..len]);
    prologue[40..].copy_from_slice(&sum.finalize().to_le_bytes());
    let mut rest = &mut rest[len..];
    while let Some((head, behind)) = rest.split_first_chunk_mut::<BLOCK>() {
        let len = position(behind).unwrap_or(behind.len());
        head[8..16].copy_from_slice(&id);
        head[52..56].copy_from_slice(&(len as u32).to_le_bytes());
        let (contents, next) = behind.split_at_mut(len);
        head[56..60].copy_from_slice(&crc32fast::hash(contents).to_le_bytes());
        let sum = crc32fast::hash(&head[..60]);
        head[60..].copy_from_slice(&sum.to_le_bytes());
        rest = next;
    }
}

fn position(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MARKER.len()).position(|window| window == MARKER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_recording_needs_no_repair_and_a_damaged_one_can_be_read_after_it() {
        let whole = include_bytes!("../../tui/tests/fixtures/small.ipcs");
        let mut bytes = whole.to_vec();
        repair(&mut bytes);
        assert_eq!(bytes, whole);
        bytes[40] ^= 1;
        assert!(read(&bytes).is_none());
        repair(&mut bytes);
        assert_eq!(read(&bytes), read(whole));
        let (header, frames) = read(whole).unwrap_or_default();
        assert_eq!(write(&header, &frames).as_deref().and_then(read), Some((header, frames)));
    }
}
