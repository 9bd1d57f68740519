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
const TOO_FEW: u64 = 512;
/// Events behind the place.
const AFTER: u64 = 512;

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
        let mut events = Vec::new();
        while self.ready.is_empty() && !self.is_over {
            let item = self.recording.next_item(&mut events)?;
            self.is_over = item.is_none();
            self.ready.extend(events.drain(..).map(Next::Event));
            if let Some(Item::Output(time, bytes)) = item {
                self.ready.push_back(Next::Output(time, bytes));
            }
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

    /// Goes to a place, with some events before it, and behind it if it does not `play` on; `None` if that was cancelled.
    pub fn move_to(
        &mut self,
        target: Target,
        plays: bool,
        index: &Index,
        cancelled: impl Fn() -> bool,
    ) -> Result<Option<Moved>, RecordingError> {
        let Some((point, earlier)) = index.before(target, TOO_FEW, cancelled) else { return Ok(None) };
        let mut moved = self.move_from(&point, target, plays)?;
        if let Some(earlier) = earlier.filter(|_| moved.before().is_none_or(|before| before < TOO_FEW)) {
            moved = self.move_from(&earlier, target, plays)?;
        }
        let at = moved.before().and_then(|before| moved.events.get(before as usize));
        moved.terminal = index.output(at.map_or(0, |event| event.t.0).max(moved.now.0));
        Ok(Some(moved))
    }

    fn move_from(&mut self, point: &Checkpoint, target: Target, plays: bool) -> Result<Moved, RecordingError> {
        self.go(point)?;
        let mut scene = point.scene.clone();
        let mut events = VecDeque::new();
        let mut first = point.event;
        let mut past = 0;
        while past < AFTER {
            let number = self.next;
            let is_past = match (self.peek_event()?, target) {
                (None, _) => break,
                (_, Target::Event(event)) => number > event,
                (Some(event), Target::Seq(seq)) => event.seq > seq && number > 0,
                // There is always a place, be it right after the first event.
                (Some(event), Target::Time(t)) => event.t > t && number > 0,
                (_, Target::End) => false,
            };
            if is_past && plays {
                break;
            }
            past += u64::from(is_past);
            events.extend(self.event()?);
            if events.len() > BEFORE + past as usize
                && let Some(event) = events.pop_front()
            {
                scene.apply(&event);
                first += 1;
            }
        }
        let cursor = (first + events.len() as u64 - past).checked_sub(1);
        let last = events.len().checked_sub(past as usize + 1).and_then(|at| events.get(at));
        let now = last.map_or(scene.world.now, |event| event.t);
        let now = match target {
            Target::Time(t) if past > 0 => now.max(t),
            _ => now,
        };
        Ok(Moved { first, scene, events: events.into(), cursor, now, terminal: Vec::new(), plays })
    }

    /// The next event, past what was written to the terminal: who goes somewhere is told that anyway.
    fn peek_event(&mut self) -> Result<Option<&Event>, RecordingError> {
        while let Some(Next::Output(..)) = self.peek()? {
            self.ready.pop_front();
        }
        Ok(match self.ready.front() {
            Some(Next::Event(event)) => Some(event),
            _ => None,
        })
    }
}
