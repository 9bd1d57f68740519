//! A transfer that failed with EINTR because of a signal, and was given up.
//!
//! Given up is: the end was closed, or the thread ended by itself, before the call was made again. Silent where that is
//! meant: an alarm makes a timeout, and a request to end is obeyed.

use foldhash::HashMap;

use super::{
    Finding, Found,
    telling::{REQUESTS, list, name_pid, signal},
};
use crate::{
    event::{ChannelChange, ChannelId, Event, Exit, Kind, SenderKind, SignalId, Task, ThreadState, Transfer},
    model::World,
};

/// A transfer that failed with EINTR and was not called again so far.
#[derive(Clone, Debug)]
struct Failed {
    task: Task,
    seq: u64,
    send: bool,
    channel: ChannelId,
    fd: Option<i32>,
    syscall: &'static str,
    signals: Vec<SignalId>,
    names: Vec<String>,
    /// Only requests to end interrupted it.
    asked_to_end: bool,
}

/// Calls that failed with EINTR, by thread id.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupted {
    failed: HashMap<u32, Failed>,
}

impl Interrupted {
    pub(super) fn apply(&mut self, world: &World, event: &Event, found: &mut Found) {
        let Some(task) = event.task else { return };
        match &event.kind {
            Kind::Send(transfer) => self.transfer(world, event, task, transfer, true),
            Kind::Recv(transfer) => self.transfer(world, event, task, transfer, false),
            // It waits in the same call again.
            Kind::State(change) if change.to == ThreadState::Blocked => {
                if let (Some(on), Some(failed)) = (&change.on, self.failed.get(&task.tid))
                    && on.channel.as_ref() == Some(&failed.channel)
                {
                    self.failed.remove(&task.tid);
                }
            }
            Kind::Channel(change) if change.event == ChannelChange::Closed => {
                let gave_up = |failed: &Failed| {
                    failed.task.pid == task.pid
                        && failed.channel == change.channel
                        && failed.fd.is_some()
                        && failed.fd == change.fd
                        && !failed.asked_to_end
                };
                for failed in self.failed.extract_if(|_, failed| gave_up(failed)).map(|(_, failed)| failed) {
                    tell(world, &failed, "closed its end", event, found);
                }
            }
            Kind::Exit(exit) => {
                let ended: Vec<_> = self
                    .failed
                    .extract_if(|tid, failed| *tid == task.tid || !exit.thread && failed.task.pid == task.pid)
                    .map(|(_, failed)| failed)
                    .collect();
                for failed in ended {
                    if let Some(how) = gave_up_at_exit(exit, &failed) {
                        tell(world, &failed, &how, event, found);
                    }
                }
            }
            _ => {}
        }
    }

    fn transfer(&mut self, world: &World, event: &Event, task: Task, transfer: &Transfer, send: bool) {
        if transfer.error != Some("EINTR") {
            if let Some(failed) = self.failed.get(&task.tid)
                && failed.channel == transfer.channel
                && failed.send == send
            {
                self.failed.remove(&task.tid);
            }
            return;
        }
        let signals = &transfer.call.interrupted_by;
        let first = |id: &SignalId| world.signal(*id).and_then(|row| row.steps.first()).map(|(_, step)| step);
        // An alarm that ends a call is how a timeout is made.
        let is_timeout = |id: &SignalId| {
            first(id).and_then(|step| step.sender.as_ref()).is_some_and(|sender| sender.kind == SenderKind::Timer)
        };
        if signals.iter().any(is_timeout) {
            self.failed.remove(&task.tid);
            return;
        }
        let asks = |id: &SignalId| first(id).is_some_and(|step| REQUESTS.contains(&step.signal.as_str()));
        let failed = Failed {
            task,
            seq: event.seq,
            send,
            channel: transfer.channel.clone(),
            fd: transfer.fd,
            syscall: transfer.call.syscall,
            signals: signals.clone(),
            names: signals.iter().filter_map(|id| signal(world, *id)).collect(),
            asked_to_end: !signals.is_empty() && signals.iter().all(asks),
        };
        self.failed.insert(task.tid, failed);
    }
}

/// How the end of the program shows that it gave up; `None` if somebody else ended it, or it was asked to end and did.
fn gave_up_at_exit(exit: &Exit, failed: &Failed) -> Option<String> {
    match exit.code {
        None => None,
        Some(code) if failed.asked_to_end && (code == 0 || code >= 128) => None,
        Some(_) if exit.thread => Some("ended its thread".to_owned()),
        Some(code) => Some(format!("ended with status {code}")),
    }
}

fn tell(world: &World, failed: &Failed, how: &str, event: &Event, found: &mut Found) {
    found.report(failed.seq.to_string(), || {
        let by = if failed.names.is_empty() { "a signal".to_owned() } else { list(failed.names.clone()) };
        let handled = failed.signals.iter().filter_map(|id| world.signal(*id)).flat_map(|row| &row.steps);
        let restart = handled.into_iter().any(|(_, step)| step.delivery.flags.contains(&"SA_RESTART"));
        let advice = if restart {
            format!("Call {} again when it fails with EINTR: this call is not restarted (signal(7)).", failed.syscall)
        } else {
            format!("Call {} again when it fails with EINTR, or install the handler with SA_RESTART.", failed.syscall)
        };
        Finding {
            rule: "eintr-not-retried",
            t: event.t,
            what: format!(
                "{} of {} on {} failed with EINTR ({by} interrupted it), and the program did not call it again: it {how}.",
                failed.syscall,
                name_pid(world, failed.task.pid),
                failed.channel
            ),
            advice,
            evidence: vec![failed.seq, event.seq],
        }
    });
}
