//! `/api/v1/revocations/status`: who enforces the list already.

use serde::{Deserialize, Serialize};

use crate::verifiers::{Step, Uses};

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
    /// Who keeps the uses of tokens that are good once; absent until it reports to this process.
    #[serde(default)]
    pub uses: Option<Uses>,
    /// The tools whose would-be denials it lets pass, as it said last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observing: Vec<String>,
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
    /// Until when the policy does not enforce it, in seconds since the epoch: calls pass that would be denied, unless
    /// they are revoked. Absent where it is enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_until: Option<u64>,
}

/// `GET /api/v1/revocations/status`: who enforces the list already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// How old the lists of one verifier were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgesOfBody {
    /// Its name.
    pub verifier: String,
    /// The tools whose calls it decides, by the policy in force.
    pub tools: Vec<String>,
    /// How old its list may be for the strictest of their calls, in seconds, by the policy in force; absent where they only
    /// read, for which the window is the verifier's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// The largest age among its instances in each minute of `at`, in seconds, 999,999 at most; null where none reported.
    /// Empty where none did in all that time.
    pub ages: Vec<Option<u32>>,
}

/// `GET /api/v1/verifiers/ages`: how old the lists of verifiers were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgesAnswer {
    /// The broker's clock, in seconds since the epoch.
    pub now: u64,
    /// Since when anything is known, in seconds since the epoch: since the broker started, or its clock was set back; for
    /// a day at most.
    pub since: u64,
    /// How long a sample is, in seconds.
    pub every: u64,
    /// Where each sample begins, in seconds since the epoch; the last one still goes on.
    pub at: Vec<u64>,
    /// Every verifier of the policy, and those that reported in that time, by name.
    pub verifiers: Vec<AgesOfBody>,
    /// How many more report and are not followed, for want of room.
    pub left_off: u64,
}
