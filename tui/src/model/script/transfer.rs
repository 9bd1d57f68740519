//! Sends and receives in a script; whose bytes a read gets is counted here.

use super::{
    Reader, channel,
    words::{Problem, Words, bad, lookup, nanos, static_word},
};
use crate::event::{Arrival, ChannelId, FromUnknown, OpId, Origin, SignalId, Task, Transfer};

impl Reader {
    pub(super) fn transfer(&mut self, task: Task, send: bool, words: &mut Words<'_>) -> Result<Transfer, Problem> {
        let (channel, mechanism) = channel(words.word("a channel")?);
        let fd = words.number("a descriptor")?;
        let call = self.call(if send { "write" } else { "read" });
        let mut transfer = Transfer::new(channel, mechanism, Some(fd), call);
        match words.word("bytes or an error")? {
            "eof" if !send => (transfer.bytes, transfer.eof) = (Some(0), true),
            word if word.starts_with('E') => transfer.error = Some(static_word(word)?),
            word => transfer.bytes = Some(word.parse().map_err(|_| bad("bytes", word))?),
        }
        while let Some(word) = words.next() {
            self.transfer_option(word, &mut transfer, words)?;
        }
        transfer.requested = transfer.requested.or(transfer.bytes.filter(|n| *n > 0));
        if let Some(bytes) = transfer.bytes.filter(|n| *n > 0) {
            let at = self.offsets.entry((transfer.channel.clone(), send)).or_default();
            transfer.offset = Some(*at);
            if !transfer.peek {
                *at = at.saturating_add(bytes);
            }
        }
        let bytes = transfer.bytes.unwrap_or(0);
        if send && transfer.error.is_none() {
            let op = transfer.call.op;
            self.sends.insert((transfer.channel.clone(), task.pid), op);
            self.inside.entry(transfer.channel.clone()).or_default().push_back(Origin {
                op,
                pid: task.pid,
                host: None,
                bytes,
            });
        } else if bytes > 0 {
            let first = self.take(&transfer.channel, bytes, transfer.peek);
            if transfer.from_unknown.is_none() {
                transfer.from = transfer.from.or(first);
            }
        }
        Ok(transfer)
    }

    /// The origins of the first bytes in the channel, if so many are known; they leave it unless only peeked at.
    fn take(&mut self, channel: &ChannelId, mut bytes: u64, peek: bool) -> Option<Vec<Origin>> {
        let inside = self.inside.entry(channel.clone()).or_default();
        let before = peek.then(|| inside.clone());
        let mut taken = Vec::new();
        while bytes > 0 {
            let Some(first) = inside.front_mut() else { break };
            let part = first.bytes.min(bytes);
            taken.push(Origin { bytes: part, ..first.clone() });
            (first.bytes, bytes) = (first.bytes - part, bytes - part);
            if first.bytes == 0 {
                inside.pop_front();
            }
        }
        if let Some(before) = before {
            *inside = before;
        }
        (bytes == 0).then_some(taken)
    }

    fn transfer_option(&mut self, word: &str, transfer: &mut Transfer, words: &mut Words<'_>) -> Result<(), Problem> {
        let call = &mut transfer.call;
        match word {
            "fill" => transfer.fill = Some(words.number("bytes")?),
            "depth" => transfer.depth = Some(words.number("messages")?),
            "slots" => {
                let slots = words.word("USED/ALL")?;
                let (used, all) = slots.split_once('/').ok_or_else(|| bad("USED/ALL", slots))?;
                transfer.slots_used = Some(used.parse().map_err(|_| bad("a number", used))?);
                transfer.slots = Some(all.parse().map_err(|_| bad("a number", all))?);
            }
            "requested" => transfer.requested = Some(words.number("bytes")?),
            "discarded" => transfer.discarded = Some(words.number("bytes")?),
            "nonblock" => transfer.nonblocking = true,
            "peek" => transfer.peek = true,
            "duplicate" => transfer.arrival = Some(Arrival::Duplicate),
            "reordered" => transfer.arrival = Some(Arrival::Reordered),
            "payload" => transfer.payload = Some(words.rest().as_bytes().to_vec()),
            "took" => call.took_ns = nanos(words.word("a duration")?)?,
            "blocked" => {
                let blocked = nanos(words.word("a duration")?)?;
                call.blocked_ns = Some(blocked);
                call.took_ns = call.took_ns.max(blocked);
            }
            "by" => call.syscall = static_word(words.word("a call")?)?,
            "op" => {
                call.op = OpId(words.number("a number")?);
                self.last_op = self.last_op.max(call.op.0);
            }
            "restarts" => call.restarts = words.number("a count")?,
            "interrupted" => call.interrupted_by.push(SignalId(words.number("a signal's id")?)),
            "unfinished" => call.unfinished = true,
            "from" => {
                let text = words.word("origins")?;
                if text.contains(':') {
                    let origins: Result<_, _> =
                        text.split(',').map(|part| self.origin(&transfer.channel, part)).collect();
                    transfer.from = Some(origins?);
                } else {
                    transfer.from_unknown = Some(unknown(text)?);
                }
            }
            _ => return Err(bad("an option of a transfer", word)),
        }
        Ok(())
    }

    fn origin(&self, channel: &ChannelId, text: &str) -> Result<Origin, Problem> {
        let problem = || bad("PID:BYTES", text);
        let (pid, bytes) = text.split_once(':').ok_or_else(problem)?;
        let (bytes, op) = match bytes.split_once('@') {
            Some((bytes, op)) => (bytes, Some(OpId(op.parse().map_err(|_| problem())?))),
            None => (bytes, None),
        };
        let pid = pid.parse().map_err(|_| problem())?;
        let op = op
            .or_else(|| self.sends.get(&(channel.clone(), pid)).copied())
            .ok_or_else(|| format!("{pid} has sent nothing to {channel} so far; name the op: `{text}@OP`"))?;
        Ok(Origin { op, pid, host: None, bytes: bytes.parse().map_err(|_| problem())? })
    }
}

fn unknown(word: &str) -> Result<FromUnknown, Problem> {
    let all = [
        FromUnknown::Overlap,
        FromUnknown::External,
        FromUnknown::BeforeStart,
        FromUnknown::Transformed,
        FromUnknown::Lost,
    ];
    lookup(&all, word, |u| u.name()).copied()
}
