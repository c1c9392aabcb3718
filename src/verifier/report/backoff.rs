//! How long to wait after failures, so that a thousand instances neither come at once nor give up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::random::Random;

use crate::pace;

/// The longest that a broker can tell an instance to stay away.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Backoff {
    waits: pace::Backoff,
    random: Arc<dyn Random>,
}

impl Backoff {
    pub(super) const fn new(first: Duration, random: Arc<dyn Random>) -> Self {
        Self { waits: pace::Backoff::new(first), random }
    }

    pub(super) const fn succeeded(&mut self) {
        self.waits.reset();
    }

    /// After one more failure; and not before the broker said to come back.
    pub(super) fn failed(&mut self, wanted: Option<Duration>) -> Duration {
        self.waits.next(&*self.random).max(wanted.unwrap_or_default().min(PATIENCE))
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff").field("waits", &self.waits).finish_non_exhaustive()
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
