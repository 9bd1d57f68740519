//! Recordings of several hosts or namespaces as one.
//!
//! The merged recording holds the frames of each part untouched but for their time ([`crate::trace`]), so that whatever a
//! later version makes of a recording it makes of this one as well. Here is what two passes over the parts do: [`facts`]
//! are read of each; [`clocks`] are aligned by the messages that [`connections`] match; then all frames are written in
//! order of time. Reading it again is for [`crate::decode::hosts`].
//!
//! Invariants: parts of one boot have one clock, exactly; what is damaged in a part is passed over and told, and told again by
//! whoever reads the whole; nothing is written before everything that can be refused has been. Tested in `tests.rs`, with
//! clocks that are wrong by a known amount, and by tui/tests/live_merge.rs.

mod clocks;
mod connections;
mod facts;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
};

use ipcscope_common::WIRE_VERSION;

use crate::{
    analyze::{clock_told, clock_whose},
    event::{Basis, Ending, Header, HostClock, MAX_HOSTS, Nanos, text},
    source::recording::RecordingError,
    sys::host,
    trace::{
        self, Frame, FrameKind, MAX_NOTES, Note, OfPart, Part, Reader, RecordingHeader, WriteError, Writer,
        encode_ending,
    },
};

use clocks::{Bounds, Time};
use connections::Member;
use facts::Facts;

