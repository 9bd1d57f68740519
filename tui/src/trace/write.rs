//! Writing a recording: frames gather in a block, blocks go out whole.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::{self, Write},
};

use zerocopy::IntoBytes as _;

use super::{
    format::{
        BLOCK_BYTES, BLOCK_NANOS, BlockHeader, KIND_END, KIND_FRAMES, MARKER, MAX_BLOCK, MAX_FRAME, MAX_HEADER,
        Prologue,
    },
    frame::{self, FrameKind},
    header::{self, RecordingHeader},
};
use crate::event::Ending;

/// Level 1: a fifth of the size is worth having, the CPU of the traced program is not ours.
const LEVEL: i32 = 1;

/// Why a recording could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Disk full, quota, read-only, a broken pipe.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Longer than any reader would take.
    #[error("a frame of {0} bytes is too long for a recording")]
    FrameTooLong(usize),
    /// The header or the ending could not be encoded.
    #[error("encoding the recording's description: {0}")]
    Json(#[from] serde_json::Error),
    /// The same, because nobody could read it back.
    #[error("the recording's description of {0} bytes is too long")]
    HeaderTooLong(usize),
}

/// Writes a recording. What is not [`finish`](Writer::finish)ed lacks its ending and at most its last block.
pub struct Writer<W> {
    out: W,
    id: u64,
    compressor: zstd::bulk::Compressor<'static>,
    block: Block,
    number: u64,
    written: u64,
    /// Kept for their memory.
    compressed: Vec<u8>,
    packet: Vec<u8>,
}

/// The block that is being filled.
#[derive(Default)]
struct Block {
    contents: Vec<u8>,
    frames: u32,
    first: u64,
    last: u64,
    previous: u64,
    /// By the clock of [`Writer::tick`].
    opened: Option<u64>,
}

impl<W: Write> Writer<W> {
    /// Writes the header at once, so that whatever cannot be written is known before tracing starts.
    pub fn new(mut out: W, header: &RecordingHeader) -> Result<Self, WriteError> {
        let json = serde_json::to_vec(header)?;
        if json.len() > MAX_HEADER {
            return Err(WriteError::HeaderTooLong(json.len()));
        }
        // Random, so that nothing a traced program says can look like a block of this recording.
        let id = RandomState::new().build_hasher().finish();
        let mut packet = Prologue::new(id, &json).as_bytes().to_vec();
        packet.extend_from_slice(&json);
        out.write_all(&packet)?;
        out.flush()?;
        Ok(Self {
            out,
            id,
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
            block: Block::default(),
            number: 0,
            written: packet.len() as u64,
            compressed: Vec::new(),
            packet,
        })
    }

    /// Adds a frame. Writes only when that fills the block.
    pub fn frame(&mut self, kind: FrameKind, time: u64, bytes: &[u8]) -> Result<(), WriteError> {
        if bytes.len() > MAX_FRAME {
            return Err(WriteError::FrameTooLong(bytes.len()));
        }
        let block = &mut self.block;
        if block.frames == 0 {
            (block.first, block.last, block.previous) = (time, time, 0);
        }
        frame::encode(&mut block.contents, block.previous, kind, time, bytes);
        block.frames += 1;
        block.previous = time;
        block.first = block.first.min(time);
        block.last = block.last.max(time);
        if block.contents.len() >= BLOCK_BYTES { self.close() } else { Ok(()) }
    }

    /// Closes the block if it has been open for a second. `now` is of any clock, ns; to be called a few times a second.
    pub fn tick(&mut self, now: u64) -> Result<(), WriteError> {
        if self.block.frames == 0 {
            return Ok(());
        }
        let opened = *self.block.opened.get_or_insert(now);
        if now.saturating_sub(opened) >= BLOCK_NANOS { self.close() } else { Ok(()) }
    }

    /// Closes the last block and tells how the trace ended.
    pub fn finish(mut self, ending: &Ending) -> Result<W, WriteError> {
        self.end(ending)?;
        Ok(self.out)
    }

    pub(super) fn end(&mut self, ending: &Ending) -> Result<(), WriteError> {
        self.close()?;
        self.block.contents.extend(header::encode_ending(ending)?);
        self.write_block(KIND_END)?;
        Ok(self.out.flush()?)
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes out the block at hand, whatever is in it.
    pub(super) fn close(&mut self) -> Result<(), WriteError> {
        if self.block.frames == 0 { Ok(()) } else { self.write_block(KIND_FRAMES) }
    }

    /// In one write, so that a kill finds a whole block or none. After an error the block is gone, and counted by number.
    fn write_block(&mut self, kind: u32) -> Result<(), WriteError> {
        let block = &mut self.block;
        debug_assert!(block.contents.len() <= MAX_BLOCK);
        self.compressed.clear();
        self.compressed.reserve(zstd::zstd_safe::compress_bound(block.contents.len()));
        self.compressor.compress_to_buffer(&block.contents, &mut self.compressed)?;
        let header = BlockHeader {
            marker: MARKER,
            id: self.id.into(),
            number: self.number.into(),
            first: block.first.into(),
            last: block.last.into(),
            frames: block.frames.into(),
            kind: kind.into(),
            raw_len: (block.contents.len() as u32).into(),
            len: (self.compressed.len() as u32).into(),
            contents_crc: crc32fast::hash(&self.compressed).into(),
            crc: 0.into(),
        };
        self.packet.clear();
        self.packet.extend_from_slice(header.sealed().as_bytes());
        self.packet.extend_from_slice(&self.compressed);
        self.number += 1;
        block.contents.clear();
        (block.frames, block.opened) = (0, None);
        self.out.write_all(&self.packet)?;
        self.written += self.packet.len() as u64;
        Ok(())
    }
}
