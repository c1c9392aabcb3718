//! How sure a share is, and the difference of two: Wilson's interval (E. B. Wilson, Probable Inference, the Law of Succession,
//! and Statistical Inference, 1927), and Newcombe's (R. G. Newcombe, Interval Estimation for the Difference Between Independent
//! Proportions, 1998, method 10).

/// 95 % on both sides of a normal distribution.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// The share of `hits` in `all`; 0 of nothing. More hits than trials are as many as trials.
#[must_use]
pub(crate) fn share(hits: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { float(hits.min(all)) / float(all) }
}

/// The bounds of a share of `hits` in `all`: (0, 1) for nothing at all.
#[must_use]
pub(crate) fn wilson(hits: u64, all: u64) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (float(all), share(hits, all));
    let z2 = Z * Z;
    let middle = p + z2 / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z2 / n;
    // What is exact must not be moved by rounding.
    let low = if hits == 0 { 0.0 } else { ((middle - spread) / whole).max(0.0) };
    let high = if hits >= all { 1.0 } else { ((middle + spread) / whole).min(1.0) };
    (low, high)
}

/// By how much a share rose, from `before` to `now`, each as hits and all: the difference, and its bounds.
#[must_use]
pub(crate) fn newcombe(before: (u64, u64), now: (u64, u64)) -> (f64, f64, f64) {
    let (p, q) = (share(now.0, now.1), share(before.0, before.1));
    let ((now_low, now_high), (before_low, before_high)) = (wilson(now.0, now.1), wilson(before.0, before.1));
    let low = (p - now_low).hypot(before_high - q);
    let high = (now_high - p).hypot(q - before_low);
    (p - q, p - q - low, p - q + high)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) const fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_bounds() {
        for (hits, all, low, high) in
            [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (50, 1000, 0.0381, 0.0653)]
        {
            let (lowest, highest) = wilson(hits, all);
            assert!(
                (lowest - low).abs() < 1e-3 && (highest - high).abs() < 1e-3,
                "{hits}/{all}: {lowest} {highest}"
            );
        }
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn bounds_are_those_of_the_books() {
        // Newcombe (1998), tables of methods for one and for two proportions.
        for (hits, all, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
            (29, 29, 0.8830, 1.0),
        ] {
            let (l, h) = wilson(hits, all);
            assert!((l - low).abs() < 1e-4 && (h - high).abs() < 1e-4, "{hits}/{all}: {l} {h}");
        }
        for (now, before, low, high) in [
            ((56, 70), (48, 80), 0.0524, 0.3339),
            ((9, 10), (3, 10), 0.1705, 0.8090),
            ((5, 56), (0, 29), -0.0381, 0.1926),
        ] {
            let (_, l, h) = newcombe(before, now);
            assert!((l - low).abs() < 1e-4 && (h - high).abs() < 1e-4, "{l} {h}");
        }
    }

    proptest! {
        #[test]
        fn the_share_lies_within_its_bounds(all in 1_u64..100_000, part in 0.0..=1.0_f64) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test")]
            let hits = (float(all) * part) as u64;
            let ((low, high), p) = (wilson(hits, all), share(hits, all));
            prop_assert!(0.0 <= low && low <= p && p <= high && high <= 1.0);
        }
    }
}
