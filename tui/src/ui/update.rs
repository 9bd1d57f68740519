//! Messages into state: the one way in which the application changes.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    App, Effect, Message, Outcome, keys,
    map::Selection,
    prompt::{Meant, Purpose, Typed},
    screen,
    state::{Dialog, Seen, Stage, View},
    typed,
};
use crate::{
    event::Event,
    source::{Request, Update, replay::Ask},
};

impl App {
    /// Takes in what happened; returns what is to be done.
    pub fn update(&mut self, message: Message) -> Vec<Effect> {
        let mut effects = Vec::new();
        match message {
            Message::Key(key) if key.kind == KeyEventKind::Release => {}
            Message::Key(key) => self.key(key, &mut effects),
            Message::Paste(text) => self.paste(&text, &mut effects),
            Message::Resize(columns, rows) => self.size = (columns, rows),
            Message::Update(update) => self.source(update, &mut effects),
            Message::Tick { wall } => {
                self.clock.tick(wall);
                self.findings.look(&self.live, self.present(), Some(wall));
                if self.said().is_none() {
                    self.notice = None;
                }
            }
        }
        self.arrange(&mut effects);
        effects.extend(self.wishes.drain(..).map(Effect::Ask));
        effects
    }

    /// What depends on the size of the screen: the command's terminal, the part of the list that is shown.
    fn arrange(&mut self, effects: &mut Vec<Effect>) {
        let areas = screen::areas(self);
        if let (Some(pane), Some(area)) = (&mut self.pane, areas.pane)
            && let Some((rows, columns)) = pane.resize(area)
        {
            effects.push(Effect::Ask(Request::Resize { rows, columns }));
        }
        self.list.show(&self.log, areas.list_rows());
        self.arrange_playback();
        self.arrange_trail();
        match self.view {
            View::Timeline => self.arrange_timeline(areas.view),
            View::Signals => self.arrange_signals(areas.view.height),
            View::Map | View::Events => {}
        }
    }

    fn source(&mut self, update: Update, effects: &mut Vec<Effect>) {
        match update {
            Update::Started(header) => {
                self.header = Some(header);
                // Who asked for the end before it began is still leaving.
                if self.stage != Stage::Leaving {
                    self.stage = Stage::Running;
                }
            }
            Update::Events(events) => {
                self.answered();
                self.clock.arrived(events.len() as u64);
                if self.stage == Stage::Waiting {
                    self.stage = Stage::Running;
                }
                self.take_in(events);
            }
            Update::Moved(moved) => {
                self.answered();
                self.moved(*moved);
            }
            Update::Notes(notes) => self.playback.notes = notes,
            Update::Outline(outline) => self.playback.outline = outline,
            Update::Extent(extent) => self.playback.extent = extent,
            Update::Output(bytes) => {
                if let Some(pane) = &mut self.pane {
                    pane.output(&bytes);
                }
            }
            Update::CommandEnded(status) => {
                self.command = Some(status);
                if let Some(pane) = &mut self.pane {
                    pane.focused = false;
                }
                if self.dialog == Some(Dialog::Quit) {
                    self.dialog = None;
                }
                if self.stage == Stage::Leaving {
                    effects.push(Effect::Quit(Outcome::Done));
                }
            }
            Update::Ended(ending) => {
                if self.stage == Stage::Leaving {
                    effects.push(Effect::Quit(Outcome::Done));
                }
                self.answered();
                self.findings.look(&self.live, self.present(), None);
                self.stage = Stage::Ended(ending);
            }
            // Not an answer: a search that goes on tells how far it is.
            Update::Notice(text) => self.say(text),
            Update::Failed(why) => self.stage = Stage::Failed(why),
        }
    }

    pub(super) fn take_in(&mut self, events: Vec<Event>) {
        // A recording can be read again.
        let (held, first) = (self.paused && !self.is_replay(), self.log.first());
        for event in events {
            self.lines.learn(&event);
            let before = self.log.wants_world().then(|| self.live.clone());
            self.findings.apply(&self.live, &event);
            self.live.apply(&event);
            let index = self.log.end();
            self.log.push(event, before, held);
            if let Some(event) = self.log.get(index) {
                self.list.arrived(event, index);
                self.tracks.learn(event, index);
                self.signals.instances.learn(event, index);
            }
        }
        if self.log.first() > first {
            self.tracks.trim(self.log.first());
            self.signals.instances.trim(self.log.first());
        }
    }

    fn paste(&mut self, text: &str, effects: &mut Vec<Effect>) {
        if let Some(prompt) = &mut self.prompt {
            prompt.paste(text);
        } else if let Some(pane) = self.pane.as_mut().filter(|pane| pane.focused) {
            effects.push(Effect::Ask(Request::Input(pane.pasted(text))));
        }
    }

