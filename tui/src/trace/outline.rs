//! What the block headers of a recording tell at once: how long it is, and where in time how much happened.
//!
//! A block begins with its length, so that its successor is a seek away: the headers are the index of the file, and it can
//! neither be missing nor disagree with the blocks. What is damaged ends the outline; who reads on makes it longer.

use std::io::{self, Read, Seek, SeekFrom};

use zerocopy::FromBytes as _;

use super::format::{BlockHeader, KIND_FRAMES, Prologue};

/// A block of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its earliest time, ns.
    pub first: u64,
    /// Its latest.
    pub last: u64,
    /// How many there are.
    pub frames: u32,
}

/// The blocks of a recording, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// All of them, up to the first that is damaged.
    pub stretches: Vec<Stretch>,
}

impl Outline {
    /// Goes from header to header; an empty one if this is no recording.
    pub fn read(mut file: impl Read + Seek) -> io::Result<Self> {
        let mut outline = Self::default();
        let Some(prologue) = read::<{ Prologue::SIZE }>(&mut file)? else { return Ok(outline) };
        let Ok(prologue) = Prologue::read_from_bytes(&prologue) else { return Ok(outline) };
        let mut at = Prologue::SIZE as u64 + u64::from(prologue.header_len.get());
        loop {
            file.seek(SeekFrom::Start(at))?;
            let Some(header) = read::<{ BlockHeader::SIZE }>(&mut file)? else { return Ok(outline) };
            let Ok(header) = BlockHeader::read_from_bytes(&header) else { return Ok(outline) };
            if !header.is_sound(prologue.id.get()) {
                return Ok(outline);
            }
            if header.kind.get() == KIND_FRAMES {
                let (first, last) = (header.first.get(), header.last.get());
                outline.stretches.push(Stretch { first, last, frames: header.frames.get() });
            }
            at += BlockHeader::SIZE as u64 + u64::from(header.len.get());
        }
    }

    /// The latest time in it, ns.
    pub fn last(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.last).max().unwrap_or(0)
    }
}

/// So many bytes; `None` if there are not as many.
fn read<const N: usize>(file: &mut impl Read) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
