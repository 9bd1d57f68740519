//! What goes from one socket to another, found by both of them or by either.
//!
//! Invariant: what is found by one of the two is found by both. Tested by the table at the end.

use foldhash::{HashMap, HashSet};

use super::{super::shared::Shared, FlowKey, Name};

/// See the module.
#[derive(Clone, Debug)]
pub struct Between<T> {
    all: Shared<FlowKey, T>,
    /// The other ends of those that begin or end there.
    at: HashMap<Name, Others>,
}

/// Ends that there is something to or from: mostly one.
#[derive(Clone, Debug)]
enum Others {
    One(Name),
    Several(HashSet<Name>),
}

impl Others {
    fn insert(&mut self, other: Name) {
        match self {
            Self::One(one) if *one == other => {}
            Self::One(one) => *self = Self::Several([*one, other].into_iter().collect()),
            Self::Several(all) => {
                all.insert(other);
            }
        }
    }

    /// Whether none is left.
    fn remove(&mut self, other: Name) -> bool {
        match self {
            Self::One(one) => *one == other,
            Self::Several(all) => {
                all.remove(&other);
                all.is_empty()
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = Name> {
        let (one, several) = match self {
            Self::One(one) => (Some(*one), None),
            Self::Several(all) => (None, Some(all)),
        };
        one.into_iter().chain(several.into_iter().flatten().copied())
    }
}

impl<T> Default for Between<T> {
    fn default() -> Self {
        Self { all: Shared::default(), at: HashMap::default() }
    }
}

impl<T: Clone> Between<T> {
    /// What goes from the first to the second.
    pub fn get(&self, key: &FlowKey) -> Option<&T> {
        self.all.get(key)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, key: &FlowKey) -> Option<&mut T> {
        self.all.get_mut(key)
    }

    /// The same, made if there is none.
    pub fn ensure(&mut self, key: FlowKey, new: impl FnOnce() -> T) -> &mut T {
        self.all.ensure(key, || {
            for (end, other) in [key, (key.1, key.0)] {
                self.at.entry(end).and_modify(|others| others.insert(other)).or_insert(Others::One(other));
            }
            new()
        })
    }

    /// That is it from now on.
    pub fn insert(&mut self, key: FlowKey, new: T) {
        self.remove(&key);
        self.ensure(key, || new);
    }

    /// There is none from now on.
    pub fn remove(&mut self, key: &FlowKey) -> Option<T> {
        let removed = self.all.remove(key)?;
        let back = (key.1, key.0);
        if !self.all.contains_key(&back) {
            for (end, other) in [*key, back] {
                if self.at.get_mut(&end).is_some_and(|others| others.remove(other)) {
                    self.at.remove(&end);
                }
            }
        }
        Some(removed)
    }

    /// Those that begin or end there.
    pub fn at(&self, end: Name) -> impl Iterator<Item = FlowKey> {
        let others = self.at.get(&end).into_iter().flat_map(Others::iter);
        let ways = others.flat_map(move |other| [Some((end, other)), (end != other).then_some((other, end))]);
        ways.flatten().filter(|key| self.all.contains_key(key))
    }

    /// Which there are.
    pub fn keys(&self) -> impl Iterator<Item = FlowKey> {
        self.all.keys().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// All.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.all.values()
    }

    /// All, to change.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.all.values_mut()
    }

    /// Takes all.
    pub fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(self).all.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Name = Name::Sock(1);
    const B: Name = Name::Sock(2);
    const C: Name = Name::Sock(3);

    fn at(between: &Between<u32>, end: Name) -> Vec<u32> {
        let mut found: Vec<u32> = between.at(end).filter_map(|key| between.get(&key).copied()).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn what_goes_is_found_by_either_end() {
        let mut between = Between::default();
        between.insert((A, B), 1);
        between.insert((B, A), 2);
        between.insert((A, B), 3);
        assert_eq!((*between.ensure((C, B), || 4), *between.ensure((C, B), || 5)), (4, 4));
        assert_eq!((at(&between, A), at(&between, B), at(&between, C)), (vec![2, 3], vec![2, 3, 4], vec![4]));
        assert_eq!((between.remove(&(C, B)), between.remove(&(C, B))), (Some(4), None));
        assert_eq!((at(&between, B), at(&between, C), between.at.len()), (vec![2, 3], vec![], 2));
        assert_eq!(between.take().sum::<u32>(), 5);
        assert!(between.at.is_empty() && between.keys().next().is_none());
    }
}
