//! One line for the whole recording: how much happens when, and where in it this is.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use crate::{
    event::Nanos,
    ui::{App, words},
};

/// How high a column is.
const LEVELS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Draws it: speed, the density of events over time with the place in it, the end.
pub(in crate::ui) fn draw(app: &App, frame: &mut Frame, area: Rect) {
    if area.is_empty() {
        return;
    }
    let (theme, playback) = (app.theme, &app.playback);
    let length = playback.length().0.max(app.live.now.0).max(1);
    let now = app.now().0;
    let speed = if playback.speed > 0.0 { format!("{}x", playback.speed) } else { "max".to_owned() };
    let sign = if app.paused { "‖" } else { "▶" };
    let mut left = format!(" {sign} {speed:<6} ");
    if !playback.extent.complete && area.width >= 60 {
        let percent = (playback.extent.indexed.0 as f64 / length as f64 * 100.0).min(99.0);
        left = format!("{left}read {percent:.0} % ");
    }
    let right = format!(" {} of {} ", words::clock(Nanos(now), false), words::clock(Nanos(length), false));
    let columns = usize::from(area.width).saturating_sub(words::width(&left) + words::width(&right) + 2);
    let mut spans = vec![Span::styled(left, theme.strong()), Span::styled("│", theme.dim())];
    let heights = density(app, length, columns);
    let column = |t: u64| ((t as u128 * columns as u128 / u128::from(length)) as usize).min(columns.saturating_sub(1));
    let here = column(now);
    let noted: Vec<usize> = playback.notes.iter().map(|note| column(note.t.0)).collect();
    let known = column(playback.extent.indexed.0);
    for (place, height) in heights.into_iter().enumerate() {
        let mark = height.map_or(" ", |height| LEVELS.get(height).copied().unwrap_or("█"));
        let is_noted = noted.contains(&place);
        let mark = if is_noted { "◆" } else { mark };
        spans.push(if place == here {
            Span::styled("┃", theme.signal())
        } else if is_noted {
            Span::styled(mark, theme.signal())
        } else if place < here {
            Span::styled(mark, theme.focus())
        } else if place <= known || playback.extent.complete {
            Span::styled(mark, Style::new())
        } else {
            Span::styled(mark, theme.dim())
        });
    }
    spans.push(Span::styled("│", theme.dim()));
    spans.push(Span::styled(right, theme.strong()));
    frame.render_widget(Line::from(spans), area);
}

/// How much happens in each column, on a logarithmic scale; `None`: nothing.
fn density(app: &App, length: u64, columns: usize) -> Vec<Option<usize>> {
    let mut sums = vec![0.0_f64; columns];
    let width = length as f64 / columns.max(1) as f64;
    for stretch in &app.playback.outline.stretches {
        // A block is taken to be filled evenly.
        let (from, to) =
            (stretch.first as f64 / width, (stretch.last as f64 / width).max(stretch.first as f64 / width));
        let rate = f64::from(stretch.frames) / (to - from).max(1e-9);
        let last = (to as usize).min(columns.saturating_sub(1));
        for (column, sum) in sums.iter_mut().enumerate().take(last + 1).skip(from as usize) {
            let part = (to.min(column as f64 + 1.0) - from.max(column as f64)).max(0.0);
            *sum += if to - from < 1e-9 { f64::from(stretch.frames) } else { rate * part };
        }
    }
    let most = sums.iter().copied().fold(1.0, f64::max);
    let level = |sum: f64| (sum >= 0.5).then(|| ((sum + 1.0).ln() / (most + 1.0).ln() * 7.0).round() as usize);
    sums.into_iter().map(level).collect()
}
