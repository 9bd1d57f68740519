//! Semaphores and shared memory.

use super::Story;
use crate::event::{ChannelChange, ChannelEvent, ChannelType, End, SemOperation, Transfer};

impl Story<'_> {
    pub(super) fn semaphores(&mut self, transfer: &Transfer, operations: &[SemOperation]) {
        let (call, set) = (transfer.call.syscall, &transfer.channel);
        if let Some(error) = transfer.error {
            match error {
                "EAGAIN" => {
                    self.say(format!(
                        "{call} on {set} would have had to wait, and was asked not to (IPC_NOWAIT): EAGAIN."
                    ));
                }
                error => self.say_error(transfer, error),
            }
            return self.say_wait(transfer, "Whoever takes from a semaphore that has too little is BLOCKED.");
        }
        let actor = self.actor();
        for operation in operations {
            let place = format!("semaphore {} of {set}", operation.semaphore);
            let now = operation.value.map(|value| format!(" It was {value} right after.")).unwrap_or_default();
            self.say(match operation.change {
                0 => format!("{actor} waited until {place} was 0."),
                change if change > 0 => format!("{actor} added {change} to {place} (V, signal, up).{now}"),
                change => format!("{actor} took {} from {place} (P, wait, down).{now}", change.unsigned_abs()),
            });
            if operation.undo {
                self.say("The kernel takes that back if the process ends (SEM_UNDO).");
            }
        }
        for origin in transfer.from.iter().flatten() {
            let name = self.name(origin.pid);
            self.say(format!("It could not at first; {name} made it possible, and the kernel did it on its behalf."));
        }
        self.say_wait(transfer, "Whoever takes from a semaphore that has too little is BLOCKED.");
    }

    /// Whether the change was one of memory or semaphores, and is told.
    pub(super) fn shared(&mut self, change: &ChannelEvent) -> bool {
        let (actor, id) = (self.actor(), &change.channel);
        let at = change.address.as_deref().map(|address| format!(" at the address {address}")).unwrap_or_default();
        match (change.mechanism, change.event) {
            (ChannelType::Shm | ChannelType::Memfd, ChannelChange::Attached | ChannelChange::Created)
                if change.address.is_some() =>
            {
                let how = if change.end == Some(End::R) { ", to read only" } else { "" };
                self.say(match change.event {
                    ChannelChange::Created => {
                        format!("{actor} mapped memory{at} that it will share with the children it forks: {id}.")
                    }
                    _ => format!("{actor} has the memory {id}{at} from now on{how}."),
                });
                self.say("What it reads and writes there goes past the kernel: nobody can see it here.");
            }
            (ChannelType::Shm | ChannelType::Memfd, ChannelChange::Inherited) if change.address.is_some() => {
                self.say(format!(
                    "fork copied the attachments: {actor} has the memory {id}{at}, too, not a copy of it."
                ));
            }
            (ChannelType::Shm | ChannelType::Memfd, ChannelChange::Detached) => {
                self.say(format!("{actor} has {id} in its memory no more{at}."));
            }
            (ChannelType::Shm, ChannelChange::Removed) if change.name.is_some() => {
                self.say(format!("{actor} removed the name of {id}: the memory goes when nobody has it any more."));
            }
            (ChannelType::Shm, ChannelChange::Removed) => {
                self.say(format!("{actor} marked {id} to be removed: it goes when nobody has it attached any more."));
            }
            (ChannelType::SysvSem, ChannelChange::Changed) if change.value.is_some() => {
                let (number, value) = (change.semaphore.unwrap_or_default(), change.value.unwrap_or_default());
                self.say(format!("{actor} set semaphore {number} of {id} to {value} (SETVAL)."));
            }
            _ => return false,
        }
        true
    }
}
