//! The fold, told by scripts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_push_string,
    reason = "a test may fail"
)]

use super::{
    Channel, Process, Side, World, arbitrary,
    script::{SAMPLE, parse},
};
use crate::event::{Action, End, Nanos, Phase, SignalSet, ThreadState};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn fold(script: &str) -> World {
    let mut world = World::new();
    for event in parse(script).unwrap() {
        world.apply(&event);
    }
    world
}

/// The sample up to a moment, in µs.
fn sample_until(us: u64) -> World {
    let mut world = World::new();
    for event in parse(SAMPLE).unwrap().iter().take_while(|e| e.t.0 <= us * 1_000) {
        world.apply(event);
    }
    world
}

fn names<'a>(world: &World, keys: impl IntoIterator<Item = &'a super::ProcessKey>) -> Vec<String> {
    keys.into_iter().map(|key| world.processes[key].comm.to_string()).collect()
}

fn pipe(world: &World, n: u32) -> &Channel {
    world.channels.get(&format!("pipe:[{n}]").as_str().into()).unwrap()
}

fn state(process: &Process) -> (ThreadState, Option<&'static str>) {
    let thread = process.summary().unwrap();
    (thread.state.unwrap(), thread.on.as_ref().and_then(|on| on.syscall))
}

#[test]
fn the_sample_in_its_midst() {
    use ThreadState::{Blocked, Running};

    let world = sample_until(3_345);
    assert_eq!(names(&world, &world.layout_order()), ["sh", "yes", "head", "sort"]);
    let states: Vec<_> = world.processes.values().map(state).collect();
    let expected = [(Blocked, Some("wait4")), (Blocked, Some("write")), (Running, None), (Blocked, Some("read"))];
    assert_eq!(states, expected);
    let edges: Vec<_> =
        world.edges().into_iter().map(|e| (e.channel.to_string(), names(&world, [&e.from, &e.to]).join(" "))).collect();
    assert_eq!(edges, [("pipe:[8124]".into(), "yes head".into()), ("pipe:[8125]".into(), "head sort".into())]);
    let full = pipe(&world, 8124);
    assert_eq!((full.fill, full.slots_used, full.slots, full.capacity), (Some(65536), Some(16), Some(16), Some(65536)));
    assert_eq!(full.level(), Some(1.0));
    assert_eq!(full.holders.values().copied().collect::<Vec<_>>(), [End::W, End::R]);
    let yes = world.process(4711).unwrap();
    assert_eq!((yes.descriptors.len(), yes.exe.as_str(), yes.bytes_sent), (1, "/usr/bin/yes", 10 * 8192));
    assert_eq!(yes.parent, world.by_pid.get(&4710).copied());
    // 21 µs told by a call that returned, and 5 µs of the one that waits now.
    assert_eq!(world.blocked(full, Side::Send, Nanos(3_345_000)), 26_000);
    assert_eq!(full.blocked_sending, 21_000);
}

#[test]
fn the_sample_at_its_end() {
    let world = sample_until(u64::MAX / 1_000);
    assert!(world.processes.values().all(|p| p.ended.is_some() && p.is_reaped() && p.descriptors.is_empty()));
    assert!(world.channels.values().all(|c| c.gone.is_some() && c.holders.is_empty()));
    assert!(pipe(&world, 8125).eof && !pipe(&world, 8124).eof);
    assert_eq!(pipe(&world, 8124).high_water, 65536);
    // What has ended keeps its place in the picture.
    assert_eq!(names(&world, &world.layout_order()), ["sh", "yes", "head", "sort"]);
    assert_eq!(world.signals.len(), 3);
    let phases: Vec<_> = world.signals[0].steps.iter().map(|(_, step)| step.phase).collect();
    assert_eq!(phases, [Phase::Generated, Phase::Delivered, Phase::Handled]);
    assert_eq!(world.signal(world.signals[2].id), world.signals.get(2));
    // States have no gap: the times in them are a thread's life.
    for process in world.processes.values() {
        let thread = &process.threads[&process.pid];
        let life = thread.since.since(process.born);
        assert_eq!(thread.spent.iter().sum::<u64>(), life, "{}", process.comm);
        assert_eq!(thread.spent_until(Nanos(u64::MAX)), thread.spent, "a dead thread's time stands still");
    }
}

