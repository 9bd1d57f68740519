//! A recording made on the side: a thread compresses and writes, whoever hands frames over never waits.
//!
//! Invariants: what waits to be written is bounded in bytes; what does not fit is dropped, counted and told in the
//! ending as lost by class `recording`. A write error ends the recording, not the trace; it is handed out once.

use std::{
    io::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    FrameKind, RecordingHeader, WriteError, Writer,
    keep::{FLIGHT_BYTES, Flight, Keep, Open, Rotating},
};
use crate::{decode::sequence, event::Ending};

/// How often the writer looks at the clock if nothing comes.
const TICK: Duration = Duration::from_millis(200);
/// Bytes that a frame costs in the queue besides its own.
const FRAME_COST: u64 = 32;
/// The class of loss in the ending.
pub(super) const LOST_HERE: &str = "recording";

/// Frames on their way to the writer.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Kind, time and length of each.
    frames: Vec<(FrameKind, u64, usize)>,
    bytes: Vec<u8>,
}

impl Batch {
    /// Adds a frame.
    pub fn push(&mut self, kind: FrameKind, time: u64, bytes: &[u8]) {
        self.frames.push((kind, time, bytes.len()));
        self.bytes.extend_from_slice(bytes);
    }

    /// There is no frame in it.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = (FrameKind, u64, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.frames.iter().map(move |(kind, time, len)| {
            let (bytes, after) = rest.split_at_checked(*len).unwrap_or_default();
            rest = after;
            (*kind, *time, bytes)
        })
    }
}

/// What waits to be written.
enum Waiting {
    Frames(Batch),
    /// Kernel records, and what their clock showed when the trace began.
    Records(sequence::Batch, u64),
}

impl Waiting {
    fn frames(&self) -> u64 {
        (match self {
            Self::Frames(batch) => batch.frames.len(),
            Self::Records(batch, _) => batch.len(),
        }) as u64
    }

    fn cost(&self) -> u64 {
        let bytes = match self {
            Self::Frames(batch) => batch.bytes.len(),
            Self::Records(batch, _) => batch.bytes(),
        };
        bytes as u64 + self.frames() * FRAME_COST
    }
}

/// How far a recording is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Frames taken into it.
    pub frames: u64,
    /// Bytes written, compressed.
    pub written: u64,
    /// Frames that did not get into it: the disk was too slow, or failed.
    pub lost: u64,
}

#[derive(Default)]
struct Shared {
    frames: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
    /// Bytes waiting.
    queued: AtomicU64,
    failure: Mutex<Option<WriteError>>,
    saved: Mutex<Vec<Result<String, WriteError>>>,
}

enum Message {
    Batch(Waiting),
    Save,
    Finish(Ending),
}

/// Writes a recording in a thread of its own. Dropped without [`Recorder::finish`], the recording lacks its ending.
pub struct Recorder {
    queue: Option<Sender<Message>>,
    limit: u64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Writes the header and starts. At most `limit` bytes wait to be written.
    pub fn start<W: Write + Send + 'static>(
        out: W,
        header: &RecordingHeader,
        limit: usize,
    ) -> Result<Self, WriteError> {
        Self::spawn(Box::new(Writer::new(out, header)?), limit)
    }

    /// The same, where no file grows larger than `size` bytes by more than a block: `open` makes the second and further
    /// ones.
    pub fn start_rotating(
        out: Box<dyn Write + Send>,
        open: Open,
        header: &RecordingHeader,
        size: u64,
        limit: usize,
    ) -> Result<Self, WriteError> {
        Self::spawn(Box::new(Rotating::new(out, open, header, size)?), limit)
    }

    /// Keeps in memory what was in the last `last` before the newest frame, of at most `size` bytes, and writes it when it
    /// ends; [`Recorder::save`] writes what there is to what `open` makes.
    pub fn start_flight(
        out: Box<dyn Write + Send>,
        open: Open,
        header: &RecordingHeader,
        (last, size): (Duration, Option<u64>),
        limit: usize,
    ) -> Result<Self, WriteError> {
        let last = u64::try_from(last.as_nanos()).unwrap_or(u64::MAX);
        Self::spawn(Box::new(Flight::new(out, open, header, (last, size.unwrap_or(FLIGHT_BYTES)))?), limit)
    }

    fn spawn(keeper: Box<dyn Keep>, limit: usize) -> Result<Self, WriteError> {
        let shared = Arc::new(Shared::default());
        shared.written.store(keeper.written(), Ordering::Relaxed);
        let (queue, incoming) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("recorder".into()).spawn(move || run(keeper, &incoming, &of_thread))?;
        Ok(Self { queue: Some(queue), limit: limit as u64, shared, thread: Some(thread) })
    }

    /// Hands frames over; never waits. `false`: they did not fit and are lost (and counted).
    pub fn record(&self, batch: Batch) -> bool {
        self.take(Waiting::Frames(batch))
    }

    /// The same of kernel records; `start`: what their clock showed when the trace began.
    pub fn records(&self, batch: sequence::Batch, start: u64) -> bool {
        self.take(Waiting::Records(batch, start))
    }

    fn take(&self, batch: Waiting) -> bool {
        let (cost, frames) = (batch.cost(), batch.frames());
        let waiting = self.shared.queued.fetch_add(cost, Ordering::Relaxed);
        let fits = waiting.saturating_add(cost) <= self.limit;
        let taken = fits && self.queue.as_ref().is_some_and(|queue| queue.send(Message::Batch(batch)).is_ok());
        if !taken {
            self.shared.queued.fetch_sub(cost, Ordering::Relaxed);
            self.shared.lost.fetch_add(frames, Ordering::Relaxed);
        }
        taken
    }

    /// Writes what a flight recorder has to a file of its own, soon; [`Recorder::saved`] tells how it went.
    pub fn save(&self) {
        if let Some(queue) = &self.queue {
            let _ = queue.send(Message::Save);
        }
    }

    /// Files that were saved since the last call, or why not.
    pub fn saved(&self) -> Vec<Result<String, WriteError>> {
        std::mem::take(&mut *self.shared.saved.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Progress { frames: get(&self.shared.frames), written: get(&self.shared.written), lost: get(&self.shared.lost) }
    }

    /// Why it had to stop: once, then `None` again.
    pub fn failure(&self) -> Option<WriteError> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Writes what waits, and the ending with the losses of the recording itself added. A failure not yet asked for is
    /// the error.
    pub fn finish(mut self, ending: Ending) -> Result<Progress, WriteError> {
        if let Some(queue) = self.queue.take() {
            let _ = queue.send(Message::Finish(ending));
        }
        self.join();
        match self.failure() {
            Some(failure) => Err(failure),
            None => Ok(self.progress()),
        }
    }

    fn join(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.join();
    }
}

