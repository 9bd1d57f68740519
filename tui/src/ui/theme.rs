//! Colours and the glyphs of states: always glyph, word and colour together, so that none of them is needed alone.
//!
//! Only the sixteen colours that the user's own theme defines; without colours, bold, dim and reverse remain.

use ratatui::style::{Color, Modifier, Style};

use crate::{analyze::Role, event::ThreadState};

/// Which styles to draw with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    color: bool,
}

#[expect(clippy::unused_self, reason = "whether a style needs to know of colours is its own affair")]
impl Theme {
    /// With or without colours.
    pub(super) fn new(color: bool) -> Self {
        Self { color }
    }

    fn fg(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// Ordinary text.
    pub(super) fn text(self) -> Style {
        Style::new()
    }

    /// What matters less.
    pub(super) fn dim(self) -> Style {
        if self.color { Style::new().fg(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// Names and titles.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is selected or has the focus.
    pub(super) fn focus(self) -> Style {
        self.fg(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// The line under the cursor.
    pub(super) fn cursor(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What is wrong or missing.
    pub(super) fn alarm(self) -> Style {
        self.fg(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What goes well.
    pub(super) fn good(self) -> Style {
        self.fg(Color::Green)
    }

    /// Signals.
    pub(super) fn signal(self) -> Style {
        self.fg(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// Sends.
    pub(super) fn send(self) -> Style {
        self.fg(Color::Cyan)
    }

    /// Receives.
    pub(super) fn recv(self) -> Style {
        self.fg(Color::Green)
    }

    /// Calls of remote procedures and their answers.
    pub(super) fn call(self) -> Style {
        self.fg(Color::LightBlue)
    }

    /// Life of processes and channels.
    pub(super) fn life(self) -> Style {
        self.fg(Color::Magenta)
    }

    /// A signal that flashes by.
    pub(super) fn flash(self) -> Style {
        if self.color {
            Style::new().fg(Color::Black).bg(Color::Yellow).add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
        }
    }

    /// Keys in the footer.
    pub(super) fn key(self) -> Style {
        self.fg(Color::Cyan)
    }

    /// The tab that is shown.
    pub(super) fn tab(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    /// A thread's state; `None` is unknown.
    pub(super) fn state(self, state: Option<ThreadState>) -> Style {
        match state {
            Some(ThreadState::Running) => self.fg(Color::Green),
            Some(ThreadState::Ready) => self.fg(Color::Yellow),
            Some(ThreadState::Blocked) => self.fg(Color::Red),
            Some(ThreadState::Stopped) => self.fg(Color::Blue),
            Some(ThreadState::New) => self.text(),
            Some(ThreadState::Zombie | ThreadState::Dead) | None => self.dim(),
        }
    }

    /// A piece of a line.
    pub(super) fn role(self, role: Role) -> Style {
        match role {
            Role::Plain | Role::Pid | Role::Bytes | Role::Call => self.text(),
            Role::Dim | Role::Payload => self.dim(),
            Role::Comm | Role::Peer => self.strong(),
            Role::Channel => self.send(),
            Role::Signal => self.signal(),
            Role::State(state) => self.state(Some(state)),
            Role::Error => self.alarm(),
        }
    }

    /// A channel by how full it is, in percent; `None` is unknown.
    pub(super) fn fill(self, percent: Option<u64>) -> Style {
        match percent {
            Some(0) => self.fg(Color::Blue),
            Some(100..) => self.fg(Color::Red),
            Some(_) => self.fg(Color::Cyan),
            None => self.text(),
        }
    }
}

/// The glyph of a state; `None` is unknown.
pub(super) fn glyph(state: Option<ThreadState>) -> &'static str {
    match state {
        Some(ThreadState::Running) => "●",
        Some(ThreadState::Ready) => "◐",
        Some(ThreadState::Blocked) => "◌",
        Some(ThreadState::Stopped) => "■",
        Some(ThreadState::Zombie | ThreadState::Dead) => "†",
        Some(ThreadState::New) => "○",
        None => "?",
    }
}
