//! An event in the words of the lecture.
//!
//! Each rule is a small function that says a sentence if its facts are there. Facts are those of the event itself, and
//! those of the world that do not change with time: names, how a signal instance came about. What changes (who holds
//! an end, how much is inside) is told only with the world right after the event, recognised by its time.

mod channel;
mod object;
mod process;
mod rpc;
mod sender;
mod shared;
mod signal;
mod transfer;

use super::span::harmless;
use crate::{
    event::{self, Call, Event, Kind, Lost, SenderKind, SignalId},
    model::World,
};

/// Sentences about `event`, built from facts of that very event and of the world right after it.
pub fn explain(world: &World, event: &Event) -> Vec<String> {
    let mut story = Story { world, event, sentences: Vec::new() };
    match &event.kind {
        Kind::Fork { child, thread } => story.fork(*child, *thread),
        Kind::Exec(exec) => story.exec(&exec.exe),
        Kind::Exit(exit) => story.exit(exit),
        Kind::State(change) => story.state(change),
        Kind::Channel(change) => story.channel(change),
        Kind::Send(transfer) => story.send(transfer),
        Kind::Recv(transfer) => story.receive(transfer),
        Kind::Signal(step) => story.signal(step),
        Kind::Rpc(message) => story.rpc(message),
        // Quiet: nobody asks about them.
        Kind::Disposition(_) | Kind::Dispositions(_) | Kind::Mask(_) => {}
        Kind::Lost(lost) if lost.class == Lost::NOT_KEPT => {
            story.say(format!("The recording begins here; {} records from before are not in it.", lost.count));
            story.say("Who is there and holds what is known; what was in a channel, and who sent it, is not.");
        }
        Kind::Lost(lost) => {
            story.say(format!(
                "{} records could not be handed over in time and are missing here ({}).",
                lost.count, lost.class
            ));
            story.say("States and fills may be wrong until the next event of each thread and channel.");
        }
    }
    story.sentences.into_iter().map(harmless).collect()
}

/// Sentences in the making.
struct Story<'a> {
    world: &'a World,
    event: &'a Event,
    sentences: Vec<String>,
}

impl Story<'_> {
    fn say(&mut self, sentence: impl Into<String>) {
        self.sentences.push(sentence.into());
    }

    /// The world is the one right after the event: what changes with time may be told.
    fn is_now(&self) -> bool {
        self.world.now == self.event.t
    }

    /// Who did it: `wc (4712)`.
    fn actor(&self) -> String {
        match (self.event.task, self.event.comm) {
            (None, _) => "nobody".to_owned(),
            (Some(task), Some(comm)) if task.pid == task.tid => format!("{comm} ({})", self.number(task.pid)),
            (Some(task), Some(comm)) => {
                format!("{comm} ({}, thread {})", self.number(task.pid), event::number(task.tid))
            }
            (Some(task), None) => self.name(task.pid),
        }
    }

    /// Another process: `wc (4712)`.
    fn name(&self, pid: u32) -> String {
        match self.world.process(pid) {
            Some(process) if !process.comm.bytes().is_empty() => format!("{} ({})", process.comm, process.number()),
            _ => format!("process {}", self.number(pid)),
        }
    }

    /// A process id: `4712`, in a merged trace `4712@beta`.
    fn number(&self, pid: u32) -> String {
        self.world.hosts.shown(pid)
    }

    /// `SIGUSR1 from sh (4710)`
    fn signal_name(&self, id: SignalId) -> String {
        let Some((_, step)) = self.world.signal(id).and_then(|row| row.steps.first()) else {
            return format!("signal #{}", id.0);
        };
        match step.sender.as_ref().map(|sender| (sender.kind, sender.pid)) {
            Some((SenderKind::Process, Some(pid))) => format!("{} from {}", step.signal, self.name(pid)),
            Some((SenderKind::Child, Some(pid))) => format!("{} about {}", step.signal, self.name(pid)),
            Some((SenderKind::Kernel, _)) => format!("{} from the kernel", step.signal),
            Some((SenderKind::Timer, _)) => format!("{} from a timer", step.signal),
            Some((SenderKind::Terminal, _)) => format!("{} from the terminal", step.signal),
            _ => step.signal.clone(),
        }
    }

    /// Which signals a call met.
    fn interruptions(&self, call: &Call) -> Option<String> {
        let names: Vec<_> = call.interrupted_by.iter().map(|id| self.signal_name(*id)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// `1 byte`, `28 bytes`.
pub(super) fn bytes(n: u64) -> String {
    if n == 1 { "1 byte".to_owned() } else { format!("{n} bytes") }
}

/// `a`, `a and b`, `a, b and c`; the first few of many.
pub(super) fn list(mut items: Vec<String>) -> String {
    const SHOWN: usize = 5;
    if items.len() > SHOWN {
        let more = items.len() - SHOWN;
        items.truncate(SHOWN);
        items.push(format!("{more} more"));
    }
    match (items.pop(), items.is_empty()) {
        (Some(last), false) => format!("{} and {last}", items.join(", ")),
        (last, _) => last.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
