//! The command line: what can be typed ([`args`]) and what is generated from the same definitions ([`manual`]).

pub mod args;
mod capture;
pub mod manual;
mod units;

pub use capture::{Capture, CaptureSet};
pub use units::{BufferSize, Pids};