#[test]
fn a_shell_that_only_holds_is_no_side() {
    let held = "0 1 sh pipe 7 3 4\n0.1 1 sh fork 2\n0.1 2 a inherit 7 r 3 from 1\n0.1 2 a inherit 7 w 4 from 1\n";
    let world = fold(held);
    assert_eq!((world.edges().len(), pipe(&world, 7).holders.len()), (0, 4));
    let world = fold(&format!("{held}0.2 2 a close 7 w 4\n0.3 1 sh close 7 r 3"));
    let edges = world.edges();
    assert_eq!(names(&world, [&edges[0].from, &edges[0].to]), ["sh", "a"]);
    assert!(!edges[0].has_sent && !edges[0].has_received);
    // Both ends held, but used: it is a reader.
    let world = fold(&format!("{held}0.2 1 sh write 7 4 5\n0.3 2 a read 7 3 5"));
    assert_eq!(world.edges().len(), 1);
    // The self-pipe of an event loop.
    let world = fold("0 1 loop pipe 7 3 4\n0 1 loop write 7 4 1\n0 1 loop read 7 3 1");
    let edge = &world.edges()[0];
    assert!(edge.from == edge.to);
}

#[test]
fn descriptors() {
    for (script, expected) in [
        ("0 1 a pipe 7 3 4", "7r3 7w4"),
        ("0 1 a pipe 7 3 4\n0 1 a dup 7 r 3 0\n0 1 a close 7 r 3", "7r0 7w4"),
        // dup2 onto a descriptor that was open.
        ("0 1 a pipe 7 3 4\n0 1 a pipe 8 5 6\n0 1 a dup 8 w 6 4", "7r3 8r5 8w6 8w4"),
        // A close that comes late is about what the descriptor was.
        ("0 1 a pipe 7 3 4\n0 1 a pipe 8 5 6\n0 1 a dup 8 w 6 4\n0 1 a close 7 w 4", "7r3 8r5 8w6 8w4"),
        ("0 1 a pipe 7 3 4\n0 1 a exit 0", ""),
        ("0 1 a pipe 7 3 4\n0 1.2 a exit thread 0", "7r3 7w4"),
        ("0 1 a attach fifo:/f rw 9", "/frw9"),
        ("0 1 a exit 0\n0 1 a attach 7 r 0", ""),
    ] {
        let world = fold(script);
        let mut held: Vec<_> = (world.channels.values())
            .flat_map(|c| c.holders.iter().map(move |((_, fd), end)| (c, *fd, *end)))
            .map(|(c, fd, end)| {
                let name = c.id.0.trim_start_matches("pipe:[").trim_start_matches("fifo:").trim_end_matches(']');
                format!("{name}{}{fd}", format!("{end:?}").to_lowercase())
            })
            .collect();
        let mut expected: Vec<_> = expected.split_whitespace().map(str::to_owned).collect();
        held.sort();
        expected.sort();
        assert_eq!(held, expected, "{script}");
        let by_process: usize = world.processes.values().map(|p| p.descriptors.len()).sum();
        assert_eq!(by_process, held.len(), "both views agree: {script}");
    }
}

#[test]
fn ids_are_reused() {
    let world = fold("0 1 sh fork 2\n1 2 a exit 3\n1.1 2 a state DEAD\n2 1 sh fork 2\n3 2 b exec /bin/b");
    let twos: Vec<_> = world.processes.values().filter(|p| p.pid == 2).collect();
    assert_eq!((twos.len(), twos[0].comm.to_string(), twos[1].exe.as_str()), (2, "a".into(), "/bin/b"));
    assert_eq!(world.process(2).unwrap().key, twos[1].key);
    // What a zombie's last events tell belongs to it.
    let world = fold("0 1 sh fork 2\n1 2 a exit 3\n1.1 2 a state ZOMBIE\n1.2 2 a state DEAD");
    assert_eq!(world.processes.len(), 2);
    // An end that was lost, and one of which only the last state is left.
    let world = fold("0 1 sh fork 2\n0.5 2 a state RUNNING cpu0\n1 1 sh fork 2");
    assert_eq!(world.processes.values().filter(|p| p.ended.is_some()).count(), 1);
    let world = fold("0 1 sh fork 2\n0.5 2 a state RUNNING cpu0\n1 2 a state DEAD");
    assert!(world.process(2).unwrap().ended.is_some());
}

