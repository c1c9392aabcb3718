//! Shares and how sure they are: Wilson's interval for one, Newcombe's for the difference of two.

use shortbread_protocol::admin::{ShareBody, Verdict};

/// 95 % on both sides of a normal distribution.
pub(super) const Z: f64 = 1.959_963_984_540_054;
/// A difference that is known no better than this, from 0 to 1, is not known to be none.
const WIDE: f64 = 0.2;

/// So many of so many, with its bounds. More hits than trials are as many as trials.
#[must_use]
pub fn share(hits: u64, of: u64) -> ShareBody {
    let hits = hits.min(of);
    if of == 0 {
        return ShareBody { hits, of, low: 0.0, high: 1.0 };
    }
    let (n, p) = (float(of), float(hits) / float(of));
    let scale = 1.0 + Z * Z / n;
    let middle = (p + Z * Z / (2.0 * n)) / scale;
    let around = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() / scale;
    // What is exact must not be moved by rounding.
    let low = if hits == 0 { 0.0 } else { (middle - around).max(0.0) };
    let high = if hits == of { 1.0 } else { (middle + around).min(1.0) };
    ShareBody { hits, of, low, high }
}

/// The share itself, from 0 to 1; 0 of nothing.
#[must_use]
pub fn value(share: &ShareBody) -> f64 {
    if share.of == 0 { 0.0 } else { float(share.hits) / float(share.of) }
}

/// By how much a share rose: the difference, and its bounds.
#[must_use]
pub fn difference(before: &ShareBody, now: &ShareBody) -> (f64, f64, f64) {
    let (p, q) = (value(now), value(before));
    let low = ((p - now.low).powi(2) + (before.high - q).powi(2)).sqrt();
    let high = ((now.high - p).powi(2) + (q - before.low).powi(2)).sqrt();
    (p - q, p - q - low, p - q + high)
}

/// What follows from the bounds of a difference.
#[must_use]
pub fn verdict(low: f64, high: f64) -> Verdict {
    if low > 0.0 {
        Verdict::Up
    } else if high < 0.0 {
        Verdict::Down
    } else if high - low > WIDE {
        Verdict::Unclear
    } else {
        Verdict::Same
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of entries are far below 2^52")]
const fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_are_those_of_the_books() {
        // Newcombe (1998), tables of methods for one and for two proportions.
        for (hits, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
            (29, 29, 0.8830, 1.0),
        ] {
            let share = share(hits, of);
            assert!((share.low - low).abs() < 1e-4 && (share.high - high).abs() < 1e-4, "{share:?}");
        }
        for (now, before, low, high) in [
            ((56, 70), (48, 80), 0.0524, 0.3339),
            ((9, 10), (3, 10), 0.1705, 0.8090),
            ((5, 56), (0, 29), -0.0381, 0.1926),
        ] {
            let (_, l, h) = difference(&share(before.0, before.1), &share(now.0, now.1));
            assert!((l - low).abs() < 1e-4 && (h - high).abs() < 1e-4, "{l} {h}");
        }
    }

    #[test]
    fn a_verdict_wants_enough() {
        let judge = |before: (u64, u64), now: (u64, u64)| {
            let (_, low, high) = difference(&share(before.0, before.1), &share(now.0, now.1));
            verdict(low, high)
        };
        assert_eq!(judge((1, 100), (30, 100)), Verdict::Up);
        assert_eq!(judge((30, 100), (1, 100)), Verdict::Down);
        assert_eq!(judge((50, 1000), (52, 1000)), Verdict::Same);
        assert_eq!(judge((0, 3), (1, 3)), Verdict::Unclear);
        assert_eq!(judge((0, 0), (5, 5)), Verdict::Unclear, "nothing before is no zero");
    }

    proptest! {
        #[test]
        fn the_share_lies_within_its_bounds(of in 1_u64..100_000, part in 0.0..=1.0_f64) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a test")]
            let share = share((of as f64 * part) as u64, of);
            let p = value(&share);
            prop_assert!(0.0 <= share.low && share.low <= p && p <= share.high && share.high <= 1.0);
        }
    }
}