    fn key(&mut self, key: KeyEvent, effects: &mut Vec<Effect>) {
        if let Some(pane) = self.pane.as_mut().filter(|pane| pane.focused && self.dialog.is_none()) {
            if typed::leaves(key) {
                pane.focused = false;
            } else if let Some(bytes) = pane.typed(key) {
                effects.push(Effect::Ask(Request::Input(bytes)));
            }
            return;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('l') if control => effects.push(Effect::Repaint),
            KeyCode::Char('z') if control => effects.push(Effect::Suspend),
            KeyCode::Char('c') if control && self.dialog == Some(Dialog::Quit) => self.dialog = None,
            KeyCode::Char('c') if control => self.quit(effects),
            _ if self.dialog.is_some() => self.dialog_key(key, effects),
            _ if self.prompt.is_some() => self.prompt_key(key),
            _ if control && !matches!(key.code, KeyCode::Char('d' | 'u' | 'f' | 'b')) => {}
            _ => self.view_key(key, effects),
        }
    }

    fn quit(&mut self, effects: &mut Vec<Effect>) {
        self.prompt = None;
        match self.stage {
            // Asked for the second time: do not wait for a command that will not end.
            Stage::Leaving => effects.push(Effect::Quit(Outcome::Ending)),
            _ if self.command_runs() => self.dialog = Some(Dialog::Quit),
            _ => effects.push(Effect::Quit(Outcome::Done)),
        }
    }

    fn dialog_key(&mut self, key: KeyEvent, effects: &mut Vec<Effect>) {
        if let Some(Dialog::Findings(place)) = self.dialog {
            return self.findings_key(key, place);
        }
        if let Some(Dialog::Notes(at)) = self.dialog {
            return self.notes_key(key, at);
        }
        match (self.dialog, key.code) {
            (Some(Dialog::Quit), KeyCode::Char('d')) => {
                effects.push(Effect::Ask(Request::Detach));
                effects.push(Effect::Quit(Outcome::Detached));
            }
            (Some(Dialog::Quit), KeyCode::Char('e')) => {
                effects.push(Effect::Ask(Request::EndCommand));
                self.stage = Stage::Leaving;
                self.dialog = None;
            }
            (Some(Dialog::Help(line)), KeyCode::Down | KeyCode::Char('j')) => {
                self.dialog = Some(Dialog::Help((line + 1).min(keys::lines())));
            }
            (Some(Dialog::Help(line)), KeyCode::Up | KeyCode::Char('k')) => {
                self.dialog = Some(Dialog::Help(line.saturating_sub(1)));
            }
            (Some(Dialog::Help(line)), KeyCode::PageDown | KeyCode::Char(' ')) => {
                self.dialog = Some(Dialog::Help((line + 10).min(keys::lines())));
            }
            (Some(Dialog::Help(line)), KeyCode::PageUp) => {
                self.dialog = Some(Dialog::Help(line.saturating_sub(10)));
            }
            (Some(Dialog::Help(_)), KeyCode::Esc | KeyCode::Char('q' | '?') | KeyCode::Enter | KeyCode::F(1 | 10))
            | (Some(Dialog::Quit), KeyCode::Esc | KeyCode::Char('q')) => self.dialog = None,
            _ => {}
        }
    }

    fn prompt_key(&mut self, key: KeyEvent) {
        let Some(mut prompt) = self.prompt.take() else { return };
        match prompt.key(key) {
            Typed::More => self.prompt = Some(prompt),
            Typed::Cancelled => {}
            Typed::Done(Meant::Filter(filter)) if prompt.purpose == Purpose::Find => {
                self.list.find = Some(filter);
                self.find(true);
            }
            Typed::Done(Meant::Filter(filter)) => self.set_filter(filter),
            Typed::Done(Meant::Note(text)) => self.note(&text),
            Typed::Done(Meant::Place(place)) => self.jump_to(place),
        }
    }

