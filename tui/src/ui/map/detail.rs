//! Everything about what is selected on the map: a channel in the terms of the lecture, a process, or the whole.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    Selection,
    telling::{Teller, end, state_of},
};
use crate::{
    analyze::properties,
    event::{End, Nanos, Phase, SignalEvent, ThreadState, Verdict, number},
    model::{Channel, Hold, Process, ProcessKey, Side, SignalRow},
    ui::{
        App,
        screen::{Areas, draw_border},
        theme::glyph,
        words,
    },
};

/// From this width on, two numbers share a line.
const TIGHT: usize = 36;
const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Draws the details.
pub(super) fn draw(app: &App, teller: &Teller, frame: &mut Frame, areas: &Areas) {
    let area = areas.detail;
    if area.is_empty() {
        return;
    }
    // A strip under the map is read in two columns.
    let columns = if areas.wide { 1 } else { 2 };
    let room = (usize::from(area.width) / columns).saturating_sub(columns - 1);
    let (title, lines) = match &app.selection {
        Selection::Channel(id) => match teller.world.channels.get(id) {
            Some(channel) => (format!(" {id} "), teller.channel(channel, room)),
            None => (format!(" {id} "), vec![Line::raw("not there at this time")]),
        },
        Selection::Process(key) => match teller.world.processes.get(key) {
            Some(process) => (format!(" {} {} ", process.comm, process.number()), teller.process(process, room)),
            None => (" process ".to_owned(), vec![Line::raw("not there at this time")]),
        },
        Selection::Nothing => (" all together ".to_owned(), teller.all(room)),
    };
    draw_border(frame, area, areas.wide, Line::styled(title, app.theme.strong()), false, app.theme);
    if columns == 1 {
        frame.render_widget(Paragraph::new(lines), area);
        return;
    }
    let height = usize::from(area.height);
    let width = area.width / 2;
    for (column, part) in lines.chunks(height.max(1)).take(2).enumerate() {
        let part_area = Rect { x: area.x + column as u16 * (width + 1), width: width - u16::from(column > 0), ..area };
        frame.render_widget(Paragraph::new(part.to_vec()), part_area);
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 100 / u128::from(whole.max(1))).min(100) as u64
}

