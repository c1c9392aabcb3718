//! `/api/v1/health`: how the broker and what hangs on it stands.

use serde::{Deserialize, Serialize};

use super::{KeyBody, StateCounts, TrialBody};

/// How well something works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum HealthState {
    /// As it should.
    #[default]
    Good,
    /// On less than usual: it works, and somebody should look.
    Degraded,
    /// It does not work.
    Failing,
}

impl HealthState {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
        }
    }
}

/// One thing that does not work as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FindingBody {
    /// Which step, in a stable word: `store`, `policy`, `head`, `key`, `issuer`, `webhook`, `notices`, `tool`, `verifier`,
    /// `log`, `anchor`, `stop`.
    pub step: String,
    /// How bad it is.
    pub state: HealthState,
    /// What it is about, in few words: an issuer, a key, a tool.
    pub about: String,
    /// What it means.
    pub meaning: String,
    /// What to do.
    pub fix: String,
    /// Since when, in seconds since the epoch, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoreHealthBody {
    /// `healthy`, `at reserve` or `failing`.
    pub state: String,
    /// What the last fault was; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The policy in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyHealthBody {
    /// Its version; 0 where none is in force.
    pub version: u64,
    /// Its digest.
    pub digest: Option<String>,
    /// Since when it is in force, in seconds since the epoch.
    pub since: Option<u64>,
    /// Who put it in force.
    pub by: Option<String>,
    /// The version that is tried, or in force and watched.
    pub trial: Option<TrialBody>,
}

/// The signed head of the revocation list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeadHealthBody {
    /// Its sequence; 0 where none is signed.
    pub seq: u64,
    /// How old it is, in seconds; absent where none is signed.
    pub age: Option<u64>,
    /// How often one is due, in seconds.
    pub period: u64,
    /// Whether several are overdue.
    pub late: bool,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogHealthBody {
    /// How many entries were ever recorded.
    pub entries: u64,
    /// How many of them the newest checkpoint covers.
    pub signed: u64,
    /// When that was signed, in seconds since the epoch.
    pub at: Option<u64>,
    /// Whether checkpoints are anchored in a file, and whether it takes them.
    pub anchor: Option<HealthState>,
}

/// A key of the key document with its age.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyHealthBody {
    /// The key, and what it does.
    #[serde(flatten)]
    pub key: KeyBody,
    /// For how long it is good already, in seconds; 0 where that is ahead.
    pub age: u64,
    /// Whole days that it is still good.
    pub days_left: u64,
}

/// A circuit breaker before one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BreakerBody {
    /// `issuer` or `webhook`.
    pub kind: String,
    /// The issuer, or the webhook's host.
    pub source: String,
    /// `closed`, `half-open` or `open`.
    pub state: String,
    /// Since when, in seconds since the epoch; absent: it never moved.
    pub since: Option<u64>,
    /// While it is open: after so many seconds the source is tried again, by the next who asks.
    pub retry_in: Option<u64>,
}

/// The keys of an issuer or a trust domain, as far as they are fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssuerBody {
    /// The issuer.
    pub issuer: String,
    /// How old the keys at hand are, in seconds; absent: there are none.
    pub keys_age: Option<u64>,
    /// Whether others were due and cannot be fetched.
    pub failing: bool,
}

/// The way to the webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookBody {
    /// The receiver's host.
    pub host: String,
    /// How many notices wait.
    pub waiting: u64,
    /// How long the oldest has waited, in seconds.
    pub oldest: u64,
    /// Whether nothing is sent any more until the broker starts again.
    pub disabled: bool,
    /// How many notices were given up in the last day.
    pub dropped: u64,
}

/// `GET /api/v1/health`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HealthAnswer {
    /// The broker's clock, in seconds since the epoch.
    pub now: u64,
    /// The worst of what was found.
    pub state: HealthState,
    /// What does not work as it should, the worst first. None: all is well.
    pub findings: Vec<FindingBody>,
    /// The store.
    pub store: StoreHealthBody,
    /// The policy.
    pub policy: PolicyHealthBody,
    /// The revocation head.
    pub head: HeadHealthBody,
    /// The audit log.
    pub log: LogHealthBody,
    /// The version of the key document.
    pub keys_version: u64,
    /// Its keys.
    pub keys: Vec<KeyHealthBody>,
    /// The breakers of sources that were asked.
    pub breakers: Vec<BreakerBody>,
    /// The issuers that were asked.
    pub issuers: Vec<IssuerBody>,
    /// The webhook, where one is configured.
    pub webhook: Option<WebhookBody>,
    /// How many instances of verifiers are in which state.
    pub verifiers: StateCounts,
    /// Tools for which nobody reports what is enforced.
    pub unreported: Vec<String>,
}
