//! The course of time by thread and by channel: where lanes, latencies and jumps look things up.
//!
//! A [`Track`] holds a thread's states and deeds, a [`Gauge`] the fill of a channel, an [`Exchange`] a call and its
//! answer, each in order of time, so that what
//! held at a moment is a binary search and a window costs only what lies in it. Entries name their event by its number in
//! the [`Log`](super::log::Log). Invariants: nothing older than the log is kept, except the state or fill in force when
//! it begins; after a loss a state is unknown until the thread's next change; a thread id used anew is a new track.

mod calls;
mod gauge;
mod thread;

use std::collections::{BTreeMap, HashMap};

use self::calls::Calls;
pub(super) use self::{
    calls::Exchange,
    gauge::{Gauge, Sample},
    thread::{Act, Deed, Stay, Track},
};
use crate::{
    event::{ChannelId, Comm, Event, Kind, Nanos, Phase, Task, ThreadState},
    model::{Side, World},
};

/// Channels whose fill is kept; the oldest go first.
const GAUGES: usize = 4096;

/// All tracks.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    /// Threads in order of appearance.
    pub threads: BTreeMap<u32, Track>,
    /// Channels in order of appearance.
    pub gauges: BTreeMap<u32, Gauge>,
    calls: Calls,
    by_tid: HashMap<u32, u32>,
    by_channel: HashMap<ChannelId, u32>,
    next: u32,
}

impl Tracks {
    /// The thread that has that id now, or had it last.
    pub(super) fn of(&self, tid: u32) -> Option<&Track> {
        self.threads.get(self.by_tid.get(&tid)?)
    }

    /// The thread that had that id at `t`.
    pub(super) fn of_at(&self, tid: u32, t: Nanos) -> Option<&Track> {
        let latest = self.of(tid)?;
        if latest.born <= t {
            return Some(latest);
        }
        self.threads.values().rev().find(|track| track.task.tid == tid && track.born <= t)
    }

    /// A channel's fill.
    pub(super) fn gauge(&self, id: &ChannelId) -> Option<&Gauge> {
        self.gauges.get(self.by_channel.get(id)?)
    }

    /// Calls with their answers that were under way between two moments.
    pub(super) fn exchanges(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = &Exchange> {
        self.calls.between(from, to)
    }

    /// Takes note of the event with that number.
    pub(super) fn learn(&mut self, event: &Event, index: u64) {
        let t = event.t;
        if let Some(task) = event.task {
            let outside = matches!(&event.kind, Kind::Signal(step) if step.phase == Phase::Generated)
                && !self.by_tid.contains_key(&task.tid);
            if !outside {
                let track = self.track(task, t);
                if let Some(comm) = event.comm {
                    track.called(t, comm);
                }
                track.learn(event, index);
            }
        }
        self.calls.learn(event, index);
        match &event.kind {
            Kind::Fork { child, .. } => {
                self.begin(*child, t, event.comm.unwrap_or_default(), index);
            }
            Kind::Exec(_) => {
                // Only the thread that called it lives on (execve(2)).
                let Some(task) = event.task else { return };
                for track in self.threads.values_mut().filter(|track| track.task.pid == task.pid) {
                    if track.task.tid != task.tid {
                        track.enter(t, Some(index), Some(ThreadState::Dead));
                    }
                }
            }
            Kind::Channel(change) if change.error.is_none() => {
                let gauge = self.gauge_mut(&change.channel);
                gauge.resize(change);
                if change.event == crate::event::ChannelChange::Created {
                    gauge.push(Sample { t, index, bytes: Some(0), level: Some(0) });
                }
            }
            Kind::Send(transfer) => self.gauge_mut(&transfer.channel).sample(t, index, Side::Send, transfer),
            Kind::Recv(transfer) => self.gauge_mut(&transfer.channel).sample(t, index, Side::Receive, transfer),
            Kind::Lost(lost) => {
                for track in self.threads.values_mut() {
                    track.doubt(lost.t_from, index);
                }
                for gauge in self.gauges.values_mut() {
                    gauge.push(Sample { t, index, bytes: None, level: None });
                }
            }
            _ => {}
        }
    }

    /// Drops what is older than the event `first`, and threads that ended before it.
    pub(super) fn trim(&mut self, first: u64) {
        self.threads.retain(|number, track| {
            track.trim(first);
            let gone = track.is_over() && track.acts.is_empty();
            if gone && self.by_tid.get(&track.task.tid) == Some(number) {
                self.by_tid.remove(&track.task.tid);
            }
            !gone
        });
        self.calls.trim(first);
        self.gauges.values_mut().for_each(|gauge| gauge.trim(first));
        while self.gauges.len() > GAUGES {
            let Some((_, gauge)) = self.gauges.pop_first() else { break };
            self.by_channel.remove(&gauge.id);
        }
    }

    /// Begins anew behind a gap, with what the world knows.
    pub(super) fn restart(&mut self, world: &World) {
        *self = Self { next: self.next, ..Self::default() };
        for process in world.processes.values().filter(|process| !process.is_reaped()) {
            for thread in process.threads.values().filter(|thread| thread.state != Some(ThreadState::Dead)) {
                let track = self.track(Task { pid: process.pid, tid: thread.tid }, thread.since);
                track.called(thread.since, thread.comm);
                track.enter(thread.since, None, thread.state.filter(|_| !thread.uncertain));
            }
        }
    }

    fn track(&mut self, task: Task, t: Nanos) -> &mut Track {
        let number = match self.by_tid.get(&task.tid) {
            Some(number) => *number,
            None => self.add(task),
        };
        self.threads.entry(number).or_insert_with(|| Track::new(task, t))
    }

    fn add(&mut self, task: Task) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.by_tid.insert(task.tid, self.next);
        self.next
    }

