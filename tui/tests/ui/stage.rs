//! An application on a stage: fed from a script, typed into, and looked at as text.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ipcscope::{
    event::{Event, Header},
    model::script,
    source::Update,
    ui::{App, Effect, Message, Options, draw},
};
use ratatui::{Terminal, backend::TestBackend};

/// Many writers and readers on one pipe.
pub const FAN: &str = include_str!("../scripts/fan.script");

/// Signals of many kinds, and what they meet.
pub const SIGNALS: &str = include_str!("../scripts/signals.script");

pub struct Stage {
    pub app: App,
    pub effects: Vec<Effect>,
    size: (u16, u16),
    wall: Duration,
}

/// The events of a script up to a time, in seconds.
pub fn events(script: &str, until: f64) -> Vec<Event> {
    script::parse(script).unwrap().into_iter().filter(|event| event.t.seconds() <= until).collect()
}

pub fn options() -> Options {
    Options { title: "yes | head -n 20480 | sort -u".to_owned(), has_command: true, ..Options::default() }
}

impl Stage {
    pub fn new(options: Options, size: (u16, u16)) -> Self {
        Self { app: App::new(options, size), effects: Vec::new(), size, wall: Duration::ZERO }
    }

    /// A live trace of the sample up to a time.
    pub fn live(size: (u16, u16), until: f64) -> Self {
        let mut stage = Self::new(options(), size);
        stage.update(Update::Started(Header::default()));
        stage.wait(1000);
        stage.update(Update::Events(events(script::SAMPLE, until)));
        stage
    }

    pub fn tell(&mut self, message: Message) {
        self.effects.extend(self.app.update(message));
    }

    pub fn update(&mut self, update: Update) {
        self.tell(Message::Update(update));
    }

    pub fn wait(&mut self, ms: u64) {
        self.wall += Duration::from_millis(ms);
        let wall = self.wall;
        self.tell(Message::Tick { wall });
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
        self.tell(Message::Resize(columns, rows));
    }

    /// Types keys: characters as they are, others as `<Enter>`, `<Up>`, `<C-c>`.
    pub fn keys(&mut self, keys: &str) -> &mut Self {
        let mut rest = keys;
        while let Some(first) = rest.chars().next() {
            let named =
                rest.strip_prefix('<').and_then(|inner| inner.split_once('>')).filter(|(name, _)| name.len() > 1);
            let (name, after) = named.map_or(("", &rest[first.len_utf8()..]), |(name, after)| (name, after));
            let (code, modifiers) = match name {
                "" => (KeyCode::Char(first), KeyModifiers::NONE),
                "Enter" => (KeyCode::Enter, KeyModifiers::NONE),
                "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
                "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
                "Up" => (KeyCode::Up, KeyModifiers::NONE),
                "Down" => (KeyCode::Down, KeyModifiers::NONE),
                "Left" => (KeyCode::Left, KeyModifiers::NONE),
                "Right" => (KeyCode::Right, KeyModifiers::NONE),
                "PgUp" => (KeyCode::PageUp, KeyModifiers::NONE),
                other => {
                    (KeyCode::Char(other.strip_prefix("C-").unwrap().chars().next().unwrap()), KeyModifiers::CONTROL)
                }
            };
            self.tell(Message::Key(KeyEvent::new(code, modifiers)));
            rest = after;
        }
        self
    }

    /// The screen as text, without blanks at the ends of lines.
    pub fn screen(&self) -> String {
        let (columns, rows) = self.size;
        let mut terminal = Terminal::new(TestBackend::new(columns.max(1), rows.max(1))).unwrap();
        terminal.draw(|frame| draw(&self.app, frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let mut text = String::new();
        for y in 0..rows {
            let mut line = String::new();
            let mut x = 0;
            while x < columns {
                let symbol = buffer[(x, y)].symbol();
                line.push_str(symbol);
                x += (unicode_width::UnicodeWidthStr::width(symbol) as u16).max(1);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Fails with the whole screen if it does not show `text`.
    #[track_caller]
    pub fn shows(&self, text: &str) -> &Self {
        let screen = self.screen();
        assert!(screen.contains(text), "{text:?} is not on the screen:\n{screen}");
        self
    }

    #[track_caller]
    pub fn hides(&self, text: &str) -> &Self {
        let screen = self.screen();
        assert!(!screen.contains(text), "{text:?} is on the screen:\n{screen}");
        self
    }
}
