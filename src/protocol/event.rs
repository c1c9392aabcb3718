//! Entries of the audit log: CloudEvents 1.0 in JSON. The exact bytes are the leaf; they are never written again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::names::{Intent, Release, Task};

/// The most bytes an entry may have.
pub const MAX_ENTRY: usize = 65_535;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventType {
    /// A token was issued.
    #[serde(rename = "dev.shortbread.token.minted.v1")]
    TokenMinted,
    /// A request for a token was refused.
    #[serde(rename = "dev.shortbread.token.refused.v1")]
    TokenRefused,
    /// A decision on the admin API.
    #[serde(rename = "dev.shortbread.decision.v1")]
    Decision,
    /// Something was revoked.
    #[serde(rename = "dev.shortbread.revocation.set.v1")]
    RevocationSet,
    /// A revocation was lifted.
    #[serde(rename = "dev.shortbread.revocation.lifted.v1")]
    RevocationLifted,
    /// A policy came into force.
    #[serde(rename = "dev.shortbread.policy.activated.v1")]
    PolicyActivated,
    /// A policy version is tried on some workflows.
    #[serde(rename = "dev.shortbread.policy.tried.v1")]
    PolicyTried,
    /// The trial of a policy version ended.
    #[serde(rename = "dev.shortbread.policy.trial_ended.v1")]
    PolicyTrialEnded,
    /// A policy version was taken in.
    #[serde(rename = "dev.shortbread.policy.added.v1")]
    PolicyAdded,
    /// A verifier decided about a call.
    #[serde(rename = "dev.shortbread.call.decision.v1")]
    CallDecision,
    /// A request waits for a person.
    #[serde(rename = "dev.shortbread.approval.requested.v1")]
    ApprovalRequested,
    /// An approver agreed or narrowed, and it is not decided yet.
    #[serde(rename = "dev.shortbread.approval.voted.v1")]
    ApprovalVoted,
    /// The approvers approved or denied a request.
    #[serde(rename = "dev.shortbread.approval.decided.v1")]
    ApprovalDecided,
    /// Nobody decided in time: the next group is asked, where there is one.
    #[serde(rename = "dev.shortbread.approval.escalated.v1")]
    ApprovalEscalated,
    /// The time of a request was over before it was approved and fetched.
    #[serde(rename = "dev.shortbread.approval.expired.v1")]
    ApprovalExpired,
    /// A request was taken back by who made it.
    #[serde(rename = "dev.shortbread.approval.cancelled.v1")]
    ApprovalCancelled,
    /// A verifier claimed the one use of a token.
    #[serde(rename = "dev.shortbread.call.claimed.v1")]
    CallClaimed,
    /// A token expired unused, and what it took out of a budget is there again.
    #[serde(rename = "dev.shortbread.budget.returned.v1")]
    BudgetReturned,
    /// What decisions about one subject depended on was erased.
    #[serde(rename = "dev.shortbread.audit.erased.v1")]
    AuditErased,
    /// A circuit breaker opened.
    #[serde(rename = "dev.shortbread.breaker.opened.v1")]
    BreakerOpened,
    /// A circuit breaker closed again.
    #[serde(rename = "dev.shortbread.breaker.closed.v1")]
    BreakerClosed,
    /// A key document was published.
    #[serde(rename = "dev.shortbread.key.rotated.v1")]
    KeyRotated,
    /// An instance of a verifier took a lease.
    #[serde(rename = "dev.shortbread.verifier.leased.v1")]
    VerifierLeased,
    /// An operator had a silent instance of a verifier forgotten.
    #[serde(rename = "dev.shortbread.verifier.forgotten.v1")]
    VerifierForgotten,
    /// The store was restored from a backup.
    #[serde(rename = "dev.shortbread.store.restored.v1")]
    StoreRestored,
    /// An operator signed in to the console.
    #[serde(rename = "dev.shortbread.console.signed_in.v1")]
    ConsoleSignedIn,
    /// An operator's session of the console ended.
    #[serde(rename = "dev.shortbread.console.signed_out.v1")]
    ConsoleSignedOut,
}

/// One entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// `1.0`.
    pub specversion: String,
    /// The decision's id.
    pub id: String,
    /// The issuer.
    pub source: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// When, in RFC 3339.
    pub time: String,
    /// Whom it concerns: `workflow/NAME`, `operator/NAME`, or `unknown`.
    pub subject: String,
    /// `application/json`.
    pub datacontenttype: String,
    /// W3C trace context.
    pub traceparent: String,
    /// The particulars.
    pub data: Value,
}

impl Event {
    /// An entry in the log's form.
    #[must_use]
    pub fn new(kind: EventType, issuer: &str, decision: &Decision, subject: String, data: Value) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: decision.id.clone(),
            source: issuer.to_owned(),
            kind,
            time: decision.at.to_string(),
            subject,
            datacontenttype: "application/json".to_owned(),
            traceparent: decision.traceparent(),
            data,
        }
    }

    /// The bytes that are stored and hashed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with text keys always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What ties an answer, a log line and an audit entry together.
#[derive(Clone, Debug)]
pub struct Decision {
    /// `dec_…`.
    pub id: String,
    /// When it was begun.
    pub at: Timestamp,
    /// W3C trace id.
    pub trace: [u8; 16],
    /// W3C parent id of what the broker did.
    pub span: [u8; 8],
    /// W3C parent id of what the caller did, where it said so.
    pub parent: Option<[u8; 8]>,
    /// W3C trace flags.
    pub flags: u8,
}

impl Decision {
    /// The W3C `traceparent` of this decision.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", hex::encode(self.trace), hex::encode(self.span), self.flags)
    }

    /// The trace id in hex: the request's id.
    #[must_use]
    pub fn request_id(&self) -> String {
        hex::encode(self.trace)
    }
}

/// Reads the trace id and flags of a W3C `traceparent` (version 00); `None` when it is not sound.
#[must_use]
pub fn read_traceparent(header: &str) -> Option<([u8; 16], u8)> {
    let mut parts = header.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower = header.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b) || b == b'-');
    if version != "00" || parts.next().is_some() || parent.len() != 16 || flags.len() != 2 || !lower {
        return None;
    }
    let trace: [u8; 16] = hex::decode(trace).ok()?.try_into().ok()?;
    let flags = hex::decode(flags).ok()?.first().copied()?;
    (trace != [0; 16] && parent != "0000000000000000").then_some((trace, flags))
}

/// Reads the parent id of a W3C `traceparent` (version 00): the span of who wrote it. `None` when it is not sound.
#[must_use]
pub fn read_parent(header: &str) -> Option<[u8; 8]> {
    read_traceparent(header)?;
    hex::decode(header.split('-').nth(2)?).ok()?.try_into().ok()
}

/// What an entry and a log line are counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The workflow or operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// The declared purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The worst access that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// The version that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_is_read_strictly() {
        let sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(read_traceparent(sound).unwrap().1, 1);
        assert_eq!(read_parent(sound).unwrap(), [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-\u{e9}af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(read_traceparent(bad).is_none() && read_parent(bad).is_none(), "{bad}");
        }
    }
}
