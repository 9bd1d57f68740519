//! The state of the application.

use std::{process::ExitStatus, time::Duration};

use super::{
    clock::Clock,
    events::{List, Trail},
    findings,
    log::Log,
    map::Selection,
    message::Mode,
    message::Options,
    pane::Pane,
    playback::Playback,
    prompt::Prompt,
    signals::Signals,
    theme::Theme,
    timeline::Timeline,
    tracks::Tracks,
};
use crate::{
    analyze::Lines,
    event::{Ending, Event, Header, Nanos},
    model::World,
    source::Request,
};

/// How long a notice stays in the footer.
const NOTICE: Duration = Duration::from_secs(4);

/// Everything the application knows.
#[derive(Debug)]
pub struct App {
    pub(super) options: Options,
    pub(super) theme: Theme,
    pub(super) size: (u16, u16),
    pub(super) header: Option<Header>,
    /// The world after all events, paused or not.
    pub(super) live: World,
    pub(super) log: Log,
    /// The same events by thread and channel.
    pub(super) tracks: Tracks,
    /// Puts events into words, with the names it has learned.
    pub(super) lines: Lines,
    /// The rules of `diagnose` at work.
    pub(super) findings: findings::Watch,
    pub(super) clock: Clock,
    /// The world at the cursor, and its time, while paused or looking back.
    pub(super) seen: Option<Seen>,
    pub(super) paused: bool,
    pub(super) view: View,
    pub(super) selection: Selection,
    pub(super) list: List,
    pub(super) timeline: Timeline,
    pub(super) signals: Signals,
    pub(super) trail: Trail,
    pub(super) prompt: Option<Prompt>,
    pub(super) dialog: Option<Dialog>,
    pub(super) pane: Option<Pane>,
    pub(super) stage: Stage,
    pub(super) command: Option<ExitStatus>,
    pub(super) playback: Playback,
    /// What the source is to be asked.
    pub(super) wishes: Vec<Request>,
    pub(super) notice: Option<(String, Duration)>,
}

/// The world at a moment that is being looked at.
#[derive(Debug)]
pub(super) struct Seen {
    /// Right after that event, if it is about one.
    pub(super) index: Option<u64>,
    pub(super) world: World,
    pub(super) now: Nanos,
}

/// The views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Map,
    Events,
    Timeline,
    Signals,
}

impl View {
    /// All, in the order of their keys, with what the header calls them.
    pub(super) const ALL: [(Self, &'static str); 4] =
        [(Self::Map, "map"), (Self::Events, "events"), (Self::Timeline, "timeline"), (Self::Signals, "signals")];

    /// The one with that key: `1` is the first.
    pub(super) fn by_key(key: char) -> Option<Self> {
        let place = key.to_digit(10)?.checked_sub(1)?;
        Self::ALL.get(place as usize).map(|(view, _)| *view)
    }

    /// The one after it, or before it.
    pub(super) fn next(self, forward: bool) -> Self {
        let here = Self::ALL.iter().position(|(view, _)| *view == self).unwrap_or(0);
        let step = if forward { 1 } else { Self::ALL.len() - 1 };
        Self::ALL.get((here + step) % Self::ALL.len()).map_or(self, |(view, _)| *view)
    }
}

/// What lies over the views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialog {
    /// All keys, from that line on.
    Help(u16),
    /// What is wrong.
    Findings(findings::Place),
    /// What is noted: that one is selected.
    Notes(usize),
    /// The command is running: what is to become of it?
    Quit,
}

/// How far the source is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    Waiting,
    Running,
    /// The command was asked to end; leave as soon as it has.
    Leaving,
    Ended(Ending),
    Failed(String),
}

impl App {
    /// An application that has heard nothing yet, on a terminal of `size` columns and lines.
    pub fn new(options: Options, size: (u16, u16)) -> Self {
        Self {
            theme: Theme::new(options.color),
            size,
            header: None,
            live: World::new(),
            log: Log::new(options.kept_events),
            tracks: Tracks::default(),
            lines: Lines::new(),
            findings: findings::Watch::default(),
            clock: Clock::default(),
            seen: None,
            paused: false,
            view: View::Map,
            selection: Selection::default(),
            list: List::default(),
            timeline: Timeline::default(),
            signals: Signals::default(),
            trail: Trail::default(),
            prompt: None,
            dialog: None,
            pane: options.terminal_pane.then(Pane::default),
            stage: Stage::Waiting,
            command: None,
            playback: Playback::new(options.speed),
            wishes: Vec::new(),
            notice: None,
            options,
        }
    }

    /// The world to show: as it is, or as it was at the cursor while paused.
    pub(super) fn world(&self) -> &World {
        match &self.seen {
            Some(seen) if self.paused => &seen.world,
            _ => &self.live,
        }
    }

    /// The time of that world.
    pub(super) fn now(&self) -> Nanos {
        match &self.seen {
            Some(seen) if self.paused => seen.now,
            _ => self.present(),
        }
    }

    /// The time of the present, whatever is being looked at.
    pub(super) fn present(&self) -> Nanos {
        if self.is_live() { self.clock.now(self.live.now) } else { self.live.now }
    }

    /// Events may still come, in real time.
    pub(super) fn is_live(&self) -> bool {
        self.options.mode == Mode::Live && matches!(self.stage, Stage::Running | Stage::Leaving)
    }

    /// The command was started and has not ended.
    pub(super) fn command_runs(&self) -> bool {
        self.options.has_command && self.command.is_none() && !matches!(self.stage, Stage::Ended(_) | Stage::Failed(_))
    }

    /// Records lost so far; the source's own count at the end.
    pub(super) fn lost(&self) -> u64 {
        match &self.stage {
            Stage::Ended(ending) => ending.lost.max(self.live.lost),
            _ => self.live.lost,
        }
    }

    /// Views show the present.
    pub(super) fn follows(&self) -> bool {
        self.list.follow && !self.paused
    }

    /// The event under the cursor while paused: what has just happened in the world that is shown.
    pub(super) fn moment(&self) -> Option<&Event> {
        let index = self.seen.as_ref().filter(|_| self.paused)?.index?;
        self.log.get(index)
    }

    /// Says something in the footer for a while.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.notice = Some((text.into(), self.clock.wall()));
    }

    /// What is being said.
    pub(super) fn said(&self) -> Option<&str> {
        self.notice.as_ref().filter(|(_, at)| *at + NOTICE > self.clock.wall()).map(|(text, _)| text.as_str())
    }

    /// The source has not said that it is done.
    pub fn expects_more(&self) -> bool {
        !matches!(self.stage, Stage::Ended(_) | Stage::Failed(_))
    }

    /// Whether the picture changes by the mere passing of time.
    pub fn moves(&self) -> bool {
        self.is_live() && !self.paused || self.notice.is_some()
    }
}
