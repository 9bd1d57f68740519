//! Whole screens in the sizes and states that matter.

use std::{fmt::Write as _, os::unix::process::ExitStatusExt as _, process::ExitStatus, time::Instant};

use ipcscope::{
    event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, End, Ending, Event, Header, Kind, Lost, Nanos, Task},
    model::script,
    source::{Update, recording::Recording},
    ui::{Mode, Options},
};

use crate::stage::{FAN, SIGNALS, Stage, events, options};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 50)];
/// yes is BLOCKED on the full pipe, head RUNNING, sort BLOCKED on the empty one.
const MIDDLE: f64 = 0.003_39;

fn check(name: &str, make: impl Fn((u16, u16)) -> Stage) {
    for size in SIZES {
        let name = format!("{name}_{}x{}", size.0, size.1);
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, make(size).screen());
        });
    }
}

fn with_pane(size: (u16, u16), until: f64) -> Stage {
    let mut stage = Stage::new(Options { terminal_pane: true, ..options() }, size);
    stage.update(Update::Started(Header::default()));
    stage.wait(1000);
    stage.update(Update::Output(b"$ yes | head -n 20480 | sort -u\r\n\x1b[31mred\x1b[0m \xe2\x9c\x93\r\n".to_vec()));
    stage.update(Update::Events(events(script::SAMPLE, until)));
    stage
}

/// A lesson as it was recorded, until a time in seconds.
fn recorded(size: (u16, u16), lesson: &str, mode: Mode, until: f64) -> Stage {
    let file = format!("{}/lessons/{lesson}.ipcs", env!("CARGO_MANIFEST_DIR"));
    let mut recording = Recording::open(std::path::Path::new(&file)).unwrap();
    let mut events = Vec::new();
    while recording.next_item(&mut events).unwrap().is_some() {}
    events.retain(|event| event.t.seconds() <= until);
    let title = format!("lesson: {lesson}");
    let options = Options { mode, has_command: false, title, ..options() };
    let mut stage = Stage::new(options, size);
    stage.update(Update::Started(recording.header().clone()));
    stage.update(Update::Events(events));
    stage
}

fn loss() -> Event {
    let lost = Lost { count: 1234, class: "state".to_owned(), t_from: Nanos(3_390_000), t_to: Nanos(3_400_000) };
    Event {
        t: Nanos(3_400_000),
        seq: 70,
        task: None,
        comm: None,
        ns_pid: None,
        host: None,
        kind: Kind::Lost(Box::new(lost)),
    }
}

#[test]
fn empty() {
    check("empty", |size| Stage::new(options(), size));
}

#[test]
fn map_live() {
    check("map_live", |size| with_pane(size, MIDDLE));
}

#[test]
fn map_channel_selected() {
    check("map_channel", |size| {
        let mut stage = with_pane(size, 0.003_73);
        stage.keys("<Down><Down><Right>");
        stage
    });
}

#[test]
fn map_process_selected_while_paused() {
    check("map_paused", |size| {
        let mut stage = with_pane(size, 0.004_1);
        stage.keys(" ,,,,,,,,,,,,,,,<Up><Down><Left>");
        stage
    });
}

#[test]
fn events_followed() {
    check("events_live", |size| {
        let mut stage = with_pane(size, MIDDLE);
        stage.keys("2");
        stage
    });
}

#[test]
fn events_filtered() {
    check("events_filtered", |size| {
        let mut stage = Stage::live(size, 0.004_1);
        stage.keys("2/kind:signal|kind:exit<Enter><Up><Up><Up>");
        stage
    });
}

#[test]
fn timeline_of_nothing() {
    check("timeline_empty", |size| {
        let mut stage = Stage::new(options(), size);
        stage.keys("3");
        stage
    });
}

#[test]
fn timeline_followed() {
    check("timeline_live", |size| {
        let mut stage = with_pane(size, MIDDLE);
        stage.keys("3");
        stage
    });
}

/// Zoomed into the moment at which a signal finds sort BLOCKED.
#[test]
fn timeline_while_paused() {
    check("timeline_paused", |size| {
        let mut stage = Stage::live(size, 1.0);
        stage.keys(" 2fsignal:USR1<Enter>gn3+++");
        stage
    });
}

#[test]
fn timeline_of_a_replay_and_a_channel() {
    check("timeline_replay", |size| {
        let mut stage = Stage::new(Options { mode: Mode::Replay, has_command: false, ..options() }, size);
        stage.update(Update::Started(Header::default()));
        stage.update(Update::Events(events(script::SAMPLE, 1.0)));
        stage.keys("3<Left>HHH<Down><Down><Down><Down><Down>");
        stage
    });
}

