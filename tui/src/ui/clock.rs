//! "Now" as the time of the data, and how many events come in.
//!
//! While live, the time of the last event goes on with the wall clock, so that "BLOCKED 2.4 s" counts up while nothing
//! happens. Absent on purpose: any real clock; walls come with [`super::Message::Tick`].

use std::{collections::VecDeque, time::Duration};

use crate::event::Nanos;

/// How long a rate looks back.
const WINDOW: Duration = Duration::from_secs(2);

/// Joins the time of the data and the wall clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    wall: Duration,
    last_event: Duration,
    arrivals: VecDeque<(Duration, u64)>,
}

impl Clock {
    /// The wall clock now stands at `wall`.
    pub(super) fn tick(&mut self, wall: Duration) {
        self.wall = self.wall.max(wall);
        while self.arrivals.front().is_some_and(|(at, _)| *at + WINDOW < self.wall) {
            self.arrivals.pop_front();
        }
    }

    /// `count` events came in.
    pub(super) fn arrived(&mut self, count: u64) {
        self.last_event = self.wall;
        match self.arrivals.back_mut() {
            Some((at, sum)) if *at == self.wall => *sum += count,
            _ => self.arrivals.push_back((self.wall, count)),
        }
    }

    /// The wall clock.
    pub(super) fn wall(&self) -> Duration {
        self.wall
    }

    /// The time of the data: that of the last event and what has passed since it came in.
    pub(super) fn now(&self, last: Nanos) -> Nanos {
        Nanos(last.0.saturating_add(self.wall.saturating_sub(self.last_event).as_nanos() as u64))
    }

    /// Events per second of late.
    pub(super) fn rate(&self) -> f64 {
        let sum: u64 = self.arrivals.iter().map(|(_, count)| count).sum();
        let span = self.wall.min(WINDOW).max(Duration::from_millis(250));
        sum as f64 / span.as_secs_f64()
    }
}
