//! Putting records in order of time.
//!
//! Every CPU writes in its own order; the ring buffer keeps the order of reservation, which an interrupt or another CPU may
//! turn around by some microseconds. So records wait until nothing older can come any more (a *watermark*), then leave
//! sorted. Invariant: what leaves is in order of time, and nothing is dropped.

use std::sync::Arc;

use super::record::header;

/// Records in order of time. They lie where they were put first: a batch is cheap to clone, and to make.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    chunks: Vec<Arc<Vec<u8>>>,
    places: Vec<Place>,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    time: u64,
    chunk: usize,
    start: usize,
    end: usize,
}

impl Batch {
    /// Adds a record at the end.
    pub fn push(&mut self, time: u64, record: &[u8]) {
        self.places.push(Place { time, chunk: self.chunks.len(), start: 0, end: record.len() });
        self.chunks.push(Arc::new(record.to_vec()));
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of all records.
    pub fn bytes(&self) -> usize {
        self.places.iter().map(|place| place.end - place.start).sum()
    }

    /// Each record's bytes.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.timed().map(|(_, record)| record)
    }

    /// Each record's time and bytes.
    pub fn timed(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.places.iter().filter_map(|place| {
            let chunk = self.chunks.get(place.chunk)?;
            Some((place.time, chunk.get(place.start..place.end)?))
        })
    }
}

/// Records that wait for older ones.
#[derive(Clone, Debug, Default)]
pub struct Sequencer {
    /// What came before the last release, and is not gone yet.
    chunks: Vec<Arc<Vec<u8>>>,
    /// What came since.
    latest: Vec<u8>,
    waiting: Vec<Place>,
    released: u64,
    late: u64,
}

impl Sequencer {
    /// Takes a record in; one without a header is of no use.
    pub fn push(&mut self, record: &[u8]) {
        let Ok(header) = header(record) else { return };
        let start = self.latest.len();
        self.latest.extend_from_slice(record);
        if header.time < self.released {
            self.late += 1;
        }
        let (chunk, end) = (self.chunks.len(), self.latest.len());
        self.waiting.push(Place { time: header.time, chunk, start, end });
    }

    /// Everything before `watermark`, sorted; records of the same time keep the order they came in.
    pub fn release(&mut self, watermark: u64) -> Batch {
        if !self.latest.is_empty() {
            // As much will come again.
            let room = Vec::with_capacity(self.latest.len());
            self.chunks.push(Arc::new(std::mem::replace(&mut self.latest, room)));
        }
        self.waiting.sort_by_key(|waiting| waiting.time);
        let count = self.waiting.partition_point(|waiting| waiting.time < watermark);
        let rest = self.waiting.split_off(count);
        let places = std::mem::replace(&mut self.waiting, rest);
        let batch = Batch { chunks: if places.is_empty() { Vec::new() } else { self.chunks.clone() }, places };
        if let Some(last) = batch.places.last() {
            self.released = self.released.max(last.time);
        }
        let gone = self.waiting.iter().map(|waiting| waiting.chunk).min().unwrap_or(self.chunks.len());
        self.chunks.drain(..gone);
        self.waiting.iter_mut().for_each(|waiting| waiting.chunk -= gone);
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
