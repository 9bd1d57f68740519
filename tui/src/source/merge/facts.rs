//! What has to be known of a recording before it is merged with others: the first of two passes over it.
//!
//! It is taken from the records themselves, not from events: what a call's record says is exact, and nothing waits.
//! Invariants: nothing of a record is believed that does not hold for any bytes; memory is bounded by [`MOST`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io::BufReader,
    net::SocketAddr,
    path::Path,
};

use ipcscope_common::socket::{change, flag};

use crate::{
    decode::{connection, record::Record, record::parse},
    event::{Ending, number},
    source::recording::RecordingError,
    trace::{FrameKind, Reader, RecordingHeader},
};

/// Sends and receives remembered of a recording, and as many connections; beyond, clocks are aligned by those before.
const MOST: usize = 1 << 22;

/// A direction of a TCP connection: sending end, receiving end.
pub type Direction = (SocketAddr, SocketAddr);

/// A send or a receive of certain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Piece {
    /// TCP's count at the first byte, unwrapped from the first that was seen.
    pub from: i64,
    /// The same behind the last byte.
    pub to: i64,
    /// By the host's clock, ns: of a send, when it was entered; of a receive, when the last byte was there at the latest.
    pub time: u64,
    /// The same of the first byte.
    pub first: u64,
}

/// What goes one way on a connection, as one host sees it.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    /// A count and the place that it stands for.
    reference: Option<(u32, i64)>,
    /// In order of time.
    pub list: Vec<Piece>,
}

impl Pieces {
    /// The count that place 0 stands for, modulo 2^32.
    pub fn base(&self) -> u32 {
        self.reference.map_or(0, |(count, place)| count.wrapping_sub(place as u32))
    }

    fn add(&mut self, count: u32, bytes: u64, first: u64, time: u64) {
        let (before, place) = *self.reference.get_or_insert((count, 0));
        let from = place.saturating_add(i64::from(count.wrapping_sub(before).cast_signed()));
        self.reference = Some((count, from));
        self.list.push(Piece { from, to: from.saturating_add_unsigned(bytes), time, first });
    }
}

/// One end of a connection on a host.
#[derive(Clone, Debug, Default)]
pub struct Socket {
    /// Inode numbers of sockets that have been this end.
    pub inodes: BTreeSet<u64>,
    /// Network namespaces they were in.
    pub netns: BTreeSet<u32>,
    /// It was seen to connect (true) or to be accepted.
    pub connects: Option<bool>,
}

/// See the module.
#[derive(Debug)]
pub struct Facts {
    /// Its header.
    pub header: RecordingHeader,
    /// Its id.
    pub id: u64,
    /// What its clock showed when its time was 0, ns.
    pub start: u64,
    /// How it ended, as it says itself.
    pub ending: Option<Ending>,
    /// What could not be read of it.
    pub note: Option<String>,
    /// Processes in it.
    pub pids: BTreeSet<u32>,
    /// What was sent, of which nobody else can have sent a part.
    pub sends: HashMap<Direction, Pieces>,
    /// What was received.
    pub receives: HashMap<Direction, Pieces>,
    /// Ends of connections, by own and other address.
    pub sockets: BTreeMap<Direction, Socket>,
    pieces: usize,
}

/// Opens a recording for reading its frames.
pub fn open(path: &Path) -> Result<Reader<BufReader<File>>, RecordingError> {
    let file = File::open(path).map_err(|error| RecordingError::Open { path: path.to_owned(), error })?;
    let input = BufReader::with_capacity(1 << 20, file);
    Reader::new(input).map_err(|error| RecordingError::Read { path: path.to_owned(), error })
}

impl Facts {
    /// Reads a recording to its end.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let mut reader = open(path)?;
        let header = reader.header().clone();
        let mut facts = Self {
            id: reader.id(),
            start: header.clock_start,
            header,
            ending: None,
            note: None,
            pids: BTreeSet::new(),
            sends: HashMap::new(),
            receives: HashMap::new(),
            sockets: BTreeMap::new(),
            pieces: 0,
        };
        let mut started = false;
        for frame in reader.by_ref() {
            let frame = frame.map_err(|error| RecordingError::Read { path: path.to_owned(), error })?;
            let Some(record) = (frame.kind == FrameKind::Wire).then(|| parse(&frame.bytes).ok()).flatten() else {
                continue;
            };
            if let (Record::Start(start), false) = (&record, started) {
                (facts.start, started) = (start.header.time, true);
            }
            facts.record(&record);
        }
        (facts.ending, facts.note) = (reader.ending().cloned(), reader.damage());
        Ok(facts)
    }

    fn record(&mut self, record: &Record<'_>) {
        match record {
            Record::NewTask(record) => self.process(record.header.tgid),
            Record::Found(record) => self.process(record.header.tgid),
            Record::Exec(record) => self.process(record.header.tgid),
            Record::SocketChange(record) => {
                let Some((own, other, netns)) = connection(&record.end) else { return };
                if let Some(socket) = self.socket((own, other), record.end.ino, netns)
                    && matches!(record.change, change::CONNECTED | change::ACCEPTED)
                {
                    socket.connects = Some(record.change == change::CONNECTED);
                }
            }
            Record::SocketCall(record, _) => {
                let Some((own, other, netns)) = connection(&record.end) else { return };
                if record.ret <= 0 || record.flags & flag::SEQ == 0 || self.pieces >= MOST {
                    return;
                }
                self.pieces += 1;
                self.socket((own, other), record.end.ino, netns);
                let (bytes, [from, to]) = (record.ret as u64, record.seq);
                let time = record.header.time;
                if record.flags & flag::SEND == 0 {
                    let first = if record.copied == 0 { time } else { record.copied };
                    self.receives.entry((other, own)).or_default().add(from, bytes, first.min(time), time);
                } else if u64::from(to.wrapping_sub(from)) == bytes {
                    self.sends.entry((own, other)).or_default().add(from, bytes, record.entered, record.entered);
                }
            }
            _ => {}
        }
    }

    fn process(&mut self, pid: u32) {
        if self.pids.len() < MOST {
            self.pids.insert(number(pid));
        }
    }

    fn socket(&mut self, ends: Direction, inode: u64, netns: u32) -> Option<&mut Socket> {
        if self.sockets.len() >= MOST && !self.sockets.contains_key(&ends) {
            return None;
        }
        let socket = self.sockets.entry(ends).or_default();
        if socket.inodes.len() < MOST {
            socket.inodes.insert(inode);
        }
        if netns != 0 && socket.netns.len() < MOST {
            socket.netns.insert(netns);
        }
        Some(socket)
    }
}
