//! What a feed tells about itself, for a tool service's own health page.

use std::sync::Arc;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::verifiers::Step as Rung;

use super::breaker::BreakerState;
use super::follow::Core;
use super::source::Gate;
use crate::list::Age;

/// How a feed stands.
#[derive(Clone, Debug)]
pub struct FeedStatus {
    /// Where on its fallback ladder the verifier stands.
    pub step: Rung,
    /// Since when.
    pub since: Timestamp,
    /// The sequence of the head in force; 0 for none.
    pub list_seq: u64,
    /// How old the list is.
    pub list_age: Age,
    /// The sequence of the break-glass head in force, if there is one.
    pub break_glass: Option<u64>,
    /// The stream, the broker and the mirrors, in the order in which they are preferred.
    pub sources: Vec<SourceStatus>,
}

/// How one source stands.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// `stream`, `broker`, `mirror-1` and so on; as in metrics and logs.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What its circuit breaker lets through.
    pub state: BreakerState,
    /// Why it failed last, until it answers again.
    pub error: Option<String>,
}

/// Tells how a feed stands while it runs.
#[derive(Clone, Debug)]
pub struct FeedHandle(pub(super) Arc<Core>);

impl FeedHandle {
    /// How the feed stands now.
    #[must_use]
    pub fn status(&self) -> FeedStatus {
        let core = &self.0;
        let (step, since) = core.ladder.stands();
        let status = |gate: &Gate, url: &str| SourceStatus {
            name: gate.name().to_owned(),
            url: url.to_owned(),
            state: gate.state(),
            error: gate.error(),
        };
        let stream = core.config.stream.then(|| status(&core.stream, core.broker.fetch.url()));
        let asked = core.sources().map(|source| status(&source.gate, source.fetch.url()));
        let state = core.trust.state();
        FeedStatus {
            step,
            since,
            list_seq: state.seq(),
            list_age: core.trust.age(),
            break_glass: state.break_glass().map(|known| known.seq),
            sources: stream.into_iter().chain(asked).collect(),
        }
    }
}
