//! The list and the details, drawn. Only events in sight are put into words.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{fields, hexdump, links::Link};
use crate::{
    analyze,
    event::{Event, Kind, Role, shown},
    ui::{
        App,
        screen::{Areas, draw_border},
        theme::{Theme, glyph},
        words,
    },
};

/// Draws list and details.
pub(crate) fn draw(app: &App, frame: &mut Frame, areas: &Areas) {
    let mut title = vec![Span::styled(" events ", app.theme.strong())];
    if app.log.first() > 0 {
        title.push(Span::styled(format!("{} older ones dropped ", words::count(app.log.first())), app.theme.dim()));
    }
    if app.list.follow && !app.paused {
        title.push(Span::styled("following ", app.theme.good()));
    }
    if app.log.skipped() > 0 {
        let skipped = words::count(app.log.skipped());
        title.push(Span::styled(format!("{skipped} newer ones not kept "), app.theme.alarm()));
    }
    draw_border(frame, areas.view, areas.wide, Line::from(title), true, app.theme);
    list(app, frame, areas.view);
    detail(app, frame, areas);
}

fn list(app: &App, frame: &mut Frame, area: Rect) {
    let (rows, cursor) = app.list.shown(&app.log);
    if rows.is_empty() {
        let text = if app.log.is_empty() { "no event yet" } else { "no event kept matches the filter" };
        frame.render_widget(Line::styled(format!(" {text}"), app.theme.dim()), area);
    }
    for (y, row) in (area.y..area.bottom()).zip(rows) {
        let Some(event) = app.list.at(row, &app.log).and_then(|index| app.log.get(index)) else { continue };
        let found = app.list.find.as_ref().is_some_and(|find| find.matches(event));
        let line = line(app, event, found, usize::from(area.width), row == cursor);
        frame.render_widget(line, Rect { y, height: 1, ..area });
    }
}

fn line(app: &App, event: &Event, found: bool, room: usize, cursor: bool) -> Line<'static> {
    let theme = app.theme;
    let (mark, style) = mark(theme, event);
    let who = event.comm.map_or_else(String::new, |comm| comm.to_string());
    let pid = event.task.map_or_else(String::new, |task| shown(task.pid, event.host.as_ref()));
    let mut spans = vec![
        Span::styled(if found { "▸" } else { " " }, theme.signal()),
        Span::styled(format!("{:>10.6} ", event.t.seconds()), theme.dim()),
        Span::raw(format!("{pid:>7} ")),
        Span::styled(words::pad(&who, if room < 70 { 7 } else { 10 }), theme.strong()),
        Span::raw(" "),
        Span::styled(words::pad(mark, 3), style),
    ];
    let used: usize = spans.iter().map(Span::width).sum();
    let mut left = room.saturating_sub(used);
    for (role, text) in app.lines.spans(event) {
        let text = words::fit(&text, left);
        left -= words::width(&text).min(left);
        spans.push(Span::styled(text, theme.role(role)));
    }
    if !cursor {
        return Line::from(spans);
    }
    // One bar over the whole width, without the colours of its pieces.
    let text: String = spans.iter().map(|span| span.content.as_ref()).collect();
    Line::styled(words::pad(&text, room), theme.cursor())
}

fn mark(theme: Theme, event: &Event) -> (&'static str, Style) {
    match &event.kind {
        Kind::Fork { .. } => ("+", theme.life()),
        Kind::Exec(_) => ("▸", theme.life()),
        Kind::Exit(_) => ("†", theme.life()),
        Kind::State(state) => (glyph(Some(state.to)), theme.state(Some(state.to))),
        Kind::Channel(_) => ("·", theme.dim()),
        Kind::Send(send) if send.error.is_some() => ("→", theme.alarm()),
        Kind::Recv(recv) if recv.error.is_some() => ("←", theme.alarm()),
        Kind::Send(_) => ("→", theme.send()),
        Kind::Recv(_) => ("←", theme.recv()),
        Kind::Signal(_) | Kind::Disposition(_) | Kind::Dispositions(_) | Kind::Mask(_) => ("⚡", theme.signal()),
        Kind::Rpc(rpc) if rpc.role == Role::Error => ("⇐", theme.alarm()),
        Kind::Rpc(rpc) if rpc.role.is_answer() => ("⇐", theme.recv()),
        Kind::Rpc(_) => ("⇒", theme.send()),
        Kind::Lost(_) => ("!", theme.alarm()),
    }
}

