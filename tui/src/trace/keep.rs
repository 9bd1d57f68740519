//! What becomes of a recording's blocks: one file, several of limited size, or the last ones only.
//!
//! A file that does not begin at the beginning starts with records that stand for those before it
//! ([`crate::decode::roots`]) and a frame that says so, so that each can be read for itself.

use std::{collections::VecDeque, io::Write};

use super::{
    Frame, FrameKind, RecordingHeader, WriteError, Writer,
    pack::{Packed, Packer},
    recorder::LOST_HERE,
    write::BlockFile,
};
use crate::{decode::roots::Roots, event::Ending};

/// Where the n-th further file goes, and what it is called.
pub type Open = Box<dyn FnMut(u32) -> Result<(Box<dyn Write + Send>, String), WriteError> + Send>;

/// Bytes of compressed blocks that a flight recorder keeps if nothing else is said.
pub const FLIGHT_BYTES: u64 = 1 << 30;

/// Takes frames.
pub(super) trait Keep: Send {
    fn frame(&mut self, kind: FrameKind, time: u64, bytes: &[u8]) -> Result<(), WriteError>;
    /// Called a few times a second. `lost`: frames that did not get here so far.
    fn tick(&mut self, now: u64, lost: u64) -> Result<(), WriteError>;
    /// Writes what there is to a file of its own; answers its name. `None`: it is written anyway.
    fn save(&mut self, _lost: u64) -> Result<Option<String>, WriteError> {
        Ok(None)
    }
    /// The last.
    fn end(&mut self, ending: &Ending) -> Result<(), WriteError>;
    /// Nobody will tell how it ended.
    fn close(&mut self) -> Result<(), WriteError>;
    /// Bytes written so far.
    fn written(&self) -> u64;
}

impl<W: Write + Send> Keep for Writer<W> {
    fn frame(&mut self, kind: FrameKind, time: u64, bytes: &[u8]) -> Result<(), WriteError> {
        self.frame(kind, time, bytes)
    }

    fn tick(&mut self, now: u64, _lost: u64) -> Result<(), WriteError> {
        self.tick(now)
    }

    fn end(&mut self, ending: &Ending) -> Result<(), WriteError> {
        self.end(ending)
    }

    fn close(&mut self) -> Result<(), WriteError> {
        self.close()
    }

    fn written(&self) -> u64 {
        self.written()
    }
}

/// What was dropped, as frames to begin a file with.
fn instead(roots: &Roots, clock_start: u64) -> Vec<Frame> {
    if roots.records() == 0 {
        return Vec::new();
    }
    let time = roots.time().saturating_sub(clock_start);
    let frame = |kind, bytes| Frame { kind, time, bytes };
    let mut frames: Vec<Frame> =
        roots.records_instead().into_iter().map(|bytes| frame(FrameKind::Wire, bytes)).collect();
    frames.push(frame(FrameKind::NotKept, roots.records().to_le_bytes().to_vec()));
    frames.extend(roots.records_behind().into_iter().map(|bytes| frame(FrameKind::Wire, bytes)));
    frames
}

fn drop_into(roots: &mut Roots, packed: &Packed) -> Result<(), WriteError> {
    for frame in packed.frames()? {
        if frame.kind == FrameKind::Wire {
            roots.take(&frame.bytes);
        }
    }
    Ok(())
}

fn lost_here(count: u64) -> Ending {
    let mut ending = Ending { lost: count, ..Ending::default() };
    if count > 0 {
        ending.lost_by.insert(LOST_HERE.to_owned(), count);
    }
    ending
}

/// A file that begins with what stands for the records before it.
fn begin<W: Write>(
    out: W,
    header: &RecordingHeader,
    roots: &Roots,
    packer: &mut Packer,
) -> Result<BlockFile<W>, WriteError> {
    let mut file = BlockFile::new(out, header)?;
    for frame in instead(roots, header.clock_start) {
        if packer.frame(frame.kind, frame.time, &frame.bytes)?
            && let Some(packed) = packer.pack()?
        {
            file.block(packed)?;
        }
    }
    if let Some(packed) = packer.pack()? {
        file.block(packed)?;
    }
    Ok(file)
}

/// Goes on with the next file where one has reached its size.
pub(super) struct Rotating {
    header: RecordingHeader,
    open: Open,
    /// Bytes.
    limit: u64,
    packer: Packer,
    /// For blocks that are no part of the trace's flow.
    other: Packer,
    file: BlockFile<Box<dyn Write + Send>>,
    roots: Roots,
    parts: u32,
    /// Blocks in the file at hand.
    blocks: u32,
    /// In the files before.
    before: u64,
    lost: u64,
    lost_before: u64,
}

impl Rotating {
    pub(super) fn new(
        out: Box<dyn Write + Send>,
        open: Open,
        header: &RecordingHeader,
        limit: u64,
    ) -> Result<Self, WriteError> {
        Ok(Self {
            file: BlockFile::new(out, header)?,
            header: header.clone(),
            open,
            limit,
            packer: Packer::new()?,
            other: Packer::new()?,
            roots: Roots::default(),
            parts: 1,
            blocks: 0,
            before: 0,
            lost: 0,
            lost_before: 0,
        })
    }

