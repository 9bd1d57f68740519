//! The map, drawn: wires first, gauges and boxes over them.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{
    canvas::{Canvas, Weight},
    detail,
    graph::Graph,
    layout::{Gauge, Place, Plan, Scale},
    telling::{Teller, Told},
};
use crate::{
    event::ChannelType,
    model::Channel,
    ui::{
        App,
        screen::{Areas, draw_border},
        words,
    },
};

/// The plan of the map as it is drawn in `area`.
pub(super) fn plan(app: &App, area: Rect) -> Plan {
    Plan::new(|fold| Graph::new(app.world(), app.now(), fold), area.width, area.height)
}

/// Draws the map and the details of what is selected.
pub(crate) fn draw(app: &App, frame: &mut Frame, areas: &Areas) {
    let area = areas.view;
    let plan = plan(app, area);
    let teller = Teller::new(app.world(), app.now(), app.theme);
    draw_border(frame, area, areas.wide, title(app, &plan), true, app.theme);
    if plan.graph.nodes.is_empty() {
        let text = if app.log.is_empty() { " waiting for the first event" } else { " no process yet" };
        frame.render_widget(Line::styled(text, app.theme.dim()), area);
    }
    let origin = (
        scroll(plan.width, area.width, focus(app, &plan).map(|(x, _)| x), 2),
        scroll(plan.height, area.height, focus(app, &plan).map(|(_, y)| y), 3),
    );
    let mut canvas = Canvas::new(area, origin);
    let fills: Vec<Fill> = plan.graph.links.iter().map(|link| teller.link_fill(link)).collect();
    for wire in &plan.wires {
        let link = wire.link.and_then(|link| plan.graph.links.get(link));
        let fill = wire.link.and_then(|link| fills.get(link));
        let style = match link.zip(fill) {
            Some((link, _)) if link.members.iter().any(|id| app.selection.is_channel(id)) => app.theme.focus(),
            Some((_, fill)) => fill.2,
            None => app.theme.dim(),
        };
        let first = link.and_then(|link| app.world().channels.get(link.members.first()?));
        let is_queue = first.is_some_and(|c| matches!(c.mechanism, ChannelType::SysvMq | ChannelType::PosixMq));
        let weight = if is_queue && wire.weight == Weight::Heavy { Weight::Dashed } else { wire.weight };
        canvas.wire(&wire.corners, weight, style);
    }
    let buffer = frame.buffer_mut();
    canvas.draw(buffer);
    for (number, ((link, gauge), fill)) in plan.graph.links.iter().zip(&plan.gauges).zip(fills).enumerate() {
        draw_link(app, &teller, &canvas, buffer, &plan, (number, link, *gauge), fill);
    }
    let mut flashes = Vec::new();
    for (node, place) in plan.graph.nodes.iter().zip(&plan.places) {
        let selected = node.members.iter().any(|key| app.selection.is_process(*key));
        let flat = place.height == 1 || plan.scale.flat;
        let told = if flat { teller.flat(node, place.width as usize) } else { teller.node(node, plan.scale.text().0) };
        if flat {
            draw_flat(app, &told, &canvas, buffer, *place, selected);
        } else {
            draw_box(app, &told, &canvas, buffer, *place, plan.scale, selected);
            flashes.extend(told.flash.map(|signal| (signal, *place)));
        }
    }
    for wire in plan.wires.iter().filter(|wire| wire.link.is_none()) {
        if let Some((x, y)) = wire.corners.first().filter(|_| !plan.scale.flat_parents) {
            canvas.text(buffer, *x, *y, "┬", app.theme.dim());
        }
    }
    // Over the wires: a signal must be seen.
    for (signal, place) in flashes {
        draw_flash(app, &signal, &canvas, buffer, place, plan.scale);
    }
    detail::draw(app, &teller, frame, areas);
}

fn title(app: &App, plan: &Plan) -> Line<'static> {
    let mut spans = vec![Span::styled(" processes and channels ", app.theme.strong())];
    if plan.graph.ended > 0 {
        let text = format!("† {} ended not shown ", words::count(plan.graph.ended as u64));
        spans.push(Span::styled(text, app.theme.dim()));
    }
    if plan.graph.omitted > 0 {
        let text = format!("{} more not shown ", words::count(plan.graph.omitted as u64));
        spans.push(Span::styled(text, app.theme.alarm()));
    }
    Line::from(spans)
}

/// The middle of what is selected, in the plan.
fn focus(app: &App, plan: &Plan) -> Option<(i32, i32)> {
    plan.items().find(|item| item.selection == app.selection).map(|item| item.middle)
}

/// The first line or column to show: all if it fits, centred (a `part`-th of what is left before it), else around `at`.
fn scroll(extent: i32, room: u16, at: Option<i32>, part: i32) -> i32 {
    let room = i32::from(room);
    if extent <= room { -((room - extent) / part) } else { (at.unwrap_or(0) - room / 2).clamp(0, extent - room) }
}

type Numbered<'a> = (usize, &'a super::graph::Link, Gauge);

/// How full a link is, what to say about it, and how that looks.
type Fill = (Option<f64>, String, Style);

