//! How long a signal took: until its target was READY, had the CPU, took it, and was done with it.

use super::instance::Life;
use crate::{
    event::{Nanos, Phase, ThreadState},
    ui::tracks::Tracks,
};

/// ns since the signal was generated; the handler's own time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latencies {
    pub ready: Option<u64>,
    pub cpu: Option<u64>,
    pub delivery: Option<u64>,
    pub handler: Option<u64>,
}

/// What the scheduler and the signal's own steps tell. A wait that the signal does not end (it is blocked by the mask, or
/// ignored) is none of its latencies.
pub(super) fn latencies(life: &Life, tracks: &Tracks) -> Latencies {
    let steps = || life.steps.iter().map(|(_, _, step)| step);
    let mut found = Latencies {
        delivery: steps().find_map(|step| step.delivery.pending_ns),
        handler: steps().find_map(|step| step.delivery.handler_ns),
        ..Latencies::default()
    };
    let Some((from, generated)) = life.generated() else { return found };
    let waits = steps().any(|step| step.blocked_by_mask || matches!(step.phase, Phase::Pending | Phase::Ignored));
    let Some(track) = life.receiver().and_then(|tid| tracks.of_at(tid, from)).filter(|_| !waits) else { return found };
    let until = life.step(Phase::Delivered).or(life.step(Phase::Consumed)).map_or(Nanos(u64::MAX), |(t, _)| t);
    let first = |state: ThreadState| {
        let mut stays = track.stays_from(from).take_while(|stay| stay.t <= until);
        stays.find(|stay| stay.state == Some(state)).map(|stay| stay.t.since(from))
    };
    if generated.target_state == Some(ThreadState::Blocked) {
        found.ready = first(ThreadState::Ready);
    }
    if matches!(generated.target_state, Some(ThreadState::Blocked | ThreadState::Ready)) {
        found.cpu = first(ThreadState::Running);
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::{Latencies, latencies};
    use crate::{
        event::SignalId,
        model::{World, script},
        ui::{log::Log, signals::Instances, tracks::Tracks},
    };

    fn of(text: &str) -> Latencies {
        let (mut log, mut instances, mut tracks) = (Log::new(1000), Instances::default(), Tracks::default());
        for event in script::parse(text).unwrap() {
            instances.learn(&event, log.end());
            tracks.learn(&event, log.end());
            let before = log.wants_world().then(World::new);
            log.push(event, before, false);
        }
        latencies(&instances.life(SignalId(1), &log, u64::MAX).unwrap(), &tracks)
    }

    #[test]
    fn a_blocked_target_becomes_ready_runs_and_takes_it() {
        let expected =
            Latencies { ready: Some(4_000), cpu: Some(19_000), delivery: Some(22_000), handler: Some(9_000) };
        assert_eq!(of(script::SAMPLE), expected);
    }

    #[test]
    fn what_the_signal_does_not_end_is_not_its_latency() {
        let masked = of("0 2 b state BLOCKED read 7\n1 1 a signal USR1 2 generated state BLOCKED masked\n\
                         2 2 b state READY by 1\n3 2 b state RUNNING cpu0");
        assert_eq!(masked, Latencies::default());
        let running = of("0 2 b state RUNNING cpu0\n1 1 a signal USR1 2 generated state RUNNING\n\
                          2 2 b state READY preempted\n3 2 b state RUNNING cpu0\n\
                          4 2 b signal USR1 2 delivered action terminate pending 3s");
        assert_eq!(running, Latencies { delivery: Some(3_000_000_000), ..Latencies::default() });
    }
}
