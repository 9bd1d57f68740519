//! What a column of a lane holds: the share of each state, the mean fill.

use super::axis::Axis;
use crate::{
    event::{Nanos, ThreadState},
    ui::tracks::{Gauge, Track},
};

/// Shares of a column: ns in each state, in the order of [`ThreadState::ALL`], unknown last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell([u64; 8]);

impl Cell {
    fn add(&mut self, state: Option<ThreadState>, ns: u64) {
        let place = state.map_or(7, |state| ThreadState::ALL.iter().position(|s| *s == state).unwrap_or(7));
        if let Some(share) = self.0.get_mut(place) {
            *share = share.saturating_add(ns);
        }
    }

    /// States with their shares, the largest first; `None` is unknown. What is DEAD takes no time.
    pub(super) fn shares(&self) -> Vec<(Option<ThreadState>, u64)> {
        let states = ThreadState::ALL.into_iter().map(Some).chain([None]);
        let mut shares: Vec<_> =
            states.zip(self.0).filter(|(state, ns)| *ns > 0 && *state != Some(ThreadState::Dead)).collect();
        shares.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
        shares
    }

    /// It ran, however briefly.
    pub(super) fn ran(&self) -> bool {
        self.0.get(2).is_some_and(|ns| *ns > 0)
    }
}

/// The cells of a thread until `now`.
pub(super) fn states(track: &Track, axis: &Axis, now: Nanos) -> Vec<Cell> {
    let mut cells = vec![Cell::default(); axis.columns];
    // What has just begun has lasted no time yet, but is there.
    let end = axis.right().min(Nanos(now.0.saturating_add(1)));
    for span in track.spans(axis.left, end) {
        let (Some(first), last) = (axis.column(span.from), axis.column(Nanos(span.to.0 - 1))) else { continue };
        for column in first..=last.unwrap_or(first) {
            let (begin, until) = (axis.time(column).max(span.from), axis.time(column + 1).min(span.to));
            if let Some(cell) = cells.get_mut(column) {
                cell.add(span.stay.state, until.since(begin));
            }
        }
    }
    cells
}

/// The shares of a thread between two moments.
pub(super) fn between(track: &Track, from: Nanos, to: Nanos) -> Cell {
    let mut cell = Cell::default();
    for span in track.spans(from, to) {
        cell.add(span.stay.state, span.to.since(span.from));
    }
    cell
}

/// How full a channel was in a column, in thousandths: the mean over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// It was not there, or not looked at yet.
    Nothing,
    /// Records are missing, or its size is not known.
    Unknown,
    Level(u16),
}

/// The fill of a channel until `now`.
pub(super) fn fills(gauge: &Gauge, axis: &Axis, now: Nanos) -> Vec<Fill> {
    let mut sums = vec![(0_u128, 0_u64, false); axis.columns];
    let end = axis.right().min(Nanos(now.0.saturating_add(1)));
    for (from, to, sample) in gauge.spans(axis.left, end).filter(|(from, to, _)| from < to) {
        let (Some(first), last) = (axis.column(from), axis.column(Nanos(to.0 - 1))) else { continue };
        for column in first..=last.unwrap_or(first) {
            let ns = axis.time(column + 1).min(to).since(axis.time(column).max(from));
            if let Some((sum, time, unknown)) = sums.get_mut(column) {
                match gauge.level(sample) {
                    Some(level) => {
                        *sum += u128::from(level) * u128::from(ns);
                        *time += ns;
                    }
                    None => *unknown = true,
                }
            }
        }
    }
    let fill = |(sum, time, unknown)| match (time, unknown) {
        (0, false) => Fill::Nothing,
        (_, true) => Fill::Unknown,
        (time, false) => Fill::Level((sum / u128::from(time)) as u16),
    };
    sums.into_iter().map(fill).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::{Fill, fills, states};
    use crate::{
        event::{Nanos, ThreadState},
        model::script,
        ui::{timeline::axis::Axis, tracks::Tracks},
    };

    fn tracks(text: &str) -> Tracks {
        let mut tracks = Tracks::default();
        for (index, event) in script::parse(text).unwrap().iter().enumerate() {
            tracks.learn(event, index as u64);
        }
        tracks
    }

    #[test]
    fn shares_add_up_to_the_cell_and_short_runs_show() {
        let tracks = tracks("0 1 a state BLOCKED pause\n+12us 1 a state RUNNING cpu0\n+2us 1 a state BLOCKED pause");
        let cells = states(tracks.of(1).unwrap(), &Axis::new(Nanos(0), 9, 3), Nanos(25_000));
        let [first, second, third] = *cells else { unreachable!() };
        assert_eq!(first.shares(), [(Some(ThreadState::Blocked), 10_000)]);
        assert_eq!(second.shares(), [(Some(ThreadState::Blocked), 8_000), (Some(ThreadState::Running), 2_000)]);
        assert!(second.ran() && !first.ran());
        assert_eq!(third.shares(), [(Some(ThreadState::Blocked), 5_001)]);
    }

    #[test]
    fn the_fill_is_the_mean_over_time() {
        let tracks = tracks("0 1 a pipe 7 3 4\n+10us 1 a write 7 4 32768 fill 32768\n+5us 2 b read 7 3 32768 fill 0");
        let gauge = tracks.gauge(&"pipe:[7]".into()).unwrap();
        let cells = fills(gauge, &Axis::new(Nanos(0), 9, 4), Nanos(25_000));
        assert_eq!(cells, [Fill::Level(0), Fill::Level(250), Fill::Level(0), Fill::Nothing].map(|fill| fill));
    }
}
