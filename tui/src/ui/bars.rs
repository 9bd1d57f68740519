//! The lines at the top and at the bottom: what is traced and how it stands, the filter, the keys.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use ratatui::{
    Frame,
    layout::{Alignment, Rect},
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use crate::event::shown;

use super::{
    App, keys,
    message::Mode,
    prompt::Purpose,
    state::{Stage, View},
    words,
};

fn width(spans: &[Span]) -> usize {
    spans.iter().map(Span::width).sum()
}

/// What is traced · how it stands · events per second · lost · views.
pub(super) fn header(app: &App, frame: &mut Frame, area: Rect) {
    let theme = app.theme;
    let room = usize::from(area.width);
    let mut right = vec![Span::raw("  "), status(app), Span::raw("  ")];
    if room < 76 {
        // The first to go.
    } else if app.is_live() && !app.paused {
        right.push(Span::raw(format!("{:>10}  ", words::rate(app.clock.rate()))));
    } else {
        // Of a recording more may be kept than has happened by the moment shown.
        let world = if app.is_replay() { app.world() } else { &app.live };
        right.push(Span::raw(format!("{} events  ", words::count(world.events))));
    }
    let lost = app.lost();
    right.push(Span::styled(
        format!("lost {}", words::count(lost)),
        if lost > 0 { theme.alarm() } else { Style::new() },
    ));
    right.push(Span::raw("  "));
    if !app.findings.list.is_empty() {
        let n = app.findings.list.len();
        let name = if n == 1 { " finding" } else { " findings" };
        let name = if room < 100 { "" } else { name };
        right.push(Span::styled(format!("! {n}{name}"), theme.alarm()));
        right.push(Span::raw("  "));
    }
    for (place, (view, name)) in View::ALL.into_iter().enumerate() {
        let (shown, number) = (app.view == view, place + 1);
        // Where there is little room, only the one that is shown has a name.
        let text = if shown || room >= 100 { format!(" {number} {name} ") } else { format!(" {number}") };
        right.push(Span::styled(text, if shown { theme.tab() } else { Style::new() }));
    }
    let left = room.saturating_sub(width(&right) + 1);
    let title = if app.options.title.is_empty() { "ipcscope" } else { &app.options.title };
    let name = if left > words::width(title) + 10 { "ipcscope  " } else { "" };
    let mut spans = vec![Span::raw(" "), Span::styled(name, theme.dim())];
    spans.push(Span::styled(words::pad(title, left.saturating_sub(name.len())), theme.strong()));
    spans.append(&mut right);
    frame.render_widget(Line::from(spans), area);
}

fn status(app: &App) -> Span<'static> {
    let theme = app.theme;
    let now = app.now();
    match (&app.stage, app.options.mode) {
        (Stage::Failed(_), _) => Span::styled("! failed", theme.alarm()),
        _ if app.paused => Span::styled(format!("‖ paused {}", words::clock(now, true)), theme.signal()),
        (Stage::Waiting, _) => Span::styled("○ starting", theme.dim()),
        (_, Mode::Replay) => Span::styled(format!("▶ replay {}", words::clock(now, true)), theme.focus()),
        (Stage::Leaving, _) => Span::styled(format!("● ending it {}", words::clock(now, false)), theme.alarm()),
        (Stage::Ended(_), _) => {
            let how = app.command.map_or_else(|| "ended".to_owned(), fate);
            Span::styled(format!("■ {how} {}", words::clock(now, false)), theme.focus())
        }
        (Stage::Running, Mode::Live) => match app.command {
            Some(status) => Span::styled(format!("● {} {}", fate(status), words::clock(now, false)), theme.focus()),
            None => Span::styled(format!("● live {}", words::clock(now, false)), theme.good()),
        },
    }
}

/// How a command ended, in two words.
fn fate(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => {
            let name = signal_hook::low_level::signal_name(signal);
            name.map_or_else(|| format!("killed by signal {signal}"), |name| format!("killed by {name}"))
        }
        (None, None) => "ended".to_owned(),
    }
}

/// The filter in force, and how many events pass it.
pub(super) fn filter(app: &App, frame: &mut Frame, area: Rect) {
    if area.is_empty() {
        return;
    }
    let line = Line::from(vec![
        Span::styled(" filter ", app.theme.signal()),
        Span::styled(app.list.filter.source().to_owned(), app.theme.strong()),
        Span::raw(format!(
            "  {} of {} events",
            words::count(app.list.rows(&app.log) as u64),
            words::count(app.log.len() as u64)
        )),
        Span::styled("  / changes it, Esc in the events drops it", app.theme.dim()),
    ]);
    frame.render_widget(line, area);
}

