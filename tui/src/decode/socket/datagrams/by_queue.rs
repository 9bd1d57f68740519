//! Which datagram a receive got, by its place in the queue.
//!
//! Invariant: it is told only of what no send that was under way can have come before.

use crate::event::OpId;

use super::{Came, Datagrams, Found, Key, Received};

/// What the queue tells.
pub(super) enum First {
    /// What is still being sent may have been in front of it.
    Later,
    /// The one in front, which is that one.
    Is(Found),
    /// One of these, by place and call; or something else, if there are none.
    OneOf(Vec<(usize, Option<OpId>)>),
    /// Nothing.
    Untold,
}

/// What of a call a receive can have got.
enum OfCall {
    One(Found),
    /// Something that is not told.
    Untold,
    /// Nothing with these bytes.
    None,
}

impl Datagrams {
    /// Which one it is by its place in the queue.
    pub(super) fn first(&mut self, receiver: Key, received: &Received) -> First {
        let queue = self.queues.entry(receiver).or_default();
        if !received.queued {
            queue.lose();
        }
        if !queue.is_known(received.born) {
            return First::Untold;
        }
        let by = queue.first().map_or(received.time, |first| first.time);
        if self.sending.values().any(|(.., entered)| *entered < by) {
            // What it puts there may be told late, and have been in front.
            return First::Later;
        }
        let mut found = None;
        let mut candidates = Vec::new();
        for (index, came) in queue.firsts() {
            match came.sent.or_else(|| self.supposed(&came, receiver, received)) {
                None => candidates.push((index, None)),
                Some((sender, op)) => match self.of_call(sender, op, receiver, received) {
                    OfCall::One(sent) => {
                        found = Some(sent);
                        candidates.push((index, Some(op)));
                    }
                    OfCall::Untold => candidates.push((index, None)),
                    OfCall::None => {}
                },
            }
        }
        match found {
            Some(sent) if candidates.len() == 1 => First::Is(sent),
            _ => First::OneOf(candidates),
        }
    }

    /// Which of what a call has sent it is.
    fn of_call(&self, sender: Key, op: OpId, receiver: Key, received: &Received) -> OfCall {
        let Some(log) = self.logs.get(&sender) else { return OfCall::Untold };
        // The messages of a call are told one after the other.
        let Some((_, last)) = log.of_call(op).next() else { return OfCall::Untold };
        let is_partial = last.partial;
        let fitting = log.of_call(op).filter(|(_, sent)| sent.leads_to(received) && sent.fits(received));
        let had = |number: u64| self.pairs.get(&(sender, receiver)).is_some_and(|pair| pair.had.contains(&number));
        let numbers = fitting.map(|(number, _)| Found { sender, number, again: had(number) });
        match numbers.min_by_key(|sent| (sent.again, sent.number)) {
            Some(sent) if !(is_partial && sent.again) => OfCall::One(sent),
            _ if is_partial => OfCall::Untold,
            _ => OfCall::None,
        }
    }

    /// The call during which one was put there, if nothing else that was sent by then and not seen to come can be it: it was
    /// received before the probe could look at it.
    fn supposed(&self, came: &Came, receiver: Key, received: &Received) -> Option<(Key, OpId)> {
        let (_, op) = came.during?;
        let queue = self.queues.get(&receiver)?;
        for (sender, log) in &self.logs {
            let pair = self.pairs.get(&(*sender, receiver));
            let had = |number: u64| pair.is_some_and(|pair| pair.had.contains(&number));
            let all = (log.first..).zip(&log.sent).filter(|(number, sent)| {
                sent.op != op && sent.entered < came.time && !had(*number) && !log.gone.contains(&(*number, receiver))
            });
            let mut others = all.filter(|(_, sent)| sent.leads_to(received) && sent.fits(received));
            if others.any(|(_, sent)| !queue.has(sent.op)) {
                return None;
            }
        }
        came.during
    }

    /// What was in front was received.
    pub(super) fn take(&mut self, receiver: Key, received: &Received) {
        if !received.peek
            && let Some(queue) = self.queues.get_mut(&receiver)
        {
            queue.take(0);
        }
    }

    /// One of the candidates was received: of that call, if that was found out.
    pub(super) fn settle(
        &mut self,
        receiver: Key,
        received: &Received,
        candidates: &[(usize, Option<OpId>)],
        op: Option<OpId>,
    ) {
        let Some(queue) = self.queues.get_mut(&receiver) else { return };
        let of = |op: Option<OpId>| candidates.iter().find(|(_, other)| *other == op).map(|(index, _)| *index);
        let taken = match op {
            Some(op) => of(Some(op)).or_else(|| of(None)),
            None => candidates.last().map(|(index, _)| *index),
        };
        match taken {
            Some(_) if received.peek => {}
            Some(index) => {
                if op.is_none() {
                    // It may have been any of them.
                    for (index, _) in candidates {
                        queue.blur(*index);
                    }
                }
                queue.take(index);
            }
            None => queue.lose(),
        }
    }
}
