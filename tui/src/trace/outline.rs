//! What the block headers of a recording tell at once: how long it is, and where in time how much happened.
//!
//! A block begins with its length, so that its successor is a seek away: the headers are the index of the file, and it can
//! neither be missing nor disagree with the blocks. What is damaged is passed over by looking for the next marker.

use std::io::{self, Read, Seek, SeekFrom};

use zerocopy::FromBytes as _;

use super::format::{BlockHeader, KIND_ALIKE, KIND_FRAMES, MARKER, MAX_BLOCK, Prologue};

/// Bytes searched for a marker at a time.
const CHUNK: usize = 64 << 10;

/// How often: it bounds the time that a file made for it could take.
const MAX_SEARCHES: u32 = 1000;

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
    /// All that have a sound header.
    pub stretches: Vec<Stretch>,
}

impl Outline {
    /// Goes from header to header; an empty one if this is no recording.
    pub fn read(mut file: impl Read + Seek) -> io::Result<Self> {
        let mut outline = Self::default();
        walk(&mut file, |block, _| {
            if matches!(block.kind, KIND_FRAMES | KIND_ALIKE) {
                outline.stretches.push(block.stretch);
            }
            Ok(())
        })?;
        Ok(outline)
    }

    /// The latest time in it, ns.
    pub fn last(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.last).max().unwrap_or(0)
    }
}

/// A block, by its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) id: u64,
    pub(super) number: u64,
    pub(super) kind: u32,
    pub(super) stretch: Stretch,
    at: u64,
    len: u32,
    raw_len: u32,
    crc: u32,
}

impl Block {
    /// What is in it; `None` if that is damaged.
    pub(super) fn contents(&self, file: &mut (impl Read + Seek)) -> io::Result<Option<Vec<u8>>> {
        file.seek(SeekFrom::Start(self.at + BlockHeader::SIZE as u64))?;
        let mut packed = Vec::new();
        file.take(u64::from(self.len)).read_to_end(&mut packed)?;
        if packed.len() < self.len as usize || crc32fast::hash(&packed) != self.crc {
            return Ok(None);
        }
        let contents = zstd::bulk::decompress(&packed, (self.raw_len as usize).min(MAX_BLOCK));
        Ok(contents.ok().filter(|contents| contents.len() == self.raw_len as usize))
    }
}

/// Shows every block that has a sound header, in order.
pub(super) fn walk<F: Read + Seek>(
    file: &mut F,
    mut see: impl FnMut(Block, &mut F) -> io::Result<()>,
) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let Some(prologue) = read::<{ Prologue::SIZE }>(file)? else { return Ok(()) };
    let Ok(prologue) = Prologue::read_from_bytes(&prologue) else { return Ok(()) };
    let (id, mut number) = (prologue.id.get(), 0);
    let mut at = Prologue::SIZE as u64 + u64::from(prologue.header_len.get());
    let mut searches = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let Some(header) = read::<{ BlockHeader::SIZE }>(file)? else { return Ok(()) };
        let Ok(header) = BlockHeader::read_from_bytes(&header) else { return Ok(()) };
        if !header.is_sound(id) || header.number.get() < number {
            searches += 1;
            match next_marker(file, at + 1)? {
                Some(next) if searches <= MAX_SEARCHES => at = next,
                _ => return Ok(()),
            }
            continue;
        }
        number = header.number.get();
        let stretch = Stretch { first: header.first.get(), last: header.last.get(), frames: header.frames.get() };
        let (len, raw_len, crc) = (header.len.get(), header.raw_len.get(), header.contents_crc.get());
        see(Block { id, number, kind: header.kind.get(), stretch, at, len, raw_len, crc }, file)?;
        at += BlockHeader::SIZE as u64 + u64::from(len);
    }
}

/// Where the next marker is, from a place on.
fn next_marker(file: &mut (impl Read + Seek), mut from: u64) -> io::Result<Option<u64>> {
    let mut chunk = Vec::new();
    loop {
        file.seek(SeekFrom::Start(from))?;
        chunk.clear();
        file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
        if let Some(at) = chunk.windows(MARKER.len()).position(|window| window == MARKER) {
            return Ok(Some(from + at as u64));
        }
        if chunk.len() < CHUNK {
            return Ok(None);
        }
        // A marker may have been cut in two.
        from += (CHUNK - MARKER.len() + 1) as u64;
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
