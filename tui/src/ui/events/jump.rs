//! From an event to its cause and to its effect, to the next match, and to the map; the keys of the list.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::{
    analyze::Filter,
    event::{ChannelChange, Event, Kind, Phase, ThreadState, WokenBy},
    ui::{App, log::Log, map::Selection, state::View},
};

/// The event that brought `event` about, if it is kept.
pub(super) fn cause(log: &Log, index: u64, event: &Event) -> Option<u64> {
    let back = |fits: &dyn Fn(&Event) -> bool| log.before(index).find(|(_, e)| fits(e)).map(|(i, _)| i);
    match &event.kind {
        Kind::Recv(recv) => {
            let op = recv.from.as_ref()?.first()?.op;
            let is_send = |e: &Event| matches!(&e.kind, Kind::Send(send) if send.call.op == op);
            // A send may return after the receive of its bytes, then its line comes later.
            back(&is_send).or_else(|| log.from(index + 1).find(|(_, e)| is_send(e)).map(|(i, _)| i))
        }
        Kind::Signal(signal) if signal.phase == Phase::Generated => match &signal.sender {
            Some(sender) if sender.kind == crate::event::SenderKind::Child => back(&|e| exits(e, sender.pid)),
            _ => back(&|e| matches!(&e.kind, Kind::Send(send) if signal.op == Some(send.call.op))),
        },
        Kind::Signal(signal) => back(&|e| matches!(&e.kind, Kind::Signal(before) if before.id == signal.id)),
        Kind::State(state) if state.to == ThreadState::Ready => match state.woken_by? {
            WokenBy::Task(task) => back(&|e| e.task == Some(task) && !matches!(e.kind, Kind::State(_))),
            WokenBy::Kernel => None,
        },
        Kind::State(state) if matches!(state.to, ThreadState::New) => {
            let task = event.task?;
            back(&|e| matches!(e.kind, Kind::Fork { child, .. } if child == task))
        }
        Kind::Exit(_) => {
            let task = event.task?;
            back(
                &|e| matches!(&e.kind, Kind::Signal(signal) if signal.phase == Phase::Delivered && signal.to.pid == task.pid),
            )
        }
        Kind::Channel(change) if change.event == ChannelChange::Inherited => {
            let task = event.task?;
            back(&|e| matches!(e.kind, Kind::Fork { child, .. } if child == task))
        }
        _ => None,
    }
}

/// What `event` brought about, if it is kept.
pub(super) fn effect(log: &Log, index: u64, event: &Event) -> Option<u64> {
    let on = |fits: &dyn Fn(&Event) -> bool| log.from(index + 1).find(|(_, e)| fits(e)).map(|(i, _)| i);
    match &event.kind {
        Kind::Send(send) => {
            let op = send.call.op;
            let got = |e: &Event| {
                matches!(&e.kind, Kind::Recv(recv) if recv.from.iter().flatten().any(|origin| origin.op == op))
                    || matches!(&e.kind, Kind::Signal(signal) if signal.op == Some(op))
            };
            on(&got).or_else(|| log.before(index).take(64).find(|(_, e)| got(e)).map(|(i, _)| i))
        }
        Kind::Signal(signal) => {
            let next = on(&|e| matches!(&e.kind, Kind::Signal(after) if after.id == signal.id));
            next.or_else(|| on(&|e| exits(e, Some(signal.to.pid))))
        }
        Kind::Fork { child, .. } => on(&|e| e.task == Some(*child)),
        Kind::Exit(_) => {
            let pid = event.task?.pid;
            on(&|e| {
                matches!(&e.kind, Kind::Signal(s)
                    if s.phase == Phase::Generated && s.sender.as_ref().is_some_and(|sender| sender.pid == Some(pid)))
            })
        }
        Kind::State(state) if state.to != ThreadState::Blocked => None,
        Kind::State(_) => on(&|e| e.task == event.task && matches!(e.kind, Kind::State(_))),
        _ => None,
    }
}

fn exits(event: &Event, pid: Option<u32>) -> bool {
    matches!(&event.kind, Kind::Exit(exit) if !exit.thread) && event.task.map(|task| task.pid) == pid
}

impl App {
    pub(in crate::ui) fn list_key(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let page = self.list.page();
        match key.code {
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
            KeyCode::Char('c') => self.jump(cause, "its cause is not among the events kept"),
            KeyCode::Char('e') => self.jump(effect, "no effect of it among the events kept"),
            _ => return,
        }
        self.look();
    }

    pub(in crate::ui) fn jump(&mut self, way: fn(&Log, u64, &Event) -> Option<u64>, failing: &str) {
        let Some(index) = self.list.cursor(&self.log) else { return };
        let Some(to) = self.log.get(index).and_then(|event| way(&self.log, index, event)) else {
            self.say(failing);
            return;
        };
        if self.log.get(to).is_some_and(|event| !self.list.filter.matches(event)) {
            self.list.set_filter(Filter::default(), &self.log);
            self.say("the filter hid it and was dropped");
        }
        self.list.go(Some(to), &self.log);
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
        match self.list.found(forward, &self.log) {
            Some(index) => {
                self.list.go(Some(index), &self.log);
                self.look();
            }
            None => self.say(if forward { "none further down" } else { "none further up" }),
        }
    }
}
