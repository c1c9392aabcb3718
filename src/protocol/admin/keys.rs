//! `/api/v1/keys`.

use serde::{Deserialize, Serialize};

/// `POST /api/v1/keys/document`: put a key document in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyDocumentBody {
    /// The document as the offline root key signed it, exactly.
    pub document: String,
}

/// One key of the key document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyBody {
    /// What it signs: `token`, `revocation`, `audit` or `approver`.
    pub purpose: String,
    /// Its name, as it stands in tokens.
    pub name: String,
    /// `signs`, `waits` (for verifiers to know it), `retired` (a newer one signs), `early`, `over`, `revoked`, or
    /// `no private half here`.
    pub state: String,
    /// While it waits: verifiers that report, and report an earlier key document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
    /// While it waits: when it signs whatever they report, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<u64>,
    /// What it signed is valid from here on, in seconds since the epoch.
    pub not_before: u64,
    /// What it signed is valid until here, in seconds since the epoch.
    pub not_after: u64,
    /// Its RFC 7638 thumbprint.
    pub thumbprint: String,
}

/// `GET /api/v1/keys`, and the answer to a document that came into force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeysAnswer {
    /// The document's version.
    pub version: u64,
    /// The broker's public URL.
    pub issuer: String,
    /// The lowest break-glass sequence that is still valid.
    pub break_glass: u64,
    /// The keys, as they stand in the document.
    pub keys: Vec<KeyBody>,
}
