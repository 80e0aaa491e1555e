//! Keeps what was used last, up to a bound.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, each with its weight; the one that was not used for longest goes first.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    bound: usize,
    weight: usize,
    clock: u64,
    values: HashMap<K, Kept<V>>,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    pub(crate) fn new(bound: usize) -> Self {
        Self { bound, weight: 0, clock: 0, values: HashMap::new() }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        self.clock += 1;
        let kept = self.values.get_mut(key)?;
        kept.used = self.clock;
        Some(kept.value.clone())
    }

    /// One that weighs more than the bound is not kept.
    pub(crate) fn put(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.bound {
            return;
        }
        while self.weight + weight > self.bound {
            let oldest = self.values.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            self.remove(&oldest);
        }
        self.clock += 1;
        self.weight += weight;
        self.values.insert(key, Kept { value, weight, used: self.clock });
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(kept) = self.values.remove(key) {
            self.weight -= kept.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_used_last_stays() {
        let mut cache = Cache::new(10);
        cache.put("a", 1, 4);
        cache.put("b", 2, 4);
        assert_eq!(cache.get(&"a"), Some(1));
        cache.put("c", 3, 4);
        assert_eq!((cache.get(&"a"), cache.get(&"b"), cache.get(&"c")), (Some(1), None, Some(3)));
        cache.put("huge", 4, 11);
        assert_eq!((cache.get(&"huge"), cache.get(&"c")), (None, Some(3)));
    }

    proptest! {
        #[test]
        fn the_bound_holds(puts in prop::collection::vec((0..9u8, 0..40usize), 0..80)) {
            let mut cache = Cache::new(100);
            for (key, weight) in puts {
                cache.put(key, weight, weight);
                prop_assert_eq!(cache.weight, cache.values.values().map(|kept| kept.weight).sum::<usize>());
                prop_assert!(cache.weight <= 100);
                prop_assert_eq!(cache.get(&key), Some(weight));
            }
        }
    }
}
