//! What a process does about signals, which of them a thread blocks, and what that does to those that wait.

use ipcscope_common::signal as wire;

use super::{action, flags};
use crate::{
    decode::Decoder,
    event::{Action, Disposition, Dispositions, Kind, Mask, SignalSet, Task},
};

impl Decoder {
    /// rt_sigaction(2) returned. What is ignored from now on is taken out of the queues at once (`do_sigaction`).
    pub(in crate::decode) fn sigaction(&mut self, record: &wire::Sigaction) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        if self.tasks.ensure(task.tid, task.pid).held {
            return;
        }
        let action = action(record.signo, record.handler);
        let is_handler = action == Action::Handler;
        let disposition = Disposition {
            signo: record.signo,
            action,
            handler: is_handler.then(|| format!("{:#x}", record.handler)),
            flags: flags(record.sa_flags),
            mask: SignalSet(record.mask),
        };
        self.push(header.time, task, Kind::Disposition(Box::new(disposition)));
        // By default SIGCONT counts as ignored here too (`sig_kernel_ignore`).
        if matches!(action, Action::Ignore | Action::Continue) {
            self.discard(header.time, task.pid, "ignored", |pending| pending == record.signo);
        }
    }

    /// rt_sigprocmask(2) changed something.
    pub(in crate::decode) fn mask(&mut self, record: &wire::Mask) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let thread = self.tasks.ensure(task.tid, task.pid);
        thread.mask = Some(record.blocked);
        if !thread.held {
            self.tell_mask(header.time, task, record.blocked);
        }
    }

    pub(in crate::decode) fn tell_mask(&mut self, time: u64, task: Task, blocked: u64) {
        self.push(time, task, Kind::Mask(Mask { blocked: SignalSet(blocked) }));
    }

    pub(in crate::decode) fn tell_dispositions(
        &mut self,
        time: u64,
        task: Task,
        ignored: SignalSet,
        caught: SignalSet,
    ) {
        self.push(time, task, Kind::Dispositions(Dispositions { ignored, caught }));
    }
}