/// Why recordings cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One of them.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// It is one already.
    #[error("failed to merge {path}: it is a merged recording; merge what it was made of: {parts}", path = path.display())]
    Merged {
        /// Which.
        path: PathBuf,
        /// File names of what it was made of.
        parts: String,
    },
    /// Twice.
    #[error("failed to merge {one} and {other}: they are the same recording", one = one.display(), other = other.display())]
    Same {
        /// One of them.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// More than can be told apart.
    #[error("failed to merge {0} recordings: at most {MAX_HOSTS} can be told apart")]
    TooMany(usize),
    /// The result.
    #[error("failed to write the merged recording: {0}")]
    Write(#[from] WriteError),
}

/// Recordings that can be merged, their clocks aligned.
pub struct Merge {
    paths: Vec<PathBuf>,
    facts: Vec<Facts>,
    header: RecordingHeader,
    warnings: Vec<String>,
}

/// The name of a file, escaped.
fn file_name(path: &Path) -> String {
    text::escape(path.file_name().unwrap_or(path.as_os_str()).as_encoded_bytes())
}

impl Merge {
    /// Reads them all once.
    pub fn prepare(paths: &[PathBuf]) -> Result<Self, MergeError> {
        if paths.len() > MAX_HOSTS {
            return Err(MergeError::TooMany(paths.len()));
        }
        let mut facts: Vec<Facts> = Vec::new();
        for (place, path) in paths.iter().enumerate() {
            let new = Facts::read(path)?;
            if !new.header.parts.is_empty() {
                let parts: Vec<&str> = new.header.header.hosts.iter().map(|clock| clock.file.as_str()).collect();
                return Err(MergeError::Merged {
                    path: path.clone(),
                    parts: text::escape(parts.join(", ").as_bytes()),
                });
            }
            let major = new.header.wire >> 16;
            if major > u32::from(WIRE_VERSION.0) {
                return Err(RecordingError::Wire { path: path.clone(), major }.into());
            }
            if let Some((_, one)) = facts.iter().zip(paths).take(place).find(|(old, _)| old.id == new.id) {
                return Err(MergeError::Same { one: one.clone(), other: path.clone() });
            }
            facts.push(new);
        }
        let clocks = clocks_of(&facts);
        let hosts = names(&facts);
        let members: Vec<Member<'_>> = facts
            .iter()
            .zip(&hosts)
            .zip(&clocks)
            .map(|((facts, host), clock)| Member { facts, host, clock: *clock })
            .collect();
        let aligned = align(&members, paths);
        let mut header = RecordingHeader {
            header: header(&facts, aligned),
            wire: facts.iter().map(|facts| facts.header.wire).max().unwrap_or(0),
            clock: "CLOCK_MONOTONIC".to_owned(),
            ..RecordingHeader::default()
        };
        let names: Vec<BTreeMap<String, String>> = connections::renamed(&members);
        header.parts = facts
            .iter()
            .zip(names)
            .map(|(facts, renamed)| Part { recording: facts.header.clone(), note: facts.note.clone(), renamed })
            .collect();
        let warnings = warnings(&members, paths);
        Ok(Self { paths: paths.to_vec(), facts, header, warnings })
    }

    /// What is worth a word about each part, and how sure its clock is.
    pub fn summary(&self) -> Vec<String> {
        let hosts = &self.header.header.hosts;
        let lines = hosts.iter().map(|clock| format!("{}: {}", clock_whose(clock), clock_told(clock)));
        lines.chain(self.warnings.iter().cloned()).collect()
    }

    /// The header of the merged recording.
    pub fn header(&self) -> &RecordingHeader {
        &self.header
    }

    /// Reads them all once more and writes them as one; gives how many records and bytes it wrote.
    pub fn write<W: Write>(&self, out: W) -> Result<(W, u64), MergeError> {
        let mut writer = Writer::new(out, &self.header)?;
        let mut streams = Vec::new();
        for ((path, facts), clock) in self.paths.iter().zip(&self.facts).zip(&self.header.header.hosts) {
            streams.push(Stream::open(path, facts, clock.offset_ns)?);
        }
        let (mut bytes, mut records, mut too_long) = (Vec::new(), 0, 0);
        while let Some(part) = (0..streams.len()).min_by_key(|part| streams.get(*part).map_or(u64::MAX, Stream::next)) {
            let Some((time, kind, contents)) = streams.get_mut(part).map(Stream::take).transpose()?.flatten() else {
                break;
            };
            OfPart { part, kind, bytes: &contents }.encode(&mut bytes);
            match writer.frame(FrameKind::Part, time, &bytes) {
                Ok(()) => records += u64::from(kind == Some(FrameKind::Wire)),
                Err(WriteError::FrameTooLong(_)) => too_long += 1,
                Err(error) => return Err(error.into()),
            }
        }
        let mut ending = Ending::default();
        if too_long > 0 {
            ending = Ending { events: 0, lost: too_long, lost_by: [("recording".to_owned(), too_long)].into() };
        }
        Ok((writer.finish_noted(&ending, &self.notes())?, records))
    }

    /// What was noted in each of them.
    fn notes(&self) -> Vec<Note> {
        let mut all = Vec::new();
        for (path, clock) in self.paths.iter().zip(&self.header.header.hosts) {
            let notes = trace::read_notes(path).unwrap_or_default();
            all.extend(notes.into_iter().map(|note| {
                let t = Nanos(note.t.0.saturating_add(clock.offset_ns));
                let text = if note.text.is_empty() { String::new() } else { format!("{}: {}", clock.host, note.text) };
                Note { t, text }
            }));
        }
        all.sort_by_key(|note| note.t);
        all.truncate(MAX_NOTES);
        all
    }
}

/// Which clock each recording's times are of.
fn clocks_of(facts: &[Facts]) -> Vec<usize> {
    let mut boots: Vec<&str> = Vec::new();
    let number = |facts: &Facts, boots: &[&str]| {
        let boot = facts.header.header.boot_id.as_str();
        boots.iter().position(|known| *known == boot && !boot.is_empty())
    };
    let mut clocks = Vec::new();
    for one in facts {
        let clock = number(one, &boots).unwrap_or_else(|| {
            boots.push(&one.header.header.boot_id);
            boots.len() - 1
        });
        clocks.push(clock);
    }
    clocks
}

/// What each host is called: as it calls itself, a second one of the name `name#2`.
fn names(facts: &[Facts]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for one in facts {
        let own = text::escape(one.header.header.host.replace('\\', "").as_bytes());
        let own = if own.is_empty() { "host".to_owned() } else { own };
        let numbered = (2..).map(|number| format!("{own}#{number}"));
        let free = std::iter::once(own.clone()).chain(numbered).find(|name| !names.contains(name));
        names.push(free.unwrap_or(own));
    }
    names
}

/// ns since 1970 by the time of day when a recording's clock showed 0.
fn epoch(facts: &Facts) -> Option<Time> {
    Some(host::nanos_of(&facts.header.header.start)? - Time::from(facts.start))
}

/// Aligns the clocks of all.
fn align(members: &[Member<'_>], paths: &[PathBuf]) -> Vec<HostClock> {
    let count = members.iter().map(|member| member.clock + 1).max().unwrap_or(0);
    let mut bounds = Bounds::new(count);
    let matched = connections::learn(members, &mut bounds);
    let first_of = |clock: usize| members.iter().position(|member| member.clock == clock);
    let epoch_of = |clock: usize| epoch(members.get(first_of(clock)?)?.facts);
    let start_of = |clock: usize| first_of(clock).and_then(|place| members.get(place)).map_or(0, |m| m.facts.start);
    // Without a time of day they began together.
    let guess = |clock| match epoch_of(clock).zip(epoch_of(0)) {
        Some((own, first)) => own - first,
        None => Time::from(start_of(0)) - Time::from(start_of(clock)),
    };
    let placed = bounds.place(&(0..count).map(guess).collect::<Vec<_>>());
    // When each began, by the first's clock.
    let began = |member: &Member<'_>| {
        Time::from(member.facts.start) + placed.get(member.clock).map_or(0, |placed| placed.offset)
    };
    let zero = members.iter().map(began).min().unwrap_or(0);
    let each = members.iter().zip(paths).zip(matched).enumerate();
    each.map(|(place, ((member, path), matched))| {
        let placed = placed.get(member.clock).copied();
        let is_first_of_boot = first_of(member.clock) == Some(place);
        HostClock {
            host: member.host.to_owned(),
            file: file_name(path),
            offset_ns: u64::try_from(began(member) - zero).unwrap_or(u64::MAX),
            uncertainty_ns: placed.and_then(|placed| placed.uncertainty),
            matched,
            basis: placed.filter(|_| is_first_of_boot).map_or(Basis::SameBoot, |placed| placed.basis),
            violation_ns: placed.map(|placed| placed.violation).filter(|by| *by > 0 && member.clock > 0),
        }
    })
    .collect()
}

/// What the whole says of itself.
fn header(facts: &[Facts], hosts: Vec<HostClock>) -> Header {
    let all: Vec<&Header> = facts.iter().map(|facts| &facts.header.header).collect();
    let Some(first) = all.first() else { return Header::default() };
    let same = |of: fn(&Header) -> &str| {
        if all.iter().all(|one| of(one) == of(first)) { of(first).to_owned() } else { String::new() }
    };
    let mut hooks: Vec<String> = all.iter().flat_map(|one| one.hooks.iter().cloned()).collect();
    hooks.sort_unstable();
    hooks.dedup();
    // The first's time of day, when the earliest began.
    let before = Time::from(hosts.first().map_or(0, |clock| clock.offset_ns));
    let start = host::nanos_of(&first.start).and_then(|start| host::rfc3339_of(start - before));
    Header {
        schema: first.schema,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: same(|one| &one.kernel),
        arch: same(|one| &one.arch),
        host: hosts.iter().map(|clock| clock.host.as_str()).collect::<Vec<_>>().join(","),
        boot_id: same(|one| &one.boot_id),
        start: start.unwrap_or_else(|| first.start.clone()),
        command: Vec::new(),
        hooks,
        payload_limit: all.iter().map(|one| one.payload_limit).max().unwrap_or(0),
        hosts,
    }
}

/// What is damaged, and who is in two of them.
fn warnings(members: &[Member<'_>], paths: &[PathBuf]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (place, (member, path)) in members.iter().zip(paths).enumerate() {
        warnings.extend(member.facts.note.as_ref().map(|note| format!("{}: {note}", path.display())));
        for (other, with) in members.iter().zip(paths).skip(place + 1) {
            let mut common = member.facts.pids.intersection(&other.facts.pids);
            if member.clock == other.clock
                && let Some(pid) = common.next()
            {
                let (one, two) = (path.display(), with.display());
                warnings.push(format!("process {pid} is in {one} and in {two}: it is shown twice, once for each"));
            }
        }
    }
    warnings
}

/// The frames of a part on their way into the whole.
struct Stream<'a> {
    path: &'a Path,
    reader: Reader<BufReader<File>>,
    head: Option<Frame>,
    /// To be added to the time of a frame.
    shift: Time,
    /// Where the whole is by now: a part's frames keep their order, even where times do not.
    last: u64,
    is_over: bool,
}

