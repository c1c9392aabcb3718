//! Bodies of the admin API under `/api/v1`.

use serde::{Deserialize, Serialize};

use crate::revocations::{Cause, SelectorKind};

/// A selector as people and programs give it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SelectorBody {
    /// The kind.
    pub kind: SelectorKind,
    /// The value that fits the kind: a verb as `tool/verb`, access as `write` or `payments/write`.
    pub value: String,
}

/// `POST /api/v1/revocations`: pull the switch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevokeBody {
    /// What to revoke; each selector on its own.
    #[serde(default)]
    pub selectors: Vec<SelectorBody>,
    /// Revoke everything.
    #[serde(default)]
    pub all: bool,
    /// Only what was issued so far; new tokens are good. Otherwise until it is lifted.
    #[serde(default)]
    pub issued_so_far: bool,
    /// Why, for the public list.
    #[serde(default = "incident")]
    pub cause: Cause,
    /// Why, in the operator's words: for the audit log alone, 1 to 500 characters.
    pub reason: String,
    /// Change nothing; say what it would hit.
    #[serde(default)]
    pub dry_run: bool,
}

fn incident() -> Cause {
    Cause::Incident
}

/// `POST /api/v1/revocations/lift`: take one back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LiftBody {
    /// What to lift.
    #[serde(default)]
    pub selectors: Vec<SelectorBody>,
    /// Lift the stop of everything.
    #[serde(default)]
    pub all: bool,
    /// Old tokens live again. Otherwise only new ones are good.
    #[serde(default)]
    pub revive: bool,
    /// Why, in the operator's words, 1 to 500 characters.
    pub reason: String,
    /// Change nothing; say what it would bring back.
    #[serde(default)]
    pub dry_run: bool,
}

/// How many living things a change touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Touched {
    /// Tokens that have not expired.
    pub tokens: u64,
    /// Their workflows and operators.
    pub workflows: u64,
    /// Their tools.
    pub tools: u64,
    /// They could not be counted in time, and the figures are not known. The change is made all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
}

/// The answer to revoke and lift.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeAnswer {
    /// The sequence of the change; absent for a dry run.
    pub seq: Option<u64>,
    /// The sequence of the signed head that carries it; absent for a dry run.
    pub head: Option<u64>,
    /// What it touches.
    pub touched: Touched,
    /// The decision's id, by which the audit log finds it.
    pub decision_id: String,
    /// The moment (seconds since the epoch) after which no conforming verifier allows a write that this revokes,
    /// whatever it has heard.
    pub bound: Option<u64>,
}

/// One revocation in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevocationBody {
    /// The kind of selector, or `all`.
    pub kind: String,
    /// The value; empty for `all`.
    pub value: String,
    /// Tokens issued before this second are dead.
    pub before: u64,
    /// When it leaves the list, in seconds since the epoch.
    pub until: Option<u64>,
    /// The sequence of the change.
    pub seq: u64,
    /// Why, as the public list has it.
    pub cause: Cause,
    /// Who revoked it.
    pub operator: String,
    /// When, in seconds since the epoch.
    pub at: u64,
    /// Why, in the operator's words.
    pub reason: String,
}

/// `GET /api/v1/revocations`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevocationsAnswer {
    /// The sequence of the newest head.
    pub head: u64,
    /// When that head was signed, in seconds since the epoch.
    pub issued: u64,
    /// What is revoked, newest first.
    pub revocations: Vec<RevocationBody>,
}

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
