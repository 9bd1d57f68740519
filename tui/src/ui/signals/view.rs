//! The signals, drawn: table, life of the selected instance, its target.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    life::{self, Look, Step},
    process, table,
};
use crate::{
    event::{Nanos, SignalId, Verdict},
    ui::{
        App,
        screen::{Areas, draw_border},
        words,
    },
};

/// Columns of a step's time and of what happened.
const TIME: usize = 9;

/// Draws table and details.
pub(crate) fn draw(app: &App, frame: &mut Frame, areas: &Areas) {
    let theme = app.theme;
    let ids = app.listed_signals();
    let mut title = vec![Span::styled(" signals ", theme.strong())];
    if let Some(pid) = app.signals.of {
        title.push(Span::styled(format!("of {} (Esc: all) ", table::named(app, pid, app.now())), theme.focus()));
    }
    title.push(Span::raw(format!("{} ", words::count(ids.len() as u64))));
    if app.signals.instances.dropped() > 0 {
        let dropped = words::count(app.signals.instances.dropped());
        title.push(Span::styled(format!("{dropped} older ones dropped "), theme.dim()));
    }
    if app.signals.selected.is_none() && app.follows() {
        title.push(Span::styled("following ", theme.good()));
    }
    draw_border(frame, areas.view, areas.wide, Line::from(title), true, theme);
    let selected = app.selected_signal(&ids);
    list(app, frame, areas.view, &ids, selected);
    let both = !areas.side.is_empty();
    if both || !app.signals.process {
        draw_life(app, frame, areas.detail, areas.wide, selected);
    }
    if both || app.signals.process {
        let area = if both { areas.side } else { areas.detail };
        draw_process(app, frame, area, areas.wide, selected);
    }
}

fn list(app: &App, frame: &mut Frame, area: Rect, ids: &[SignalId], selected: Option<SignalId>) {
    let Some(height) = usize::from(area.height).checked_sub(1) else { return };
    let room = usize::from(area.width);
    frame.render_widget(table::heads(room, app.theme.dim()), Rect { height: 1, ..area });
    let place = ids.iter().position(|id| Some(*id) == selected).unwrap_or(0);
    // The selected one with what came before it; the newest at the bottom while following.
    let top = (place + 1 + height / 4).min(ids.len()).saturating_sub(height);
    let lines: Vec<Line> = ids
        .iter()
        .skip(top)
        .take(height)
        .filter_map(|id| app.signals.instances.life(*id, &app.log, app.signals_until()))
        .map(|life| table::line(app, &life, room, Some(life.id) == selected))
        .collect();
    let lines = if ids.is_empty() { vec![Line::styled(" no signal so far", app.theme.dim())] } else { lines };
    frame.render_widget(Paragraph::new(lines), Rect { y: area.y + 1, height: area.height - 1, ..area });
}

fn draw_life(app: &App, frame: &mut Frame, area: Rect, wide: bool, selected: Option<SignalId>) {
    let theme = app.theme;
    let life = selected.and_then(|id| app.signals.instances.life(id, &app.log, app.signals_until()));
    let Some((life, (t, last))) = life.as_ref().and_then(|life| Some((life, life.last()?))) else {
        draw_border(frame, area, wide, Line::styled(" life of a signal ", theme.strong()), false, theme);
        return;
    };
    let from = life.generated().map_or_else(|| "?".to_owned(), |(t, step)| table::sender(app, step, t));
    let to = table::named(app, last.to.pid, t);
    let title = format!(" {} #{}  {from} ⚡▶ {to} ", last.signal, life.id.0);
    draw_border(frame, area, wide, Line::styled(title, theme.signal()), false, theme);
    if area.is_empty() {
        return;
    }
    let steps = life::steps(app, life);
    // From the first thing that is known of it: that may be the wake-up, of which the kernel tells first.
    let start = steps.iter().map(|step| step.t).min().unwrap_or(t);
    let room = usize::from(area.width);
    let whole = lines(app, &steps, start, room, true);
    // Rather cut a line than lose the last ones, which tell how it ended.
    let lines = if whole.len() > usize::from(area.height) { lines(app, &steps, start, room, false) } else { whole };
    let hidden = lines.len().saturating_sub(usize::from(area.height)) as u16;
    frame.render_widget(Paragraph::new(lines).scroll((hidden, 0)), area);
}

fn lines(app: &App, steps: &[Step], start: Nanos, room: usize, wrapped: bool) -> Vec<Line<'static>> {
    let theme = app.theme;
    let column = if room >= 90 { 30 } else { 25 };
    let left = room.saturating_sub(TIME + 2 + column + 1);
    let mut lines = Vec::new();
    for step in steps {
        let style = match step.look {
            Look::Signal => theme.signal(),
            Look::State(state) => theme.state(Some(state)),
            Look::Call => theme.strong(),
            Look::Verdict(Verdict::Eintr) => theme.alarm(),
            Look::Verdict(_) => theme.good(),
        };
        let mut parts = if wrapped { words::wrap(&step.more, left.max(8)) } else { vec![words::fit(&step.more, left)] };
        let first = if parts.is_empty() { String::new() } else { parts.remove(0) };
        // It was under way before the wake-up that it brought; how long is not told.
        let early = lines.is_empty() && step.t > start;
        let time = if early { "≤ 0 ns".to_owned() } else { words::duration(step.t.since(start)) };
        let time = format!("{time:>TIME$}  ");
        lines.push(Line::from(vec![
            Span::styled(time, theme.dim()),
            Span::styled(words::pad(&step.what, column), style),
            Span::raw(format!(" {first}")),
        ]));
        lines.extend(parts.into_iter().map(|part| Line::raw(format!("{:1$}{part}", "", TIME + 3 + column))));
    }
    lines
}

fn draw_process(app: &App, frame: &mut Frame, area: Rect, wide: bool, selected: Option<SignalId>) {
    let theme = app.theme;
    let pid = app.signals.of.or_else(|| {
        let life = app.signals.instances.life(selected?, &app.log, app.signals_until())?;
        life.last().map(|(_, step)| step.to.pid)
    });
    let process = pid.and_then(|pid| app.world().process(pid));
    let title = process.map_or_else(|| " target ".to_owned(), |p| format!(" {} {} and signals ", p.comm, p.number()));
    draw_border(frame, area, wide, Line::styled(title, theme.strong()), false, theme);
    if area.is_empty() {
        return;
    }
    let lines = match process {
        Some(process) => process::lines(app, process, usize::from(area.width)),
        None if pid.is_some() => vec![Line::styled("not traced, or not there at this time", theme.dim())],
        None => Vec::new(),
    };
    frame.render_widget(Paragraph::new(lines), area);
}