fn run(keeper: Box<dyn Keep>, incoming: &Receiver<Message>, shared: &Shared) {
    let start = Instant::now();
    let now = || start.elapsed().as_nanos() as u64;
    let mut keeper = Some(keeper);
    loop {
        let message = incoming.recv_timeout(TICK);
        let last = matches!(message, Ok(Message::Finish(_)) | Err(RecvTimeoutError::Disconnected));
        let lost = shared.lost.load(Ordering::Relaxed);
        let result = match message {
            Ok(Message::Batch(batch)) => {
                let result = write(keeper.as_deref_mut(), &batch, shared);
                shared.queued.fetch_sub(batch.cost(), Ordering::Relaxed);
                result
            }
            Ok(Message::Save) => {
                // That it could not be saved now does not end the recording.
                if let Some(saved) = keeper.as_mut().and_then(|keeper| keeper.save(lost).transpose()) {
                    shared.saved.lock().unwrap_or_else(PoisonError::into_inner).push(saved);
                }
                Ok(())
            }
            Ok(Message::Finish(mut ending)) => keeper.take().map_or(Ok(()), |mut keeper| {
                count_losses(&mut ending, shared);
                keeper.end(&ending)?;
                shared.written.store(keeper.written(), Ordering::Relaxed);
                Ok(())
            }),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => keeper.as_mut().map_or(Ok(()), |keeper| keeper.close()),
        };
        let result = result.and_then(|()| keeper.as_mut().map_or(Ok(()), |keeper| keeper.tick(now(), lost)));
        if let Some(keeper) = &keeper {
            shared.written.store(keeper.written(), Ordering::Relaxed);
        }
        if let Err(failure) = result {
            *shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            keeper = None;
        }
        if last {
            return;
        }
    }
}

fn write(keeper: Option<&mut (dyn Keep + 'static)>, batch: &Waiting, shared: &Shared) -> Result<(), WriteError> {
    let mut taken = 0;
    let result = keeper.map_or(Ok(()), |keeper| {
        let mut take = |kind, time, bytes: &[u8]| match keeper.frame(kind, time, bytes) {
            // This one is lost, the recording goes on.
            Err(WriteError::FrameTooLong(_)) => Ok(()),
            result => result.inspect(|()| taken += 1),
        };
        match batch {
            Waiting::Frames(batch) => batch.iter().try_for_each(|(kind, time, bytes)| take(kind, time, bytes)),
            Waiting::Records(batch, start) => {
                batch.timed().try_for_each(|(time, bytes)| take(FrameKind::Wire, time.saturating_sub(*start), bytes))
            }
        }
    });
    shared.frames.fetch_add(taken, Ordering::Relaxed);
    shared.lost.fetch_add(batch.frames() - taken, Ordering::Relaxed);
    result
}

fn count_losses(ending: &mut Ending, shared: &Shared) {
    let lost = shared.lost.load(Ordering::Relaxed);
    if lost > 0 {
        ending.lost += lost;
        *ending.lost_by.entry(LOST_HERE.to_owned()).or_default() += lost;
    }
}
