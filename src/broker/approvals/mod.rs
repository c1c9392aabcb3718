//! Whoever decides: the queue, the votes, and the clock on both. Who asks is in `exchange::deferral`.

mod budgets;
mod clock;
mod list;
mod seat;
mod show;
mod vote;

pub use clock::{chores, tend};
pub use list::{ListError, Page, list};
pub use seat::{marks, proved};
pub use show::find;
pub use vote::{approve, deny};

use shortbread_protocol::reason::Reason;
use thiserror::Error;

use crate::approval::{Broken, NarrowError, Wait};
use crate::broker::Broker;
use crate::store::{ApprovalError, Spent, StoreError};

/// Why nothing was decided.
#[derive(Debug, Error)]
pub enum DecideError {
    /// There is no such request.
    #[error("there is no request for approval of this id; `shortbread approvals list` shows what waits")]
    Unknown,
    /// The body says nothing that can be done.
    #[error("{0}")]
    Malformed(String),
    /// It cannot be narrowed like this.
    #[error(transparent)]
    Narrow(#[from] NarrowError),
    /// It is decided, over or taken back.
    #[error("{0}")]
    Closed(String),
    /// What was looked at is not what is shown.
    #[error(
        "the request is not what was looked at any more: it was narrowed, or decided on, meanwhile; look at it again"
    )]
    Changed,
    /// The operator is not asked.
    #[error("{0}")]
    NotAsked(String),
    /// The operator is tied to whoever asks, or voted already under another name.
    #[error("{0}")]
    Own(String),
    /// The policy in force would not grant it.
    #[error("the policy in force would not grant this any more, whoever approves it: {0}")]
    Refused(String),
    /// A budget has not this much left, so the vote does not count.
    #[error("{0}")]
    Budget(Spent),
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The request cannot be read.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// There is no randomness for a decision's id.
    #[error("the system's random source is not available")]
    NoRandomness,
    /// No policy is in force.
    #[error("no policy is in force, so nobody can decide")]
    NoPolicy,
}

impl DecideError {
    /// The stable reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unknown => Reason::NotFound,
            Self::Malformed(_) | Self::Narrow(_) => Reason::RequestMalformed,
            Self::Closed(_) => Reason::ApprovalClosed,
            Self::Changed => Reason::ApprovalChanged,
            Self::NotAsked(_) => Reason::NotAsked,
            Self::Own(_) => Reason::OwnRequest,
            Self::Refused(_) => Reason::Conflict,
            Self::Budget(_) => Reason::BudgetSpent,
            Self::Store(_) => Reason::StoreUnavailable,
            Self::Broken(_) | Self::NoRandomness => Reason::Internal,
            Self::NoPolicy => Reason::PolicyMissing,
        }
    }
}

impl From<ApprovalError> for DecideError {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::Closed => Self::Closed(
                "the request was decided, taken back or over before this vote arrived".to_owned(),
            ),
            ApprovalError::Changed => Self::Changed,
            ApprovalError::BudgetSpent(spent) => Self::Budget(spent),
            ApprovalError::Store(error) => error.into(),
        }
    }
}

async fn load(broker: &Broker, id: &str) -> Result<Wait, DecideError> {
    let stored = broker.store.approval(id).await?.ok_or(DecideError::Unknown)?;
    Ok(Wait::read(stored)?)
}
