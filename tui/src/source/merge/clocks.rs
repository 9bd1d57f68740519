//! Clocks of several hosts on one time line, by the messages that went between them.
//!
//! A message cannot be received before it was sent. So a send at `s` on clock `i` and its receive at `r` on clock `j` say
//! of what has to be added to these clocks that `x[i] - x[j] <= r - s`. Messages both ways bound a difference from both
//! sides, messages over a third host bound it as well: the bounds are closed under that (Floyd and Warshall), and the middle of what is
//! left is taken. Middles contradict no bound, since they are the mean of two solutions.
//!
//! Where clocks drift, bounds contradict each other; then they are given up by as little as there is a solution. Where
//! there is no message, the time of day says where to begin.
//!
//! Invariants: nothing overflows, whatever times are; if no clock drifts, the true offset is as near to what is told as the
//! uncertainty says. Tested with arbitrary clocks and delays.

use crate::event::Basis;

/// ns: differences of any two times fit, sums of a few as well.
pub type Time = i128;

/// Greater than any bound that times give.
const FAR: Time = 1 << 100;

/// What messages say.
#[derive(Clone, Debug)]
pub struct Bounds {
    count: usize,
    /// The most that `x[column] - x[row]` can be.
    most: Vec<Option<Time>>,
}

/// Where a clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// To be added to its times to get those of the first clock, ns.
    pub offset: Time,
    /// How far off that may be, ns; `None`: unknown.
    pub uncertainty: Option<u64>,
    /// What it rests on.
    pub basis: Basis,
    /// By how much it contradicts a message, ns; 0: it does not.
    pub violation: u64,
}

impl Bounds {
    /// Of so many clocks; nothing is known.
    pub fn new(count: usize) -> Self {
        Self { count, most: vec![None; count.saturating_mul(count)] }
    }

    /// A message was sent by the one clock's time, and received by the other's.
    pub fn message(&mut self, (sender, sent): (usize, u64), (receiver, received): (usize, u64)) {
        if sender != receiver {
            self.bound(receiver, sender, Time::from(received) - Time::from(sent));
        }
    }

    /// `x[to] - x[from]` is at most that.
    fn bound(&mut self, from: usize, to: usize, most: Time) {
        let (count, is_clock) = (self.count, from < self.count && to < self.count);
        if let Some(old) = self.most.get_mut(from * count + to).filter(|_| is_clock) {
            *old = Some(old.map_or(most, |old| old.min(most)));
        }
    }

    fn get(&self, from: usize, to: usize) -> Option<Time> {
        self.most.get(from * self.count + to).copied().flatten()
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let count = self.count;
        (0..count).flat_map(move |i| (0..count).map(move |j| (i, j))).filter(|(i, j)| i != j)
    }

    /// With all that follows; `None`: they contradict each other.
    fn closed(&self) -> Option<Self> {
        let mut closed = self.clone();
        for middle in 0..self.count {
            for (from, to) in self.pairs() {
                if let (Some(a), Some(b)) = (closed.get(from, middle), closed.get(middle, to)) {
                    closed.bound(from, to, (a + b).clamp(-FAR, FAR));
                }
            }
        }
        let there_and_back = |(i, j)| Some(closed.get(i, j)? + closed.get(j, i)?);
        self.pairs().filter_map(there_and_back).all(|sum| sum >= 0).then_some(closed)
    }

    /// Each bound so much weaker.
    fn weaker(&self, by: Time) -> Self {
        Self { most: self.most.iter().map(|most| most.map(|most| most + by)).collect(), ..self.clone() }
    }

    /// The same without the contradictions between two clocks: their bounds meet in the middle.
    fn reconciled(&self) -> Self {
        let mut all = self.clone();
        for (i, j) in self.pairs() {
            if let (Some(there), Some(back)) = (self.get(i, j), self.get(j, i))
                && there + back < 0
                && let Some(most) = all.most.get_mut(i * self.count + j)
            {
                // x[j] - x[i] is at most `there` and at least `-back`. Rounded up on both sides, so that they do meet.
                *most = Some((there - back).div_euclid(2) + Time::from((there - back).rem_euclid(2) != 0));
            }
        }
        all
    }

    /// Places the clocks, the first at 0. `guesses`: where each is by the time of day.
    pub fn place(&self, guesses: &[Time]) -> Vec<Placed> {
        let all = self.reconciled();
        let closed = all.closed().unwrap_or_else(|| {
            // The least that makes them agree, to the ns.
            let (mut too_little, mut enough) = (0, 2 * FAR);
            while enough - too_little > 1 {
                let by = too_little + (enough - too_little) / 2;
                if all.weaker(by).closed().is_some() { enough = by } else { too_little = by }
            }
            all.weaker(enough).closed().unwrap_or_else(|| Self::new(self.count))
        });
        let mut offsets: Vec<Option<(Time, Basis)>> = vec![None; self.count];
        for (clock, offset) in offsets.iter_mut().enumerate() {
            *offset = match (closed.get(0, clock), closed.get(clock, 0)) {
                _ if clock == 0 => Some((0, Basis::Reference)),
                (Some(most), Some(back)) => Some(((most - back).div_euclid(2), Basis::Messages)),
                _ => None,
            };
        }
        for clock in 0..self.count {
            if offsets.get(clock).is_some_and(Option::is_none) {
                let placed = closed.near(clock, guesses.get(clock).copied().unwrap_or(0), &offsets);
                offsets.iter_mut().skip(clock).take(1).for_each(|offset| *offset = Some(placed));
            }
        }
        let offsets: Vec<(Time, Basis)> = offsets.into_iter().map(Option::unwrap_or_default).collect();
        self.judge(&offsets)
    }

