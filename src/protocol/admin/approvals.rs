//! `/api/v1/approvals`: what waits for a person.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::approval::Shown;
use crate::constraint::Arguments;
use crate::names::Operation;

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ApprovalState {
    /// It waits for votes.
    Pending,
    /// It is approved and was not fetched yet.
    Approved,
    /// An approver denied it.
    Denied,
    /// Its time was over before it was approved and fetched.
    Expired,
    /// It was taken back by who made it.
    Cancelled,
    /// It was approved, and the client has its token.
    Redeemed,
}

impl ApprovalState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Approved, Self::Denied, Self::Expired, Self::Cancelled, Self::Redeemed];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Redeemed => "redeemed",
        }
    }

    /// Whether something may still become of it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Approved)
    }
}

/// `GET /api/v1/approvals`: the first that is due comes first; of closed ones the newest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalsAnswer {
    /// A page of them.
    pub approvals: Vec<ApprovalBody>,
    /// How many are open in all.
    pub open: u64,
    /// The broker's clock (unix seconds).
    pub now: u64,
    /// Where the next page begins: send it as `after`. Absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A request in short.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalBody {
    /// Its id, `apr_…`.
    pub approval_id: String,
    /// How far it came.
    pub state: ApprovalState,
    /// Who asks, as `workflow:refund-desk`.
    pub principal: String,
    /// The declared purpose.
    pub intent: String,
    /// The task.
    pub task: String,
    /// The verbs, as `tool/verb`.
    pub verbs: Vec<String>,
    /// How many exact calls it asks for; 0: verbs.
    pub calls: u32,
    /// The worst that it can do.
    pub access: Access,
    /// When it was asked for (unix seconds).
    pub asked: u64,
    /// When the next group is asked (unix seconds); absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalates: Option<u64>,
    /// When it expires (unix seconds).
    pub expires: u64,
    /// Whether its SLA was breached.
    pub late: bool,
    /// The groups that are asked now.
    pub approvers: Vec<String>,
    /// How many votes it has and how many it takes, as `1/2`; of several demands the one that lacks most.
    pub votes: String,
}

/// `GET /api/v1/approvals/{id}`, and the answer to a vote.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalAnswer {
    /// The request in short.
    pub approval: ApprovalBody,
    /// What a vote binds: the digest of `shown`.
    pub digest: String,
    /// What exactly would run.
    pub shown: Shown,
    /// What has to be met: all of them.
    pub demands: Vec<DemandBody>,
    /// Who voted, the first first. Votes that do not count any more say so.
    pub votes: Vec<VoteBody>,
    /// Who owns the workflow and may not decide.
    pub owners: Vec<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<ClosedBody>,
    /// The decision that the request was.
    pub decision_id: String,
    /// Its trace.
    pub trace_id: String,
    /// The broker's clock (unix seconds).
    pub now: u64,
}

/// What a grant demands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DemandBody {
    /// The groups that are asked now, the first first.
    pub asked: Vec<String>,
    /// Who of them may vote.
    pub members: Vec<String>,
    /// The group that is asked next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many have to agree.
    pub quorum: u32,
    /// How many do.
    pub have: u32,
    /// Within how many seconds each group should decide.
    pub sla_seconds: u64,
    /// The verbs that it is for, as `tool/verb`.
    pub verbs: Vec<String>,
}

/// A vote for what is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VoteBody {
    /// Who.
    pub operator: String,
    /// When (unix seconds).
    pub at: u64,
    /// In their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether it counts by the policy in force.
    pub counts: bool,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClosedBody {
    /// When (unix seconds).
    pub at: u64,
    /// Who denied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it was denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The tokens that came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
}

/// `POST /api/v1/approvals/{id}/approve`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApproveBody {
    /// The digest of what was looked at. Another one is refused.
    pub digest: String,
    /// Approve less than was asked for. Earlier votes are void then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrow: Option<NarrowBody>,
    /// In the approver's words, at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `POST /api/v1/approvals/{id}/deny`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DenyBody {
    /// The digest of what was looked at. Another one is refused.
    pub digest: String,
    /// Why, in the approver's words, 1 to 500 characters.
    pub reason: String,
}

/// Less than was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NarrowBody {
    /// Verbs that are dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub drop: Vec<Operation>,
    /// Exact calls that are dropped, by their places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop_calls: Vec<u32>,
    /// By verb: what its arguments may be, besides what is shown. For verbs, not for exact calls.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, BTreeMap<String, crate::constraint::Constraint>>))]
    pub constraints: BTreeMap<Operation, Arguments>,
    /// A shorter life, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
}
