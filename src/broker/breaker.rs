//! A circuit breaker whose state is seen: closed, open after failures in a row, half-open for one trial.
//!
//! The crate `recloser` decides. It shows nobody its state, so this keeps a record of it: by asking it whether a call would
//! be let through, which changes nothing.

use std::fmt;
use std::future::{Future, pending, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use metrics::{counter, gauge};
use recloser::{AsyncRecloser, Error, Recloser};
use shortbread_protocol::clock::{Clock, Timestamp};

use crate::config::Breakers;

/// What kind of source a breaker stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerKind {
    /// The keys of an issuer or of a trust domain.
    Issuer,
    /// A webhook.
    Webhook,
}

impl BreakerKind {
    /// As metrics and the audit log have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Webhook => "webhook",
        }
    }

    /// As a reader has it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Issuer => "identity issuer",
            Self::Webhook => "webhook",
        }
    }
}

/// The state of a breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// The source is asked.
    #[default]
    Closed,
    /// One trial decides.
    HalfOpen,
    /// The source is not asked.
    Open,
}

impl BreakerState {
    /// As metrics and the log have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }

    const fn number(self) -> f64 {
        match self {
            Self::Closed => 0.0,
            Self::HalfOpen => 1.0,
            Self::Open => 2.0,
        }
    }
}

/// A breaker changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// What kind of source.
    pub kind: BreakerKind,
    /// Which: the issuer, or the webhook's host.
    pub source: String,
    /// From this state.
    pub from: BreakerState,
    /// To this one.
    pub to: BreakerState,
    /// Where it opened: after how long the source is tried again.
    pub retry_after: Duration,
}

/// Who is told when a breaker changes its state. It must be quick and must not wait.
pub type Watcher = Arc<dyn Fn(&Moved) + Send + Sync>;

/// A breaker as it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What kind of source.
    pub kind: BreakerKind,
    /// Which: the issuer, or the webhook's host.
    pub source: String,
    /// Its state as of the last call.
    pub state: BreakerState,
    /// Since when it is in that state; `None`: it never left it.
    pub since: Option<Timestamp>,
    /// Where it is open: how long the source is still left alone. Zero: the next call tries it.
    pub left: Option<Duration>,
}

/// Makes breakers: when they open, and who is told. It knows those that are still there.
#[derive(Clone)]
pub struct Maker {
    settings: Breakers,
    clock: Arc<dyn Clock>,
    watcher: Watcher,
    made: Arc<Mutex<Vec<Weak<Record>>>>,
}

impl Maker {
    /// With these settings and this watcher.
    #[must_use]
    pub fn new(settings: Breakers, clock: Arc<dyn Clock>, watcher: Watcher) -> Self {
        Self { settings, clock, watcher, made: Arc::default() }
    }

    /// With the settings that hold where nobody says otherwise, and no watcher.
    #[must_use]
    pub fn unwatched(clock: Arc<dyn Clock>) -> Self {
        Self::new(Breakers::default(), clock, Arc::new(|_| {}))
    }

    /// A closed breaker before this source.
    #[must_use]
    pub fn make(&self, kind: BreakerKind, source: &str) -> Breaker {
        let (clock, watcher) = (Arc::clone(&self.clock), Arc::clone(&self.watcher));
        let breaker = Breaker::new(kind, source, self.settings, clock, watcher);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|record| record.strong_count() > 0);
        made.push(Arc::downgrade(&breaker.record));
        breaker
    }

    /// Every breaker that is still there, by kind and source.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let records: Vec<Arc<Record>> = made.iter().filter_map(Weak::upgrade).collect();
        drop(made);
        let now = self.clock.monotonic();
        let mut shown: Vec<Shown> = records.iter().map(|record| record.shown(now)).collect();
        shown.sort_by(|one, other| {
            (one.kind.as_str(), &one.source).cmp(&(other.kind.as_str(), &other.source))
        });
        shown
    }
}

/// Why a call brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken<E> {
    /// The breaker is open: the source was not asked; it may be tried after this long, whole seconds and at least one.
    Open(Duration),
    /// The source was asked and failed.
    Failed(E),
}

/// A breaker before one source. Calls of one source come one after the other.
pub struct Breaker {
    ring: usize,
    recloser: AsyncRecloser,
    clock: Arc<dyn Clock>,
    watcher: Watcher,
    record: Arc<Record>,
}

/// What is seen of a breaker.
struct Record {
    kind: BreakerKind,
    source: String,
    wait: Duration,
    seen: Mutex<Seen>,
}

impl Record {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self, now: Duration) -> Shown {
        let seen = self.seen();
        let open = seen.state == BreakerState::Open;
        let left = open.then(|| (seen.opened + self.wait).saturating_sub(now));
        Shown { kind: self.kind, source: self.source.clone(), state: seen.state, since: seen.since, left }
    }
}

