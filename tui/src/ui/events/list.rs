//! Which events are listed, which of them is under the cursor, and which part of the list is shown.
//!
//! Events are named by their number in the [`Log`], so that the cursor stays where it is while old events are dropped
//! and new ones come in. Invariant: `matches` are the numbers of all kept events that pass the filter; quiet ones never do.

use std::collections::VecDeque;

use crate::{analyze::Filter, event::Event, ui::log::Log};

/// The list.
#[derive(Debug)]
pub(crate) struct List {
    /// Which events are listed.
    pub filter: Filter,
    /// What `n` looks for.
    pub find: Option<Filter>,
    /// The cursor stays on the newest event.
    pub follow: bool,
    matches: VecDeque<u64>,
    cursor: u64,
    top: u64,
    height: usize,
}

impl Default for List {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            find: None,
            follow: true,
            matches: VecDeque::new(),
            cursor: 0,
            top: 0,
            height: 1,
        }
    }
}

impl List {
    /// Those that are gone from the log.
    fn gone(&self, log: &Log) -> usize {
        self.matches.partition_point(|index| *index < log.first())
    }

    /// How many events are listed.
    pub(crate) fn rows(&self, log: &Log) -> usize {
        self.matches.len() - self.gone(log)
    }

    /// The number of the event in that row.
    pub(crate) fn at(&self, row: usize, log: &Log) -> Option<u64> {
        self.matches.get(self.gone(log) + row).copied()
    }

    /// The row of that event, or of the next one that is listed.
    fn row(&self, index: u64, log: &Log) -> usize {
        let row = self.matches.partition_point(|match_| *match_ < index).saturating_sub(self.gone(log));
        row.min(self.rows(log).saturating_sub(1))
    }

    /// The event under the cursor.
    pub(crate) fn cursor(&self, log: &Log) -> Option<u64> {
        self.at(self.cursor_row(log), log)
    }

    fn cursor_row(&self, log: &Log) -> usize {
        if self.follow { self.rows(log).saturating_sub(1) } else { self.row(self.cursor, log) }
    }

    /// The rows that are shown, and the one of the cursor.
    pub(crate) fn shown(&self, log: &Log) -> (std::ops::Range<usize>, usize) {
        let rows = self.rows(log);
        let top = if self.follow { rows.saturating_sub(self.height) } else { self.row(self.top, log) };
        let top = top.min(rows.saturating_sub(self.height));
        (top..(top + self.height).min(rows), self.cursor_row(log))
    }

    /// A new event was kept.
    pub(crate) fn arrived(&mut self, event: &Event, index: u64) {
        if self.filter.matches(event) {
            self.matches.push_back(index);
        }
    }

    /// Lists nothing: the log has begun anew.
    pub(crate) fn clear(&mut self) {
        self.matches.clear();
    }

    /// Lists what passes `filter`.
    pub(crate) fn set_filter(&mut self, filter: Filter, log: &Log) {
        self.filter = filter;
        self.refilter(log);
    }

    /// Goes through all events anew.
    pub(crate) fn refilter(&mut self, log: &Log) {
        self.matches.clear();
        self.matches.extend(log.from(0).filter(|(_, e)| self.filter.matches(e)).map(|(index, _)| index));
    }

    /// The list is `height` lines high (0: not shown): scrolls to the cursor.
    pub(crate) fn show(&mut self, log: &Log, height: usize) {
        while self.matches.front().is_some_and(|index| *index < log.first()) {
            self.matches.pop_front();
        }
        if height > 0 {
            self.height = height;
        }
        if self.follow {
            let top = self.rows(log).saturating_sub(self.height);
            self.top = self.at(top, log).unwrap_or(0);
            return;
        }
        let (cursor, top) = (self.cursor_row(log), self.row(self.top, log));
        let lowest = cursor.saturating_sub(self.height - 1);
        if top > cursor || top < lowest {
            // A step scrolls by a line; after a jump there is something to see before and behind.
            let near = cursor + 1 == top || lowest == top + 1;
            let top = match near {
                true if top > cursor => cursor,
                true => lowest,
                false => cursor.saturating_sub(self.height / 2),
            };
            self.top = self.at(top, log).unwrap_or(0);
        }
    }

    /// Puts the cursor on that event.
    pub(crate) fn go(&mut self, index: Option<u64>, log: &Log) {
        if let Some(index) = index {
            self.follow = false;
            self.cursor = index;
            if let Some(listed) = self.at(self.row(index, log), log) {
                self.cursor = listed;
            }
        }
    }

    /// Moves the cursor by rows; what lies beyond an end is that end.
    pub(crate) fn shift(&mut self, rows: isize, log: &Log) {
        let row = self.cursor_row(log).saturating_add_signed(rows).min(self.rows(log).saturating_sub(1));
        self.go(self.at(row, log), log);
    }

    /// A page, less a line that stays in sight.
    pub(crate) fn page(&self) -> isize {
        self.height.saturating_sub(1).max(1) as isize
    }

    /// One listed event forward or backward.
    pub(crate) fn step(&mut self, forward: bool, log: &Log) {
        self.shift(if forward { 1 } else { -1 }, log);
    }
}
