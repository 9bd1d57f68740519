//! A recording played and gone about in, compared with a fold from its start.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::path::{Path, PathBuf};

use crossbeam_channel::{bounded, unbounded};

use super::{
    Ask, Moved, Target,
    find::find,
    index::{Index, Scene},
    play,
    walk::Walk,
};
use crate::{
    analyze::Filter,
    event::{Event, Nanos},
    model::World,
    source::{Request, Update, recording::Recording},
};

/// Seven seconds of a pipeline and its signals, in several blocks.
fn lesson() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons/pipeline.ipcs")
}

fn everything() -> Vec<Event> {
    all_of(&lesson())
}

fn all_of(path: &Path) -> Vec<Event> {
    let mut walk = Walk::new(Recording::open(path).unwrap());
    std::iter::from_fn(|| walk.event().unwrap()).collect()
}

fn indexed() -> (Walk, Index) {
    index_of(&lesson())
}

fn index_of(path: &Path) -> (Walk, Index) {
    let recording = Recording::open(path).unwrap();
    let index = Index::default();
    index.build(Recording::open(path).unwrap(), 1);
    (Walk::new(recording), index)
}

/// The world at the cursor, and what is wrong by then.
fn at_cursor(moved: &Moved) -> Scene {
    let mut scene = moved.scene.clone();
    moved.events.iter().for_each(|event| scene.apply(event));
    scene
}

#[test]
fn every_place_is_the_fold_from_the_start_however_it_was_come_by() {
    every_place_of(&lesson());
}

#[test]
fn where_checkpoints_take_too_much_every_other_one_goes() {
    let index = Index::default();
    let open = || Recording::open(&lesson()).unwrap();
    index.build_within(open(), 1, (1, 0));
    let few = index.until(u64::MAX);
    let all = indexed().1.until(u64::MAX).len();
    assert!((1..=2).contains(&few.len()) && few[0].event == 0 && all > 3, "{} of {all}", few.len());
    let mut walk = Walk::new(open());
    let last = all_of(&lesson()).len() as u64 - 1;
    let place = |walk: &mut Walk, index: &Index, target| {
        walk.move_to(Target::Event(target), false, index, || false).unwrap().unwrap()
    };
    let (mut other, whole) = indexed();
    for target in [last, 0, last / 2] {
        let (one, same) = (place(&mut walk, &index, target), place(&mut other, &whole, target));
        assert!(at_cursor(&one).world == at_cursor(&same).world, "{target}");
    }
}

/// The same of any recording of several blocks.
///
/// # Panics
///
/// If it is not so.
pub fn every_place_of(path: &Path) {
    let all = all_of(path);
    let (mut walk, index) = index_of(path);
    assert!(index.until(u64::MAX).len() > 3, "it must have several blocks");
    // Ends, neighbours, and places all over; not in order.
    let last = all.len() as u64 - 1;
    let mut places: Vec<u64> = (0..40).map(|n| n * 7919 % (last + 1)).chain([last, 0, 1, last - 1]).collect();
    for point in index.until(u64::MAX) {
        places.extend([point.event.saturating_sub(1), point.event, point.event + 1]);
    }
    places.retain(|place| *place <= last);
    let mut wanted = std::collections::BTreeMap::new();
    let mut scene = Scene::new(true);
    for (number, event) in all.iter().enumerate() {
        scene.apply(event);
        if places.contains(&(number as u64)) {
            wanted.insert(number as u64, scene.clone());
        }
    }
    for place in places {
        let moved = walk.move_to(Target::Event(place), false, &index, || false).unwrap().unwrap();
        assert_eq!(moved.cursor(), Some(place));
        let (first, end) = (moved.first as usize, moved.first as usize + moved.events.len());
        assert_eq!(moved.events, all[first..end]);
        assert!(end as u64 == place + 1 && (first == 0 || place as usize - first >= 511), "{place}: from {first}");
        let (seen, folded) = (at_cursor(&moved), &wanted[&place]);
        assert_eq!(seen.world, folded.world, "{place}");
        let now = seen.world.now;
        assert_eq!(seen.findings.at(&seen.world, now), folded.findings.at(&folded.world, now), "{place}");
    }
}

