//! An open that nobody answers: a FIFO opened by one side only (fifo(7)).
//!
//! An open(2) that sleeps where signals can end it is one of a FIFO without its other end, or of a terminal line without a
//! carrier; the path is known only once it has been opened. Told where it lasted until the trace, or the process, ended.

use std::collections::BTreeMap;

use super::{Finding, Found, telling::name_pid};
use crate::{
    analyze::duration,
    event::{Cause, Event, Kind, Nanos, ThreadState},
    model::World,
};

/// Whoever waits so long waits for somebody who does not come.
const LONG: u64 = 1_000_000_000;

/// Threads that are remembered.
const MOST: usize = 4096;

/// Whoever waits in an open, or did until it was interrupted, by thread id.
#[derive(Clone, Debug, Default)]
pub(super) struct Alone {
    opens: BTreeMap<u32, Open>,
}

#[derive(Clone, Debug)]
struct Open {
    pid: u32,
    syscall: &'static str,
    since: Nanos,
    seq: u64,
    /// When it was woken, and has not gone to sleep again.
    until: Option<Nanos>,
}

impl Alone {
    pub(super) fn apply(&mut self, world: &World, event: &Event, found: &mut Found) {
        let Some(task) = event.task else { return };
        match &event.kind {
            Kind::State(change) => match (change.to, change.on.as_deref()) {
                (ThreadState::Blocked, Some(on)) => {
                    let syscall = on.syscall.filter(|name| matches!(*name, "open" | "openat" | "openat2" | "creat"));
                    let waits = syscall.filter(|_| on.cause == Cause::Call && !on.uninterruptible);
                    if let Some(syscall) = waits
                        && (self.opens.len() < MOST || self.opens.contains_key(&task.tid))
                    {
                        let open = Open { pid: task.pid, syscall, since: event.t, seq: event.seq, until: None };
                        self.opens.entry(task.tid).or_insert(open).until = None;
                    }
                }
                (ThreadState::Ready, _) => {
                    if let Some(open) = self.opens.get_mut(&task.tid) {
                        open.until.get_or_insert(event.t);
                    }
                }
                _ => {}
            },
            // What waited never returned.
            Kind::Exit(_) => {
                if let Some(open) = self.opens.remove(&task.tid) {
                    let until = open.until.unwrap_or(event.t);
                    tell(world, &open, until, "until it ended", Some(event.seq), found);
                }
            }
            Kind::Signal(_) | Kind::Mask(_) | Kind::Lost(_) => {}
            // Whoever does something has come back from the call.
            _ => {
                self.opens.remove(&task.tid);
            }
        }
    }

    pub(super) fn now(&self, world: &World, now: Nanos, found: &mut Found) {
        for open in self.opens.values().filter(|open| open.until.is_none()) {
            tell(world, open, now, "and still is", None, found);
        }
    }
}

fn tell(world: &World, open: &Open, now: Nanos, end: &str, last: Option<u64>, found: &mut Found) {
    if now.since(open.since) < LONG {
        return;
    }
    let process = world.by_pid.get(&open.pid).map_or(0, |key| key.0);
    found.report(process.to_string(), || Finding {
        rule: "fifo-one-side",
        t: now,
        what: format!(
            "{} was BLOCKED in {} for {}, {end}: an open that waits is one of a FIFO whose other end \
             nobody opens, or of a terminal line without a carrier.",
            name_pid(world, open.pid),
            open.syscall,
            duration(now.since(open.since))
        ),
        advice:
            "Open the other end in another process; whoever must not wait opens with O_NONBLOCK, or both ends at once \
                 with O_RDWR (fifo(7))."
                .to_owned(),
        evidence: std::iter::once(open.seq).chain(last).collect(),
    });
}