    fn view_key(&mut self, key: KeyEvent, effects: &mut Vec<Effect>) {
        match key.code {
            KeyCode::Char('q') | KeyCode::F(10) => self.quit(effects),
            KeyCode::Char('?') | KeyCode::F(1) => self.dialog = Some(Dialog::Help(0)),
            KeyCode::Char(key) if View::by_key(key).is_some() => self.view = View::by_key(key).unwrap_or(self.view),
            KeyCode::Tab => self.view = self.view.next(true),
            KeyCode::BackTab => self.view = self.view.next(false),
            KeyCode::Char('!') => self.open_findings(),
            KeyCode::Char(' ' | 'p') => self.toggle_pause(),
            KeyCode::Char('/') | KeyCode::F(4) => {
                let text = self.list.filter.source().to_owned();
                self.prompt = Some(super::prompt::Prompt::new(Purpose::Filter, &text));
            }
            KeyCode::Char('f') if !key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.prompt = Some(super::prompt::Prompt::new(Purpose::Find, ""));
            }
            KeyCode::Char('n') => self.find(true),
            KeyCode::Char('N') => self.find(false),
            KeyCode::Char(':') => self.prompt = Some(super::prompt::Prompt::new(Purpose::Jump, "")),
            KeyCode::Char('b') if !key.modifiers.contains(KeyModifiers::CONTROL) => self.ask_note(),
            KeyCode::Char('B') => self.open_notes(),
            KeyCode::Char('\'') => self.seek_note(true),
            KeyCode::Char('"') => self.seek_note(false),
            KeyCode::Char('{') => self.change_speed(false),
            KeyCode::Char('}') => self.change_speed(true),
            KeyCode::Char('m') => self.seek_message(true),
            KeyCode::Char('M') => self.seek_message(false),
            KeyCode::Char('w') => self.seek_state(true),
            KeyCode::Char('W') => self.seek_state(false),
            KeyCode::Char('.') => self.step(true),
            KeyCode::Char(',') => self.step(false),
            KeyCode::Char('t') => self.focus_pane(),
            KeyCode::Char('T') => {
                if let Some(pane) = &mut self.pane {
                    pane.next_size();
                }
            }
            KeyCode::Char('<') => self.scroll_pane(true),
            KeyCode::Char('>') => self.scroll_pane(false),
            KeyCode::Esc if self.view == View::Events && !self.list.filter.source().is_empty() => {
                self.set_filter(crate::analyze::Filter::default());
            }
            KeyCode::Char('s') => self.show_signals(),
            KeyCode::Esc if self.view == View::Signals && self.show_all_signals() => {}
            KeyCode::Esc if self.view == View::Map => self.selection = Selection::default(),
            KeyCode::Backspace | KeyCode::Esc => self.view = View::Map,
            _ => match self.view {
                View::Map => self.map_key(key),
                View::Events => self.list_key(key),
                View::Timeline => self.timeline_key(key),
                View::Signals => self.signals_key(key),
            },
        }
    }

    fn focus_pane(&mut self) {
        let runs = self.command_runs();
        match &mut self.pane {
            Some(pane) if runs => pane.focus(),
            Some(_) => self.say("the command has ended"),
            None => self.say("no terminal here: the command was not started by ipcscope watch"),
        }
    }

    fn scroll_pane(&mut self, back: bool) {
        if let Some(pane) = &mut self.pane {
            pane.scroll(back);
        }
    }

    pub(super) fn toggle_pause(&mut self) {
        if self.paused {
            self.resume();
        } else {
            self.pause();
        }
    }

    /// Stops at this moment; what comes in meanwhile is kept, not shown.
    pub(super) fn pause(&mut self) {
        if self.paused {
            return;
        }
        let now = self.now();
        self.paused = true;
        if self.is_replay() {
            self.wishes.push(Request::Replay(Ask::Stop));
        }
        if self.list.follow || self.list.cursor(&self.log).is_none() {
            self.list.follow = false;
            let index = self.log.end().checked_sub(1);
            self.list.go(index, &self.log);
            self.seen = Some(Seen { index, world: self.live.clone(), now });
        } else {
            self.look();
        }
    }

    /// Goes on with the present.
    pub(super) fn resume(&mut self) {
        if self.is_replay() {
            return self.play_on();
        }
        self.paused = false;
        self.seen = None;
        let skipped = self.log.skipped();
        self.log.release(&self.live);
        if skipped > 0 {
            self.say(format!("{} events of the pause were not kept", super::words::count(skipped)));
            self.tracks.restart(&self.live);
        }
        self.tracks.trim(self.log.first());
        self.signals.instances.trim(self.log.first());
        self.list.refilter(&self.log);
        self.list.follow = true;
    }

    /// Brings the world at the cursor into view.
    pub(super) fn look(&mut self) {
        let index = self.list.cursor(&self.log);
        if self.list.follow && !self.paused {
            self.seen = None;
        } else if self.seen.as_ref().is_none_or(|seen| seen.index != index) {
            self.seen = index.and_then(|index| {
                let world = self.log.world_after(index)?;
                Some(Seen { index: Some(index), now: world.now, world })
            });
        }
    }

    /// One event forward or backward, in any view: time stands still meanwhile.
    fn step(&mut self, forward: bool) {
        let paused = self.paused;
        self.pause();
        if paused || !forward {
            let before = self.list.cursor(&self.log);
            self.list.step(forward, &self.log);
            if self.list.cursor(&self.log) == before {
                self.move_beyond(forward);
            }
        }
        self.look();
    }
}
