//! Bodies of the admin API under `/api/v1`.

use serde::{Deserialize, Serialize};

use crate::revocations::{Cause, SelectorKind};
use crate::verifiers::Step;

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

/// Where a running instance of a verifier stands, seen from one change of the list. What needs looking at comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum InstanceState {
    /// It lives and has not said yet that it applied the change.
    Behind,
    /// It did not report for so long that nobody knows what it does.
    Silent,
    /// It said that it applied the change.
    Enforcing,
    /// It said goodbye.
    Gone,
}

impl InstanceState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Behind, Self::Silent, Self::Enforcing, Self::Gone];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Silent => "silent",
            Self::Enforcing => "enforcing",
            Self::Gone => "gone",
        }
    }
}

/// How many instances are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateCounts {
    /// See [`InstanceState::Enforcing`].
    pub enforcing: u64,
    /// See [`InstanceState::Behind`].
    pub behind: u64,
    /// See [`InstanceState::Silent`].
    pub silent: u64,
    /// See [`InstanceState::Gone`].
    pub gone: u64,
}

impl StateCounts {
    /// Counts one more.
    pub fn add(&mut self, state: InstanceState) {
        match state {
            InstanceState::Enforcing => self.enforcing += 1,
            InstanceState::Behind => self.behind += 1,
            InstanceState::Silent => self.silent += 1,
            InstanceState::Gone => self.gone += 1,
        }
    }

    /// Those that are not gone.
    #[must_use]
    pub const fn running(&self) -> u64 {
        self.enforcing + self.behind + self.silent
    }

    /// Whether somebody runs, and every one of them said that it enforces.
    #[must_use]
    pub const fn all_enforce(&self) -> bool {
        self.enforcing > 0 && self.behind == 0 && self.silent == 0
    }
}

/// One running instance of a verifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstanceBody {
    /// The verifier.
    pub verifier: String,
    /// What people call the instance.
    pub label: Option<String>,
    /// The RFC 7638 thumbprint of its key.
    pub instance: String,
    /// Where it stands.
    pub state: InstanceState,
    /// Behind since this change was published, silent since it was last heard, gone since its goodbye: in seconds since
    /// the epoch.
    pub since: Option<u64>,
    /// How many changes it lacks, as far as the broker remembers.
    pub lacks: u64,
    /// When its lease began, in seconds since the epoch.
    pub leased: u64,
    /// When it was last heard, in seconds since the epoch.
    pub seen: u64,
    /// The sequence of the last head it applied.
    pub seq: u64,
    /// The sequence of the last change it applied.
    pub contents: u64,
    /// The version of its key document.
    pub keys_version: u64,
    /// The sequence of the break-glass head it has; 0 for none.
    pub break_glass: u64,
    /// Where on its fallback ladder it stood; absent until it reports to this process.
    pub step: Option<Step>,
    /// The age of its list in seconds, when it is known.
    pub age: Option<u64>,
    /// How long the last change took to it, in milliseconds.
    pub propagation_ms: Option<u64>,
    /// Call decisions that wait there to be uploaded.
    pub waiting: u64,
    /// Call decisions that were lost there.
    pub lost: u64,
}

/// One verifier of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerifierBody {
    /// Its name.
    pub verifier: String,
    /// The tools whose calls it decides.
    pub tools: Vec<String>,
    /// Its instances.
    pub instances: StateCounts,
}

/// One tool of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolBody {
    /// Its name.
    pub tool: String,
    /// Whether every verifier that serves it runs, and every instance said that it enforces.
    pub enforced: bool,
    /// The instances that decide its calls.
    pub instances: StateCounts,
}

/// `GET /api/v1/revocations/status`: who enforces the list already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusAnswer {
    /// The broker's clock, in seconds since the epoch: what the other moments are measured with.
    pub now: u64,
    /// The sequence of the newest head.
    pub head: u64,
    /// When that head was signed, in seconds since the epoch.
    pub issued: u64,
    /// The sequence of the last change of the list.
    pub contents: u64,
    /// The version of the key document.
    pub keys_version: u64,
    /// The change that the states are about: the one that was asked for, else the last.
    pub change: u64,
    /// All instances.
    pub instances: StateCounts,
    /// Every tool of the catalogue, by name.
    pub tools: Vec<ToolBody>,
    /// Those tools for which nobody reports, or some verifier that serves them has no instance that does: that a
    /// revocation reached all of it is known by its bound alone.
    pub unreported: Vec<String>,
    /// Every verifier of the policy, by name.
    pub verifiers: Vec<VerifierBody>,
    /// The instances one by one: those that are behind, then those that are silent, then the others.
    pub listed: Vec<InstanceBody>,
    /// How many more there are than are listed.
    pub left_off: u64,
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
