//! Keys of the signals.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::{
    event::SignalId,
    ui::{App, events::Way, map::Selection, state::View},
};

impl App {
    pub(in crate::ui) fn signals_key(&mut self, key: KeyEvent) {
        let ids = self.listed_signals();
        let page = self.signals.height.max(2) as isize - 1;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => self.select_signal(&ids, -1),
            KeyCode::Down | KeyCode::Char('j') => self.select_signal(&ids, 1),
            KeyCode::PageUp => self.select_signal(&ids, -page),
            KeyCode::PageDown => self.select_signal(&ids, page),
            KeyCode::Char('b') if control => self.select_signal(&ids, -page),
            KeyCode::Char('f') if control => self.select_signal(&ids, page),
            KeyCode::Char('u') if control => self.select_signal(&ids, -page / 2),
            KeyCode::Char('d') if control => self.select_signal(&ids, page / 2),
            KeyCode::Home | KeyCode::Char('g') => self.signals.selected = ids.first().copied(),
            KeyCode::End | KeyCode::Char('G') => self.signals.selected = None,
            KeyCode::Char('d') => self.signals.process = !self.signals.process,
            KeyCode::Enter => self.leave_signals(&ids, View::Events),
            KeyCode::Char('z') => self.leave_signals(&ids, View::Timeline),
            KeyCode::Char('c') => self.jump_from_signal(&ids, Way::Cause),
            KeyCode::Char('e') => self.jump_from_signal(&ids, Way::Effect),
            _ => {}
        }
    }

    /// The instance selected: the newest one while none is.
    pub(super) fn selected_signal(&self, ids: &[SignalId]) -> Option<SignalId> {
        self.signals.selected.filter(|id| ids.contains(id)).or_else(|| ids.last().copied())
    }

    fn select_signal(&mut self, ids: &[SignalId], rows: isize) {
        let here = self.selected_signal(ids).and_then(|id| ids.iter().position(|other| *other == id)).unwrap_or(0);
        let row = here.saturating_add_signed(rows).min(ids.len().saturating_sub(1));
        self.signals.selected = ids.get(row).copied();
    }

    /// The first or the last event of the instance selected.
    fn signal_event(&self, ids: &[SignalId], last: bool) -> Option<u64> {
        let id = self.selected_signal(ids)?;
        let life = self.signals.instances.life(id, &self.log, self.signals_until())?;
        if last { life.steps.last() } else { life.steps.first() }.map(|(index, ..)| *index)
    }

    /// To where it was generated, in another view.
    fn leave_signals(&mut self, ids: &[SignalId], view: View) {
        if let Some(index) = self.signal_event(ids, false) {
            self.show_in_list(index);
            self.view = view;
        }
    }

    /// From the end of its life to what brought it about, from its beginning to what came of it.
    fn jump_from_signal(&mut self, ids: &[SignalId], way: Way) {
        if let Some(index) = self.signal_event(ids, way == Way::Cause) {
            self.view = View::Events;
            self.show_in_list(index);
            self.jump(Some(index), way);
        }
    }

    /// The signals of what is looked at.
    pub(in crate::ui) fn show_signals(&mut self) {
        match self.view {
            View::Map => {
                self.signals.of = match &self.selection {
                    Selection::Process(key) => self.world().processes.get(key).map(|process| process.pid),
                    _ => None,
                };
                self.signals.selected = None;
            }
            View::Signals => {}
            View::Events | View::Timeline => {
                let event = self.list.cursor(&self.log).and_then(|index| self.log.get(index));
                if let Some(crate::event::Kind::Signal(step)) = event.map(|event| &event.kind) {
                    (self.signals.selected, self.signals.of) = (Some(step.id), None);
                } else {
                    self.signals.of = event.and_then(|event| event.task).map(|task| task.pid);
                }
            }
        }
        self.view = View::Signals;
    }

    /// Shows the signals of everybody again; whether it did not do so before.
    pub(in crate::ui) fn show_all_signals(&mut self) -> bool {
        self.signals.of.take().is_some()
    }

    /// The table is so high.
    pub(in crate::ui) fn arrange_signals(&mut self, lines: u16) {
        self.signals.height = usize::from(lines.saturating_sub(1));
    }
}
