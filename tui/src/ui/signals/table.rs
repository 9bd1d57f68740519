//! The table: a line for each instance, as many columns as there is room for.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{
    instance::Life,
    latency::{Latencies, latencies},
};
use crate::{
    event::{Nanos, Phase, SenderKind, SignalEvent, ThreadState, Verdict, number},
    ui::{App, theme::glyph, words},
};

/// What a column tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Id,
    Time,
    Signal,
    Route,
    Glyph,
    State,
    Phase,
    Action,
    Verdict,
    Outcome,
    Ready,
    Cpu,
    Delivery,
    Handler,
}

/// Columns with their heads and widths; the last one needs no blank behind it.
pub(super) fn columns(room: usize) -> Vec<(Column, &'static str, usize)> {
    let narrow = [
        (Column::Id, "#", 5),
        (Column::Signal, "signal", 9),
        (Column::Route, "sender → target", 22),
        (Column::Glyph, " ", 1),
        (Column::Outcome, "outcome", 18),
        (Column::Delivery, "deliver", 8),
        (Column::Handler, "handler", 8),
    ];
    let wide = [
        (Column::Id, "#", 5),
        (Column::Signal, "signal", 10),
        (Column::Route, "sender → target", 24),
        (Column::State, "target was", 10),
        (Column::Phase, "phase", 10),
        (Column::Action, "action", 9),
        (Column::Verdict, "verdict", 9),
        (Column::Ready, "READY", 7),
        (Column::Cpu, "CPU", 7),
        (Column::Delivery, "deliver", 7),
        (Column::Handler, "handler", 7),
    ];
    let widest = [
        (Column::Id, "#", 7),
        (Column::Time, "time", 14),
        (Column::Signal, "signal", 13),
        (Column::Route, "sender → target", 42),
        (Column::State, "target was", 11),
        (Column::Phase, "phase", 12),
        (Column::Action, "action", 12),
        (Column::Verdict, "verdict", 12),
        (Column::Ready, "to READY", 10),
        (Column::Cpu, "to CPU", 10),
        (Column::Delivery, "to delivery", 12),
        (Column::Handler, "in handler", 11),
    ];
    match room {
        ..115 => narrow.to_vec(),
        115..180 => wide.to_vec(),
        _ => widest.to_vec(),
    }
}

/// The heads.
pub(super) fn heads(room: usize, style: Style) -> Line<'static> {
    let texts: Vec<_> = columns(room).into_iter().map(|(_, head, width)| words::pad(head, width)).collect();
    Line::styled(texts.join(" "), style)
}

/// A line for an instance.
pub(super) fn line(app: &App, life: &Life, room: usize, selected: bool) -> Line<'static> {
    let theme = app.theme;
    let latencies = latencies(life, &app.tracks, &app.log);
    let mut spans = Vec::new();
    for (column, _, width) in columns(room) {
        let (text, style) = cell(app, life, &latencies, column, width);
        spans.push(Span::styled(words::pad(&text, width), style));
        spans.push(Span::raw(" "));
    }
    if !selected {
        return Line::from(spans);
    }
    let text: String = spans.iter().map(|span| span.content.as_ref()).collect();
    Line::styled(words::pad(&text, room), theme.cursor())
}

fn cell(app: &App, life: &Life, latencies: &Latencies, column: Column, width: usize) -> (String, Style) {
    let theme = app.theme;
    let Some((t, last)) = life.last() else { return (String::new(), Style::new()) };
    let generated = life.generated().map(|(_, step)| step);
    let state = generated.and_then(|step| step.target_state);
    let duration = |ns: Option<u64>| {
        let text = ns.map_or_else(String::new, |ns| if ns == 0 { "at once".to_owned() } else { words::duration(ns) });
        (text, theme.text())
    };
    match column {
        Column::Id => (format!("{:>4}", life.id.0), theme.dim()),
        Column::Time => {
            let first = life.steps.first().map_or(t, |(_, event, _)| event.t);
            (words::clock(first, true), theme.dim())
        }
        Column::Signal => (last.signal.clone(), theme.signal()),
        Column::Route => (route(app, life, width), theme.text()),
        Column::Glyph => (glyph(state).to_owned(), theme.state(state)),
        Column::State => match (generated, state) {
            (Some(_), Some(state)) => (format!("{} {}", glyph(Some(state)), state.name()), theme.state(Some(state))),
            _ => ("?".to_owned(), theme.dim()),
        },
        Column::Phase => (phase(last).to_owned(), if is_over(last) { theme.text() } else { theme.signal() }),
        Column::Action => (action(life).unwrap_or_default().to_owned(), theme.text()),
        Column::Verdict => verdict(life).map_or_else(
            || (String::new(), theme.text()),
            |verdict| {
                let style = if verdict == Verdict::Eintr { theme.alarm() } else { theme.good() };
                (if verdict == Verdict::None { "–".to_owned() } else { verdict.name().to_owned() }, style)
            },
        ),
        Column::Outcome => {
            let verdict = verdict(life).filter(|verdict| *verdict != Verdict::None);
            let text = match (verdict, last.phase, action(life)) {
                (Some(verdict), ..) => format!("{} {}", phase(last), verdict.name()),
                (None, Phase::Delivered, Some(action)) => action.to_owned(),
                (None, ..) => phase(last).to_owned(),
            };
            (text, if verdict == Some(Verdict::Eintr) { theme.alarm() } else { theme.text() })
        }
        Column::Ready => duration(latencies.ready),
        Column::Cpu => duration(latencies.cpu),
        Column::Delivery => duration(latencies.delivery),
        Column::Handler => duration(latencies.handler),
    }
}

