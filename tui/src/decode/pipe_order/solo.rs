//! One reader and one writer: the k-th byte written is the k-th byte read.
//!
//! Calls are reported when they exit, so a read often comes before the write whose bytes it got; it then waits. A write
//! that is known to be in flight serves the reads that cannot have waited for a later one.
//!
//! Invariants: a read that waits has used up all that was written by calls that exited; a byte is never given to a read
//! that returned before the byte's write began. Tested in `solo_tests` and against the simulator in `truth_tests`.

use std::collections::VecDeque;

use super::calls::{Call, Calls};
use super::content::{Content, Sender};
use super::ring::PAGE;
use super::{CallId, Leftover, Method, Part, Resolved, Side, Why};

/// More writes or reads than these in a row without the other side: records of the other side are missing.
const MOST_SEGMENTS: usize = 1 << 21;
const MOST_WAITING: usize = 1 << 16;

/// Bytes of one write that nobody has taken; a packet is one segment.
#[derive(Clone, Debug)]
struct Segment {
    sender: Sender,
    bytes: u64,
    entered: u64,
    packet: bool,
}

/// A read that returned before the write of its bytes did.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) call: CallId,
    pub(super) missing: u64,
    pub(super) content: Content,
    pub(super) offset: Option<u64>,
    pub(super) discarded: u64,
    pub(super) exited: u64,
    method: Method,
}

impl Waiting {
    /// What became of it.
    pub(super) fn resolved(&self, parts: Vec<Part>) -> Resolved {
        Resolved::Read { call: self.call, parts, offset: self.offset, discarded: Some(self.discarded) }
    }
}

/// Bytes already taken from a write that has not exited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    pub(super) call: CallId,
    pub(super) bytes: u64,
}

/// A state seen at some time counts only for calls that began later.
#[derive(Clone, Debug)]
struct Guard {
    time: u64,
    read: bool,
    write: bool,
}

/// ns within which a sample is taken after the call it belongs to returned.
const SLACK: u64 = 100_000;

/// What was counted and what was seen at some time, to be compared once it is known that the other side did nothing then.
#[derive(Clone, Debug)]
struct Check {
    time: u64,
    counted: u64,
    seen: u64,
    other: Side,
}

/// The byte queue of a pipe with one task at either end.
#[derive(Clone, Debug, Default)]
pub(super) struct Solo {
    queue: VecDeque<Segment>,
    /// Bytes in it.
    queued: u64,
    pub(super) waiting: VecDeque<Waiting>,
    /// The room of a content that is done with.
    spare: Content,
    pub(super) ahead: Option<Ahead>,
    /// Stream offset of the next byte written, and read.
    pub(super) put: Option<u64>,
    got: Option<u64>,
    /// Nothing can be said until the state is seen.
    pub(super) unknown: Option<Why>,
    guard: Option<Guard>,
    check: Option<Check>,
    /// Packets follow plain bytes only where they cannot have been merged into them.
    plain_until: Option<u64>,
}

impl Solo {
    pub(super) fn created() -> Self {
        Self { put: Some(0), got: Some(0), ..Self::default() }
    }

    pub(super) fn found(queued: Option<u64>) -> Self {
        let mut solo = Self::default();
        match queued {
            Some(bytes) => solo.hold(Why::BeforeStart, bytes),
            None => solo.unknown = Some(Why::BeforeStart),
        }
        solo
    }

    fn hold(&mut self, why: Why, bytes: u64) {
        self.plain_until = (bytes > 0).then_some(u64::MAX);
        if bytes > 0 {
            self.push(Segment { sender: Sender::Unknown(why), bytes, entered: 0, packet: false });
        }
    }

    /// The pipe held this many bytes at `time`. Ends a time of unknown state, provided no call was in flight then.
    pub(super) fn seen(&mut self, time: u64, queued: u64) {
        if let Some(why) = self.unknown {
            self.unknown = None;
            self.guard = Some(Guard { time, read: false, write: false });
            self.hold(why, queued);
        }
    }

    /// Nothing is known any more.
    pub(super) fn lost(&mut self, why: Why, out: &mut Vec<Resolved>) {
        self.queue.clear();
        self.queued = 0;
        self.ahead = None;
        out.extend(self.waiting.drain(..).map(|read| Resolved::Unknown { call: read.call, why }));
        (self.put, self.got) = (None, None);
        self.unknown = Some(why);
        self.guard = None;
        self.check = None;
    }

    fn push(&mut self, segment: Segment) {
        self.queued = self.queued.saturating_add(segment.bytes);
        self.queue.push_back(segment);
    }

