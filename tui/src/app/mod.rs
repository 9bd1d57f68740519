//! The terminal application at work: the only place where a terminal is read and written.
//!
//! [`run`] feeds keys, updates of the source and the wall clock to [`ui::App`](crate::ui::App), applies the effects and
//! draws. Invariants: the terminal is restored on every way out, panic and SIGTERM included; a frame is drawn only when
//! something has changed, ten to thirty times a second for data, by what drawing costs, and five times for mere clocks;
//! the source never waits for longer than a frame. Tested by the binary in a pseudo-terminal.

mod keyboard;
mod run;
mod terminal;

pub use run::run;