    fn put(&mut self) -> Result<(), WriteError> {
        let Some(packed) = self.packer.pack()? else { return Ok(()) };
        if self.blocks > 0 && self.file.written() + packed.size() > self.limit {
            self.file.end(&mut self.other, &lost_here(self.lost - self.lost_before))?;
            (self.before, self.lost_before) = (self.before + self.file.written(), self.lost);
            self.parts += 1;
            let (out, _) = (self.open)(self.parts)?;
            self.file = begin(out, &self.header, &self.roots, &mut self.other)?;
            self.blocks = 0;
        }
        self.file.block(packed)?;
        self.blocks += 1;
        drop_into(&mut self.roots, packed)
    }
}

impl Keep for Rotating {
    fn frame(&mut self, kind: FrameKind, time: u64, bytes: &[u8]) -> Result<(), WriteError> {
        if self.packer.frame(kind, time, bytes)? { self.put() } else { Ok(()) }
    }

    fn tick(&mut self, now: u64, lost: u64) -> Result<(), WriteError> {
        self.lost = lost;
        if self.packer.is_due(now) { self.put() } else { Ok(()) }
    }

    fn end(&mut self, ending: &Ending) -> Result<(), WriteError> {
        self.put()?;
        let mut ending = ending.clone();
        // The files before have told of theirs.
        if let Some(lost) = ending.lost_by.get_mut(LOST_HERE) {
            *lost = lost.saturating_sub(self.lost_before);
        }
        ending.lost_by.retain(|class, count| class != LOST_HERE || *count > 0);
        self.file.end(&mut self.other, &ending)
    }

    fn close(&mut self) -> Result<(), WriteError> {
        self.put()
    }

    fn written(&self) -> u64 {
        self.before + self.file.written()
    }
}

/// Keeps the last blocks in memory until they are asked for.
pub(super) struct Flight {
    header: RecordingHeader,
    /// Where the end goes.
    out: Option<Box<dyn Write + Send>>,
    open: Open,
    /// ns.
    last: u64,
    /// Bytes.
    limit: u64,
    packer: Packer,
    other: Packer,
    blocks: VecDeque<Packed>,
    bytes: u64,
    newest: u64,
    roots: Roots,
    saved: u32,
    written: u64,
}

impl Flight {
    pub(super) fn new(
        out: Box<dyn Write + Send>,
        open: Open,
        header: &RecordingHeader,
        (last, limit): (u64, u64),
    ) -> Result<Self, WriteError> {
        Ok(Self {
            header: header.clone(),
            out: Some(out),
            open,
            last,
            limit,
            packer: Packer::new()?,
            other: Packer::new()?,
            blocks: VecDeque::new(),
            bytes: 0,
            newest: 0,
            roots: Roots::default(),
            saved: 0,
            written: 0,
        })
    }

    fn put(&mut self) -> Result<(), WriteError> {
        let Some(packed) = self.packer.pack()? else { return Ok(()) };
        self.newest = self.newest.max(packed.last);
        self.bytes += packed.size();
        self.blocks.push_back(packed.clone());
        let since = self.newest.saturating_sub(self.last);
        while self.blocks.len() > 1
            && (self.bytes > self.limit || self.blocks.front().is_some_and(|oldest| oldest.last < since))
        {
            let Some(oldest) = self.blocks.pop_front() else { break };
            self.bytes -= oldest.size();
            drop_into(&mut self.roots, &oldest)?;
        }
        Ok(())
    }

    fn write(&mut self, out: Box<dyn Write + Send>, ending: &Ending) -> Result<(), WriteError> {
        self.put()?;
        let mut file = begin(out, &self.header, &self.roots, &mut self.other)?;
        for packed in &self.blocks {
            file.block(packed)?;
        }
        file.end(&mut self.other, ending)?;
        self.written += file.written();
        Ok(())
    }
}

impl Keep for Flight {
    fn frame(&mut self, kind: FrameKind, time: u64, bytes: &[u8]) -> Result<(), WriteError> {
        if self.packer.frame(kind, time, bytes)? { self.put() } else { Ok(()) }
    }

    fn tick(&mut self, now: u64, _lost: u64) -> Result<(), WriteError> {
        if self.packer.is_due(now) { self.put() } else { Ok(()) }
    }

    fn save(&mut self, lost: u64) -> Result<Option<String>, WriteError> {
        self.saved += 1;
        let (out, name) = (self.open)(self.saved)?;
        self.write(out, &lost_here(lost))?;
        Ok(Some(name))
    }

    fn end(&mut self, ending: &Ending) -> Result<(), WriteError> {
        match self.out.take() {
            Some(out) => self.write(out, ending),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), WriteError> {
        self.end(&Ending::default())
    }

    fn written(&self) -> u64 {
        self.written
    }
}
