//! Numbers: counted by hand from scripts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use super::{Stats, Tables};
use crate::{
    analyze::Filter,
    event::Nanos,
    model::{arbitrary, script},
};

fn tables(script: &str, filter: &str, now: u64) -> Tables {
    let mut stats = Stats::new(Filter::parse(filter).unwrap());
    for event in script::parse(script).unwrap() {
        stats.apply(&event);
    }
    stats.tables(Nanos(now))
}

const TALK: &str = "\
0 1 a state RUNNING cpu0
0 1 a pipe 7 3 4
0 2 b state BLOCKED read 7 fd 3
1 1 a write 7 4 10 fill 10 took 4us
1.000001 2 b state READY by 1
1.000002 2 b state RUNNING cpu1
1.000003 2 b read 7 3 6 fill 4 took 1s blocked 1s
1.000006 2 b read 7 3 4 fill 0
1.5 2 b read 7 3 EAGAIN
1.5 2 b state BLOCKED nanosleep
1.75 2 b state READY by kernel
";

#[test]
fn states_add_up_and_waits_have_a_name() {
    let tables = tables(TALK, "", 2_000_000_000);
    let [a, b] = tables.processes.as_slice() else { panic!("{tables:?}") };
    assert_eq!((a.comm.to_string().as_str(), a.spent.iter().sum::<u64>()), ("a", 2_000_000_000));
    assert_eq!((b.spent.iter().sum::<u64>(), b.spent[3]), (2_000_000_000, 1_250_001_000));
    assert_eq!((b.calls, b.failed, b.received, a.sent), (3, 1, 10, 10));
    let waited: Vec<_> = b.waited_for.iter().map(|waited| (waited.pid, waited.ns, waited.times)).collect();
    assert_eq!(waited, [(Some(1), 1_000_001_000, 1), (None, 250_000_000, 1)]);
}

#[test]
fn latency_is_from_send_to_receive() {
    let tables = tables(TALK, "", 2_000_000_000);
    let pipe = &tables.channels[0];
    assert_eq!((pipe.sends, pipe.receives, pipe.sent, pipe.received, pipe.failed), (1, 2, 10, 10, 1));
    assert_eq!(
        (pipe.high_water, pipe.senders_blocked_ns, pipe.receivers_blocked_ns),
        (Some(10), None, Some(1_000_000_000))
    );
    // 7 µs and 10 µs after the write began, to two digits.
    assert_eq!(pipe.latency.count(), 2);
    let (half, most) = (pipe.latency.percentile(50.0).unwrap(), pipe.latency.percentile(100.0).unwrap());
    assert!((6_900..7_100).contains(&half) && (9_900..10_100).contains(&most), "{half} {most}");
}

#[test]
fn a_receive_may_come_before_the_line_of_its_send() {
    let early = "0 1 a pipe 7 3 4\n1 2 b read 7 3 5 from 1:5@9\n1.000002 1 a write 7 4 5 op 9 took 12us";
    let tables = tables(early, "", 2);
    let latency = &tables.channels[0].latency;
    assert!((9_900..10_100).contains(&latency.percentile(50.0).unwrap()), "{latency:?}");
}

#[test]
fn a_filter_counts_what_matches() {
    let tables = tables(TALK, "pid:1", 2_000_000_000);
    let row = &tables.channels[0];
    assert_eq!((tables.processes.len(), row.sends, row.receives, row.latency.count()), (1, 1, 0, 0));
}

#[test]
fn signals_are_counted_by_what_became_of_them() {
    let script = "0 1 a signal USR1 2 generated\n0.1 2 b signal USR1 2 delivered handler 0x1 pending 3us\n\
                  0.2 2 b signal USR1 2 handled verdict EINTR\n0.3 1 a signal USR1 2 generated\n\
                  0.3 2 b signal USR1 2 ignored\n";
    let tables = tables(script, "", 1);
    let row = &tables.signals[0];
    let phases: Vec<_> = row.phases.iter().map(|(name, n)| (*name, *n)).collect();
    assert_eq!(phases, [("delivered", 1), ("generated", 2), ("handled", 1), ("ignored", 1)]);
    assert_eq!((row.verdicts["EINTR"], row.latency.count()), (1, 1));
}

proptest::proptest! {
    #[test]
    fn nothing_panics(events in arbitrary::events()) {
        let mut stats = Stats::default();
        for event in &events {
            stats.apply(event);
        }
        for row in stats.tables(Nanos(u64::MAX)).channels {
            let _ = serde_json::to_string(&row);
        }
    }
}
