//! Time and columns: cells of a round length, aligned to it, so that nothing flickers while time goes on.

use crate::event::Nanos;

/// Lengths of a cell, ns.
pub(super) const SCALES: [u64; 31] = [
    10,
    20,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    60_000_000_000,
    600_000_000_000,
    3_600_000_000_000,
];

/// Which time lies in which column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub left: Nanos,
    /// Place in [`SCALES`].
    pub scale: usize,
    pub columns: usize,
}

fn length(scale: usize) -> u64 {
    SCALES.get(scale).or(SCALES.last()).copied().unwrap_or(1)
}

impl Axis {
    pub(super) fn new(left: Nanos, scale: usize, columns: usize) -> Self {
        Self { left, scale: scale.min(SCALES.len() - 1), columns }
    }

    /// With `now` in the last column, or further left if all since `first` fits.
    pub(super) fn ending(first: Nanos, now: Nanos, scale: usize, columns: usize) -> Self {
        let axis = Self::new(now, scale, columns);
        let left = axis.aligned(now).0.saturating_sub(axis.cell().saturating_mul(columns as u64 - 1));
        Self { left: Nanos(left).max(axis.aligned(first)), ..axis }
    }

    /// The finest scale with which `columns` hold all from `first` to `last`.
    pub(super) fn fitting(first: Nanos, last: Nanos, columns: usize) -> usize {
        let fits = |cell: &u64| last.0 / cell - first.0.min(last.0) / cell < columns as u64;
        SCALES.iter().position(fits).unwrap_or(SCALES.len() - 1)
    }

    /// The coarsest scale whose cells are not longer than that.
    pub(super) fn at_most(cell: u64) -> usize {
        SCALES.partition_point(|length| *length <= cell).saturating_sub(1)
    }

    /// ns of a column.
    pub(super) fn cell(&self) -> u64 {
        length(self.scale)
    }

    /// The beginning of the cell that `t` is in.
    pub(super) fn aligned(&self, t: Nanos) -> Nanos {
        Nanos(t.0 / self.cell() * self.cell())
    }

    /// When a column begins.
    pub(super) fn time(&self, column: usize) -> Nanos {
        Nanos(self.left.0.saturating_add(self.cell().saturating_mul(column as u64)))
    }

    /// When the last column ends.
    pub(super) fn right(&self) -> Nanos {
        self.time(self.columns)
    }

    /// The column in which `t` lies, if it is in sight.
    pub(super) fn column(&self, t: Nanos) -> Option<usize> {
        let column = (t.0.checked_sub(self.left.0)? / self.cell()) as usize;
        (column < self.columns).then_some(column)
    }

    /// With another scale, `t` in the same column.
    pub(super) fn zoomed(&self, scale: usize, t: Nanos) -> Self {
        let axis = Self::new(self.left, scale, self.columns);
        let column = self.column(t).unwrap_or(self.columns / 2) as u64;
        let left = axis.aligned(t).0.saturating_sub(axis.cell().saturating_mul(column));
        Self { left: Nanos(left), ..axis }
    }
}

#[cfg(test)]
mod tests {
    use super::Axis;
    use crate::event::Nanos;

    #[test]
    fn all_fits_or_the_present_is_at_the_right() {
        assert_eq!(Axis::fitting(Nanos(0), Nanos(5_200_000), 105), 11, "50 µs");
        let axis = Axis::ending(Nanos(100_000), Nanos(5_200_000), 11, 200);
        assert_eq!((axis.left, axis.column(Nanos(5_200_000))), (Nanos(100_000), Some(102)));
        let axis = Axis::ending(Nanos(0), Nanos(5_200_123), 9, 100);
        assert_eq!((axis.column(Nanos(5_200_123)), axis.column(axis.right())), (Some(99), None));
    }

    #[test]
    fn zooming_keeps_the_cursor_where_it_is() {
        let axis = Axis::new(Nanos(1_000_000), 9, 100);
        let at = Nanos(1_507_000);
        let near = axis.zoomed(6, at);
        assert_eq!((axis.column(at), near.column(at)), (Some(50), Some(50)));
        assert_eq!(axis.zoomed(400, at).scale, 30);
    }
}
