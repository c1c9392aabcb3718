//! Times, kept so that any two histograms can be added and any quantile told within one part in 32.

use shortbread_protocol::admin::{QuantileBody, TimesBody};

use crate::interval::Z;

/// Each power of two is cut into so many parts.
const PARTS: u64 = 32;
/// The place of the largest number.
const LAST: usize = 1919;

/// Counts by size: exact below 32, then 32 parts for each power of two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    n: u64,
}

impl Histogram {
    /// Counts one value.
    pub fn add(&mut self, value: u64) {
        let place = place(value);
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
            self.n += 1;
        }
    }

    /// Adds all that another one counted.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(to, from)| *to += from);
        self.n += other.n;
    }

    /// How many were counted.
    #[must_use]
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// The value that `share` of all do not exceed, in its part's lowest spelling; `None` without any.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<u64> {
        self.ranked(rank(share * float(self.n)).clamp(1, self.n.max(1)))
    }

    /// The same with its bounds: by how many of `n` draws can fall below a quantile, in 95 of 100 cases. A bound whose
    /// rank does not exist is none.
    #[must_use]
    pub fn bounded(&self, share: f64) -> QuantileBody {
        let n = float(self.n);
        let (middle, around) = (n * share, Z * (n * share * (1.0 - share)).sqrt());
        let low = (middle - around).floor();
        let high = (middle + around).ceil() + 1.0;
        let at = |real: f64| (real >= 1.0 && real <= n).then(|| self.ranked(rank(real))).flatten();
        QuantileBody { value: self.quantile(share).unwrap_or(0), low: at(low), high: at(high) }
    }

    /// What is told of it; `None` without any.
    #[must_use]
    pub fn times(&self) -> Option<TimesBody> {
        let at = |share| self.bounded(share);
        (self.n > 0).then(|| TimesBody { n: self.n, p50: at(0.5), p90: at(0.9), p99: at(0.99) })
    }

    // The value of this rank, counted from 1.
    fn ranked(&self, rank: u64) -> Option<u64> {
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map(lowest)
    }
}

/// The place of a value.
fn place(value: u64) -> usize {
    let Some(power) = value.checked_ilog2().filter(|power| *power >= 5) else {
        return usize::try_from(value).unwrap_or(LAST);
    };
    let part = (value >> (power - 5)) & (PARTS - 1);
    let before = u64::from(power - 4) * PARTS;
    usize::try_from(before + part).unwrap_or(LAST)
}

/// The lowest value of a place.
fn lowest(place: usize) -> u64 {
    let place = place as u64;
    let power = place / PARTS;
    if power == 0 { place } else { (PARTS + place % PARTS) << (power - 1) }
}

#[expect(clippy::cast_precision_loss, reason = "counts of entries are far below 2^52")]
const fn float(n: u64) -> f64 {
    n as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks are counts: never below 0, and far below 2^52"
)]
fn rank(real: f64) -> u64 {
    real.ceil().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.add(*value));
        histogram
    }

    #[test]
    fn quantiles_are_where_they_should_be() {
        let even = of(&(1..=1000).collect::<Vec<_>>());
        let near = |got: Option<u64>, want: u64| {
            let got = got.unwrap();
            assert!(got <= want && got + got / 32 + 1 >= want, "{got} for {want}");
        };
        near(even.quantile(0.5), 500);
        near(even.quantile(0.9), 900);
        near(even.quantile(0.99), 990);
        let median = even.bounded(0.5);
        assert!(median.low.unwrap() <= 470 && median.high.unwrap() >= 512, "{median:?}");
        assert_eq!(of(&[]).quantile(0.5), None);
        assert_eq!(of(&[7]).quantile(0.99), Some(7));
        assert_eq!(place(u64::MAX), LAST);
    }

    #[test]
    fn too_few_give_no_bounds() {
        let few = of(&[10, 20, 30]);
        assert_eq!((few.bounded(0.99).low, few.bounded(0.99).high), (Some(20), None));
        assert_eq!(of(&[5; 100]).bounded(0.99).high, None, "one of a hundred says nothing of the hundredth");
        assert!(of(&[5; 1000]).bounded(0.99).high.is_some());
    }

    proptest! {
        #[test]
        fn merged_is_what_was_counted_together(a in prop::collection::vec(any::<u64>(), 0..50), b in prop::collection::vec(0_u64..100_000, 0..50)) {
            let (mut left, right) = (of(&a), of(&b));
            left.merge(&right);
            let both = of(&[a, b].concat());
            prop_assert_eq!(left.n(), both.n());
            for share in [0.0, 0.5, 0.9, 0.99, 1.0] {
                prop_assert_eq!(left.quantile(share), both.quantile(share));
            }
        }

        #[test]
        fn a_value_is_kept_within_one_part_in_32(value: u64) {
            let kept = lowest(place(value));
            prop_assert!(kept <= value && value - kept <= value / 32);
        }
    }
}
