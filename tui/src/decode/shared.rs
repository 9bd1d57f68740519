//! A map of things of which most do not change for a while: copies of it (a replay keeps one every few ten thousand events)
//! share them, and one that does change is copied when it first does.
//!
//! Invariant: what is changed in one copy stays as it was in all others. Tested at the end.

use std::{hash::Hash, sync::Arc};

use foldhash::HashMap;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Shared<K, V>(HashMap<K, Arc<V>>);

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Eq + Hash, V: Clone> Shared<K, V> {
    /// That one.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key).map(AsRef::as_ref)
    }

    /// There is one.
    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// That one, to change.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key).map(Arc::make_mut)
    }

    /// The same, made if there is none.
    pub(super) fn ensure(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        Arc::make_mut(self.0.entry(key).or_insert_with(|| Arc::new(new())))
    }

    /// There is none from now on.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key).map(Arc::unwrap_or_clone)
    }

    /// Which there are.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    /// All.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values().map(AsRef::as_ref)
    }

    /// All, to change.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.values_mut().map(Arc::make_mut)
    }

    /// Takes all.
    pub(super) fn take(&mut self) -> impl Iterator<Item = V> + use<K, V> {
        std::mem::take(&mut self.0).into_values().map(Arc::unwrap_or_clone)
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stays_as_it_was_and_shares_the_rest() {
        let mut map = Shared::default();
        for (key, value) in [(1, "a"), (2, "b"), (3, "c")] {
            map.ensure(key, || value.to_owned());
        }
        let copy = map.clone();
        map.get_mut(&1).into_iter().for_each(|value| value.push('!'));
        map.ensure(3, String::new).push('?');
        map.ensure(4, || "d".to_owned());
        let of = |map: &Shared<i32, String>| [1, 2, 3, 4].map(|key| map.get(&key).cloned().unwrap_or_default());
        assert_eq!(of(&map), ["a!", "b", "c?", "d"]);
        assert_eq!(of(&copy), ["a", "b", "c", ""]);
        let is_one = |key| map.get(&key).zip(copy.get(&key)).is_some_and(|(one, other)| std::ptr::eq(one, other));
        assert_eq!([1, 2, 3].map(is_one), [false, true, false]);
        assert_eq!((map.remove(&2).as_deref(), map.contains_key(&2), of(&copy)[1].as_str()), (Some("b"), false, "b"));
        map.values_mut().for_each(String::clear);
        assert_eq!(
            (map.len(), map.values().all(String::is_empty), copy.values().any(String::is_empty)),
            (3, true, false)
        );
    }
}
