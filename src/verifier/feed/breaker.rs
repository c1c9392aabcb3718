//! A circuit breaker for each source. The library has no state to look at, so what it does is observed here.

use std::fmt;
use std::future::{pending, ready};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use recloser::{AsyncRecloser, Error, Recloser};

use super::config::BreakerConfig;

/// What a circuit breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything: the source answers.
    Closed,
    /// One request at a time, to see whether the source answers again.
    HalfOpen,
    /// Nothing, until the cool-down is over.
    Open,
}

impl BreakerState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    /// The word for it, in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

pub(super) struct Breaker {
    recloser: AsyncRecloser,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    state: BreakerState,
    /// Outcomes since it is half-open.
    trials: u32,
}

// The library looks at an outcome only once its ring is full: with a ring of one, the second trial decides.
const TRIALS: u32 = 2;
const MOST: u32 = 1000;

impl Breaker {
    #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
    pub(super) fn new(config: &BreakerConfig) -> Self {
        let of = config.of.clamp(1, MOST);
        let failures = config.failures.clamp(1, of);
        let recloser = Recloser::custom()
            .closed_len(of as usize)
            .half_open_len(1)
            .error_rate_closed(failures as f32 / of as f32)
            .error_rate_half_open(0.5)
            .open_wait(config.cool_down)
            .build();
        let breaker = Self {
            recloser: recloser.into(),
            seen: Mutex::new(Seen { state: BreakerState::Closed, trials: 0 }),
        };
        // A good record to begin with: an empty ring would let `of` failures pass first.
        for _ in 0..of {
            breaker.note(true);
        }
        breaker
    }

    pub(super) fn state(&self) -> BreakerState {
        self.seen().state
    }

    /// Whether the source may be asked now.
    pub(super) fn permits(&self) -> bool {
        let mut seen = self.seen();
        let permitted = self.is_permitted();
        if permitted && seen.state == BreakerState::Open {
            *seen = Seen { state: BreakerState::HalfOpen, trials: 0 };
        }
        permitted
    }

    /// Takes in how a request ended, and tells the states before and after.
    pub(super) fn note(&self, good: bool) -> (BreakerState, BreakerState) {
        let mut seen = self.seen();
        let before = seen.state;
        let outcome = if good { Ok(()) } else { Err(()) };
        let taken = !matches!(once(self.recloser.call(ready(outcome))), Poll::Ready(Err(Error::Rejected)));
        if !self.is_permitted() {
            seen.state = BreakerState::Open;
        } else if taken && before != BreakerState::Closed {
            let trials = if before == BreakerState::Open { 1 } else { seen.trials + 1 };
            let state = if trials < TRIALS { BreakerState::HalfOpen } else { BreakerState::Closed };
            *seen = Seen { state, trials };
        }
        (before, seen.state)
    }

    // A call that never ends has no outcome: that it begins is all that is asked.
    fn is_permitted(&self) -> bool {
        once(self.recloser.call(pending::<Result<(), ()>>())).is_pending()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("state", &self.state()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::BreakerState::{Closed, HalfOpen, Open};
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(&BreakerConfig { failures: 2, of: 4, cool_down: Duration::from_millis(20) })
    }

    fn cool_down() {
        std::thread::sleep(Duration::from_millis(30));
    }

    #[test]
    fn it_opens_with_the_failures_that_it_was_told_and_no_earlier() {
        let breaker = breaker();
        assert_eq!(breaker.note(false), (Closed, Closed));
        for _ in 0..4 {
            assert_eq!(breaker.note(true), (Closed, Closed));
        }
        assert_eq!(breaker.note(false), (Closed, Closed));
        assert!(breaker.permits());
        assert_eq!(breaker.note(false), (Closed, Open));
        assert!(!breaker.permits());
        assert_eq!(breaker.state(), Open);
    }

    #[test]
    fn after_its_cool_down_the_second_trial_decides() {
        for (second, end) in [(true, Closed), (false, Open)] {
            let breaker = breaker();
            breaker.note(false);
            breaker.note(false);
            cool_down();
            assert_eq!(breaker.state(), Open, "nothing was asked yet");
            assert!(breaker.permits());
            assert_eq!(breaker.state(), HalfOpen);
            assert_eq!(breaker.note(true), (HalfOpen, HalfOpen));
            assert_eq!(breaker.note(second), (HalfOpen, end));
            assert_eq!(breaker.permits(), second);
        }
    }

    #[test]
    fn strange_thresholds_are_brought_into_range() {
        for (failures, of) in [(0, 0), (9, 3), (1, u32::MAX)] {
            let breaker = Breaker::new(&BreakerConfig { failures, of, cool_down: Duration::from_secs(1) });
            for _ in 0..MOST {
                breaker.note(false);
            }
            assert_eq!(breaker.state(), Open, "{failures} of {of}");
        }
    }
}
