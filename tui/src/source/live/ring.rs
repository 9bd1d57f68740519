//! Draining the ring buffer by the clock, and putting what comes into order.
//!
//! Records are submitted without wakeups, so a timer drains them. A record may be reserved a little after its time was
//! taken, so only what is older than the drain before last, less a margin, leaves in order.
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
        PATIENCE,
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
            let count = self.drain(&mut sequencer);
            self.account.tell(&mut sequencer, before, clock::now());
            look.1 -= 1;
            if look.1 == 0 {
                self.account.tell_skipped(&mut sequencer, look.0, clock::now());
                look = (began, LOOK);
            }
            let mut batch = sequencer.release(before.saturating_sub(MARGIN));
            // A mark behind the last records, and more of them when it has fallen quiet: what waits for later ones can go
            // once its time has come.
            if !batch.is_empty() {
                last_record = began;
            }
            if began.saturating_sub(last_record) <= AFTER_QUIET {
                tick(&mut batch, before.saturating_sub(MARGIN));
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
            while self.drain(&mut sequencer) > 0 {}
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

    fn drain(&mut self, sequencer: &mut Sequencer) -> usize {
        let mut count = 0;
        while let Some(record) = self.events.next() {
            match file::settle(&record) {
                Some(settled) => sequencer.push(settled.as_bytes()),
                None => sequencer.push(&record),
            }
            self.account.saw();
            count += 1;
            if count >= MOST {
                break;
            }
        }
        count
    }
}
