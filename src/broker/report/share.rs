//! Shares and their differences, as answers have them.

use shortbread_protocol::admin::{ShareBody, Verdict};

use crate::interval::{self, newcombe, wilson};

/// A difference that is known no better than this, from 0 to 1, is not known to be none.
const WIDE: f64 = 0.2;

/// So many of so many, with its bounds. More hits than trials are as many as trials.
#[must_use]
pub fn share(hits: u64, of: u64) -> ShareBody {
    let hits = hits.min(of);
    let (low, high) = wilson(hits, of);
    ShareBody { hits, of, low, high }
}

/// The share itself, from 0 to 1; 0 of nothing.
#[must_use]
pub fn value(share: &ShareBody) -> f64 {
    interval::share(share.hits, share.of)
}

/// By how much a share rose: the difference, and its bounds.
#[must_use]
pub fn difference(before: &ShareBody, now: &ShareBody) -> (f64, f64, f64) {
    newcombe((before.hits, before.of), (now.hits, now.of))
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
