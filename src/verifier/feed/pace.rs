//! How long to wait between polls, so that a thousand verifiers neither come at once nor give up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::random::Random;

const LONGEST: Duration = Duration::from_secs(30);

pub(super) struct Pace {
    interval: Duration,
    failures: u32,
    random: Arc<dyn Random>,
}

impl Pace {
    pub(super) fn new(interval: Duration, random: Arc<dyn Random>) -> Self {
        Self { interval, failures: 0, random }
    }

    /// One success ends all waiting.
    pub(super) fn note(&mut self, success: bool) {
        self.failures = if success { 0 } else { self.failures.saturating_add(1) };
    }

    /// The interval give or take a quarter; after errors twice as long for each, 30 s at most, and then anything
    /// between half of it and all of it.
    pub(super) fn delay(&self) -> Duration {
        if self.failures == 0 {
            return self.interval.mul_f64(0.75 + self.fraction() / 2.0);
        }
        let longest = LONGEST.max(self.interval);
        let doubled = self.interval.saturating_mul(2_u32.saturating_pow(self.failures)).min(longest);
        doubled.mul_f64(0.5 + self.fraction() / 2.0)
    }

    /// Between 0 and 1. Without randomness polls are less spread, which is no reason not to poll.
    fn fraction(&self) -> f64 {
        let mut bytes = [0; 4];
        match self.random.fill(&mut bytes) {
            Ok(()) => f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX),
            Err(_) => 0.5,
        }
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace")
            .field("interval", &self.interval)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::random::SeededRandom;

    #[test]
    fn errors_make_it_slower_up_to_a_limit_and_success_ends_that() {
        let mut pace = Pace::new(Duration::from_secs(2), Arc::new(SeededRandom::new(1)));
        let within = |pace: &Pace, low: f64, high: f64| {
            for _ in 0..20 {
                let delay = pace.delay().as_secs_f64();
                assert!((low..=high).contains(&delay), "{delay} is not between {low} and {high}");
            }
        };
        within(&pace, 1.5, 2.5);
        for (low, high) in [(2.0, 4.0), (4.0, 8.0), (8.0, 16.0), (15.0, 30.0), (15.0, 30.0)] {
            pace.note(false);
            within(&pace, low, high);
        }
        (0..100).for_each(|_| pace.note(false));
        within(&pace, 15.0, 30.0);
        pace.note(true);
        within(&pace, 1.5, 2.5);
        assert_ne!(pace.delay(), pace.delay());
    }
}
