//! One issuer's or trust domain's key set through time. Attempts to fetch are counted, not successes; a bad answer never
//! evicts good keys; an old set is refreshed behind the back of requests and refused after a day.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shortbread_protocol::clock::Clock;
use tokio::sync::{Semaphore, watch};

use super::error::{Cause, Degraded, IdentityError};
use super::fetch::Fetch;
use super::jwks::{KeySet, Pick};
use super::key::{Algorithm, Key};
use super::origin::{Origin, Usage};
use super::source::{self, LoadError, Loaded};
use crate::breaker::{Breaker, BreakerState, Broken};
use crate::policy::model::KeySource;

/// How long after an attempt, whatever came of it, the next one may start.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// How long a `kid` that a fresh set lacked is refused without a fetch.
const MISSING_FOR: Duration = Duration::from_secs(60);
const MAX_MISSING: usize = 256;
/// Bounds and default of the age at which a set is refreshed.
const FRESH_MIN: Duration = Duration::from_secs(60);
const FRESH_DEFAULT: Duration = Duration::from_secs(5 * 60);
const FRESH_MAX: Duration = Duration::from_secs(60 * 60);
/// How many requests may wait for one issuer's keys: a slow issuer must not hold up everyone else.
const MAX_WAITING: usize = 64;
/// When those who find no place to wait may ask again.
const TURN_AWAY: Duration = Duration::from_secs(1);
/// The age at which a set is used no more.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// One issuer or trust domain, one source of its keys. Times are those of the clock that never jumps.
pub(super) struct Issuer {
    name: String,
    usage: Usage,
    source: KeySource,
    allow_private: bool,
    clock: Arc<dyn Clock>,
    fetch: Arc<dyn Fetch>,
    breaker: Breaker,
    state: Mutex<State>,
    places: Semaphore,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    attempted: Option<Duration>,
    /// Whether the last attempt brought a sound set.
    succeeded: bool,
    /// Open while a fetch runs; the task holds the other end.
    flight: Option<watch::Receiver<()>>,
    missing: HashMap<String, Duration>,
}

struct Kept {
    keys: KeySet,
    since: Duration,
    fresh_for: Duration,
}

/// How an issuer's keys stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerStanding {
    /// The issuer or trust domain.
    pub issuer: String,
    /// How old the keys are that are at hand; `None`: there are none.
    pub age: Option<Duration>,
    /// How long they are still used where no others come.
    pub left: Option<Duration>,
    /// Whether others were due and cannot be fetched.
    pub failing: bool,
}

/// A key, and on what less than usual it rests.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) key: Arc<Key>,
    pub(super) degraded: Option<Degraded>,
}

enum Look {
    Found(Found),
    Refused(IdentityError),
    Wait(watch::Receiver<()>),
}

impl Issuer {
    pub(super) fn new(
        origin: &Origin<'_>,
        clock: Arc<dyn Clock>,
        fetch: Arc<dyn Fetch>,
        breaker: Breaker,
    ) -> Self {
        Self {
            name: origin.name.as_str().to_owned(),
            usage: origin.name.usage(),
            source: origin.keys.clone(),
            allow_private: origin.allow_private,
            clock,
            fetch,
            breaker,
            state: Mutex::default(),
            places: Semaphore::new(MAX_WAITING),
        }
    }

    pub(super) fn serves(&self, origin: &Origin<'_>) -> bool {
        self.name == origin.name.as_str()
            && self.usage == origin.name.usage()
            && self.source == *origin.keys
            && self.allow_private == origin.allow_private
    }

    /// How old its keys are, and whether they are used though they were due for others; nothing for pinned keys.
    pub(super) fn standing(&self) -> Option<IssuerStanding> {
        if self.pinned() {
            return None;
        }
        let (now, state) = (self.clock.monotonic(), self.state());
        let age = state.kept.as_ref().map(|kept| now.saturating_sub(kept.since));
        let due = state.kept.as_ref().is_none_or(|kept| age.unwrap_or_default() >= kept.fresh_for);
        drop(state);
        let failing = due && self.breaker.state() != BreakerState::Closed;
        let left = age.map(|age| STALE.saturating_sub(age));
        Some(IssuerStanding { issuer: self.name.clone(), age, left, failing })
    }

