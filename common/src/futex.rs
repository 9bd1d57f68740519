//! Futexes: words in memory that threads wait on.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`FutexBegin`]
    FUTEX_BEGIN = 0x68;
    /// [`FutexCall`]
    FUTEX_CALL = 0x69;
}

/// A call on a futex begins. Told so that whoever it wakes can name it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FutexBegin {
    /// Common part.
    pub header: Header,
    /// Where the word is in the process.
    pub address: u64,
    /// The second word, of those operations that have one.
    pub second: u64,
    /// `futex_op`, or the flags of the newer calls.
    pub operation: u32,
    /// The third argument: the value expected, or how many to wake.
    pub value: u32,
    /// The word as it is at the entry.
    pub word: u32,
    /// What stands 8 bytes behind it: of a mutex of glibc the thread that has it (`__data.__owner`).
    pub owner: u32,
    /// The call's number.
    pub nr: i32,
    /// 1: it ends by itself.
    pub timed: u32,
}

/// It returned.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FutexCall {
    /// Common part.
    pub header: Header,
    /// When it was entered.
    pub entered: u64,
    /// What it returned: restart codes included.
    pub ret: i64,
    /// Where the word is.
    pub address: u64,
    /// `futex_op`, or the flags of the newer calls.
    pub operation: u32,
    /// The call's number.
    pub nr: i32,
}

const _: () = assert!(size_of::<FutexBegin>() == 64 && size_of::<FutexCall>() == 56);
