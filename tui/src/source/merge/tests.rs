//! Recordings made for it, whose clocks are wrong by a known amount, merged and read again.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::{env, fs, process};

use proptest::prelude::*;

use super::*;
use crate::{
    decode::hosts::made::{Machine, conversation},
    event::{Event, Kind},
    source::{recording::Recording, replay::tests::every_place_of},
    trace::Writer,
};

/// A folder for a while.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("ipcscope-merge-{}-{name}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Records what a machine did; by the time of day it began then.
    fn record(&self, name: &str, boot: &str, start: &str, machine: &Machine) -> PathBuf {
        let header = RecordingHeader {
            header: Header {
                host: name.to_owned(),
                boot_id: boot.to_owned(),
                start: start.to_owned(),
                payload_limit: 64,
                ..Header::default()
            },
            clock_start: machine.start(),
            ..RecordingHeader::default()
        };
        let mut writer = Writer::new(Vec::new(), &header).unwrap();
        for (time, bytes) in &machine.records {
            writer.frame(FrameKind::Wire, time - machine.start(), bytes).unwrap();
        }
        let path = self.0.join(format!("{name}-{}.ipcs", machine.start()));
        fs::write(&path, writer.finish(&Ending::default()).unwrap()).unwrap();
        path
    }

    fn merge(&self, paths: &[PathBuf]) -> (Merge, PathBuf) {
        let merge = Merge::prepare(paths).unwrap();
        let out = self.0.join("merged.ipcs");
        fs::write(&out, merge.write(Vec::new()).unwrap().0).unwrap();
        (merge, out)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const NOON: &str = "2026-01-01T12:00:00.000000000Z";

fn events(path: &Path) -> Vec<Event> {
    let mut recording = Recording::open(path).unwrap();
    let mut events = Vec::new();
    while recording.next_item(&mut events).unwrap().is_some() {}
    assert_eq!(recording.note(), None);
    events
}

fn clocks(merge: &Merge) -> &[HostClock] {
    &merge.header().header.hosts
}

#[test]
fn a_known_shift_is_found_within_what_is_told() {
    let folder = Folder::new("shift");
    for (ahead, delay) in [([7, 5_000_000_000], [400, 400]), ([9_000_000_000, 1], [100, 90_000]), ([3, 3], [1, 1])] {
        let machines = conversation(ahead, 30, delay);
        // The time of day says nothing that is right.
        let paths = [folder.record("alpha", "a", NOON, &machines[0]), folder.record("beta", "b", NOON, &machines[1])];
        let (merge, out) = folder.merge(&paths);
        let [first, second] = clocks(&merge) else { unreachable!() };
        assert_eq!((first.offset_ns, first.uncertainty_ns, first.basis), (0, Some(0), Basis::Reference));
        // In truth the second began 2000 ns after the first.
        let uncertainty = second.uncertainty_ns.unwrap();
        assert!(second.offset_ns.abs_diff(2_000) <= uncertainty, "{second:?}");
        assert!(uncertainty <= (delay[0] + delay[1]).div_ceil(2) + 700, "{second:?}");
        assert_eq!((second.basis, second.matched, second.violation_ns), (Basis::Messages, 60, None));
        let events = events(&out);
        let received =
            events.iter().filter_map(|event| if let Kind::Recv(recv) = &event.kind { Some(recv) } else { None });
        assert_eq!(received.filter(|recv| recv.from.is_some()).count(), 60);
        assert!(merge.summary()[1].contains("by 60 messages, both ways"), "{:?}", merge.summary());
    }
}

#[test]
fn one_boot_has_one_clock() {
    let folder = Folder::new("boot");
    let machines = conversation([50, 50], 3, [400, 900]);
    let paths = [folder.record("vm", "a", NOON, &machines[0]), folder.record("vm", "a", NOON, &machines[1])];
    let (merge, _) = folder.merge(&paths);
    let [_, second] = clocks(&merge) else { unreachable!() };
    assert_eq!((second.offset_ns, second.uncertainty_ns, second.basis), (2_000, Some(0), Basis::SameBoot));
    assert_eq!(second.host, "vm#2");
    // Both have process 4711.
    assert!(merge.summary().iter().any(|line| line.contains("process 4711 is in")), "{:?}", merge.summary());
}

#[test]
fn without_messages_the_time_of_day_has_to_do() {
    let folder = Folder::new("day");
    let [client, mut server] = conversation([7, 5_000_000_000], 3, [400, 900]);
    server.server = 9;
    server.records.truncate(2);
    server.joins(40_000, 1);
    let paths = [
        folder.record("alpha", "a", "2026-01-01T12:00:01.500000000Z", &client),
        folder.record("beta", "b", NOON, &server),
    ];
    let (merge, out) = folder.merge(&paths);
    let [first, second] = clocks(&merge) else { unreachable!() };
    assert_eq!((first.offset_ns, second.offset_ns), (1_500_000_000, 0));
    assert_eq!((second.uncertainty_ns, second.basis, second.matched), (None, Basis::TimeOfDay, 0));
    assert_eq!(merge.header().header.start, NOON);
    assert!(merge.summary()[1].contains("how exactly is unknown: no message was matched"), "{:?}", merge.summary());
    assert!(events(&out).len() > 5);
}

#[test]
fn messages_one_way_bound_it_on_one_side() {
    let folder = Folder::new("oneway");
    let [mut client, server] = conversation([7, 5_000_000_000], 3, [400, 900]);
    client.records.retain(|(_, bytes)| !bytes.ends_with(b"HI"));
    let paths = [
        folder.record("alpha", "a", NOON, &client),
        // By the time of day an hour too early.
        folder.record("beta", "b", "2026-01-01T11:00:00.000000000Z", &server),
    ];
    let (merge, _) = folder.merge(&paths);
    let [first, second] = clocks(&merge) else { unreachable!() };
    assert_eq!((second.uncertainty_ns, second.basis, second.matched), (None, Basis::OneWay, 3));
    // Nothing is received before it was sent: as near to the truth as the fastest message allows.
    assert_eq!((first.offset_ns, second.offset_ns), (0, 2_000 - 400));
}

#[test]
fn clocks_that_drift_are_told() {
    let folder = Folder::new("drift");
    let [client, mut server] = conversation([0, 5_000_000_000], 200, [400, 400]);
    // One in ten is a lot: after a while more than a message takes.
    let start = server.start();
    for (time, bytes) in &mut server.records {
        let slow = |time: u64| start + (time - start) / 10 * 9;
        *time = slow(*time);
        bytes[..8].copy_from_slice(&time.to_le_bytes());
        if bytes.ends_with(b"hello") || bytes.ends_with(b"HI") {
            let entered = u64::from_le_bytes(bytes[24..32].try_into().unwrap());
            bytes[24..32].copy_from_slice(&slow(entered).to_le_bytes());
        }
    }
    let paths = [folder.record("alpha", "a", NOON, &client), folder.record("beta", "b", NOON, &server)];
    let (merge, out) = folder.merge(&paths);
    let second = &clocks(&merge)[1];
    assert!(second.violation_ns.is_some_and(|by| by > 10_000) && second.uncertainty_ns.is_none(), "{second:?}");
    assert!(merge.summary()[1].contains("drifts"), "{:?}", merge.summary());
    assert!(events(&out).windows(2).all(|pair| pair[0].t <= pair[1].t));
}

#[test]
fn the_same_addresses_are_not_always_one_connection() {
    let folder = Folder::new("apart");
    let machines = conversation([7, 5_000_000_000], 3, [400, 900]);
    // Another network with the same addresses: other counts.
    let mut other = Machine::new(false, 1, 900_000, 3_000);
    other.joins(6_000, 777);
    other.call(false, (9_000, 10_000), 70_000, b"other");
    other.tick(20_000);
    let paths = [
        folder.record("alpha", "a", NOON, &machines[0]),
        folder.record("beta", "b", NOON, &machines[1]),
        folder.record("gamma", "c", NOON, &other),
    ];
    let (merge, out) = folder.merge(&paths);
    let renamed: Vec<usize> = merge.header().parts.iter().map(|part| part.renamed.len()).collect();
    assert_eq!(renamed, [0, 0, 1]);
    for event in events(&out) {
        let of_gamma = event.host.as_ref().is_some_and(|host| host.0.as_ref() == "gamma");
        if let Some(channel) = event.channel() {
            assert_eq!(channel.0.ends_with("@gamma"), of_gamma, "{channel}");
        }
    }
    assert_eq!(clocks(&merge)[2].matched, 0);
}

#[test]
fn one_that_was_not_seen_to_begin_is_called_as_its_other_end_is() {
    let folder = Folder::new("begun");
    let mut machines = conversation([7, 5_000_000_000], 3, [400, 900]);
    let joins = |machine: &Machine| machine.records.iter().position(|(_, bytes)| bytes.len() == 168).unwrap();
    let at = joins(&machines[1]);
    machines[1].records.remove(at);
    let paths = [folder.record("alpha", "a", NOON, &machines[0]), folder.record("beta", "b", NOON, &machines[1])];
    let (_, out) = folder.merge(&paths);
    let channels: std::collections::BTreeSet<String> =
        events(&out).iter().filter_map(Event::channel).map(ToString::to_string).collect();
    assert_eq!(channels.into_iter().collect::<Vec<_>>(), ["tcp:10.0.0.1:40000-10.0.0.2:80"]);
    // Neither of them.
    let at = joins(&machines[0]);
    machines[0].records.remove(at);
    let paths = [folder.record("alpha", "a", NOON, &machines[0]), folder.record("beta", "b", NOON, &machines[1])];
    let (_, out) = folder.merge(&paths);
    let channels: std::collections::BTreeSet<String> =
        events(&out).iter().filter_map(Event::channel).map(ToString::to_string).collect();
    assert_eq!(channels.into_iter().collect::<Vec<_>>(), ["tcp:[77]"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = Folder::new("refused");
    let machines = conversation([7, 9], 3, [400, 900]);
    let paths = [folder.record("alpha", "a", NOON, &machines[0]), folder.record("beta", "b", NOON, &machines[1])];
    let refused = |paths: &[PathBuf]| Merge::prepare(paths).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused(&[paths[0].clone(), paths[0].clone()]).contains("they are the same recording"));
    let copy = folder.0.join("copy.ipcs");
    fs::copy(&paths[0], &copy).unwrap();
    assert!(refused(&[paths[0].clone(), copy]).contains("they are the same recording"));
    let (_, out) = folder.merge(&paths);
    let told = refused(&[out, paths[0].clone()]);
    assert!(told.contains("it is a merged recording; merge what it was made of: alpha-"), "{told}");
    assert!(refused(&vec![paths[0].clone(); MAX_HOSTS + 1]).contains("at most 64"));
    assert!(refused(&[folder.0.join("none"), paths[0].clone()]).contains("failed to open"));
}

#[test]
fn what_was_cut_off_is_merged_as_far_as_it_goes_and_told() {
    let folder = Folder::new("cut");
    let machines = conversation([7, 9], 3, [400, 900]);
    let paths = [folder.record("alpha", "a", NOON, &machines[0]), folder.record("beta", "b", NOON, &machines[1])];
    let whole = fs::read(&paths[1]).unwrap();
    fs::write(&paths[1], &whole[..whole.len() - 3]).unwrap();
    let merge = Merge::prepare(&paths).unwrap();
    let out = folder.0.join("merged.ipcs");
    fs::write(&out, merge.write(Vec::new()).unwrap().0).unwrap();
    assert!(merge.summary().iter().any(|line| line.contains("could not be read")), "{:?}", merge.summary());
    let mut recording = Recording::open(&out).unwrap();
    let mut events = Vec::new();
    while recording.next_item(&mut events).unwrap().is_some() {}
    assert!(recording.note().unwrap().starts_with("beta: "), "{:?}", recording.note());
    assert!(events.iter().any(|event| event.host.as_ref().is_some_and(|host| host.0.as_ref() == "beta")));
}

#[test]
fn notes_come_along() {
    let folder = Folder::new("notes");
    let machines = conversation([50, 50], 3, [400, 900]);
    let paths = [folder.record("vm", "a", NOON, &machines[0]), folder.record("vm", "a", NOON, &machines[1])];
    let note = |t, text: &str| Note { t: Nanos(t), text: text.to_owned() };
    trace::write_notes(&paths[0], &[note(5_000, "late")]).unwrap();
    trace::write_notes(&paths[1], &[note(1_000, "here"), note(9_000, "")]).unwrap();
    let (_, out) = folder.merge(&paths);
    let wanted = [note(3_000, "vm#2: here"), note(5_000, "vm: late"), note(11_000, "")];
    assert_eq!(trace::read_notes(&out).unwrap(), wanted);
}

/// A fold from the start and a place that was gone to are the same in a merged recording as well.
#[test]
fn every_place_can_be_gone_to() {
    let folder = Folder::new("places");
    let machines = conversation([7, 5_000_000_000], 5_000, [400, 900_000]);
    let paths = [folder.record("alpha", "a", NOON, &machines[0]), folder.record("beta", "b", NOON, &machines[1])];
    let (_, out) = folder.merge(&paths);
    every_place_of(&out);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_shift_is_found_within_what_is_told(
        ahead in prop::array::uniform2(0_u64..1 << 50),
        delay in prop::array::uniform2(1_u64..1 << 20),
        messages in 1_u32..20,
    ) {
        let folder = Folder::new("any");
        let machines = conversation(ahead, messages, delay);
        let paths = [folder.record("alpha", "a", NOON, &machines[0]), folder.record("beta", "b", NOON, &machines[1])];
        let merge = Merge::prepare(&paths).unwrap();
        let [first, second] = clocks(&merge) else { panic!("two") };
        let off = (second.offset_ns as i64 - first.offset_ns as i64 - 2_000).unsigned_abs();
        prop_assert!(off <= second.uncertainty_ns.unwrap(), "{:?}", second);
    }
}