    /// As near to a guess as those that have their place allow.
    fn near(&self, clock: usize, guess: Time, placed: &[Option<(Time, Basis)>]) -> (Time, Basis) {
        let (mut least, mut most, mut closest) = (None::<Time>, None::<Time>, None);
        for (other, at) in placed.iter().enumerate().filter_map(|(other, placed)| Some((other, (*placed)?.0))) {
            let above = self.get(other, clock).map(|most| at + most);
            let below = self.get(clock, other).map(|most| at - most);
            if let Some((above, below)) = above.zip(below) {
                let middle = (above - below, below + (above - below).div_euclid(2));
                closest = closest.map_or(Some(middle), |best| Some(middle.min(best)));
            }
            most = most.into_iter().chain(above).min();
            least = least.into_iter().chain(below).max();
        }
        let guess = closest.map_or(guess, |(_, middle)| middle);
        let basis = if least.is_some() || most.is_some() { Basis::OneWay } else { Basis::TimeOfDay };
        (guess.max(least.unwrap_or(-FAR)).min(most.unwrap_or(FAR)), basis)
    }

    /// How sure the places are, and what they contradict.
    fn judge(&self, offsets: &[(Time, Basis)]) -> Vec<Placed> {
        let at = |clock: usize| offsets.get(clock).map_or(0, |(offset, _)| *offset);
        let excess = |(i, j): (usize, usize)| self.get(i, j).map_or(0, |most| (at(j) - at(i) - most).max(0));
        let mut sound = self.clone();
        let mut violations = vec![0; self.count];
        for (i, j) in self.pairs() {
            let by = excess((i, j)).max(excess((j, i)));
            if by > 0 {
                // What contradicts something says nothing about how sure it is.
                sound.most.iter_mut().skip(i * self.count + j).take(1).for_each(|most| *most = None);
            }
            violations.iter_mut().skip(j).take(1).for_each(|most: &mut Time| *most = (*most).max(by));
        }
        let sound = sound.closed();
        let uncertainty = |clock: usize| {
            let sound = sound.as_ref()?;
            let (above, below) = (sound.get(0, clock)? - at(clock), at(clock) + sound.get(clock, 0)?);
            u64::try_from(above.max(below)).ok()
        };
        let placed = offsets.iter().zip(violations).enumerate().map(|(clock, (&(offset, basis), violation))| Placed {
            offset,
            uncertainty: if clock == 0 { Some(0) } else { uncertainty(clock) },
            basis,
            violation: u64::try_from(violation).unwrap_or(u64::MAX),
        });
        placed.collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// Messages by `(sender, receiver, when it was sent, how long it took)` in true time, seen by clocks that are so far
    /// behind it.
    fn bounds(behind: &[u64], messages: &[(usize, usize, u64, u64)]) -> Bounds {
        let mut bounds = Bounds::new(behind.len());
        for &(from, to, sent, delay) in messages {
            let start = 1 << 50;
            let clock = |of: usize, time: u64| (of, start + time - behind[of]);
            bounds.message(clock(from, sent), clock(to, sent + delay));
        }
        bounds
    }

    fn placed(offset: Time, uncertainty: Option<u64>, basis: Basis, violation: u64) -> Placed {
        Placed { offset, uncertainty, basis, violation }
    }

    #[test]
    fn two_clocks() {
        let first = placed(0, Some(0), Basis::Reference, 0);
        for (messages, second) in [
            // Symmetric delays hit it.
            (&[(0, 1, 5, 40), (1, 0, 90, 40)][..], placed(1000, Some(40), Basis::Messages, 0)),
            // Half of what the delays differ by is what it is off.
            (&[(0, 1, 5, 40), (1, 0, 90, 10)], placed(985, Some(25), Basis::Messages, 0)),
            // The fastest of each direction count.
            (
                &[(0, 1, 5, 90), (0, 1, 6, 40), (1, 0, 90, 70), (1, 0, 95, 41)],
                placed(1000, Some(41), Basis::Messages, 0),
            ),
            // One way: the guess (700), kept from receiving before sending.
            (&[(0, 1, 5, 40)], placed(960, None, Basis::OneWay, 0)),
            (&[(1, 0, 5, 40)], placed(700, None, Basis::OneWay, 0)),
            (&[], placed(700, None, Basis::TimeOfDay, 0)),
        ] {
            assert_eq!(bounds(&[0, 1000], messages).place(&[0, 700]), [first, second], "{messages:?}");
        }
    }

    #[test]
    fn a_third_host_may_know_better() {
        // 0 and 1 exchange slow messages, and fast ones with 2.
        let slow = [(0, 1, 5, 500), (1, 0, 5, 500)];
        let fast = [(0, 2, 7, 10), (2, 0, 7, 10), (1, 2, 9, 10), (2, 1, 9, 10)];
        let all: Vec<_> = slow.into_iter().chain(fast).collect();
        let places = bounds(&[0, 1000, 5], &all).place(&[0; 3]);
        assert_eq!(places[1], placed(1000, Some(20), Basis::Messages, 0));
        assert_eq!(places[2], placed(5, Some(10), Basis::Messages, 0));
        // One who talks with the second only is found through it.
        let chain = [(0, 1, 5, 10), (1, 0, 5, 10), (1, 2, 5, 30), (2, 1, 5, 30)];
        assert_eq!(bounds(&[0, 50, 9], &chain).place(&[0; 3])[2], placed(9, Some(40), Basis::Messages, 0));
    }

    #[test]
    fn a_clock_that_drifts_is_placed_with_the_least_contradiction() {
        let mut bounds = Bounds::new(2);
        // At first the second is 1000 behind, later 900.
        bounds.message((0, 10_000), (1, 9_010));
        bounds.message((1, 99_100), (0, 100_010));
        // At least 990 by the first, at most 910 by the second.
        assert_eq!(bounds.place(&[0, 0])[1], placed(950, None, Basis::Messages, 40));
        // Around three.
        let mut bounds = Bounds::new(3);
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            bounds.message((from, 1_000), (to, 970));
        }
        let places = bounds.place(&[0; 3]);
        assert_eq!(places.iter().map(|place| place.violation).max(), Some(30), "{places:?}");
    }

