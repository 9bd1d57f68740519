//! The loop: read, take in, draw.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use crossterm::{event, terminal};
use signal_hook::{SigId, consts, low_level};

use super::terminal::Screen;
use crate::{
    source::{Request, Update},
    ui::{App, Effect, Message, Options, Outcome, draw},
};

/// Between two frames when data comes in.
const FRAME: Duration = Duration::from_millis(33);
/// Between two frames when only clocks go on.
const CLOCK: Duration = Duration::from_millis(200);
/// Taking in updates gives way to keys and drawing after this.
const INTAKE: Duration = Duration::from_millis(25);

/// Runs the application on the terminal of standard input and output until it is left.
///
/// # Errors
/// The terminal cannot be read, written or set up.
pub fn run(updates: &Receiver<Update>, requests: &Sender<Request>, options: Options) -> anyhow::Result<Outcome> {
    let size = terminal::size().context("ask for the terminal's size")?;
    let ends = Ends::register().context("watch for signals")?;
    let mut screen = Screen::take(options.color).context("take over the terminal")?;
    let mut session = Session {
        app: App::new(options, size),
        start: Instant::now(),
        source: Some(updates),
        requests,
        outcome: None,
        changed: true,
    };
    session.work(&mut screen, &ends).context("use the terminal")
}

struct Session<'a> {
    app: App,
    start: Instant,
    /// `None` once it has gone.
    source: Option<&'a Receiver<Update>>,
    requests: &'a Sender<Request>,
    outcome: Option<Outcome>,
    changed: bool,
}

impl Session<'_> {
    fn work(&mut self, screen: &mut Screen, ends: &Ends) -> io::Result<Outcome> {
        let mut drawn: Option<Instant> = None;
        // Sizes are told to the command before it writes much.
        self.tell(Message::Tick { wall: Duration::ZERO }, screen)?;
        loop {
            if let Some(signal) = ends.told() {
                return Ok(Outcome::Signal(signal));
            }
            if let Some(outcome) = self.outcome {
                return Ok(outcome);
            }
            let backlog = self.take_in(screen)?;
            let age = drawn.map_or(CLOCK, |at| at.elapsed());
            if self.changed && age >= FRAME || self.app.moves() && age >= CLOCK {
                self.tell(Message::Tick { wall: self.start.elapsed() }, screen)?;
                screen.draw(|frame| draw(&self.app, frame))?;
                drawn = Some(Instant::now());
                self.changed = false;
            }
            let wait = if backlog { Duration::ZERO } else { FRAME };
            if wait_for_key(wait)? {
                self.keys(screen)?;
                // A key is answered at once.
                drawn = drawn.filter(|_| !self.changed);
            }
        }
    }

    fn keys(&mut self, screen: &mut Screen) -> io::Result<()> {
        // Everything that is there, then a frame: holding a key down does not pile up frames.
        for _ in 0..256 {
            let message = match event::read()? {
                event::Event::Key(key) => Some(Message::Key(key)),
                event::Event::Paste(text) => Some(Message::Paste(text)),
                event::Event::Resize(columns, rows) => Some(Message::Resize(columns, rows)),
                _ => None,
            };
            if let Some(message) = message {
                self.changed = true;
                self.tell(message, screen)?;
            }
            if self.outcome.is_some() || !wait_for_key(Duration::ZERO)? {
                break;
            }
        }
        Ok(())
    }

    /// Takes in what the source has; returns whether there is more.
    fn take_in(&mut self, screen: &mut Screen) -> io::Result<bool> {
        let Some(source) = self.source else { return Ok(false) };
        let begin = Instant::now();
        self.tell(Message::Tick { wall: self.start.elapsed() }, screen)?;
        while begin.elapsed() < INTAKE {
            match source.try_recv() {
                Ok(update) => {
                    self.changed = true;
                    self.tell(Message::Update(update), screen)?;
                }
                Err(TryRecvError::Empty) => return Ok(false),
                Err(TryRecvError::Disconnected) => {
                    self.source = None;
                    self.changed = true;
                    if self.app.expects_more() {
                        let why = "the source of events has gone".to_owned();
                        self.tell(Message::Update(Update::Failed(why)), screen)?;
                    }
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn tell(&mut self, message: Message, screen: &mut Screen) -> io::Result<()> {
        for effect in self.app.update(message) {
            match effect {
                // A source that has gone needs no requests; one that does not keep up misses them rather than us.
                Effect::Ask(request) => drop(self.requests.try_send(request)),
                Effect::Repaint => screen.repaint()?,
                Effect::Suspend => {
                    screen.suspend()?;
                    let (columns, rows) = terminal::size()?;
                    self.app.update(Message::Resize(columns, rows));
                }
                Effect::Quit(outcome) => self.outcome = Some(outcome),
            }
        }
        Ok(())
    }
}

/// Whether there is input. A signal that comes meanwhile is not an error.
fn wait_for_key(wait: Duration) -> io::Result<bool> {
    match event::poll(wait) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        other => other,
    }
}

/// Signals that end the application, caught so that the terminal can be restored.
struct Ends {
    told: Arc<AtomicUsize>,
    registered: Vec<SigId>,
}

impl Ends {
    fn register() -> io::Result<Self> {
        let mut ends = Self { told: Arc::new(AtomicUsize::new(0)), registered: Vec::new() };
        for signal in [consts::SIGTERM, consts::SIGHUP, consts::SIGINT, consts::SIGQUIT] {
            let id = signal_hook::flag::register_usize(signal, ends.told.clone(), signal as usize)?;
            ends.registered.push(id);
        }
        Ok(ends)
    }

    fn told(&self) -> Option<i32> {
        Some(self.told.load(Ordering::Relaxed) as i32).filter(|signal| *signal != 0)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            low_level::unregister(id);
        }
    }
}
