//! More than a small buffer holds, of each kind a known number.

use super::{
    signals,
    sys::{kill, pid, say},
};

/// So many signals to itself, each handled before the next.
pub fn signals(count: u32) {
    signals::handle(libc::SIGUSR1, 0);
    for _ in 0..count {
        kill(pid(), libc::SIGUSR1);
    }
    say("signals", count);
}
