//! Where snapshots lie on the scrubber: by time, from the oldest at the left, with long pauses shortened.

use jiff::Timestamp;

/// A pause of an hour is twice as wide as one of about five minutes, and a night hardly wider than an evening.
const UNIT: f64 = 300.0;
/// What moments of one second are apart.
const LEAST: f64 = 0.2;

/// Places from 0 to 1 of moments in order, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Strip {
    places: Vec<f64>,
}

impl Strip {
    #[allow(clippy::cast_precision_loss, reason = "seconds of a life are exact in an f64")]
    pub(crate) fn new(oldest_first: &[Timestamp]) -> Self {
        let mut places = Vec::with_capacity(oldest_first.len());
        let mut at = 0.0;
        for (number, moment) in oldest_first.iter().enumerate() {
            if number > 0 {
                let seconds = (moment.as_second() - oldest_first[number - 1].as_second()).max(0) as f64;
                at += LEAST + (seconds / UNIT).ln_1p();
            }
            places.push(at);
        }
        if at > 0.0 {
            for place in &mut places {
                *place /= at;
            }
        } else if let [only] = places.as_mut_slice() {
            *only = 0.5;
        }
        Self { places }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn place(&self, number: usize) -> Option<f64> {
        self.places.get(number).copied()
    }

    /// The one that is nearest to a place.
    pub(crate) fn nearest(&self, place: f64) -> Option<usize> {
        let after = self.places.partition_point(|p| *p < place);
        let candidates = [after.checked_sub(1), Some(after).filter(|at| *at < self.places.len())];
        candidates.into_iter().flatten().min_by(|a, b| {
            let distance = |at: usize| (self.places[at] - place).abs();
            distance(*a).total_cmp(&distance(*b))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_snapshots_have_a_place_too() {
        assert_eq!(Strip::new(&[]).nearest(0.3), None);
        let one = Strip::new(&[Timestamp::UNIX_EPOCH]);
        assert_eq!((one.place(0), one.nearest(0.9)), (Some(0.5), Some(0)));
    }

    proptest! {
        #[test]
        fn places_go_from_left_to_right_and_are_found(mut seconds in prop::collection::vec(0..100_000_000i64, 2..50)) {
            seconds.sort_unstable();
            let moments: Vec<_> = seconds.iter().map(|s| Timestamp::from_second(*s).unwrap()).collect();
            let strip = Strip::new(&moments);
            prop_assert_eq!(strip.place(0), Some(0.0));
            prop_assert!((strip.place(strip.len() - 1).unwrap() - 1.0).abs() < 1e-9);
            for number in 0..strip.len() {
                prop_assert_eq!(strip.nearest(strip.place(number).unwrap()), Some(number));
            }
        }
    }
}