#[test]
fn threads_and_states() {
    let world = fold(
        "0 1 a state RUNNING cpu3\n1 1 a fork 5 thread\n1 1.5 a state NEW\n2 1.5 w state READY by 1\n\
         3 1 a state BLOCKED futex\n4 1.5 w state RUNNING cpu1\n5 1.5 w state READY preempted",
    );
    let process = world.process(1).unwrap();
    assert_eq!((process.comm.to_string(), process.summary().unwrap().comm.to_string()), ("a".into(), "w".into()));
    let thread = &process.threads[&5];
    assert_eq!(thread.spent_until(Nanos(7_000_000_000)).map(|ns| ns / 1_000_000_000), [1, 4, 1, 0, 0, 0, 0]);
    assert_eq!(thread.current_stay(Nanos(7_000_000_000)), 2_000_000_000);
    assert!(thread.preempted && thread.cpu.is_none());
    // An exec ends the others.
    let world = fold("0 1 a fork 5 thread\n0 1.5 a state RUNNING\n1 1 a exec /b\n2 1 b exit 0");
    assert_eq!(world.process(1).unwrap().threads[&5].state, Some(ThreadState::Dead));
}

#[test]
fn time_blocked_never_shrinks() {
    let script = "0 1 a attach 7 w 1\n1 1 a state BLOCKED write 7 fd 1\n3 1 a state READY by 2\n\
                  4 1 a state BLOCKED write 7 fd 1\n5 1 a state READY by 2\n6 1 a write 7 1 9 blocked 3s\n\
                  7 1 a state BLOCKED poll 7 fd 1\n8 1 a state RUNNING\n9 1 a write 7 1 9 blocked 0s";
    let mut world = World::new();
    let mut blocked = Vec::new();
    for event in parse(script).unwrap() {
        world.apply(&event);
        blocked.push(world.blocked(pipe(&world, 7), Side::Send, event.t) / 1_000_000_000);
    }
    assert_eq!(blocked, [0, 0, 2, 2, 3, 3, 3, 4, 4]);
}

#[test]
fn loss_makes_states_uncertain() {
    let world = fold("0 1 a state RUNNING\n0 2 b state RUNNING\n1 - - lost 5 sched 0 1\n2 2 b state READY");
    assert_eq!(world.lost, 5);
    let uncertain: Vec<_> = world.processes.values().map(|p| p.summary().unwrap().uncertain).collect();
    assert_eq!(uncertain, [true, false]);
}

#[test]
fn memory_is_bounded() {
    let mut script = String::from("0 1 sh exec /bin/sh\n");
    for pid in 2..6_000 {
        script += &format!("+1us 1 sh fork {pid}\n+1us {pid} a pipe {pid} 3 4\n+1us {pid} a write {pid} 4 1 fill 1\n");
        script += &format!("+1us {pid} a signal CHLD 1 generated\n+1us {pid} a exit 0\n+1us {pid} a state DEAD\n");
        // Somebody writes to what nobody is known to hold.
        script += &format!("+1us 1 sh write 9{pid} 4 1\n+1us 1 sh write 7 9 1 fill {pid}\n");
    }
    let world = fold(&script);
    assert_eq!((world.processes.len(), world.by_pid.len(), world.channels.len()), (4_097, 4_097, 4_096));
    assert_eq!((world.signals.len(), world.signal_count()), (1_000, 1_000));
    let shared = pipe(&fold("0 1 sh attach 7 w 9"), 7).clone();
    assert!(shared.history.is_empty());
    let mut script = String::from("0 1 sh attach 7 w 9\n");
    for fill in 0..5_000 {
        script += &format!("+1us 1 sh write 7 9 1 fill {fill}\n");
    }
    let world = fold(&script);
    let history = &pipe(&world, 7).history;
    assert!((250..=512).contains(&history.len()));
    assert_eq!(history.back().unwrap().1, 4_999);
    let steps: Vec<_> = history.iter().zip(history.iter().skip(1)).map(|(a, b)| b.1 - a.1).collect();
    assert!(steps[..steps.len() - 1].iter().all(|step| *step == 16), "{steps:?}");
    let mut script = String::new();
    for tid in 2..3_000 {
        script += &format!("+1us 1 a fork {tid} thread\n+1us 1.{tid} a exit thread 0\n");
    }
    assert!(fold(&script).process(1).unwrap().threads.len() < 600);
}

