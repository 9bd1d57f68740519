//! From a recording: its frames, decoded again.

mod decoding;

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use ipcscope_common::WIRE_VERSION;

use crate::{
    event::{Ending, Event, Header, text},
    trace::{Frame, Outline, Place, ReadError, Reader, RecordingHeader, Screen},
};

use decoding::{Decoding, terminal};

/// Frames decoded before their events are handed out.
const FRAMES: usize = 256;

/// A recording being read.
pub struct Recording {
    path: PathBuf,
    reader: Reader<Box<dyn Read + Send>>,
    decoding: Decoding,
    tells_states: bool,
    until: u64,
    finished: bool,
    waiting: Option<(u64, Vec<u8>)>,
    /// The one read last.
    frame: Frame,
}

/// How reading stood at the beginning of a block: from here it goes on as if it had come from the start.
#[derive(Clone, Debug)]
pub struct Standing {
    place: Place,
    decoding: Decoding,
    until: u64,
}

/// Why a recording cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file.
    #[error("failed to open {path}: {error}", path = path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Its contents.
    #[error("failed to read {path}: {error}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: ReadError,
    },
    /// Records of a later kind.
    #[error("failed to read {path}: its records are of wire version {major}; this program knows {}", WIRE_VERSION.0, path = path.display())]
    Wire {
        /// Which.
        path: PathBuf,
        /// Its version.
        major: u32,
    },
}

/// What comes out of a recording.
#[derive(Debug)]
pub enum Item {
    /// Events were added to the caller's list.
    Events,
    /// Bytes the command wrote to its terminal, at a time (ns).
    Output(u64, Vec<u8>),
}

impl Recording {
    /// Opens a file; `-` is standard input.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let input: Box<dyn Read + Send> = if path == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            let file = File::open(path).map_err(|error| RecordingError::Open { path: path.to_owned(), error })?;
            Box::new(BufReader::with_capacity(1 << 20, file))
        };
        let reader = Reader::new(input).map_err(|error| RecordingError::Read { path: path.to_owned(), error })?;
        let header = reader.header();
        let major = header.recordings().map(|recording| recording.wire >> 16).max().unwrap_or(0);
        if major > u32::from(WIRE_VERSION.0) {
            return Err(RecordingError::Wire { path: path.to_owned(), major });
        }
        let tells_states = header.recordings().any(|recording| !recording.families().is_all());
        let decoding = Decoding::new(header);
        let (path, frame) = (path.to_owned(), Frame::empty());
        Ok(Self { path, reader, decoding, tells_states, until: 0, finished: false, waiting: None, frame })
    }

    /// How reading stands, where that can be kept: at the beginning of a block.
    pub fn standing(&self) -> Option<Standing> {
        let place = self.reader.place().filter(|_| self.waiting.is_none() && !self.finished)?;
        Some(Standing { place, decoding: self.decoding.clone(), until: self.until })
    }

    /// About how many bytes a [`Standing`] takes, where so many events have happened since the last one.
    pub fn weight(&self, changed: usize) -> usize {
        self.decoding.weight(changed)
    }

    /// Goes on from there.
    pub fn go(&mut self, standing: &Standing) -> Result<(), RecordingError> {
        let input = self.file(standing.place.offset).map_err(|error| self.unreadable(error.into()))?;
        self.reader.go(Box::new(BufReader::with_capacity(1 << 18, input)), standing.place);
        self.decoding = standing.decoding.clone();
        (self.until, self.finished, self.waiting) = (standing.until, false, None);
        Ok(())
    }

    /// Its blocks, without reading what is in them.
    pub fn outline(&self) -> Result<Outline, RecordingError> {
        self.file(0).and_then(Outline::read).map_err(|error| self.unreadable(error.into()))
    }

    /// The file once more.
    fn file(&self, offset: u64) -> io::Result<File> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    }

    fn unreadable(&self, error: ReadError) -> RecordingError {
        RecordingError::Read { path: self.path.clone(), error }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it was made.
    pub fn header(&self) -> &Header {
        &self.reader.header().header
    }

    /// The command's terminal, if it had one of its own.
    pub fn screen(&self) -> Option<Screen> {
        self.reader.header().screen.or_else(|| {
            let parts = &self.reader.header().parts;
            parts.get(terminal(parts)?)?.recording.screen
        })
    }

    /// Children of those traced were traced too.
    pub fn follows(&self) -> bool {
        self.reader.header().recordings().all(RecordingHeader::follows)
    }

    /// When tracing was still going on, ns, as far as it has been read: events may have ended before.
    pub fn until(&self) -> u64 {
        self.until
    }

    /// It was asked to capture certain families only.
    pub fn tells_states(&self) -> bool {
        self.tells_states
    }

    /// Reads on, at most to the end of a block; events are added to `events`. `None`: that was all.
    pub fn next_item(&mut self, events: &mut Vec<Event>) -> Result<Option<Item>, RecordingError> {
        if let Some((time, bytes)) = self.waiting.take() {
            return Ok(Some(Item::Output(time, bytes)));
        }
        for frame in 0..FRAMES {
            if frame > 0 && self.reader.place().is_some() {
                break;
            }
            match self.reader.read_into(&mut self.frame) {
                Some(Ok(())) => {
                    if self.frame.is_record() {
                        self.until = self.until.max(self.frame.time);
                    }
                    let time = self.frame.time;
                    match self.decoding.frame(&self.frame, events) {
                        None => {}
                        Some(output) if events.is_empty() => return Ok(Some(Item::Output(time, output))),
                        Some(output) => {
                            self.waiting = Some((time, output));
                            return Ok(Some(Item::Events));
                        }
                    }
                }
                Some(Err(error)) => return Err(RecordingError::Read { path: self.path.clone(), error }),
                None if self.finished => return Ok(None),
                None => {
                    self.finished = true;
                    let lost = self.lost_in_recording();
                    self.decoding.finish(lost, events);
                    return Ok(Some(Item::Events));
                }
            }
        }
        Ok(Some(Item::Events))
    }

    /// The last line, but for the number of events. What the recording itself lost is in its own ending.
    pub fn ending(&self) -> Ending {
        let (lost, lost_by) = self.decoding.lost();
        let mut ending = Ending { events: 0, lost, lost_by };
        let count = self.lost_in_recording();
        if count > 0 {
            ending.lost = ending.lost.saturating_add(count);
            let sum = ending.lost_by.entry("recording".to_owned()).or_default();
            *sum = sum.saturating_add(count);
        }
        ending
    }

    /// Records that did not get into the recording, as it says itself.
    fn lost_in_recording(&self) -> u64 {
        self.reader.ending().and_then(|own| own.lost_by.get("recording")).copied().unwrap_or(0)
    }

    /// What could not be read, or is missing at the end.
    pub fn note(&self) -> Option<String> {
        let header = self.reader.header();
        let parts = header.header.hosts.iter().zip(&header.parts);
        let of_parts = parts.filter_map(|(clock, part)| Some(format!("{}: {}", clock.host, part.note.as_ref()?)));
        let notes: Vec<String> = self.reader.damage().into_iter().chain(of_parts).collect();
        (!notes.is_empty()).then(|| text::escape(notes.join("; ").as_bytes()))
    }
}