impl Teller<'_> {
    fn label(&self, name: &str, text: String) -> Line<'static> {
        Line::from(vec![Span::styled(format!("{name:<9}"), self.theme.dim()), Span::raw(text)])
    }

    fn who(&self, key: ProcessKey) -> String {
        self.world.processes.get(&key).map_or_else(|| "?".to_owned(), |p| format!("{} {}", p.comm, p.number()))
    }

    fn channel(&self, channel: &Channel, room: usize) -> Vec<Line<'static>> {
        let size = channel.capacity.map_or_else(|| "size unknown".to_owned(), words::bytes);
        let nature = properties(channel.mechanism);
        let mut lines = vec![Line::styled(format!("{}  {size}", nature.title), self.theme.strong())];
        lines.extend(words::wrap(&nature.words(), room).into_iter().map(Line::raw));
        lines.push(self.holders("writers", channel, true, room));
        lines.push(self.holders("readers", channel, false, room));
        let of = |used: Option<u64>, all: Option<u64>| match (used, all) {
            (Some(used), Some(all)) => format!("{used}/{all}"),
            (Some(used), None) => used.to_string(),
            _ => "?".to_owned(),
        };
        let slots = of(channel.slots_used.map(u64::from), channel.slots.map(u64::from));
        let slots = if channel.mechanism.is_socket() { String::new() } else { format!("  {slots} slots") };
        let fill = match (channel.fill, channel.depth) {
            (None, Some(depth)) => format!("{depth} queued"),
            _ => format!("{} B{slots}", of(channel.fill, channel.capacity)),
        };
        lines.push(self.label("fill", fill));
        let spark = self.spark(channel, room.saturating_sub(9).min(40));
        lines.push(Line::from(vec![Span::styled(format!("{:<9}", ""), self.theme.dim()), spark]));
        lines.extend(self.throughput(channel, room));
        let life = channel.gone.unwrap_or(self.now).since(channel.born);
        let share =
            |side, users: usize| percent(self.world.blocked(channel, side, self.now), life * users.max(1) as u64);
        let (writers, readers) =
            (share(Side::Send, channel.senders.len()), share(Side::Receive, channel.receivers.len()));
        if room >= TIGHT {
            lines.push(self.label("blocked", format!("writers {writers} %  readers {readers} %")));
        } else {
            lines.push(Line::raw(format!("writers blocked {writers:>3} % of time")));
            lines.push(Line::raw(format!("readers blocked {readers:>3} % of time")));
        }
        if channel.eof {
            lines.push(self.label("end", "a reader has seen end-of-file".to_owned()));
        }
        if channel.unknown > 0 {
            let text = format!("{} receives: senders not known", words::count(channel.unknown));
            lines.push(Line::styled(text, self.theme.alarm()));
        }
        lines
    }

    fn throughput(&self, channel: &Channel, room: usize) -> Vec<Line<'static>> {
        let total = |users: &std::collections::BTreeMap<ProcessKey, Hold>| -> (u64, Nanos) {
            (
                users.values().map(|hold| hold.bytes).sum(),
                users.values().map(|hold| hold.last).max().unwrap_or_default(),
            )
        };
        let ((sent, _), (received, last)) = (total(&channel.senders), total(&channel.receivers));
        let span = last.since(channel.born);
        let rate = if span > 0 { (received as f64 / (span as f64 / 1e9)) as u64 } else { 0 };
        let (sent, received, rate) = (words::bytes(sent), words::bytes(received), words::bytes(rate));
        if room >= TIGHT {
            vec![self.label("moved", format!("{sent} → {received}  {rate}/s"))]
        } else {
            vec![self.label("moved", format!("{sent} → {received}")), self.label("mean", format!("{rate}/s"))]
        }
    }

    fn holders(&self, name: &str, channel: &Channel, writing: bool, room: usize) -> Line<'static> {
        let users = if writing { &channel.senders } else { &channel.receivers };
        let mut texts: Vec<String> = Vec::new();
        for ((key, fd), end) in &channel.holders {
            if if writing { end.writes() } else { end.reads() } {
                let idle = if users.contains_key(key) { "" } else { " unused" };
                // Memory is attached, and what is done with it unseen.
                let how = if *fd < 0 { "attached".to_owned() } else { format!("fd {fd}{idle}") };
                texts.push(format!("{} {how}", self.who(*key)));
            }
        }
        for key in users.keys() {
            if !channel.holders.keys().any(|(holder, _)| holder == key) {
                texts.push(format!("{} (closed)", self.who(*key)));
            }
        }
        let text = if texts.is_empty() { "none".to_owned() } else { texts.join(", ") };
        self.label(name, words::fit(&text, room.saturating_sub(9)))
    }

    /// The course of the fill over the channel's life.
    fn spark(&self, channel: &Channel, columns: usize) -> Span<'static> {
        let (Some((start, _)), Some((end, _))) = (channel.history.front(), channel.history.back()) else {
            return Span::styled("no sample yet", self.theme.dim());
        };
        let span = end.since(*start).max(1);
        let top = channel.capacity.unwrap_or(channel.high_water).max(1);
        let mut most = vec![None; columns.max(1)];
        for (t, fill) in &channel.history {
            let at = (u128::from(t.since(*start)) * (columns.max(1) as u128 - 1) / u128::from(span)) as usize;
            if let Some(cell) = most.get_mut(at) {
                *cell = (*cell).max(Some(*fill));
            }
        }
        let mut text = String::new();
        let mut before = 0;
        for cell in most {
            before = cell.unwrap_or(before);
            let step = (u128::from(before) * 7).div_ceil(u128::from(top)).min(7) as usize;
            text.push_str(BARS.get(step).unwrap_or(&"?"));
        }
        Span::styled(text, self.theme.send())
    }

    fn process(&self, process: &Process, room: usize) -> Vec<Line<'static>> {
        let state = state_of(process);
        let mut lines = Vec::new();
        let argv = if process.argv.is_empty() { process.exe.clone() } else { process.argv.join(" ") };
        let argv = if argv.is_empty() { "program unknown".to_owned() } else { argv };
        lines.push(Line::styled(words::fit(&argv, room), self.theme.strong()));
        match (&process.ended, process.summary()) {
            (Some((t, exit)), _) => {
                let word = if process.is_reaped() { "ended" } else { "ZOMBIE, not reaped" };
                lines.push(Line::styled(format!("† {word}: {}", end(exit)), self.theme.state(state)));
                lines.push(self.label("ended", format!("{:.6} s", t.seconds())));
            }
            (None, Some(thread)) => {
                let word = thread.state.map_or("unknown", ThreadState::name);
                let since = words::duration(thread.current_stay(self.now));
                let doubt = if thread.uncertain { " (events lost)" } else { "" };
                let text = format!("{} {word} for {since}{doubt}", glyph(state));
                lines.push(Line::styled(text, self.theme.state(state)));
                if let Some(on) = thread.on.as_ref() {
                    let what = self.blocked(thread).into_iter().next().unwrap_or_default();
                    lines.push(self.label("in", words::fit(&what, room.saturating_sub(9))));
                    if let Some(channel) = &on.channel {
                        let fd = on.fd.map_or_else(String::new, |fd| format!(" fd {fd}"));
                        lines.push(self.label("on", format!("{channel}{fd}")));
                    }
                }
            }
            (None, None) => lines.push(Line::raw("? unknown")),
        }
        lines.push(self.shares(process));
        let parent = process.parent.map_or_else(|| "not traced".to_owned(), |key| self.who(key));
        lines.push(self.label("parent", parent));
        for (fd, (id, end)) in process.descriptors.iter().take(6) {
            let way = match end {
                End::R => "reads",
                End::W => "writes",
                End::Rw => "both",
            };
            lines.push(self.label(
                &if *fd < 0 { "memory".to_owned() } else { format!("fd {fd}") },
                words::fit(&format!("{way} {id}"), room.saturating_sub(9)),
            ));
        }
        let (sent, received) = (words::bytes(process.bytes_sent), words::bytes(process.bytes_received));
        lines.push(self.label("moved", format!("out {sent}  in {received}")));
        if process.threads.len() > 1 {
            lines.push(self.label("threads", process.threads.len().to_string()));
        }
        let own =
            self.world.signals.iter().rev().filter(|row| {
                row.steps.last().is_some_and(|(t, step)| step.to.pid == process.pid && *t >= process.born)
            });
        lines.extend(own.take(6).map(|row| self.signal(row, room)));
        lines
    }

    /// How a process's time divides among the states.
    fn shares(&self, process: &Process) -> Line<'static> {
        let spent = process.spent(self.now);
        let (life, _) = spent.split_at(5);
        let whole: u64 = life.iter().sum();
        let mut spans = vec![Span::styled(format!("{:<9}", "time"), self.theme.dim())];
        for (state, ns) in ThreadState::ALL.iter().zip(life).filter(|(_, ns)| **ns > 0) {
            let text = format!("{} {} %  ", glyph(Some(*state)), percent(*ns, whole));
            spans.push(Span::styled(text, self.theme.state(Some(*state))));
        }
        Line::from(spans)
    }

    fn all(&self, room: usize) -> Vec<Line<'static>> {
        let processes = &self.world.processes;
        let mut lines = Vec::new();
        // In one pass: there may be thousands that have ended.
        let mut counts = [0_usize; ThreadState::ALL.len()];
        for state in processes.values().filter_map(state_of) {
            let place = ThreadState::ALL.iter().position(|other| *other == state);
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
        }
        for (state, count) in ThreadState::ALL.into_iter().zip(counts) {
            if count > 0 {
                let word = if state == ThreadState::Dead { "ended" } else { state.name() };
                let text = format!("{} {word:<9}{:>6}", glyph(Some(state)), words::count(count as u64));
                lines.push(Line::styled(text, self.theme.state(Some(state))));
            }
        }
        let open = self.world.channels.values().filter(|channel| channel.gone.is_none()).count();
        let all = self.world.channels.len();
        lines.push(Line::raw(format!("  {:<9}{open:>6} open of {all}", "channels")));
        if !self.world.signals.is_empty() {
            lines.push(Line::styled("signals, the latest first", self.theme.dim()));
        }
        lines.extend(self.world.signals.iter().rev().take(12).map(|row| self.signal(row, room)));
        lines
    }

    fn signal(&self, row: &SignalRow, room: usize) -> Line<'static> {
        let Some((_, step)) = row.steps.last() else { return Line::default() };
        let text = format!("⚡{} → {}: {}", step.signal, self.name_of(step.to.pid), outcome(step));
        Line::styled(words::fit(&text, room), if is_over(step.phase) { Style::new() } else { self.theme.signal() })
    }

    fn name_of(&self, pid: u32) -> String {
        self.world.process(pid).map_or_else(|| number(pid).to_string(), |process| process.comm.to_string())
    }
}

fn is_over(phase: Phase) -> bool {
    !matches!(phase, Phase::Generated | Phase::Pending)
}

fn outcome(step: &SignalEvent) -> String {
    match (step.phase, step.delivery.verdict, step.delivery.action) {
        (phase, Some(verdict), _) if verdict != Verdict::None => format!("{}, {}", phase.name(), verdict.name()),
        (Phase::Delivered, _, Some(action)) => action.name().to_owned(),
        (phase, ..) => phase.name().to_owned(),
    }
}
