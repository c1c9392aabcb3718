//! `/api/v1/policy`.

use serde::{Deserialize, Serialize};

/// One version of the policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyVersionBody {
    /// Its number.
    pub version: u64,
    /// Its digest, keys included.
    pub digest: String,
    /// Who brought it.
    pub author: String,
    /// When it was taken in, in seconds since the epoch.
    pub at: u64,
    /// Whether it is in force.
    pub active: bool,
    /// Whether it was once in force, and can be rolled back to.
    pub was_active: bool,
}

/// `GET /api/v1/policy/versions/{n}`: all that is needed to compile a version again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyText {
    /// Its number.
    pub version: u64,
    /// Its digest, keys included.
    pub digest: String,
    /// Who brought it.
    pub author: String,
    /// When it was taken in, in seconds since the epoch.
    pub at: u64,
    /// The file that it was read from, as the broker names it.
    pub file: String,
    /// The policy as it is written.
    pub source: String,
    /// The files that it refers to, by their paths as written: public keys, key sets and bundles.
    pub files: std::collections::BTreeMap<String, String>,
}

/// `GET /api/v1/policy`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyAnswer {
    /// All versions, newest first.
    pub versions: Vec<PolicyVersionBody>,
    /// The version that is tried, or in force and watched.
    #[serde(default)]
    pub trial: Option<TrialBody>,
}

/// A version that is tried on some workflows, or is in force for everyone and watched.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrialBody {
    /// The version.
    pub version: u64,
    /// The version that it goes back to.
    pub before: u64,
    /// On which workflows; empty: it is in force for everyone.
    pub workflows: Vec<String>,
    /// Since when, in seconds since the epoch.
    pub since: u64,
    /// Until when a breach of the limits takes it back, in seconds since the epoch; absent: it is not watched.
    pub watched_until: Option<u64>,
    /// Why a breach is told for a person to decide, and takes nothing back by itself; absent: it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_only: Option<String>,
    /// Who began it.
    pub by: String,
}

/// `POST /api/v1/policy/activate`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivateBody {
    /// Which version. Absent: the policy file, taken in first.
    #[serde(default)]
    pub version: Option<u64>,
    /// For these workflows alone, on trial; empty: for everyone.
    #[serde(default)]
    pub workflows: Vec<String>,
    /// For how long it is watched, in seconds: 604,800 at most. Absent: it is not.
    #[serde(default)]
    pub watch: Option<u64>,
    /// Changed decisions that are meant, by the ids that `policy replay` gives them; recorded.
    #[serde(default)]
    pub accept: Vec<String>,
}

/// `POST /api/v1/policy/rollback`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RollbackBody {
    /// Which version. Absent: an open trial on some workflows is taken back, else the one in force before.
    #[serde(default)]
    pub version: Option<u64>,
    /// Labelled cases that the earlier version may let through all the same, by their ids.
    #[serde(default)]
    pub accept: Vec<String>,
}
