//! Rules: how they are read, and what holds.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use super::{Check, Rules, Verdict};
use crate::{analyze::Findings, event::Ending, event::Nanos, model::script};

fn verdicts(rules: &str, script: &str, lost: u64) -> Vec<Verdict> {
    let mut check = Check::new(Rules::parse(rules).unwrap(), Findings::new());
    let events = script::parse(script).unwrap();
    for event in &events {
        check.apply(event);
    }
    let now = events.last().map_or(Nanos(0), |event| event.t);
    check.verdicts(now, &Ending { lost, ..Ending::default() })
}

fn holds(rule: &str, script: &str) -> bool {
    verdicts(rule, script, 0).iter().all(|verdict| verdict.holds)
}

const TALK: &str = "0 1 a exec /bin/a\n0 1 a pipe 7 3 4\n0 1 a fork 2\n0 2 b inherit 7 r 3 from 1\n0 1 a close 7 r 3\n\
                    1 1 a write 7 4 3\n2 1 a write 7 4 3\n3 1 a write 7 4 3\n4 2 b read 7 3 9\n5 1 a exit 0\n5 2 b exit 0\n";

#[test]
fn counts() {
    for (rule, expected) in [
        ("x: kind:send", true),
        ("x: kind:signal", false),
        ("x: no kind:signal", true),
        ("x: no kind:send", false),
        ("x: 3..3 kind:send pid:1", true),
        ("x: 3 kind:send", true),
        ("x: 4.. kind:send", false),
        ("x: ..2 kind:send", false),
        ("x: 1..9 kind:send", true),
        ("x: 1..1 kind:send within 1.5s", true),
        ("x: no kind:recv within 3500ms", true),
        ("x: kind:recv within 2s", false),
        ("# nothing\n\n  x y: kind:fork   # a child\nz: no bytes>3 kind:send", true),
        ("x: no '# within 2s'", true),
    ] {
        assert_eq!(holds(rule, TALK), expected, "{rule}");
    }
    let [verdict] = verdicts("x: no kind:send", TALK, 0).try_into().unwrap();
    assert_eq!((verdict.why.as_str(), verdict.evidence), ("3 events match and none may", vec![5, 6, 7]));
}

#[test]
fn built_in_rules() {
    assert!(holds("no-lost-events\nno-leaked-ends\nevery-message-received\nno-eintr-unhandled\nno-deadlock", TALK));
    assert!(holds("all: every-message-received", TALK));
    for (rule, script, why) in [
        ("every-message-received", TALK.replace("7 3 9", "7 3 4"), "5 of 9 bytes in pipe:[7]"),
        ("no-leaked-ends", TALK.replace("0 1 a close 7 r 3\n", "0 1 a dup 7 w 4 5\n"), "never used it"),
        (
            "no-eintr-unhandled",
            TALK.replace("5 2 b exit 0", "4.5 2 b read 7 3 EINTR\n5 2 b exit 1"),
            "the program did not call it again",
        ),
        (
            "no-deadlock",
            "0 1 a exec /bin/a\n0 1 a pipe 7 3 4\n0.1 1 a state BLOCKED read 7 fd 3\n1 1 a state READY by kernel"
                .to_owned(),
            "No end-of-file",
        ),
    ] {
        let [verdict] = verdicts(rule, &script, 0).try_into().unwrap();
        assert!(!verdict.holds && verdict.why.contains(why), "{verdict:?}");
    }
}

#[test]
fn what_was_lost_may_have_mattered() {
    for (rule, expected) in [
        ("no-lost-events", false),
        ("no-deadlock", false),
        ("x: no kind:signal", false),
        ("x: kind:send", true),
        ("x: 3..3 kind:send", false),
    ] {
        assert_eq!(verdicts(rule, TALK, 2).iter().all(|verdict| verdict.holds), expected, "{rule}");
    }
}

#[test]
fn mistakes_have_their_place() {
    for (rules, line, column, part) in [
        ("no-lost", 1, 1, "missing its colon, and this is none of no-lost-events"),
        ("\n# c\n a: kind:sent", 3, 10, "`sent` is no kind"),
        ("ä: bytes>x", 1, 10, "is not bytes"),
        ("a: no", 1, 6, "a filter is missing"),
        ("a:", 1, 3, "a filter is missing"),
        ("a: 3..1 kind:send", 1, 4, "not a range"),
        ("a: kind:send within soon", 1, 21, "not a time"),
        ("a:kind:send", 1, 1, "a colon and a blank"),
        ("a: x\na: y", 2, 1, "another rule `a`"),
    ] {
        let error = Rules::parse(rules).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{rules}: {error}");
        assert!(error.message.contains(part), "{rules}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,60}") {
        let _ = Rules::parse(&text);
        let _ = Rules::parse(&format!("a: 1.. {text} within {text}"));
    }
}
