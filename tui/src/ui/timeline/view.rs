//! The timeline, drawn cell by cell.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
};

use super::{
    axis::Axis,
    cells::{self, Fill},
    detail, label_columns,
    lanes::{self, Lane, Place},
    marks::{self, Look},
};
use crate::{
    event::{Nanos, ThreadState},
    ui::{
        App,
        screen::{Areas, draw_border},
        theme::{Theme, glyph},
        tracks::{Deed, Gauge, Track},
        words,
    },
};

const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Draws the timeline and what is at its cursor.
pub(crate) fn draw(app: &App, frame: &mut Frame, areas: &Areas) {
    let area = areas.view;
    let axis = app.axis(area);
    let lanes = lanes::lanes(app, &axis);
    let places = lanes::places(&lanes, app.timeline.top, area);
    let mut title = vec![
        Span::styled(" timeline ", app.theme.strong()),
        Span::raw(format!("one cell = {} ", words::duration(axis.cell()))),
    ];
    if app.follows() {
        title.push(Span::styled("following ", app.theme.good()));
    }
    if places.len() < lanes.len() {
        title.push(Span::styled(format!("lanes {} of {} ", places.len(), lanes.len()), app.theme.dim()));
    }
    draw_border(frame, area, areas.wide, Line::from(title), true, app.theme);
    if area.is_empty() {
        return;
    }
    let label = label_columns(area.width);
    let field = Rect { x: area.x + label, width: area.width - label.min(area.width), ..area };
    let mut canvas = Canvas { app, axis, field, label, buffer: frame.buffer_mut() };
    canvas.ticks();
    let now = app.newest_time();
    let selected_lane = app.lane(&axis);
    for (number, place) in &places {
        let Some(lane) = lanes.get(*number) else { continue };
        let selected = selected_lane.as_ref() == Some(lane);
        match lane {
            Lane::Thread(number) => {
                if let Some(track) = app.tracks.threads.get(number) {
                    canvas.thread(track, *place, selected, now);
                }
            }
            Lane::Channel(id) => {
                if let Some(gauge) = app.tracks.gauge(id) {
                    let gone = app.world().channels.get(id).and_then(|channel| channel.gone);
                    canvas.channel(gauge, *place, selected, gone.map_or(now, |gone| gone.min(now)));
                }
            }
        }
    }
    canvas.arrows(&lanes, &places, now);
    canvas.cursor(&places);
    if area.height >= 10 {
        canvas.legend(area.bottom() - 1, area);
    }
    if lanes.is_empty() {
        let text = "nothing is known of this time";
        canvas.buffer.set_string(area.x + 1, area.y + 1, text, app.theme.dim());
    }
    detail::draw(app, frame, areas, &axis);
}

struct Canvas<'a> {
    app: &'a App,
    axis: Axis,
    /// The columns of time.
    field: Rect,
    label: u16,
    buffer: &'a mut Buffer,
}

