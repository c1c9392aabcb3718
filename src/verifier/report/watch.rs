//! Notices that something changed which the broker should hear of.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use shortbread_protocol::clock::Clock;
use shortbread_protocol::verifiers::{Report, Step};
use tokio::sync::Notify;

use super::client::ReportError;
use crate::list::{Age, Seen, State, Trust};
use crate::windows::Windows;

/// Looks at a trust.
pub(super) struct Watch {
    trust: Arc<Trust>,
    windows: Windows,
    seen: Arc<Changes>,
}

/// A change in any of these is reported at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    contents: u64,
    keys_version: u64,
    break_glass: u64,
    step: Step,
}

#[derive(Debug, Default)]
struct Changes {
    /// The sequence of the contents in force, and when they were applied, in milliseconds since the epoch.
    applied: Mutex<Option<(u64, u64)>>,
    notify: Notify,
}

impl Watch {
    pub(super) fn new(
        trust: Arc<Trust>,
        windows: Windows,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ReportError> {
        let seen = Arc::new(Changes::default());
        let changes = Arc::clone(&seen);
        let watcher = move |state: &State| {
            changes.see(state.contents(), || clock.now().millis());
            changes.notify.notify_one();
        };
        if !trust.watch(Arc::new(watcher)) {
            return Err(ReportError::Taken);
        }
        let since = trust.status().applied_at;
        seen.see(trust.state().contents(), || since.unwrap_or_default().millis());
        Ok(Self { trust, windows, seen })
    }

    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The broker's public URL.
    pub(super) fn issuer(&self) -> String {
        self.trust.state().issuer().to_owned()
    }

    /// Ready when the state was replaced since it was last asked for.
    pub(super) async fn changed(&self) {
        self.seen.notify.notified().await;
    }

    pub(super) fn position(&self) -> Position {
        let report = self.report();
        let Report { contents, keys_version, break_glass, step, .. } = report;
        Position { contents, keys_version, break_glass, step }
    }

    /// Where the list stands now; of uploads nothing is said.
    pub(super) fn report(&self) -> Report {
        let state = self.trust.state();
        let now = Seen::now(self.trust.clock());
        let contents = state.contents();
        let applied = *self.seen.applied.lock().unwrap_or_else(PoisonError::into_inner);
        Report {
            seq: state.seq(),
            contents,
            keys_version: state.document().map_or(0, |document| document.version),
            break_glass: state.break_glass().map_or(0, |known| known.seq),
            age: match state.age_at(now) {
                Age::Seconds(age) => Some(age),
                Age::None | Age::Unsure | Age::Expired => None,
            },
            applied_at: applied.filter(|(of, _)| *of == contents).map(|(_, at)| at),
            step: state.step_at(now, &self.windows),
            ..Report::default()
        }
    }
}

impl Changes {
    /// Heads with the same contents come every few seconds; the first of them counts.
    fn see(&self, contents: u64, at: impl FnOnce() -> u64) {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        if contents > 0 && applied.is_none_or(|(of, _)| of != contents) {
            *applied = Some((contents, at()));
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("windows", &self.windows).finish_non_exhaustive()
    }
}
