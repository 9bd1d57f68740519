//! Operations of io_uring(7), which a thread asks for and the kernel does on its own.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`RingCall`]
    RING_CALL = 0x80;
}

/// An operation on a file is over; the header tells who asked for it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RingCall {
    /// Common part.
    pub header: Header,
    /// When it was submitted.
    pub submitted: u64,
    /// The inode number of the file, or what stands for it ([`crate::object`]).
    pub ino: u64,
    /// Its file system; 0 for what has no inode of its own.
    pub dev: u32,
    /// What became of it: bytes, or a negative errno.
    pub result: i32,
    /// The descriptor; -1: a registered file.
    pub fd: i32,
    /// `S_IFMT` and permissions.
    pub mode: u16,
    /// `IORING_OP_*`.
    pub operation: u8,
    /// Keeps the size a multiple of 8.
    pub reserved: u8,
}

const _: () = assert!(size_of::<RingCall>() == 56);
