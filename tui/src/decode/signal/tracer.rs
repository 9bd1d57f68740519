//! Signals that a tracer (ptrace(2)) sees before their receiver does: it passes them on, or it does not.
//!
//! In a signal-delivery-stop the signal has left its queue (`ptrace_signal`). A tracer that passes it on lets the delivery
//! follow at once; otherwise the thread goes on with something else, and that is the first that is seen of it.
//! Tests: here, and `live_origins.rs` with a tracer that suppresses one.

use ipcscope_common::sched::Switch;

use super::Pending;
use crate::{
    decode::Decoder,
    event::{Phase, Task},
};

/// The signal of a signal-delivery-stop. Other stops say more in the upper bits (an event), have the mark of a call
/// (`PTRACE_O_TRACESYSGOOD`), or are of a signal that waits nowhere.
fn shown(stop: u16) -> Option<i32> {
    matches!(stop, 1..=64).then(|| i32::from(stop))
}

impl Decoder {
    /// A thread is stopped by its tracer.
    pub(in crate::decode) fn traced_stop(&mut self, record: &Switch) {
        let task = Task { pid: record.header.tgid, tid: record.header.tid };
        self.suppressed(record.header.time, task);
        let taken = shown(record.stop).and_then(|signo| self.take_pending(task, signo, None));
        if let Some(pending) = taken {
            self.signals.shown.insert(task.tid, pending);
        }
    }

    /// What a tracer passed on, if it is that which is delivered now.
    pub(super) fn passed_on(&mut self, time: u64, task: Task, signo: i32) -> Option<Pending> {
        if self.signals.shown.get(&task.tid).is_some_and(|pending| pending.signo == signo) {
            return self.signals.shown.remove(&task.tid);
        }
        self.suppressed(time, task);
        None
    }

    /// The thread does something else: what its tracer was shown will not come.
    pub(in crate::decode) fn suppressed(&mut self, time: u64, task: Task) {
        self.drop_shown(time, task, "tracer");
    }

    /// What a tracer was shown ends for that reason.
    pub(in crate::decode) fn drop_shown(&mut self, time: u64, task: Task, reason: &'static str) {
        if let Some(pending) = self.signals.shown.remove(&task.tid) {
            self.end_pending(time, task, &pending, Phase::Discarded, Some(reason), None);
        }
    }

    /// Whether any tracer has been shown a signal that has not come yet.
    pub(in crate::decode) fn is_any_shown(&self) -> bool {
        !self.signals.shown.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_stops_show_a_signal() {
        assert_eq!(shown(10), Some(10));
        assert_eq!(shown(64), Some(64));
        // None, a call's, one of an event.
        assert_eq!((shown(0), shown(0x85), shown(0x405)), (None, None, None));
    }
}