/// Calls and their answers; the cursor is at one that the server takes its time for.
#[test]
fn timeline_with_calls() {
    check("timeline_calls", |size| {
        let mut stage = recorded(size, "http", Mode::Replay, 60.0);
        stage.keys("3<Left><Down>[[[[[[[[[[[[[[[[[[]]]]]++");
        stage
    });
}

#[test]
fn map_of_a_connection() {
    check("map_connection", |size| recorded(size, "http", Mode::Live, 6.5));
    // Closed, and nothing was left in it.
    check("map_connection_over", |size| recorded(size, "http", Mode::Live, 60.0));
}

/// Who is at the other end of a connection is elsewhere, or on its way into the trace.
#[test]
fn map_of_another_host() {
    const TWO: &str = "0.1 100 client exec client\n+1us 101 other exec other\n+1us 101 other state READY";
    let connect = |pid: u32, event: ChannelChange, id: &str, remote: &str| {
        let mut change = ChannelEvent::new(ChannelId(id.into()), ChannelType::Tcp, event);
        (change.fd, change.end, change.remote) = (Some(3), Some(End::Rw), Some(remote.to_owned()));
        let task = Some(Task { pid, tid: pid });
        let kind = Kind::Channel(Box::new(change));
        Event { t: Nanos(200_000_000), seq: 9, task, comm: None, ns_pid: None, host: None, kind }
    };
    check("map_host", |size| {
        let mut stage = Stage::new(options(), size);
        stage.update(Update::Started(Header::default()));
        stage.update(Update::Events(events(TWO, 1.0)));
        let (here, there) = ("tcp:10.0.0.1:40000-10.0.0.2:80", "tcp:10.0.0.1:40001-10.0.0.3:80");
        stage.update(Update::Events(vec![
            connect(100, ChannelChange::Connected, here, "10.0.0.2:80"),
            connect(101, ChannelChange::Accepted, here, "10.0.0.1:40000"),
            connect(100, ChannelChange::Connected, there, "10.0.0.3:80"),
        ]));
        stage
    });
}

/// A process that writes to another through so many pipes.
fn many(size: (u16, u16), pipes: usize) -> Stage {
    let mut script = String::from("0.1 100 parent exec parent\n+1us 100 parent fork 101\n");
    for number in 0..pipes {
        let (id, r, w) = (7000 + number, 3 + 2 * number, 4 + 2 * number);
        writeln!(script, "+1us 100 parent pipe {id} {r} {w}\n+1us 101 parent inherit {id} r {r} from 100").unwrap();
        writeln!(script, "+1us 100 parent write {id} {w} 10\n+1us 101 parent read {id} {r} 10").unwrap();
    }
    let mut stage = Stage::new(options(), size);
    stage.update(Update::Started(Header::default()));
    stage.update(Update::Events(events(&script, 100.0)));
    stage
}

/// What the boxes have no room for is one link.
#[test]
fn map_of_many_channels() {
    check("map_few_channels", |size| many(size, 4));
    check("map_many_channels", |size| many(size, 10_000));
}

/// Ten times as many channels take ten times as long to draw, not a hundred times.
#[test]
fn many_channels_are_drawn_in_linear_time() {
    let (few, many) = (many((200, 50), 1_000), many((200, 50), 10_000));
    let draw = |stage: &Stage| {
        let began = Instant::now();
        stage.screen();
        began.elapsed()
    };
    // The fastest of several, in turns: the machine may have other things to do.
    let times: Vec<_> = (0..5).map(|_| (draw(&few), draw(&many))).collect();
    let (few, many) =
        (times.iter().map(|(few, _)| *few).min().unwrap(), times.iter().map(|(_, many)| *many).min().unwrap());
    println!("1,000 channels: {few:?}, 10,000: {many:?}");
    assert!(many < few * 40, "{few:?}, then {many:?}");
}

/// Channels that no descriptor belongs to are not broken.
#[test]
fn map_of_what_has_no_ends() {
    check("map_multicast", |size| recorded(size, "multicast", Mode::Live, 4.0));
    check("map_queue", |size| recorded(size, "queue", Mode::Live, 4.0));
}

/// Three are sent and one is received, from a socket that both hold: what is drawn is the address they are sent to.
#[test]
fn map_of_datagrams() {
    const THREE: &str = "0.1 100 client open udp:[77] rw 3
        +1ms 100 client fork 101
        +1us 101 server inherit udp:[77] rw 3 from 100
        +1ms 100 client write udp:127.0.0.1:5353 4 20 depth 1
        +1ms 100 client write udp:127.0.0.1:5353 4 20 depth 2
        +1ms 100 client write udp:127.0.0.1:5353 4 20 depth 3
        +1ms 101 server read udp:127.0.0.1:5353 3 20 depth 2";
    check("map_datagrams", |size| {
        let mut stage = Stage::new(options(), size);
        stage.update(Update::Started(Header::default()));
        stage.update(Update::Events(events(THREE, 1.0)));
        stage
    });
}

