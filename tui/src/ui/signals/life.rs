//! The life of an instance step by step, each with its time since the signal was generated.

use super::{
    instance::Life,
    latency::wake,
    table::{named, sender, state},
};
use crate::{
    event::{Event, Kind, Nanos, Phase, SignalEvent, SignalSet, ThreadState, Verdict, WokenBy, number},
    ui::{
        App,
        tracks::{Stay, Track},
        words,
    },
};

/// Events after the last step in which its call is looked for.
const SOUGHT: usize = 20_000;
/// State changes told at most.
const CHANGES: usize = 8;

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub t: Nanos,
    /// What happened.
    pub what: String,
    /// What else is known of it.
    pub more: String,
    pub look: Look,
}

/// How a step is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Signal,
    State(ThreadState),
    Call,
    Verdict(Verdict),
}

/// All steps in order.
pub(super) fn steps(app: &App, life: &Life) -> Vec<Step> {
    let mut steps = Vec::new();
    for (_, event, step) in &life.steps {
        steps.push(Step { t: event.t, what: what(app, event, step), more: more(app, event, step), look: Look::Signal });
    }
    changes(app, life, &mut steps);
    call(app, life, &mut steps);
    // Of one moment: the state, then what the signal does. The kernel tells of a signal after the wake-up that it brings.
    let begin = life.steps.first().filter(|(_, _, step)| step.phase == Phase::Generated).map(|(_, event, _)| event.t);
    let is_begin = |step: &Step| Some(step.t) == begin && step.look == Look::Signal;
    steps.sort_by_key(|step| (!is_begin(step), step.t, !matches!(step.look, Look::State(_))));
    verdict(life, &mut steps);
    steps
}

fn what(app: &App, event: &Event, step: &SignalEvent) -> String {
    let target = number(step.to.tid.unwrap_or(step.to.pid));
    match step.phase {
        Phase::Generated => match step.syscall {
            Some("tgkill") => format!("tgkill({}, {target}, {})", number(step.to.pid), step.signal),
            Some(call) if step.broadcast => format!("{call}(−1, {})", step.signal),
            Some(call) => match step.process_group {
                Some(group) => format!("{call}(−{group}, {})", step.signal),
                None => format!("{call}({target}, {})", step.signal),
            },
            None => format!("{} from {}", step.signal, sender(app, step, event.t)),
        },
        Phase::Delivered => match step.delivery.action {
            Some(action) => format!("delivered → {}", action.name()),
            None => "delivered".to_owned(),
        },
        Phase::Handled => "handler returned".to_owned(),
        Phase::Abandoned => "handler never returned".to_owned(),
        Phase::Coalesced => {
            step.into.map_or_else(|| "coalesced".to_owned(), |into| format!("coalesced with #{}", into.0))
        }
        phase => phase.name().to_owned(),
    }
}

fn more(app: &App, event: &Event, step: &SignalEvent) -> String {
    let t = event.t;
    match step.phase {
        Phase::Generated => generated(app, event, step),
        Phase::Pending if step.blocked_by_mask => {
            let mask = step.mask.map(|mask| format!(" ({})", set(mask))).unwrap_or_default();
            format!("the mask of {} blocks it{mask}", named(app, step.to.pid, t))
        }
        Phase::Pending if step.target_state == Some(ThreadState::Stopped) => "its target is stopped".to_owned(),
        Phase::Pending => "nobody has taken it yet".to_owned(),
        Phase::Ignored => format!("{} ignores {}", named(app, step.to.pid, t), step.signal),
        Phase::Coalesced => "one is pending already: standard signals are not queued".to_owned(),
        Phase::Overflowed => "the queue is full (RLIMIT_SIGPENDING)".to_owned(),
        Phase::Delivered => delivered(app, step),
        Phase::Handled => {
            let after = step.delivery.handler_ns.map(|ns| format!("after {}", words::duration(ns)));
            after.unwrap_or_default()
        }
        Phase::Abandoned => "it jumped out (longjmp), or its thread ended".to_owned(),
        Phase::Consumed => {
            let by = step.consumed_by.as_ref().map(|by| by.syscall).or(step.syscall);
            by.map_or_else(|| "no handler runs".to_owned(), |call| format!("by {call}; no handler runs"))
        }
        Phase::Discarded => step.reason.map(|why| format!("before delivery: {why}")).unwrap_or_default(),
    }
}

