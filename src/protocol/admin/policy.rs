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

/// `GET /api/v1/policy`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyAnswer {
    /// All versions, newest first.
    pub versions: Vec<PolicyVersionBody>,
}

/// `POST /api/v1/policy/activate` and `/rollback`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivateBody {
    /// Which version. Absent: the newest one (activate), or the one in force before (rollback).
    #[serde(default)]
    pub version: Option<u64>,
}
