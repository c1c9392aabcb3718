//! How sure a share is.

/// The Wilson score interval of 95 % for a share of `hits` in `all`: (0, 1) for nothing at all.
/// (E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.)
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn wilson(hits: u64, all: u64) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (all as f64, hits.min(all) as f64 / all as f64);
    let z2 = Z * Z;
    let middle = p + z2 / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z2 / n;
    (((middle - spread) / whole).max(0.0), ((middle + spread) / whole).min(1.0))
}

#[cfg(test)]
mod tests {
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
}
