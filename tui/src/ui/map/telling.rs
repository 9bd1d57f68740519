//! What boxes and links say, in as many words as there is room for.

use std::collections::HashMap;

use ratatui::style::Style;

use super::graph::{Link, Node};
use crate::{
    event::{Cause, ChannelType, Exit, Nanos, Phase, ThreadState, WokenBy, number},
    model::{Channel, Process, Thread, World},
    ui::{
        theme::{Theme, glyph},
        words,
    },
};

/// How long a signal flashes at its receiver, ns.
const FLASH: u64 = 1_500_000_000;

/// What a box says.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub title: String,
    /// Its state.
    pub state: String,
    /// Why, or on what.
    pub reason: String,
    /// What it moved, or how it was called.
    pub more: String,
    pub style: Style,
    pub flash: Option<String>,
}

/// Everything that boxes and links need to be put into words.
pub(super) struct Teller<'a> {
    pub world: &'a World,
    pub now: Nanos,
    pub theme: Theme,
    flashes: HashMap<u32, String>,
}

/// The first of these that fits.
fn first_fit(room: usize, choices: &[String]) -> String {
    let fits = choices.iter().find(|text| words::width(text) <= room);
    fits.cloned().unwrap_or_else(|| choices.last().map(|text| words::fit(text, room)).unwrap_or_default())
}

/// What went through a process; before that, how it was called.
fn moved(process: &Process) -> String {
    match (process.bytes_received, process.bytes_sent) {
        (0, 0) => called(process),
        (received, 0) => format!("in {}", words::bytes(received)),
        (0, sent) => format!("out {}", words::bytes(sent)),
        (received, sent) => format!("in {}  out {}", words::bytes(received), words::bytes(sent)),
    }
}

/// How it was called; of the path of its program the last part, as a box has little room.
fn called(process: &Process) -> String {
    let Some((program, arguments)) = process.argv.split_first() else { return String::new() };
    let name = program.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(program);
    [&[name.to_owned()], arguments].concat().join(" ")
}

