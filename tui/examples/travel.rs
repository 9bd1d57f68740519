//! `travel FILE`: how long it takes to open a recording and to go anywhere in it, measured with the application's own
//! thread, state and drawing, but for the terminal. Part of `cargo xtask bench`. Prints one JSON object.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use crossterm::event::{KeyCode, KeyEvent};
use ipcscope::{
    model::World,
    source::{
        Request, Update,
        recording::Recording,
        replay::{self, Ask, Target},
    },
    ui::{App, Message, Mode, Options, draw},
};
use ratatui::{Terminal, backend::TestBackend};

/// Places that are gone to.
const PLACES: u64 = 50;

fn main() -> Result<()> {
    let file = std::env::args_os().nth(1).context("travel FILE")?;
    let file = Path::new(&file);
    let (events, fold) = fold(file)?;
    let mut travel = Travel::open(file)?;
    let screen = travel.first_screen()?;
    let indexed = travel.indexed()?;
    // All over the recording, never twice near the same place; the numbers are not in order.
    let mut seeks = Vec::new();
    for place in 0..PLACES {
        seeks.push(travel.go((place * 31 + 7) % PLACES * events / PLACES)?);
    }
    seeks.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let seek = |at: usize| seeks.get(at).copied().unwrap_or_default();
    println!(
        "{}",
        serde_json::json!({
            "events": events,
            "bytes": fs::metadata(file)?.len(),
            "fold_events_per_s": events as f64 / fold.as_secs_f64(),
            "screen_ms": ms(screen),
            "indexed_ms": ms(indexed),
            "seek_ms": ms(seek(seeks.len() / 2)),
            "seek_worst_ms": ms(seek(seeks.len() - 1)),
            "resident_bytes": resident()?,
        })
    );
    Ok(())
}

/// Decodes everything and folds it into a world, in this thread alone.
fn fold(file: &Path) -> Result<(u64, Duration)> {
    let began = Instant::now();
    let mut recording = Recording::open(file)?;
    let (mut world, mut events, mut count) = (World::new(), Vec::new(), 0);
    while recording.next_item(&mut events)?.is_some() {
        count += events.len() as u64;
        for event in events.drain(..) {
            world.apply(&event);
        }
    }
    Ok((count, began.elapsed()))
}

/// The application and its source.
struct Travel {
    began: Instant,
    app: App,
    terminal: Terminal<TestBackend>,
    updates: Receiver<Update>,
    requests: Sender<Request>,
    is_indexed: bool,
}

impl Travel {
    fn open(file: &Path) -> Result<Self> {
        let began = Instant::now();
        let recording = Recording::open(file)?;
        let (updates_in, updates) = bounded(8);
        let (requests, asked) = unbounded();
        thread::spawn(move || replay::play(recording, 1.0, &updates_in, &asked));
        let size = (120, 40);
        let app = App::new(Options { mode: Mode::Replay, ..Options::default() }, size);
        let terminal = Terminal::new(TestBackend::new(size.0, size.1))?;
        Ok(Self { began, app, terminal, updates, requests, is_indexed: false })
    }

    /// Until events are on the screen.
    fn first_screen(&mut self) -> Result<Duration> {
        loop {
            let update = self.updates.recv()?;
            let is_first = matches!(update, Update::Events(_));
            self.take(update)?;
            if is_first {
                self.draw()?;
                let took = self.began.elapsed();
                self.app.update(Message::Key(KeyEvent::from(KeyCode::Char(' '))));
                self.requests.send(Request::Replay(Ask::Stop))?;
                return Ok(took);
            }
        }
    }

    /// Until any place can be gone to at once.
    fn indexed(&mut self) -> Result<Duration> {
        while !self.is_indexed {
            let update = self.updates.recv()?;
            self.take(update)?;
        }
        Ok(self.began.elapsed())
    }

    /// Until the world right after that event is on the screen.
    fn go(&mut self, event: u64) -> Result<Duration> {
        let began = Instant::now();
        self.requests.send(Request::Replay(Ask::Go(Target::Event(event))))?;
        loop {
            let update = self.updates.recv()?;
            let is_there = matches!(&update, Update::Moved(moved) if moved.cursor() == Some(event));
            self.take(update)?;
            if is_there {
                self.draw()?;
                return Ok(began.elapsed());
            }
        }
    }

    fn take(&mut self, update: Update) -> Result<()> {
        match &update {
            Update::Extent(extent) => self.is_indexed |= extent.complete,
            Update::Failed(why) => bail!("{why}"),
            _ => {}
        }
        // What it asks for besides is not waited for.
        self.app.update(Message::Update(update));
        Ok(())
    }

    fn draw(&mut self) -> Result<()> {
        self.terminal.draw(|frame| draw(&self.app, frame))?;
        Ok(())
    }
}

/// Memory in use at most, so far.
fn resident() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("read VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
