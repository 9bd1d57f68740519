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

use super::{FrameKind, RecordingHeader, WriteError, Writer};
use crate::event::Ending;

/// How often the writer looks at the clock if nothing comes.
const TICK: Duration = Duration::from_millis(200);
/// Bytes that a frame costs in the queue besides its own.
const FRAME_COST: usize = 32;
/// The class of loss in the ending.
const LOST_HERE: &str = "recording";

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

    fn cost(&self) -> u64 {
        (self.bytes.len() + self.frames.len() * FRAME_COST) as u64
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
}

enum Message {
    Batch(Batch),
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
        let writer = Writer::new(out, header)?;
        let shared = Arc::new(Shared::default());
        shared.written.store(writer.written(), Ordering::Relaxed);
        let (queue, incoming) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("recorder".into()).spawn(move || run(writer, &incoming, &of_thread))?;
        Ok(Self { queue: Some(queue), limit: limit as u64, shared, thread: Some(thread) })
    }

    /// Hands frames over; never waits. `false`: they did not fit and are lost (and counted).
    pub fn record(&self, batch: Batch) -> bool {
        let (cost, frames) = (batch.cost(), batch.frames.len() as u64);
        let waiting = self.shared.queued.fetch_add(cost, Ordering::Relaxed);
        let fits = waiting.saturating_add(cost) <= self.limit;
        let taken = fits && self.queue.as_ref().is_some_and(|queue| queue.send(Message::Batch(batch)).is_ok());
        if !taken {
            self.shared.queued.fetch_sub(cost, Ordering::Relaxed);
            self.shared.lost.fetch_add(frames, Ordering::Relaxed);
        }
        taken
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

fn run<W: Write>(writer: Writer<W>, incoming: &Receiver<Message>, shared: &Shared) {
    let start = Instant::now();
    let now = || start.elapsed().as_nanos() as u64;
    let mut writer = Some(writer);
    loop {
        let message = incoming.recv_timeout(TICK);
        let last = matches!(message, Ok(Message::Finish(_)) | Err(RecvTimeoutError::Disconnected));
        let result = match message {
            Ok(Message::Batch(batch)) => {
                let result = write(writer.as_mut(), &batch, shared);
                shared.queued.fetch_sub(batch.cost(), Ordering::Relaxed);
                result
            }
            Ok(Message::Finish(mut ending)) => writer.take().map_or(Ok(()), |mut writer| {
                count_losses(&mut ending, shared);
                writer.end(&ending)?;
                shared.written.store(writer.written(), Ordering::Relaxed);
                Ok(())
            }),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => writer.as_mut().map_or(Ok(()), Writer::close),
        };
        let result = result.and_then(|()| writer.as_mut().map_or(Ok(()), |writer| writer.tick(now())));
        if let Some(writer) = &writer {
            shared.written.store(writer.written(), Ordering::Relaxed);
        }
        if let Err(failure) = result {
            *shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            writer = None;
        }
        if last {
            return;
        }
    }
}

fn write<W: Write>(writer: Option<&mut Writer<W>>, batch: &Batch, shared: &Shared) -> Result<(), WriteError> {
    let all = batch.frames.len() as u64;
    let mut taken = 0;
    let result = writer.map_or(Ok(()), |writer| {
        for (kind, time, bytes) in batch.iter() {
            match writer.frame(kind, time, bytes) {
                Ok(()) => taken += 1,
                // This one is lost, the recording goes on.
                Err(WriteError::FrameTooLong(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    });
    shared.frames.fetch_add(taken, Ordering::Relaxed);
    shared.lost.fetch_add(all - taken, Ordering::Relaxed);
    result
}

fn count_losses(ending: &mut Ending, shared: &Shared) {
    let lost = shared.lost.load(Ordering::Relaxed);
    if lost > 0 {
        ending.lost += lost;
        *ending.lost_by.entry(LOST_HERE.to_owned()).or_default() += lost;
    }
}
