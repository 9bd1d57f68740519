//! Sends and receives.

use super::{Story, bytes, list};
use crate::{
    analyze::duration,
    analyze::properties::properties,
    event::{Arrival, ChannelType, FromUnknown, Transfer},
    model::Channel,
};

/// Writes up to this size are never mixed with those of others (PIPE_BUF, pipe(7)).
const ATOMIC: u64 = 4096;

/// While what a sender or a receiver is BLOCKED.
pub(super) fn waiting(mechanism: ChannelType, sends: bool) -> &'static str {
    match (mechanism, sends) {
        (ChannelType::Pipe | ChannelType::Fifo, true) => "A writer is BLOCKED while the pipe is full.",
        (ChannelType::Pipe | ChannelType::Fifo, false) => {
            "A reader is BLOCKED while the pipe is empty and somebody holds the write end."
        }
        (ChannelType::SysvMq | ChannelType::PosixMq, true) => "A sender is BLOCKED while the queue is full.",
        (ChannelType::SysvMq | ChannelType::PosixMq, false) => {
            "A receiver is BLOCKED while there is no message that it asks for."
        }
        (ChannelType::Futex, _) => "Whoever waits on a word is BLOCKED until somebody wakes it.",
        (ChannelType::Udp | ChannelType::UnixDgram, false) => "A receiver is BLOCKED until a datagram is there.",
        (_, true) => "A sender is BLOCKED while there is no room for what it sends.",
        (_, false) => "A receiver is BLOCKED until something is there.",
    }
}

