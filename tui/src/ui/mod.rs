//! The terminal application as model, update and view.
//!
//! [`App`] is all its state; [`App::update`] takes a [`Message`] and returns [`Effect`]s; [`draw()`] shows an `App` on a
//! frame. Invariants: nothing here touches a terminal, a clock or a file (`app` does); live, paused and replayed traces
//! are one code path, because views only see a [`World`](crate::model::World) and a time; no text of others gets to a
//! cell unescaped. Tested by screens as text in `tests/snapshots`, and by random keys and sizes that must never panic.
//!
//! The views: `map` (who talks to whom, and who waits), `events` (what happened, and why), `timeline` (where the time
//! goes), `signals` (what became of each); `pane` is the command's own terminal, `findings` a box over
//! them: what is wrong.

mod ascii;
mod bars;
mod clock;
mod events;
mod findings;
mod help;
mod keys;
mod log;
mod map;
mod message;
mod pane;
mod playback;
mod prompt;
mod screen;
mod signals;
mod state;
mod theme;
mod timeline;
mod tracks;
mod typed;
mod update;
mod words;

pub use message::{Effect, Message, Mode, Options, Outcome};
pub use screen::draw;
pub use state::App;
