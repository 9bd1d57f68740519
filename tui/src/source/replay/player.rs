//! The thread that plays a recording and does what the application asks.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::{
    Ask, Target,
    find::find,
    index::{APART, Index},
    walk::{Next, Walk},
};
use crate::{
    analyze::Filter,
    event::Nanos,
    source::{
        Request, Update,
        recording::{Recording, RecordingError},
    },
    trace,
};

/// Events handed over at a time.
const BATCH: usize = 256;
/// Events of [`Ask::More`].
const MORE: usize = 1024;
/// Between two words about how far the index is, and about a search.
const NEWS: Duration = Duration::from_millis(100);

/// The application has gone.
struct Gone;

impl<T> From<crossbeam_channel::SendError<T>> for Gone {
    fn from(_: crossbeam_channel::SendError<T>) -> Self {
        Self
    }
}

/// Why playing ends.
enum End {
    Gone,
    Failed(RecordingError),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<RecordingError> for End {
    fn from(error: RecordingError) -> Self {
        Self::Failed(error)
    }
}

/// Plays a recording, so many times as fast as it happened (0: at once), until the application has gone.
pub fn play(recording: Recording, speed: f64, updates: &Sender<Update>, requests: &Receiver<Request>) {
    let index = Arc::new(Index::default());
    let builder = Recording::open(recording.path()).map(|again| {
        let index = Arc::clone(&index);
        thread::Builder::new().name("index".to_owned()).spawn(move || index.build(again, APART))
    });
    let header = recording.header().clone();
    let mut player = Player {
        walk: Walk::new(recording),
        index: Arc::clone(&index),
        updates,
        requests,
        speed: Some(speed),
        anchor: (Instant::now(), 0),
        told: None,
        is_indexed: false,
        has_ended: false,
    };
    if let Err(End::Failed(error)) = player.run(header) {
        let _ = updates.send(Update::Failed(error.to_string()));
    }
    index.stop();
    if let Ok(Ok(builder)) = builder {
        drop(builder.join());
    }
}

struct Player<'a> {
    walk: Walk,
    index: Arc<Index>,
    updates: &'a Sender<Update>,
    requests: &'a Receiver<Request>,
    /// `None`: it stands still.
    speed: Option<f64>,
    /// It was at that time (ns) then.
    anchor: (Instant, u64),
    told: Option<Instant>,
    is_indexed: bool,
    has_ended: bool,
}

