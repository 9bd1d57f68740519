//! Putting records in order of time.
//!
//! Every CPU writes in its own order; the ring buffer keeps the order of reservation, which an interrupt or another CPU may
//! turn around by some microseconds. So records wait until nothing older can come any more (a *watermark*), then leave
//! sorted. Invariant: what leaves is in order of time, and nothing is dropped.

use ipcscope_common::mark::Tick;

use super::record::header;

/// Records one after the other, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// An empty one with room for `records` of `bytes` in all.
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(records) }
    }

    /// The bytes of all records, one behind the other.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds a record at the end.
    pub fn push(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each record's bytes.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end))
    }
}

/// Records that wait for older ones.
#[derive(Clone, Debug, Default)]
pub struct Sequencer {
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
    released: u64,
    late: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    time: u64,
    start: usize,
    end: usize,
}

impl Sequencer {
    /// Takes a record in; one without a header is of no use.
    pub fn push(&mut self, record: &[u8]) {
        let Ok(header) = header(record) else { return };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        if header.time < self.released {
            self.late += 1;
        }
        self.waiting.push(Waiting { time: header.time, start, end: self.bytes.len() });
    }

    /// Everything before `watermark`, sorted; records of the same time keep the order they came in.
    pub fn release(&mut self, watermark: u64) -> Batch {
        self.waiting.sort_by_key(|waiting| waiting.time);
        let count = self.waiting.partition_point(|waiting| waiting.time < watermark);
        let leaving: usize = self.waiting.iter().take(count).map(|waiting| waiting.end - waiting.start).sum();
        // Room for a mark of time too.
        let mut batch = Batch::with_capacity(count + 1, leaving + size_of::<Tick>());
        for waiting in self.waiting.drain(..count) {
            self.released = self.released.max(waiting.time);
            batch.push(self.bytes.get(waiting.start..waiting.end).unwrap_or_default());
        }
        // Keep what still waits, at the front of a fresh buffer.
        let mut rest = Vec::with_capacity(self.bytes.len() - leaving);
        for waiting in &mut self.waiting {
            let start = rest.len();
            rest.extend_from_slice(self.bytes.get(waiting.start..waiting.end).unwrap_or_default());
            (waiting.start, waiting.end) = (start, rest.len());
        }
        self.bytes = rest;
        batch
    }

    /// Records that came after younger ones had left: 0 unless a probe was held up for long.
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use ipcscope_common::Header;
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::{super::record::header, *};

    fn record(time: u64, seq: u32) -> Vec<u8> {
        Header { time, seq, ..Header::default() }.as_bytes().to_vec()
    }

    proptest! {
        #[test]
        fn sorts_and_keeps_everything(times in prop::collection::vec(0u64..1000, 0..60), cuts in prop::collection::vec(0u64..1000, 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut sequencer = Sequencer::default();
            for (seq, time) in times.iter().enumerate() {
                sequencer.push(&record(*time, seq as u32));
            }
            let mut out = Vec::new();
            for cut in cuts.into_iter().chain([u64::MAX]) {
                let batch = sequencer.release(cut);
                prop_assert!(batch.iter().all(|r| header(r).unwrap().time < cut));
                out.extend(batch.iter().map(|r| { let h = header(r).unwrap(); (h.time, h.seq) }));
            }
            let mut expected: Vec<_> = times.iter().enumerate().map(|(seq, time)| (*time, seq as u32)).collect();
            expected.sort_unstable();
            prop_assert_eq!(out, expected);
        }
    }
}
