//! The words for counters, timers, processes as descriptors, terminals and futexes.

use super::{Lines, words::call_detail};
use crate::{
    analyze::{
        duration,
        span::{Role, Spans},
    },
    event::{ChannelChange, ChannelEvent, ChannelType, Transfer},
};

impl Lines {
    /// `write +3 → eventfd:5 (counts 3)`; false: nothing of its own is said of such a transfer.
    pub(super) fn object(&self, transfer: &Transfer, is_send: bool, out: &mut Spans) -> bool {
        let call = transfer.call.syscall;
        match (transfer.mechanism, transfer.value) {
            (ChannelType::Futex, woken) => {
                let what = match (is_send, woken) {
                    (false, _) => " waits on ".to_owned(),
                    (true, Some(woken)) => format!(" wakes {woken} on "),
                    (true, None) => " wakes on ".to_owned(),
                };
                out.add(Role::Call, call).plain(what).add(Role::Channel, &*transfer.channel.0);
                for origin in transfer.from.iter().flatten() {
                    out.plain(", let go by ").add(Role::Peer, self.name(origin.pid));
                }
                call_detail(transfer, "the word has changed already", out);
            }
            (ChannelType::Eventfd, Some(value)) => {
                let (sign, arrow) = if is_send { ("+", " → ") } else { ("", " ← ") };
                out.add(Role::Call, call).add(Role::Bytes, format!(" {sign}{value}")).plain(arrow);
                out.add(Role::Channel, &*transfer.channel.0);
                self.origins(transfer, out);
                if let Some(count) = transfer.count {
                    out.dim(format!(" (counts {count})"));
                }
                call_detail(transfer, "it would have to wait", out);
            }
            (ChannelType::Timerfd, Some(value)) => {
                let times = if value == 1 { "expiration" } else { "expirations" };
                out.add(Role::Call, call).add(Role::Bytes, format!(" {value} {times}")).plain(" ← ");
                out.add(Role::Channel, &*transfer.channel.0);
                call_detail(transfer, "it has not expired", out);
            }
            _ => return false,
        }
        true
    }
}

/// `to 20 ms, then every 10 ms`
pub(super) fn timer(change: &ChannelEvent, out: &mut Spans) {
    if change.mechanism != ChannelType::Timerfd || change.event != ChannelChange::Changed {
        return;
    }
    match change.value {
        Some(0) => {
            out.plain(", which stops it");
            return;
        }
        Some(first) => out.plain(" to ").add(Role::Bytes, duration(first.unsigned_abs())),
        None => out.plain(" to a moment of its clock"),
    };
    if let Some(every) = change.interval_ns {
        out.plain(", then every ").add(Role::Bytes, duration(every));
    }
}

/// What a process does to a timer, in the imperative; `None`: as to any channel.
pub(super) fn verb(change: &ChannelEvent) -> Option<&'static str> {
    (change.mechanism == ChannelType::Timerfd && change.event == ChannelChange::Changed).then_some("set")
}
