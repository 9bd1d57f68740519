//! Whatever the events: no panic, no control byte, and filters that are logic.

use proptest::prelude::*;

use super::{Filter, Lines, coloured, duration, explain, line, plain};
use crate::model::{World, arbitrary};

fn is_harmless(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}'))
}

proptest! {
    #[test]
    fn any_event_can_be_told(events in arbitrary::events()) {
        let mut world = World::new();
        let mut lines = Lines::new().with_payload(true);
        for event in &events {
            world.apply(event);
            prop_assert!(is_harmless(&line(event)));
            let spans = lines.full_spans(event);
            prop_assert!(is_harmless(&plain(&spans)));
            prop_assert_eq!(coloured(&spans).replace("\x1b[", "").contains('\x1b'), false);
            for sentence in explain(&world, event) {
                prop_assert!(is_harmless(&sentence) && sentence.ends_with('.'), "{sentence}");
            }
        }
    }

    #[test]
    fn any_text_is_a_filter_or_refused(text in prop_oneof![any::<String>(), "[a-z:<>=!|()\"' 0-9.µ]{0,40}"]) {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!(error.column <= text.chars().count());
        }
    }

    #[test]
    fn filters_are_logic(
        events in arbitrary::events(),
        a in prop::sample::select(WORDS.to_vec()),
        b in prop::sample::select(WORDS.to_vec()),
    ) {
        let filter = |text: String| Filter::parse(&text);
        let (left, right) = (filter(a.to_owned()), filter(b.to_owned()));
        let (both, any) = (filter(format!("{a} {b}")), filter(format!("{a} | {b}")));
        let (neither, not) = (filter(format!("!({a} | {b})")), filter(format!("!{a}")));
        for event in &events {
            let is = |filter: &Result<Filter, _>| filter.as_ref().is_ok_and(|f| f.matches(event));
            prop_assert_eq!(is(&both), is(&left) && is(&right));
            prop_assert_eq!(is(&any), is(&left) || is(&right));
            // A quiet event passes no filter.
            let told = !event.kind.is_quiet();
            prop_assert_eq!(is(&neither), told && !is(&any));
            prop_assert_eq!(is(&not), told && !is(&left));
        }
    }

    #[test]
    fn durations_are_short(ns in any::<u64>()) {
        prop_assert!(duration(ns).chars().count() <= 13);
    }
}

const WORDS: &[&str] = &[
    "kind:send",
    "type:pipe",
    "pid:1",
    "comm:a",
    "channel:1",
    "signal:USR1",
    "state:BLOCKED",
    "syscall:read",
    "e",
    "error:EPIPE",
    "bytes>100",
    "blocked<1ms",
    "latency>=1us",
    "t:0..0.00001",
    "t>1",
    "'a b'",
    "\"\\\"\"",
];
