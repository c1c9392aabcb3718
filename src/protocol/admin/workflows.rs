//! `/api/v1/workflows`: who may do what, and what lives of it now.

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::revocations::Cause;

/// What a workflow proves itself with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IdentityBody {
    /// The entry's label, as the audit log has it.
    pub entry: String,
    /// `key`, `oidc` or `spiffe`.
    pub kind: String,
    /// What must be proved, in words.
    pub proof: String,
    /// Other workflows that the same proof is good for: the request says which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_with: Vec<String>,
}

/// What stops tokens of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoppedBody {
    /// `workflow/NAME`, or `all`.
    pub what: String,
    /// Tokens issued before this second are dead; a moment that never comes where it is until lifted.
    pub before: u64,
    /// Whether nothing new is granted either.
    pub holds: bool,
    /// Who did it.
    pub operator: String,
    /// Since when, in seconds since the epoch.
    pub at: u64,
    /// Why, as the public list has it.
    pub cause: Cause,
    /// Why, in the operator's words.
    pub reason: String,
}

/// Tokens of a workflow that did not end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LivingBody {
    /// How many live.
    pub living: u64,
    /// How many are refused because something revoked them.
    pub revoked: u64,
    /// Whether all were looked at. Else some of those that are said to live may be revoked.
    pub exact: bool,
}

/// One workflow in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkflowBody {
    /// Its name.
    pub workflow: String,
    /// The version of the policy that says what it is granted.
    pub policy: u64,
    /// Whether that is a version on trial.
    pub on_trial: bool,
    /// What it proves itself with. The policy in force alone says so.
    pub identities: Vec<IdentityBody>,
    /// Who answers for it, and may not approve its requests.
    pub owners: Vec<String>,
    /// The tools that it is granted something of.
    pub tools: Vec<String>,
    /// How many grants it has.
    pub grants: u64,
    /// What is revoked of it as a whole: itself, and everything. Single tokens, tools and verbs may be beside that.
    pub stopped: Vec<StoppedBody>,
    /// Its tokens.
    pub tokens: LivingBody,
    /// When its newest token that is still recorded was issued, in seconds since the epoch.
    pub last_granted: Option<u64>,
}

/// `GET /api/v1/workflows`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkflowsAnswer {
    /// The broker's clock, in seconds since the epoch.
    pub now: u64,
    /// The version of the policy in force; 0 without one: then there are no workflows.
    pub policy: u64,
    /// Every workflow of the policy, by name.
    pub workflows: Vec<WorkflowBody>,
}

/// One verb of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantVerbBody {
    /// As `github/issues.write`.
    pub operation: String,
    /// What kind of harm it can do.
    pub access: Access,
    /// What its arguments may be, in words.
    pub arguments: String,
    /// Whether a person has to approve it.
    pub approval: bool,
    /// The entries that forbid it all the same, as `forbid:1`, for some intents or for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<String>,
}

/// The approval that a grant demands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantApprovalBody {
    /// The group that is asked first.
    pub approvers: String,
    /// Who may decide there.
    pub members: Vec<String>,
    /// How many of them must agree.
    pub quorum: u32,
    /// After so many seconds the next group is asked.
    pub sla: u64,
    /// The next group, where there is one.
    pub escalate: Option<String>,
    /// After so many seconds the request is over.
    pub expires: u64,
    /// All that in words.
    pub words: String,
}

/// One grant of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantBody {
    /// As the audit log has it: `grant:3`.
    pub grant: String,
    /// The tool.
    pub tool: String,
    /// The verbs.
    pub verbs: Vec<GrantVerbBody>,
    /// The intents it is for; empty: any.
    pub intents: Vec<String>,
    /// The longest life of a token by it, in seconds.
    pub max_ttl: u64,
    /// How often it may be used, as `30/min`; absent: no limit of its own.
    pub rate: Option<String>,
    /// How much of one argument it may give out, in words.
    pub budget: Option<String>,
    /// Whether tokens must be bound to a key.
    pub proof: bool,
    /// Whose approval some of its verbs need.
    pub approval: Option<GrantApprovalBody>,
}

/// `GET /api/v1/workflows/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkflowAnswer {
    /// The broker's clock, in seconds since the epoch.
    pub now: u64,
    /// What the list says of it.
    pub workflow: WorkflowBody,
    /// Its grants, in the order of the policy.
    pub granted: Vec<GrantBody>,
}
