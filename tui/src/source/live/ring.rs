//! Draining the ring buffer by the clock, and putting what comes into order.
//!
//! Records are submitted without wakeups, so a timer drains them. A record may be reserved a little after its time was
//! taken, so only what is older than the drain before last, less a margin, leaves in order.
//!
//! Invariant: this thread waits for nobody but the queue behind it; if that is full, the ring buffer fills and the kernel
//! side counts what does not fit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use aya::maps::{MapData, PerCpuArray, RingBuf};
use crossbeam_channel::Sender;
use ipcscope_common::{Header, mark, settings::lost};
use zerocopy::IntoBytes;

use crate::{
    decode::sequence::{Batch, Sequencer},
    sys::clock,
};

/// Between two drains.
const TICK: Duration = Duration::from_millis(10);
/// Between two drains while nothing comes.
const IDLE_TICK: Duration = Duration::from_millis(25);
/// A record's time may be that much older than its place in the ring buffer, ns.
const MARGIN: u64 = 2_000_000;
/// A drain of more records than that is followed by another one at once.
const BUSY: usize = 100_000;

fn tick(time: u64) -> mark::Tick {
    mark::Tick { header: Header { time, kind: mark::TICK, ..Header::default() } }
}

/// What the thread works with.
pub struct Ring {
    /// The ring buffer.
    pub events: RingBuf<MapData>,
    /// The counters of loss.
    pub lost: PerCpuArray<MapData, u64>,
    /// Where batches go.
    pub batches: Sender<Batch>,
    /// Set to end it: it drains once more and leaves.
    pub stop: Arc<AtomicBool>,
}

impl Ring {
    /// Runs until it is stopped or nobody listens. `first`: records that come before all others.
    pub fn run(mut self, first: &[Vec<u8>]) {
        let mut sequencer = Sequencer::default();
        for record in first {
            sequencer.push(record);
        }
        let mut counted = [0; lost::COUNT as usize];
        let mut before = clock::now();
        let mut was_busy = false;
        loop {
            let stopping = self.stop.load(Ordering::Acquire);
            let began = clock::now();
            let count = self.drain(&mut sequencer);
            self.count_lost(&mut sequencer, &mut counted, before, clock::now());
            let watermark = if stopping { u64::MAX } else { before.saturating_sub(MARGIN) };
            let mut batch = sequencer.release(watermark);
            // A mark behind the last records, and one more when it has fallen quiet: what waits for later ones can go.
            let busy = !batch.is_empty();
            if busy || was_busy {
                batch.push(tick(before.saturating_sub(MARGIN)).as_bytes());
            }
            was_busy = busy;
            before = began;
            if !batch.is_empty() && self.batches.send(batch).is_err() || stopping {
                return;
            }
            match count {
                0 => thread::sleep(IDLE_TICK),
                1..BUSY => thread::sleep(TICK),
                _ => {}
            }
        }
    }

    fn drain(&mut self, sequencer: &mut Sequencer) -> usize {
        let mut count = 0;
        while let Some(record) = self.events.next() {
            sequencer.push(&record);
            count += 1;
            if count >= 4 * BUSY {
                break;
            }
        }
        count
    }

    /// Puts a mark at either end of a span in which records were lost.
    fn count_lost(&self, sequencer: &mut Sequencer, counted: &mut [u64; lost::COUNT as usize], from: u64, to: u64) {
        for (class, before) in (0..).zip(counted.iter_mut()) {
            let Ok(values) = self.lost.get(&class, 0) else { continue };
            let total: u64 = values.iter().sum();
            let count = total.saturating_sub(*before);
            *before = total;
            if count == 0 {
                continue;
            }
            for (time, over) in [(from, 0), (to, 1)] {
                let header = Header { time, kind: mark::LOST, ..Header::default() };
                sequencer.push(
                    mark::Lost { header, until: if over == 0 { to } else { from }, count, class, over }.as_bytes(),
                );
            }
        }
    }
}
