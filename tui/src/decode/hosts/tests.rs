//! Records of two hosts, decoded as one trace.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use proptest::prelude::*;

use super::{
    made::{Machine, conversation},
    *,
};
use crate::{
    event::{FromUnknown, Kind, Transfer},
    model::World,
};

fn part(host: &str, machine: usize, offset: u64) -> Part {
    Part { host: host.to_owned(), offset, machine, payload: 64, ..Part::default() }
}

/// The records of all in order of true time, as a merged recording has them.
fn decode(parts: Vec<Part>, machines: &[Machine]) -> Vec<Event> {
    let mut records: Vec<(u64, usize, &[u8])> = Vec::new();
    for (place, machine) in machines.iter().enumerate() {
        let shift = |time: u64| time - machine.start() + parts[place].offset;
        records.extend(machine.records.iter().map(|(time, bytes)| (shift(*time), place, bytes.as_slice())));
    }
    records.sort_by_key(|(time, ..)| *time);
    let mut hosts = Hosts::new(parts);
    let mut events = Vec::new();
    for (time, place, bytes) in records {
        hosts.record(place, time, bytes, &mut events);
    }
    hosts.finish(&mut events);
    assert_eq!(hosts.lost(), 0);
    events
}

/// Offsets that are right: the client begins at 1000, the server at 3000.
fn right() -> Vec<Part> {
    vec![part("alpha", 0, 0), part("beta", 1, 2_000)]
}

fn receives(events: &[Event]) -> Vec<(&Event, &Transfer)> {
    let mut found = Vec::new();
    for event in events {
        if let Kind::Recv(receive) = &event.kind {
            found.push((event, &**receive));
        }
    }
    found
}

#[test]
fn a_connection_between_two_hosts_is_one_channel_and_receives_name_their_sends() {
    let events = decode(right(), &conversation([7_000_000, 90_000], 20, [400, 900]));
    let received = receives(&events);
    assert_eq!(received.len(), 40);
    for (event, receive) in received {
        assert_eq!(&*receive.channel.0, "tcp:10.0.0.1:40000-10.0.0.2:80");
        let [origin] = receive.from.as_deref().unwrap() else { unreachable!() };
        let send = events.iter().find(|send| send.call().is_some_and(|call| call.op == origin.op)).unwrap();
        let Kind::Send(sent) = &send.kind else { unreachable!("{send:?}") };
        assert_ne!(send.host, event.host);
        assert_eq!((origin.host.as_ref(), Some(origin.pid)), (send.host.as_ref(), send.task.map(|task| task.pid)));
        assert_eq!((sent.offset, &sent.payload), (receive.offset, &receive.payload));
        assert!(receive.offset.is_some() && receive.from_unknown.is_none());
    }
    assert!(events.windows(2).all(|pair| pair[0].t <= pair[1].t));
    assert!(events.iter().all(|event| event.host.is_some()));
    let told = events.iter().filter(|event| !event.kind.is_quiet());
    assert!(told.enumerate().all(|(seq, event)| event.seq == seq as u64));
}

#[test]
fn the_model_keeps_processes_of_one_number_apart() {
    let events = decode(right(), &conversation([0, 0], 3, [400, 900]));
    let mut world = World::new();
    for event in &events {
        world.apply(event);
    }
    let named: Vec<(String, String)> =
        world.processes.values().map(|process| (process.comm.to_string(), process.number())).collect();
    let told = |name: &str, number: &str| (name.to_owned(), number.to_owned());
    assert_eq!(named, [told("client", "4711@alpha"), told("server", "4711@beta")]);
    let shared = world.channels.values().filter(|channel| channel.senders.len() == 2).count();
    assert_eq!(shared, 1);
    let json: serde_json::Value = serde_json::from_str(&events[0].to_json()).unwrap();
    assert_eq!((&json["pid"], &json["host"]), (&4711.into(), &"alpha".into()));
    for event in &events {
        assert!(!event.to_json().contains(&crate::event::on_host(4711, 1).to_string()), "{}", event.to_json());
    }
}

#[test]
fn channels_of_one_name_are_one_only_where_they_are() {
    let mut names = Names::new(&[part("alpha", 0, 0), part("beta", 0, 0), part("gamma", 1, 0)]);
    for (place, own, whole) in [
        (0, "pipe:[7]", "pipe:[7]"),
        (1, "pipe:[7]", "pipe:[7]"),
        (2, "pipe:[7]", "pipe:[7]@gamma"),
        (2, "pipe:[7]", "pipe:[7]@gamma"),
        (1, "sysv-mq:3", "sysv-mq:3"),
        (0, "sysv-mq:3", "sysv-mq:3@alpha"),
        (1, "fifo:/tmp/f", "fifo:/tmp/f"),
        (0, "fifo:/tmp/f", "fifo:/tmp/f@alpha"),
        (2, "tcp:[::1]:5-[::1]:6", "tcp:[::1]:5-[::1]:6"),
        (0, "tcp:[::1]:5-[::1]:6", "tcp:[::1]:5-[::1]:6"),
        (2, "tcp:[5]", "tcp:[5]"),
        (1, "tcp:[5]", "tcp:[5]@beta"),
    ] {
        let mut channel = own.into();
        names.put(&mut channel, place);
        assert_eq!(&*channel.0, whole, "{own} of {place}");
    }
    let mut renamed = part("beta", 1, 0);
    renamed.renamed.insert("tcp:[5]".to_owned(), "tcp:a-b".to_owned());
    let mut names = Names::new(&[part("alpha", 0, 0), renamed]);
    for (place, own) in [(1, "tcp:[5]"), (0, "tcp:a-b"), (1, "tcp:[5]")] {
        let mut channel = own.into();
        names.put(&mut channel, place);
        assert_eq!(&*channel.0, "tcp:a-b");
    }
    assert!(names.is_shared(&"tcp:a-b".into()));
}

