//! What several share: kernel objects, compared by kcmp(2) and numbered.

use std::cmp::Ordering;
use std::io;

/// Objects in the order that kcmp(2) gives them, each with its number in the snapshot.
#[derive(Debug)]
pub(super) struct Shared<T> {
    /// A holder of each object, and its number.
    known: Vec<(T, u32)>,
    next: u32,
}

impl<T> Shared<T> {
    /// None yet; the first gets the number `first`.
    pub(super) fn new(first: u32) -> Self {
        Self { known: Vec::new(), next: first }
    }

    /// The number of the object that `holder` holds, and whether it is new. `compare` orders the objects of two holders.
    ///
    /// The order is arbitrary but total as long as the objects live, so each takes no more comparisons than a search in a
    /// sorted list.
    pub(super) fn number(
        &mut self,
        holder: T,
        mut compare: impl FnMut(&T, &T) -> io::Result<Ordering>,
    ) -> io::Result<(u32, bool)> {
        match self.search(|known| compare(known, &holder))? {
            Ok(number) => Ok((number, false)),
            Err(place) => {
                let number = self.next;
                self.known.insert(place, (holder, number));
                self.next += 1;
                Ok((number, true))
            }
        }
    }

    /// The number of the object, or where it belongs.
    fn search(&self, mut compare: impl FnMut(&T) -> io::Result<Ordering>) -> io::Result<Result<u32, usize>> {
        let (mut low, mut high) = (0, self.known.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match compare(&self.known[middle].0)? {
                Ordering::Equal => return Ok(Ok(self.known[middle].1)),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Ok(Err(low))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_same_object_has_one_number_and_few_comparisons(objects in proptest::collection::vec(0u32..40, 0..200)) {
            let mut shared = Shared::new(1);
            let mut numbers = std::collections::HashMap::new();
            for object in objects {
                let mut compared = 0;
                let (number, new) = shared.number(object, |one, other| {
                    compared += 1;
                    // An order that says nothing of the objects, as the kernel's.
                    Ok((one.wrapping_mul(0x9e37_79b1)).cmp(&other.wrapping_mul(0x9e37_79b1)))
                }).unwrap();
                prop_assert!(compared <= 6, "{compared}");
                prop_assert_eq!(new, !numbers.contains_key(&object));
                prop_assert_eq!(*numbers.entry(object).or_insert(number), number);
            }
            let mut all: Vec<u32> = numbers.into_values().collect();
            all.sort_unstable();
            prop_assert_eq!(&all, &(1..=all.len() as u32).collect::<Vec<_>>());
        }
    }
}
