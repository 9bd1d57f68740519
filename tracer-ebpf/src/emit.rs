//! Handing records to user space, and counting those that cannot be.
//!
//! The ring buffer is drained by a timer, so records are submitted without a wakeup: a wakeup per record would make the
//! tracer compete with the traced (kernel/bpf/ringbuf.c, BPF_RB_NO_WAKEUP).
//!
//! Invariant: every record takes a number of its CPU, handed over or not; what is not handed over is counted by class.

use core::{
    intrinsics::{AtomicOrdering, atomic_xadd},
    mem::MaybeUninit,
    ptr,
};

use aya_ebpf::{
    helpers::generated::bpf_get_smp_processor_id,
    macros::map,
    maps::{PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};
use ipcscope_common::{Header, settings::lost};

const BPF_RB_NO_WAKEUP: u64 = 1;

/// Records on their way; user space sets the size.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(64 << 20, 0);
/// Records numbered so far.
#[map]
static SEQUENCE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
/// Records lost so far, by class.
#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(lost::COUNT, 0);

/// Counts a loss.
#[inline(always)]
pub fn count_lost(class: u32) {
    if let Some(count) = LOST.get_ptr_mut(class) {
        // SAFETY: a valid map value. Atomic, since interrupts bring programs of their own.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(count, 1) };
    }
}

/// Takes the next number of this CPU.
#[inline(always)]
fn next_number() -> u32 {
    match SEQUENCE.get_ptr_mut(0) {
        // SAFETY: as above.
        Some(number) => unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(number, 1) as u32 },
        None => 0,
    }
}

/// A header for a record of `kind` about a thread, numbered.
#[inline(always)]
pub fn header(kind: u16, time: u64, tid: u32, tgid: u32) -> Header {
    // SAFETY: always allowed.
    let cpu = unsafe { bpf_get_smp_processor_id() } as u16;
    Header { time, seq: next_number(), cpu, kind, tid, tgid }
}

/// Room for a record; counts a loss of `class` where there is none. Take the header first: its number is then missing.
#[inline(always)]
pub fn reserve<T: 'static>(class: u32) -> Option<Record<T>> {
    match EVENTS.reserve::<T>(0) {
        Some(entry) => Some(Record(entry)),
        None => {
            count_lost(class);
            None
        }
    }
}

/// A record being written in place.
pub struct Record<T: 'static>(RingBufEntry<T>);

impl<T> Record<T> {
    /// Where to write it.
    #[inline(always)]
    pub fn as_mut_ptr(&mut self) -> *mut T {
        MaybeUninit::as_mut_ptr(&mut self.0)
    }

    /// Hands it over.
    #[inline(always)]
    pub fn submit(self) {
        self.0.submit(BPF_RB_NO_WAKEUP);
    }
}

/// Writes and hands over a whole record.
#[inline(always)]
pub fn emit<T: 'static>(class: u32, value: T) {
    if let Some(mut record) = reserve::<T>(class) {
        // SAFETY: the reserved room has the size of T.
        unsafe { ptr::write(record.as_mut_ptr(), value) };
        record.submit();
    }
}
