//! The loop: read, take in, draw.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, never, select};
use crossterm::{event::Event, terminal};
use signal_hook::{SigId, consts, low_level};

use super::{keyboard::Keyboard, terminal::Screen};
use crate::{
    source::{Request, Update},
    ui::{App, Effect, Message, Options, Outcome, draw},
};

/// Between two frames when data comes in, at least and at most; a key is answered at once.
const FRAME: (Duration, Duration) = (Duration::from_millis(33), Duration::from_millis(100));
/// In between, so that drawing takes one part of so many of a processor.
const SHARE: u32 = 64;
/// Between two frames when only clocks go on.
const CLOCK: Duration = Duration::from_millis(200);
/// Between two looks whether the terminal is still there.
const LOOK: Duration = Duration::from_secs(1);
/// With fewer updates waiting, the next frame takes them all in at once: each wake-up costs more than they do.
const FEW: usize = 64;
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
    let keyboard = Keyboard::read().context("start the keyboard's thread")?;
    let mut session = Session {
        app: App::new(options, size),
        start: Instant::now(),
        source: updates.clone(),
        requests,
        outcome: None,
        changed: true,
        frame: FRAME.0,
    };
    session.work(&mut screen, &keyboard, &ends).context("use the terminal")
}

struct Session<'a> {
    app: App,
    start: Instant,
    source: Receiver<Update>,
    requests: &'a Sender<Request>,
    outcome: Option<Outcome>,
    changed: bool,
    /// Between two frames when data comes in.
    frame: Duration,
}

impl Session<'_> {
    fn work(&mut self, screen: &mut Screen, keyboard: &Keyboard, ends: &Ends) -> io::Result<Outcome> {
        let mut drawn: Option<Instant> = None;
        let mut looked = Instant::now();
        // The size is told to the command before it writes much.
        self.tell(Message::Tick { wall: Duration::ZERO }, screen)?;
        loop {
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                if Keyboard::hung_up() {
                    return Ok(Outcome::Signal(consts::SIGHUP));
                }
            }
            if ends.continued() {
                screen.resume()?;
                self.changed = true;
            }
            if let Some(outcome) = ends.told().map(Outcome::Signal).or(self.outcome) {
                return Ok(outcome);
            }
            let age = drawn.map_or(CLOCK, |at| at.elapsed());
            if self.changed && age >= self.frame || self.app.moves() && age >= CLOCK {
                self.tell(Message::Tick { wall: self.start.elapsed() }, screen)?;
                let began = Instant::now();
                screen.draw(|frame| draw(&self.app, frame))?;
                drawn = Some(Instant::now());
                self.drew(began.elapsed());
                self.changed = false;
            }
            // While a frame is due, until then; else until something comes or a clock has to be moved.
            let wait = if self.changed { self.frame.saturating_sub(age) } else { CLOCK };
            let keys = keyboard.events.clone();
            let source = if self.changed && self.source.len() < FEW { never() } else { self.source.clone() };
            select! {
                recv(keys) -> event => {
                    self.key(event.map_err(io::Error::other)??, screen)?;
                    // What else was typed, then a frame at once: holding a key down does not pile up frames.
                    for event in keys.try_iter().take(256) {
                        self.key(event?, screen)?;
                    }
                    drawn = drawn.filter(|_| !self.changed);
                }
                recv(source) -> update => self.take_in(update.ok(), screen)?,
                default(wait) => {
                    if let Ok(update) = self.source.try_recv() {
                        self.take_in(Some(update), screen)?;
                    }
                }
            }
        }
    }

    /// A frame took so long.
    fn drew(&mut self, took: Duration) {
        // Slowly, so that one frame that was interrupted counts for little.
        self.frame = ((self.frame * 7 + took * SHARE) / 8).clamp(FRAME.0, FRAME.1);
    }

    fn key(&mut self, event: Event, screen: &mut Screen) -> io::Result<()> {
        let message = match event {
            Event::Key(key) => Message::Key(key),
            Event::Paste(text) => Message::Paste(text),
            Event::Resize(columns, rows) => Message::Resize(columns, rows),
            _ => return Ok(()),
        };
        self.changed = true;
        self.tell(message, screen)
    }

    /// Takes in an update, and those that have come with it; `None`: the source has gone.
    fn take_in(&mut self, first: Option<Update>, screen: &mut Screen) -> io::Result<()> {
        self.changed = true;
        self.tell(Message::Tick { wall: self.start.elapsed() }, screen)?;
        let Some(first) = first else {
            self.source = never();
            let why = "the source of events has gone".to_owned();
            let news = self.app.expects_more().then_some(Message::Update(Update::Failed(why)));
            return news.map_or(Ok(()), |news| self.tell(news, screen));
        };
        let begin = Instant::now();
        self.tell(Message::Update(first), screen)?;
        while begin.elapsed() < INTAKE {
            let Ok(update) = self.source.try_recv() else { break };
            self.tell(Message::Update(update), screen)?;
        }
        Ok(())
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

/// Signals that end the application, caught so that the terminal can be restored, and SIGCONT: whoever stopped us may
/// have changed the terminal meanwhile, as shells do.
struct Ends {
    told: Arc<AtomicUsize>,
    continued: Arc<AtomicBool>,
    registered: Vec<SigId>,
}

impl Ends {
    fn register() -> io::Result<Self> {
        let mut ends = Self { told: Arc::default(), continued: Arc::default(), registered: Vec::new() };
        ends.registered.push(signal_hook::flag::register(consts::SIGCONT, ends.continued.clone())?);
        for signal in [consts::SIGTERM, consts::SIGHUP, consts::SIGINT, consts::SIGQUIT] {
            let id = signal_hook::flag::register_usize(signal, ends.told.clone(), signal as usize)?;
            ends.registered.push(id);
        }
        Ok(ends)
    }

    fn continued(&self) -> bool {
        self.continued.swap(false, Ordering::Relaxed)
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