    fn begin(&mut self, child: Task, t: Nanos, comm: Comm, index: u64) {
        let number = self.add(child);
        let mut track = Track::new(child, t);
        track.called(t, comm);
        track.enter(t, Some(index), Some(ThreadState::New));
        self.threads.insert(number, track);
    }

    fn gauge_mut(&mut self, id: &ChannelId) -> &mut Gauge {
        let number = self.by_channel.get(id).copied().unwrap_or_else(|| {
            self.next = self.next.wrapping_add(1);
            self.by_channel.insert(id.clone(), self.next);
            self.next
        });
        self.gauges.entry(number).or_insert_with(|| Gauge::new(id.clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::Tracks;
    use crate::{
        event::{Nanos, ThreadState},
        model::script,
    };

    fn tracks(text: &str) -> Tracks {
        let mut tracks = Tracks::default();
        for (index, event) in script::parse(text).unwrap().iter().enumerate() {
            tracks.learn(event, index as u64);
        }
        tracks
    }

    /// The state at `t`: `?` is unknown, a blank that it is not there.
    fn at(tracks: &Tracks, tid: u32, t: u64) -> &'static str {
        let stay = tracks.of_at(tid, Nanos(t)).and_then(|track| track.stay_at(Nanos(t)));
        stay.map_or(" ", |stay| stay.state.map_or("?", ThreadState::name))
    }

    #[test]
    fn a_state_holds_until_the_next() {
        let tracks = tracks(script::SAMPLE);
        let head = |t| at(&tracks, 4712, t);
        assert_eq!(head(1_299_000), " ", "not born");
        assert_eq!(head(1_300_000), "NEW");
        assert_eq!(head(2_599_999), "RUNNING");
        assert_eq!(head(3_100_999), "BLOCKED");
        assert_eq!(head(3_101_000), "READY");
        assert_eq!(head(9_000_000), "DEAD");
        let pipe = tracks.gauge(&"pipe:[8124]".into()).unwrap();
        assert_eq!(pipe.at(Nanos(3_261_000)).unwrap().bytes, Some(65_536));
        assert_eq!(pipe.at(Nanos(3_261_000)).unwrap().level, Some(1000));
    }

    #[test]
    fn a_loss_leaves_states_unknown_until_the_next_change() {
        let tracks = tracks("0 1 a state RUNNING cpu0\n1 - - lost 5 sched 0.5 0.9\n2 1 a state BLOCKED pause");
        let states = [(400_000_000, "RUNNING"), (600_000_000, "?"), (1_500_000_000, "?")];
        for (t, state) in states {
            assert_eq!(at(&tracks, 1, t), state, "{t}");
        }
        assert_eq!(at(&tracks, 1, 2_000_000_000), "BLOCKED");
    }

    #[test]
    fn an_id_used_anew_is_another_thread() {
        let tracks = tracks("0 1 a fork 7\n1 7 a state DEAD\n2 1 a fork 7\n3 7 b state RUNNING");
        assert_eq!(tracks.threads.len(), 3);
        assert_eq!(at(&tracks, 7, 1_500_000_000), "DEAD");
        assert_eq!(at(&tracks, 7, 2_500_000_000), "NEW");
    }

    #[test]
    fn what_a_thread_was_in_when_it_appeared_is_told_by_its_first_change() {
        let tracks = tracks("0 1 a read 7 0 5\n1 1 a state BLOCKED pause\n1 1 a state READY");
        assert_eq!(at(&tracks, 1, 500_000_000), "?");
        let mut tracks = Tracks::default();
        for mut event in script::parse("0 1 a read 7 0 5\n1 1 a state BLOCKED pause").unwrap() {
            if let crate::event::Kind::State(change) = &mut event.kind {
                change.from = Some(ThreadState::Running);
            }
            tracks.learn(&event, event.seq);
        }
        assert_eq!(at(&tracks, 1, 500_000_000), "RUNNING");
    }

    #[test]
    fn trimming_keeps_what_is_in_force() {
        let mut tracks = tracks(script::SAMPLE);
        tracks.trim(85);
        assert_eq!(at(&tracks, 4710, 3_720_000), "BLOCKED");
        tracks.trim(1000);
        assert!(tracks.threads.is_empty(), "all have ended");
    }
}
