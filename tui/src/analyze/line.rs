//! Text lines (contract, section 3).

use crate::event::Event;

/// `subject verb object  detail`, without time, pid and name.
pub fn line(event: &Event) -> String {
    format!("{:?}", event.kind)
}
