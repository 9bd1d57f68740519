//! The terminal's input, read by a thread of its own.
//!
//! Why a thread: when a terminal hangs up, or stops within an escape sequence, crossterm 0.29 (`event/source/unix/tty.rs`,
//! `try_read`) reads on, whatever time it was given. The loop of the application must not be caught in that: it has probes
//! to take down.

use std::{
    io::{self, IsTerminal as _, stdin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use crossterm::event::{self, Event};
use signal_hook::{consts, low_level};

/// How often the thread looks whether it is still wanted. Each look costs up to a millisecond: `try_read` turns in a circle
/// for what is left of its time below one.
const LOOK: Duration = Duration::from_secs(1);
/// How long its end is waited for; longer only if it is caught.
const FAREWELL: Duration = Duration::from_millis(250);

/// Reads until dropped; then nothing is taken from the terminal any more.
pub(super) struct Keyboard {
    /// What was typed, and changes of size.
    pub(super) events: Receiver<io::Result<Event>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Keyboard {
    /// Begins to read.
    pub(super) fn read() -> io::Result<Self> {
        let (sender, events) = bounded(1024);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("keyboard".to_owned()).spawn(move || work(&sender, &stopped))?;
        Ok(Self { events, stop, thread: Some(thread) })
    }

    /// The terminal is there no more.
    pub(super) fn hung_up() -> bool {
        !stdin().is_terminal()
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        // The thread waits for this as well as for keys; to everybody else it says nothing new.
        let _ = low_level::raise(consts::SIGWINCH);
        let begin = Instant::now();
        while !thread.is_finished() && begin.elapsed() < FAREWELL {
            thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            drop(thread.join());
        }
    }
}

fn work(sender: &Sender<io::Result<Event>>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let event = match event::poll(LOOK) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = event.is_err();
        if sender.send(event).is_err() || failed {
            return;
        }
    }
}
