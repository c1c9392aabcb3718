//! `/api/v1/audit/erase`.

use serde::{Deserialize, Serialize};

/// `POST /api/v1/audit/erase`: what decisions about one subject depended on is erased; the entries of the log stay.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EraseBody {
    /// The `sub` of the identity, in plain; for a registered key `workflow:NAME` or `operator:NAME`.
    pub subject: String,
    /// Only where it acted as this workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Only of decisions before this moment (unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Why, for the audit log, where it stays: it should name nobody.
    pub reason: String,
    /// Only count.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was erased, or would be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EraseAnswer {
    /// How many inputs, with closed requests for approval: by this request, or in all for a dry run.
    pub inputs: u64,
    /// Whether there may be more: send the same request again.
    pub more: bool,
    /// Whether the files of the store may still hold what was erased, because a reader hindered emptying the database's
    /// log. The broker tries again by itself.
    pub traces: bool,
    /// SHA-256 of the subject, which the entries still bear.
    pub subject_sha256: String,
    /// The decision's id.
    pub decision_id: String,
}
