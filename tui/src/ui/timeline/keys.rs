//! Keys of the timeline: its cursor is the moment that the whole application looks at.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{axis::Axis, axis::SCALES, lanes, lanes::Lane};
use crate::{
    event::{Nanos, Task},
    source::replay::Target,
    ui::{App, events::Way, screen, state::View, tracks::Deed},
};

impl App {
    pub(in crate::ui) fn timeline_key(&mut self, key: KeyEvent) {
        let area = screen::areas(self).view;
        let axis = self.axis(area);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let quarter = (axis.columns as i64 / 4).max(1);
        match key.code {
            KeyCode::Left | KeyCode::Char('h') => self.move_time(&axis, -1),
            KeyCode::Right | KeyCode::Char('l') => self.move_time(&axis, 1),
            KeyCode::PageUp | KeyCode::Char('H') => self.move_time(&axis, -quarter),
            KeyCode::PageDown | KeyCode::Char('L') => self.move_time(&axis, quarter),
            KeyCode::Char('b') if control => self.move_time(&axis, -quarter),
            KeyCode::Char('f') if control => self.move_time(&axis, quarter),
            KeyCode::Home | KeyCode::Char('g') if self.is_replay() => self.go_to(Target::Event(0)),
            KeyCode::Home | KeyCode::Char('g') => self.look_at(self.first_time()),
            KeyCode::End | KeyCode::Char('G') if self.is_replay() && self.paused => self.go_to(Target::End),
            KeyCode::End | KeyCode::Char('G') if self.paused => self.look_at(self.newest_time()),
            KeyCode::End | KeyCode::Char('G') => {
                self.list.follow = true;
                self.look();
            }
            KeyCode::Char('+' | '=') => self.zoom(&axis, axis.scale.saturating_sub(1)),
            KeyCode::Char('-' | '_') => self.zoom(&axis, (axis.scale + 1).min(SCALES.len() - 1)),
            KeyCode::Char('0') => self.zoom_to_all(&axis),
            KeyCode::Up | KeyCode::Char('k') => self.next_lane(&axis, false),
            KeyCode::Down | KeyCode::Char('j') => self.next_lane(&axis, true),
            KeyCode::Char('[') => self.step_in_lane(&axis, false),
            KeyCode::Char(']') => self.step_in_lane(&axis, true),
            KeyCode::Char('c') => self.jump(self.event_here(&axis), Way::Cause),
            KeyCode::Char('e') => self.jump(self.event_here(&axis), Way::Effect),
            KeyCode::Char('o') => self.jump_other(),
            KeyCode::Enter => match self.event_here(&axis) {
                Some(index) => {
                    self.show_in_list(index);
                    self.view = View::Events;
                }
                None => self.say("no event of this lane is kept"),
            },
            _ => {}
        }
    }

    /// Looks at that moment, in all views.
    fn look_at(&mut self, t: Nanos) {
        if self.is_beyond(t) {
            return self.go_to(Target::Time(t));
        }
        let t = t.clamp(self.first_time(), self.newest_time());
        let index = self.log.after(t).checked_sub(1).filter(|index| *index >= self.log.first());
        self.list.go(index.or_else(|| self.log.get(self.log.first()).map(|_| self.log.first())), &self.log);
        self.timeline.at = Some((t, self.list.cursor(&self.log)));
        self.look();
    }

    fn move_time(&mut self, axis: &Axis, cells: i64) {
        let step = axis.cell().saturating_mul(cells.unsigned_abs());
        let at = self.instant();
        let at = if cells < 0 { at.0.saturating_sub(step) } else { at.0.saturating_add(step) };
        self.look_at(Nanos(at));
    }

    fn zoom(&mut self, axis: &Axis, scale: usize) {
        if !self.follows() {
            let zoomed = axis.zoomed(scale, self.instant());
            self.timeline.left = zoomed.left;
        }
        (self.timeline.scale, self.timeline.shown) = (Some(scale), Some(scale));
    }

    fn zoom_to_all(&mut self, axis: &Axis) {
        let (first, last) = (self.first_time(), self.newest_time());
        let scale = Axis::fitting(first, last, axis.columns);
        self.zoom(axis, scale);
        self.timeline.left = Axis::new(first, scale, axis.columns).aligned(first);
    }

