//! What is written between lanes: deeds at their time, in words where there is room, and arrows for signals, calls and
//! wake-ups.

use std::collections::BTreeMap;

use super::{axis::Axis, lanes::Lane};
use crate::{
    event::{
        Event, Kind, Nanos, Phase, Protocol, Role, Rpc, SenderKind, StateChange, Transfer, Verdict, WokenBy, number,
    },
    ui::{
        App,
        tracks::{Act, Deed, Exchange, Track},
        words,
    },
};

/// How a piece is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Send,
    Receive,
    Call,
    Signal,
    Life,
    Alarm,
    Dim,
}

/// A piece of a line of marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub column: usize,
    pub text: String,
    pub look: Look,
}

/// An arrow from one lane to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrow {
    pub column: usize,
    /// Numbers of the threads' tracks.
    pub from: u32,
    pub to: u32,
    pub look: Look,
}

/// The glyph of the deed that matters most in each column where there is one.
pub(super) fn deeds(track: &Track, axis: &Axis) -> BTreeMap<usize, (Act, &'static str, Look)> {
    let mut columns: BTreeMap<usize, (Act, &'static str, Look)> = BTreeMap::new();
    for act in track.acts_between(axis.left, axis.right()).filter(|act| act.deed != Deed::Channel) {
        let Some(column) = axis.column(act.t) else { continue };
        let (glyph, look) = match act.deed {
            Deed::Send => ("▸", Look::Send),
            Deed::Receive => ("◂", Look::Receive),
            Deed::Call => ("»", Look::Call),
            Deed::Answer => ("«", Look::Call),
            Deed::Fork => ("+", Look::Life),
            Deed::Exec => ("◆", Look::Life),
            Deed::SignalSent | Deed::SignalTaken => ("⚡", Look::Signal),
            Deed::Exit => ("†", Look::Life),
            Deed::Channel => continue,
        };
        let both =
            |before: Deed| matches!((before, act.deed), (Deed::Send, Deed::Receive) | (Deed::Receive, Deed::Send));
        columns
            .entry(column)
            .and_modify(|(first, shown, shown_look)| {
                if both(first.deed) {
                    *shown = "↔";
                } else if act.deed > first.deed {
                    (*first, *shown, *shown_look) = (*act, glyph, look);
                }
            })
            .or_insert((*act, glyph, look));
    }
    columns
}

/// A line of marks of at most `axis.columns`: every deed's glyph, words where nothing else is in the way.
pub(super) fn line(app: &App, track: &Track, axis: &Axis, now: Nanos) -> Vec<Mark> {
    let deeds = deeds(track, axis);
    let mut marks: Vec<Mark> = Vec::new();
    let mut taken = vec![false; axis.columns];
    for (column, (_, glyph, look)) in &deeds {
        marks.push(Mark { column: *column, text: (*glyph).to_owned(), look: *look });
        taken.iter_mut().skip(*column).take(words::width(glyph)).for_each(|cell| *cell = true);
    }
    // What matters most gets its words first.
    let mut wanted: Vec<_> = deeds.into_iter().collect();
    wanted.sort_by_key(|(column, (act, ..))| (std::cmp::Reverse(act.deed), *column));
    for (column, (act, glyph, look)) in wanted {
        let start = column + words::width(glyph);
        let room = taken.iter().skip(start).take_while(|cell| !**cell).count();
        if room < 4 {
            continue;
        }
        let Some(event) = app.log.get(act.index) else { continue };
        let (text, alarm) = told(app, event);
        put(&mut marks, &mut taken, start, &text, if alarm { Look::Alarm } else { look });
    }
    for span in track.spans(axis.left, axis.right().min(now)) {
        let Some(event) = span.stay.index.and_then(|index| app.log.get(index)) else { continue };
        let (Some(column), Kind::State(change)) = (axis.column(span.from), &event.kind) else { continue };
        let text = why(app, track, change);
        if !text.is_empty() {
            put(&mut marks, &mut taken, column, &text, Look::Dim);
        }
    }
    // How long a call lasts, where nothing is written.
    for exchange in exchanges(app, axis).filter(|exchange| exchange.caller == track.task) {
        let first = axis.column(exchange.called.max(axis.left)).unwrap_or(0);
        let end = axis.column(exchange.answered).unwrap_or(axis.columns);
        for (column, cell) in taken.iter_mut().enumerate().take(end).skip(first).filter(|(_, cell)| !**cell) {
            *cell = true;
            marks.push(Mark { column, text: "·".to_owned(), look: Look::Call });
        }
    }
    marks
}

/// Calls that are under way in the time in sight.
fn exchanges<'a>(app: &'a App, axis: &Axis) -> impl Iterator<Item = &'a Exchange> {
    app.tracks.exchanges(axis.left, axis.right()).take(4 * axis.columns)
}

