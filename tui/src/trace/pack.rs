//! Frames gather, and become a block's compressed contents.

use super::{
    alike::Alike,
    format::{BLOCK_BYTES, BLOCK_NANOS, BlockHeader, KIND_ALIKE, MAX_BLOCK, MAX_FRAME},
    frame::{self, Frame, FrameKind},
    write::WriteError,
};

/// Level 1: a fifth of the size is worth having, the CPU of the traced program is not ours.
const LEVEL: i32 = 1;

/// A block without its place in a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) frames: u32,
    pub(super) kind: u32,
    pub(super) raw_len: u32,
    /// Compressed.
    pub(super) bytes: Vec<u8>,
}

/// Takes frames until they are a block.
pub(super) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    contents: Vec<u8>,
    alike: Alike,
    /// Bytes of the frames themselves.
    size: usize,
    frames: u32,
    first: u64,
    last: u64,
    previous: u64,
    /// By the clock of [`Packer::is_due`].
    opened: Option<u64>,
    /// The last block, kept for its memory.
    packed: Packed,
}

impl Packer {
    pub(super) fn new() -> Result<Self, WriteError> {
        Ok(Self {
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
            contents: Vec::new(),
            alike: Alike::new(),
            size: 0,
            frames: 0,
            first: 0,
            last: 0,
            previous: 0,
            opened: None,
            packed: Packed::default(),
        })
    }

    /// Adds a frame; true: the block is full.
    pub(super) fn frame(&mut self, kind: FrameKind, time: u64, bytes: &[u8]) -> Result<bool, WriteError> {
        if bytes.len() > MAX_FRAME {
            return Err(WriteError::FrameTooLong(bytes.len()));
        }
        if self.frames == 0 {
            (self.first, self.last, self.previous, self.size) = (time, time, 0, 0);
            self.alike.forget();
        }
        frame::encode(&mut self.contents, &mut self.alike, self.previous, kind, time, bytes);
        self.size += bytes.len();
        self.frames += 1;
        self.previous = time;
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        // Differences take less room than what they tell; but a frame without bytes takes some.
        Ok(self.size.max(self.contents.len()) >= BLOCK_BYTES)
    }

    /// The block has been open for a second.
    pub(super) fn is_due(&mut self, now: u64) -> bool {
        self.frames > 0 && now.saturating_sub(*self.opened.get_or_insert(now)) >= BLOCK_NANOS
    }

    /// The block at hand; `None`: nothing is in it. It is gone from here, whether it can be packed or not.
    pub(super) fn pack(&mut self) -> Result<Option<&Packed>, WriteError> {
        if self.frames == 0 {
            return Ok(None);
        }
        let contents = std::mem::take(&mut self.contents);
        let (frames, first, last) = (std::mem::take(&mut self.frames), self.first, self.last);
        self.opened = None;
        let result = self.compress(KIND_ALIKE, &contents);
        self.contents = contents;
        self.contents.clear();
        result?;
        (self.packed.frames, self.packed.first, self.packed.last) = (frames, first, last);
        Ok(Some(&self.packed))
    }

    /// A block of another kind.
    pub(super) fn pack_other(&mut self, kind: u32, contents: &[u8]) -> Result<&Packed, WriteError> {
        self.compress(kind, contents)?;
        Ok(&self.packed)
    }

    fn compress(&mut self, kind: u32, contents: &[u8]) -> Result<(), WriteError> {
        debug_assert!(contents.len() <= MAX_BLOCK);
        let packed = &mut self.packed;
        packed.bytes.clear();
        packed.bytes.reserve(zstd::zstd_safe::compress_bound(contents.len()));
        self.compressor.compress_to_buffer(contents, &mut packed.bytes)?;
        (packed.kind, packed.raw_len) = (kind, contents.len() as u32);
        (packed.frames, packed.first, packed.last) = (0, 0, 0);
        Ok(())
    }
}

impl Packed {
    /// Bytes it takes in a file.
    pub(super) fn size(&self) -> u64 {
        (BlockHeader::SIZE + self.bytes.len()) as u64
    }

    /// What it was made of.
    pub(super) fn frames(&self) -> Result<Vec<Frame>, WriteError> {
        let contents = zstd::bulk::decompress(&self.bytes, self.raw_len as usize)?;
        let (mut rest, mut alike, mut previous) = (contents.as_slice(), Alike::new(), 0);
        let mut frames = Vec::with_capacity(self.frames as usize);
        loop {
            let mut frame = Frame::empty();
            if frame::decode(&mut rest, Some(&mut alike), previous, &mut frame).is_none() {
                return Ok(frames);
            }
            previous = frame.time;
            frames.push(frame);
        }
    }
}
