//! The wire between the eBPF probes and user space: plain records, no behaviour, no unsafe code.
//!
//! One file per family. Every record begins with a [`Header`]; its `kind` says which record it is. Kinds are numbered in
//! ranges per family and never reused, since recordings hold these records. A field is only ever added at a record's end,
//! as a new kind. No bool, usize or Option crosses the wire.
//!
//! Invariant: the layout is the same on both sides (`repr(C)`, sizes asserted), without implicit padding (zerocopy's
//! `IntoBytes` refuses it).
#![no_std]

pub mod call;
pub mod descriptor;
pub mod file;
pub mod futex;
pub mod mark;
pub mod memory;
pub mod mqueue;
pub mod object;
pub mod offsets;
pub mod pipe;
pub mod process;
pub mod queue;
pub mod records;
pub mod ring;
pub mod sched;
pub mod sem;
pub mod settings;
pub mod shm;
pub mod signal;
pub mod socket;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of this wire; recordings carry it. Minor: kinds or marks were added. Major: an old kind changed its meaning.
pub const WIRE_VERSION: (u16, u16) = (1, 8);

/// The beginning of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Header {
    /// When: `bpf_ktime_get_ns`, that is CLOCK_MONOTONIC.
    pub time: u64,
    /// Counts the records of this CPU, the lost ones included: a gap is a loss.
    pub seq: u32,
    /// Which CPU.
    pub cpu: u16,
    /// Which record.
    pub kind: u16,
    /// The thread it is about, numbered in the initial pid namespace.
    pub tid: u32,
    /// Its thread group: the process.
    pub tgid: u32,
}

const _: () = assert!(size_of::<Header>() == 24);

/// Declares the numbers of a family's records.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: u16 = $value;)*
    };
}
pub(crate) use kinds;
