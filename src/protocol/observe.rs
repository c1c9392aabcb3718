//! What a broker says of tools whose calls pass for now though they would be denied: observe mode.
//!
//! It is said to one instance of one verifier, in the answer to one of its messages, and signed by the key that signs heads.
//! A verifier that did not ask for it by its own configuration does not listen.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::{ToolName, VerifierName};
use crate::reason::Reason;

/// The `typ` of a signed [`Statement`].
pub const OBSERVE_TYPE: &str = "shortbread-observe+jwt";
/// How far ahead the end of it may lie when a policy is put in force.
pub const MAX_OBSERVE: Duration = Duration::from_secs(90 * 86_400);
/// How far the clocks of broker and verifier may be apart.
pub const MAX_SKEW: Duration = Duration::from_secs(60);
/// How long a statement counts that is not renewed, from when it was signed.
pub const HOLDS: Duration = Duration::from_secs(120);

/// Which tools a verifier's instance does not enforce for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The broker's public URL.
    pub iss: String,
    /// The verifier it is for.
    pub verifier: VerifierName,
    /// The instance it is for.
    pub instance: String,
    /// The number of the message that it answers; 0 for the lease. So none is good a second time.
    pub n: u64,
    /// When it was signed, in seconds since the epoch.
    pub iat: u64,
    /// The tools, and until when: in seconds since the epoch.
    pub tools: BTreeMap<ToolName, u64>,
}

impl Reason {
    /// Whether a call that is denied for this reason passes in observe mode. The switch works from the first day, so that
    /// nothing revoked ever does; nor does a request that could not be read as a call, a call whose decision had to be
    /// recorded and was not, or one with a token that is good once for another.
    #[must_use]
    pub const fn passes_when_observed(self) -> bool {
        !matches!(
            self,
            Self::Revoked(_)
                | Self::RevokedAll
                | Self::RevokedBlock
                | Self::CallMalformed
                | Self::RecordUnavailable
                | Self::ApprovedCallOnly
                | Self::AlreadyUsed
                | Self::ClaimUnavailable
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_revoked_stays_denied_and_every_other_decision_about_a_call_passes() {
        for reason in Reason::all() {
            let code = reason.code();
            let once = ["approval.other_call", "approval.used", "approval.claim_unavailable"];
            let denied = code.starts_with("revoked.")
                || ["call.malformed", "record.unavailable"].contains(&code)
                || once.contains(&code);
            assert_eq!(reason.passes_when_observed(), !denied, "{code}");
        }
        assert!(Reason::all().iter().filter(|reason| !reason.passes_when_observed()).count() > 10);
    }

    #[test]
    fn a_statement_has_the_members_that_are_known_and_no_other() {
        let text = r#"{"iss":"https://b.example","verifier":"github","instance":"i","n":3,"iat":9,"tools":{"github":99}}"#;
        let read: Statement = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert!(serde_json::from_str::<Statement>(&text.replace("\"n\"", "\"m\"")).is_err());
        assert!(serde_json::from_str::<Statement>(&text.replace("{\"iss\"", "{\"x\":1,\"iss\"")).is_err());
    }
}
