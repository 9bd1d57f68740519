//! Through a recording, event by event, from any checkpoint.

use std::collections::VecDeque;

use super::{
    Moved, Target,
    index::{Checkpoint, Index},
};
use crate::{
    event::Event,
    source::recording::{Item, Recording, RecordingError},
};

/// Events before the place that are shown with it.
const BEFORE: usize = 4096;
/// With fewer of them it is worth to begin a checkpoint earlier.
const TOO_FEW: usize = 512;

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// An event.
    Event(Event),
    /// Bytes the command wrote to its terminal, at a time (ns).
    Output(u64, Vec<u8>),
}

impl Next {
    /// When, ns.
    pub fn time(&self) -> u64 {
        match self {
            Self::Event(event) => event.t.0,
            Self::Output(time, _) => *time,
        }
    }
}

/// A place in a recording.
pub struct Walk {
    recording: Recording,
    next: u64,
    ready: VecDeque<Next>,
    is_over: bool,
}

impl Walk {
    /// At the beginning.
    pub fn new(recording: Recording) -> Self {
        Self { recording, next: 0, ready: VecDeque::new(), is_over: false }
    }

    /// The number of the next event.
    pub fn number(&self) -> u64 {
        self.next
    }

    /// The recording.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Goes to a checkpoint.
    pub fn go(&mut self, point: &Checkpoint) -> Result<(), RecordingError> {
        self.recording.go(&point.standing)?;
        (self.next, self.is_over) = (point.event, false);
        self.ready.clear();
        Ok(())
    }

    /// What comes next, without going there; `None`: nothing more.
    pub fn peek(&mut self) -> Result<Option<&Next>, RecordingError> {
        while self.ready.is_empty() && !self.is_over {
            self.read()?;
        }
        Ok(self.ready.front())
    }

    /// Goes on by one.
    pub fn take(&mut self) -> Result<Option<Next>, RecordingError> {
        self.peek()?;
        let next = self.ready.pop_front();
        self.next += u64::from(matches!(next, Some(Next::Event(_))));
        Ok(next)
    }

    /// Goes on to the next event.
    pub fn event(&mut self) -> Result<Option<Event>, RecordingError> {
        loop {
            match self.take()? {
                None => return Ok(None),
                Some(Next::Event(event)) => return Ok(Some(event)),
                Some(Next::Output(..)) => {}
            }
        }
    }

    /// Goes to a place, with some events before it; `None` if that was cancelled.
    pub fn move_to(
        &mut self,
        target: Target,
        plays: bool,
        index: &Index,
        cancelled: impl Fn() -> bool,
    ) -> Result<Option<Moved>, RecordingError> {
        let Some((point, earlier)) = index.before(target, TOO_FEW as u64, cancelled) else { return Ok(None) };
        let mut moved = self.move_from(&point, target)?;
        if let Some(earlier) = earlier.filter(|_| moved.events.len() < TOO_FEW) {
            moved = self.move_from(&earlier, target)?;
        }
        moved.plays = plays;
        moved.terminal = index.output(moved.now.0);
        // What was written until now is told with that; the rest comes when its time has come.
        while self.ready.front().is_some_and(|next| matches!(next, Next::Output(time, _) if *time <= moved.now.0)) {
            self.ready.pop_front();
        }
        Ok(Some(moved))
    }

    fn move_from(&mut self, point: &Checkpoint, target: Target) -> Result<Moved, RecordingError> {
        self.go(point)?;
        let mut scene = point.scene.clone();
        let mut events = VecDeque::new();
        let mut first = point.event;
        let has_later = loop {
            let number = self.next;
            let is_later = match (self.peek_event()?, target) {
                (None, _) => break false,
                (_, Target::Event(event)) => number > event,
                // There is always a place, be it right after the first event.
                (Some(event), Target::Seq(seq)) => event.seq > seq && number > 0,
                (Some(event), Target::Time(t)) => event.t > t && number > 0,
                (_, Target::End) => false,
            };
            if is_later {
                break true;
            }
            events.extend(self.event()?);
            if events.len() > BEFORE
                && let Some(event) = events.pop_front()
            {
                scene.apply(&event);
                first += 1;
            }
        };
        let now = events.back().map_or(scene.world.now, |event| event.t);
        let now = match target {
            Target::Time(t) if has_later => now.max(t),
            _ => now,
        };
        Ok(Moved { first, scene, events: events.into(), now, terminal: Vec::new(), plays: false })
    }

    /// The next event, behind what is written to the terminal before it.
    fn peek_event(&mut self) -> Result<Option<&Event>, RecordingError> {
        while !self.is_over && !self.ready.iter().any(|next| matches!(next, Next::Event(_))) {
            self.read()?;
        }
        Ok(self.ready.iter().find_map(|next| match next {
            Next::Event(event) => Some(event),
            Next::Output(..) => None,
        }))
    }

    /// Makes more ready.
    fn read(&mut self) -> Result<(), RecordingError> {
        let mut events = Vec::new();
        let item = self.recording.next_item(&mut events)?;
        self.is_over = item.is_none();
        self.ready.extend(events.into_iter().map(Next::Event));
        if let Some(Item::Output(time, bytes)) = item {
            self.ready.push_back(Next::Output(time, bytes));
        }
        Ok(())
    }
}
