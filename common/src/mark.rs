//! Records that user space adds to those of the probes, so that a recording holds all there is to know.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`Start`]
    START = 0xf0;
    /// [`Lost`]
    LOST = 0xf1;
    /// [`Tick`]
    TICK = 0xf2;
}

/// Flags of a [`Start`].
pub mod flag {
    /// Children are followed: whoever a process creates is traced too.
    pub const FOLLOW: u32 = 1;
    /// The scheduler is captured.
    pub const SCHED: u32 = 2;
}

/// Tracing begins; the header's time is the trace's zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Start {
    /// Common part.
    pub header: Header,
    /// [`flag`].
    pub flags: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

/// Records are missing somewhere between the header's time and `until`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Lost {
    /// Common part.
    pub header: Header,
    /// The end of the span.
    pub until: u64,
    /// How many.
    pub count: u64,
    /// Which: [`crate::settings::lost`].
    pub class: u32,
    /// 0 at the beginning of the span, 1 when it is over.
    pub over: u32,
}

/// Everything older than the header's time has been told.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Tick {
    /// Common part.
    pub header: Header,
}
