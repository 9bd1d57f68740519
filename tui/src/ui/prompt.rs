//! A line to type a filter or a place into; a mistake is shown where it is, while typing.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::playback::Place;
use crate::analyze::{Filter, FilterError};

/// What the filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Only events that match are listed.
    Filter,
    /// Go to the next event that matches.
    Find,
    /// Go to a place in time.
    Jump,
    /// Note something about this moment.
    Note,
}

/// What was typed.
#[derive(Debug)]
pub(super) enum Meant {
    Filter(Filter),
    Place(Place),
    Note(String),
}

/// What a key did.
#[derive(Debug)]
pub(super) enum Typed {
    /// Typing goes on.
    More,
    /// Nothing is to change.
    Cancelled,
    /// It is complete.
    Done(Meant),
}

/// The line and its cursor.
#[derive(Debug)]
pub(super) struct Prompt {
    /// What the filter is for.
    pub purpose: Purpose,
    text: Vec<char>,
    cursor: usize,
    error: Option<FilterError>,
}

impl Prompt {
    /// Begins with `text`, the cursor behind it.
    pub(super) fn new(purpose: Purpose, text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        Self { purpose, cursor: text.len(), text, error: None }
    }

    /// What has been typed.
    pub(super) fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// Characters before the cursor.
    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    /// The mistake in it.
    pub(super) fn error(&self) -> Option<&FilterError> {
        self.error.as_ref()
    }

    /// Inserts text; control characters are left out.
    pub(super) fn paste(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()).take(1000) {
            self.text.insert(self.cursor.min(self.text.len()), c);
            self.cursor += 1;
        }
        self.check();
    }

    /// What it means as it stands.
    fn meant(&self) -> Result<Meant, FilterError> {
        match self.purpose {
            Purpose::Filter | Purpose::Find => Filter::parse(&self.text()).map(Meant::Filter),
            Purpose::Note => Ok(Meant::Note(self.text())),
            Purpose::Jump => {
                Place::parse(&self.text()).map(Meant::Place).map_err(|message| FilterError { column: 0, message })
            }
        }
    }

    fn check(&mut self) {
        // Half of a place is none; to say so while it is typed would be tiresome.
        self.error = if self.purpose == Purpose::Jump { None } else { self.meant().err() };
    }

    fn word_start(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let end = before.iter().rposition(|c| !c.is_whitespace()).map_or(0, |last| last + 1);
        before.get(..end).and_then(|word| word.iter().rposition(|c| c.is_whitespace())).map_or(0, |blank| blank + 1)
    }

    /// Takes a key, as line editors do.
    pub(super) fn key(&mut self, key: KeyEvent) -> Typed {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return Typed::Cancelled,
            KeyCode::Enter => match self.meant() {
                Ok(meant) => return Typed::Done(meant),
                Err(error) => {
                    self.cursor = error.column.min(self.text.len());
                    self.error = Some(error);
                    return Typed::More;
                }
            },
            KeyCode::Backspace if self.text.is_empty() => return Typed::Cancelled,
            KeyCode::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.text.remove(self.cursor);
            }
            KeyCode::Delete if self.cursor < self.text.len() => {
                self.text.remove(self.cursor);
            }
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char('u') if control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('w') if control => {
                let start = self.word_start();
                self.text.drain(start..self.cursor);
                self.cursor = start;
            }
            KeyCode::Char(c) if !control && !c.is_control() => {
                self.text.insert(self.cursor, c);
                self.cursor += 1;
            }
            _ => {}
        }
        self.check();
        Typed::More
    }
}
