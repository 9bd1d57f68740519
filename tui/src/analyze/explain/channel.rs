//! Channels, their ends, and waiting for them.

use super::{Story, list, transfer::kind};
use crate::{
    event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, End},
    model::Side,
};

impl Story<'_> {
    pub(super) fn channel(&mut self, change: &ChannelEvent) {
        let (actor, id) = (self.actor(), &change.channel);
        if let Some(error) = change.error {
            let call = change.call.as_ref().map_or("the call", |call| call.syscall);
            return self.say(format!("{actor} could not do this to {id}: {call} failed with {error}."));
        }
        if self.object_change(change) || self.shared(change) {
            return;
        }
        let end = match change.end {
            Some(End::R) => "the read end",
            Some(End::W) => "the write end",
            Some(End::Rw) => "both ends",
            None => "an end",
        };
        let fd = change.fd.map(|fd| format!(" (fd {fd})")).unwrap_or_default();
        let from = change.peer.map(|peer| self.name(peer.pid));
        match change.event {
            ChannelChange::Created => {
                self.say(format!("{actor} made {id}: {}.", kind(change.mechanism)));
                if let Some([read, write]) = change.fds {
                    let room = change.capacity.map(|n| format!(" It holds up to {n} bytes.")).unwrap_or_default();
                    self.say(format!("What is written to fd {write} is read from fd {read}, in the same order.{room}"));
                }
            }
            ChannelChange::Opened => self.say(format!("{actor} opened {end} of {id}{fd}: {}.", kind(change.mechanism))),
            ChannelChange::Duplicated => {
                let of = change.of_fd.map(|fd| format!(" of fd {fd}")).unwrap_or_default();
                self.say(format!("{actor} copied its descriptor{of}: {end} of {id} now has one more{fd}."));
            }
            ChannelChange::Inherited => {
                let from = from.unwrap_or_else(|| "its parent".to_owned());
                self.say(format!("fork copied the open descriptors: {actor} holds {end} of {id}{fd} as {from} does."));
            }
            ChannelChange::Passed => {
                let from = from.map(|name| format!(" from {name}")).unwrap_or_default();
                self.say(format!("{actor} got {end} of {id}{fd}{from} through a socket (SCM_RIGHTS)."));
            }
            ChannelChange::Attached => {
                self.say(format!("{actor} held {end} of {id}{fd} when the trace began."));
            }
            ChannelChange::Resized => {
                let to = change.capacity.map(|n| format!(" to {n} bytes")).unwrap_or_default();
                self.say(format!("{actor} changed how much {id} can hold{to}."));
            }
            ChannelChange::Closed => {
                self.say(format!("{actor} closed {end} of {id}{fd}."));
                self.say_left(change);
            }
            other => self.say_of_object(other, change, &actor, from.as_deref()),
        }
    }

    /// What happens to sockets, queues and memory rather than to one end.
    fn say_of_object(&mut self, what: ChannelChange, change: &ChannelEvent, actor: &str, peer: Option<&str>) {
        let id = &change.channel;
        let local = change.local.as_deref().map(|a| format!(" to the address {a}")).unwrap_or_default();
        let remote = change.remote.as_deref().map(|a| format!(" at {a}")).unwrap_or_default();
        let peer = peer.map(|name| format!(" with {name}")).unwrap_or_default();
        let why = change.error.map(|e| format!(" ({e})")).unwrap_or_default();
        let text = match what {
            ChannelChange::Bound => format!("{actor} bound {id}{local}: others can find it there."),
            ChannelChange::Listening => {
                let room = change.backlog.map(|n| format!("; up to {n} may wait to be accepted")).unwrap_or_default();
                format!("{actor} accepts connections on {id}{room}.")
            }
            ChannelChange::Connected => format!("{actor} connected {id}{remote}{peer}."),
            ChannelChange::Accepted => format!("{actor} took the connection {id}{remote}{peer} from its queue."),
            ChannelChange::Detached => format!("{actor} let go of the memory {id}."),
            ChannelChange::Changed => format!("{actor} changed owner, permissions or limits of {id}."),
            ChannelChange::Shutdown => {
                format!("{actor} closed one direction of {id}: the other end sees end-of-file there.")
            }
            ChannelChange::Refused => {
                let reason = match change.error {
                    Some("ENXIO") if change.mechanism == ChannelType::Fifo => {
                        " Nobody has it open for reading, and O_NONBLOCK was asked for."
                    }
                    Some("EACCES") if change.mechanism == ChannelType::Fifo => {
                        " The permissions of the file, or of a directory on the way to it, do not allow that."
                    }
                    _ => "",
                };
                format!("{actor} was refused {id}{why}.{reason}")
            }
            ChannelChange::Reset => {
                format!("{actor} learns that the connection {id}{peer} was reset: what was still on its way is lost.")
            }
            ChannelChange::Dropped => format!("A message to {id} was dropped: its receiver had no room."),
            ChannelChange::Removed => format!("{actor} removed {id}: nobody can find it any more."),
            _ => return,
        };
        self.say(text);
    }

    /// What follows from closing an end.
    fn say_left(&mut self, change: &ChannelEvent) {
        if !self.is_now() || change.end.is_none() {
            return;
        }
        if change.end != Some(End::R) {
            match self.holders(&change.channel, Side::Send) {
                None => self.say(
                    "No process in the trace holds a write end any more: once it is empty, readers get end-of-file.",
                ),
                Some(names) => {
                    self.say(format!(
                        "A write end is still open in {names}: no end-of-file for readers until all are closed."
                    ));
                }
            }
        }
        if change.end != Some(End::W) && self.holders(&change.channel, Side::Receive).is_none() {
            self.say("No process in the trace holds a read end any more: who writes now gets EPIPE and SIGPIPE.");
        }
    }

    /// The waiting of a reader or writer.
    pub(super) fn say_wait_on(&mut self, side: Side, syscall: &str, id: &ChannelId) {
        let actor = self.actor();
        let (why, other, end) = match side {
            Side::Receive => ("empty", Side::Send, "write end"),
            Side::Send => ("full", Side::Receive, "read end"),
        };
        self.say(format!("{actor} is BLOCKED in {syscall}, because {id} is {why}."));
        if !self.is_now() {
            return;
        }
        let own = self.event.task.map(|task| task.pid);
        let keys = self.world.channels.get(id).map(|channel| self.world.holders_of(channel, other)).unwrap_or_default();
        let only_itself = !keys.is_empty()
            && keys.iter().all(|(key, _)| self.world.processes.get(key).is_some_and(|p| Some(p.pid) == own));
        match self.holders(id, other) {
            None => self.say(format!("No process in the trace holds its {end}.")),
            Some(names) if only_itself => {
                self.say(format!(
                    "Its {end} is open only in {names}: unless another thread acts, it waits for itself forever."
                ));
            }
            Some(names) if side == Side::Receive => {
                self.say(format!(
                    "Its {end} is open in {names}: it waits until there is data, or the last of these is closed."
                ));
            }
            Some(names) => self.say(format!("Its {end} is open in {names}: it waits until there is room.")),
        }
    }

    /// `yes (4711, fd 1)`: who can send to, or receive from, the channel.
    fn holders(&self, id: &ChannelId, side: Side) -> Option<String> {
        let channel = self.world.channels.get(id)?;
        let names: Vec<_> = (self.world.holders_of(channel, side).into_iter())
            .filter_map(|(key, fd)| {
                let process = self.world.processes.get(&key)?;
                Some(format!("{} ({}, fd {fd})", process.comm, process.number()))
            })
            .collect();
        (!names.is_empty()).then(|| list(names))
    }
}
