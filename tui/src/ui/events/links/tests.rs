//! Links: causes and effects in scripts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use super::{Link, Links};
use crate::{
    analyze,
    event::{Event, Kind},
    model::{World, script},
    source::recording::Recording,
    ui::{log::Log, tracks::Tracks},
};

struct Kept {
    log: Log,
    tracks: Tracks,
}

impl Kept {
    fn new(text: &str) -> Self {
        Self::of(script::parse(text).unwrap())
    }

    fn of(events: Vec<Event>) -> Self {
        let (mut log, mut tracks) = (Log::new(10_000), Tracks::default());
        for event in events {
            tracks.learn(&event, log.end());
            let before = log.wants_world().then(World::new);
            log.push(event, before, false);
        }
        Self { log, tracks }
    }

    fn links(&self) -> Links<'_> {
        Links { log: &self.log, tracks: &self.tracks }
    }

    /// The event of that time in the script, in seconds.
    fn at(&self, t: f64) -> u64 {
        self.log.from(0).find(|(_, event)| (event.t.seconds() - t).abs() < 1e-9).unwrap().0
    }

    fn told(&self, links: &[Link]) -> Vec<String> {
        links
            .iter()
            .map(|link| {
                let event = self.log.get(link.index).unwrap();
                let who = event.comm.map_or("-".to_owned(), |comm| comm.to_string());
                format!("{}: {who} {}", link.what, analyze::line(event))
            })
            .collect()
    }
}

/// The first cause and the first effect of the event at each time contain this.
#[test]
fn every_kind_of_event_in_the_sample_leads_to_its_cause_and_effect() {
    let kept = Kept::new(script::SAMPLE);
    for (t, cause, effect) in [
        // A receive: its send; what it woke.
        (0.003_155, "sent: yes write 8192 B", ""),
        (0.003_300, "sent: yes write 8192 B", "woken by it: yes BLOCKED → READY"),
        // A send: its wait's end, or since when its thread ran; its receive.
        (0.003_325, "its wait ended: yes BLOCKED → READY", ""),
        (0.003_100, "since then its thread ran", "received: head read 8192 B"),
        // States.
        (0.003_101, "its waker did this: yes write 8192 B", "the state after: head READY → RUNNING"),
        (0.003_301, "its waker did this: head read 8192 B", "the state after: yes READY → RUNNING"),
        (0.003_150, "the state before: head BLOCKED → READY", "what it did next: head read"),
        (0.003_280, "the state before", "what ended the wait: yes BLOCKED → READY"),
        (0.003_704, "its waker did this: sh SIGUSR1 → 4713", "the state after: sort READY → RUNNING"),
        (0.004_003, "its waker did this: head close pipe:[8125]", ""),
        (0.004_052, "its end: yes killed by SIGPIPE", "the state after: yes ZOMBIE → DEAD"),
        // Signals.
        (0.003_700, "since then its thread ran: sh", "what became of it: sort SIGUSR1 delivered"),
        (0.003_722, "generated: sh SIGUSR1 → 4713", "what became of it: sort SIGUSR1 handled"),
        (0.003_731, "generated: sh SIGUSR1 → 4713", "the call it interrupted: sort read"),
        (0.003_721, "interrupted by: sort SIGUSR1 delivered", ""),
        (0.004_006, "what became of the child: head exit 0", "what became of it: sh SIGCHLD ignored"),
        (0.004_022, "the call that raised it: yes write → pipe", "what became of it: yes SIGPIPE delivered"),
        (0.004_040, "generated: yes SIGPIPE", "its target ends: yes killed by SIGPIPE"),
        // Ends.
        (0.004_050, "the signal that ended it: yes SIGPIPE delivered", ""),
        (0.004_000, "since then its thread ran", "its parent is told: head SIGCHLD"),
        (0.001_100, "since then its thread ran", "what the child does first: sh inherit pipe:[8124]"),
    ] {
        let index = kept.at(t);
        let first = |links: Vec<Link>| kept.told(&links).into_iter().next().unwrap_or_default();
        let (found_cause, found_effect) = (first(kept.links().causes(index)), first(kept.links().effects(index)));
        assert!(found_cause.contains(cause), "cause at {t}: {found_cause:?}");
        assert!(found_effect.contains(effect), "effect at {t}: {found_effect:?}");
    }
}

