//! What is at the cursor: the selected lane's state, since when and on what, and the event there.

use ratatui::{
    Frame,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{axis::Axis, cells, lanes::Lane, view::exact};
use crate::{
    analyze,
    event::{Blocked, Event, Kind, Nanos, StateChange, ThreadState, WokenBy},
    ui::{
        App,
        screen::{Areas, draw_border},
        theme::glyph,
        tracks::{Gauge, Track},
        words,
    },
};

/// Draws the strip under the lanes.
pub(super) fn draw(app: &App, frame: &mut Frame, areas: &Areas, axis: &Axis) {
    let area = areas.detail;
    if area.is_empty() {
        return;
    }
    let at = app.instant();
    let room = usize::from(area.width);
    let (name, mut lines) = match app.lane(axis) {
        Some(Lane::Thread(number)) => match app.tracks.threads.get(&number) {
            Some(track) => (
                format!("{} {}", track.name(at), app.world().hosts.shown(track.task.tid)),
                thread(app, track, at, axis),
            ),
            None => (String::new(), Vec::new()),
        },
        Some(Lane::Channel(id)) => {
            (id.to_string(), app.tracks.gauge(&id).map(|g| channel(app, g, at)).unwrap_or_default())
        }
        None => (String::new(), vec![Line::styled("no lane: there is nothing here yet", app.theme.dim())]),
    };
    let title = format!(" {name} at {} s ", exact(at, axis.cell().min(1_000)));
    draw_border(frame, area, areas.wide, Line::styled(title, app.theme.strong()), false, app.theme);
    if let Some(event) = app.event_here(axis).and_then(|index| app.log.get(index)) {
        let mut spans = vec![
            Span::styled(format!("{} s ", exact(event.t, 1)), app.theme.dim()),
            Span::styled(event.comm.map_or_else(String::new, |comm| format!("{comm} ")), app.theme.strong()),
        ];
        spans.extend(app.lines.spans(event).into_iter().map(|(role, text)| Span::styled(text, app.theme.role(role))));
        lines.push(Line::from(spans));
        lines.extend(meanwhile(app, event));
        let world = app.seen.as_ref().map_or(&app.live, |seen| &seen.world);
        let story = analyze::explain(world, event).join(" ");
        lines.extend(words::wrap(&story, room).into_iter().map(Line::raw));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn thread(app: &App, track: &Track, at: Nanos, axis: &Axis) -> Vec<Line<'static>> {
    let theme = app.theme;
    let Some(stay) = track.stay_at(at) else {
        return vec![Line::styled("not there at this time", theme.dim())];
    };
    let word = stay.state.map_or("unknown", ThreadState::name);
    let mut spans = vec![Span::styled(format!("{} {word}", glyph(stay.state)), theme.state(stay.state))];
    if stay.state != Some(ThreadState::Dead) {
        let since = words::duration(at.since(stay.t));
        spans.push(Span::raw(format!(" for {since}, since {} s", exact(stay.t, axis.cell().min(1_000)))));
    }
    if let Some(Kind::State(change)) = stay.index.and_then(|index| app.log.get(index)).map(|event| &event.kind) {
        spans.push(Span::raw(because(app, change, at)));
    }
    let column = axis.column(at);
    let shares = column.and_then(|column| cells::states(track, axis, app.newest_time()).get(column).copied());
    let shares = shares.map(|cell| cell.shares()).unwrap_or_default();
    if shares.len() > 1 {
        spans.push(Span::styled("   this cell:", theme.dim()));
        spans.extend(self::shares(app, &shares));
    }
    vec![Line::from(spans)]
}

/// What server and client did between a call and its answer.
fn meanwhile(app: &App, event: &Event) -> Option<Line<'static>> {
    let Kind::Rpc(rpc) = &event.kind else { return None };
    let exchange = app.tracks.exchanges(event.t, Nanos(event.t.0.saturating_add(1))).find(|exchange| {
        let (who, t) = if rpc.role.is_answer() {
            (exchange.server, exchange.answered)
        } else {
            (exchange.caller, exchange.called)
        };
        (Some(who), t) == (event.task, event.t)
    })?;
    let took = words::duration(exchange.answered.since(exchange.called));
    let mut spans = vec![Span::styled(format!("{took} from call to answer:"), app.theme.dim())];
    for task in [exchange.server, exchange.caller] {
        let track = app.tracks.of_at(task.tid, exchange.answered)?;
        spans.push(Span::raw(format!("  {}", track.name(exchange.answered))));
        spans.extend(shares(app, &cells::between(track, exchange.called, exchange.answered).shares()));
    }
    Some(Line::from(spans))
}

/// States with their parts of a time, in percent.
fn shares(app: &App, shares: &[(Option<ThreadState>, u64)]) -> Vec<Span<'static>> {
    let whole: u64 = shares.iter().map(|(_, ns)| ns).sum();
    let share = |(state, ns): &(Option<ThreadState>, u64)| {
        let percent = (u128::from(*ns) * 100 / u128::from(whole.max(1))) as u64;
        let percent = if percent == 0 { "<1".to_owned() } else { percent.to_string() };
        Span::styled(format!(" {} {percent} %", glyph(*state)), app.theme.state(*state))
    };
    shares.iter().map(share).collect()
}

/// On which CPU, on what, woken by whom.
fn because(app: &App, change: &StateChange, at: Nanos) -> String {
    let name = |pid: u32| {
        let comm = app.tracks.of_at(pid, at).map(|track| track.name(at).to_string());
        let pid = app.world().hosts.shown(pid);
        comm.map_or_else(|| pid.clone(), |comm| format!("{comm} {pid}"))
    };
    match (&change.on, change.woken_by) {
        (Some(on), _) => blocked(app, on, at),
        (None, Some(WokenBy::Task(task))) => format!(", woken by {}", name(task.pid)),
        (None, Some(WokenBy::Kernel)) => ", woken by the kernel".to_owned(),
        (None, None) if change.preempted => ", preempted".to_owned(),
        (None, None) => change.cpu.map_or_else(String::new, |cpu| format!(", on cpu{cpu}")),
    }
}

fn blocked(app: &App, on: &Blocked, at: Nanos) -> String {
    let call = on.syscall.map_or_else(String::new, |call| format!(", in {call}"));
    let channel = on.channel.as_ref().map_or_else(String::new, |channel| format!(" on {channel}"));
    let fd = on.fd.map_or_else(String::new, |fd| format!(" fd {fd}"));
    let gauge = on.channel.as_ref().and_then(|id| app.tracks.gauge(id));
    let fill = gauge.map_or_else(String::new, |gauge| format!(" ({})", fill(gauge, at)));
    let set = on.set();
    let set = if set.is_empty() { String::new() } else { format!(" for {}", set.join(", ")) };
    [call, channel, fd, fill, set].concat()
}

fn fill(gauge: &Gauge, at: Nanos) -> String {
    let Some(bytes) = gauge.at(at).and_then(|sample| sample.bytes) else { return "fill not known".to_owned() };
    match gauge.capacity {
        _ if bytes == 0 => "empty".to_owned(),
        Some(all) if bytes >= all => format!("full: {bytes}/{all} B"),
        Some(all) => format!("{bytes}/{all} B"),
        None => format!("{bytes} B"),
    }
}

fn channel(app: &App, gauge: &Gauge, at: Nanos) -> Vec<Line<'static>> {
    let since = gauge.at(at).map(|sample| format!(", since {} s", exact(sample.t, 1))).unwrap_or_default();
    vec![Line::styled(format!("{}{since}", fill(gauge, at)), app.theme.send())]
}