impl Canvas<'_> {
    fn theme(&self) -> Theme {
        self.app.theme
    }

    /// Writes within the columns of time, cut at their end.
    fn write(&mut self, column: usize, y: u16, text: &str, style: Style) {
        let room = self.axis.columns.saturating_sub(column);
        let text = words::fit(text, room);
        self.buffer.set_string(self.field.x + column as u16, y, text, style);
    }

    fn is_free(&self, column: usize, y: u16) -> bool {
        self.buffer.cell((self.field.x + column as u16, y)).is_some_and(|cell| cell.symbol() == " ")
    }

    /// The time at the left, then steps of a round number of cells.
    fn ticks(&mut self) {
        let (y, theme) = (self.field.y, self.theme());
        let first = format!("{} s", exact(self.axis.left, self.axis.cell()));
        self.buffer.set_string(self.field.x - self.label, y, words::pad(&first, usize::from(self.label)), theme.text());
        let every = if self.axis.columns >= 140 { 20 } else { 10 };
        for column in (every..self.axis.columns.saturating_sub(8)).step_by(every) {
            let text = format!("+{}", words::duration(self.axis.cell().saturating_mul(column as u64)));
            if words::width(&text) + 1 < every {
                self.write(column, y, &format!("╵{text}"), theme.dim());
            }
        }
    }

    fn name(&mut self, y: u16, name: &str, id: &str, style: Style, selected: bool) {
        let room = usize::from(self.label).saturating_sub(2);
        let name = words::fit(name, room.saturating_sub(words::width(id) + 1));
        let text = words::pad(&format!("{name} {id}"), room);
        let style = if selected { self.theme().cursor() } else { style };
        let mark = if selected { "▶" } else { " " };
        self.buffer.set_string(self.field.x - self.label, y, format!("{mark}{text}"), style);
    }

    fn thread(&mut self, track: &Track, place: Place, selected: bool, now: Nanos) {
        let theme = self.theme();
        let comm = track.name(self.axis.right()).to_string();
        let comm = if comm.is_empty() { "?".to_owned() } else { comm };
        self.name(place.y, &comm, &self.app.world().hosts.shown(track.task.tid), theme.strong(), selected);
        for (column, cell) in cells::states(track, &self.axis, now).iter().enumerate() {
            let shares = cell.shares();
            let Some(&(most, _)) = shares.first() else { continue };
            // A run too short to fill its cell is seen all the same, in the colour of what fills it.
            let ran = cell.ran() && most != Some(ThreadState::Running);
            let symbol = if ran { "•" } else { glyph(most) };
            self.write(column, place.y, symbol, theme.state(most));
        }
        let Some(y) = place.marks else {
            // Without a line for marks: those that must not be missed.
            for (column, (act, glyph, look)) in marks::deeds(track, &self.axis) {
                if act.deed >= Deed::SignalSent {
                    self.write(column, place.y, glyph, self.look(look));
                }
            }
            return;
        };
        for mark in marks::line(self.app, track, &self.axis, now) {
            self.write(mark.column, y, &mark.text, self.look(mark.look));
        }
    }

    fn look(&self, look: Look) -> Style {
        let theme = self.theme();
        match look {
            Look::Send => theme.send(),
            Look::Receive => theme.recv(),
            Look::Call => theme.call(),
            Look::Signal => theme.signal(),
            Look::Life => theme.life(),
            Look::Alarm => theme.alarm(),
            Look::Dim => theme.dim(),
        }
    }

    fn channel(&mut self, gauge: &Gauge, place: Place, selected: bool, now: Nanos) {
        let theme = self.theme();
        self.name(place.y, words::short(&gauge.id), "fill", theme.send(), selected);
        for (column, fill) in cells::fills(gauge, &self.axis, now).into_iter().enumerate() {
            let level = match fill {
                Fill::Nothing => continue,
                Fill::Unknown => {
                    self.write(column, place.y + place.height - 1, "?", theme.dim());
                    continue;
                }
                Fill::Level(level) => level,
            };
            let style = theme.fill(Some(u64::from(level).div_ceil(10).min(if level < 1000 { 99 } else { 100 })));
            // Steps of an eighth of a line; the last one is for what is really full, the first for what is really empty.
            let steps = 8 * place.height;
            let step = match level {
                0 => 0,
                1000.. => steps - 1,
                level => (level * (steps - 2) / 1000 + 1).min(steps - 2),
            };
            for line in 0..place.height {
                let y = place.y + place.height - 1 - line;
                let bar = match step.checked_sub(8 * line) {
                    None => continue,
                    Some(rest) => BARS.get(usize::from(rest.min(7))).unwrap_or(&"?"),
                };
                self.write(column, y, bar, style);
            }
        }
    }

    fn arrows(&mut self, lanes: &[Lane], places: &[(usize, Place)], now: Nanos) {
        let place_of = |number: u32| {
            let lane = lanes.iter().position(|lane| *lane == Lane::Thread(number))?;
            places.iter().find(|(shown, _)| *shown == lane).map(|(_, place)| *place)
        };
        // Lines that belong to states stay as they are.
        let states: Vec<u16> = places.iter().flat_map(|(_, place)| place.y..place.y + place.height).collect();
        for arrow in marks::arrows(self.app, lanes, &self.axis, now) {
            let (Some(from), Some(to)) = (place_of(arrow.from), place_of(arrow.to)) else { continue };
            let style = self.look(arrow.look);
            let (rows, head, head_at) =
                if from.y < to.y { (from.y + 1..to.y, "▼", to.y - 1) } else { (to.y + 1..from.y, "▲", to.y + 1) };
            for y in rows.filter(|y| !states.contains(y)) {
                if self.is_free(arrow.column, y) {
                    self.write(arrow.column, y, if y == head_at { head } else { "│" }, style);
                }
            }
        }
    }

    /// The time cursor: a column through all lanes.
    fn cursor(&mut self, places: &[(usize, Place)]) {
        let Some(column) = self.axis.column(self.app.instant()) else { return };
        let style = self.theme().focus();
        self.write(column, self.field.y, "▼", style);
        for (_, place) in places {
            for y in place.y..place.y + place.height {
                if let Some(cell) = self.buffer.cell_mut((self.field.x + column as u16, y)) {
                    cell.modifier |= Modifier::REVERSED;
                }
            }
        }
    }

    fn legend(&mut self, y: u16, area: Rect) {
        let theme = self.theme();
        let states =
            [ThreadState::Running, ThreadState::Ready, ThreadState::Blocked, ThreadState::Stopped, ThreadState::Zombie];
        let mut spans: Vec<Span> = Vec::new();
        for state in states {
            let name = if area.width >= 100 { state.name().to_owned() } else { state.name().to_lowercase() };
            spans.push(Span::styled(format!(" {} {name}", glyph(Some(state))), theme.state(Some(state))));
        }
        spans.push(Span::styled(" • ran briefly", theme.dim()));
        let has_calls = self.app.tracks.exchanges(self.axis.left, self.axis.right()).next().is_some();
        for (text, style) in [
            (" ▸ send", theme.send()),
            (" ◂ receive", theme.recv()),
            (if has_calls { " »« call, answer" } else { "" }, theme.call()),
            (" ⚡ signal", theme.signal()),
            (" + fork", theme.life()),
            (" ◆ exec", theme.life()),
            (" † exit", theme.life()),
            (" │ wakes", theme.dim()),
        ] {
            spans.push(Span::styled(text, style));
        }
        let mut left = usize::from(area.width);
        spans.retain(|span| {
            let fits = span.width() <= left;
            left = if fits { left - span.width() } else { 0 };
            fits
        });
        self.buffer.set_line(area.x, y, &Line::from(spans), area.width);
    }
}

/// A moment with as many digits as cells of that length need.
pub(super) fn exact(t: Nanos, cell: u64) -> String {
    let digits = match cell {
        0..1_000 => 9,
        1_000..1_000_000 => 6,
        1_000_000..1_000_000_000 => 3,
        _ => 0,
    };
    let text = format!("{}.{:09}", t.0 / 1_000_000_000, t.0 % 1_000_000_000);
    let cut = text.len() - 9 + digits;
    text.get(..cut).unwrap_or(&text).trim_end_matches('.').to_owned()
}
