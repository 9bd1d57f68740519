//! What goes from one socket to another, found by both of them or by either.
//!
//! Invariant: what is found by one of the two is found by both. Tested by the table at the end.

use foldhash::{HashMap, HashSet};

use super::{FlowKey, Name};

/// See the module.
#[derive(Clone, Debug)]
pub struct Between<T> {
    all: HashMap<FlowKey, T>,
    /// Those that begin or end there.
    at: HashMap<Name, HashSet<FlowKey>>,
}

impl<T> Default for Between<T> {
    fn default() -> Self {
        Self { all: HashMap::default(), at: HashMap::default() }
    }
}

impl<T> Between<T> {
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
        self.all.entry(key).or_insert_with(|| {
            for end in [key.0, key.1] {
                self.at.entry(end).or_default().insert(key);
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
        for end in [key.0, key.1] {
            if let Some(at) = self.at.get_mut(&end)
                && at.remove(key)
                && at.is_empty()
            {
                self.at.remove(&end);
            }
        }
        self.all.remove(key)
    }

    /// Those that begin or end there.
    pub fn at(&self, end: Name) -> impl Iterator<Item = FlowKey> {
        self.at.get(&end).into_iter().flatten().copied()
    }

    /// Which there are.
    pub fn keys(&self) -> impl Iterator<Item = FlowKey> {
        self.all.keys().copied()
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
        std::mem::take(self).all.into_values()
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
