//! The world at an instant: processes, threads, channels, signals; a pure fold over events.
//!
//! [`World::apply`] is the only way it changes, so live, paused, replayed and scripted views share one code path, and
//! "now" is the time of the data ([`World::now`]), never the wall clock.
//!
//! Invariants: folding the same events gives the same world; no event, however odd, panics; memory is bounded by the
//! number of living things plus the ended ones kept for display. Absent on purpose: file handles, clocks, drawing.

mod channel;
mod channels;
mod flow;
mod holding;
mod process;
pub mod script;
mod signal;
mod world;

pub use channel::{Channel, Directions, Hold, Side};
pub use channels::Channels;
pub use flow::Edge;
pub use process::{Process, ProcessKey, Thread};
pub use signal::{SignalRow, Stir};
pub use world::World;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;
