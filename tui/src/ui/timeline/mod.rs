//! Where the time goes: a lane for each thread with its states, one for each channel with its fill.
//!
//! [`Axis`] maps time to columns, `lanes` picks and stacks what is shown, `cells` tells what a column of a lane holds,
//! `marks` what is written between lanes; `view` and `detail` draw, `keys` move. The time cursor is that of the whole
//! application: the event list and the map stand where the timeline does. Everything comes from the
//! [`Tracks`](super::tracks::Tracks), so a frame costs what is in sight, not what is kept.

mod axis;
mod cells;
mod detail;
mod keys;
mod lanes;
mod marks;
mod view;

use ratatui::layout::Rect;

pub(super) use self::view::draw;
use self::{axis::Axis, lanes::Lane};
use super::{App, message::Mode};
use crate::event::Nanos;

/// What is in sight, and where the cursor is.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Place in [`axis::SCALES`]; `None`: what has been traced fits.
    scale: Option<usize>,
    /// The scale in use, once it has been shown.
    shown: Option<usize>,
    left: Nanos,
    /// The cursor's time, and where the event list's cursor was put for it.
    pub(super) at: Option<(Nanos, Option<u64>)>,
    lane: Option<Lane>,
    top: usize,
}

/// Columns for the names of lanes.
fn label_columns(width: u16) -> u16 {
    if width >= 100 { 20 } else { 15 }
}

/// A cell is at most so long while the present is followed, unless zoomed out: the last seconds are in sight.
const LIVE_CELL: u64 = 20_000_000;

impl App {
    /// The moment that is looked at.
    pub(super) fn instant(&self) -> Nanos {
        if self.follows() {
            return self.now();
        }
        let cursor = self.list.cursor(&self.log);
        if let Some((at, index)) = self.timeline.at
            && index == cursor
        {
            return at;
        }
        match &self.seen {
            Some(seen) if self.paused && seen.index == cursor => seen.now,
            _ => cursor.and_then(|index| self.log.get(index)).map_or(self.live.now, |event| event.t),
        }
    }

    /// The time of the first event that is kept.
    fn first_time(&self) -> Nanos {
        self.log.get(self.log.first()).map_or(self.live.now, |event| event.t)
    }

    /// The newest moment there is.
    fn newest_time(&self) -> Nanos {
        if self.is_live() && !self.paused { self.clock.now(self.live.now) } else { self.live.now.max(self.now()) }
    }

    /// Time and columns of the timeline in `area`.
    fn axis(&self, area: Rect) -> Axis {
        let columns = usize::from(area.width.saturating_sub(label_columns(area.width))).max(1);
        if let Some(shown) = self.timeline.shown.filter(|_| !self.follows()) {
            return Axis::new(self.timeline.left, shown, columns);
        }
        let now = self.newest_time();
        let first = self.first_time();
        let fitting = || {
            let fitting = Axis::fitting(first, now, columns);
            // A replay is over, so all of it can be looked at; what is live would shrink without end.
            if self.options.mode == Mode::Replay { fitting } else { fitting.min(Axis::at_most(LIVE_CELL)) }
        };
        let scale = self.timeline.scale.unwrap_or_else(fitting);
        Axis::ending(first, now, scale, columns)
    }

    /// Keeps cursor and selected lane in sight.
    pub(super) fn arrange_timeline(&mut self, area: Rect) {
        if area.is_empty() {
            return;
        }
        let axis = self.axis(area);
        let at = self.instant();
        let first_look = self.timeline.shown.is_none() && axis.column(at).is_some();
        if self.follows() || first_look {
            (self.timeline.left, self.timeline.shown) = (axis.left, Some(axis.scale));
        } else if axis.column(at).is_none() {
            // Out of sight: with something to see on the side it came from.
            let quarter = axis.cell().saturating_mul(axis.columns as u64 / 4);
            let span = axis.cell().saturating_mul(axis.columns as u64);
            let left = if at < axis.left {
                at.0.saturating_sub(quarter)
            } else {
                at.0.saturating_sub(span.saturating_sub(quarter))
            };
            (self.timeline.left, self.timeline.shown) = (axis.aligned(Nanos(left)), Some(axis.scale));
        }
        let axis = self.axis(area);
        let lanes = lanes::lanes(self, &axis);
        if let Some(place) = self.timeline.lane.as_ref().and_then(|lane| lanes.iter().position(|other| other == lane)) {
            let shown = lanes::stack(&lanes, area).1.max(1);
            self.timeline.top = self.timeline.top.clamp((place + 1).saturating_sub(shown), place);
        }
        let shown = lanes::stack(&lanes, area).1;
        self.timeline.top = self.timeline.top.min(lanes.len().saturating_sub(shown));
    }
}
