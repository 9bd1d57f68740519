//! The probes, one file per family.

pub mod call;
pub mod descriptor;
pub mod family;
pub mod file;
pub mod futex;
pub mod ipc;
pub mod memory;
pub mod mqueue;
pub mod object;
pub mod path;
pub mod payload;
pub mod pipe;
pub mod process;
pub mod queue;
pub mod ring;
pub mod sched;
pub mod seed;
pub mod sem;
pub mod shm;
pub mod signal;
pub mod socket;
pub mod waits;