impl<'a> Stream<'a> {
    fn open(path: &'a Path, facts: &Facts, offset: u64) -> Result<Self, MergeError> {
        // Frames count from the header's time, events from the record that tells of the start.
        let shift = Time::from(offset) + Time::from(facts.header.clock_start) - Time::from(facts.start);
        let mut stream = Self { path, reader: facts::open(path)?, head: None, shift, last: 0, is_over: false };
        stream.advance()?;
        Ok(stream)
    }

    fn advance(&mut self) -> Result<(), MergeError> {
        let next = self.reader.next().transpose();
        self.head = next.map_err(|error| RecordingError::Read { path: self.path.to_owned(), error })?;
        Ok(())
    }

    /// When what comes next is.
    fn next(&self) -> u64 {
        match &self.head {
            Some(frame) => u64::try_from((Time::from(frame.time) + self.shift).max(0)).unwrap_or(u64::MAX),
            None if self.is_over => u64::MAX,
            None => self.last,
        }
    }

    /// What comes next; `None`: nothing more.
    #[expect(clippy::type_complexity, reason = "a frame's time, kind and contents")]
    fn take(&mut self) -> Result<Option<(u64, Option<FrameKind>, Vec<u8>)>, MergeError> {
        let time = self.next();
        if let Some(Frame { kind, bytes, .. }) = self.head.take() {
            self.last = self.last.max(time);
            self.advance()?;
            return Ok(Some((time, Some(kind), bytes)));
        }
        if std::mem::replace(&mut self.is_over, true) {
            return Ok(None);
        }
        let ending = self.reader.ending().cloned().unwrap_or_default();
        let bytes = encode_ending(&ending).map_err(WriteError::from)?;
        Ok(Some((self.last, None, bytes)))
    }
}

/// Whether two paths lead to one file.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |path: &Path| -> io::Result<_> { std::fs::metadata(path).map(|data| (data.dev(), data.ino())) };
    matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
}
