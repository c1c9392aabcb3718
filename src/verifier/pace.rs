//! How long to wait, so that a thousand verifiers neither come at once nor give up.

use std::time::Duration;

use shortbread_protocol::random::Random;

/// The longest wait after failures.
const LONGEST: Duration = Duration::from_secs(30);

/// Between 0 and 1. Without randomness waits are less spread, which is no reason not to go on.
fn fraction(random: &dyn Random) -> f64 {
    let mut bytes = [0; 4];
    match random.fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

/// A span anywhere between these shares of it.
pub(crate) fn spread(span: Duration, low: f64, high: f64, random: &dyn Random) -> Duration {
    span.mul_f64(low + (high - low) * fraction(random))
}

/// The waits after failures: the first, then twice as long each time, 30 s at most, and of that anything between half and
/// all.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration) -> Self {
        Self { first, failures: 0 }
    }

    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn next(&mut self, random: &dyn Random) -> Duration {
        let longest = self.first.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        spread(longest, 0.5, 1.0, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::random::SeededRandom;

    #[test]
    fn errors_make_it_slower_up_to_a_limit_and_success_ends_that() {
        let (mut backoff, random) = (Backoff::new(Duration::from_millis(250)), SeededRandom::new(1));
        let within = |backoff: &mut Backoff, low: u64, high: u64| {
            let wait = backoff.next(&random);
            let span = Duration::from_millis(low)..=Duration::from_millis(high);
            assert!(span.contains(&wait), "{wait:?} is not in {span:?}");
        };
        for (low, high) in [(125, 250), (250, 500), (500, 1000), (1000, 2000), (2000, 4000)] {
            within(&mut backoff, low, high);
        }
        for _ in 0..100 {
            backoff.next(&random);
        }
        within(&mut backoff, 15_000, 30_000);
        backoff.reset();
        within(&mut backoff, 125, 250);
    }

    #[test]
    fn waits_are_spread() {
        let random = SeededRandom::new(1);
        let waits: Vec<_> = (0..100).map(|_| spread(Duration::from_secs(2), 0.75, 1.25, &random)).collect();
        assert!(waits.iter().all(|wait| (1.5..=2.5).contains(&wait.as_secs_f64())), "{waits:?}");
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(most.saturating_sub(*least) > Duration::from_millis(800), "{least:?} {most:?}");
    }
}
