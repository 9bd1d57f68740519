//! How much is remembered of channels before those that the world has forgotten are dropped.
//!
//! Invariant: looking for them costs no more than remembering did, however many the world keeps.

/// So many are remembered at least.
const LEAST: usize = 16_384;

/// Room for what is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(LEAST)
    }
}

impl Room {
    /// There is none for another one, if so many are there.
    pub(super) fn is_used_up(self, count: usize) -> bool {
        count >= self.0
    }

    /// So many stayed. Half of what there will be room for is to come before anybody looks again.
    pub(super) fn stayed(&mut self, count: usize) {
        self.0 = LEAST.max(count.saturating_mul(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_all_stay_nobody_looks_again_soon() {
        let (mut room, mut looks) = (Room::default(), 0);
        for count in 0..1_000_000 {
            if room.is_used_up(count) {
                looks += 1;
                room.stayed(count);
            }
        }
        assert_eq!(looks, 6);
        room.stayed(5);
        assert!(room.is_used_up(LEAST) && !room.is_used_up(LEAST - 1));
    }
}