    #[test]
    fn absurd_times_are_placed_somewhere() {
        let mut bounds = Bounds::new(3);
        bounds.message((0, u64::MAX), (1, 0));
        bounds.message((1, u64::MAX), (0, 0));
        bounds.message((1, u64::MAX), (2, 0));
        bounds.message((7, 1), (0, 0));
        let places = bounds.place(&[0, Time::from(u64::MAX), -Time::from(u64::MAX)]);
        assert_eq!(places.len(), 3);
        assert_eq!(places[1].violation, u64::MAX);
        assert!(Bounds::new(0).place(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn the_true_offset_is_as_near_as_is_told(
            behind in prop::collection::vec(0_u64..1 << 40, 2..6),
            messages in prop::collection::vec((0_usize..6, 0_usize..6, 0_u64..1 << 44, 0_u64..1 << 30), 0..40),
        ) {
            let count = behind.len();
            let messages: Vec<_> = messages.into_iter().map(|(a, b, s, d)| (a % count, b % count, s, d)).collect();
            let places = bounds(&behind, &messages).place(&vec![0; count]);
            let origin = Time::from(behind[0]);
            for (place, behind) in places.iter().zip(&behind) {
                prop_assert_eq!(place.violation, 0, "no clock drifts");
                let off = (place.offset - (Time::from(*behind) - origin)).unsigned_abs();
                prop_assert!(place.uncertainty.is_none_or(|most| off <= u128::from(most)), "{:?} off {}", place, off);
                prop_assert_eq!(place.uncertainty.is_some(), matches!(place.basis, Basis::Reference | Basis::Messages));
            }
            // Nothing is received before it is sent.
            for (from, to, sent, delay) in messages {
                let at = |of: usize, t: u64| Time::from(t) - Time::from(behind[of]) + places[of].offset;
                prop_assert!(at(to, sent + delay) >= at(from, sent));
            }
        }

        #[test]
        fn of_two_clocks_the_uncertainty_is_half_of_the_shortest_way_there_and_back(
            behind in 0_u64..1 << 40,
            there in prop::collection::vec(0_u64..1 << 30, 1..20),
            back in prop::collection::vec(0_u64..1 << 30, 1..20),
        ) {
            let messages: Vec<_> = there.iter().map(|d| (0, 1, 9, *d)).chain(back.iter().map(|d| (1, 0, 9, *d))).collect();
            let places = bounds(&[0, behind], &messages).place(&[0, 0]);
            let round = there.iter().min().unwrap_or(&0) + back.iter().min().unwrap_or(&0);
            prop_assert_eq!(places[1].uncertainty, Some(round.div_ceil(2)));
        }

        #[test]
        fn contradictions_are_placed_without_panic(
            messages in prop::collection::vec((0_usize..4, any::<u64>(), 0_usize..4, any::<u64>()), 0..30),
            guesses in prop::collection::vec(any::<i64>(), 4),
        ) {
            let mut bounds = Bounds::new(4);
            for (from, sent, to, received) in messages {
                bounds.message((from, sent), (to, received));
            }
            let guesses: Vec<Time> = guesses.into_iter().map(Time::from).collect();
            prop_assert_eq!(bounds.place(&guesses).len(), 4);
        }
    }
}
