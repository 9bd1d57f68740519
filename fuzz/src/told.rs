//! All that is made of records and of events, as the program makes it.

use std::io;

use ipcscope::{
    analyze::{Check, Filter, Findings, Lines, Rules, Stats, explain},
    decode::{
        Decoder,
        hosts::{Hosts, Part},
        roots::Roots,
    },
    event::{Ending, Event, FamilySet, Header, Nanos},
    export::{Exporter, Format},
    model::World,
    trace::{Frame, FrameKind},
};

/// Every rule that `check` has built in, and one that counts.
const RULES: &str = "no-lost-events\nno-leaked-ends\nevery-message-received\nno-eintr-unhandled\nno-deadlock\n\
                     few: 1..3 kind:signal within 1s";

const FORMATS: [Format; 7] =
    [Format::Perfetto, Format::Mermaid, Format::Dot, Format::Svg, Format::Html, Format::Csv, Format::Pcapng];

/// What is made of events besides lines and findings: one thing of many, as the input chooses, since each takes time.
enum Other {
    Export(Box<Exporter<'static>>),
    Stats(Box<Stats>),
    Check(Box<Check>),
    Explain,
}

/// Takes events.
pub struct Told {
    world: World,
    findings: Findings,
    lines: Lines,
    other: Other,
    count: u64,
}

impl Told {
    pub fn new(choice: u8, header: &Header) -> Self {
        let format = FORMATS.get(usize::from(choice % 10)).copied();
        let export = format.and_then(|format| Exporter::new(format, header, Filter::default(), io::sink()).ok());
        let other = match (export, choice % 10) {
            (Some(export), _) => Other::Export(Box::new(export)),
            (None, 7) => Other::Stats(Box::default()),
            (None, 8) => Other::Check(Box::new(Check::new(Rules::parse(RULES).unwrap_or_default(), Findings::new()))),
            (None, _) => Other::Explain,
        };
        let lines = Lines::new().with_payload(choice & 0x80 != 0);
        Self { world: World::new(), findings: Findings::new(), lines, other, count: 0 }
    }

    pub fn event(&mut self, event: &Event) {
        self.findings.apply(&self.world, event);
        self.world.apply(event);
        let line = self.lines.full_line(event, false);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        let json = event.to_json();
        assert!(!json.chars().any(char::is_control), "{json:?}");
        match &mut self.other {
            Other::Export(export) => drop(export.event(event)),
            Other::Stats(stats) => stats.apply(event),
            Other::Check(check) => check.apply(event),
            Other::Explain => drop(explain(&self.world, event)),
        }
        self.count += 1;
        if self.count.is_multiple_of(512) {
            let _ = self.findings.at(&self.world, self.world.now);
        }
    }

    pub fn end(self) {
        let now = self.world.now;
        for now in [now, Nanos(now.0.saturating_add(5_000_000_000)), Nanos(u64::MAX)] {
            for finding in self.findings.at(&self.world, now) {
                let json = finding.to_json();
                assert!(!json.chars().any(char::is_control), "{json:?}");
            }
        }
        match self.other {
            Other::Export(export) => drop(export.finish(now, 1)),
            Other::Stats(stats) => drop(stats.tables(now)),
            Other::Check(check) => drop(check.verdicts(now, &Ending::default())),
            Other::Explain => {}
        }
    }
}

/// One decoder, or one of two hosts.
enum Decoding {
    One(Box<Decoder>),
    Two(Box<Hosts>),
}

/// The events of frames, handed out as they come. `choice` says of how many hosts they are, what is captured, and whether
/// the first of them are not kept, as by a flight recorder.
pub fn decode(frames: &[Frame], choice: u8, mut told: impl FnMut(Event)) {
    let families = if choice & 8 == 0 { FamilySet::all() } else { "signal,rpc".parse().unwrap_or_default() };
    let payload = if choice & 16 == 0 { u32::MAX } else { 3 };
    let part = |host: &str, offset| Part {
        host: host.to_owned(),
        offset,
        machine: usize::from(choice & 32 != 0 && offset != 0),
        families,
        payload,
        renamed: [("tcp:[1]".to_owned(), "tcp:x".to_owned())].into(),
    };
    let mut decoding = match choice & 3 {
        1 => Decoding::Two(Box::new(Hosts::new(vec![part("a", 0), part("b", 1000)]))),
        _ => Decoding::One(Box::new(Decoder::new(families, payload))),
    };
    let mut events = Vec::new();
    let frames = if choice & 3 == 2 {
        let (before, after) = frames.split_at(frames.len() / 2);
        let mut roots = Roots::default();
        for frame in before {
            roots.take(&frame.bytes);
        }
        if let Decoding::One(decoder) = &mut decoding {
            for record in roots.records_instead() {
                decoder.record(&record, &mut events);
            }
            decoder.not_kept(roots.records(), &mut events);
            for record in roots.records_behind() {
                decoder.record(&record, &mut events);
            }
        }
        after
    } else {
        frames
    };
    for frame in frames {
        let count = frame.bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        match (&mut decoding, frame.kind) {
            (Decoding::One(decoder), FrameKind::Wire) => decoder.record(&frame.bytes, &mut events),
            (Decoding::One(decoder), FrameKind::NotKept) => decoder.not_kept(count, &mut events),
            (Decoding::One(_), _) => {}
            (Decoding::Two(hosts), FrameKind::Wire) => hosts.record(0, frame.time, &frame.bytes, &mut events),
            (Decoding::Two(hosts), FrameKind::Part) => hosts.record(1, frame.time, &frame.bytes, &mut events),
            (Decoding::Two(hosts), FrameKind::NotKept) => hosts.not_kept(0, frame.time, count, &mut events),
            (Decoding::Two(hosts), _) => hosts.end(1, frame.time, count, &mut events),
        }
        events.drain(..).for_each(&mut told);
    }
    match &mut decoding {
        Decoding::One(decoder) => decoder.finish(&mut events),
        Decoding::Two(hosts) => hosts.finish(&mut events),
    }
    events.drain(..).for_each(&mut told);
}
