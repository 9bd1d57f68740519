//! The clock of the kernel's records.

use nix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC, ns: what `bpf_ktime_get_ns` gives.
pub fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