/// How a process ended.
pub(super) fn end(exit: &Exit) -> String {
    match (&exit.signal, exit.code) {
        (Some(signal), _) => format!("killed by {signal}{}", if exit.core { ", core" } else { "" }),
        (None, Some(code)) => format!("exit {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Its state as far as it is known: of its most active thread, or its end.
pub(super) fn state_of(process: &Process) -> Option<ThreadState> {
    if process.ended.is_some() {
        return Some(if process.is_reaped() { ThreadState::Dead } else { ThreadState::Zombie });
    }
    process.summary().and_then(|thread| thread.state)
}

impl<'a> Teller<'a> {
    /// Tells of `world` at `now`.
    pub(super) fn new(world: &'a World, now: Nanos, theme: Theme) -> Self {
        let mut flashes = HashMap::new();
        for row in world.signals.iter().rev().take(256) {
            let Some((t, step)) = row.steps.last() else { continue };
            if now.since(*t) <= FLASH && step.phase != Phase::Ignored {
                flashes.entry(step.to.pid).or_insert_with(|| step.signal.clone());
            }
        }
        Self { world, now, theme, flashes }
    }

    /// What a node's box says; lines of at most `room` columns.
    pub(super) fn node(&self, node: &Node, room: usize) -> Told {
        if let Some(host) = node.host {
            return Told {
                title: first_fit(room, &[format!(" host {host} "), format!("{host}")]),
                state: words::fit("@ not traced", room),
                style: self.theme.dim(),
                ..Told::default()
            };
        }
        let members: Vec<&Process> = node.members.iter().filter_map(|key| self.world.processes.get(key)).collect();
        let [process] = *members else { return self.several(&members, room) };
        let state = state_of(process);
        let (comm, number) = (process.comm.to_string(), process.number());
        let mut titles = vec![format!(" {comm} {number} "), format!("{comm} {number}")];
        // Of several hosts, which one it is matters more than its name.
        titles.extend(process.host.is_some().then_some(number));
        titles.push(comm);
        let told = Told {
            title: first_fit(room, &titles),
            style: self.theme.state(state),
            flash: self.flashes.get(&process.pid).cloned(),
            more: words::fit(&moved(process), room),
            ..Told::default()
        };
        if let Some((_, exit)) = &process.ended {
            let word = if process.is_reaped() { "ended" } else { "ZOMBIE" };
            let short = exit.signal.clone().unwrap_or_else(|| end(exit));
            let reason = first_fit(room, &[end(exit), format!("by {short}"), short]);
            return Told { state: format!("† {word}"), reason, ..told };
        }
        let Some(thread) = process.summary() else {
            return Told { state: "? unknown".to_owned(), ..told };
        };
        let word = thread.state.map_or("unknown", ThreadState::name);
        let doubt = if thread.uncertain { "?" } else { "" };
        let base = format!("{} {word}{doubt}", glyph(thread.state));
        let living = process.threads.values().filter(|thread| thread.is_alive()).count();
        let since = words::duration(thread.current_stay(self.now));
        let mut states = Vec::new();
        if living > 1 {
            states.push(format!("{base} 1 of {living}"));
        } else if thread.state == Some(ThreadState::Running) {
            states.extend(thread.cpu.map(|cpu| format!("{base} cpu{cpu}")));
        } else if thread.state.is_some() {
            states.push(format!("{base} {since}"));
        }
        states.push(base);
        let mut reasons = self.reasons(process, thread);
        if thread.state == Some(ThreadState::Running) {
            reasons.push(since);
        }
        let reason = if reasons.is_empty() { String::new() } else { first_fit(room, &reasons) };
        Told { state: first_fit(room, &states), reason, ..told }
    }

    /// The same for a box of one line of `room` columns: what is left beside the title is for the reason.
    pub(super) fn flat(&self, node: &Node, room: usize) -> Told {
        let title = self.node(node, room).title;
        let told = self.node(node, room.saturating_sub(words::width(title.trim()) + 3));
        Told { title, ..told }
    }

    /// Why a thread is in its state: the longest text first.
    fn reasons(&self, process: &Process, thread: &Thread) -> Vec<String> {
        match thread.state {
            Some(ThreadState::Blocked) => self.blocked(thread),
            Some(ThreadState::Ready) if thread.preempted => vec!["preempted".to_owned()],
            Some(ThreadState::Ready) => match thread.woken_by {
                Some(WokenBy::Task(task)) if task.pid == process.pid => vec!["woken by itself".to_owned()],
                Some(WokenBy::Task(task)) => {
                    let name = self.name(task.pid);
                    vec![format!("woken by {name}"), format!("by {name}")]
                }
                Some(WokenBy::Kernel) => vec!["woken by kernel".to_owned(), "by kernel".to_owned()],
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// What a BLOCKED thread waits for.
    pub(super) fn blocked(&self, thread: &Thread) -> Vec<String> {
        let Some(on) = &thread.on else { return Vec::new() };
        let Some(syscall) = on.syscall else {
            return vec![match on.cause {
                Cause::Fault => "page fault".to_owned(),
                Cause::Io => "device".to_owned(),
                Cause::Call => "in the kernel".to_owned(),
            }];
        };
        if let Some(pid) = on.waits_for {
            return {
                let number = number(pid);
                vec![format!("{syscall}: {} {number}", self.name(pid)), format!("{syscall}: {number}")]
            };
        }
        let Some(channel) = on.channel.as_ref() else {
            return match syscall {
                "wait4" | "waitid" => vec![format!("{syscall}: any child"), syscall.to_owned()],
                _ => vec![syscall.to_owned()],
            };
        };
        let kind = channel.0.split(':').next().unwrap_or_default();
        match self.world.channels.get(channel).and_then(Channel::level) {
            Some(level) if level >= 1.0 => {
                vec![format!("{syscall}: {kind} full"), format!("{syscall}: full"), syscall.to_owned()]
            }
            Some(level) if level <= 0.0 => {
                vec![format!("{syscall}: {kind} empty"), format!("{syscall}: empty"), syscall.to_owned()]
            }
            _ => vec![format!("{syscall}: {}", words::short(channel)), syscall.to_owned()],
        }
    }

    fn name(&self, pid: u32) -> String {
        self.world.process(pid).map_or_else(|| number(pid).to_string(), |process| process.comm.to_string())
    }

    fn several(&self, members: &[&Process], room: usize) -> Told {
        let comm = members.first().map_or_else(String::new, |process| process.comm.to_string());
        let mut counts: Vec<(ThreadState, usize)> = Vec::new();
        for state in [ThreadState::Running, ThreadState::Ready, ThreadState::Blocked, ThreadState::Stopped] {
            let count = members.iter().filter(|process| state_of(process) == Some(state)).count();
            if count > 0 {
                counts.push((state, count));
            }
        }
        let most = counts.iter().max_by_key(|(_, count)| *count).map(|(state, _)| *state);
        let ended = members.iter().filter(|process| process.ended.is_some()).count();
        let mut texts: Vec<String> = counts.iter().map(|(state, n)| format!("{} {n}", glyph(Some(*state)))).collect();
        if ended > 0 {
            texts.push(format!("† {ended}"));
        }
        let reason = most.map_or_else(String::new, |state| state.name().to_owned());
        let flash = members.iter().find_map(|process| self.flashes.get(&process.pid).cloned());
        Told {
            title: first_fit(room, &[format!(" {comm} ×{} ", members.len()), format!("{comm} ×{}", members.len())]),
            state: words::fit(&texts.join("  "), room),
            reason: if counts.len() > 1 { format!("most {reason}") } else { reason },
            more: String::new(),
            style: self.theme.state(most.or(Some(ThreadState::Dead))),
            flash,
        }
    }

    /// A link's name.
    pub(super) fn link_name(&self, link: &Link, room: usize) -> String {
        match &*link.members {
            [only] => words::fit(words::short(only), room),
            [first, ..] => {
                let kind = self.world.channels.get(first).map_or("?", |channel| channel.mechanism.name());
                let many = format!("×{}", link.members.len());
                let kind_room = room.saturating_sub(words::width(&many) + 1);
                first_fit(room, &[format!("{kind} {many}"), format!("{} {many}", words::fit(kind, kind_room))])
            }
            [] => String::new(),
        }
    }

    /// How full a link is, 0 to 1, and what to say about it; of several, the fullest.
    pub(super) fn link_fill(&self, link: &Link) -> (Option<f64>, String, Style) {
        // A link may be of ten thousand channels: each is found by its name once.
        let found: Vec<&Channel> = link.members.iter().filter_map(|id| self.world.channels.get(id)).collect();
        let channels = || found.iter().copied();
        let level = channels()
            .filter_map(Channel::level)
            .fold(None, |most: Option<f64>, level| Some(most.map_or(level, |most| most.max(level))));
        // Where nobody knows how much there is room for, it can still be empty.
        let fill: Option<u64> = channels().map(|channel| channel.fill).sum();
        let depth: Option<u64> = channels().map(|channel| channel.depth).sum();
        let level = level.or_else(|| (fill == Some(0) || depth == Some(0)).then_some(0.0));
        let percent = level.map(|level| if level >= 1.0 { 100 } else { ((level * 100.0).ceil() as u64).min(99) });
        let style = self.theme.fill(percent);
        if channels().all(|channel| channel.gone.is_some()) {
            return (level, "closed".to_owned(), self.theme.dim());
        }
        match channels().next().map(|channel| channel.mechanism) {
            Some(ChannelType::Shm) => {
                let held: usize = channels().map(|channel| channel.holders.len()).sum();
                return (None, format!("{held}× attached"), style);
            }
            Some(ChannelType::SysvSem) => return (None, "semaphores".to_owned(), style),
            Some(ChannelType::Memfd) => return (None, "memory".to_owned(), style),
            // Nobody holds an end of these.
            Some(
                mechanism @ (ChannelType::Futex
                | ChannelType::Pty
                | ChannelType::Eventfd
                | ChannelType::Signalfd
                | ChannelType::Timerfd
                | ChannelType::Pidfd),
            ) => return (None, mechanism.name().to_owned(), style),
            _ => {}
        }
        // No descriptor belongs to a System V queue, nor to the address that datagrams are sent to.
        let no_ends = channels().all(|c| matches!(c.mechanism, ChannelType::SysvMq | ChannelType::Udp));
        let (mut reads, mut writes) = (no_ends, no_ends);
        for end in channels().flat_map(|channel| channel.holders.values()) {
            reads |= end.reads();
            writes |= end.writes();
        }
        let had_readers = channels().any(|channel| !channel.receivers.is_empty());
        let had_writers = channels().any(|channel| !channel.senders.is_empty());
        let word = match percent {
            _ if !reads && had_readers => return (level, "no reader".to_owned(), self.theme.alarm()),
            Some(0) | None if !writes && had_writers => "eof".to_owned(),
            Some(0) => "empty".to_owned(),
            Some(100..) => return (level, "full".to_owned(), self.theme.alarm()),
            Some(percent) => format!("{percent} %"),
            None => match (fill, depth) {
                (Some(fill), _) => words::bytes(fill),
                (None, Some(depth)) => format!("{depth} msg"),
                (None, None) => "?".to_owned(),
            },
        };
        (level, word, style)
    }
}