impl Story<'_> {
    pub(super) fn send(&mut self, transfer: &Transfer) {
        if let Some(operations) = &transfer.operations {
            return self.semaphores(transfer, operations);
        }
        if self.object(transfer, true) {
            return;
        }
        let (call, channel) = (transfer.call.syscall, &transfer.channel);
        if let Some(moved) = transfer.bytes {
            let what = kind(transfer.mechanism);
            self.say(format!("{} put {} into {channel} by {call}: {what}.", self.actor(), bytes(moved)));
            self.say_part(transfer, moved);
            self.say_room(transfer);
            self.say_mixing(transfer, moved);
        }
        match transfer.error {
            Some("EPIPE") => {
                self.say(format!("Nobody holds the read end of {channel} any more, so {call} failed with EPIPE."));
                self.say("The kernel also sends SIGPIPE, which ends a process that neither handles nor ignores it.");
            }
            Some("EAGAIN") => self.say(format!(
                "{channel} had no room, and the descriptor is non-blocking: {call} failed with EAGAIN instead of waiting."
            )),
            Some(error) => self.say_error(transfer, error),
            None => {}
        }
        self.say_wait(transfer, waiting(transfer.mechanism, true));
    }

    pub(super) fn receive(&mut self, transfer: &Transfer) {
        if let Some(operations) = &transfer.operations {
            return self.semaphores(transfer, operations);
        }
        if self.object(transfer, false) {
            return;
        }
        let (call, channel) = (transfer.call.syscall, &transfer.channel);
        match transfer.bytes {
            _ if transfer.eof && transfer.mechanism.is_socket() => self.say(format!(
                "The other side of {channel} has closed it or will send no more: {call} told {} end-of-file (0 bytes).",
                self.actor()
            )),
            _ if transfer.eof => self.say(format!(
                "{channel} is empty and nobody holds its write end any more: {call} told {} end-of-file (0 bytes).",
                self.actor()
            )),
            Some(moved) => {
                self.say(format!("{} took {} out of {channel} by {call}.", self.actor(), bytes(moved)));
                self.say_origins(transfer);
                match transfer.arrival {
                    Some(Arrival::Duplicate) => {
                        self.say("It had come before: the network has doubled it, and UDP does not mind.");
                    }
                    Some(Arrival::Reordered) => {
                        self.say("One that was sent later had come before it: UDP does not keep the order.");
                    }
                    None => {}
                }
                if transfer.peek {
                    self.say("The bytes stay in the channel: they were only looked at.");
                } else if transfer.fill == Some(0) {
                    self.say("The channel is empty now: the next read will wait.");
                }
            }
            None => {}
        }
        if let Some(cut) = transfer.discarded {
            self.say(format!("The packet was longer than the buffer: its last {} are gone.", bytes(cut)));
        }
        match transfer.error {
            Some("EAGAIN") => self.say(format!(
                "{channel} was empty, and the descriptor is non-blocking: {call} failed with EAGAIN instead of waiting."
            )),
            Some(error) => self.say_error(transfer, error),
            None => {}
        }
        self.say_wait(transfer, waiting(transfer.mechanism, false));
    }

    fn say_part(&mut self, transfer: &Transfer, moved: u64) {
        let Some(requested) = transfer.requested.filter(|requested| moved < *requested) else { return };
        let call = transfer.call.syscall;
        let why = match self.interruptions(&transfer.call) {
            Some(signals) => format!(": {signals} interrupted {call}, which then tells how far it got"),
            None if transfer.nonblocking => ": the descriptor is non-blocking, so it did not wait for room".to_owned(),
            None => String::new(),
        };
        self.say(format!("That is a part of the {requested} asked for{why}."));
    }

    fn say_room(&mut self, transfer: &Transfer) {
        let Some(fill) = transfer.fill else { return };
        let channel = self.world.channels.get(&transfer.channel);
        if let Some((depth, all)) = transfer.depth.zip(channel.and_then(|channel| channel.slots)) {
            let full =
                if depth >= u64::from(all) { ": it is full, and the next send will wait for a receiver" } else { "" };
            self.say(format!("It now holds {depth} of {all} messages{full}."));
            return;
        }
        let capacity = channel.and_then(|channel| channel.capacity);
        let buffers = transfer.slots.filter(|all| transfer.slots_used >= Some(*all));
        match (capacity, buffers) {
            (Some(all), _) if fill >= all => {
                self.say(format!("It is full now ({fill}/{all} bytes): the next write will wait for a reader."));
            }
            (Some(all), Some(slots)) => self.say(format!(
                "All its {slots} buffers are in use: it is full with {fill} of {all} bytes, and the next write may wait."
            )),
            (Some(all), None) => self.say(format!("It now holds {fill} of {all} bytes.")),
            (None, _) => self.say(format!("It now holds {}.", bytes(fill))),
        }
    }

    fn say_mixing(&mut self, transfer: &Transfer, moved: u64) {
        if !matches!(transfer.mechanism, ChannelType::Pipe | ChannelType::Fifo) {
            return;
        }
        let others = |channel: &Channel| channel.senders.len() > 1;
        if self.world.channels.get(&transfer.channel).is_some_and(others) {
            if moved > ATOMIC {
                self.say(format!(
                    "It has several writers, and more than {ATOMIC} bytes (PIPE_BUF) may be mixed with theirs."
                ));
            } else {
                self.say(format!("It has several writers, but up to {ATOMIC} bytes (PIPE_BUF) stay in one piece."));
            }
        }
    }

    pub(super) fn say_origins(&mut self, transfer: &Transfer) {
        if let Some(why) = transfer.from_unknown {
            let why = match why {
                FromUnknown::Overlap if transfer.mechanism == ChannelType::Udp => {
                    "the call did not ask where the datagram came from, as recvfrom(2) can, or more than one fits"
                }
                FromUnknown::Overlap => "sends overlapped, and nothing tells their order",
                FromUnknown::External => "their sender is not traced",
                FromUnknown::BeforeStart => "they were inside before the trace began",
                FromUnknown::Transformed => "what goes in is not what comes out",
                FromUnknown::Lost => "events are missing",
            };
            self.say(format!("Whose bytes they are is not known: {why}."));
        }
        let Some(origins) = transfer.from.as_ref().filter(|origins| !origins.is_empty()) else { return };
        let mut senders: Vec<(u32, u64)> = Vec::new();
        for origin in origins {
            match senders.iter_mut().find(|(pid, _)| *pid == origin.pid) {
                Some((_, sum)) => *sum = sum.saturating_add(origin.bytes),
                None => senders.push((origin.pid, origin.bytes)),
            }
        }
        let names = match *senders {
            [(pid, _)] => self.name(pid),
            _ => list(senders.iter().map(|(pid, sum)| format!("{}: {}", self.name(*pid), bytes(*sum))).collect()),
        };
        if origins.len() == 1 {
            self.say(format!("They were sent by {names}."));
        } else {
            self.say(format!(
                "They come from {} sends, by {names}: a byte stream keeps no boundaries between messages.",
                origins.len()
            ));
        }
    }

    pub(super) fn say_error(&mut self, transfer: &Transfer, error: &str) {
        let call = transfer.call.syscall;
        match (error, self.interruptions(&transfer.call)) {
            ("EINTR", Some(signals)) => {
                self.say(format!("{signals} interrupted {call} before a byte was moved: it failed with EINTR."));
            }
            ("EINTR", None) => {
                self.say(format!("A signal interrupted {call} before a byte was moved: it failed with EINTR."));
            }
            _ => self.say(format!("{call} of {} on {} failed with {error}.", self.actor(), transfer.channel)),
        }
    }

    pub(super) fn say_wait(&mut self, transfer: &Transfer, rule: &str) {
        if let Some(ns) = transfer.call.blocked_ns.filter(|ns| *ns > 0) {
            let took = duration(transfer.call.took_ns);
            self.say(format!("{} was BLOCKED for {} of the {took} it took. {rule}", self.actor(), duration(ns)));
        }
        if transfer.call.restarts > 0 {
            let signals = self.interruptions(&transfer.call).map(|names| format!(" ({names})")).unwrap_or_default();
            let times = match transfer.call.restarts {
                1 => "once".to_owned(),
                n => format!("{n} times"),
            };
            self.say(format!("Signals interrupted it{signals}, and the kernel started it again, {times}."));
        }
        if transfer.call.unfinished {
            self.say("The call never returned: its thread, or the trace, ended in it.");
        }
    }
}

/// What the mechanism is.
pub(super) fn kind(mechanism: ChannelType) -> &'static str {
    properties(mechanism).is
}
