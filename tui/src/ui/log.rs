//! The events that are kept, and the world after any of them.
//!
//! Events are numbered from 0 in order of arrival. They are stored in segments that begin with a copy of the world, so
//! that [`Log::world_after`] folds a few thousand events at most. Invariant: the log is contiguous, and the world can be
//! told for every event in it. Memory is bounded: the oldest segment goes first, except while [`Log::push`] is told to
//! hold; then new events are counted instead, and [`Log::release`] starts afresh behind the gap.

use std::collections::VecDeque;

use crate::{
    event::{Event, Nanos},
    model::World,
};

/// Events of a segment at least; more when the world is large and copies cost.
const SEGMENT: usize = 4096;

#[derive(Debug)]
struct Segment {
    first: u64,
    before: World,
    events: Vec<Event>,
    room: usize,
}

impl Segment {
    fn new(first: u64, before: World) -> Self {
        let room = SEGMENT.max(8 * (before.processes.len() + before.channels.len()));
        Self { first, before, events: Vec::new(), room }
    }
}

/// The bounded log of events.
#[derive(Debug)]
pub(super) struct Log {
    segments: VecDeque<Segment>,
    end: u64,
    kept: usize,
    skipped: u64,
}

impl Log {
    /// Keeps `kept` events and a segment more; twice that while held.
    pub(super) fn new(kept: usize) -> Self {
        Self { segments: VecDeque::new(), end: 0, kept, skipped: 0 }
    }

    /// The next event is that number.
    pub(super) fn starting(kept: usize, first: u64) -> Self {
        Self { end: first, ..Self::new(kept) }
    }

    /// The number of the oldest event kept; how many older ones were dropped.
    pub(super) fn first(&self) -> u64 {
        self.segments.front().map_or(self.end, |segment| segment.first)
    }

    /// The number after the newest event kept.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        (self.end - self.first()) as usize
    }

    /// Nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Events not kept because the log was held too long.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next [`Log::push`] begins a segment: it needs the world before its event.
    pub(super) fn wants_world(&self) -> bool {
        self.skipped == 0 && self.segments.back().is_none_or(|last| last.events.len() >= last.room)
    }

    /// Appends; `before` is the world before `event`, if [`Log::wants_world`]. While `held`, nothing old is dropped.
    pub(super) fn push(&mut self, event: Event, before: Option<World>, held: bool) {
        if self.skipped > 0 || held && self.len() >= 2 * self.kept {
            self.skipped += 1;
            return;
        }
        if let Some(before) = before {
            self.segments.push_back(Segment::new(self.end, before));
            if !held {
                self.trim();
            }
        }
        if let Some(last) = self.segments.back_mut() {
            last.events.push(event);
            self.end += 1;
        }
    }

    /// Ends holding: what is too old goes; after a gap everything kept goes. `now` is the world at this moment.
    pub(super) fn release(&mut self, now: &World) {
        if self.skipped > 0 {
            self.segments.clear();
            self.end += self.skipped;
            self.skipped = 0;
            self.segments.push_back(Segment::new(self.end, now.clone()));
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.segments.len() > 1
            && self.segments.front().is_some_and(|oldest| self.len() - oldest.events.len() >= self.kept)
        {
            self.segments.pop_front();
        }
    }

    /// The event with that number.
    pub(super) fn get(&self, index: u64) -> Option<&Event> {
        let segment = self.segment(index)?;
        segment.events.get((index - segment.first) as usize)
    }

    /// Numbers and events from `index` on, forward.
    pub(super) fn from(&self, index: u64) -> impl Iterator<Item = (u64, &Event)> {
        (index.max(self.first())..self.end).map_while(|i| self.get(i).map(|event| (i, event)))
    }

    /// Numbers and events before `index`, backward.
    pub(super) fn before(&self, index: u64) -> impl Iterator<Item = (u64, &Event)> {
        (self.first()..index.min(self.end)).rev().map_while(|i| self.get(i).map(|event| (i, event)))
    }

    /// The number of the first event later than `t`: events are in order of time.
    pub(super) fn after(&self, t: Nanos) -> u64 {
        let begun = self.segments.partition_point(|segment| segment.events.first().is_some_and(|event| event.t <= t));
        let Some(segment) = begun.checked_sub(1).and_then(|last| self.segments.get(last)) else { return self.first() };
        segment.first + segment.events.partition_point(|event| event.t <= t) as u64
    }

    /// The world right after that event.
    pub(super) fn world_after(&self, index: u64) -> Option<World> {
        let segment = self.segment(index)?;
        let mut world = segment.before.clone();
        for event in segment.events.iter().take((index - segment.first) as usize + 1) {
            world.apply(event);
        }
        Some(world)
    }

    fn segment(&self, index: u64) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.first <= index);
        self.segments.get(after.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::Log;
    use crate::{
        event::{Event, Nanos},
        model::World,
        model::script,
    };

    fn events(n: u64) -> Vec<Event> {
        let sample = script::parse(script::SAMPLE).unwrap_or_default();
        sample.into_iter().cycle().take(n as usize).collect()
    }

    #[test]
    fn world_after_is_the_fold_and_old_segments_go() {
        let mut log = Log::new(5000);
        let mut world = World::new();
        for event in events(20_000) {
            let before = log.wants_world().then(|| world.clone());
            world.apply(&event);
            log.push(event, before, false);
        }
        assert!(log.first() > 0 && log.len() >= 5000 && log.len() < 5000 + 2 * 4096, "{}", log.len());
        assert_eq!(log.world_after(log.end() - 1), Some(world));
        assert!(log.get(log.first() - 1).is_none() && log.get(log.end()).is_none());
        assert_eq!(log.before(log.end()).count(), log.len());
    }

    #[test]
    fn the_first_event_after_a_time_is_found() {
        let mut log = Log::new(20_000);
        for (n, event) in events(10_000).into_iter().enumerate() {
            let before = log.wants_world().then(World::new);
            log.push(Event { t: Nanos(n as u64 / 3 * 10), ..event }, before, false);
        }
        for (t, index) in [(0, 3), (9, 3), (10, 6), (20_000, 6003), (u64::MAX, 10_000)] {
            assert_eq!(log.after(Nanos(t)), index, "{t}");
        }
        assert_eq!(Log::new(1).after(Nanos(5)), 0);
    }

    #[test]
    fn a_held_log_keeps_the_old_and_counts_the_new() {
        let mut log = Log::new(100);
        let world = World::new();
        for event in events(1000) {
            let before = log.wants_world().then(|| world.clone());
            log.push(event, before, true);
        }
        assert_eq!((log.first(), log.len(), log.skipped()), (0, 200, 800));
        log.release(&world);
        assert_eq!((log.first(), log.end(), log.skipped()), (1000, 1000, 0));
    }
}