fn detail(app: &App, frame: &mut Frame, areas: &Areas) {
    let area = areas.detail;
    if area.is_empty() {
        return;
    }
    let event = app.list.cursor(&app.log).and_then(|index| app.log.get(index));
    let title = event.map_or_else(String::new, |event| format!(" event {} ", event.seq));
    draw_border(frame, area, areas.wide, Line::styled(title, app.theme.strong()), false, app.theme);
    let Some(event) = event else { return };
    let world = app.seen.as_ref().map_or(&app.live, |seen| &seen.world);
    let room = usize::from(area.width);
    let mut lines = Vec::new();
    for sentence in analyze::explain(world, event) {
        lines.extend(words::wrap(&sentence, room).into_iter().map(|text| Line::styled(text, app.theme.strong())));
    }
    lines.push(Line::default());
    lines.extend(linked(app, event, room));
    if let Kind::Send(transfer) | Kind::Recv(transfer) = &event.kind
        && let Some(payload) = transfer.payload.as_ref().filter(|payload| !payload.is_empty())
    {
        let dump = hexdump::lines(payload, hexdump::per_line(room));
        lines.extend(dump.map(|text| Line::styled(text, app.theme.text())));
        lines.push(Line::default());
    }
    lines.extend(columns(app, event, room));
    frame.render_widget(Paragraph::new(lines), area);
}

/// What it came from, step by step, and what came of it.
fn linked(app: &App, event: &Event, room: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut lines = Vec::new();
    let mut tell = |mark: &str, link: &Link, strong: bool| {
        let Some(other) = app.log.get(link.index) else { return };
        let apart = if other.t <= event.t {
            format!("−{}", words::duration(event.t.since(other.t)))
        } else {
            format!("+{}", words::duration(other.t.since(event.t)))
        };
        let who = other.comm.map_or_else(String::new, |comm| comm.to_string());
        let mut spans = vec![
            Span::styled(format!("{mark} {apart:>8} "), theme.dim()),
            Span::styled(format!("{who} "), if strong { theme.strong() } else { theme.dim() }),
        ];
        let mut left = room.saturating_sub(spans.iter().map(Span::width).sum());
        for (role, text) in app.lines.spans(other) {
            let text = words::fit(&text, left);
            left -= words::width(&text).min(left);
            spans.push(Span::styled(text, theme.role(role)));
        }
        lines.push(Line::from(spans));
    };
    let trail = &app.trail;
    for cause in &trail.causes {
        tell("c ←", cause, true);
    }
    // The first cause is the beginning of the chain.
    for (depth, link) in trail.chain.iter().enumerate().skip(1) {
        tell(if depth == 1 { "  ⋮" } else { "   " }, link, false);
    }
    for effect in &trail.effects {
        tell("e →", effect, true);
    }
    if !lines.is_empty() {
        lines.push(Line::default());
    }
    lines
}

/// Fields, one to a line; two where there is room.
fn columns(app: &App, event: &Event, room: usize) -> Vec<Line<'static>> {
    let fields: Vec<_> = fields::fields(event).into_iter().filter(|(name, _)| name != "payload").collect();
    let names = fields.iter().map(|(name, _)| words::width(name)).max().unwrap_or(0).min(room / 2);
    let pairs = if room >= 76 { 2 } else { 1 };
    let each = room / pairs;
    let rows = fields.len().div_ceil(pairs);
    (0..rows)
        .map(|row| {
            let mut spans = Vec::new();
            for (name, value) in fields.iter().skip(row).step_by(rows) {
                spans.push(Span::styled(words::pad(name, names + 2), app.theme.dim()));
                spans.push(Span::raw(words::pad(value, each.saturating_sub(names + 2))));
            }
            Line::from(spans)
        })
        .collect()
}
