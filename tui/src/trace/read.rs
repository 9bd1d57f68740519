//! Reading a recording, whatever has happened to it.

use std::{
    fmt,
    io::{self, Read},
};

use zerocopy::FromBytes as _;

use super::{
    alike::Alike,
    format::{BlockHeader, FORMAT, KIND_ALIKE, KIND_END, KIND_FRAMES, MAGIC, MARKER, MAX_HEADER, OLDEST, Prologue},
    frame::{self, Frame},
    header::{self, RecordingHeader},
};
use crate::event::Ending;

/// How often the contents of a damaged block are searched for a block that begins inside; then they are passed over
/// whole. It bounds the time that a file made for it could take.
const MAX_SEARCHES: u32 = 64;
/// Bytes asked for at a time.
const CHUNK: usize = 64 << 10;
const NEWEST: u16 = FORMAT.0;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something else.
    #[error("this is not a recording of ipcscope (`ipcscope record -o FILE -- CMD` makes one)")]
    NotARecording,
    /// It ends before its description does: the disk was full, or it was copied while being made.
    #[error("the recording is cut off within its header; nothing can be read from it")]
    CutOff,
    /// Its description was changed.
    #[error("the recording's header is damaged: its checksum is wrong")]
    DamagedHeader,
    /// Made by a later program, whose files this one does not know.
    #[error(
        "the recording has format {major}, this ipcscope reads {NEWEST} and older: it needs ipcscope {version} or newer"
    )]
    TooNew {
        /// Its format.
        major: u16,
        /// What wrote it.
        version: String,
    },
    /// Of a format that was never released.
    #[error("the recording has format {0}, which no released ipcscope wrote")]
    TooOld(u16),
}

/// What could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    /// Blocks that are missing or damaged: at least so many.
    pub blocks_lost: u64,
    /// Bytes that belong to no block that could be read.
    pub bytes_skipped: u64,
}

impl Salvage {
    /// Everything could be read.
    pub fn is_complete(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Salvage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (blocks, bytes) = (self.blocks_lost, self.bytes_skipped);
        let s = if blocks == 1 { "" } else { "s" };
        write!(f, "{blocks} block{s} of the recording ({bytes} bytes) could not be read")
    }
}

/// Where a block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes before it in the file.
    pub offset: u64,
    /// Blocks before it.
    pub number: u64,
}

/// Reads a recording: an iterator of its frames, in the order they were written. Damage is passed over and counted; an
/// error is one of the file itself, and the last item.
pub struct Reader<R> {
    input: R,
    /// Where in the file `buffer` begins.
    offset: u64,
    id: u64,
    header: RecordingHeader,
    decompressor: zstd::bulk::Decompressor<'static>,
    /// Read but not yet used: from `start` on.
    buffer: Vec<u8>,
    start: usize,
    at_end: bool,
    /// Contents of the current block, from `position` on yet to be given out.
    contents: Vec<u8>,
    position: usize,
    frames_left: u32,
    previous: u64,
    /// What its records are told by.
    alike: Alike,
    /// They are.
    is_alike: bool,
    /// The number the next block should have.
    expected: u64,
    /// Bytes were skipped since the last sound block.
    skipping: bool,
    searches: u32,
    salvage: Salvage,
    ending: Option<Ending>,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> Result<Self, ReadError> {
        let mut start = Vec::new();
        input.by_ref().take(Prologue::SIZE as u64).read_to_end(&mut start)?;
        let common = start.iter().zip(MAGIC).take_while(|(a, b)| **a == *b).count();
        if start.is_empty() || common < MAGIC.len().min(start.len()) {
            return Err(ReadError::NotARecording);
        }
        let prologue = Prologue::read_from_bytes(&start).map_err(|_| ReadError::CutOff)?;
        match prologue.major.get() {
            OLDEST..=NEWEST => {}
            major if major > NEWEST => return Err(ReadError::TooNew { major, version: prologue.version() }),
            major => return Err(ReadError::TooOld(major)),
        }
        let len = prologue.header_len.get() as usize;
        if len > MAX_HEADER {
            return Err(ReadError::DamagedHeader);
        }
        let mut json = Vec::new();
        if input.by_ref().take(len as u64).read_to_end(&mut json)? < len {
            return Err(ReadError::CutOff);
        }
        if prologue.checksum(&json) != prologue.crc.get() {
            return Err(ReadError::DamagedHeader);
        }
        Ok(Self {
            input,
            offset: (Prologue::SIZE + len) as u64,
            id: prologue.id.get(),
            header: serde_json::from_slice(&json).map_err(|_| ReadError::DamagedHeader)?,
            decompressor: zstd::bulk::Decompressor::new()?,
            buffer: Vec::new(),
            start: 0,
            at_end: false,
            contents: Vec::new(),
            position: 0,
            frames_left: 0,
            previous: 0,
            alike: Alike::new(),
            is_alike: false,
            expected: 0,
            skipping: false,
            searches: 0,
            salvage: Salvage::default(),
            ending: None,
            done: false,
        })
    }

    /// A random number that no other recording has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How it was made.
    pub fn header(&self) -> &RecordingHeader {
        &self.header
    }

    /// How the trace ended: known after the last frame; `None` if the recording was cut off.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// What could not be read so far, or is missing at the end, in words.
    pub fn damage(&self) -> Option<String> {
        match (self.salvage.is_complete(), &self.ending) {
            (true, Some(_)) => None,
            (true, None) => Some("the recording was cut off; what was written until then is shown".to_owned()),
            (false, _) => Some(self.salvage.to_string()),
        }
    }

