//! Writing a recording: frames gather in a block, blocks go out whole.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::{self, Write},
};

use zerocopy::IntoBytes as _;

use super::{
    format::{BlockHeader, FORMAT, KIND_END, KIND_NOTES, MARKER, MAX_HEADER, Prologue},
    frame::FrameKind,
    header::{self, RecordingHeader},
    notes::{self, Note},
    pack::{Packed, Packer},
};
use crate::event::Ending;

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
    packer: Packer,
    file: BlockFile<W>,
}

/// Header and blocks, as they go out.
pub(super) struct BlockFile<W> {
    out: W,
    id: u64,
    number: u64,
    written: u64,
    /// Kept for its memory.
    packet: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the header at once, so that whatever cannot be written is known before tracing starts.
    pub fn new(out: W, header: &RecordingHeader) -> Result<Self, WriteError> {
        Ok(Self { packer: Packer::new()?, file: BlockFile::new(out, header)? })
    }

    /// Adds a frame. Writes only when that fills the block.
    pub fn frame(&mut self, kind: FrameKind, time: u64, bytes: &[u8]) -> Result<(), WriteError> {
        if self.packer.frame(kind, time, bytes)? { self.close() } else { Ok(()) }
    }

    /// Closes the block if it has been open for a second. `now` is of any clock, ns; to be called a few times a second.
    pub fn tick(&mut self, now: u64) -> Result<(), WriteError> {
        if self.packer.is_due(now) { self.close() } else { Ok(()) }
    }

    /// Closes the last block and tells how the trace ended.
    pub fn finish(mut self, ending: &Ending) -> Result<W, WriteError> {
        self.end(ending)?;
        Ok(self.file.out)
    }

    /// The same, with notes behind the end.
    pub fn finish_noted(mut self, ending: &Ending, notes: &[Note]) -> Result<W, WriteError> {
        self.end(ending)?;
        if !notes.is_empty() {
            self.file.block(self.packer.pack_other(KIND_NOTES, &notes::encode(notes)?)?)?;
            self.file.out.flush()?;
        }
        Ok(self.file.out)
    }

    pub(super) fn end(&mut self, ending: &Ending) -> Result<(), WriteError> {
        self.close()?;
        self.file.end(&mut self.packer, ending)
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.file.written
    }

    /// Writes out the block at hand, whatever is in it.
    pub(super) fn close(&mut self) -> Result<(), WriteError> {
        match self.packer.pack()? {
            Some(packed) => self.file.block(packed),
            None => Ok(()),
        }
    }
}

impl<W: Write> BlockFile<W> {
    /// Writes the header.
    pub(super) fn new(mut out: W, header: &RecordingHeader) -> Result<Self, WriteError> {
        let json = serde_json::to_vec(header)?;
        if json.len() > MAX_HEADER {
            return Err(WriteError::HeaderTooLong(json.len()));
        }
        // Random, so that nothing a traced program says can look like a block of this recording.
        let id = RandomState::new().build_hasher().finish();
        let mut packet = Prologue::new(id, &json, FORMAT).as_bytes().to_vec();
        packet.extend_from_slice(&json);
        out.write_all(&packet)?;
        out.flush()?;
        Ok(Self { out, id, number: 0, written: packet.len() as u64, packet })
    }

    /// Goes on behind the last block of a recording, where `out` stands.
    pub(super) fn behind(out: W, id: u64, number: u64) -> Self {
        Self { out, id, number, written: 0, packet: Vec::new() }
    }

    /// What it wrote to.
    pub(super) fn into_inner(self) -> W {
        self.out
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// In one write, so that a kill finds a whole block or none. After an error the block is gone, and counted by number.
    pub(super) fn block(&mut self, packed: &Packed) -> Result<(), WriteError> {
        let header = BlockHeader {
            marker: MARKER,
            id: self.id.into(),
            number: self.number.into(),
            first: packed.first.into(),
            last: packed.last.into(),
            frames: packed.frames.into(),
            kind: packed.kind.into(),
            raw_len: packed.raw_len.into(),
            len: (packed.bytes.len() as u32).into(),
            contents_crc: crc32fast::hash(&packed.bytes).into(),
            crc: 0.into(),
        };
        self.packet.clear();
        self.packet.extend_from_slice(header.sealed().as_bytes());
        self.packet.extend_from_slice(&packed.bytes);
        self.number += 1;
        self.out.write_all(&self.packet)?;
        self.written += self.packet.len() as u64;
        Ok(())
    }

    /// How the trace ended: the last block.
    pub(super) fn end(&mut self, packer: &mut Packer, ending: &Ending) -> Result<(), WriteError> {
        self.block(packer.pack_other(KIND_END, &header::encode_ending(ending)?)?)?;
        Ok(self.out.flush()?)
    }
}
