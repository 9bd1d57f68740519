//! Words that rules share.

use crate::{
    event::{SenderKind, SignalId},
    model::{Process, ProcessKey, World},
};

/// They ask a program to end: giving up a call is one way to obey, and one of them is as good as ten.
pub(super) const REQUESTS: &[&str] = &["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"];

/// The default of these is to do nothing, or they stop and continue: being pending or coalescing does no harm.
pub(super) const HARMLESS: &[&str] =
    &["SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH", "SIGKILL"];

/// `wc 4712`
pub(super) fn name(process: &Process) -> String {
    if process.comm.bytes().is_empty() {
        format!("process {}", process.number())
    } else {
        format!("{} {}", process.comm, process.number())
    }
}

/// `wc 4712`, by key.
pub(super) fn name_of(world: &World, key: ProcessKey) -> String {
    world.processes.get(&key).map_or_else(|| "a process".to_owned(), name)
}

/// `wc 4712`, by process id.
pub(super) fn name_pid(world: &World, pid: u32) -> String {
    world.process(pid).map_or_else(|| format!("process {}", world.hosts.shown(pid)), name)
}

/// `SIGUSR1 from sh 4710`
pub(super) fn signal(world: &World, id: SignalId) -> Option<String> {
    let (_, step) = world.signal(id)?.steps.first()?;
    Some(match step.sender.as_ref().map(|sender| (sender.kind, sender.pid)) {
        Some((SenderKind::Process, Some(pid))) => format!("{} from {}", step.signal, name_pid(world, pid)),
        Some((SenderKind::Child, Some(pid))) => format!("{} about {}", step.signal, name_pid(world, pid)),
        Some((SenderKind::Terminal, _)) => format!("{} from the terminal", step.signal),
        Some((SenderKind::Timer, _)) => format!("{} from a timer", step.signal),
        _ => step.signal.clone(),
    })
}

pub(super) use crate::analyze::explain::{bytes, list};
