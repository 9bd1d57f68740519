//! A recording: where in it the application is, how fast it plays, and ways to other moments.
//!
//! What is kept of it in the [`Log`](super::log::Log) is a window; whoever goes beyond asks the source, which answers with
//! another window ([`App::moved`]). Invariant: nothing here reads a file; a recording that stands still shows the world
//! right after the event under the cursor.

mod jump;
pub(super) mod notes;
mod strip;

use super::{
    App, findings,
    log::Log,
    message::Mode,
    signals,
    state::{Seen, Stage},
    tracks::Tracks,
};
pub(super) use jump::Place;
pub(super) use strip::draw;

use crate::{
    analyze::Filter,
    event::Nanos,
    source::{
        Request,
        replay::{Ask, Extent, Moved, Target},
    },
    trace::{Note, Outline},
};

/// The speeds that keys choose from.
const SPEEDS: [f64; 13] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0];
/// With fewer events before the cursor or behind it, more are asked for.
const NEAR: u64 = 128;

/// How a recording is played.
#[derive(Debug)]
pub(super) struct Playback {
    /// So many times as fast as it happened; 0: as fast as can be.
    pub(super) speed: f64,
    /// What is known of the whole.
    pub(super) extent: Extent,
    /// Where in time how much happens.
    pub(super) outline: Outline,
    /// What is noted, in order of time.
    pub(super) notes: Vec<Note>,
    /// The source was asked for something and has not answered yet.
    asked: bool,
}

impl Playback {
    pub(super) fn new(speed: f64) -> Self {
        Self { speed, extent: Extent::default(), outline: Outline::default(), notes: Vec::new(), asked: false }
    }

    /// The time of its end, as far as that is known.
    pub(super) fn length(&self) -> Nanos {
        Nanos(self.outline.last().max(self.extent.indexed.0))
    }
}

impl App {
    /// It is a recording, read by a source that can be asked.
    pub(super) fn is_replay(&self) -> bool {
        self.options.mode == Mode::Replay
    }

    pub(super) fn ask(&mut self, ask: Ask) {
        self.playback.asked |= !matches!(ask, Ask::Note(_) | Ask::Stop);
        self.wishes.push(Request::Replay(ask));
    }

    /// There are events of the recording that are not kept, on that side.
    fn has_more(&self, forward: bool) -> bool {
        self.is_replay() && if forward { self.expects_more() } else { self.log.first() > 0 }
    }

    /// That moment is in the recording, but not among what is kept of it.
    pub(super) fn is_beyond(&self, t: Nanos) -> bool {
        let first = self.log.get(self.log.first()).map_or(self.live.now, |event| event.t);
        self.has_more(false) && t < first || self.has_more(true) && t > self.live.now
    }

    /// The source has answered.
    pub(super) fn answered(&mut self) {
        self.playback.asked = false;
    }

    /// Another part of the recording is to be shown.
    pub(super) fn moved(&mut self, moved: Moved) {
        let cursor = moved.cursor();
        let Moved { first, scene, events, now, terminal, plays } = moved;
        self.log = Log::starting(self.options.kept_events, first);
        self.tracks = Tracks::default();
        self.tracks.restart(&scene.world);
        self.signals.instances = signals::Instances::default();
        self.list.clear();
        (self.live, self.lines) = (scene.world, scene.lines);
        self.findings = findings::Watch::new(scene.findings);
        if let Some(pane) = &mut self.pane {
            pane.rewrite(&terminal);
        }
        self.stage = Stage::Running;
        self.take_in(events);
        self.seen = None;
        (self.paused, self.list.follow) = (!plays, plays);
        if !plays {
            self.list.go(cursor, &self.log);
            self.seen = cursor.and_then(|index| {
                let world = self.log.world_after(index)?;
                Some(Seen { index: Some(index), now: now.max(world.now), world })
            });
            self.timeline.at = None;
        }
        let now = self.now();
        self.findings.look(&self.live, now, None);
    }

    /// Goes on playing from the event under the cursor.
    pub(super) fn play_on(&mut self) {
        let from = self.seen.as_ref().and_then(|seen| seen.index).or_else(|| self.list.cursor(&self.log));
        let speed = self.playback.speed;
        self.ask(Ask::Play { from, speed });
        // Else it goes on once the source has gone there.
        if from.is_none() {
            (self.paused, self.seen, self.list.follow) = (false, None, true);
        }
    }