/// `sh 4710, RUNNING on cpu0; target is ◌ BLOCKED in read on pipe:[8124]`.
fn generated(app: &App, event: &Event, step: &SignalEvent) -> String {
    let t = event.t;
    let mut parts = Vec::new();
    if step.sender.as_ref().is_some_and(|sender| sender.kind == crate::event::SenderKind::Process) {
        let doing = event.task.and_then(|task| app.tracks.of_at(task.tid, t)).and_then(|track| track.stay_at(t));
        let cpu = doing.and_then(|stay| app.log.get(stay.index?)).and_then(|event| match &event.kind {
            Kind::State(change) => change.cpu,
            _ => None,
        });
        let doing = doing.and_then(|stay| stay.state).map(|state| format!(", {}", state.name())).unwrap_or_default();
        let cpu = cpu.map(|cpu| format!(" on cpu{cpu}")).unwrap_or_default();
        parts.push(format!("{}{doing}{cpu}", sender(app, step, t)));
    } else if let Some(code) = step.code {
        parts.push(code.to_owned());
    }
    if step.to.external {
        parts.push("its target is not traced".to_owned());
    } else if let Some(target) = step.target_state {
        parts.push(format!("target is {}{}", state(Some(target)), waits(app, step.to.tid.unwrap_or(step.to.pid), t)));
    }
    if step.multicast.is_some() {
        parts.push(if step.broadcast { "to everybody".to_owned() } else { "to a process group".to_owned() });
    }
    parts.join("; ")
}

/// ` in read on pipe:[8124]`: what a BLOCKED thread waits for at `t`.
fn waits(app: &App, tid: u32, t: Nanos) -> String {
    let Some(track) = app.tracks.of_at(tid, t) else { return String::new() };
    let Some(stay) = track.stay_at(t) else { return String::new() };
    // The wake-up that the signal brings may be told before the signal: then the stay before is meant.
    let before = || stay.t.0.checked_sub(1).and_then(|end| track.stay_at(Nanos(end)));
    let wait = |stay: &Stay| match app.log.get(stay.index?).map(|event| &event.kind) {
        Some(Kind::State(change)) => change.on.clone(),
        _ => None,
    };
    let Some(on) = wait(stay).or_else(|| before().and_then(wait)) else { return String::new() };
    let call = on.syscall.map(|call| format!(" in {call}")).unwrap_or_default();
    let channel = on.channel.as_ref().map(|channel| format!(" on {channel}")).unwrap_or_default();
    format!("{call}{channel}")
}

fn delivered(app: &App, step: &SignalEvent) -> String {
    let delivery = &step.delivery;
    let Some(handler) = &delivery.handler else {
        return match &delivery.interrupted {
            Some(call) => format!("in {}", call.syscall),
            None => String::new(),
        };
    };
    let restart = if delivery.flags.contains(&"SA_RESTART") { "SA_RESTART" } else { "no SA_RESTART" };
    let others = flags(&delivery.flags, |flag| flag != "SA_RESTART");
    let nesting = match delivery.nesting {
        Some(depth) if depth > 0 => format!(", nested in {depth} other"),
        _ => String::new(),
    };
    let disposition = app.world().process(step.to.pid).and_then(|process| process.dispositions.get(&step.signo));
    let blocks = match disposition.filter(|disposition| disposition.handler.as_ref() == Some(handler)) {
        Some(disposition) if disposition.mask.is_empty() => ", blocks nothing else".to_owned(),
        Some(disposition) => format!(", blocks {}", set(disposition.mask)),
        None => String::new(),
    };
    format!("{handler}, {restart}{others}{nesting}{blocks}")
}

