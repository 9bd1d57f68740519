//! Messages by where the kernel keeps them.

use foldhash::HashMap;

use crate::event::{FromUnknown, OpId};

/// Messages of one address that nobody in the trace has received: more than one only where others receive.
const MOST: usize = 16;

/// Who sent a message, if he is in the trace.
pub type Sender = Option<(OpId, u32)>;

#[derive(Clone, Copy, Debug)]
struct Made {
    time: u64,
    by: Sender,
}

/// All messages on their way.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    made: HashMap<u64, Vec<Made>>,
    /// Records are missing just now.
    losing: bool,
    /// Some were.
    lost: bool,
}

impl Messages {
    /// A message came into being.
    pub fn made(&mut self, address: u64, time: u64, by: Sender) {
        let list = self.made.entry(address).or_default();
        list.push(Made { time, by });
        if list.len() > MOST {
            list.remove(0);
        }
    }

    /// The call that made it failed: it never got anywhere.
    pub fn unmade(&mut self, address: u64, op: OpId) {
        if let Some(list) = self.made.get_mut(&address) {
            list.retain(|made| made.by.is_none_or(|(by, _)| by != op));
            if list.is_empty() {
                self.made.remove(&address);
            }
        }
    }

    /// Who sent the message that was freed at that address at that time.
    pub fn freed(&mut self, address: u64, time: u64) -> Result<(OpId, u32), FromUnknown> {
        // Those before it stay: a receive that freed one of them may have been kept from returning since.
        let last = self.made.get_mut(&address).and_then(|list| {
            let place = list.iter().rposition(|made| made.time < time)?;
            Some(list.remove(place))
        });
        if self.made.get(&address).is_some_and(Vec::is_empty) {
            self.made.remove(&address);
        }
        match last {
            _ if self.losing => Err(FromUnknown::Lost),
            Some(Made { by, .. }) => by.ok_or(FromUnknown::External),
            None if self.lost => Err(FromUnknown::Lost),
            None => Err(FromUnknown::BeforeStart),
        }
    }

    /// Records are missing from here on (`over`: up to here). What was made before may have been freed, and its address
    /// used again.
    pub fn lost(&mut self, over: bool) {
        self.losing = !over;
        self.lost = true;
        self.made.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 0x1000;

    #[test]
    fn the_last_one_made_before_is_it() {
        let mut messages = Messages::default();
        messages.made(A, 10, Some((OpId(1), 7)));
        // The address is used again before the first receive is told.
        messages.made(A, 30, Some((OpId(2), 8)));
        assert_eq!(messages.freed(A, 20), Ok((OpId(1), 7)));
        assert_eq!(messages.freed(A, 40), Ok((OpId(2), 8)));
        assert_eq!(messages.freed(A, 50), Err(FromUnknown::BeforeStart));
    }

    #[test]
    fn a_receive_may_return_long_after_it_freed_its_message() {
        let mut messages = Messages::default();
        messages.made(A, 10, Some((OpId(1), 7)));
        // Freed at 20; the address is used again, and that receive returns first.
        messages.made(A, 30, Some((OpId(2), 8)));
        assert_eq!(messages.freed(A, 40), Ok((OpId(2), 8)));
        assert_eq!(messages.freed(A, 20), Ok((OpId(1), 7)));
    }

    #[test]
    fn one_that_others_received_is_not_taken_for_a_later_one() {
        let mut messages = Messages::default();
        messages.made(A, 10, Some((OpId(1), 7)));
        messages.made(A, 20, None);
        assert_eq!(messages.freed(A, 30), Err(FromUnknown::External));
    }

    #[test]
    fn a_failed_send_leaves_nothing() {
        let mut messages = Messages::default();
        messages.made(A, 10, Some((OpId(1), 7)));
        messages.unmade(A, OpId(1));
        assert_eq!(messages.freed(A, 30), Err(FromUnknown::BeforeStart));
    }

    #[test]
    fn nothing_is_claimed_across_a_loss() {
        let mut messages = Messages::default();
        messages.made(A, 10, Some((OpId(1), 7)));
        messages.lost(false);
        messages.made(A, 20, Some((OpId(2), 7)));
        assert_eq!(messages.freed(A, 30), Err(FromUnknown::Lost));
        messages.lost(true);
        messages.made(A, 40, Some((OpId(3), 7)));
        assert_eq!(messages.freed(A, 50), Ok((OpId(3), 7)));
        assert_eq!(messages.freed(A + 64, 60), Err(FromUnknown::Lost));
    }
}