#[test]
fn timeline_with_a_loss() {
    check("timeline_lossy", |size| {
        let mut stage = Stage::live(size, MIDDLE);
        stage.update(Update::Events(vec![loss()]));
        stage.wait(1);
        stage.keys("3");
        stage
    });
}

#[test]
fn timeline_of_many() {
    check("timeline_fan", |size| {
        let mut stage = Stage::new(options(), size);
        stage.update(Update::Started(Header::default()));
        stage.update(Update::Events(events(FAN, 1.0)));
        stage.keys("3");
        stage
    });
}

#[test]
fn signals_of_nothing() {
    check("signals_empty", |size| {
        let mut stage = Stage::new(options(), size);
        stage.keys("4");
        stage
    });
}

#[test]
fn signals_followed() {
    check("signals_live", |size| {
        let mut stage = with_pane(size, 0.004_1);
        stage.keys("4");
        stage
    });
}

/// The lecture's slide: a signal finds its target BLOCKED, and the call fails with EINTR.
#[test]
fn signals_life() {
    check("signals_life", |size| {
        let mut stage = Stage::live(size, 1.0);
        stage.keys("4g");
        stage
    });
}

#[test]
fn signals_of_a_process() {
    check("signals_process", |size| {
        let mut stage = Stage::new(Options { mode: Mode::Replay, has_command: false, ..options() }, size);
        stage.update(Update::Started(Header::default()));
        stage.update(Update::Events(events(SIGNALS, 1.0)));
        stage.keys("<Down><Down>s ");
        stage.keys("d");
        stage
    });
}

#[test]
fn signals_of_all_kinds() {
    check("signals_kinds", |size| {
        let mut stage = Stage::new(Options { mode: Mode::Replay, has_command: false, ..options() }, size);
        stage.update(Update::Started(Header::default()));
        stage.update(Update::Events(events(SIGNALS, 1.0)));
        stage.keys("4<Up><Up>");
        stage
    });
}

#[test]
fn filter_refused() {
    check("filter_refused", |size| {
        let mut stage = Stage::live(size, 0.004_1);
        stage.keys("2/comm:yes kind:nonsense<Enter>");
        stage
    });
}

#[test]
fn lossy() {
    check("lossy", |size| {
        let mut stage = Stage::live(size, MIDDLE);
        stage.update(Update::Events(vec![loss()]));
        stage
    });
}

#[test]
fn ended() {
    check("ended", |size| {
        let mut stage = with_pane(size, 1.0);
        stage.update(Update::CommandEnded(ExitStatus::from_raw(13)));
        stage.update(Update::Ended(Ending { events: 113, ..Ending::default() }));
        stage
    });
}

#[test]
fn failed() {
    check("failed", |size| {
        let mut stage = Stage::live(size, MIDDLE);
        stage.update(Update::Failed("the ring buffer cannot be read: bad file descriptor".to_owned()));
        stage
    });
}

#[test]
fn replay_in_ascii() {
    check("replay_ascii", |size| {
        let options = Options { mode: Mode::Replay, has_command: false, ascii: true, color: false, ..options() };
        let mut stage = Stage::new(options, size);
        stage.update(Update::Started(Header::default()));
        stage.update(Update::Events(events(script::SAMPLE, 0.004_1)));
        stage
    });
}

#[test]
fn many_writers_and_readers() {
    check("fan", |size| {
        let mut stage = Stage::new(options(), size);
        stage.update(Update::Started(Header::default()));
        stage.update(Update::Events(events(FAN, 1.0)));
        stage
    });
}

#[test]
fn help() {
    check("help", |size| {
        let mut stage = Stage::live(size, MIDDLE);
        stage.keys("?");
        stage
    });
}

#[test]
fn leaving_asks() {
    check("quit", |size| {
        let mut stage = Stage::live(size, MIDDLE);
        stage.keys("q");
        stage
    });
}

#[test]
fn tiny() {
    for (size, text) in
        [((10, 3), "10x3 is\ntoo small:\n40x10 fits\n"), ((39, 30), "39x30 is\ntoo small:\n40x10 fits\n")]
    {
        let screen = Stage::live(size, MIDDLE).screen();
        assert!(screen.starts_with(text), "{screen}");
    }
    assert_eq!(Stage::live((1, 1), MIDDLE).screen(), "1\n");
}
