//! From an event to its cause and to its effect, to the next match, and to the map; the keys of the list.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::links::{Link, Links};
use crate::{
    analyze::Filter,
    event::Kind,
    source::replay::Target,
    ui::{App, map::Selection, state::View},
};

/// What the event under the cursor is linked to, found once for as long as nothing changes.
#[derive(Debug, Default)]
pub(in crate::ui) struct Trail {
    /// The event, and the end of the log then.
    of: Option<(u64, u64)>,
    pub causes: Vec<Link>,
    pub effects: Vec<Link>,
    pub chain: Vec<Link>,
    /// Where the last jump could have gone as well, and which of them was taken.
    others: Vec<u64>,
    taken: usize,
}

/// Which way to jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) enum Way {
    Cause,
    Effect,
}

impl App {
    pub(in crate::ui) fn links(&self) -> Links<'_> {
        Links { log: &self.log, tracks: &self.tracks }
    }

    /// Finds what the event under the cursor is linked to; not while events rush by.
    pub(in crate::ui) fn arrange_trail(&mut self) {
        let shown = self.view == View::Events && !self.follows();
        let of = self.list.cursor(&self.log).filter(|_| shown).map(|index| (index, self.log.end()));
        // What comes in later may be an effect; what was found stays.
        let known = match (self.trail.of, of) {
            (Some((index, _)), Some((now, _))) if index == now && !self.trail.effects.is_empty() => true,
            (before, now) => before == now,
        };
        if known {
            return;
        }
        self.trail.of = of;
        let index = of.map(|(index, _)| index);
        self.trail.causes = index.map(|index| self.links().causes(index)).unwrap_or_default();
        self.trail.effects = index.map(|index| self.links().effects(index)).unwrap_or_default();
        self.trail.chain = index.map(|index| self.links().chain(index)).unwrap_or_default();
    }

    /// Goes from an event to its cause or effect.
    pub(in crate::ui) fn jump(&mut self, from: Option<u64>, way: Way) {
        let Some(index) = from else { return };
        let links = match way {
            Way::Cause => self.links().causes(index),
            Way::Effect => self.links().effects(index),
        };
        let Some(first) = links.first() else {
            return self.say(match way {
                Way::Cause => "its cause is not among the events kept",
                Way::Effect => "no effect of it among the events kept",
            });
        };
        let (what, to) = (first.what, first.index);
        (self.trail.others, self.trail.taken) = (links.iter().map(|link| link.index).collect(), 0);
        self.show_in_list(to);
        if self.said().is_none_or(|said| !said.contains("filter")) {
            match links.len() - 1 {
                0 => self.say(what),
                others => self.say(format!("{what}; o: {others} more")),
            }
        }
    }

    /// To the next of those where the last jump could have gone.
    pub(in crate::ui) fn jump_other(&mut self) {
        if self.trail.others.len() < 2 {
            return self.say("the last c or e could only come here");
        }
        self.trail.taken = (self.trail.taken + 1) % self.trail.others.len();
        if let Some(index) = self.trail.others.get(self.trail.taken).copied() {
            self.show_in_list(index);
            self.say(format!("{} of {}", self.trail.taken + 1, self.trail.others.len()));
        }
    }
}

impl App {
    pub(in crate::ui) fn list_key(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let page = self.list.page();
        let before = self.list.cursor(&self.log);
        let forward = match key.code {
            KeyCode::Up | KeyCode::PageUp | KeyCode::Char('k') => Some(false),
            KeyCode::Char('b' | 'u') if control => Some(false),
            KeyCode::Down | KeyCode::PageDown | KeyCode::Char('j') => Some(true),
            KeyCode::Char('f' | 'd') if control => Some(true),
            _ => None,
        };
        match key.code {
            KeyCode::Home | KeyCode::Char('g') if self.is_replay() => return self.go_to(Target::Event(0)),
            KeyCode::End | KeyCode::Char('G') if self.is_replay() && self.paused => return self.go_to(Target::End),
            KeyCode::Up | KeyCode::Char('k') => self.list.shift(-1, &self.log),
            KeyCode::Down | KeyCode::Char('j') => self.list.shift(1, &self.log),
            KeyCode::PageUp => self.list.shift(-page, &self.log),
            KeyCode::Char('b') if control => self.list.shift(-page, &self.log),
            KeyCode::PageDown => self.list.shift(page, &self.log),
            KeyCode::Char('f') if control => self.list.shift(page, &self.log),
            KeyCode::Char('u') if control => self.list.shift(-page / 2, &self.log),
            KeyCode::Char('d') if control => self.list.shift(page / 2, &self.log),
            KeyCode::Home | KeyCode::Char('g') => self.list.shift(isize::MIN, &self.log),
            KeyCode::End | KeyCode::Char('G') if self.paused => self.list.shift(isize::MAX, &self.log),
            KeyCode::End | KeyCode::Char('G') => self.list.follow = true,
            KeyCode::Enter => self.show_on_map(),
            KeyCode::Char('c') => self.jump(self.list.cursor(&self.log), Way::Cause),
            KeyCode::Char('e') => self.jump(self.list.cursor(&self.log), Way::Effect),
            KeyCode::Char('o') => self.jump_other(),
            _ => return,
        }
        if let Some(forward) = forward.filter(|_| self.list.cursor(&self.log) == before) {
            self.move_beyond(forward);
        }
        self.look();
    }

    fn show_on_map(&mut self) {
        let Some(event) = self.list.cursor(&self.log).and_then(|index| self.log.get(index)) else { return };
        let process = |pid: u32| {
            let world = self.seen.as_ref().map_or(&self.live, |seen| &seen.world);
            let key = world.by_pid.get(&pid).copied();
            key.or_else(|| world.processes.values().rev().find(|p| p.pid == pid).map(|p| p.key))
        };
        let selection = match (event.channel(), &event.kind) {
            (Some(channel), Kind::Channel(_) | Kind::Send(_) | Kind::Recv(_)) => Selection::Channel(channel.clone()),
            (_, Kind::Signal(signal)) => process(signal.to.pid).map_or(Selection::Nothing, Selection::Process),
            _ => event.task.and_then(|task| process(task.pid)).map_or(Selection::Nothing, Selection::Process),
        };
        self.selection = selection;
        self.view = View::Map;
        if !self.list.follow {
            self.paused = true;
        }
    }

    pub(in crate::ui) fn set_filter(&mut self, filter: Filter) {
        let cursor = self.list.cursor(&self.log);
        self.list.set_filter(filter, &self.log);
        if !self.list.follow {
            self.list.go(cursor, &self.log);
        }
        if self.list.rows(&self.log) == 0 && !self.log.is_empty() {
            self.say("no event kept matches the filter");
        }
        self.look();
    }

    pub(in crate::ui) fn find(&mut self, forward: bool) {
        if self.list.find.is_none() {
            self.say("nothing to find yet: f asks for it");
            return;
        }
        let Some(wanted) = self.list.find.clone() else { return };
        self.seek(&wanted, forward, if forward { "none further down" } else { "none further up" });
    }
}
