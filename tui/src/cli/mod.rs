//! The command line: what can be typed ([`args`]) and what is generated from the same definitions ([`manual`]).

pub mod args;
pub mod manual;
mod units;

pub use crate::event::FamilySet;
pub use units::{BufferSize, Pids};
