//! Recordings: a stream of frames on disk, `.ipcs`.
//!
//! A frame is opaque here: the bytes of a kernel record or of the command's terminal, with a time. What they mean is
//! for `decode`, so that a recording keeps what the kernel said, not what this version made of it.
//!
//! # The format, version 3.0
//!
//! All numbers are little-endian. The file is a prologue and then blocks; nothing points anywhere, so it can be written
//! to and read from a pipe.
//!
//! | prologue at | size | what |
//! |---|---|---|
//! | 0 | 8 | magic: `89 69 70 63 73 0d 0a 1a` |
//! | 8 | 2 + 2 | format: major, minor. Readers take their own major, those before it and any minor |
//! | 12 | 16 | the version of ipcscope that wrote it, padded with NUL; stays here in every format |
//! | 28 | 8 | the recording's id: any number that no other recording has, repeated in every block |
//! | 36 | 4 | length of the header that follows |
//! | 40 | 4 | CRC-32 (IEEE) of bytes 0..40 and of the header |
//! | 44 | | the header: JSON, see [`RecordingHeader`]; unknown fields are to be ignored |
//!
//! | block at | size | what |
//! |---|---|---|
//! | 0 | 8 | marker: `f5 69 70 63 62 6c 6b 9e` |
//! | 8 | 8 | the recording's id |
//! | 16 | 8 | the block's number, from 0 |
//! | 24 | 8 + 8 | least and greatest time in it |
//! | 40 | 4 | frames in it |
//! | 44 | 4 | kind: 0 frames (before 3.0), 1 the end, 2 notes, behind the end (since 1.2), 3 frames with records as differences (since 3.0). Others are to be skipped |
//! | 48 | 4 | length of the contents once decompressed, at most 16 MiB |
//! | 52 | 4 | length of the contents as they follow |
//! | 56 | 4 | CRC-32 of the contents as they follow |
//! | 60 | 4 | CRC-32 of bytes 0..60 |
//! | 64 | | the contents: one zstd frame |
//!
//! Contents of kind 0 are frames, one behind the other: kind (a byte: 1 kernel record, 2 terminal output, 3 what
//! was before is not kept, others are to be skipped), time as a difference, length, bytes. Difference and length are LEB128 varints; the
//! difference is to the frame before (to 0 in the first), modulo 2^64, zigzag coded because frames of several CPUs are
//! not in order. Times are ns since the start of the trace. Contents of kind 1 are JSON: [`Ending`](crate::event::Ending).
//!
//! Contents of kind 3 are the same, but for kernel records, which are told as differences ([`alike`]).
//!
//! Contents of kind 2 are JSON, all [`Note`]s of a recording; the last such block holds.
//!
//! A frame of kind 3 (since 1.1) holds a number of 8 bytes: so many records from before are not in this file; the kernel
//! records in front of it were made to stand for them ([`crate::decode::roots`]).
//!
//! # Merged recordings, since version 2.0
//!
//! The same, with `parts` in the header and nothing but frames of kind 4: the frames of each part, untouched but for their
//! time, which is that of the whole ([`OfPart`]).
//!
//! # Invariants
//!
//! A block is closed after a second or a MiB, so a crash costs no more than that. A reader believes nothing without its
//! checksum, and no size at all: it allocates what it has read, and at most 16 MiB for what it decompresses. What is
//! damaged is passed over by looking for the next marker with the right id, and counted in [`Salvage`].
//!
//! IO is on `Read` and `Write` only. Tested by properties: what is written is read; every truncation gives a prefix;
//! every damaged byte gives frames that were written, and no others.

mod alike;
mod format;
mod frame;
mod header;
mod keep;
mod notes;
mod outline;
mod pack;
mod read;
mod recorder;
mod write;

pub use frame::{Frame, FrameKind, OfPart};
pub use header::{Part, RecordingHeader, Screen, decode_ending, encode_ending};
pub use keep::Open;
pub use notes::{MAX_NOTES, Note, NotesError, read as read_notes, write as write_notes};
pub use outline::{Outline, Stretch};
pub use read::{Place, ReadError, Reader, Salvage};
pub use recorder::{Batch, Progress, Recorder};
pub use write::{WriteError, Writer};

#[cfg(test)]
mod tests;