/// While paused: the event that has just happened.
pub(super) fn moment(app: &App, frame: &mut Frame, area: Rect) {
    let Some(event) = app.moment().filter(|_| !area.is_empty()) else { return };
    let who = event.comm.map_or_else(String::new, |comm| {
        let pid = event.task.map_or(0, |task| task.pid);
        format!("{comm} {}  ", shown(pid, event.host.as_ref()))
    });
    let mut spans = vec![
        Span::styled(" ‖ ", app.theme.signal()),
        Span::styled(format!("{:.6} ", event.t.seconds()), app.theme.dim()),
        Span::styled(who, app.theme.strong()),
    ];
    spans.extend(app.lines.spans(event).into_iter().map(|(role, text)| Span::styled(text, app.theme.role(role))));
    frame.render_widget(Line::from(spans), area);
}

/// The line to type a filter into, and under it what is wrong with it.
pub(super) fn prompt(app: &App, frame: &mut Frame, area: Rect) {
    let Some(prompt) = app.prompt.as_ref().filter(|_| area.height >= 2) else { return };
    let label = match prompt.purpose {
        Purpose::Filter => " filter / ",
        Purpose::Find => " find f ",
        Purpose::Jump => " go to : ",
        Purpose::Note => " note b ",
    };
    let room = usize::from(area.width).saturating_sub(label.len() + 1);
    let before: String = prompt.text().chars().take(prompt.cursor()).collect();
    // Long texts scroll so that the cursor stays in sight.
    let hidden = words::width(&before).saturating_sub(room);
    let text: String = prompt.text().chars().skip(hidden).collect();
    let line = Line::from(vec![Span::styled(label, app.theme.focus()), Span::raw(text)]);
    frame.render_widget(line, Rect { height: 1, ..area });
    let column = |characters: usize| {
        let text: String = prompt.text().chars().take(characters).collect();
        area.x + (label.len() + words::width(&text).saturating_sub(hidden)).min(usize::from(area.width) - 1) as u16
    };
    frame.set_cursor_position((column(prompt.cursor()), area.y));
    let Some(error) = prompt.error() else { return };
    let place = usize::from(column(error.column) - area.x);
    let room = usize::from(area.width);
    let mark = Line::styled(format!("{:place$}^", ""), app.theme.alarm());
    let mut under = vec![mark];
    if place + 2 + words::width(&error.message) <= room {
        under = vec![Line::styled(format!("{:place$}^ {}", "", error.message), app.theme.alarm())];
    } else {
        let lines = words::wrap(&error.message, room.saturating_sub(2));
        under.extend(lines.into_iter().map(|text| Line::styled(format!(" {text}"), app.theme.alarm())));
    }
    frame.render_widget(Paragraph::new(under), Rect { y: area.y + 1, height: area.height - 1, ..area });
}

/// The keys, or what there is to say.
pub(super) fn footer(app: &App, frame: &mut Frame, area: Rect) {
    let theme = app.theme;
    if let Stage::Failed(why) = &app.stage {
        frame.render_widget(Line::styled(format!(" tracing has stopped: {why}"), theme.alarm()), area);
        return;
    }
    if let Some(text) = app.said() {
        frame.render_widget(Line::styled(format!(" {text}"), theme.signal()), area);
        return;
    }
    let keys = if let Some(prompt) = &app.prompt {
        match prompt.purpose {
            Purpose::Jump => keys::JUMP,
            Purpose::Note => keys::NOTE,
            Purpose::Filter | Purpose::Find => keys::PROMPT,
        }
    } else if app.pane.as_ref().is_some_and(|pane| pane.focused) {
        keys::PANE
    } else {
        match app.view {
            View::Map => keys::MAP,
            View::Events => keys::EVENTS,
            View::Timeline => keys::TIMELINE,
            View::Signals => keys::SIGNALS,
        }
    };
    let gap = if area.width < 100 { " " } else { "  " };
    let mut spans = vec![Span::raw(" ")];
    for (key, what) in keys {
        let what = if *key == "Space" && app.paused { "go on" } else { what };
        spans.push(Span::styled(*key, theme.key()));
        spans.push(Span::raw(format!(" {what} {gap}")));
    }
    let mut used = width(&spans);
    // Whole entries only: those that do not fit are left out from the end, but never the way out.
    while used > usize::from(area.width) && spans.len() > 5 {
        let at = spans.len() - 6;
        used -= width(spans.get(at..at + 2).unwrap_or_default());
        spans.drain(at..at + 2);
    }
    frame.render_widget(Line::from(spans), area);
    if let Some(status) = app.command {
        let text = match status.signal() {
            Some(_) => format!(" the command was {} ", fate(status)),
            None => format!(" the command has ended: {} ", fate(status)),
        };
        if used + text.len() <= usize::from(area.width) {
            let line = Paragraph::new(Line::styled(text, theme.focus())).alignment(Alignment::Right);
            frame.render_widget(line, area);
        }
    }
}
