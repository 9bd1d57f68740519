//! Which datagram a receive got, by addresses, bytes and the order of its sender: where its queue does not tell.
//!
//! Invariant: what nobody knows to be the one is unknown, as when another one with the same bytes may have come.

use crate::event::FromUnknown;

use super::{Datagrams, Found, Key, Known, Received};

impl Datagrams {
    /// Which one it is, from one of these; `None`: it may be one that is still being sent.
    pub(super) fn by_bytes(
        &mut self,
        senders: &[Key],
        receiver: Key,
        received: &Received,
    ) -> Option<Result<Known, FromUnknown>> {
        let mut fitting: Vec<(Key, u64)> = Vec::new();
        let (mut is_next, mut first_returned) = (false, 0);
        for sender in senders {
            let (Some(log), Some(pair)) = (self.logs.get(sender), self.pairs.get(&(*sender, receiver))) else {
                continue;
            };
            let mut next = Some(());
            for (number, sent) in log.since(pair.done) {
                let (may_be_first, fits) = (next.is_some() && number >= pair.next, sent.fits(received));
                if !fits && !may_be_first || !sent.arrives_at(received) || log.is_gone((number, sent), receiver, pair) {
                    continue;
                }
                let is_first = may_be_first && next.take().is_some();
                if fits {
                    is_next |= is_first && fitting.is_empty() && !pair.unordered && senders.len() == 1;
                    // Several threads may have sent them at the same time.
                    is_next &= fitting.is_empty() || sent.entered > first_returned;
                    if fitting.is_empty() {
                        first_returned = sent.returned;
                    }
                    fitting.push((*sender, number));
                }
            }
        }
        let (sender, number) = match fitting.as_slice() {
            [first, ..] if is_next => *first,
            // The one on its way may be just like it.
            _ if self.is_sending(senders, received.time) => return None,
            [] => return Some(self.doubled(senders, receiver, received)),
            [one] if !self.may_be_doubled(senders, receiver, received) => *one,
            _ => {
                for sender in senders {
                    self.pairs.entry((*sender, receiver)).or_default().unordered = true;
                }
                return Some(Err(FromUnknown::Overlap));
            }
        };
        self.found(Found { sender, number, again: false }, receiver, received).map(Ok)
    }

    /// What the receiver had before that has these bytes.
    fn had(&self, senders: &[Key], receiver: Key, received: &Received) -> Vec<(Key, u64)> {
        let mut had = Vec::new();
        for sender in senders {
            let (Some(log), Some(pair)) = (self.logs.get(sender), self.pairs.get(&(*sender, receiver))) else {
                continue;
            };
            let again = log
                .since(log.first)
                .filter(|(number, sent)| sent.fits(received) && sent.arrives_at(received) && pair.had.contains(number));
            had.extend(again.map(|(number, _)| (*sender, number)));
        }
        had
    }

    /// Whether it may be one that the receiver had: only where that has been seen to happen.
    fn may_be_doubled(&self, senders: &[Key], receiver: Key, received: &Received) -> bool {
        let doubles = |sender: &Key| self.pairs.get(&(*sender, receiver)).is_some_and(|pair| pair.doubles);
        senders.iter().any(doubles) && !self.had(senders, receiver, received).is_empty()
    }

    /// Which one it is of those that the receiver had.
    fn doubled(&mut self, senders: &[Key], receiver: Key, received: &Received) -> Result<Known, FromUnknown> {
        let had = self.had(senders, receiver, received);
        for (sender, _) in &had {
            if let Some(pair) = self.pairs.get_mut(&(*sender, receiver)) {
                // From now on the next one may be one that came before.
                (pair.unordered, pair.doubles) = (true, true);
            }
        }
        let [(sender, number)] = *had.as_slice() else { return Err(FromUnknown::Overlap) };
        let found = self.found(Found { sender, number, again: true }, receiver, received);
        found.ok_or(FromUnknown::Overlap)
    }
}
