//! Sets of pages, kept as runs of addresses.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of addresses, held as runs that neither touch nor overlap. Its users put in whole pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageSet(BTreeMap<u64, u64>);

impl PageSet {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `run` in.
    pub fn insert(&mut self, run: Range<u64>) {
        if run.is_empty() {
            return;
        }
        let (mut start, mut end) = (run.start, run.end);
        // Runs that begin at or before the end of this one and reach its beginning are joined with it.
        while let Some((&first, &last)) = self.0.range(..=end).next_back().filter(|(_, last)| **last >= start) {
            start = start.min(first);
            end = end.max(last);
            self.0.remove(&first);
        }
        self.0.insert(start, end);
    }

    /// Takes `run` out.
    pub fn remove(&mut self, run: Range<u64>) {
        if run.is_empty() {
            return;
        }
        while let Some((&first, &last)) = self.0.range(..run.end).next_back().filter(|(_, last)| **last > run.start) {
            self.0.remove(&first);
            if first < run.start {
                self.0.insert(first, run.start);
            }
            if last > run.end {
                self.0.insert(run.end, last);
            }
        }
    }

    /// Its runs in order.
    pub fn runs(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.iter().map(|(start, end)| *start..*end)
    }

    /// Whether `address` is in it.
    pub fn contains(&self, address: u64) -> bool {
        self.0.range(..=address).next_back().is_some_and(|(_, end)| address < *end)
    }

    /// What is in this one and not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = Self::new();
        for run in self.runs() {
            let mut at = run.start;
            let first = other.0.range(..=run.start).next_back().map_or(run.start, |(start, _)| *start);
            for (&start, &end) in other.0.range(first..run.end) {
                if start > at {
                    rest.0.insert(at, start);
                }
                at = at.max(end);
            }
            if at < run.end {
                rest.0.insert(at, run.end);
            }
        }
        rest
    }

    /// Puts all of `other` in.
    pub fn extend(&mut self, other: &Self) {
        other.runs().for_each(|run| self.insert(run));
    }

    /// How many bytes it covers.
    pub fn bytes(&self) -> u64 {
        self.runs().map(|run| run.end - run.start).sum()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Range<u64>> for PageSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(runs: I) -> Self {
        let mut set = Self::new();
        runs.into_iter().for_each(|run| set.insert(run));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_of_pages_is_a_set_of_addresses(
            steps in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..12), 0..40),
            other in proptest::collection::vec((0u64..60, 0u64..12), 0..10),
        ) {
            let (mut set, mut plain) = (PageSet::new(), BTreeSet::new());
            for (insert, start, length) in steps {
                let run = start..start + length;
                if insert {
                    set.insert(run.clone());
                    plain.extend(run);
                } else {
                    set.remove(run.clone());
                    plain.retain(|address| !run.contains(address));
                }
            }
            let runs: Vec<_> = set.runs().collect();
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(runs.into_iter().flatten().collect::<BTreeSet<_>>(), plain.clone());
            prop_assert_eq!(set.bytes(), plain.len() as u64);
            for address in 0..80 {
                prop_assert_eq!(set.contains(address), plain.contains(&address));
            }
            let other: PageSet = other.into_iter().map(|(start, length)| start..start + length).collect();
            let rest = plain.iter().copied().filter(|address| !other.contains(*address)).collect::<BTreeSet<_>>();
            prop_assert_eq!(set.without(&other).runs().flatten().collect::<BTreeSet<_>>(), rest);
        }
    }
}
