//! No signal meanwhile.
//!
//! The kernel's verifier gives up with EAGAIN when a signal is pending for the thread (`do_check`, `signal_pending`): a
//! terminal that is resized while the probes are loaded would end the trace before it began.

use nix::sys::signal::{SigSet, SigmaskHow};

/// Signals to this thread, and to those it creates, wait until this is dropped.
pub(super) struct Quiet {
    before: Option<SigSet>,
}

impl Quiet {
    pub(super) fn begin() -> Self {
        Self { before: SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK).ok() }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // It was in force before: it cannot fail now.
            let _ = before.thread_set_mask();
        }
    }
}