/// Writes `text` from `start` on if it fits, with a blank behind it.
fn put(marks: &mut Vec<Mark>, taken: &mut [bool], start: usize, text: &str, look: Look) {
    let room = taken.iter().skip(start).take_while(|cell| !**cell).count();
    let ends = start + room >= taken.len();
    let width = words::width(text);
    if width == 0 || width + usize::from(!ends) > room {
        return;
    }
    taken.iter_mut().skip(start).take(width + 1).for_each(|cell| *cell = true);
    marks.push(Mark { column: start, text: text.to_owned(), look });
}

/// A deed in a word or two, and whether it failed.
fn told(app: &App, event: &Event) -> (String, bool) {
    let name = |pid: u32| process_name(app, pid, event.t);
    match &event.kind {
        Kind::Send(transfer) => moved(transfer, words::short(&transfer.channel)),
        Kind::Recv(transfer) if transfer.eof => ("eof".to_owned(), false),
        Kind::Recv(transfer) => match transfer.from.as_deref() {
            Some([first, rest @ ..]) if rest.iter().all(|origin| origin.pid == first.pid) => {
                moved(transfer, &format!("of {}", name(first.pid)))
            }
            _ => moved(transfer, words::short(&transfer.channel)),
        },
        Kind::Fork { child, thread } => {
            (if *thread { format!("thread {}", number(child.tid)) } else { number(child.pid).to_string() }, false)
        }
        Kind::Exec(exec) => (exec.exe.rsplit('/').next().unwrap_or(&exec.exe).to_owned(), false),
        Kind::Exit(exit) => match (&exit.signal, exit.code) {
            (Some(signal), _) => (format!("by {signal}"), true),
            (None, Some(code)) => (format!("exit {code}"), code != 0),
            (None, None) => (String::new(), false),
        },
        Kind::Signal(step) => {
            let name = step.signal.trim_start_matches("SIG").to_owned();
            let text = match (step.phase, step.delivery.verdict) {
                (Phase::Generated, _) => format!("{name}→{}", self::process_name(app, step.to.pid, event.t)),
                (_, Some(verdict)) if verdict != Verdict::None => format!("{name} {}", verdict.name()),
                (Phase::Delivered, _) => match step.delivery.action {
                    Some(action) => format!("{name} {}", action.name()),
                    None => name,
                },
                (phase, _) => format!("{name} {}", phase.name()),
            };
            (text, step.delivery.verdict == Some(Verdict::Eintr))
        }
        Kind::Rpc(rpc) => called(rpc),
        _ => (String::new(), false),
    }
}

/// What is called, `GET /`; what came of it and when, `200 OK 1.2 ms`.
fn called(rpc: &Rpc) -> (String, bool) {
    let method = rpc.method.as_deref().unwrap_or("?");
    // D-Bus: the member without its interface.
    let method = if rpc.protocol == Protocol::Dbus { method.rsplit('.').next().unwrap_or(method) } else { method };
    if !rpc.role.is_answer() {
        return (method.to_owned(), false);
    }
    let status = rpc.status.as_deref().map_or(method, |status| status.rsplit('.').next().unwrap_or(status));
    let latency = rpc.latency_ns.map_or_else(String::new, |ns| format!(" {}", words::duration(ns)));
    (format!("{status}{latency}"), rpc.role == Role::Error)
}

