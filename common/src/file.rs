//! Named pipes as files: who makes one, and who may not open it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    Header,
    descriptor::{PART_LEN, PATH_PARTS},
    kinds,
};

kinds! {
    /// [`FileCall`]
    FILE_CALL = 0x35;
}

/// Bytes kept of a path that was given to a call.
pub const GIVEN_LEN: usize = 256;

/// An open(2) that the kernel refused, or a mknod(2). The kernel has no file then, only its path: user space looks what is
/// there, and empties the record if that is no named pipe (`mode` 0).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FileCall {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// What it returned.
    pub ret: i64,
    /// The inode number; added by user space, as the next two.
    pub ino: u64,
    /// The inode's file system.
    pub dev: u32,
    /// `inode.i_mode`.
    pub mode: u32,
    /// The owner.
    pub owner: u32,
    /// The call's number.
    pub nr: i32,
    /// Of open(2) the `O_*` flags, of mknod(2) the mode; of openat2(2): unknown, 0.
    pub flags: u32,
    /// Components in `parts`; more than [`PATH_PARTS`]: the directory is not known.
    pub count: u32,
    /// The mount namespace (an inode number).
    pub namespace: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
    /// The path as it was given, up to its NUL; made absolute by user space, without symbolic links.
    pub given: [u8; GIVEN_LEN],
    /// The directory that it begins in, as [`crate::descriptor::ChannelPath`] has paths; of an absolute one, the root.
    pub parts: [[u8; PART_LEN]; PATH_PARTS],
}

const _: () = assert!(size_of::<FileCall>() == 80 + GIVEN_LEN + PART_LEN * PATH_PARTS);