/// `, SA_NODEFER, SA_SIGINFO`
pub(super) fn flags(flags: &[&'static str], wanted: impl Fn(&str) -> bool) -> String {
    flags.iter().filter(|flag| wanted(flag)).flat_map(|flag| [", ", flag]).collect()
}

/// `USR1 CHLD`.
pub(super) fn set(signals: SignalSet) -> String {
    let names: Vec<String> = signals.names().map(|name| name.trim_start_matches("SIG").to_owned()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
}

/// What the scheduler did with the receiver from generation to the last step.
fn changes(app: &App, life: &Life, steps: &mut Vec<Step>) {
    let (Some((from, generated)), Some((until, last))) = (life.generated(), life.last()) else { return };
    let over = !matches!(last.phase, Phase::Generated | Phase::Pending | Phase::Ignored | Phase::Coalesced);
    let Some(track) = life.receiver().and_then(|tid| app.tracks.of_at(tid, from)).filter(|_| over) else { return };
    let from = wake(&app.log, track, from, generated).unwrap_or(from);
    let mut told: Vec<Step> = Vec::new();
    let mut before = track.stays.range(..track.stays.partition_point(|stay| stay.t < from)).next_back().copied();
    for stay in track.stays_from(from).take_while(|stay| stay.t <= until) {
        if let Some(step) = change(app, track, before.map(|before| (before.t, before.state)), stay.t, stay.index) {
            told.push(step);
        }
        before = Some(*stay);
    }
    if told.len() > CHANGES {
        let left_out = told.len() - CHANGES;
        let mut late = told.split_off(told.len() - CHANGES / 2);
        told.truncate(CHANGES / 2);
        if let Some(first) = late.first_mut() {
            first.more = format!("{} ({left_out} changes before it left out)", first.more);
        }
        told.append(&mut late);
    }
    steps.append(&mut told);
}

fn change(
    app: &App,
    track: &Track,
    before: Option<(Nanos, Option<ThreadState>)>,
    t: Nanos,
    index: Option<u64>,
) -> Option<Step> {
    let Kind::State(change) = &app.log.get(index?)?.kind else { return None };
    let from = before.and_then(|(_, state)| state).or(change.from);
    let stayed = before.map(|(since, _)| words::duration(t.since(since)));
    let cpu = change.cpu.map(|cpu| format!(" cpu{cpu}")).unwrap_or_default();
    let what = format!("{} → {}{cpu}", state(from), state(Some(change.to)));
    let more = match (change.to, change.woken_by) {
        (ThreadState::Ready, _) if change.preempted => "preempted".to_owned(),
        (ThreadState::Ready, woken_by) => {
            let by = match woken_by {
                Some(WokenBy::Task(task)) if task.pid == track.task.pid => "woken by its own process".to_owned(),
                Some(WokenBy::Task(task)) => format!("woken by {}", named(app, task.pid, t)),
                Some(WokenBy::Kernel) => "woken by the kernel".to_owned(),
                None => String::new(),
            };
            match (stayed, from) {
                (Some(stayed), Some(ThreadState::Blocked)) => format!("{by}; had been BLOCKED for {stayed}"),
                _ => by,
            }
        }
        (ThreadState::Running, _) => match (stayed, from) {
            (Some(stayed), Some(ThreadState::Ready)) => format!("{stayed} in the run queue"),
            _ => String::new(),
        },
        (ThreadState::Blocked, _) => waits(app, track.task.tid, t).trim_start().to_owned(),
        _ => String::new(),
    };
    Some(Step { t, what, more, look: Look::State(change.to) })
}

/// The call that the signal met: when it was given up, or came to its end after all.
fn call(app: &App, life: &Life, steps: &mut Vec<Step>) {
    let Some((first, _, _)) = life.steps.first() else { return };
    let mut events = app.log.from(*first).take(SOUGHT).take_while(|(index, _)| *index <= app.signals_until());
    let Some((_, event)) =
        events.find(|(_, event)| event.call().is_some_and(|call| call.interrupted_by.contains(&life.id)))
    else {
        return;
    };
    let Some(call) = event.call() else { return };
    let (bytes, error) = match &event.kind {
        Kind::Send(transfer) | Kind::Recv(transfer) => (transfer.bytes, transfer.error),
        Kind::Channel(change) => (None, change.error),
        _ => (None, None),
    };
    let took = words::duration(call.took_ns);
    let (what, more) = match (error, bytes) {
        (Some("EINTR"), _) => (format!("{} aborted", call.syscall), format!("with EINTR, {took} after its entry")),
        (Some(error), _) => (format!("{} fails: {error}", call.syscall), format!("{took} after its first entry")),
        (None, Some(bytes)) => (
            format!("{} returns {}", call.syscall, words::bytes(bytes)),
            match call.restarts {
                0 => format!("{took} after its entry"),
                1 => format!("{took} after its first entry, restarted once"),
                n => format!("{took} after its first entry, restarted {n} times"),
            },
        ),
        (None, None) => (format!("{} returns", call.syscall), format!("{took} after its entry")),
    };
    steps.push(Step { t: event.t, what, more, look: Look::Call });
}

/// What became of the interrupted call, at the end.
fn verdict(life: &Life, steps: &mut Vec<Step>) {
    let found = life.steps.iter().rev().find_map(|(_, event, step)| Some((event.t, *step, step.delivery.verdict?)));
    let Some((t, step, verdict)) = found else { return };
    let handler = life.steps.iter().rev().find(|(_, _, step)| step.delivery.handler.is_some());
    let restart = handler.is_some_and(|(_, _, step)| step.delivery.flags.contains(&"SA_RESTART"));
    let call = step.delivery.interrupted.as_ref().map_or("call", |call| call.syscall);
    let (what, more) = match (verdict, handler.is_some(), restart) {
        (Verdict::Eintr, true, false) => {
            (format!("{call} fails: EINTR"), "With SA_RESTART it might have been started again.")
        }
        (Verdict::Eintr, true, true) => {
            (format!("{call} fails: EINTR"), "In spite of SA_RESTART: this call is never restarted (signal(7)).")
        }
        (Verdict::Eintr, false, _) => (format!("{call} fails: EINTR"), "Although no handler ran."),
        (Verdict::Restarted, true, true) => {
            (format!("{call} is restarted"), "Thanks to SA_RESTART the program notices nothing.")
        }
        (Verdict::Restarted, ..) => (format!("{call} is restarted"), "No handler of it is in the way: it goes on."),
        (Verdict::Partial, ..) => (format!("{call} returns a part"), "It had moved some bytes: it tells how many."),
        (Verdict::None, ..) => ("no call interrupted".to_owned(), ""),
    };
    let more =
        if verdict == Verdict::None { String::new() } else { format!("◀ verdict: {}. {more}", verdict.name()) };
    let at = steps.iter().rposition(|step| step.t <= t).map_or(steps.len(), |last| last + 1);
    steps.insert(at, Step { t, what, more, look: Look::Verdict(verdict) });
}
