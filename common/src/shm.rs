//! System V shared memory: who makes, attaches and detaches segments. What is read and written in them no kernel sees.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`ShmCall`]
    SHM_CALL = 0x58;
}

/// What [`ShmCall::state`] says.
pub mod state {
    /// The segment was found: its facts are from right after the call.
    pub const FOUND: u32 = 1;
    /// This thread made the segment (`shm_creator`), and nobody has attached it yet (`shm_atim`).
    pub const FRESH: u32 = 2;
}

/// A call on a segment returned.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ShmCall {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// What it returned.
    pub ret: i64,
    /// Where the memory is, or was (shmdt(2)), in the process.
    pub address: u64,
    /// Its size in bytes.
    pub size: u64,
    /// How often it is attached, by anybody (`shm_nattch`).
    pub attached: u64,
    /// The segment; -1: shmdt(2) does not say.
    pub id: i32,
    /// The call's number.
    pub nr: i32,
    /// `shmflg`, or the command of shmctl(2).
    pub flags: i32,
    /// The key it is found by; 0: none.
    pub key: u32,
    /// Its namespace (`ns_common.inum`).
    pub namespace: u32,
    /// Its owner.
    pub uid: u32,
    /// Its permissions.
    pub mode: u32,
    /// [`state`]
    pub state: u32,
}

const _: () = assert!(size_of::<ShmCall>() == 96);
