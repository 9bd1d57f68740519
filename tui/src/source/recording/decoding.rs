//! What becomes of the frames of a recording: one decoder's, or in a merged one several decoders'.

use std::collections::BTreeMap;

use crate::{
    decode::{
        Decoder,
        hosts::{Hosts, Part as Decoded},
    },
    event::{Event, MAX_HOSTS, text},
    trace::{self, Frame, FrameKind, Part, RecordingHeader},
};

/// Everything that frames are folded into. A copy goes on from where this one is.
#[derive(Clone, Debug)]
pub(super) enum Decoding {
    /// The recording of one trace.
    One(Box<Decoder>),
    /// A merged one.
    Several {
        hosts: Box<Hosts>,
        /// The part whose command's terminal is shown.
        terminal: Option<usize>,
    },
}

/// The first part that has a terminal: one can be shown.
pub(super) fn terminal(parts: &[Part]) -> Option<usize> {
    parts.iter().position(|part| part.recording.screen.is_some())
}

impl Decoding {
    /// About how many bytes a copy takes, where so many events have happened since the last one.
    pub(super) fn weight(&self, changed: usize) -> usize {
        match self {
            Self::One(decoder) => decoder.weight(changed),
            Self::Several { hosts, .. } => hosts.weight(changed),
        }
    }

    pub(super) fn new(header: &RecordingHeader) -> Self {
        if header.parts.is_empty() {
            return Self::One(Box::new(Decoder::new(header.families(), header.header.payload_limit)));
        }
        let mut clocks = header.header.hosts.iter();
        let mut machines: Vec<&str> = Vec::new();
        let parts = header.parts.iter().take(MAX_HOSTS).map(|part| {
            let own = &part.recording.header;
            // A machine whose boot is not told is like no other.
            let known = machines.iter().position(|boot| *boot == own.boot_id && !boot.is_empty());
            let machine = known.unwrap_or(machines.len());
            machines.push(&own.boot_id);
            let clock = clocks.next();
            Decoded {
                host: clock.map_or_else(String::new, |clock| harmless(&clock.host)),
                offset: clock.map_or(0, |clock| clock.offset_ns),
                machine,
                families: part.recording.families(),
                payload: own.payload_limit,
                renamed: part.renamed.iter().map(|(own, whole)| (own.clone(), harmless(whole))).collect(),
            }
        });
        let hosts = Hosts::new(parts.collect());
        Self::Several { hosts: Box::new(hosts), terminal: terminal(&header.parts) }
    }

    /// Takes a frame; gives what the command wrote to its terminal, if it is that.
    pub(super) fn frame(&mut self, frame: &Frame, events: &mut Vec<Event>) -> Option<Vec<u8>> {
        match self {
            Self::One(decoder) => match frame.kind {
                FrameKind::Wire => decoder.record(&frame.bytes, events),
                FrameKind::Output => return Some(frame.bytes.clone()),
                FrameKind::NotKept => decoder.not_kept(count(&frame.bytes), events),
                FrameKind::Part | FrameKind::Other(_) => {}
            },
            Self::Several { hosts, terminal } => {
                let of = frame.of_part()?;
                match of.kind {
                    Some(FrameKind::Wire) => hosts.record(of.part, frame.time, of.bytes, events),
                    Some(FrameKind::Output) => return (*terminal == Some(of.part)).then(|| of.bytes.to_vec()),
                    Some(FrameKind::NotKept) => hosts.not_kept(of.part, frame.time, count(of.bytes), events),
                    Some(FrameKind::Part | FrameKind::Other(_)) => {}
                    None => {
                        let ending = trace::decode_ending(of.bytes).unwrap_or_default();
                        let lost = ending.lost_by.get("recording").copied().unwrap_or(0);
                        hosts.end(of.part, frame.time, lost, events);
                    }
                }
            }
        }
        None
    }

    /// There are no more; the recording itself lacks so many.
    pub(super) fn finish(&mut self, lost: u64, events: &mut Vec<Event>) {
        match self {
            Self::One(decoder) => {
                decoder.lost_elsewhere(lost);
                decoder.finish(events);
            }
            Self::Several { hosts, .. } => hosts.finish(events),
        }
    }

    /// Records that were lost, in all and by class.
    pub(super) fn lost(&self) -> (u64, BTreeMap<String, u64>) {
        match self {
            Self::One(decoder) => (decoder.lost(), decoder.lost_by().clone()),
            Self::Several { hosts, .. } => (hosts.lost(), hosts.lost_by()),
        }
    }
}

/// A name out of a file, which anybody may have written.
fn harmless(name: &str) -> String {
    text::escape(name.as_bytes())
}

fn count(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