#[test]
fn whoever_waits_for_a_send_that_does_not_come_says_so() {
    let [mut client, server] = conversation([0, 0], 5, [400, 900]);
    // The client's third send is missing.
    let sends: Vec<usize> = (0..client.records.len()).filter(|n| client.records[*n].1.ends_with(b"hello")).collect();
    client.records.remove(sends[2]);
    let parts = right();
    let mut hosts = Hosts::new(parts);
    let mut events = Vec::new();
    let mut all: Vec<_> = client.records.iter().map(|r| (r.0 - 1_000, 0, &r.1)).collect();
    all.extend(server.records.iter().map(|r| (r.0 - 1_000, 1, &r.1)));
    all.sort_by_key(|(time, ..)| *time);
    for (time, place, bytes) in all {
        hosts.record(place, time, bytes, &mut events);
    }
    hosts.finish(&mut events);
    let of_server: Vec<_> =
        receives(&events).into_iter().filter(|(event, _)| event.host.as_ref().unwrap().0.as_ref() == "beta").collect();
    let unknown: Vec<_> = of_server.iter().map(|(_, receive)| receive.from_unknown).collect();
    assert_eq!(unknown, [None, None, Some(FromUnknown::Overlap), None, None]);
}

#[test]
fn a_host_that_is_silent_holds_nobody_up() {
    // The server's recording stops being read in the middle of nowhere; the client goes on for minutes.
    let [mut client, server] = conversation([0, 0], 2, [400, 900]);
    for minute in 1..5 {
        client.call(true, (minute * 60_000_000_000, minute * 60_000_000_000 + 9), 1_010 + 5 * minute as u32, b"hello");
    }
    let mut hosts = Hosts::new(right());
    let mut told = Vec::new();
    let mut all: Vec<_> = client.records.iter().map(|r| (r.0 - 1_000, 0, &r.1)).collect();
    all.extend(server.records.iter().map(|r| (r.0 - 1_000, 1, &r.1)));
    all.sort_by_key(|(time, ..)| *time);
    for (time, place, bytes) in all {
        let mut events = Vec::new();
        hosts.record(place, time, bytes, &mut events);
        told.extend(events);
    }
    // All but the last have been told without an end in sight.
    assert!(told.iter().any(|event| event.t.0 >= 180_000_000_000), "{:?}", told.last());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the clocks were taken for: whose bytes are whose hangs on TCP's counts alone.
    #[test]
    fn wrong_clocks_change_no_edge(offsets in prop::array::uniform2(0_u64..20_000_000), delays in prop::array::uniform2(1_u64..100_000)) {
        let machines = conversation([5, 9_000_000], 10, delays);
        let events = decode(vec![part("alpha", 0, offsets[0]), part("beta", 1, offsets[1])], &machines);
        prop_assert!(events.windows(2).all(|pair| pair[0].t <= pair[1].t && pair[0].seq <= pair[1].seq));
        for (event, receive) in receives(&events) {
            if let Some(from) = &receive.from {
                let send = events.iter().find(|send| send.call().is_some_and(|call| call.op == from[0].op)).unwrap();
                prop_assert_ne!(&send.host, &event.host);
                let Kind::Send(sent) = &send.kind else { unreachable!() };
                prop_assert_eq!(&sent.payload, &receive.payload);
            }
        }
    }

    /// Whatever a part claims to be, and whatever is in it.
    #[test]
    fn nonsense_is_no_panic(
        records in prop::collection::vec((0_usize..5, any::<u64>(), prop::collection::vec(any::<u8>(), 0..240)), 0..60),
        kinds in prop::collection::vec(prop_oneof![Just(0x70_u16), Just(0x71), Just(0xf0), Just(0x12), any::<u16>()], 60),
        offset in any::<u64>(),
    ) {
        let mut hosts = Hosts::new(vec![part("a", 0, 0), part("", 0, offset), part("a", 1, u64::MAX)]);
        let mut events = Vec::new();
        for ((place, time, mut bytes), kind) in records.into_iter().zip(kinds) {
            if let Some(at) = bytes.get_mut(14..16) {
                at.copy_from_slice(&kind.to_le_bytes());
            }
            hosts.record(place, time, &bytes, &mut events);
            if time % 7 == 0 {
                hosts.not_kept(place, time, time, &mut events);
            }
            if time % 11 == 0 {
                hosts.end(place, time, time, &mut events);
            }
        }
        hosts.finish(&mut events);
        prop_assert!(events.windows(2).all(|pair| pair[0].t <= pair[1].t && pair[0].seq <= pair[1].seq));
        for event in &events {
            drop(event.to_json());
        }
    }
}
