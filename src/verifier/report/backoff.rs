//! How long to wait after failures, so that a thousand instances neither come at once nor give up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::random::Random;

const LONGEST: Duration = Duration::from_secs(30);
/// The longest that a broker can tell an instance to stay away.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Backoff {
    shortest: Duration,
    failures: u32,
    random: Arc<dyn Random>,
}

impl Backoff {
    pub(super) const fn new(shortest: Duration, random: Arc<dyn Random>) -> Self {
        Self { shortest, failures: 0, random }
    }

    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// After one more failure: twice as long each time, 30 s at most, of that between half and all; and not before the
    /// broker said to come back.
    pub(super) fn failed(&mut self, wanted: Option<Duration>) -> Duration {
        let doubled = self.shortest.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let delay = doubled.mul_f64(0.5 + fraction(&*self.random) / 2.0);
        delay.max(wanted.unwrap_or_default().min(PATIENCE))
    }
}

/// Between 0 and 1. Without randomness instances are less spread, which is no reason not to report.
pub(super) fn fraction(random: &dyn Random) -> f64 {
    let mut bytes = [0; 4];
    match random.fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff").field("failures", &self.failures).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::random::SeededRandom;

    #[test]
    fn failures_make_it_slower_up_to_a_limit_and_success_ends_that() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Arc::new(SeededRandom::new(1)));
        for (low, high) in
            [(0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0), (15.0, 30.0), (15.0, 30.0)]
        {
            let delay = backoff.failed(None).as_secs_f64();
            assert!((low..=high).contains(&delay), "{delay} is not between {low} and {high}");
        }
        backoff.succeeded();
        assert!(backoff.failed(None) <= Duration::from_secs(1));
        assert_eq!(backoff.failed(Some(Duration::from_secs(10))), Duration::from_secs(10));
        assert_eq!(backoff.failed(Some(Duration::from_secs(100_000))), PATIENCE);
    }
}
