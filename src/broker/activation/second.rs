//! Who may run the broker is not one person's to change, where there are two.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shortbread_protocol::names::OperatorName;

/// How long a first operator's wish waits for the second.
const PROPOSAL: Duration = Duration::from_secs(3600);

/// What one operator wished, until another does too.
#[derive(Default)]
pub(super) struct Proposals(Mutex<Option<Proposal>>);

struct Proposal {
    version: u64,
    by: OperatorName,
    until: Duration,
}

impl Proposals {
    /// Whether another operator wished this version within the hour before this moment of the monotonic clock; if not,
    /// the wish is kept.
    pub(super) fn seconded(&self, version: u64, by: &OperatorName, now: Duration) -> bool {
        let mut proposal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconded =
            proposal.as_ref().is_some_and(|p| p.version == version && p.by != *by && now < p.until);
        if seconded {
            *proposal = None;
            return true;
        }
        let keep = proposal.as_ref().is_some_and(|p| p.version == version && now < p.until);
        if !keep {
            *proposal = Some(Proposal { version, by: by.clone(), until: now + PROPOSAL });
        }
        false
    }
}
