//! `/api/v1/audit`, and what went wrong.

use serde::{Deserialize, Serialize};

/// The header of an export's page that says the place of its first line.
pub const EXPORT_FROM: &str = "shortbread-from";
/// The header of an export's page that says from which place to go on.
pub const EXPORT_NEXT: &str = "shortbread-next";
/// The header of an export's page that says the place after the last entry that was asked for.
pub const EXPORT_END: &str = "shortbread-end";

/// One entry of the audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntryBody {
    /// Its place in the log, from 0.
    pub index: u64,
    /// The CloudEvent, as it stands in the log.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub event: serde_json::Value,
}

/// `GET /api/v1/audit`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditAnswer {
    /// The entries, oldest first.
    pub entries: Vec<AuditEntryBody>,
    /// Ask for what follows with `after=` this.
    pub next: Option<u64>,
}

/// `GET /log/consistency/{from}`: that one tree is the beginning of another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsistencyAnswer {
    /// The size of the earlier tree.
    pub from: u64,
    /// The size of the later one.
    pub to: u64,
    /// The proof (RFC 6962, section 2.1.2), each hash in base64.
    pub hashes: Vec<String>,
    /// The signed checkpoint of the later tree.
    pub checkpoint: String,
}

/// What went wrong on the admin API (RFC 9457).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:shortbread:problem:` and the reason code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the reason means.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What exactly was wrong and what to do.
    pub detail: String,
    /// The stable reason code.
    pub reason: String,
    /// The decision's id.
    pub decision_id: String,
    /// The request's id: its trace id.
    pub request_id: String,
    /// Whether the same request may pass later.
    pub retryable: bool,
}
