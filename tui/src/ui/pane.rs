//! The command's own terminal: a screen that its output is written to, and keys that go to it.
//!
//! Invariants: only cells that the emulator understood are drawn, never the command's bytes; the size follows the area
//! on the screen, whatever has the focus, so that looking at it sends no SIGWINCH to the command.

use std::num::NonZeroU16;

use crossterm::event::KeyEvent;
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Position, Rect},
    style::{Color, Modifier, Style},
};

use super::typed;

/// Lines kept that have scrolled away.
const SCROLLBACK: usize = 2000;

/// How much of the screen the pane takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Extent {
    /// A quarter.
    #[default]
    Small,
    /// Half.
    Large,
    /// Nothing: not shown.
    Hidden,
}

/// The pane's state.
pub(super) struct Pane {
    /// Keys go to the command.
    pub focused: bool,
    /// How large it is.
    pub extent: Extent,
    screen: vt100::Parser,
    told: Option<(u16, u16)>,
    wrote: bool,
}

impl Default for Pane {
    fn default() -> Self {
        let screen = vt100::Parser::new(vt100::Parser::DEFAULT_ROWS, vt100::Parser::DEFAULT_COLS, SCROLLBACK);
        Self { focused: false, extent: Extent::default(), screen, told: None, wrote: false }
    }
}

impl std::fmt::Debug for Pane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pane").field("focused", &self.focused).field("extent", &self.extent).finish_non_exhaustive()
    }
}

impl Pane {
    /// The command wrote.
    pub(super) fn output(&mut self, bytes: &[u8]) {
        self.wrote = true;
        self.screen.process(bytes);
    }

    /// The command wrote this and nothing else.
    pub(super) fn rewrite(&mut self, bytes: &[u8]) {
        let (rows, columns) = self.screen.screen().size();
        self.screen = vt100::Parser::new(rows, columns, SCROLLBACK);
        self.wrote = false;
        if !bytes.is_empty() {
            self.output(bytes);
        }
    }

    /// The area inside the pane is `area` now; returns lines and columns if the command has to be told.
    pub(super) fn resize(&mut self, area: Rect) -> Option<(u16, u16)> {
        let size = (area.height, area.width);
        let (rows, columns) = (NonZeroU16::new(size.0)?, NonZeroU16::new(size.1)?);
        if self.told == Some(size) {
            return None;
        }
        self.told = Some(size);
        self.screen.set_size(rows, columns);
        Some(size)
    }

    /// Small, large, hidden, small …
    pub(super) fn next_size(&mut self) {
        self.extent = match self.extent {
            Extent::Small => Extent::Large,
            Extent::Large => Extent::Hidden,
            Extent::Hidden => Extent::Small,
        };
    }

    /// Keys go to the command from now on.
    pub(super) fn focus(&mut self) {
        self.focused = true;
        self.screen.screen_mut().set_scrollback(0);
        if self.extent == Extent::Hidden {
            self.extent = Extent::Small;
        }
    }

    /// Half a pane into the lines that have scrolled away, or out of them.
    pub(super) fn scroll(&mut self, back: bool) {
        let screen = self.screen.screen_mut();
        let half = (usize::from(screen.size().0.get()) / 2).max(1);
        let at = screen.scrollback();
        screen.set_scrollback(if back { at + half } else { at.saturating_sub(half) });
    }

    /// Lines scrolled back.
    pub(super) fn scrolled(&self) -> usize {
        self.screen.screen().scrollback()
    }

    /// The bytes of a key.
    pub(super) fn typed(&mut self, key: KeyEvent) -> Option<Vec<u8>> {
        self.screen.screen_mut().set_scrollback(0);
        typed::bytes(key, self.screen.screen().application_cursor())
    }

    /// The bytes of pasted text, bracketed if the command asked for that.
    pub(super) fn pasted(&self, text: &str) -> Vec<u8> {
        // An end mark inside the text would let the rest pass for typed keys.
        let text = text.replace("\x1b[201~", "").replace("\r\n", "\r").replace('\n', "\r");
        if self.screen.screen().bracketed_paste() {
            format!("\x1b[200~{text}\x1b[201~").into_bytes()
        } else {
            text.into_bytes()
        }
    }

    /// Shows the screen in `area`.
    pub(super) fn draw(&self, frame: &mut Frame, area: Rect, colors: bool, silent: (&str, Style)) {
        if !self.wrote {
            frame.buffer_mut().set_stringn(area.x, area.y, silent.0, usize::from(area.width), silent.1);
        }
        let screen = self.screen.screen();
        for row in 0..area.height {
            for column in 0..area.width {
                if let Some(cell) = screen.cell(row, column) {
                    put(frame.buffer_mut(), Position::new(area.x + column, area.y + row), cell, colors);
                }
            }
        }
        if self.focused && !screen.hide_cursor() && screen.scrollback() == 0 {
            let (row, column) = screen.cursor_position();
            let (x, y) = (area.x + column.min(area.width.saturating_sub(1)), area.y + row);
            if y < area.bottom() {
                frame.set_cursor_position((x, y));
            }
        }
    }
}

fn put(buffer: &mut Buffer, at: Position, cell: &vt100::Cell, colors: bool) {
    let Some(target) = buffer.cell_mut(at) else { return };
    if cell.is_wide_continuation() {
        return;
    }
    if cell.has_contents() {
        target.set_symbol(cell.contents());
    }
    let mut style = Style::new();
    if colors {
        style = style.fg(color(cell.fgcolor())).bg(color(cell.bgcolor()));
    }
    for (on, modifier) in [
        (cell.bold(), Modifier::BOLD),
        (cell.dim(), Modifier::DIM),
        (cell.italic(), Modifier::ITALIC),
        (cell.underline(), Modifier::UNDERLINED),
        (cell.inverse(), Modifier::REVERSED),
    ] {
        if on {
            style = style.add_modifier(modifier);
        }
    }
    target.set_style(style);
}

fn color(color: vt100::Color) -> Color {
    match color {
        vt100::Color::Default => Color::Reset,
        vt100::Color::Idx(n) => Color::Indexed(n),
        vt100::Color::Rgb(r, g, b) => Color::Rgb(r, g, b),
    }
}
