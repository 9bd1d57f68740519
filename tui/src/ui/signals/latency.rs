//! How long a signal took: until its target was READY, had the CPU, took it, and was done with it.

use super::instance::Life;
use crate::{
    event::{Kind, Nanos, Phase, SignalEvent, ThreadState, WokenBy},
    ui::{
        log::Log,
        tracks::{Track, Tracks},
    },
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
pub(super) fn latencies(life: &Life, tracks: &Tracks, log: &Log) -> Latencies {
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
    // 0: at once, even before the kernel told of the signal.
    let begin = wake(log, track, from, generated).unwrap_or(from);
    let first = |state: ThreadState| {
        let mut stays = track.stays_from(begin).take_while(|stay| stay.t <= until);
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

/// When the sender made the target READY, if that was before the signal was told. The kernel wakes the target first and
/// tells of the signal 5 to 20 µs later, in the same call (`complete_signal` and `trace_signal_generate`,
/// `__send_signal_locked`, 5.15 to 7.0).
pub(super) fn wake(log: &Log, track: &Track, told: Nanos, generated: &SignalEvent) -> Option<Nanos> {
    let sender = generated.sender.as_ref()?.pid?;
    if generated.target_state != Some(ThreadState::Blocked) {
        return None;
    }
    let earlier = track.stays.range(..track.stays.partition_point(|stay| stay.t <= told)).rev();
    let ready = earlier
        .take_while(|stay| matches!(stay.state, Some(ThreadState::Ready | ThreadState::Running)))
        .find(|stay| stay.state == Some(ThreadState::Ready))?;
    let Kind::State(change) = &log.get(ready.index?)?.kind else { return None };
    let by_sender = matches!(change.woken_by, Some(WokenBy::Task(waker)) if waker.pid == sender);
    (by_sender && told.since(ready.t) <= ONE_CALL).then_some(ready.t)
}

/// A wake-up and its signal are in one call, which is not preempted for so long.
const ONE_CALL: u64 = 1_000_000;

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
        latencies(&instances.life(SignalId(1), &log, u64::MAX).unwrap(), &tracks, &log)
    }

    #[test]
    fn a_blocked_target_becomes_ready_runs_and_takes_it() {
        let expected =
            Latencies { ready: Some(4_000), cpu: Some(19_000), delivery: Some(22_000), handler: Some(9_000) };
        assert_eq!(of(script::SAMPLE), expected);
    }

    #[test]
    fn the_kernel_wakes_before_it_tells() {
        let found = of("0 2 b state BLOCKED read 7\n1 2 b state READY by 1\n1.000003 2 b state RUNNING cpu0\n\
                        1.000005 1 a signal USR1 2 generated state BLOCKED\n\
                        1.000009 2 b signal USR1 2 delivered handler 0x1 pending 4us");
        let expected = Latencies { ready: Some(0), cpu: Some(0), delivery: Some(4_000), handler: None };
        assert_eq!(found, expected);
        let by_another = of("0 2 b state BLOCKED read 7\n1 2 b state READY by 9\n\
                             1.000005 1 a signal USR1 2 generated state BLOCKED\n1.00001 2 b state RUNNING cpu0");
        assert_eq!((by_another.ready, by_another.cpu), (None, Some(5_000)));
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
