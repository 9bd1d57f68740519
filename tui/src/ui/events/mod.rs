//! What happened: the list of events, and everything about the one under the cursor.

mod fields;
mod hexdump;
mod jump;
mod links;
mod list;
mod view;

pub(super) use jump::{Trail, Way};
pub(super) use list::List;
pub(super) use view::draw;