#[test]
fn a_time_and_a_number_lead_to_the_last_event_that_is_not_later() {
    let all = everything();
    let (mut walk, index) = indexed();
    let end = all.last().unwrap().t.0;
    for t in (0..60).map(|n| end / 50 * n).chain([0, end, u64::MAX]) {
        let moved = walk.move_to(Target::Time(Nanos(t)), false, &index, || false).unwrap().unwrap();
        let wanted = all.iter().rposition(|event| event.t.0 <= t).unwrap_or(0);
        assert_eq!(moved.cursor(), Some(wanted as u64), "{t}");
        let is_between = (all[0].t.0..end).contains(&t);
        assert_eq!(moved.now.0, if is_between { t } else { all[wanted].t.0 }, "{t}");
    }
    for seq in [0, 1, 500, 5000, u64::MAX] {
        let moved = walk.move_to(Target::Seq(seq), false, &index, || false).unwrap().unwrap();
        let wanted = all.iter().rposition(|event| event.seq <= seq).unwrap_or(0);
        assert_eq!(moved.cursor(), Some(wanted as u64), "{seq}");
    }
    let moved = walk.move_to(Target::End, false, &index, || false).unwrap().unwrap();
    assert_eq!(moved.cursor(), Some(all.len() as u64 - 1));
}

#[test]
fn what_is_looked_for_is_found_in_both_directions() {
    let all = everything();
    let (mut walk, index) = indexed();
    let signals = Filter::parse("kind:signal").unwrap();
    let nothing = Filter::parse("comm:nobody").unwrap();
    let matches: Vec<u64> = (0..).zip(&all).filter(|(_, event)| signals.matches(event)).map(|(n, _)| n).collect();
    assert!(matches.len() > 3);
    for from in (0..all.len() as u64).step_by(301) {
        let next = find(&mut walk, &index, &signals, from, true, |_| true).unwrap();
        assert_eq!(next, matches.iter().find(|n| **n > from).copied(), "after {from}");
        let before = find(&mut walk, &index, &signals, from, false, |_| true).unwrap();
        assert_eq!(before, matches.iter().rev().find(|n| **n < from).copied(), "before {from}");
        assert_eq!(find(&mut walk, &index, &nothing, from, true, |_| true).unwrap(), None);
    }
}

#[test]
fn it_plays_stands_and_goes_anywhere_without_a_gap() {
    let all = everything();
    let (updates_in, updates) = bounded(8);
    let (requests, asked) = unbounded();
    let player = std::thread::spawn(move || play(Recording::open(&lesson()).unwrap(), 0.0, &updates_in, &asked));
    // All of it, at once.
    let mut seen = Vec::new();
    loop {
        match updates.recv().unwrap() {
            Update::Events(events) => seen.extend(events),
            Update::Ended(_) => break,
            _ => {}
        }
    }
    assert_eq!(seen, all);
    // Back, and on from an event in the middle.
    let middle = all.len() as u64 / 2;
    requests.send(Request::Replay(Ask::Go(Target::Event(3)))).unwrap();
    requests.send(Request::Replay(Ask::Play { from: Some(middle), speed: 1000.0 })).unwrap();
    let mut world = World::new();
    let mut number = 0;
    loop {
        match updates.recv().unwrap() {
            Update::Moved(moved) => {
                let plays = moved.plays;
                assert_eq!(moved.cursor(), Some(if plays { middle } else { 3 }));
                (number, world) = (moved.first, moved.scene.world);
                for event in moved.events {
                    assert_eq!(event, all[number as usize]);
                    world.apply(&event);
                    number += 1;
                }
                assert!(!plays || number == middle + 1);
            }
            Update::Events(events) => {
                for event in events {
                    assert_eq!(event, all[number as usize]);
                    world.apply(&event);
                    number += 1;
                }
            }
            Update::Ended(_) => break,
            _ => {}
        }
    }
    let mut whole = World::new();
    for event in &all {
        whole.apply(event);
    }
    assert_eq!(world, whole);
    // Standing still at the beginning, some more events are to be had.
    requests.send(Request::Replay(Ask::Go(Target::Event(0)))).unwrap();
    requests.send(Request::Replay(Ask::More)).unwrap();
    let mut number = 0;
    while number < 1024 {
        match updates.recv().unwrap() {
            Update::Moved(moved) => number = moved.first as usize + moved.events.len(),
            Update::Events(events) => {
                assert_eq!(events[..], all[number..number + events.len()]);
                number += events.len();
            }
            _ => {}
        }
    }
    drop((updates, requests));
    player.join().unwrap();
}
