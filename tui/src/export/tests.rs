//! A short story in every format, and names that want to be something else.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;

use super::{ExportError, Exporter, Format};
use crate::{
    analyze::Filter,
    event::{Event, Header, Kind, Nanos},
    model::script,
};

/// A shell, two children, a pipe, a signal that interrupts a read.
const STORY: &str = r"
0.000100 10 sh state RUNNING cpu0
0.000200 10 sh pipe 7 3 4
0.000300 10 sh fork 11
0.000310 11 sh state NEW
0.000400 10 sh fork 12
0.000500 11 ls exec /bin/ls
0.000600 12 wc exec /usr/bin/wc -c
0.000650 12 wc state RUNNING cpu1
0.000700 12 wc state BLOCKED read 7 fd 3
0.000800 11 ls write 7 4 5 fill 5 took 3us payload hello
0.000810 12 wc state READY by 11
0.000820 12 wc state RUNNING cpu1
0.000850 12 wc read 7 3 5 fill 0 took 150us
0.000900 10 sh signal SIGUSR1 12 generated state RUNNING syscall kill
0.000950 12 wc signal SIGUSR1 12 delivered action handler handler 0x1000 interrupted read:7 verdict EINTR pending 50us
0.001000 12 wc read 7 3 9 from overlap
0.001100 11 ls exit 0
0.001200 12 wc exit SIGTERM
";

/// Names that would end a string, a tag, a line or a statement.
const HOSTILE: &str = r#"
0.000100 10 "];a<b pipe fifo:/t/<script>";%% 3 4
0.000200 10 "];a<b write fifo:/t/<script>";%% 4 5 payload <b>"&;
0.000300 11 #{x}:y read fifo:/t/<script>";%% 3 5
"#;

fn header() -> Header {
    let command = vec!["sh".to_owned(), "-c".to_owned(), "ls | wc -c <in".to_owned()];
    Header { command, host: "host".to_owned(), ..Header::default() }
}

fn export_events(format: Format, events: &[Event], filter: &str, lost: u64) -> Result<String, ExportError> {
    let mut out = Vec::new();
    let filter = if filter.is_empty() { Filter::default() } else { Filter::parse(filter).unwrap() };
    let mut exporter = Exporter::new(format, &header(), filter, &mut out)?;
    for event in events {
        exporter.event(event)?;
    }
    exporter.finish(Nanos(2_000_000), lost)?;
    Ok(String::from_utf8(out).unwrap())
}

fn export(format: Format, story: &str) -> String {
    export_events(format, &script::parse(story).unwrap(), "", 0).unwrap()
}

#[test]
fn a_sequence_diagram_as_text() {
    insta::assert_snapshot!(export(Format::Mermaid, STORY));
}

#[test]
fn a_graph() {
    insta::assert_snapshot!(export(Format::Dot, STORY));
}

#[test]
fn a_table() {
    insta::assert_snapshot!(export(Format::Csv, STORY));
}

#[test]
fn tracks_have_states_flows_and_counters() {
    let text = export(Format::Perfetto, STORY);
    let trace: Value = serde_json::from_str(&text).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).collect::<Vec<_>>();
    let blocked = of("X").into_iter().find(|event| event["name"] == "BLOCKED in read on pipe:[7]").unwrap();
    assert_eq!((&blocked["tid"], &blocked["ts"], &blocked["dur"]), (&12.into(), &700.0.into(), &110.0.into()));
    // Spans of a thread leave no gap.
    let of_wc: Vec<_> = of("X").into_iter().filter(|event| event["tid"] == 12).collect();
    for pair in of_wc.windows(2) {
        let end = pair[0]["ts"].as_f64().unwrap() + pair[0]["dur"].as_f64().unwrap();
        assert!((end - pair[1]["ts"].as_f64().unwrap()).abs() < 1e-6);
    }
    // One message and one delivery; the receive of unknown origin has no arrow.
    let (starts, ends) = (of("s"), of("f"));
    assert_eq!((starts.len(), ends.len()), (2, 2));
    assert_eq!((&starts[0]["tid"], &ends[0]["tid"]), (&11.into(), &12.into()));
    assert_eq!(of("C")[0]["args"]["bytes"], 5);
}

