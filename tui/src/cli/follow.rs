//! Following a session to its end: batches, the command's end, signals to us, limits of time.
//!
//! With a command, Ctrl-C in our common terminal reaches it, and we stay to trace its end. With processes that were
//! attached to, it detaches.

use std::{
    ops::ControlFlow,
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::RecvTimeoutError;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};

use super::setup;
use crate::{
    decode::sequence::Batch,
    source::live::Session,
    sys::{launch::Running, outcome::Outcome},
    trace::Recorder,
};

/// How often to look at the command, the clock and the signals.
const LOOK: Duration = Duration::from_millis(20);

/// Whether SIGUSR1 has come.
#[derive(Clone, Debug, Default)]
pub struct Save(Arc<AtomicBool>);

impl Save {
    /// From now on it no longer kills us.
    pub fn register() -> std::io::Result<Self> {
        let save = Self::default();
        signal_hook::flag::register(SIGUSR1, Arc::clone(&save.0))?;
        Ok(save)
    }

    /// It came since the last look.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Signals that end a trace, and the last that came.
#[derive(Clone, Debug)]
pub struct Signals {
    last: Arc<AtomicUsize>,
    save: Save,
}

impl Signals {
    /// From now on they no longer kill us. `saves`: SIGUSR1 does not either, and asks for what a flight recorder has.
    pub fn register(saves: bool) -> std::io::Result<Self> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGQUIT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(signal, Arc::clone(&last), signal.unsigned_abs() as usize)?;
        }
        let save = if saves { Save::register()? } else { Save::default() };
        Ok(Self { last, save })
    }

    /// The last that came since the last look.
    pub fn take(&self) -> Option<i32> {
        match self.last.swap(0, Ordering::Relaxed) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }
}

/// Why following ended.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The command ended.
    Command(ExitStatus),
    /// Nothing is left of the processes attached to, or the limit was reached, or whoever takes the events is done.
    Done,
    /// A signal told us.
    Signal(i32),
}

/// A session on its way.
pub struct Follow {
    /// The session.
    pub session: Session,
    /// Where it is recorded as well.
    pub recorder: Option<Recorder>,
    /// The recording ended before the trace.
    pub recording_failed: bool,
    running: Option<Running>,
    signals: Signals,
    until: Option<Instant>,
}

impl Follow {
    /// Begins. `duration`: how long at most.
    pub fn new(mut session: Session, recorder: Option<Recorder>, signals: Signals, duration: Option<Duration>) -> Self {
        let running = session.running.take();
        Self {
            session,
            recorder,
            recording_failed: false,
            running,
            signals,
            until: duration.map(|duration| Instant::now() + duration),
        }
    }

    /// Hands each batch to `take`, which answers whether anything is left to trace, or breaks when it has enough.
    pub fn run(&mut self, mut take: impl FnMut(&Batch, &mut Session) -> ControlFlow<(), bool>) -> End {
        let has_command = self.running.is_some();
        let mut end = None;
        loop {
            match self.session.batches.recv_timeout(LOOK) {
                Ok(batch) => {
                    let taken = take(&batch, &mut self.session);
                    self.record(batch);
                    match taken {
                        ControlFlow::Break(()) => return end.unwrap_or(End::Done),
                        ControlFlow::Continue(living) if !living && !has_command => self.wind_down(&mut end, End::Done),
                        ControlFlow::Continue(_) => {}
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return end.unwrap_or(End::Done),
            }
            self.save();
            if end.is_some() {
                continue;
            }
            match self.signals.take() {
                // They went to the whole foreground group: it is the command's turn to answer.
                Some(SIGINT | SIGQUIT) if has_command => {}
                Some(SIGINT) => self.wind_down(&mut end, End::Done),
                Some(signal) => self.wind_down(&mut end, End::Signal(signal)),
                None => {}
            }
            if end.is_none()
                && let Some(Ok(Some(status))) = self.running.as_mut().map(Running::try_wait)
            {
                self.wind_down(&mut end, End::Command(status));
            }
            if end.is_none() && self.until.is_some_and(|until| Instant::now() >= until) {
                self.wind_down(&mut end, End::Done);
            }
        }
    }

    fn wind_down(&mut self, end: &mut Option<End>, with: End) {
        if end.is_none() {
            *end = Some(with);
            self.session.wind_down();
        }
    }

    fn save(&self) {
        let Some(recorder) = &self.recorder else { return };
        if self.signals.save.take() {
            recorder.save();
        }
        setup::tell_saved(recorder, |saved| eprintln!("ipcscope: {saved}"));
    }

    fn record(&mut self, batch: Batch) {
        let Some(recorder) = &self.recorder else { return };
        recorder.records(batch, self.session.clock_start);
        if let Some(error) = recorder.failure() {
            self.recording_failed = true;
            eprintln!("ipcscope: the recording ends here: {error}");
        }
    }

    /// Detaches, waits for a command that goes on, and answers how to end ourselves.
    pub fn outcome(self, end: End) -> Outcome {
        let Self { session, mut running, .. } = self;
        let outcome = match end {
            End::Command(status) => return Outcome::from(status),
            End::Signal(signal) => return Outcome::Signal(signal),
            End::Done => {
                drop(session);
                running.as_mut().and_then(|running| running.wait().ok()).map(Outcome::from)
            }
        };
        outcome.unwrap_or(Outcome::Code(0))
    }
}