impl Player<'_> {
    fn run(&mut self, header: crate::event::Header) -> Result<(), End> {
        self.tell(Update::Started(header))?;
        self.tell(Update::Outline(self.walk.recording().outline()?))?;
        // Without notes it can be played as well.
        self.tell(Update::Notes(trace::read_notes(self.walk.recording().path()).unwrap_or_default()))?;
        loop {
            self.tell_extent()?;
            let wait = self.until_due()?;
            match self.requests.recv_timeout(wait) {
                Ok(Request::Replay(ask)) => self.answer(ask)?,
                // The command of a recording cannot be talked to.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => self.hand_out()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn tell(&self, update: Update) -> Result<(), Gone> {
        Ok(self.updates.send(update)?)
    }

    fn tell_extent(&mut self) -> Result<(), Gone> {
        if self.is_indexed || self.told.is_some_and(|at| at.elapsed() < NEWS) {
            return Ok(());
        }
        self.told = Some(Instant::now());
        let extent = self.index.extent();
        self.is_indexed = extent.complete;
        self.tell(Update::Extent(extent))
    }

    /// The time it is in the recording while it plays; `None`: it stands still.
    fn position(&self) -> Option<u64> {
        let speed = self.speed?;
        if speed <= 0.0 {
            return Some(u64::MAX);
        }
        let (at, time) = self.anchor;
        // A float saturates where it must.
        Some(time.saturating_add((at.elapsed().as_nanos() as f64 * speed) as u64))
    }

    /// How long nothing is to be handed out.
    fn until_due(&mut self) -> Result<Duration, End> {
        let idle = if self.is_indexed { Duration::from_secs(3600) } else { NEWS };
        let Some(position) = self.position() else { return Ok(idle) };
        let Some(next) = self.walk.peek()?.map(Next::time) else {
            return Ok(if self.has_ended { idle } else { Duration::ZERO });
        };
        let speed = self.speed.unwrap_or(1.0).max(f64::MIN_POSITIVE);
        let wait = Duration::try_from_secs_f64(next.saturating_sub(position) as f64 / 1e9 / speed);
        Ok(wait.unwrap_or(idle).min(idle))
    }

    /// Hands out what is due.
    fn hand_out(&mut self) -> Result<(), End> {
        let Some(position) = self.position() else { return Ok(()) };
        self.hand_out_until(position, BATCH, true)
    }

    fn hand_out_until(&mut self, position: u64, most: usize, output: bool) -> Result<(), End> {
        let mut events = Vec::new();
        while events.len() < most && self.walk.peek()?.is_some_and(|next| next.time() <= position) {
            match self.walk.take()? {
                Some(Next::Event(event)) => events.push(event),
                Some(Next::Output(..)) if !output => {}
                Some(Next::Output(_, bytes)) => {
                    if !events.is_empty() {
                        self.tell(Update::Events(std::mem::take(&mut events)))?;
                    }
                    self.tell(Update::Output(bytes))?;
                }
                None => break,
            }
        }
        if !events.is_empty() {
            self.tell(Update::Events(events))?;
        }
        if self.walk.peek()?.is_none() && !self.has_ended {
            self.has_ended = true;
            self.tell(Update::Ended(self.walk.recording().ending()))?;
        }
        Ok(())
    }

    fn answer(&mut self, ask: Ask) -> Result<(), End> {
        match ask {
            Ask::Stop => self.speed = None,
            Ask::Note(notes) => {
                if let Err(error) = trace::write_notes(self.walk.recording().path(), &notes) {
                    self.tell(Update::Notice(error.to_string()))?;
                }
            }
            Ask::More => self.hand_out_until(u64::MAX, MORE, false)?,
            Ask::Go(target) => {
                self.speed = None;
                self.go(target, false)?;
            }
            Ask::Play { from, speed } => {
                self.speed = None;
                if let Some(from) = from
                    && !self.go(Target::Event(from), true)?
                {
                    return Ok(());
                }
                self.speed = Some(speed);
                let time = self.walk.peek()?.map_or(0, Next::time);
                self.anchor = (Instant::now(), time);
            }
            Ask::Find { filter, from, forward } => {
                self.speed = None;
                self.look_for(&filter, from, forward)?;
            }
        }
        Ok(())
    }

    fn look_for(&mut self, filter: &Filter, from: u64, forward: bool) -> Result<(), End> {
        let (mut said, began) = (Instant::now(), Instant::now());
        let (requests, updates) = (self.requests, self.updates);
        let mut is_ended = false;
        let go_on = |t: Nanos| {
            if said.elapsed() >= NEWS && began.elapsed() >= 3 * NEWS {
                said = Instant::now();
                let text = format!("looking for it, at {:.3} s; whatever else is asked for ends it", t.seconds());
                let _ = updates.send(Update::Notice(text));
            }
            is_ended |= !requests.is_empty();
            !is_ended
        };
        let found = find(&mut self.walk, &self.index, filter, from, forward, go_on)?;
        // The place was lost by looking.
        self.go(Target::Event(found.unwrap_or(from)), false)?;
        if found.is_none() {
            let text = match (is_ended, forward) {
                (true, _) => "the search was ended",
                (false, true) => "none further on",
                (false, false) => "none further back",
            };
            self.tell(Update::Notice(text.to_owned()))?;
        }
        Ok(())
    }

    /// Goes somewhere and tells it; `false`: something else was asked for meanwhile.
    fn go(&mut self, target: Target, plays: bool) -> Result<bool, End> {
        if !self.is_indexed {
            self.tell_extent()?;
        }
        let requests = self.requests;
        let Some(moved) = self.walk.move_to(target, plays, &self.index, || !requests.is_empty())? else {
            return Ok(false);
        };
        self.has_ended = false;
        self.tell(Update::Moved(Box::new(moved)))?;
        Ok(true)
    }
}
