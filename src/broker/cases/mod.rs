//! Cases: what was asked for, by whom, and what should come of it. Recorded by every exchange, written down by people,
//! decided again under any policy by the function that decides live.
//!
//! A file of cases is JSON Lines (one [`Case`] a line) or TOML (`[[cases]]` tables with the same members).

mod call;
pub mod check;
pub mod decide;
pub mod gate;
mod labelled;
pub mod read;
mod recorded;
pub mod replay;

pub use labelled::{labelled_by, lets_through, loosened};
pub use recorded::{NoCase, case, decided, is_operators};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::constraint::Arguments;
use shortbread_protocol::event::Segment;
use shortbread_protocol::names::{Intent, Operation};

/// The version of the format.
pub const VERSION: u32 = 1;

/// One case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The version of the format: [`VERSION`].
    #[serde(default = "version")]
    pub v: u32,
    /// What names it: the id of the decision that it was recorded from, or whatever its author calls it.
    pub id: String,
    /// When the decision was asked for; absent in a case that a person wrote.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment")]
    pub at: Option<Timestamp>,
    /// What was asked for, by whom.
    pub input: Input,
    /// What was decided then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
    /// What ought to be decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// What it is counted by.
    #[serde(default)]
    pub segment: Segment,
    /// How many requests it stands for.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u64,
}

/// All that a decision depends on beside the policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Who asked.
    pub identity: Identity,
    /// The declared purpose; absent is `undeclared`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The life asked for, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// Whether they proved a key.
    #[serde(default)]
    pub possession: Held,
    /// What was asked for; one verb may stand there several times.
    pub request: Vec<Wanted>,
    /// A call that is made with the token: it must be allowed too. Only in cases that people write, for the broker
    /// never sees a call's arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
}

/// Who asked, and how that was proved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// As in `client_id`: `workflow:release-notes` or `operator:alice`.
    pub principal: String,
    /// The RFC 7638 thumbprint of a registered key. Another policy must register the same key for the same principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The issuer (or `spiffe://` trust domain) of the token that proved it. Another policy must have exactly one entry
    /// that these claims match, and it must name the principal. Without key and issuer the principal is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The claims, where an issuer spoke.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
}

/// Whether the one who asked proved a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Held {
    /// They did: the token is bound to it.
    #[default]
    Proved,
    /// They did not.
    Unproved,
    /// They did not, and their platform hands out the same identity again.
    Reusable,
}

/// One verb that is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// As `github/issues.write`.
    pub verb: Operation,
    /// The arguments it is asked for; absent leaves them to the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Arguments>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// As `github/issues.write`.
    pub verb: Operation,
    /// Its arguments, as the tool service would read them.
    #[serde(default)]
    pub args: Map<String, Value>,
}

/// What is decided, or ought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A token is granted.
    Allow,
    /// Nothing is.
    Deny,
    /// A person must approve it first.
    NeedsApproval,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::NeedsApproval => "needs_approval",
        }
    }
}

/// What was decided when the case was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The outcome.
    pub outcome: Outcome,
    /// The verbs that were granted, as `github/issues.write`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<String>,
    /// Reason codes of a refusal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The digest of the policy that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// What ought to be decided, and who says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The outcome.
    pub expect: Outcome,
    /// Exactly the verbs that must be granted, as `github/issues.write`; absent asks for none in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Vec<String>>,
    /// The reason code that a refusal must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What went wrong in the incident that the case comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<Mechanism>,
    /// Who labelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, such as the incident's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What went wrong in an incident: a closed list, so that reports can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// A grant gave more than the work needed.
    OverBroadGrant,
    /// A credential outlived its purpose.
    StaleCredential,
    /// Nobody was asked who should have been.
    MissingApproval,
    /// An argument got past its conditions.
    ArgumentEscape,
    /// The wrong one was taken for the workflow.
    WrongIdentity,
    /// The tool did something else than it used to.
    ToolChanged,
    /// Anything else; the note says what.
    Other,
}

impl Mechanism {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::OverBroadGrant,
        Self::StaleCredential,
        Self::MissingApproval,
        Self::ArgumentEscape,
        Self::WrongIdentity,
        Self::ToolChanged,
        Self::Other,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OverBroadGrant => "over-broad-grant",
            Self::StaleCredential => "stale-credential",
            Self::MissingApproval => "missing-approval",
            Self::ArgumentEscape => "argument-escape",
            Self::WrongIdentity => "wrong-identity",
            Self::ToolChanged => "tool-changed",
            Self::Other => "other",
        }
    }
}

const fn version() -> u32 {
    VERSION
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_one(weight: &u64) -> bool {
    *weight == 1
}

/// Moments as RFC 3339.
mod moment {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use shortbread_protocol::clock::Timestamp;

    pub(super) fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => to.collect_str(at),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"v":1,"id":"dec_1","at":"2026-11-20T12:00:00Z","input":{"identity":{"principal":"workflow:triage","issuer":"https://issuer.example","claims":{"repository":"acme/web"}},"intent":"triage","ttl":600,"possession":"proved","request":[{"verb":"github/issues.write","constraints":{"repo":{"eq":"acme/web"}}}]},"recorded":{"outcome":"allow","granted":["github/issues.write"],"policy":"sha256:00"},"label":{"expect":"deny","mechanism":"over-broad-grant","note":"INC-482"},"segment":{"workflow":"triage","intent":"triage"}}"#;

    #[test]
    fn a_case_is_written_as_it_was_read() {
        let case: Case = serde_json::from_str(LINE).unwrap();
        assert_eq!(serde_json::to_string(&case).unwrap(), LINE);
        assert_eq!(case.weight, 1);
    }

    #[test]
    fn a_case_of_a_person_says_little_and_nothing_unknown() {
        let short = r#"{"id":"x","input":{"identity":{"principal":"workflow:demo"},"request":[{"verb":"github/issues.read"}]}}"#;
        assert!(serde_json::from_str::<Case>(short).is_ok());
        for bad in [
            short.replacen("\"id\"", "\"colour\":1,\"id\"", 1),
            short.replacen("github/issues.read", "issues.read", 1),
            short.replacen("{\"verb\"", "{\"expects\":1,\"verb\"", 1),
        ] {
            assert!(serde_json::from_str::<Case>(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mechanisms_have_the_words_they_are_read_by() {
        for mechanism in Mechanism::ALL {
            assert_eq!(serde_json::to_value(mechanism).unwrap(), mechanism.as_str());
        }
    }
}