proptest! {
    #[test]
    fn any_events_give_a_sound_world(events in arbitrary::events()) {
        let mut world = World::new();
        let mut again = World::new();
        for event in &events {
            world.apply(event);
            again.apply(event);
            check_invariants(&world);
        }
        prop_assert_eq!(&world, &again);
        prop_assert_eq!(world.events, events.iter().filter(|event| !event.kind.is_quiet()).count() as u64);
    }

    #[test]
    fn any_text_is_a_script_or_refused(text in "[0-9.+a-z:/ @,|\\n\\PC]{0,80}", line in any::<prop::sample::Index>()) {
        let _ = parse(&text);
        // A real line with something odd inside.
        let lines: Vec<_> = SAMPLE.lines().collect();
        let words: Vec<_> = lines[line.index(lines.len())].split(' ').collect();
        for cut in 0..words.len() {
            let _ = parse(&format!("{} {text}", words[..cut].join(" ")));
        }
    }
}

fn check_invariants(world: &World) {
    let held: BTreeSet<_> = (world.channels.values())
        .flat_map(|c| c.holders.iter().map(|((key, fd), end)| (*key, *fd, c.id.clone(), *end)))
        .collect();
    let holding: BTreeSet<_> = (world.processes.values())
        .flat_map(|p| p.descriptors.iter().map(|(fd, (id, end))| (p.key, *fd, id.clone(), *end)))
        .collect();
    assert_eq!(held, holding);
    let unheld: BTreeSet<_> = (world.channels.values())
        .filter(|c| c.holders.is_empty())
        .map(|c| (c.gone.unwrap_or(c.born), c.id.clone()))
        .collect();
    assert_eq!(unheld, world.unheld, "what nobody holds can be forgotten");
    for process in world.processes.values() {
        assert!(process.ended.is_none() || process.descriptors.is_empty());
        assert!(process.summary().is_some(), "whoever appears has a thread");
        for thread in process.threads.values() {
            let spent: u128 = thread.spent_until(world.now).iter().map(|ns| u128::from(*ns)).sum();
            assert!(spent <= u128::from(world.now.since(process.born)), "no time is counted twice");
        }
    }
    for channel in world.channels.values() {
        assert!(channel.gone.is_none() || channel.holders.is_empty());
        assert!(channel.level().is_none_or(|level| (0.0..=1.0).contains(&level)));
        for side in [Side::Send, Side::Receive] {
            world.blocked(channel, side, world.now);
        }
    }
    for row in &world.signals {
        assert_eq!(world.signal(row.id), Some(row));
    }
    let order = world.layout_order();
    assert!(order.iter().copied().collect::<BTreeSet<_>>().into_iter().eq(world.processes.keys().copied()));
    assert_eq!(order.len(), world.processes.len());
    assert!(world.edges().iter().all(|e| world.processes.contains_key(&e.from) && world.processes.contains_key(&e.to)));
}

#[test]
fn quiet_events_change_the_model_and_have_no_number() {
    let script = "0 1 sh dispositions ignored PIPE|HUP caught CHLD
         0 1 sh mask USR1|USR2
         0 1 sh fork 2
         0.1 2 sh disposition HUP 0x40 flags SA_RESTART mask INT
         0.1 2 sh disposition PIPE terminate
         0.2 1 sh signal USR1 2 generated
         0.2 2 sh signal USR1 2 pending masked mask USR1|USR2
         0.3 2 sh mask -";
    assert_eq!(parse(script).unwrap().iter().map(|e| e.seq).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1, 2, 3]);
    let world = fold(script);
    assert_eq!(world.events, 3);
    let (parent, child) = (world.process(1).unwrap(), world.process(2).unwrap());
    let caught = |p: &Process| p.dispositions.iter().map(|(n, d)| (*n, d.action)).collect::<Vec<_>>();
    assert_eq!(caught(parent), [(1, Action::Ignore), (13, Action::Ignore), (17, Action::Handler)]);
    assert_eq!(caught(child), [(1, Action::Handler), (17, Action::Handler)], "a child begins with a copy");
    let handler = &child.dispositions[&1];
    assert_eq!(
        (handler.handler.as_deref(), &handler.flags[..], handler.mask.0),
        (Some("0x40"), &["SA_RESTART"][..], 2)
    );
    assert_eq!(parent.threads[&1].blocked, Some(SignalSet::from_iter([10, 12])));
    assert_eq!(child.threads[&2].blocked, Some(SignalSet::default()));
    assert_eq!((world.pending(2, None), world.pending(1, None)), (SignalSet::from_iter([10]), SignalSet::default()));
}
