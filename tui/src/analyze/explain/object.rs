//! Counters, timers, processes as descriptors, terminals and futexes.

use super::{Story, transfer::waiting};
use crate::{
    analyze::duration,
    event::{ChannelChange, ChannelEvent, ChannelType, Transfer},
};

impl Story<'_> {
    /// Whether the transfer was one of these, and is told.
    pub(super) fn object(&mut self, transfer: &Transfer, is_send: bool) -> bool {
        let (actor, call, id) = (self.actor(), transfer.call.syscall, &transfer.channel);
        match (transfer.mechanism, transfer.value) {
            (ChannelType::Futex, woken) => {
                self.futex(transfer, is_send, woken);
                return true;
            }
            (ChannelType::Eventfd, Some(value)) if is_send => {
                self.say(format!("{actor} added {value} to the counter {id} by {call}."));
            }
            (ChannelType::Eventfd, Some(value)) => {
                self.say(format!("{actor} took {value} from the counter {id} by {call}."));
                self.say_origins(transfer);
            }
            (ChannelType::Timerfd, Some(value)) => {
                let times = if value == 1 { "once".to_owned() } else { format!("{value} times") };
                self.say(format!("The timer {id} had expired {times} since it was last read."));
            }
            (ChannelType::Pty, _) if transfer.eof => {
                self.say(format!("{call} told {actor} end-of-file: Ctrl-D was typed at the start of a line of {id}."));
            }
            (ChannelType::Pty, _) if transfer.error == Some("EIO") => {
                self.say(format!("Nobody has the other side of {id} open any more: {call} failed with EIO."));
            }
            _ => return false,
        }
        if let Some(count) = transfer.count {
            self.say(format!("It counted {count} right after."));
        }
        self.say_wait(transfer, waiting(transfer.mechanism, is_send));
        true
    }

    fn futex(&mut self, transfer: &Transfer, is_send: bool, woken: Option<u64>) {
        let (actor, id) = (self.actor(), &transfer.channel);
        match (is_send, transfer.error) {
            (true, None) => {
                let count = woken.unwrap_or_default();
                let who = if count == 1 { "one that waits".to_owned() } else { format!("{count} that wait") };
                self.say(format!("{actor} woke {who} on the word {id}."));
            }
            (false, None) => {
                self.say(format!("{actor} waited on the word {id}, which others change: a lock, a condition, an end."));
                for origin in transfer.from.iter().flatten() {
                    let name = self.name(origin.pid);
                    self.say(format!("{name} let it go on."));
                }
            }
            (false, Some("EAGAIN")) => {
                self.say(format!("The word {id} had changed by the time {actor} was going to wait: it did not."));
            }
            (_, Some(error)) => self.say_error(transfer, error),
        }
        self.say("What is free is taken without any call, so only those who have to wait are seen here.");
        self.say_wait(transfer, waiting(ChannelType::Futex, is_send));
    }

    /// Whether the change was one of such an object, and is told.
    pub(super) fn object_change(&mut self, change: &ChannelEvent) -> bool {
        let (actor, id) = (self.actor(), &change.channel);
        match (change.mechanism, change.event) {
            (ChannelType::Timerfd, ChannelChange::Changed) => self.say(match (change.value, change.interval_ns) {
                (Some(0), _) => format!("{actor} stopped the timer {id}."),
                (None, _) => format!("{actor} set the timer {id} to a moment of its clock."),
                (Some(first), None) => {
                    format!("{actor} set the timer {id} to {} once.", duration(first.unsigned_abs()))
                }
                (Some(first), Some(every)) => format!(
                    "{actor} set the timer {id} to {}, and then every {}.",
                    duration(first.unsigned_abs()),
                    duration(every)
                ),
            }),
            (ChannelType::Pidfd, ChannelChange::Opened) => {
                let of = change.peer.map_or_else(|| "a process".to_owned(), |peer| self.name(peer.pid));
                self.say(format!("{actor} has a descriptor that stands for {of}: readable once that has ended."));
            }
            _ => return false,
        }
        true
    }
}