#[test]
fn a_receive_of_several_sends_leads_to_each() {
    let kept =
        Kept::new("0 1 a write 7 1 5\n1 2 b write 7 1 5\n2 3 c write 7 1 5\n3 4 d read 7 0 12\n4 5 e read 7 0 3");
    assert_eq!(kept.told(&kept.links().causes(3)).len(), 3);
    let effects = kept.told(&kept.links().effects(2));
    assert_eq!(effects.len(), 2, "{effects:?}");
}

#[test]
fn a_restarted_call_leads_to_the_signals_it_met() {
    let kept = Kept::new(
        "0 1 a signal USR1 2 generated syscall kill state BLOCKED\n1 2 b signal USR1 2 delivered handler 0x10\n\
         2 2 b signal USR1 2 handled handler 0x10 verdict restarted\n3 2 b read 7 0 EAGAIN restarts 1 interrupted 1",
    );
    assert_eq!(kept.links().causes(3)[0], Link { what: "interrupted by", index: 1 });
    assert_eq!(kept.links().effects(2)[0], Link { what: "the call it interrupted", index: 3 });
}

#[test]
fn a_wake_up_chain_goes_from_the_receiver_back_to_the_sender() {
    let kept = Kept::new(script::SAMPLE);
    // sort's read ← head's write ← head ran ← head was READY ← preempted, for sort had been woken ← …
    let chain = kept.told(&kept.links().chain(kept.at(0.003_365)));
    assert!(chain[0].contains("sent: head write 8192 B"), "{chain:#?}");
    assert!(chain.len() > 3, "{chain:#?}");
    let steps: std::collections::BTreeSet<_> = chain.iter().collect();
    assert_eq!(steps.len(), chain.len(), "no step twice: {chain:#?}");
}

#[test]
fn a_signal_is_told_after_the_wake_up_it_brings() {
    let kept = Kept::new(
        "0 1 a state RUNNING cpu0\n0 2 b state BLOCKED read 7\n1 2 b state READY by 1\n\
         1.000005 1 a signal USR1 2 generated state BLOCKED\n2 2 b signal USR1 2 delivered handler 0x1",
    );
    assert_eq!(kept.links().causes(2)[0], Link { what: "its waker did this", index: 3 });
    assert_eq!(kept.links().effects(3)[1], Link { what: "its target is READY", index: 2 });
}

#[test]
fn a_wake_by_a_call_that_is_not_traced_leads_to_the_waker_s_running() {
    let kept = Kept::new("0 1 a state RUNNING cpu0\n0 2 b state BLOCKED futex\n1 2 b state READY by 1");
    assert_eq!(kept.told(&kept.links().causes(2))[0], "its waker did this: a → RUNNING on cpu0");
}

#[test]
fn a_call_leads_to_its_answer_and_back() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/lessons/rpc.ipcs");
    let mut recording = Recording::open(std::path::Path::new(file)).unwrap();
    let mut events = Vec::new();
    while recording.next_item(&mut events).unwrap().is_some() {}
    let kept = Kept::of(events);
    let mut answers = 0;
    for (index, event) in kept.log.from(0) {
        let Kind::Rpc(rpc) = &event.kind else { continue };
        if rpc.role.is_answer() {
            let call = kept.links().causes(index)[0];
            assert_eq!((call.what, kept.links().effects(call.index)[0].what), ("the call", "its answer"));
            assert_eq!(kept.links().effects(call.index)[0].index, index);
            answers += 1;
        }
    }
    assert_eq!(answers, 4);
}
