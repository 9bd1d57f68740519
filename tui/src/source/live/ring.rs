//! Draining the ring buffer by the clock, and putting what comes into order.
//!
//! Records are submitted without wakeups, so a timer drains them. A record may be reserved a little after its time was
//! taken, so only what is older than the drain before last, less a margin, leaves in order; and while the buffer has more
//! than was drained, only what is older than the last that was.
//!
//! Invariants: this thread waits for nobody but the queue behind it; if that is full, the ring buffer fills and the kernel
//! side counts what does not fit. When it ends the hooks are gone and the buffer is empty, so the account is closed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use aya::{
    maps::{MapData, RingBuf},
    programs::tp_btf::BtfTracePointLink,
};
use crossbeam_channel::Sender;
use ipcscope_common::{Header, mark};
use zerocopy::IntoBytes;

use super::{account::Account, file};
use crate::{
    decode::{
        PATIENCE, record,
        sequence::{Batch, Sequencer},
    },
    sys::clock,
};

/// Between two drains.
const TICK: Duration = Duration::from_millis(10);
/// Between two drains while nothing comes.
const IDLE_TICK: Duration = Duration::from_millis(25);
/// A record's time may be that much older than its place in the ring buffer, ns.
const MARGIN: u64 = 2_000_000;
/// Records in a drain at most; one that found as many is followed by another at once. Few enough for a batch to stay in
/// the processor's cache on its way, and for its memory to be used again instead of asked for.
const MOST: usize = 25_000;
/// Between two looks at what the kernel itself counts, drains.
const LOOK: u32 = 10;
/// A program that runs when its hook goes may still hand over its record; how often to look for it, a tick each.
const STRAGGLERS: u32 = 5;

/// Marks of time go on for so long after the last record, ns: longer than any event waits for a fact.
const AFTER_QUIET: u64 = PATIENCE + PATIENCE / 4;

/// Adds a mark of time.
fn tick(batch: &mut Batch, time: u64) {
    let mark = mark::Tick { header: Header { time, kind: mark::TICK, ..Header::default() } };
    batch.push(time, mark.as_bytes());
}

/// Nothing older can come any more, if the drain before began at `before` and this one found so many records, the last of
/// that time: what is still in the buffer may be hardly younger than what has been drained, however long ago that was.
fn settled(before: u64, (count, newest): (usize, u64)) -> u64 {
    let drained = if count < MOST { before } else { before.min(newest) };
    drained.saturating_sub(MARGIN)
}

/// What the thread works with.
pub struct Ring {
    /// The ring buffer.
    pub events: RingBuf<MapData>,
    /// What was lost.
    pub account: Account,
    /// The hooks: dropped, they are gone.
    pub hooks: Vec<BtfTracePointLink>,
    /// Where batches go.
    pub batches: Sender<Batch>,
    /// Set to end it: it detaches, drains once more and leaves.
    pub stop: Arc<AtomicBool>,
}

impl Ring {
    /// Runs until it is stopped or nobody listens. `first`: records that come before all others.
    pub fn run(mut self, first: &[Vec<u8>]) {
        let mut sequencer = Sequencer::default();
        for record in first {
            sequencer.push(record);
        }
        let mut before = clock::now();
        // When skipped hooks were last asked for, and in how many drains they will be again.
        let mut look = (before, LOOK);
        let mut last_record = before;
        while !self.stop.load(Ordering::Acquire) {
            let began = clock::now();
            let (count, newest) = self.drain(&mut sequencer);
            self.account.tell(&mut sequencer, before, clock::now());
            look.1 -= 1;
            if look.1 == 0 {
                self.account.tell_skipped(&mut sequencer, look.0, clock::now());
                look = (began, LOOK);
            }
            let settled = settled(before, (count, newest));
            let mut batch = sequencer.release(settled);
            // A mark behind the last records, and more of them when it has fallen quiet: what waits for later ones can go
            // once its time has come.
            if !batch.is_empty() {
                last_record = began;
            }
            if began.saturating_sub(last_record) <= AFTER_QUIET {
                tick(&mut batch, settled);
            }
            before = began;
            if !batch.is_empty() && self.batches.send(batch).is_err() {
                return;
            }
            match count {
                0 => thread::sleep(IDLE_TICK),
                1..MOST => thread::sleep(TICK),
                _ => {}
            }
        }
        self.hooks.clear();
        for _ in 0..STRAGGLERS {
            while self.drain(&mut sequencer).0 > 0 {}
            if self.account.missing() == 0 {
                break;
            }
            thread::sleep(TICK);
        }
        let now = clock::now();
        self.account.tell(&mut sequencer, before, now);
        self.account.tell_skipped(&mut sequencer, look.0, now);
        self.account.tell_missing(&mut sequencer, before, now);
        let mut batch = sequencer.release(u64::MAX);
        tick(&mut batch, now);
        // Whoever has left needs no last batch.
        let _ = self.batches.send(batch);
    }

    /// How many records came, and the time of the last.
    fn drain(&mut self, sequencer: &mut Sequencer) -> (usize, u64) {
        let (mut count, mut newest) = (0, 0);
        while let Some(bytes) = self.events.next() {
            newest = record::header(&bytes).map_or(newest, |header| header.time);
            match file::settle(&bytes) {
                Some(settled) => sequencer.push(settled.as_bytes()),
                None => sequencer.push(&bytes),
            }
            self.account.saw();
            count += 1;
            if count >= MOST {
                break;
            }
        }
        (count, newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_not_overtaken_by_the_clock() {
        let (long_ago, now) = (5_000_000_000, 9_000_000_000);
        assert_eq!(settled(now, (MOST - 1, long_ago)), now - MARGIN, "it was drained");
        assert_eq!(settled(now, (MOST, long_ago)), long_ago - MARGIN, "it was not");
        assert_eq!(settled(long_ago, (MOST, now)), long_ago - MARGIN, "what is younger than the drain before waits");
        assert_eq!(settled(0, (0, 0)), 0);
    }
}
