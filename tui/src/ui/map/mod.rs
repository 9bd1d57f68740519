//! Who talks to whom, and who waits: processes as boxes in the order of the data, channels between them.
//!
//! World → `graph` (what is shown, folded where there is much) → `layout` (where) → `view` (cells). All of it is computed
//! anew for each frame from the world alone; nothing is drawn outside the viewport, which follows the selection.

mod canvas;
mod detail;
mod graph;
mod layout;
mod route;
mod select;
mod telling;
mod view;

pub(super) use select::Selection;
pub(super) use view::draw;
