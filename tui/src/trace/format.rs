//! The fixed parts of a recording, byte by byte: see the module above for the table.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

pub(super) const MAGIC: [u8; 8] = *b"\x89ipcs\r\n\x1a";
pub(super) const MARKER: [u8; 8] = *b"\xf5ipcblk\x9e";
/// What is written: major, minor.
pub(super) const FORMAT: (u16, u16) = (3, 0);
/// The first that a release wrote: all since then are read.
pub(super) const OLDEST: u16 = 1;

/// Frames as they are: before version 3.
pub(super) const KIND_FRAMES: u32 = 0;
/// How the trace ended.
pub(super) const KIND_END: u32 = 1;
/// What somebody noted, behind the end.
pub(super) const KIND_NOTES: u32 = 2;
/// Frames, of which kernel records are told as differences.
pub(super) const KIND_ALIKE: u32 = 3;

/// A block is closed once its contents are as long, bytes.
pub(super) const BLOCK_BYTES: usize = 1 << 20;
/// ... or as old, ns.
pub(super) const BLOCK_NANOS: u64 = 1_000_000_000;
/// No reader decompresses more, bytes.
pub(super) const MAX_BLOCK: usize = 16 << 20;
/// No frame is longer, so that a block that is nearly full can take it, bytes.
pub(super) const MAX_FRAME: usize = 8 << 20;
/// What cannot be compressed grows by less than a byte in 128 (`ZSTD_COMPRESSBOUND`), bytes.
pub(super) const MAX_COMPRESSED: usize = MAX_BLOCK + (MAX_BLOCK >> 7);
/// No header is longer, bytes: an argument list has at most 6 MiB (execve(2)), escaped four times that.
pub(super) const MAX_HEADER: usize = 32 << 20;

/// How a recording begins.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Prologue {
    pub(super) magic: [u8; 8],
    pub(super) major: U16,
    pub(super) minor: U16,
    pub(super) version: [u8; 16],
    pub(super) id: U64,
    pub(super) header_len: U32,
    pub(super) crc: U32,
}

impl Prologue {
    pub(super) const SIZE: usize = size_of::<Self>();

    pub(super) fn new(id: u64, header: &[u8], (major, minor): (u16, u16)) -> Self {
        let mut version = [0; 16];
        for (to, from) in version.iter_mut().zip(env!("CARGO_PKG_VERSION").bytes()) {
            *to = from;
        }
        let mut prologue = Self {
            magic: MAGIC,
            major: major.into(),
            minor: minor.into(),
            version,
            id: id.into(),
            header_len: (header.len() as u32).into(),
            crc: 0.into(),
        };
        prologue.crc = prologue.checksum(header).into();
        prologue
    }

    pub(super) fn checksum(&self, header: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(without_last_crc(self.as_bytes()));
        hasher.update(header);
        hasher.finalize()
    }

    /// The ipcscope that wrote it, made harmless.
    pub(super) fn version(&self) -> String {
        let version = self.version.split(|byte| *byte == 0).next().unwrap_or_default();
        crate::event::text::escape(version)
    }
}

/// How a block begins.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BlockHeader {
    pub(super) marker: [u8; 8],
    pub(super) id: U64,
    pub(super) number: U64,
    pub(super) first: U64,
    pub(super) last: U64,
    pub(super) frames: U32,
    pub(super) kind: U32,
    pub(super) raw_len: U32,
    pub(super) len: U32,
    pub(super) contents_crc: U32,
    pub(super) crc: U32,
}

impl BlockHeader {
    pub(super) const SIZE: usize = size_of::<Self>();

    /// With its own checksum in place.
    pub(super) fn sealed(mut self) -> Self {
        self.crc = self.checksum().into();
        self
    }

    fn checksum(&self) -> u32 {
        crc32fast::hash(without_last_crc(self.as_bytes()))
    }

    /// It is the header of a block of this recording, and its sizes can be.
    pub(super) fn is_sound(&self, id: u64) -> bool {
        self.marker == MARKER
            && self.id.get() == id
            && self.crc.get() == self.checksum()
            && self.raw_len.get() as usize <= MAX_BLOCK
            && self.len.get() as usize <= MAX_COMPRESSED
    }
}

fn without_last_crc(bytes: &[u8]) -> &[u8] {
    bytes.get(..bytes.len() - size_of::<U32>()).unwrap_or_default()
}

const _: () = assert!(Prologue::SIZE == 44 && BlockHeader::SIZE == 64);