    /// Faster or slower.
    pub(super) fn change_speed(&mut self, faster: bool) {
        if !self.is_replay() {
            return self.say("only a recording can be played faster or slower");
        }
        let speed = self.playback.speed;
        let next = if faster {
            SPEEDS.iter().find(|other| **other > speed * 1.01)
        } else {
            SPEEDS.iter().rev().find(|other| **other < speed * 0.99 || speed <= 0.0)
        };
        let Some(next) = next else {
            return self.say(if faster { "that is the fastest" } else { "that is the slowest" });
        };
        self.playback.speed = *next;
        if !self.paused {
            self.ask(Ask::Play { from: None, speed: *next });
        }
        self.say(format!("{next} times as fast as it happened"));
    }

    /// Goes to a place of the recording, or of what is kept of a live trace.
    pub(super) fn go_to(&mut self, target: Target) {
        if self.is_replay() {
            return self.ask(Ask::Go(target));
        }
        self.pause();
        let index = match target {
            Target::Event(event) => Some(event),
            Target::Seq(seq) => self.log.from(0).find(|(_, event)| event.seq >= seq).map(|(index, _)| index),
            Target::Time(t) => self.log.after(t).checked_sub(1),
            Target::End => self.log.end().checked_sub(1),
        };
        match index.filter(|index| self.log.get(*index).is_some()) {
            Some(index) => {
                self.list.go(Some(index), &self.log);
                self.look();
            }
            None => self.say("no event of then is kept"),
        }
    }

    /// To the next event that matches, or the one before: of those kept, else of the recording.
    pub(super) fn seek(&mut self, filter: &Filter, forward: bool, none: &str) {
        if !self.paused && self.list.follow {
            self.pause();
        }
        let listed = &self.list.filter;
        // Where the list is empty, what is looked at is the moment itself.
        let seen = || self.seen.as_ref().and_then(|seen| seen.index);
        let Some(cursor) = self.list.cursor(&self.log).or_else(seen) else { return };
        let fits = |(index, event): (u64, &_)| (filter.matches(event) && listed.matches(event)).then_some(index);
        let found =
            if forward { self.log.from(cursor + 1).find_map(fits) } else { self.log.before(cursor).find_map(fits) };
        match found {
            Some(index) => {
                self.list.go(Some(index), &self.log);
                self.look();
            }
            None if self.has_more(forward) => self.seek_beyond(filter.and(listed), forward),
            None => self.say(none),
        }
    }

    /// To the next send or receive, or the one before.
    pub(super) fn seek_message(&mut self, forward: bool) {
        let filter = Filter::parse("kind:send | kind:recv").unwrap_or_default();
        self.seek(&filter, forward, if forward { "no later message" } else { "no earlier message" });
    }

    /// To the next change of state of the process that is selected or under the cursor, or the one before.
    pub(super) fn seek_state(&mut self, forward: bool) {
        let selected = self.selection.key().and_then(|key| self.world().processes.get(&key)).map(|p| p.pid);
        let under = || self.list.cursor(&self.log).and_then(|index| self.log.get(index)?.task).map(|task| task.pid);
        let Some(pid) = selected.or_else(under) else { return self.say("select a process first") };
        let filter = Filter::parse(&format!("kind:state pid:{}", self.world().hosts.shown(pid))).unwrap_or_default();
        self.seek(
            &filter,
            forward,
            if forward { "no later change of its state" } else { "no earlier change of its state" },
        );
    }

    /// The cursor of the list was to move and could not: on into what is not kept.
    pub(super) fn move_beyond(&mut self, forward: bool) {
        if self.has_more(forward) && !self.playback.asked {
            if !self.paused {
                self.pause();
            }
            self.seek_beyond(self.list.filter.clone(), forward);
        }
    }

    /// What is kept was looked at: on from its end.
    fn seek_beyond(&mut self, filter: Filter, forward: bool) {
        let from = if forward { self.log.end().saturating_sub(1) } else { self.log.first() };
        self.ask(Ask::Find { filter, from, forward });
    }

    /// While it stands still there are always some events on either side of the cursor.
    pub(super) fn arrange_playback(&mut self) {
        if !self.is_replay() || !self.paused || self.playback.asked {
            return;
        }
        let Some(cursor) = self.list.cursor(&self.log) else {
            // It was stopped before anything came.
            if self.log.is_empty() && self.has_more(true) {
                self.ask(Ask::Go(Target::Event(0)));
            }
            return;
        };
        if self.has_more(true) && self.log.end() - cursor <= NEAR {
            self.ask(Ask::More);
        } else if self.has_more(false) && cursor - self.log.first() < NEAR {
            self.ask(Ask::Go(Target::Event(cursor)));
        }
    }
}
