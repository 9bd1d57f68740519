//! The next event of a recording that matches, or the one before.

use super::{
    index::{Checkpoint, Index},
    walk::Walk,
};
use crate::{analyze::Filter, event::Nanos, source::recording::RecordingError};

/// Events between two looks whether it is still wanted.
const LOOK: u64 = 4096;

/// The number of that event. `go_on` is told how far it has come, and ends the search.
pub fn find(
    walk: &mut Walk,
    index: &Index,
    filter: &Filter,
    from: u64,
    forward: bool,
    mut go_on: impl FnMut(Nanos) -> bool,
) -> Result<Option<u64>, RecordingError> {
    let points = index.until(if forward { from + 1 } else { from });
    if forward {
        let Some(point) = points.last() else { return Ok(None) };
        return look(walk, point, filter, (from + 1, u64::MAX), true, &mut go_on);
    }
    let mut end = from;
    for point in points.iter().rev() {
        if let Some(found) = look(walk, point, filter, (point.event, end), false, &mut go_on)? {
            return Ok(Some(found));
        }
        if !go_on(point.scene.world.now) {
            return Ok(None);
        }
        end = point.event;
    }
    Ok(None)
}

/// The first match, or the last, among the events from a checkpoint on whose numbers are in `within`.
fn look(
    walk: &mut Walk,
    point: &Checkpoint,
    filter: &Filter,
    within: (u64, u64),
    first: bool,
    go_on: &mut impl FnMut(Nanos) -> bool,
) -> Result<Option<u64>, RecordingError> {
    walk.go(point)?;
    let mut found = None;
    while walk.number() < within.1 {
        let number = walk.number();
        let Some(event) = walk.event()? else { break };
        if number >= within.0 && filter.matches(&event) {
            found = Some(number);
            if first {
                break;
            }
        }
        if first && number.is_multiple_of(LOOK) && !go_on(event.t) {
            break;
        }
    }
    Ok(found)
}
