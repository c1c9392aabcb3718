//! One place that the list can come from: the way to it, its circuit breaker, and what it said last.

use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::header::HeaderValue;

use super::breaker::{Breaker, BreakerState};
use super::config::FeedConfig;
use super::error::FeedError;
use super::fetch::Fetch;
use super::telemetry;

/// A circuit breaker under the name of its source, which tells when it changes.
#[derive(Debug)]
pub(super) struct Gate {
    name: String,
    breaker: Breaker,
    error: Mutex<Option<String>>,
}

impl Gate {
    pub(super) fn new(name: String, config: &FeedConfig) -> Self {
        let gate = Self { name, breaker: Breaker::new(&config.breaker), error: Mutex::new(None) };
        telemetry::source(&gate.name, gate.state());
        gate
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Why it failed last, until it answers again.
    pub(super) fn error(&self) -> Option<String> {
        self.lock().clone()
    }

    pub(super) fn permits(&self) -> bool {
        let before = self.breaker.state();
        let permits = self.breaker.permits();
        self.tell(before, self.breaker.state(), None);
        permits
    }

    pub(super) fn succeeded(&self) {
        *self.lock() = None;
        let (before, after) = self.breaker.note(true);
        self.tell(before, after, None);
    }

    pub(super) fn failed(&self, error: &FeedError) {
        *self.lock() = Some(error.to_string());
        let (before, after) = self.breaker.note(false);
        self.tell(before, after, Some(error));
    }

    /// One line when a source begins to fail and one when it answers again; the trials between are for the metrics.
    fn tell(&self, before: BreakerState, after: BreakerState, cause: Option<&FeedError>) {
        if before == after {
            return;
        }
        telemetry::source(&self.name, after);
        telemetry::breaker_changed(&self.name, after);
        let source = self.name.as_str();
        match (before, after, cause) {
            (BreakerState::Closed, _, Some(error)) => tracing::warn!(
                feed.source = source,
                error.class = error.code(),
                "a source of the revocation list fails and is asked only now and then: {error}"
            ),
            (_, BreakerState::Closed, _) => {
                tracing::info!(feed.source = source, "a source of the revocation list answers again");
            }
            _ => tracing::debug!(
                feed.source = source,
                feed.breaker = after.as_str(),
                "a source of the revocation list is tried"
            ),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The broker, or a mirror.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) fetch: Fetch,
    pub(super) gate: Gate,
    said: Mutex<Said>,
}

/// What it served last, to ask for no more than what is new.
#[derive(Clone, Debug, Default)]
struct Said {
    head: Option<(HeaderValue, (u64, u64))>,
    break_glass: Option<HeaderValue>,
    break_glass_bytes: Vec<u8>,
}

impl Source {
    pub(super) fn new(name: String, config: &FeedConfig, address: &str) -> Result<Self, FeedError> {
        let (fetch, gate) = (Fetch::new(config, address)?, Gate::new(name, config));
        Ok(Self { fetch, gate, said: Mutex::default() })
    }

    /// The tag of the head that it served last, and how far that head had come.
    pub(super) fn head(&self) -> Option<(HeaderValue, (u64, u64))> {
        self.lock().head.clone()
    }

    /// Only once that head is in force: until then it must be served again.
    pub(super) fn served(&self, etag: Option<HeaderValue>, reached: (u64, u64)) {
        self.lock().head = etag.map(|etag| (etag, reached));
    }

    pub(super) fn break_glass_tag(&self) -> Option<HeaderValue> {
        self.lock().break_glass.clone()
    }

    /// Whether these bytes are others than those that came last time; what was judged once is not judged again.
    pub(super) fn is_news(&self, bytes: &[u8]) -> bool {
        self.lock().break_glass_bytes != bytes
    }

    pub(super) fn served_break_glass(&self, etag: Option<HeaderValue>, bytes: Vec<u8>) {
        let mut said = self.lock();
        said.break_glass = etag;
        said.break_glass_bytes = bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