    /// The pipe held this many bytes right after the last call of a side returned.
    pub(super) fn filled(&mut self, time: u64, side: Side, seen: u64) {
        let is_plain = self.unknown.is_none() && self.ahead.is_none() && self.waiting.is_empty();
        self.check = is_plain.then(|| Check { time, counted: self.queued, seen, other: side.other() });
    }

    /// The call shows that its side did nothing at the time of a sample: the count has to agree with that.
    fn compare(&mut self, call: &Call, out: &mut Vec<Resolved>) {
        let Some(check) = self.check.take_if(|check| check.other == call.side) else { return };
        if call.entered > check.time.saturating_add(SLACK) && check.counted != check.seen {
            self.lost(Why::Overlap, out);
        }
    }

    pub(super) fn exit(&mut self, time: u64, call: &Call, ret: i64, calls: &Calls, out: &mut Vec<Resolved>) {
        let bytes = u64::try_from(ret).unwrap_or(0);
        self.compare(call, out);
        if bytes > 0 {
            self.check_guard(call, out);
        }
        match call.side {
            Side::Write => {
                self.written(call, bytes, out);
                self.serve(None, out);
            }
            Side::Read if bytes > 0 => {
                self.waiting.push_back(Waiting {
                    call: call.id,
                    missing: bytes,
                    content: std::mem::take(&mut self.spare),
                    offset: None,
                    discarded: 0,
                    exited: time,
                    method: call.method,
                });
                self.serve(Some(calls), out);
            }
            Side::Read => {}
        }
        if self.queue.len() > MOST_SEGMENTS || self.waiting.len() > MOST_WAITING {
            self.lost(Why::Lost, out);
        }
    }

    /// A write in flight went to sleep, or is at least known not to have exited: reads may use its bytes.
    pub(super) fn blocked(&mut self, _time: u64, calls: &Calls, out: &mut Vec<Resolved>) {
        self.serve(Some(calls), out);
    }

    /// The first call of a side after the state was seen must have begun after that.
    fn check_guard(&mut self, call: &Call, out: &mut Vec<Resolved>) {
        let Some(guard) = &mut self.guard else { return };
        let checked = match call.side {
            Side::Read => &mut guard.read,
            Side::Write => &mut guard.write,
        };
        if !*checked && call.entered < guard.time {
            self.lost(Why::Lost, out);
            return;
        }
        *checked = true;
        if guard.read && guard.write {
            self.guard = None;
        }
    }

    fn written(&mut self, call: &Call, bytes: u64, out: &mut Vec<Resolved>) {
        let taken = match self.ahead.take() {
            None => 0,
            Some(ahead) if ahead.call == call.id && ahead.bytes <= bytes => ahead.bytes,
            Some(_) => {
                // Reads got more than was written: writes are missing.
                self.lost(Why::Lost, out);
                0
            }
        };
        if bytes == 0 {
            return;
        }
        out.push(Resolved::Write { call: call.id, offset: self.put });
        self.put = self.put.map(|put| put.saturating_add(bytes));
        if self.unknown.is_some() {
            return;
        }
        if call.method == Method::Packet {
            if self.plain_until.is_some_and(|last| !self.queue.is_empty() || last >= call.entered) {
                // Its odd bytes may have joined a plain buffer, which is no packet.
                self.lost(Why::Overlap, out);
                return;
            }
            self.plain_until = None;
            if bytes / u64::from(PAGE) > MOST_SEGMENTS as u64 {
                self.lost(Why::Lost, out);
                return;
            }
        } else {
            self.plain_until = Some(u64::MAX);
        }
        let mut left = bytes - taken;
        while left > 0 {
            let packet = call.method == Method::Packet;
            let run = if packet { left.min(u64::from(PAGE)) } else { left };
            let sender = Sender::Call(call.id);
            self.push(Segment { sender, bytes: run, entered: call.entered, packet });
            left -= run;
        }
    }

    /// Serves waiting reads; with `calls`, from the write in flight too.
    fn serve(&mut self, calls: Option<&Calls>, out: &mut Vec<Resolved>) {
        if let Some(why) = self.unknown {
            out.extend(self.waiting.drain(..).map(|read| Resolved::Unknown { call: read.call, why }));
            return;
        }
        while !self.waiting.is_empty() {
            match self.serve_first(calls) {
                Ok(true) => {}
                Ok(false) => return,
                Err(why) => return self.lost(why, out),
            }
            let Some(read) = self.waiting.pop_front() else {
                return;
            };
            if self.queue.is_empty() && self.plain_until.is_some() && self.ahead.is_none() {
                self.plain_until = Some(read.exited);
            }
            out.push(match read.content.parts() {
                Ok(parts) => read.resolved(parts),
                Err(why) => Resolved::Unknown { call: read.call, why },
            });
            self.spare = read.content.emptied();
        }
    }