/// Nothing more will become of it.
fn is_over(step: &SignalEvent) -> bool {
    !matches!(step.phase, Phase::Generated | Phase::Pending) || step.to.external
}

fn phase(step: &SignalEvent) -> &'static str {
    if step.to.external { "not traced" } else { step.phase.name() }
}

fn action(life: &Life) -> Option<&'static str> {
    life.steps.iter().rev().find_map(|(_, _, step)| step.delivery.action).map(crate::event::Action::name)
}

fn verdict(life: &Life) -> Option<Verdict> {
    life.steps.iter().rev().find_map(|(_, _, step)| step.delivery.verdict)
}

/// Who sent it, in a few words.
pub(super) fn sender(app: &App, step: &SignalEvent, t: Nanos) -> String {
    match step.sender.as_ref().map(|sender| (sender.kind, sender.pid, sender.tty.as_deref())) {
        Some((SenderKind::Process | SenderKind::Child, Some(pid), _)) => named(app, pid, t),
        Some((SenderKind::Child, None, _)) => "a child".to_owned(),
        Some((SenderKind::Kernel, ..)) => "kernel".to_owned(),
        Some((SenderKind::Timer, ..)) => "timer".to_owned(),
        Some((SenderKind::Terminal, _, tty)) => tty.map_or_else(|| "terminal".to_owned(), |tty| format!("tty {tty}")),
        Some((SenderKind::Process, None, _)) | None => "?".to_owned(),
    }
}

/// `wc 4712`.
pub(super) fn named(app: &App, pid: u32, t: Nanos) -> String {
    let number = app.world().hosts.shown(pid);
    match app.tracks.of_at(pid, t).map(|track| track.name(t).to_string()) {
        Some(name) if !name.is_empty() => format!("{name} {number}"),
        _ => number,
    }
}

/// `sh 4710 → wc 4712`; without the sender's number, then without the target's, where there is no room.
fn route(app: &App, life: &Life, width: usize) -> String {
    let Some((t, last)) = life.last() else { return String::new() };
    let from = life.generated().map_or_else(|| "?".to_owned(), |(t, step)| sender(app, step, t));
    let mut to = named(app, last.to.pid, t);
    if let Some(tid) = last.to.tid.filter(|tid| *tid != last.to.pid) {
        to = format!("{to}/{}", number(tid));
    }
    let many = life.generated().is_some_and(|(_, step)| step.multicast.is_some());
    let arrow = if many { "⇉" } else { "→" };
    let short = |name: &str| name.split(' ').next().unwrap_or(name).to_owned();
    let number = |name: &str| name.rsplit(' ').next().unwrap_or(name).to_owned();
    let mut texts = vec![format!("{from} {arrow} {to}")];
    // Of the same name, numbers tell them apart.
    if short(&from) == short(&to) {
        texts.push(format!("{from} {arrow} {}", number(&to)));
        texts.push(format!("{} {arrow} {}", number(&from), number(&to)));
    }
    texts.push(format!("{} {arrow} {to}", short(&from)));
    texts.push(format!("{} {arrow} {}", short(&from), short(&to)));
    let fitting = texts.iter().find(|text| words::width(text) <= width);
    fitting.or(texts.last()).cloned().unwrap_or_default()
}

/// A state with its glyph, for sentences.
pub(super) fn state(state: Option<ThreadState>) -> String {
    format!("{} {}", glyph(state), state.map_or("unknown", ThreadState::name))
}