#[derive(Default)]
struct Seen {
    state: BreakerState,
    /// When it last opened, by the clock that never jumps.
    opened: Duration,
    /// When it came into its state.
    since: Option<Timestamp>,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { kind, source, .. } = &*self.record;
        write!(f, "Breaker({} {source}: {})", kind.as_str(), self.state().as_str())
    }
}

impl Breaker {
    /// A closed one.
    fn new(
        kind: BreakerKind,
        source: &str,
        settings: Breakers,
        clock: Arc<dyn Clock>,
        watcher: Watcher,
    ) -> Self {
        let wait = Duration::from_millis(settings.open_ms);
        let ring = usize::try_from(settings.failures).unwrap_or(usize::MAX).max(1);
        let recloser = Recloser::custom()
            .error_rate_closed(1.0)
            .closed_len(ring)
            .error_rate_half_open(0.5)
            .half_open_len(1)
            .open_wait(wait)
            .build();
        let record = Arc::new(Record { kind, source: source.to_owned(), wait, seen: Mutex::default() });
        let breaker = Self { ring, recloser: recloser.into(), clock, watcher, record };
        breaker.fill();
        breaker.show(BreakerState::Closed);
        breaker
    }

    /// Its state as of the last call.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.seen().state
    }

    /// How long the source is still left alone: whole seconds, at least one. None when it may be asked now.
    #[must_use]
    pub fn refuses(&self) -> Option<Duration> {
        if self.lets_through() {
            if self.state() == BreakerState::Open {
                self.moved(BreakerState::HalfOpen);
            }
            return None;
        }
        let over = self.seen().opened + self.record.wait;
        let left = over.saturating_sub(self.clock.monotonic()).as_millis().div_ceil(1000);
        Some(Duration::from_secs(u64::try_from(left).unwrap_or(u64::MAX).max(1)))
    }

    /// Asks the source, unless the breaker is open.
    ///
    /// # Errors
    /// When it is open, or the source failed.
    pub async fn call<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Broken<E>> {
        if let Some(wait) = self.refuses() {
            return Err(Broken::Open(wait));
        }
        let outcome = self.recloser.call(work).await;
        if let Err(Error::Rejected) = outcome {
            // Another call opened it in between.
            return Err(Broken::Open(self.refuses().unwrap_or(Duration::from_secs(1))));
        }
        self.settle(outcome.is_ok());
        outcome.map_err(|error| match error {
            Error::Inner(error) => Broken::Failed(error),
            Error::Rejected => Broken::Open(self.record.wait),
        })
    }

    fn settle(&self, good: bool) {
        let state = self.state();
        if state == BreakerState::HalfOpen {
            // A ring of one decides on its second result, and here one trial decides: it counts twice.
            self.record(good);
        }
        match (self.lets_through(), state) {
            (false, BreakerState::Closed | BreakerState::HalfOpen) => self.moved(BreakerState::Open),
            (true, BreakerState::HalfOpen | BreakerState::Open) if good => {
                self.fill();
                self.moved(BreakerState::Closed);
            }
            _ => {}
        }
    }

    // A ring decides once it is full: full of successes, it opens after exactly as many failures in a row as it is long.
    fn fill(&self) {
        (0..self.ring).for_each(|_| self.record(true));
    }

    fn record(&self, good: bool) {
        let result = ready(if good { Ok(()) } else { Err(()) });
        let _ = self.recloser.call(result).now_or_never();
    }

    // A call that never ends is let through or not, and leaves no result.
    fn lets_through(&self) -> bool {
        self.recloser.call(pending::<Result<(), ()>>()).now_or_never().is_none()
    }

    fn moved(&self, to: BreakerState) {
        let mut seen = self.seen();
        let from = std::mem::replace(&mut seen.state, to);
        if to == BreakerState::Open {
            seen.opened = self.clock.monotonic();
        }
        if from != to {
            seen.since = Some(self.clock.now());
        }
        drop(seen);
        if from == to {
            return;
        }
        self.show(to);
        let (kind, source, retry_after) = (self.record.kind, self.record.source.clone(), self.record.wait);
        counter!(
            "shortbread_breaker_transitions_total",
            "kind" => kind.as_str(), "source" => source.clone(), "to" => to.as_str()
        )
        .increment(1);
        (self.watcher)(&Moved { kind, source, from, to, retry_after });
    }

    fn show(&self, state: BreakerState) {
        let Record { kind, source, .. } = &*self.record;
        gauge!("shortbread_breaker_state", "kind" => kind.as_str(), "source" => source.clone())
            .set(state.number());
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.record.seen()
    }
}

