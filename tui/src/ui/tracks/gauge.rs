//! How full a channel was, in order of time.

use std::collections::VecDeque;

use crate::{
    event::{ChannelEvent, ChannelId, Nanos, Transfer},
    model::{Directions, Side},
};

/// The fill of a channel over time, as sampled by the calls on it.
#[derive(Debug)]
pub(in crate::ui) struct Gauge {
    pub id: ChannelId,
    pub samples: VecDeque<Sample>,
    /// Bytes it can hold.
    pub capacity: Option<u64>,
    slots: Option<u32>,
    directions: Directions,
    /// The most bytes seen in it.
    most: u64,
}

/// Its fill from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) struct Sample {
    pub t: Nanos,
    pub index: u64,
    /// `None`: records are missing.
    pub bytes: Option<u64>,
    /// How full: of bytes or buffers, whichever leaves less room; in thousandths.
    pub level: Option<u16>,
}

impl Gauge {
    pub(super) fn new(id: ChannelId) -> Self {
        Self { id, samples: VecDeque::new(), capacity: None, slots: None, directions: Directions::default(), most: 0 }
    }

    /// The sample in force at `t`.
    pub(in crate::ui) fn at(&self, t: Nanos) -> Option<&Sample> {
        self.samples.get(self.samples.partition_point(|sample| sample.t <= t).checked_sub(1)?)
    }

    /// Samples between two moments, each with its beginning and end cut to them.
    pub(in crate::ui) fn spans(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = (Nanos, Nanos, &Sample)> {
        let first = self.samples.partition_point(|sample| sample.t <= from).saturating_sub(1);
        let first = first.min(self.samples.len());
        let ends = self.samples.range(first..).skip(1).map(|sample| sample.t).chain([to]);
        self.samples
            .range(first..)
            .zip(ends)
            .take_while(move |(sample, _)| sample.t < to)
            .map(move |(sample, end)| (sample.t.max(from), end.min(to), sample))
    }

    pub(super) fn resize(&mut self, change: &ChannelEvent) {
        self.capacity = change.capacity.or(self.capacity);
        self.slots = change.slots.or(self.slots);
    }

    /// How full it was, in thousandths; where nobody knows how much there is room for, of the most that was ever in it.
    pub(in crate::ui) fn level(&self, sample: &Sample) -> Option<u16> {
        let relative = || {
            let bytes = sample.bytes.filter(|_| self.capacity.is_none() && self.slots.is_none())?;
            Some((u128::from(bytes) * 999 / u128::from(self.most.max(1))).min(999) as u16)
        };
        sample.level.or_else(relative)
    }

    pub(super) fn sample(&mut self, t: Nanos, index: u64, side: Side, transfer: &Transfer) {
        let Some(fill) = transfer.fill else { return };
        let bytes = self.directions.after(side, transfer, fill);
        self.most = self.most.max(bytes);
        let part = |used: u64, all: u64| (used.saturating_mul(1000) / all.max(1)).min(1000) as u16;
        let slots = transfer.slots.or(self.slots);
        let by_bytes = self.capacity.map(|all| part(bytes, all));
        let by_slots = transfer.slots_used.zip(slots).map(|(used, all)| part(used.into(), all.into()));
        self.push(Sample { t, index, bytes: Some(bytes), level: by_bytes.max(by_slots) });
    }

    pub(super) fn push(&mut self, sample: Sample) {
        self.samples.push_back(sample);
    }

    pub(super) fn trim(&mut self, first: u64) {
        while self.samples.get(1).is_some_and(|next| next.index < first) {
            self.samples.pop_front();
        }
    }
}