    /// What could not be read so far.
    pub fn salvage(&self) -> Salvage {
        self.salvage
    }

    /// Where the next block begins, if all frames of the one before have been given out.
    pub fn place(&self) -> Option<Place> {
        let at = Place { offset: self.offset + self.start as u64, number: self.expected };
        (self.frames_left == 0 && !self.done).then_some(at)
    }

    /// Goes on from a place in the same recording, `input` standing there. What was damaged before it is not counted.
    pub fn go(&mut self, input: R, place: Place) {
        self.input = input;
        (self.offset, self.start, self.at_end) = (place.offset, 0, false);
        self.buffer.clear();
        (self.frames_left, self.expected) = (0, place.number);
        (self.skipping, self.searches, self.done) = (false, 0, false);
        self.salvage = Salvage::default();
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Has `wanted` bytes unread, or all that is left.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.start > CHUNK && self.unread().len() < wanted {
            self.buffer.drain(..self.start);
            self.offset += self.start as u64;
            self.start = 0;
        }
        while !self.at_end && self.unread().len() < wanted {
            let missing = (wanted - self.unread().len()).clamp(1, CHUNK) as u64;
            // Grows with what is really there, not with what a size says.
            self.at_end = self.input.by_ref().take(missing.max(CHUNK as u64)).read_to_end(&mut self.buffer)? == 0;
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        self.salvage.bytes_skipped += bytes as u64;
        self.skipping = true;
    }

    /// Goes to the next marker, from `from` unread bytes on.
    fn search(&mut self, from: usize) -> io::Result<()> {
        self.skip(from);
        loop {
            self.fill(CHUNK)?;
            let unread = self.unread();
            if let Some(at) = unread.windows(MARKER.len()).position(|window| window == MARKER) {
                self.skip(at);
                return Ok(());
            }
            // A marker may have been cut in two.
            let keep = if self.at_end { 0 } else { MARKER.len() - 1 };
            self.skip(unread.len().saturating_sub(keep));
            if self.at_end {
                return Ok(());
            }
        }
    }

    /// Makes the next sound block of frames the current one; `false` at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        loop {
            self.fill(BlockHeader::SIZE)?;
            if self.unread().is_empty() {
                // What was skipped at the end had no successor to tell its number.
                self.salvage.blocks_lost += u64::from(self.skipping);
                return Ok(false);
            }
            let header = BlockHeader::read_from_prefix(self.unread()).ok().map(|(header, _)| header);
            let Some(header) = header.filter(|header| header.is_sound(self.id) && header.number.get() >= self.expected)
            else {
                self.search(1)?;
                continue;
            };
            let (len, raw_len) = (header.len.get() as usize, header.raw_len.get() as usize);
            self.fill(BlockHeader::SIZE + len)?;
            if !self.decompress(header.contents_crc.get(), len, raw_len) {
                self.searches += 1;
                let whole = (BlockHeader::SIZE + len).min(self.unread().len());
                self.search(if self.searches > MAX_SEARCHES { whole } else { 1 })?;
                continue;
            }
            self.start += BlockHeader::SIZE + len;
            let number = header.number.get();
            self.salvage.blocks_lost = self.salvage.blocks_lost.saturating_add(number - self.expected);
            self.expected = number.saturating_add(1);
            self.skipping = false;
            match header.kind.get() {
                kind @ (KIND_FRAMES | KIND_ALIKE) => {
                    (self.position, self.previous, self.frames_left) = (0, 0, header.frames.get());
                    self.is_alike = kind == KIND_ALIKE;
                    self.alike.forget();
                    return Ok(true);
                }
                KIND_END => {
                    self.ending = header::decode_ending(&self.contents).ok();
                    return Ok(false);
                }
                _ => {}
            }
        }
    }

    /// Checks and unpacks the contents of the block at hand.
    fn decompress(&mut self, crc: u32, len: usize, raw_len: usize) -> bool {
        let unread = self.buffer.get(self.start..).unwrap_or_default();
        let Some(packed) = unread.get(BlockHeader::SIZE..BlockHeader::SIZE + len) else { return false };
        if crc32fast::hash(packed) != crc {
            return false;
        }
        self.contents.clear();
        self.contents.reserve(raw_len);
        // It writes no more than there is room for; a little too much room is found by comparing.
        self.decompressor.decompress_to_buffer(packed, &mut self.contents).is_ok_and(|n| n == raw_len)
    }

    /// Reads the next frame, as the iterator does, into the room of one before.
    pub fn read_into(&mut self, frame: &mut Frame) -> Option<Result<(), ReadError>> {
        if self.done {
            return None;
        }
        let result = self.next_frame(frame).map_err(ReadError::Io);
        self.done = !matches!(result, Ok(true));
        match result {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// `false`: there is none.
    fn next_frame(&mut self, frame: &mut Frame) -> io::Result<bool> {
        loop {
            if self.frames_left == 0 && !self.next_block()? {
                return Ok(false);
            }
            let mut contents = self.contents.get(self.position..).unwrap_or_default();
            let alike = self.is_alike.then_some(&mut self.alike);
            if self.frames_left > 0 && frame::decode(&mut contents, alike, self.previous, frame).is_some() {
                self.position = self.contents.len() - contents.len();
                self.previous = frame.time;
                self.frames_left -= 1;
                return Ok(true);
            }
            // Its checksums are right and its contents are wrong: whoever wrote it was.
            self.salvage.blocks_lost += u64::from(self.frames_left > 0);
            self.frames_left = 0;
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Frame, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut frame = Frame::empty();
        Some(self.read_into(&mut frame)?.map(|()| frame))
    }
}