    /// Whether the first waiting read now has all its bytes.
    fn serve_first(&mut self, calls: Option<&Calls>) -> Result<bool, Why> {
        let Some(read) = self.waiting.front_mut() else {
            return Ok(false);
        };
        let opaque = read.method == Method::Opaque;
        if read.offset.is_none() {
            read.offset = self.got;
        }
        if read.method == Method::Peek {
            let mut missing = read.missing;
            let mut seen = Content::default();
            for segment in &self.queue {
                let run = segment.bytes.min(missing);
                if run > 0 && segment.entered > read.exited {
                    return Err(Why::Lost);
                }
                seen.push(segment.sender, run);
                missing -= run;
            }
            if missing > 0 {
                let Some(write) = calls.and_then(|calls| in_flight(calls, read.exited)) else {
                    return Ok(false);
                };
                seen.push(Sender::Call(write.id), missing);
            }
            read.content = seen;
            read.missing = 0;
            return Ok(true);
        }
        while read.missing > 0 {
            let Some(segment) = self.queue.front_mut() else {
                let Some(write) = calls.and_then(|calls| in_flight(calls, read.exited)) else {
                    return Ok(false);
                };
                let ahead = self.ahead.get_or_insert(Ahead { call: write.id, bytes: 0 });
                if ahead.call != write.id {
                    return Err(Why::Lost);
                }
                ahead.bytes = ahead.bytes.saturating_add(read.missing);
                self.got = self.got.map(|got| got.saturating_add(read.missing));
                read.content.push(Sender::Call(write.id), read.missing);
                read.missing = 0;
                break;
            };
            if segment.entered > read.exited {
                // It returned before these bytes were sent: a write before them is missing.
                return Err(Why::Lost);
            }
            let run = segment.bytes.min(read.missing);
            read.content.push(segment.sender, run);
            read.missing -= run;
            segment.bytes -= run;
            self.queued = self.queued.saturating_sub(run);
            self.got = self.got.map(|got| got.saturating_add(run));
            let packet = segment.packet && !opaque;
            if packet {
                read.discarded = segment.bytes;
                self.queued = self.queued.saturating_sub(segment.bytes);
                self.got = self.got.map(|got| got.saturating_add(segment.bytes));
            }
            if packet || segment.bytes == 0 {
                self.queue.pop_front();
            }
            if packet && read.missing > 0 {
                // One read never gets more than one packet.
                return Err(Why::Lost);
            }
        }
        Ok(true)
    }

    /// Gives up on reads that still wait.
    pub(super) fn flush(&mut self, calls: &Calls, out: &mut Vec<Resolved>) {
        self.serve(Some(calls), out);
        if !self.waiting.is_empty() {
            self.lost(Why::Lost, out);
        }
    }

    /// Bytes that reads which exited have got from writes that have not.
    pub(super) fn missing(&self) -> u64 {
        let ahead = self.ahead.map_or(0, |ahead| ahead.bytes);
        self.waiting.iter().fold(ahead, |sum, read| sum.saturating_add(read.missing))
    }

    /// Some of what is queued are packets.
    pub(super) fn has_packets(&self) -> bool {
        self.queue.iter().any(|segment| segment.packet)
    }

    /// What is queued by writes that exited.
    pub(super) fn content(&self) -> Content {
        let mut content = Content::default();
        for segment in &self.queue {
            content.push(segment.sender, segment.bytes);
        }
        content
    }

    pub(super) fn leftover(&self) -> Option<Vec<Leftover>> {
        self.unknown.is_none().then(|| leftover(&self.content()))
    }
}

/// The bytes of a content by write.
pub(super) fn leftover(content: &Content) -> Vec<Leftover> {
    let write = |sender| match sender {
        Sender::Call(write) => Some(write),
        Sender::Unknown(_) => None,
    };
    content.pieces().map(|piece| Leftover { write: write(piece.sender), bytes: piece.bytes }).collect()
}

/// The one write in flight that began before `time` and whose bytes can be had one after the other.
fn in_flight(calls: &Calls, time: u64) -> Option<&Call> {
    let mut writes = calls.opened().filter(|call| call.side == Side::Write);
    let write = writes.next()?;
    (writes.next().is_none() && write.entered <= time && write.method != Method::Packet).then_some(write)
}
