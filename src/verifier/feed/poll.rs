//! Asks for the head: the broker first, then each mirror, until one of them gives a list that is young enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shortbread_protocol::verifiers::Step as Rung;

use super::Step;
use super::breaker::BreakerState;
use super::error::FeedError;
use super::fetch::Fetched;
use super::follow::{Asked, Core};
use super::source::Source;
use crate::list::Refused;
use crate::pace::spread;

/// How long the answer of a source that failed lately is waited for: the others must not wait for it.
const TRIAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Poll {
    core: Arc<Core>,
    /// The broker did not answer the last time.
    away: AtomicBool,
}

impl Poll {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, away: AtomicBool::new(false) }
    }

    /// Asks as long as nothing is pushed.
    pub(super) async fn run(self) {
        let core = &self.core;
        if core.config.stream {
            // The stream brings the first list, unless it takes its time.
            let _ = tokio::time::timeout(core.config.interval / 2, core.lost.notified()).await;
        }
        loop {
            if core.ladder.is_live() {
                core.lost.notified().await;
                // The stream may be back at once, and a thousand others may have lost it too.
                tokio::time::sleep(spread(core.config.interval, 0.125, 0.25, &*core.random.0)).await;
            } else {
                // What came of it is noted inside.
                let _ = self.round().await;
                tokio::time::sleep(self.delay()).await;
            }
        }
    }

    /// How long to wait before the next round.
    pub(super) fn delay(&self) -> Duration {
        let (low, high) = if self.away.load(Ordering::Relaxed) { (0.5, 1.0) } else { (0.75, 1.25) };
        spread(self.core.config.interval, low, high, &*self.core.random.0)
    }

    /// Asks every source in turn until one of them leads to a list that is young enough.
    pub(super) async fn round(&self) -> Result<Step, FeedError> {
        let core = &self.core;
        let (mut best, mut first) = (None::<Step>, None::<FeedError>);
        for (at, source) in core.sources().enumerate() {
            if !source.gate.permits() {
                continue;
            }
            let answer = self.ask(source).await;
            let good = answer.is_ok() && core.is_fresh();
            self.note(at, source, &answer, good);
            match answer {
                Ok(step) if good => return Ok(best.map_or(step, |best| best.max(step))),
                Ok(step) => best = best.max(Some(step)),
                Err(error) if error.is_older() => best = best.max(Some(Step::Older)),
                Err(error) => first = first.or(Some(error)),
            }
        }
        let stale = best.is_some().then_some(FeedError::Stale);
        core.ladder.alone(first.as_ref().or(stale.as_ref()).or(Some(&FeedError::Resting)));
        best.ok_or_else(|| first.unwrap_or(FeedError::Resting))
    }

    fn note(&self, at: usize, source: &Source, answer: &Result<Step, FeedError>, good: bool) {
        if good {
            source.gate.succeeded();
            let (rung, name) = (if at == 0 { Rung::Poll } else { Rung::Mirror }, source.gate.name());
            self.core.ladder.polled(rung, name);
        } else {
            source.gate.failed(answer.as_ref().err().unwrap_or(&FeedError::Stale));
        }
        if at == 0 && self.away.swap(!good, Ordering::Relaxed) && good {
            self.core.back.notify_one();
        }
    }

    async fn ask(&self, source: &Source) -> Result<Step, FeedError> {
        let core = &self.core;
        let known = source.head();
        let trial = source.gate.state() == BreakerState::HalfOpen;
        let patience = if trial { TRIAL } else { core.config.timeout };
        match source.fetch.head(known.as_ref().map(|(etag, _)| etag), patience).await? {
            Fetched::Unchanged => {
                // Sequences begin anew with a key document.
                let (offered, seen) =
                    (known.map_or((0, 0), |(_, reached)| reached), core.trust.state().reached());
                if offered.0 < seen.0 {
                    return Err(Refused::KeysOlder { offered: offered.0, seen: seen.0 }.into());
                }
                if offered < seen {
                    return Err(Refused::Older { offered: offered.1, seen: seen.1 }.into());
                }
                Ok(Step::Unchanged)
            }
            Fetched::New { bytes, etag } => {
                let applied = core.settle(&source.fetch, bytes, &mut Asked).await?;
                source.served(etag, core.trust.state().reached());
                Ok(applied.map_or(Step::Unchanged, |seq| Step::Applied { seq }))
            }
        }
    }
}
