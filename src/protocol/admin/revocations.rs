//! `/api/v1/revocations`: the switch.

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Which they are; for a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<TouchedNames>,
}

/// The first 20 of each, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TouchedNames {
    /// Ids of tokens.
    pub tokens: Vec<String>,
    /// Workflows by their names, operators as `operator:alice`.
    pub workflows: Vec<String>,
    /// Tools.
    pub tools: Vec<String>,
}

/// What one of several selectors touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TouchedBy {
    /// The selector, as `workflow release-notes`.
    pub selector: String,
    /// What it touches, whatever the others do.
    pub touched: Touched,
}

/// For each access the moment (seconds since the epoch) after which no conforming verifier allows such a call that this
/// revokes, whatever it has heard; absent where no such call is revoked. For writing and worse by the windows that
/// tokens bear, for reading by the verifiers' own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bounds {
    /// For privileged calls.
    pub privileged: Option<u64>,
    /// For calls that write.
    pub write: Option<u64>,
    /// For calls that only read.
    pub read: Option<u64>,
}

impl Bounds {
    /// The latest of them.
    #[must_use]
    pub fn latest(&self) -> Option<u64> {
        [self.privileged, self.write, self.read].into_iter().flatten().max()
    }
}

/// How many living tokens each kind of lift brings back. Tokens that another revocation still refuses do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LiftPreview {
    /// When old tokens stay dead: none. Absent where this cannot be done: a key's revocation bears no date.
    pub keep_old_dead: Option<u64>,
    /// When old tokens live again.
    pub revive: u64,
}

/// The answer to revoke and lift.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeAnswer {
    /// The sequence of the change; absent for a dry run.
    pub seq: Option<u64>,
    /// The sequence of the signed head that carries it; absent for a dry run.
    pub head: Option<u64>,
    /// What it touches: what a revocation ends, or what a lift brings back.
    pub touched: Touched,
    /// The same for each selector of a dry run, when several are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<TouchedBy>,
    /// What an operator should know before, or should see to now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// For a lift, unless it could not be counted in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lift: Option<LiftPreview>,
    /// The decision's id, by which the audit log finds it.
    pub decision_id: String,
    /// The moment (seconds since the epoch) after which no conforming verifier allows any call that this revokes,
    /// whatever it has heard: the latest of `bounds`.
    pub bound: Option<u64>,
    /// The same by access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// The broker's clock when it answered, in seconds since the epoch: what `bound` is measured with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<u64>,
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
