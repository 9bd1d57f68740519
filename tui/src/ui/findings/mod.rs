//! Findings, live: the same rules as `diagnose`, on everything that has come so far.
//!
//! A box over the view lists them (`!`); Enter goes to an event that shows one. Invariant: findings are of the present, not
//! of the moment that a paused view shows; what the log has dropped is said, not guessed. Tested by keys and screens.

mod view;

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent};

use super::{
    App,
    state::{Dialog, View},
};
use crate::{
    analyze::{Filter, Finding, Findings},
    event::{Event, Nanos},
    model::World,
};

pub(super) use view::draw;

/// Between two looks at what stands.
const LOOK: Duration = Duration::from_millis(250);

/// The rules at work, and what they have found.
#[derive(Debug, Default)]
pub(super) struct Watch {
    rules: Findings,
    pub(super) list: Vec<Finding>,
    looked: Option<Duration>,
}

/// Where the box is: which finding, and how many of its events have been gone to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) finding: usize,
    pub(super) evidence: usize,
}

impl Watch {
    /// With rules that have seen something.
    pub(super) fn new(rules: Findings) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Takes an event in, before `world` does.
    pub(super) fn apply(&mut self, world: &World, event: &Event) {
        self.rules.apply(world, event);
    }

    /// Looks, if it is time to: `wall` is that of the application.
    pub(super) fn look(&mut self, world: &World, now: Nanos, wall: Option<Duration>) {
        let due = self.looked.zip(wall).is_none_or(|(looked, wall)| wall.saturating_sub(looked) >= LOOK);
        if due {
            self.looked = wall;
            self.list = self.rules.at(world, now);
        }
    }
}

impl App {
    /// Opens the box.
    pub(super) fn open_findings(&mut self) {
        if self.findings.list.is_empty() {
            self.say("no findings so far");
        } else {
            self.dialog = Some(Dialog::Findings(Place::default()));
        }
    }

    /// A key while the box is open.
    pub(super) fn findings_key(&mut self, key: KeyEvent, place: Place) {
        let last = self.findings.list.len().saturating_sub(1);
        let at = |finding: usize| Some(Dialog::Findings(Place { finding: finding.min(last), evidence: 0 }));
        match key.code {
            KeyCode::Down | KeyCode::Char('j') => self.dialog = at(place.finding + 1),
            KeyCode::Up | KeyCode::Char('k') => self.dialog = at(place.finding.saturating_sub(1)),
            KeyCode::Home | KeyCode::Char('g') => self.dialog = at(0),
            KeyCode::End | KeyCode::Char('G') => self.dialog = at(last),
            KeyCode::Right | KeyCode::Left | KeyCode::Char('h' | 'l') => {
                let all = self.findings.list.get(place.finding).map_or(0, |finding| finding.evidence.len()).max(1);
                let step = if matches!(key.code, KeyCode::Right | KeyCode::Char('l')) { 1 } else { all - 1 };
                let evidence = (place.evidence + step) % all;
                self.dialog = Some(Dialog::Findings(Place { evidence, ..place }));
            }
            KeyCode::Enter => self.show_evidence(place),
            KeyCode::Esc | KeyCode::Char('q' | '!') => self.dialog = None,
            _ => {}
        }
    }

    /// To the event, in the list.
    fn show_evidence(&mut self, place: Place) {
        let seq =
            self.findings.list.get(place.finding).and_then(|finding| finding.evidence.get(place.evidence)).copied();
        let index =
            seq.and_then(|seq| self.log.before(self.log.end()).find(|(_, e)| e.seq == seq).map(|(index, _)| index));
        let Some(index) = index else {
            self.say("that event is no longer kept");
            return;
        };
        self.dialog = None;
        self.view = View::Events;
        if self.log.get(index).is_some_and(|event| !self.list.filter.matches(event)) {
            self.list.set_filter(Filter::default(), &self.log);
            self.say("the filter hid it and was dropped");
        }
        self.list.go(Some(index), &self.log);
        self.look();
    }
}