    /// The selected lane; if none is, the first one that is there.
    pub(super) fn lane(&self, axis: &Axis) -> Option<Lane> {
        let lanes = lanes::lanes(self, axis);
        match &self.timeline.lane {
            Some(lane) if lanes.contains(lane) => Some(lane.clone()),
            _ => lanes.into_iter().next(),
        }
    }

    fn next_lane(&mut self, axis: &Axis, down: bool) {
        let lanes = lanes::lanes(self, axis);
        let here = self.lane(axis).and_then(|lane| lanes.iter().position(|other| *other == lane)).unwrap_or(0);
        let next = if down { (here + 1).min(lanes.len().saturating_sub(1)) } else { here.saturating_sub(1) };
        self.timeline.lane = lanes.get(next).cloned();
    }

    /// The event of the selected lane at the cursor: that of the list if it is one of the lane, else what matters most in
    /// the cursor's cell, else the last one before.
    pub(super) fn event_here(&self, axis: &Axis) -> Option<u64> {
        let at = self.instant();
        let cell = (axis.aligned(at), Nanos(axis.aligned(at).0.saturating_add(axis.cell())));
        match self.lane(axis)? {
            Lane::Thread(number) => {
                let track = self.tracks.threads.get(&number)?;
                let listed = self.list.cursor(&self.log).filter(|_| !self.list.follow);
                let own = |index: u64| self.log.get(index).is_some_and(|event| event.task == Some(track.task));
                if let Some(index) = listed.filter(|index| own(*index)) {
                    return Some(index);
                }
                let acts = track.acts_between(cell.0, cell.1).filter(|act| act.deed != Deed::Channel);
                let act = acts.max_by_key(|act| (act.deed, act.index)).map(|act| act.index);
                let state =
                    || track.stays_from(cell.0).take_while(|stay| stay.t < cell.1).filter_map(|s| s.index).last();
                act.or_else(state).or_else(|| track.back(at).next()).filter(|index| self.log.get(*index).is_some())
            }
            Lane::Channel(id) => {
                let last = self.tracks.gauge(&id)?.at(Nanos(cell.1.0.saturating_sub(1)))?;
                self.log.get(last.index).map(|_| last.index)
            }
        }
    }

    fn step_in_lane(&mut self, axis: &Axis, forward: bool) {
        let Some(Lane::Thread(number)) = self.lane(axis) else {
            return self.say("[ and ] go through the events of a thread's lane: select one with ↑ ↓");
        };
        let Some(track) = self.tracks.threads.get(&number) else { return };
        let at = self.instant();
        let here = self.list.cursor(&self.log).unwrap_or_default();
        let next = if forward {
            let acts = track.acts_between(at, Nanos(u64::MAX)).map(|act| act.index).find(|index| *index > here);
            let state = track.stays_from(at).filter_map(|stay| stay.index).find(|index| *index > here);
            match (acts, state) {
                (Some(act), Some(state)) => Some(act.min(state)),
                (act, state) => act.or(state),
            }
        } else {
            // While following, the cursor is behind the newest event.
            let follows = self.follows();
            track.back(at).find(|index| *index < here || follows && *index == here)
        };
        match next.filter(|index| self.log.get(*index).is_some()) {
            Some(index) => self.show_in_list(index),
            None => self.say(if forward { "none further on in this lane" } else { "none further back in this lane" }),
        }
    }

    /// Looks at an event: the list's cursor goes there, and the timeline to its time and lane.
    pub(in crate::ui) fn show_in_list(&mut self, index: u64) {
        let Some(event) = self.log.get(index) else { return };
        let (task, t) = (event.task, event.t);
        if !self.list.filter.matches(event) {
            self.list.set_filter(crate::analyze::Filter::default(), &self.log);
            self.say("the filter hid it and was dropped");
        }
        self.list.go(Some(index), &self.log);
        self.timeline.at = None;
        if let Some(number) = task.and_then(|task| self.lane_of(task, t)) {
            self.timeline.lane = Some(Lane::Thread(number));
        }
        self.look();
    }

    fn lane_of(&self, task: Task, t: Nanos) -> Option<u32> {
        let mut numbers = self.tracks.threads.iter().rev();
        numbers.find(|(_, track)| track.task == task && track.born <= t).map(|(number, _)| *number)
    }
}