fn draw_link(
    app: &App,
    teller: &Teller,
    canvas: &Canvas,
    buffer: &mut Buffer,
    plan: &Plan,
    (number, link, gauge): Numbered,
    (level, word, style): Fill,
) {
    let scale = plan.scale;
    let selected = link.members.iter().any(|id| app.selection.is_channel(id));
    let style = if selected { app.theme.focus() } else { style };
    let cells = (scale.gauge - 2).max(1) as usize;
    let full = match level {
        Some(level) if level >= 1.0 => cells,
        Some(level) if level <= 0.0 => 0,
        Some(level) => ((level * cells as f64).round() as usize).clamp(1, cells.saturating_sub(1).max(1)),
        None => 0,
    };
    let kind = link.members.first().and_then(|id| app.world().channels.get(id)).map(|channel| channel.mechanism);
    let inner = if kind.is_some_and(|kind| matches!(kind, ChannelType::Shm | ChannelType::SysvSem)) {
        // Nothing is ever inside.
        "═".repeat(cells)
    } else if level.is_none() {
        // Something is in it, of how much there is room for nobody knows.
        let is_known = |channel: &Channel| channel.fill.or(channel.depth).is_some();
        let is_known = link.members.iter().all(|id| app.world().channels.get(id).is_some_and(is_known));
        if is_known { "▒".repeat(cells) } else { "?".repeat(cells) }
    } else if gauge.reversed {
        "░".repeat(cells - full) + &"█".repeat(full)
    } else {
        "█".repeat(full) + &"░".repeat(cells - full)
    };
    canvas.text(buffer, gauge.x, gauge.y, &format!("▐{inner}▌"), style);
    for wire in plan.wires.iter().filter(|wire| wire.link == Some(number)) {
        if let Some((x, y, to_left)) = wire.arrow {
            let head = match (to_left, wire.weight) {
                (true, Weight::Heavy | Weight::Dashed) => "◀",
                (true, Weight::Light) => "◁",
                (false, Weight::Heavy | Weight::Dashed) => "▶",
                (false, Weight::Light) => "▷",
            };
            canvas.text(buffer, x, y, head, style);
        }
    }
    for (missing, before) in [(link.writers.is_empty(), true), (link.readers.is_empty(), false)] {
        if missing {
            let x = if before == gauge.reversed { gauge.x + scale.gauge + 1 } else { gauge.x - 2 };
            canvas.text(buffer, x, gauge.y, "?", app.theme.signal());
        }
    }
    if scale.flat {
        let word = if word == "no reader" { "broken" } else { &word };
        canvas.text(buffer, gauge.x + scale.gauge, gauge.y, &words::fit(word, 6), style);
        return;
    }
    let centre = |text: &str| gauge.x + (scale.gauge - words::width(text) as i32) / 2;
    let room = (scale.gap - 2).max(1) as usize;
    let word = if words::width(&word) > room && word == "no reader" { "broken".to_owned() } else { word };
    let name = teller.link_name(link, room);
    let name_style = if selected { app.theme.tab() } else { app.theme.strong() };
    canvas.text(buffer, centre(&name), gauge.y - 1, &name, name_style);
    let word = words::fit(&word, room);
    canvas.text(buffer, centre(&word), gauge.y + 1, &word, style);
}

fn draw_box(app: &App, told: &Told, canvas: &Canvas, buffer: &mut Buffer, at: Place, scale: Scale, selected: bool) {
    let (width, (_, indent)) = (scale.width, scale.text());
    let inner = (width - 2).max(0) as usize;
    let [left_top, across, right_top, side, left_bottom, right_bottom] =
        if selected { ["┏", "━", "┓", "┃", "┗", "┛"] } else { ["┌", "─", "┐", "│", "└", "┘"] };
    let border = if selected { app.theme.focus() } else { told.style };
    let edge = |left: &str, right: &str| format!("{left}{}{right}", across.repeat(inner));
    canvas.text(buffer, at.x, at.y, &edge(left_top, right_top), border);
    canvas.text(buffer, at.x + 1, at.y, &told.title, app.theme.strong());
    for row in 1..at.height - 1 {
        canvas.text(buffer, at.x, at.y + row, side, border);
        canvas.text(buffer, at.x + 1, at.y + row, &" ".repeat(inner), app.theme.text());
        canvas.text(buffer, at.x + width - 1, at.y + row, side, border);
    }
    let bottom = at.y + at.height - 1;
    canvas.text(buffer, at.x, bottom, &edge(left_bottom, right_bottom), border);
    canvas.text(buffer, at.x + 1 + indent, at.y + 1, &told.state, told.style);
    canvas.text(buffer, at.x + 1 + indent, at.y + 2, &told.reason, app.theme.text());
    if scale.lines > 2 {
        canvas.text(buffer, at.x + 1 + indent, at.y + 3, &told.more, app.theme.dim());
    }
}

/// The signal that has just reached a process, at the bottom of its box.
fn draw_flash(app: &App, signal: &str, canvas: &Canvas, buffer: &mut Buffer, at: Place, scale: Scale) {
    let text = words::fit(&format!("⚡{signal} "), (scale.width - 2).max(0) as usize);
    let x = at.x + scale.width - 1 - words::width(&text) as i32;
    canvas.text(buffer, x, at.y + at.height - 1, &text, app.theme.flash());
}

fn draw_flat(app: &App, told: &Told, canvas: &Canvas, buffer: &mut Buffer, at: Place, selected: bool) {
    let room = at.width as usize;
    let mark = told.state.chars().next().unwrap_or('?');
    let why =
        if told.reason.is_empty() { told.state.get(mark.len_utf8()..).unwrap_or("").trim() } else { &told.reason };
    let why = if told.flash.is_some() { "" } else { why };
    let name = format!("{mark} {} ", told.title.trim());
    let style = if selected { app.theme.cursor() } else { told.style };
    canvas.text(buffer, at.x, at.y, &words::pad(&(name.clone() + &why.replace(": ", ":")), room), style);
    for row in 1..at.height {
        canvas.text(buffer, at.x, at.y + row, &words::pad("", room), app.theme.text());
    }
    if let Some(signal) = &told.flash {
        let text = words::fit(&format!("⚡{signal}"), room);
        let behind = words::width(&name).min(room - words::width(&text)) as i32;
        canvas.text(buffer, at.x + behind, at.y, &text, app.theme.flash());
    }
}
