//! Live: the probes of the running kernel.

pub mod offsets;
pub mod probes;
pub mod seed;
