//! What approvers are told: that something waits for them, and where to look.

use std::fmt;

use serde_json::{Value, json};
use shortbread_protocol::clock::Timestamp;

use super::notice::{Named, Weight, first, unnamed};

/// What became of a request for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApprovalStep {
    /// It waits for these groups.
    Requested,
    /// Nobody decided within the SLA: these groups are asked too.
    Escalated,
    /// Nobody decided within the SLA, and there is nobody else to ask.
    Overdue,
    /// This operator's vote approved it.
    Approved(String),
    /// This operator denied it.
    Denied(String),
    /// Its time is over.
    Expired,
}

/// Something about a request for approval. No argument stands in it: those are looked at where it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalNotice {
    /// What became of it.
    pub step: ApprovalStep,
    /// Its id.
    pub approval: String,
    /// Who asks, as `workflow:refund-desk`.
    pub principal: String,
    /// The verbs, as `tool/verb`.
    pub verbs: Vec<String>,
    /// The groups that are asked now.
    pub approvers: Vec<String>,
    /// When the next group is asked.
    pub escalates: Option<Timestamp>,
    /// When it is over.
    pub expires: Timestamp,
    /// Where to look.
    pub url: String,
    /// The decision's id.
    pub decision: String,
}

impl ApprovalNotice {
    pub(super) const fn kind(&self) -> &'static str {
        match self.step {
            ApprovalStep::Requested => "approval.requested",
            ApprovalStep::Escalated | ApprovalStep::Overdue => "approval.escalated",
            ApprovalStep::Approved(_) | ApprovalStep::Denied(_) => "approval.decided",
            ApprovalStep::Expired => "approval.expired",
        }
    }

    pub(super) const fn weight(&self) -> Weight {
        match self.step {
            ApprovalStep::Requested => Weight::Middle,
            ApprovalStep::Escalated | ApprovalStep::Overdue | ApprovalStep::Expired => Weight::High,
            ApprovalStep::Approved(_) | ApprovalStep::Denied(_) => Weight::Low,
        }
    }

    pub(super) fn data(&self) -> Value {
        let (outcome, by) = match &self.step {
            ApprovalStep::Approved(by) => (Some("approved"), Some(by)),
            ApprovalStep::Denied(by) => (Some("denied"), Some(by)),
            _ => (None, None),
        };
        json!({
            "approval": self.approval, "principal": self.principal, "verbs": first(&self.verbs),
            "unnamed": unnamed(&self.verbs), "approvers": self.approvers, "outcome": outcome, "by": by,
            "escalates": self.escalates.map(|at| at.to_string()), "expires": self.expires.to_string(),
            "overdue": matches!(self.step, ApprovalStep::Overdue), "url": self.url, "decision_id": self.decision,
        })
    }
}

/// One sentence for people.
impl fmt::Display for ApprovalNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { approval, principal, expires, url, decision, .. } = self;
        let (verbs, groups) = (Named(&self.verbs), self.approvers.join(", "));
        let look = format!("look at {url}, or run `shortbread approvals show {approval}`");
        match &self.step {
            ApprovalStep::Requested => {
                write!(
                    f,
                    "{principal} waits for the approval of {groups}: {verbs}; it expires at {expires}; {look}"
                )
            }
            ApprovalStep::Escalated => write!(
                f,
                "nobody decided in time about {verbs} of {principal}, so {groups} are asked; it expires at {expires}; {look}"
            ),
            ApprovalStep::Overdue => write!(
                f,
                "nobody decided in time about {verbs} of {principal}, and there is nobody else to ask than {groups}; it expires at {expires}; {look}"
            ),
            ApprovalStep::Approved(by) => {
                write!(f, "{by} approved {verbs} of {principal} ({approval}, decision {decision})")
            }
            ApprovalStep::Denied(by) => {
                write!(f, "{by} denied {verbs} of {principal} ({approval}, decision {decision})")
            }
            ApprovalStep::Expired => {
                write!(f, "nobody approved {verbs} of {principal} in time ({approval}, decision {decision})")
            }
        }
    }
}
