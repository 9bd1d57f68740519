//! What people write: filters, rules, scripts of events, names of families. A filter and a rule are put to work.
#![no_main]

use std::{io::Cursor, sync::OnceLock};

use ipcscope::{
    analyze::{Check, Filter, Findings, Lines, Rules},
    decode::Decoder,
    event::{Ending, Event, FamilySet, Nanos},
    model::{World, script},
    trace::Reader,
};
// For its limit on allocations.
use ipcscope_fuzz as _;
use libfuzzer_sys::fuzz_target;

const RECORDING: &[u8] = include_bytes!("../../tui/tests/fixtures/flight.ipcs");

/// Some events of most kinds.
fn events() -> &'static [Event] {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    EVENTS.get_or_init(|| {
        let mut events = script::parse(script::SAMPLE).unwrap_or_default();
        let mut decoder = Decoder::new(FamilySet::all(), u32::MAX);
        if let Ok(reader) = Reader::new(Cursor::new(RECORDING)) {
            for frame in reader.flatten() {
                decoder.record(&frame.bytes, &mut events);
            }
        }
        decoder.finish(&mut events);
        events
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match choice % 4 {
        0 => filter(text),
        1 => rules(text),
        2 => of_events(text),
        _ => drop(text.parse::<FamilySet>()),
    }
});

fn filter(text: &str) {
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        // What is wrong is within the text, or right behind it.
        Err(error) => return assert!(error.column <= text.chars().count(), "{error:?}"),
    };
    let matching = events().iter().filter(|event| filter.matches(event)).count();
    let both = filter.and(&filter);
    assert_eq!(events().iter().filter(|event| both.matches(event)).count(), matching);
    // What `and` writes can be read, but for brackets too deep.
    let few = text.matches('(').count() < 32;
    assert!(!few || Filter::parse(both.source()).is_ok(), "{:?}", both.source());
}

fn rules(text: &str) {
    let Ok(rules) = Rules::parse(text) else { return };
    let mut check = Check::new(rules, Findings::new());
    for event in events() {
        check.apply(event);
    }
    drop(check.verdicts(Nanos(u64::MAX), &Ending::default()));
}

fn of_events(text: &str) {
    let Ok(events) = script::parse(text) else { return };
    let (mut world, mut findings, mut lines) = (World::new(), Findings::new(), Lines::new());
    for event in &events {
        findings.apply(&world, event);
        world.apply(event);
        drop((lines.full_line(event, false), event.to_json()));
    }
    drop(findings.at(&world, world.now));
}