fn moved(transfer: &Transfer, other: &str) -> (String, bool) {
    match (transfer.error, transfer.bytes) {
        (Some(error), _) => (error.to_owned(), true),
        (None, Some(bytes)) => (format!("{} {other}", words::bytes(bytes)), false),
        (None, None) => (other.to_owned(), false),
    }
}

/// Why a state was entered.
fn why(app: &App, track: &Track, change: &StateChange) -> String {
    if change.preempted {
        return "preempted".to_owned();
    }
    match (change.woken_by, &change.on) {
        (Some(WokenBy::Task(task)), _) if task.pid == track.task.pid => "by itself".to_owned(),
        (Some(WokenBy::Task(task)), _) => format!("by {}", process_name(app, task.pid, app.now())),
        (Some(WokenBy::Kernel), _) => "by kernel".to_owned(),
        (None, Some(on)) => match (on.syscall, &on.channel) {
            (Some(call), Some(channel)) => format!("{call} {}", words::short(channel)),
            (Some(call), None) => call.to_owned(),
            (None, _) => match on.cause {
                crate::event::Cause::Fault => "page fault".to_owned(),
                crate::event::Cause::Io => "device".to_owned(),
                crate::event::Cause::Call => String::new(),
            },
        },
        _ => String::new(),
    }
}

fn process_name(app: &App, pid: u32, t: Nanos) -> String {
    app.tracks.of_at(pid, t).map_or_else(|| number(pid).to_string(), |track| track.name(t).to_string())
}

/// Arrows between the lanes shown, those that matter most first: signals, then calls with their answers, and wake-ups if
/// there are few enough to tell them apart.
pub(super) fn arrows(app: &App, lanes: &[Lane], axis: &Axis, now: Nanos) -> Vec<Arrow> {
    let shown = |number: u32| lanes.contains(&Lane::Thread(number));
    let by_tid: BTreeMap<u32, u32> = lanes
        .iter()
        .filter_map(|lane| if let Lane::Thread(number) = lane { Some(*number) } else { None })
        .filter_map(|number| Some((app.tracks.threads.get(&number)?.task.tid, number)))
        .collect();
    let (mut signals, mut wakes) = (Vec::new(), Vec::new());
    let most = axis.columns / 3;
    for (number, track) in app.tracks.threads.iter().filter(|(number, _)| shown(**number)) {
        for act in track.acts_between(axis.left, axis.right()).filter(|act| act.deed == Deed::SignalSent).take(most) {
            let Some(Kind::Signal(step)) = app.log.get(act.index).map(|event| &event.kind) else { continue };
            let is_sender = step.sender.as_ref().is_none_or(|sender| sender.kind != SenderKind::Kernel);
            let to = by_tid.get(&step.to.tid.unwrap_or(step.to.pid));
            if let (true, Some(column), Some(to)) = (is_sender, axis.column(act.t), to)
                && to != number
            {
                signals.push(Arrow { column, from: *number, to: *to, look: Look::Signal });
            }
        }
        for span in track.spans(axis.left, axis.right().min(now)).take(4 * axis.columns) {
            if span.from < axis.left || span.stay.state != Some(crate::event::ThreadState::Ready) {
                continue;
            }
            let Some(Kind::State(change)) = span.stay.index.and_then(|i| app.log.get(i)).map(|e| &e.kind) else {
                continue;
            };
            if let (Some(WokenBy::Task(waker)), Some(column)) = (change.woken_by, axis.column(span.from))
                && let Some(from) = by_tid.get(&waker.tid)
                && from != number
            {
                wakes.push(Arrow { column, from: *from, to: *number, look: Look::Dim });
            }
        }
    }
    let mut calls = Vec::new();
    for exchange in exchanges(app, axis) {
        let (Some(caller), Some(server)) = (by_tid.get(&exchange.caller.tid), by_tid.get(&exchange.server.tid)) else {
            continue;
        };
        for (t, from, to) in [(exchange.called, *caller, *server), (exchange.answered, *server, *caller)] {
            if let Some(column) = axis.column(t).filter(|_| t >= axis.left) {
                calls.push(Arrow { column, from, to, look: Look::Call });
            }
        }
    }
    for more in [calls, wakes] {
        if more.len() <= most {
            signals.extend(more);
        }
    }
    signals
}
