//! Memory that processes share by mmap(2): files in memory and anonymous shared mappings.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds, object::NAME_LEN};

kinds! {
    /// [`MemoryCall`]
    MEMORY_CALL = 0x64;
    /// [`MemoryName`]: a name in /dev/shm was removed.
    MEMORY_REMOVED = 0x65;
}

/// mmap(2), munmap(2), mremap(2), ftruncate(2) returned.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MemoryCall {
    /// Common part.
    pub header: Header,
    /// When it was entered.
    pub entered: u64,
    /// What it returned.
    pub ret: i64,
    /// What stands for the inode of the file; 0: there is none, or it is none in memory.
    pub ino: u64,
    /// The first argument: an address, or a descriptor.
    pub address: u64,
    /// The second: a length in bytes.
    pub length: u64,
    /// Of mmap(2) the offset in the file; of mremap(2) the new length.
    pub offset: u64,
    /// `PROT_*`
    pub protection: u32,
    /// `MAP_*`
    pub flags: u32,
    /// The descriptor, or -1.
    pub fd: i32,
    /// The call's number.
    pub nr: i32,
}

/// A file was unlinked by that path.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MemoryName {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// What it returned.
    pub ret: i64,
    /// The call's number.
    pub nr: i32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
    /// The path behind /dev/shm/, up to its NUL.
    pub name: [u8; NAME_LEN],
}

const _: () = assert!(size_of::<MemoryCall>() == 24 + 48 + 16 && size_of::<MemoryName>() == 48 + NAME_LEN);
