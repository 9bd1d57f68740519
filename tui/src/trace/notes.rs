//! Notes in a recording: what somebody had to say about a moment, written behind its end.
//!
//! The whole list is one block of kind 2, and the last such block is what holds: nothing that was recorded is touched, and a
//! note that could not be written whole leaves the ones before.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    format::{KIND_END, KIND_NOTES},
    outline::{self, Block},
    pack::Packer,
    write::{BlockFile, WriteError},
};
use crate::event::Nanos;

/// Notes in a recording at most.
pub const MAX_NOTES: usize = 1000;
/// Characters of a note at most.
pub const MAX_TEXT: usize = 1000;

/// What somebody had to say about a moment; nothing: the place is marked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When, since the start of the trace.
    pub t: Nanos,
    /// What; of others' text, nothing that a terminal would act on gets out of here.
    #[serde(default)]
    pub text: String,
}

/// Why notes cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// The file.
    #[error("notes last for this session only: {0}")]
    Io(#[from] io::Error),
    /// It cannot be packed.
    #[error("notes last for this session only: {0}")]
    Write(#[from] WriteError),
    /// It is being recorded, or was cut off.
    #[error("notes last for this session only: the recording has no end")]
    NoEnd,
}

/// The notes of a recording, in order of time.
pub fn read(path: &Path) -> io::Result<Vec<Note>> {
    let mut notes = Vec::new();
    outline::walk(&mut File::open(path)?, |block, file| {
        if block.kind == KIND_NOTES
            && let Some(contents) = block.contents(file)?
            && let Ok(list) = serde_json::from_slice::<Vec<Note>>(&contents)
        {
            notes = list;
        }
        Ok(())
    })?;
    notes.truncate(MAX_NOTES);
    notes.iter_mut().for_each(clean);
    notes.sort_by_key(|note: &Note| note.t);
    Ok(notes)
}

/// Without what a terminal would act on, and no longer than it may be: all of them fit into a block.
fn clean(note: &mut Note) {
    note.text = note.text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
}

/// As they are stored.
pub(super) fn encode(notes: &[Note]) -> Result<Vec<u8>, WriteError> {
    let mut notes = notes.to_vec();
    notes.iter_mut().for_each(clean);
    Ok(serde_json::to_vec(&notes)?)
}

/// Keeps these notes and no others.
pub fn write(path: &Path, notes: &[Note]) -> Result<(), NotesError> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut last: Option<Block> = None;
    let mut has_end = false;
    outline::walk(&mut file, |block, file| {
        has_end |= block.kind == KIND_END && block.contents(file)?.is_some();
        last = Some(block);
        Ok(())
    })?;
    let last = last.filter(|_| has_end).ok_or(NotesError::NoEnd)?;
    let mut packer = Packer::new()?;
    let packed = packer.pack_other(KIND_NOTES, &encode(notes)?)?;
    file.seek(SeekFrom::End(0))?;
    let mut out = BlockFile::behind(file, last.id, last.number.saturating_add(1));
    out.block(packed)?;
    Ok(out.into_inner().flush()?)
}
