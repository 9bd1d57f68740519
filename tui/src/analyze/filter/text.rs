//! The texts of an event, and how they are searched.

use super::field::{error, syscalls};
use crate::event::{Action, ChannelId, Event, Kind, ThreadState, Verdict, text};

pub(super) fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Fork { .. } => "fork",
        Kind::Exec(_) => "exec",
        Kind::Exit(_) => "exit",
        Kind::State(_) => "state",
        Kind::Channel(_) => "channel",
        Kind::Send(_) => "send",
        Kind::Recv(_) => "recv",
        Kind::Signal(_) => "signal",
        Kind::Disposition(_) => "disposition",
        Kind::Dispositions(_) => "dispositions",
        Kind::Mask(_) => "mask",
        Kind::Rpc(_) => "rpc",
        Kind::Lost(_) => "lost",
    }
}

/// Whether any text of the event is as `found` wants it.
pub(super) fn texts(event: &Event, found: &mut dyn FnMut(&str) -> bool) -> bool {
    if found(kind_name(&event.kind))
        || event.comm.is_some_and(|comm| found(&comm.to_string()))
        || channel_of(event).is_some_and(|channel| found(&channel.0))
        || syscalls(event).into_iter().flatten().any(&mut *found)
        || error(event).is_some_and(&mut *found)
    {
        return true;
    }
    match &event.kind {
        Kind::Fork { .. } | Kind::Disposition(_) | Kind::Dispositions(_) | Kind::Mask(_) => false,
        Kind::Exec(exec) => found(&exec.exe) || exec.argv.iter().any(|argument| found(argument)),
        Kind::Exit(exit) => exit.signal.as_deref().is_some_and(found),
        Kind::State(change) => change.from.is_some_and(|state| found(state.name())) || found(change.to.name()),
        Kind::Channel(change) => change.name.as_deref().is_some_and(&mut *found) || found(change.mechanism.name()),
        Kind::Send(transfer) | Kind::Recv(transfer) => {
            transfer.payload.as_ref().is_some_and(|bytes| found(&text::escape(bytes)))
                || transfer.from_unknown.is_some_and(|why| found(why.name()))
        }
        Kind::Signal(step) => {
            let delivery = &step.delivery;
            let constants = [
                Some(step.phase.name()),
                step.code,
                step.reason,
                step.target_state.map(ThreadState::name),
                delivery.action.map(Action::name),
                delivery.verdict.map(Verdict::name),
            ];
            found(&step.signal)
                || constants.into_iter().flatten().any(&mut *found)
                || delivery.flags.iter().any(|flag| found(flag))
                || delivery.handler.as_deref().is_some_and(&mut *found)
                || step.sender.as_ref().and_then(|sender| sender.tty.as_deref()).is_some_and(found)
        }
        Kind::Rpc(rpc) => {
            found(rpc.protocol.name())
                || found(rpc.role.name())
                || rpc.method.as_deref().is_some_and(&mut *found)
                || rpc.status.as_deref().is_some_and(found)
        }
        Kind::Lost(lost) => found(&lost.class),
    }
}

/// Whether `text` contains `needle`, which is in lower case.
pub(super) fn contains(text: &str, needle: &str) -> bool {
    if text.is_ascii() {
        let needle = needle.as_bytes();
        text.as_bytes().windows(needle.len().max(1)).any(|part| part.eq_ignore_ascii_case(needle))
    } else {
        text.to_lowercase().contains(needle)
    }
}

/// Whether the event is about the channel that is called so: by its whole id, or by what follows the type, brackets
/// left out. `8124` is every pipe of that number, `pipe:[8124]` only the first.
pub(super) fn is_channel(event: &Event, name: &str) -> bool {
    if let Kind::Channel(change) = &event.kind
        && change.name.as_deref() == Some(name)
    {
        return true;
    }
    let Some(id) = channel_of(event) else { return false };
    if *id.0 == *name {
        return true;
    }
    let short = id.0.split_once(':').map_or(&*id.0, |(_, rest)| rest);
    let (base, again) = short.rsplit_once('#').unwrap_or((short, ""));
    let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').to_owned();
    name == short
        || name == base
        || bare(name) == bare(base)
        || (!again.is_empty() && name == format!("{}#{again}", bare(base)))
}

fn channel_of(event: &Event) -> Option<&ChannelId> {
    match &event.kind {
        Kind::Signal(step) => step.delivery.interrupted.as_ref()?.channel.as_ref(),
        _ => event.channel(),
    }
}
