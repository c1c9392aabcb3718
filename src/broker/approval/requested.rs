//! What is kept of a request while it waits, and what a policy makes of it now.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shortbread_protocol::approval::{Shown, ShownCall};
use shortbread_protocol::event::Segment;
use shortbread_protocol::oauth::Delegation;
use shortbread_protocol::reason::Reason;
use thiserror::Error;

use super::voters::standing_votes;
use crate::cases::decide::{Asking, Weighed};
use crate::cases::{Call, Input, Wanted};
use crate::policy::{Demand, Policy};
use crate::store::{ApprovalRecord, Revocations, StoredApproval, StoredVote};

/// What a stored request is decided and answered by, beside what is shown of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Requested {
    /// Who asked, and how that was proved. What is asked for is what is shown.
    pub input: Input,
    /// Names the client: a hash of its identity.
    pub client: String,
    /// Whether the client authenticates with each attempt (RFC 6749, section 2.3), as it did when it asked.
    pub authenticates: bool,
    /// What tells whether a voter is who asked.
    pub marks: Vec<String>,
    /// The audiences that it is wanted for.
    pub resources: Vec<String>,
    /// Whether a token of it may be narrowed and passed on.
    pub delegation: Delegation,
    /// What the log says of the identity.
    pub identity: Value,
    /// What it is counted by.
    pub segment: Segment,
    /// The decision that it was.
    pub decision: String,
    /// Its trace, in hex.
    pub trace: String,
}

/// A request as it is stored cannot be read: another program wrote it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a request that waits for a person cannot be read from the store")]
pub struct Broken;

/// A request that waits, read.
#[derive(Clone, Debug)]
pub struct Wait {
    /// As it is stored.
    pub record: ApprovalRecord,
    /// The votes, the first first.
    pub votes: Vec<StoredVote>,
    /// What is shown.
    pub shown: Shown,
    /// What else is kept.
    pub requested: Requested,
}

/// How a request ended: what of it its record says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Outcome {
    /// Who decided it.
    pub by: Option<String>,
    /// Why it was denied, in their words.
    pub reason: Option<String>,
    /// The tokens that it became.
    #[serde(default)]
    pub tokens: Vec<String>,
}

impl Wait {
    /// Reads what is stored.
    ///
    /// # Errors
    /// When it is not of this program.
    pub fn read(stored: StoredApproval) -> Result<Self, Broken> {
        let StoredApproval { record, votes } = stored;
        let shown = serde_json::from_slice(&record.shown).map_err(|_| Broken)?;
        let requested = serde_json::from_slice(&record.request).map_err(|_| Broken)?;
        Ok(Self { record, votes, shown, requested })
    }

    /// What a policy makes of what is shown, now.
    ///
    /// # Errors
    /// With the reason and a sentence, where it gives nothing of it, or not one of the exact calls.
    pub fn weigh(&self, policy: &Policy) -> Result<Weighed, (Reason, String)> {
        self.requested.weigh(&self.shown, policy)
    }

    /// What a policy demands for it now, whether or not it lets each exact call pass; `None` where it demands nothing.
    #[must_use]
    pub fn demands(&self, policy: &Policy) -> Option<Vec<Demand>> {
        let weighed = self.requested.asking(&self.shown).weigh(policy).ok()?;
        weighed.pending.map(|waits| waits.demands)
    }

    /// How it ended; nothing of one that is open.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let text = self.record.outcome.as_deref();
        text.and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default()
    }

    /// The votes that stand by this revocation list.
    #[must_use]
    pub fn standing_votes(&self, list: &Revocations) -> Vec<StoredVote> {
        standing_votes(&self.votes, &self.requested.marks, list)
    }
}

impl Requested {
    /// What a policy makes of what is shown. Never more than is shown: each way of a verb is met with it.
    ///
    /// # Errors
    /// With the reason and a sentence, where it gives nothing of it, or not one of the exact calls.
    pub fn weigh(&self, shown: &Shown, policy: &Policy) -> Result<Weighed, (Reason, String)> {
        let asking = self.asking(shown);
        let weighed = asking.weigh(policy)?;
        let call = |call: &ShownCall| Call { verb: call.operation.clone(), args: call.args.clone() };
        let calls: Vec<Call> = shown.calls.iter().map(call).collect();
        asking.grants(policy, &weighed.granted, &calls)?;
        Ok(weighed)
    }

    fn asking(&self, shown: &Shown) -> Asking {
        let ways = shown.rights.iter().map(|right| (&right.operation, right.constraints.clone()));
        let whole: BTreeSet<_> = shown.calls.iter().map(|call| &call.operation).collect();
        let asked = ways.chain(whole.into_iter().map(|operation| (operation, None)));
        let request = asked.map(|(verb, constraints)| Wanted { verb: verb.clone(), constraints }).collect();
        Asking::from(Input { request, ttl: Some(shown.ttl), ..self.input.clone() })
    }
}

/// What tells that two names are one person's or one program's: the keys and the identity that were proved.
#[must_use]
pub fn marks_of(keys: impl IntoIterator<Item = String>, identity: Option<[u8; 32]>) -> Vec<String> {
    let keys = keys.into_iter().map(|thumbprint| format!("key:{thumbprint}"));
    let identity = identity.map(|hash| format!("identity:{}", hex::encode(hash)));
    let marks: BTreeSet<String> = keys.chain(identity).collect();
    marks.into_iter().collect()
}
