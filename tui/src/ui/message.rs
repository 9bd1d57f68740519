//! What the application is told, what it wants done, and what it is started with.

use std::time::Duration;

use crossterm::event::KeyEvent;

use crate::source::{Request, Update};

/// Something happened. The only input of [`super::App::update`].
#[derive(Debug)]
pub enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has a new size: columns, lines.
    Resize(u16, u16),
    /// The source tells something.
    Update(Update),
    /// Time passes.
    Tick {
        /// Since the application started, by the monotonic clock.
        wall: Duration,
    },
}

/// Something is to be done. The only output of [`super::App::update`].
#[derive(Debug)]
pub enum Effect {
    /// Hand this to the source.
    Ask(Request),
    /// Paint every cell anew.
    Repaint,
    /// Stop the application as a shell's job (Ctrl-Z), until it is continued.
    Suspend,
    /// Leave.
    Quit(Outcome),
}

/// How the application was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was no command, or it had ended.
    Done,
    /// The command is to live on, untraced.
    Detached,
    /// The command was asked to end but has not ended yet.
    Ending,
    /// A signal told the application to end.
    Signal(i32),
}

/// Where events come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// From running processes: time goes on by itself.
    #[default]
    Live,
    /// From a recording or a script: time is that of the last event.
    Replay,
}

/// What the application is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What is traced, for the header: the command line, the processes, the recording.
    pub title: String,
    /// Where events come from.
    pub mode: Mode,
    /// A command was started for this trace: leaving asks what becomes of it.
    pub has_command: bool,
    /// The command has a terminal of its own, shown in a pane.
    pub terminal_pane: bool,
    /// Draw with ASCII characters only.
    pub ascii: bool,
    /// Use colours.
    pub color: bool,
    /// Events kept for the list; older ones are dropped and counted.
    pub kept_events: usize,
    /// A recording is played so many times as fast as it happened; 0: as fast as can be.
    pub speed: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            title: String::new(),
            mode: Mode::Live,
            has_command: false,
            terminal_pane: false,
            ascii: false,
            color: true,
            kept_events: 100_000,
            speed: 1.0,
        }
    }
}
