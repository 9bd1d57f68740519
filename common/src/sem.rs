//! System V semaphores: operations on sets of them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`SemBegin`]
    SEM_BEGIN = 0x5c;
    /// [`SemCall`]
    SEM_CALL = 0x5d;
}

/// [`SemBegin::command`] of a semtimedop(2) that ends by itself.
pub const TIMED: i32 = -2;
/// Operations of one call that are told.
pub const OPERATIONS: usize = 8;

/// What [`SemCall::state`] says.
pub mod state {
    /// The set was found: its facts are from right after the call.
    pub const FOUND: u32 = 1;
    /// The namespace had one set more than before the call, and this one has never been operated on.
    pub const FRESH: u32 = 2;
}

/// `struct sembuf` of semop(2).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Operation {
    /// Which semaphore of the set.
    pub number: u16,
    /// What is added to it; 0: waits until it is 0.
    pub change: i16,
    /// `IPC_NOWAIT`, `SEM_UNDO`.
    pub flags: u16,
}

/// A call that may change or wait for values begins: semop(2), semtimedop(2), semctl(2). Told so that whoever it wakes can
/// name it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SemBegin {
    /// Common part.
    pub header: Header,
    /// The set.
    pub id: i32,
    /// Its namespace (`ns_common.inum`).
    pub namespace: u32,
    /// The call's number.
    pub nr: i32,
    /// The command of semctl(2); of the others [`TIMED`] or -1.
    pub command: i32,
}

/// A call on a set returned.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SemCall {
    /// Common part.
    pub header: Header,
    /// When the call was entered.
    pub entered: u64,
    /// What it returned: restart codes (-512 to -516) included.
    pub ret: i64,
    /// The set.
    pub id: i32,
    /// The call's number.
    pub nr: i32,
    /// `semflg`, or the command of semctl(2).
    pub flags: i32,
    /// The key it is found by; 0: none.
    pub key: u32,
    /// Its namespace.
    pub namespace: u32,
    /// Its owner.
    pub uid: u32,
    /// Its permissions.
    pub mode: u32,
    /// Semaphores in the set.
    pub semaphores: u32,
    /// [`state`]
    pub state: u32,
    /// Operations asked for; those beyond [`OPERATIONS`] are not told. For SETVAL one, whose change is the new value.
    pub count: u32,
    /// They, as they were when the call began.
    pub operations: [Operation; OPERATIONS],
    /// The values of their semaphores right after.
    pub values: [u16; OPERATIONS],
}

const _: () = assert!(size_of::<SemBegin>() == 40);
const _: () = assert!(size_of::<SemCall>() == 40 + 40 + 48 + 16);