    /// The key that a header selects.
    pub(super) async fn key(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Found, IdentityError> {
        let mut flight = match self.look(kid, algorithm, false) {
            Look::Found(found) => return Ok(found),
            Look::Refused(error) => return Err(error),
            Look::Wait(flight) => flight,
        };
        let Ok(_place) = self.places.try_acquire() else {
            return Err(IdentityError::Unavailable { retry_after: TURN_AWAY });
        };
        // Nothing is ever sent: the wait ends when the task drops its end, even if it died.
        let _ = flight.changed().await;
        match self.look(kid, algorithm, true) {
            Look::Found(found) => Ok(found),
            Look::Refused(error) => Err(error),
            Look::Wait(_) => Err(IdentityError::Unavailable { retry_after: COOL_DOWN }),
        }
    }

    fn look(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm, waited: bool) -> Look {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let Some((pick, refresh)) = state.pick(now, kid, algorithm, self.pinned()) else {
            return self.wait(&mut state, now);
        };
        if refresh && state.flight().is_none() && state.cooled(now) && self.breaker.refuses().is_none() {
            self.start(&mut state, now);
        }
        match (pick, kid) {
            (Pick::Key(key), _) => {
                let failing = refresh && self.breaker.state() != BreakerState::Closed;
                Look::Found(Found { key, degraded: failing.then_some(Degraded::OldKeys) })
            }
            (Pick::OtherAlgorithm, _) => Look::Refused(Cause::OtherAlgorithm.into()),
            (Pick::Unclear, _) | (Pick::Absent, None) => Look::Refused(Cause::UnclearKey.into()),
            (Pick::Absent, Some(kid)) => self.absent(&mut state, now, kid, waited),
        }
    }

    /// A `kid` that our set lacks: perhaps the issuer has a newer set.
    fn absent(self: &Arc<Self>, state: &mut State, now: Duration, kid: &str, waited: bool) -> Look {
        if self.pinned() || state.missing.get(kid).is_some_and(|until| now < *until) {
            return Look::Refused(Cause::UnknownKey.into());
        }
        if state.succeeded && state.flight().is_none() && !state.cooled(now) {
            // Only a fetch made for this `kid` proves it missing; a stranger's fetch just before does not.
            if waited {
                state.remember(kid, now);
            }
            return Look::Refused(Cause::UnknownKey.into());
        }
        self.wait(state, now)
    }

    /// Joins the running fetch, or starts one, or says when the next may start.
    fn wait(self: &Arc<Self>, state: &mut State, now: Duration) -> Look {
        if let Some(flight) = state.flight() {
            return Look::Wait(flight);
        }
        if let Some(left) = self.breaker.refuses() {
            let retry_after = if state.cooled(now) { left } else { left.max(state.remaining(now)) };
            return Look::Refused(IdentityError::Down { retry_after });
        }
        if state.cooled(now) {
            return Look::Wait(self.start(state, now));
        }
        Look::Refused(IdentityError::Unavailable { retry_after: state.remaining(now) })
    }

    // A task of its own: a caller who hangs up neither stops the fetch nor holds up those who wait for it.
    fn start(self: &Arc<Self>, state: &mut State, now: Duration) -> watch::Receiver<()> {
        let (done, flight) = watch::channel(());
        state.attempted = Some(now);
        state.succeeded = false;
        state.flight = Some(flight.clone());
        let issuer = Arc::clone(self);
        tokio::spawn(async move {
            let load = source::load(
                &*issuer.fetch,
                &issuer.name,
                &issuer.source,
                issuer.usage,
                issuer.allow_private,
            );
            match issuer.breaker.call(load).await {
                Ok(loaded) => issuer.settle(Ok(loaded), now),
                Err(Broken::Failed(error)) => issuer.settle(Err(error), now),
                Err(Broken::Open(_)) => {}
            }
            drop(done);
        });
        flight
    }

    fn settle(&self, loaded: Result<Loaded, LoadError>, since: Duration) {
        match loaded {
            Ok(Loaded { keys, max_age }) => {
                let fresh_for = max_age.unwrap_or(FRESH_DEFAULT).clamp(FRESH_MIN, FRESH_MAX);
                let mut state = self.state();
                state.kept = Some(Kept { keys, since, fresh_for });
                state.succeeded = true;
            }
            Err(error) => tracing::warn!(
                identity.issuer = %self.name,
                identity.cause = %error,
                "the keys of an issuer could not be fetched; earlier keys stay in use for a day"
            ),
        }
    }

    fn pinned(&self) -> bool {
        matches!(self.source, KeySource::Pinned(_))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What the kept set says, and whether it is due for a refresh; nothing when there is no set of use.
    fn pick(
        &self,
        now: Duration,
        kid: Option<&str>,
        algorithm: Algorithm,
        pinned: bool,
    ) -> Option<(Pick, bool)> {
        let kept = self.kept.as_ref()?;
        let age = now.saturating_sub(kept.since);
        if age >= STALE && !pinned {
            return None;
        }
        Some((kept.keys.pick(kid, algorithm), age >= kept.fresh_for && !pinned))
    }

    fn flight(&self) -> Option<watch::Receiver<()>> {
        self.flight.as_ref().filter(|flight| flight.has_changed().is_ok()).cloned()
    }

    fn remaining(&self, now: Duration) -> Duration {
        let next = self.attempted.map_or(now, |attempted| attempted + COOL_DOWN);
        let seconds = next.saturating_sub(now).as_millis().div_ceil(1000);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX).max(1))
    }

    fn cooled(&self, now: Duration) -> bool {
        self.attempted.is_none_or(|attempted| now >= attempted + COOL_DOWN)
    }

    fn remember(&mut self, kid: &str, now: Duration) {
        if self.missing.len() >= MAX_MISSING {
            self.missing.retain(|_, until| now < *until);
        }
        // When it is full of strangers the cool-down alone bounds the fetches.
        if self.missing.len() < MAX_MISSING {
            self.missing.insert(kid.to_owned(), now + MISSING_FOR);
        }
    }
}
