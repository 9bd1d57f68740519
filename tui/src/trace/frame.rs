//! Frames, and how they lie in a block.

use super::alike::{Alike, unzigzag, zigzag};

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// A record of the kernel side, as it came.
    Wire,
    /// Bytes the command wrote to its terminal.
    Output,
    /// What was before is not kept: how many records, 8 bytes. The records before it in the file stand for them.
    NotKept,
    /// In a merged recording: a frame of one of its parts, see [`Frame::of_part`].
    Part,
    /// Of a later version: to be passed over. 16 to 31 are reserved for notes.
    Other(u8),
}

impl FrameKind {
    /// Its number in a file.
    pub fn code(self) -> u8 {
        match self {
            Self::Wire => 1,
            Self::Output => 2,
            Self::NotKept => 3,
            Self::Part => 4,
            Self::Other(code) => code,
        }
    }
}

impl From<u8> for FrameKind {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::Wire,
            2 => Self::Output,
            3 => Self::NotKept,
            4 => Self::Part,
            code => Self::Other(code),
        }
    }
}

/// One frame of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: FrameKind,
    /// When, ns since the start of the trace; frames are not in order of it.
    pub time: u64,
    /// What it holds, opaque here.
    pub bytes: Vec<u8>,
}

/// What a frame of a merged recording holds of one of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfPart<'a> {
    /// The part's place in the header.
    pub part: usize,
    /// The frame's kind in the part's own recording; `None`: the part ends here, the bytes say how (JSON, as at the end
    /// of a recording).
    pub kind: Option<FrameKind>,
    /// As in the part's own recording.
    pub bytes: &'a [u8],
}

impl OfPart<'_> {
    /// As a frame of kind [`FrameKind::Part`] holds it: place, kind (0 at the end), bytes.
    pub fn encode(&self, to: &mut Vec<u8>) {
        to.clear();
        to.extend([self.part as u8, self.kind.map_or(0, FrameKind::code)]);
        to.extend_from_slice(self.bytes);
    }
}

impl Frame {
    /// Nothing yet: to be read into.
    pub const fn empty() -> Self {
        Self { kind: FrameKind::Other(0), time: 0, bytes: Vec::new() }
    }

    /// A record of the kernel side, or the end of a part, which is as late as its last.
    pub fn is_record(&self) -> bool {
        match self.of_part() {
            Some(of) => matches!(of.kind, None | Some(FrameKind::Wire)),
            None => self.kind == FrameKind::Wire,
        }
    }

    /// What it holds of a part, if it is of a merged recording.
    pub fn of_part(&self) -> Option<OfPart<'_>> {
        let [part, kind, bytes @ ..] = self.bytes.as_slice() else { return None };
        let kind = (*kind != 0).then(|| FrameKind::from(*kind));
        (self.kind == FrameKind::Part).then_some(OfPart { part: usize::from(*part), kind, bytes })
    }
}

/// Appends a frame to a block's contents; `previous` is the time of the frame before.
pub(super) fn encode(
    contents: &mut Vec<u8>,
    alike: &mut Alike,
    previous: u64,
    kind: FrameKind,
    time: u64,
    bytes: &[u8],
) {
    contents.push(kind.code());
    put_varint(contents, zigzag(time.wrapping_sub(previous)));
    put_varint(contents, bytes.len() as u64);
    if kind == FrameKind::Wire {
        alike.encode(contents, time, bytes);
    } else {
        contents.extend_from_slice(bytes);
    }
}

/// Takes a frame off the front of `contents`; `None` if what is there is not a whole frame. What the frame held before goes,
/// its room is used again. `alike`: records are told as differences, as in blocks of version 3.
pub(super) fn decode(contents: &mut &[u8], alike: Option<&mut Alike>, previous: u64, frame: &mut Frame) -> Option<()> {
    let (kind, rest) = contents.split_first()?;
    *contents = rest;
    let difference = unzigzag(take_varint(contents)?);
    let len = usize::try_from(take_varint(contents)?).ok()?;
    (frame.kind, frame.time) = ((*kind).into(), previous.wrapping_add(difference));
    frame.bytes.clear();
    match alike {
        Some(alike) if frame.kind == FrameKind::Wire => alike.decode(contents, frame.time, len, &mut frame.bytes),
        _ => {
            let (bytes, rest) = contents.split_at_checked(len)?;
            *contents = rest;
            frame.bytes.extend_from_slice(bytes);
            Some(())
        }
    }
}

pub(super) fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

pub(super) fn take_varint(from: &mut &[u8]) -> Option<u64> {
    // Most are a byte.
    if let [byte @ ..0x80, rest @ ..] = from {
        *from = rest;
        return Some(u64::from(*byte));
    }
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::*;

    #[test]
    fn varints_are_read_as_written() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut rest = bytes.as_slice();
            assert_eq!(take_varint(&mut rest), Some(value));
            assert!(rest.is_empty());
            assert_eq!(take_varint(&mut &*bytes.split_last().unwrap().1), None, "{value} cut short");
        }
        assert_eq!(take_varint(&mut &[0xff; 11][..]), None, "too long");
    }

    #[test]
    fn small_steps_take_little_room() {
        let (mut contents, mut alike) = (Vec::new(), Alike::new());
        encode(&mut contents, &mut alike, 1_000_000, FrameKind::NotKept, 1_000_050, &[7; 3]);
        assert_eq!(contents, [3, 100, 3, 7, 7, 7], "50 ns later");
        contents.clear();
        encode(&mut contents, &mut alike, 1_000_050, FrameKind::Output, 1_000_000, &[]);
        assert_eq!(contents, [2, 99, 0], "50 ns earlier");
    }
}
