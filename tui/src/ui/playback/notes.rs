//! Notes: a word about a moment, or just its place, kept in the recording.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::{
    Frame,
    text::{Line, Span},
    widgets::{Block, Paragraph},
};

use crate::{
    event::Nanos,
    source::replay::{Ask, Target},
    trace::{MAX_NOTES, Note},
    ui::{
        App,
        prompt::{Prompt, Purpose},
        screen::over,
        state::Dialog,
        words,
    },
};

impl App {
    /// Asks what is to be noted about this moment.
    pub(in crate::ui) fn ask_note(&mut self) {
        if !self.is_replay() {
            return self.say("notes are kept in a recording: record it, then replay it");
        }
        if !self.paused {
            self.pause();
        }
        let now = self.now();
        let text = self.playback.notes.iter().find(|note| note.t == now).map(|note| note.text.clone());
        self.prompt = Some(Prompt::new(Purpose::Note, &text.unwrap_or_default()));
    }

    /// Notes something about this moment, in place of what was noted before.
    pub(in crate::ui) fn note(&mut self, text: &str) {
        let t = self.now();
        let text = text.trim().to_owned();
        let notes = &mut self.playback.notes;
        match notes.binary_search_by_key(&t, |note| note.t) {
            Ok(at) => {
                if let Some(note) = notes.get_mut(at) {
                    note.text = text;
                }
            }
            Err(_) if notes.len() >= MAX_NOTES => return self.say("there are as many notes as a recording takes"),
            Err(at) => notes.insert(at, Note { t, text }),
        }
        self.keep_notes();
        self.say("noted");
    }

    fn keep_notes(&mut self) {
        let notes = self.playback.notes.clone();
        self.ask(Ask::Note(notes));
    }

    /// To the next note, or the one before.
    pub(in crate::ui) fn seek_note(&mut self, forward: bool) {
        let now = self.now();
        let notes = &self.playback.notes;
        let next = if forward {
            notes.iter().position(|note| note.t > now)
        } else {
            notes.iter().rposition(|note| note.t < now)
        };
        match next {
            Some(at) => self.go_to_note(at),
            None if self.playback.notes.is_empty() => self.say("no notes yet: b makes one"),
            None => self.say(if forward { "no later note" } else { "no earlier note" }),
        }
    }

    fn go_to_note(&mut self, at: usize) {
        let Some(Note { t, text }) = self.playback.notes.get(at).cloned() else { return };
        self.go_to(Target::Time(t));
        self.say(if text.is_empty() { "a marked place".to_owned() } else { format!("◆ {text}") });
    }

    /// Shows all of them.
    pub(in crate::ui) fn open_notes(&mut self) {
        if self.playback.notes.is_empty() {
            return self.say(if self.is_replay() {
                "no notes yet: b makes one"
            } else {
                "notes are kept in a recording"
            });
        }
        let now = self.now();
        let at = self.playback.notes.iter().rposition(|note| note.t <= now).unwrap_or(0);
        self.dialog = Some(Dialog::Notes(at));
    }

    /// A key while they are shown.
    pub(in crate::ui) fn notes_key(&mut self, key: KeyEvent, at: usize) {
        let last = self.playback.notes.len().saturating_sub(1);
        let go = |at: usize| Some(Dialog::Notes(at.min(last)));
        match key.code {
            KeyCode::Down | KeyCode::Char('j') => self.dialog = go(at + 1),
            KeyCode::Up | KeyCode::Char('k') => self.dialog = go(at.saturating_sub(1)),
            KeyCode::Home | KeyCode::Char('g') => self.dialog = go(0),
            KeyCode::End | KeyCode::Char('G') => self.dialog = go(last),
            KeyCode::Char('d') | KeyCode::Delete if at <= last => {
                self.playback.notes.remove(at);
                self.keep_notes();
                self.dialog = if last == 0 { None } else { Some(Dialog::Notes(at.min(last - 1))) };
            }
            KeyCode::Enter => {
                self.dialog = None;
                self.go_to_note(at);
            }
            KeyCode::Esc | KeyCode::Char('q' | 'B') => self.dialog = None,
            _ => {}
        }
    }
}

/// Draws the list over the view.
pub(in crate::ui) fn draw(app: &App, frame: &mut Frame, selected: usize) {
    let theme = app.theme;
    let notes = &app.playback.notes;
    let rows = (notes.len() as u16 + 2).clamp(5, frame.area().height.saturating_sub(4).max(5));
    let area = over(frame, 90, rows);
    let room = usize::from(area.width.saturating_sub(2));
    let line = |(at, note): (usize, &Note)| {
        let time = words::clock(Nanos(note.t.0), true);
        let text = if note.text.is_empty() { "(a marked place)" } else { &note.text };
        let text = words::fit(text, room.saturating_sub(words::width(&time) + 5));
        if at == selected {
            return Line::styled(words::pad(&format!(" ◆ {time}  {text}"), room), theme.cursor());
        }
        Line::from(vec![Span::styled(format!(" ◆ {time}  "), theme.signal()), Span::raw(text)])
    };
    let height = usize::from(area.height.saturating_sub(2));
    let top = selected.saturating_sub(height / 2).min(notes.len().saturating_sub(height));
    let lines: Vec<Line> = notes.iter().enumerate().skip(top).take(height).map(line).collect();
    let title = " notes: ↑↓ selects, Enter goes there, d deletes, Esc closes ";
    let block = Block::bordered().border_style(theme.focus()).title(Line::styled(title, theme.strong()));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