/// A source that nobody asks any more fails no more.
impl Drop for Breaker {
    fn drop(&mut self) {
        if self.state() != BreakerState::Closed {
            self.show(BreakerState::Closed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::clock::{ManualClock, Timestamp};

    const WAIT: Duration = Duration::from_millis(30);

    struct Bench {
        breaker: Breaker,
        clock: Arc<ManualClock>,
        moves: Arc<Mutex<Vec<(BreakerState, BreakerState)>>>,
    }

    fn bench(failures: u32) -> Bench {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1)));
        let moves: Arc<Mutex<Vec<_>>> = Arc::default();
        let seen = Arc::clone(&moves);
        let watcher: Watcher =
            Arc::new(move |moved: &Moved| seen.lock().unwrap().push((moved.from, moved.to)));
        let settings = Breakers { failures, open_ms: 30 };
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let breaker = Breaker::new(BreakerKind::Issuer, "https://issuer.example", settings, shared, watcher);
        Bench { breaker, clock, moves }
    }

    impl Bench {
        async fn fail(&self) -> Broken<()> {
            self.breaker.call(async { Err::<(), ()>(()) }).await.unwrap_err()
        }

        async fn succeed(&self) -> Result<(), Broken<()>> {
            self.breaker.call(async { Ok(()) }).await
        }

        async fn wait(&self) {
            tokio::time::sleep(WAIT + Duration::from_millis(5)).await;
            self.clock.advance(WAIT);
        }
    }

    #[tokio::test]
    async fn it_opens_after_failures_in_a_row_and_not_before() {
        for failures in 2..6 {
            let bench = bench(failures);
            for _ in 1..failures {
                assert_eq!(bench.fail().await, Broken::Failed(()));
            }
            assert!(bench.succeed().await.is_ok(), "a success in between");
            for _ in 1..failures {
                assert_eq!(bench.fail().await, Broken::Failed(()));
                assert_eq!(bench.breaker.state(), BreakerState::Closed);
            }
            assert_eq!(bench.fail().await, Broken::Failed(()));
            assert_eq!(bench.breaker.state(), BreakerState::Open);
            let asked = std::cell::Cell::new(false);
            let refused: Result<(), Broken<()>> = bench
                .breaker
                .call(async {
                    asked.set(true);
                    Ok(())
                })
                .await;
            assert_eq!(refused, Err(Broken::Open(Duration::from_secs(1))));
            assert!(!asked.get(), "an open breaker leaves the source alone");
        }
    }

    #[tokio::test]
    async fn one_trial_decides() {
        use BreakerState::{Closed, HalfOpen, Open};
        let bench = bench(2);
        bench.fail().await;
        bench.fail().await;
        bench.wait().await;
        assert_eq!(bench.fail().await, Broken::Failed(()), "the trial");
        assert!(matches!(bench.fail().await, Broken::Open(_)), "and it is open again");
        bench.wait().await;
        assert!(bench.succeed().await.is_ok());
        assert_eq!(bench.breaker.state(), Closed);
        bench.fail().await;
        assert_eq!(bench.breaker.state(), Closed, "it starts anew");
        let moves =
            [(Closed, Open), (Open, HalfOpen), (HalfOpen, Open), (Open, HalfOpen), (HalfOpen, Closed)];
        assert_eq!(*bench.moves.lock().unwrap(), moves);
    }

    #[tokio::test]
    async fn whoever_makes_them_shows_those_that_are_still_there() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(50)));
        let settings = Breakers { failures: 2, open_ms: 9000 };
        let maker = Maker::new(settings, Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(|_| {}));
        let hook = maker.make(BreakerKind::Webhook, "hook.example");
        let issuer = maker.make(BreakerKind::Issuer, "https://issuer.example");
        for _ in 0..2 {
            let _ = issuer.call(async { Err::<(), ()>(()) }).await;
        }
        clock.advance(Duration::from_secs(4));
        let shown = maker.shown();
        let sources: Vec<&str> = shown.iter().map(|shown| shown.source.as_str()).collect();
        assert_eq!(sources, ["https://issuer.example", "hook.example"]);
        assert_eq!((shown[0].state, shown[1].state), (BreakerState::Open, BreakerState::Closed));
        assert_eq!((shown[0].since, shown[1].since), (Some(Timestamp::from_seconds(50)), None));
        assert_eq!((shown[0].left, shown[1].left), (Some(Duration::from_secs(5)), None));
        drop(issuer);
        assert_eq!(maker.shown().len(), 1);
        drop(hook);
    }

    #[tokio::test]
    async fn a_trial_that_breaks_off_leaves_the_next_one() {
        let bench = bench(2);
        bench.fail().await;
        bench.fail().await;
        bench.wait().await;
        assert!(bench.breaker.call(pending::<Result<(), ()>>()).now_or_never().is_none());
        assert_eq!(bench.breaker.state(), BreakerState::HalfOpen);
        assert!(bench.succeed().await.is_ok());
        assert_eq!(bench.breaker.state(), BreakerState::Closed);
    }
}