#[test]
fn a_picture_and_a_page_hold_every_arrow() {
    let (svg, html) = (export(Format::Svg, STORY), export(Format::Html, STORY));
    for text in [&svg, &html] {
        assert_eq!(text.matches("<g class=\"arrow\">").count(), 9, "{text}");
        for part in ["5 B pipe:[7] &quot;hello&quot;", "SIGUSR1: handler, read EINTR", "(sender: overlap)", "killed by"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert!(html.contains("BLOCKED in read on pipe:[7]") && html.contains("ls | wc -c &lt;in"));
    // No address of anything, but for the name of a language; and no browser may ask for one.
    assert_eq!(html.matches("://").count(), html.matches("\"http://www.w3.org/2000/svg\"").count());
    assert!(html.contains("Content-Security-Policy\" content=\"default-src 'none'"));
    // Arrows are found by who they go between; rows have no text between them, which would stay when they are hidden.
    assert!(html.contains("ls 11 → wc 12: 5 B pipe:[7]") && html.contains("\n</div><div>"));
}

#[test]
fn names_stay_names() {
    for format in [Format::Svg, Format::Html] {
        let text = export(format, HOSTILE);
        assert!(!text.contains("<script>\"") && !text.contains("<b>") && !text.contains("a<b"), "{text}");
    }
    let mermaid = export(Format::Mermaid, HOSTILE);
    // A statement a line, and none of theirs.
    assert_eq!(mermaid.lines().count(), 4, "{mermaid}");
    assert!(!mermaid.contains("%%") && !mermaid.contains("<script>"), "{mermaid}");
    let dot = export(Format::Dot, HOSTILE);
    assert!(dot.contains(r#"label="\"];a<b 10""#), "{dot}");
    let trace: Value = serde_json::from_str(&export(Format::Perfetto, HOSTILE)).unwrap();
    assert!(trace["traceEvents"].is_array());
}

#[test]
fn a_filter_chooses_and_a_loss_is_told() {
    let events = script::parse(STORY).unwrap();
    let signals = export_events(Format::Mermaid, &events, "kind:signal", 3).unwrap();
    assert_eq!(signals.matches("->>").count(), 0, "{signals}");
    assert!(signals.contains("SIGUSR1") && signals.contains("3 events were lost"), "{signals}");
    // The send is not chosen, but its bytes still have a sender.
    let receives = export_events(Format::Mermaid, &events, "kind:recv", 0).unwrap();
    assert!(receives.contains("p11->>p12"), "{receives}");
}

#[test]
fn what_nobody_could_read_is_refused() {
    let mut story = String::from("0.000100 10 sh pipe 7 3 4\n");
    for _ in 0..501 {
        story.push_str("+1us 10 sh write 7 4 1\n+1us 11 wc read 7 3 1\n");
    }
    let events = script::parse(&story).unwrap();
    let error = export_events(Format::Mermaid, &events, "", 0).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("draw 501 messages and signals: at most 500") && text.contains("--filter"), "{text}");
    assert!(export_events(Format::Svg, &events, "", 0).is_ok());
}

/// A block of a pcapng file: kind and body. Its length stands before and behind.
fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let len = word(&bytes[4..]) as usize;
        assert!(len.is_multiple_of(4) && word(&bytes[len - 4..]) as usize == len, "{len}");
        blocks.push((word(bytes), bytes[8..len - 4].to_vec()));
        bytes = &bytes[len..];
    }
    blocks
}

#[test]
fn packets_are_on_the_interface_of_their_channel() {
    let mut out = Vec::new();
    let mut exporter = Exporter::new(Format::Pcapng, &header(), Filter::default(), &mut out).unwrap();
    for event in script::parse(STORY).unwrap() {
        exporter.event(&event).unwrap();
    }
    exporter.finish(Nanos(2_000_000), 0).unwrap();
    let blocks = blocks(&out);
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 6, 6], "a section, an interface, a packet for each call that moved bytes");
    let contains = |block: usize, text: &str| blocks[block].1.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(contains(0, "ipcscope") && contains(1, "pipe:[7]"));
    assert!(contains(2, "hello") && contains(2, "write 5 B") && contains(3, "from ls"));
    let number = |block: usize, at: usize| u32::from_le_bytes(blocks[block].1[at..at + 4].try_into().unwrap());
    let missing = |block: usize| number(block, 16) - number(block, 12);
    assert_eq!((missing(2), missing(3), missing(4)), (0, 5, 9), "what was not kept counts");
    assert_eq!(number(2, 8), 800_000, "ns");
}

/// What a recording that was made to do harm claims of three sends. Found by fuzzing.
#[test]
fn lengths_that_no_send_has_take_no_time_and_no_room() {
    let mut events = script::parse(
        "0.1 10 a connect tcp:127.0.0.1:1-127.0.0.1:2 rw 3\n0.2 10 a write tcp:127.0.0.1:1-127.0.0.1:2 3 70000\n\
         0.3 10 a write tcp:127.0.0.1:1-127.0.0.1:2 3 5\n0.4 10 a write tcp:127.0.0.1:1-127.0.0.1:2 3 5\n\
         0.5 11 b read tcp:127.0.0.1:1-127.0.0.1:2 4 5 from overlap\n0.6 11 b read tcp:127.0.0.1:1-127.0.0.1:2 4 5 from overlap",
    )
    .unwrap();
    for event in events.iter_mut().skip(2) {
        let (Kind::Send(transfer) | Kind::Recv(transfer)) = &mut event.kind else { unreachable!() };
        transfer.bytes = Some(u64::MAX - 7);
    }
    for format in [Format::Perfetto, Format::Mermaid, Format::Dot, Format::Svg, Format::Html, Format::Csv] {
        assert!(export_events(format, &events, "", 0).unwrap().len() < 1 << 18, "{format:?}");
    }
    let mut out = Vec::new();
    let mut exporter = Exporter::new(Format::Pcapng, &header(), Filter::default(), &mut out).unwrap();
    for event in &events {
        exporter.event(event).unwrap();
    }
    exporter.finish(Nanos(2_000_000), 0).unwrap();
    let packets = blocks(&out).into_iter().filter(|(kind, _)| *kind == 6).count();
    assert_eq!(
        packets,
        3 + 128 + 128 + 1 + 1,
        "a send in packets of 32 KiB, two of which most is missing, two receives"
    );
}
