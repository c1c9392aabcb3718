//! Who may run the broker is not one person's to change, where there are two.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shortbread_protocol::names::{OperatorName, WorkflowName};

use crate::store::PolicyAction;

/// How long a first operator's wish waits for the second.
const PROPOSAL: Duration = Duration::from_secs(3600);

/// A version, forward or back, for whom, and whether it is watched: what the second operator must wish as well.
pub(super) type Wish = (u64, PolicyAction, Option<BTreeSet<WorkflowName>>, bool);

/// What one operator wished, until another does too.
#[derive(Default)]
pub(super) struct Proposals(Mutex<Option<Proposal>>);

struct Proposal {
    wish: Wish,
    by: OperatorName,
    until: Duration,
}

impl Proposals {
    /// Whether another operator wished the same within the hour before this moment of the monotonic clock; if not,
    /// the wish is kept.
    pub(super) fn seconded(&self, wish: &Wish, by: &OperatorName, now: Duration) -> bool {
        let mut proposal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconded = proposal.as_ref().is_some_and(|p| p.wish == *wish && p.by != *by && now < p.until);
        if seconded {
            *proposal = None;
            return true;
        }
        let keep = proposal.as_ref().is_some_and(|p| p.wish == *wish && now < p.until);
        if !keep {
            *proposal = Some(Proposal { wish: wish.clone(), by: by.clone(), until: now + PROPOSAL });
        }
        false
    }
}
