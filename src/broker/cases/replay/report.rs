//! What a replay found.

use serde::Serialize;
use shortbread_protocol::access::Access;

use super::super::Outcome;
use super::super::check::Checked;

/// What a replay found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The digest of the policy that decided.
    pub policy: String,
    /// The digest of the policy that it is compared with; absent: with what was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// How many cases were read.
    pub cases: u64,
    /// How many distinct inputs they have, labelled ones left out.
    pub inputs: u64,
    /// SHA-256 over the cases, each as its line: what a result rests on.
    pub digest: String,
    /// Every segment that came up, in order.
    pub segments: Vec<Counted>,
    /// Every change, in order.
    pub changes: Vec<Change>,
    /// How the labelled cases came out, in order.
    pub labels: Vec<Checked>,
}

/// A segment: what decisions are counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Segment {
    /// As `workflow:release-notes` or `operator:alice`.
    pub principal: String,
    /// The declared purpose; absent: any that the policies do not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// The tool.
    pub tool: String,
    /// The access of the verbs: the worse one, where the policies disagree. Absent where neither knows the verb.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

/// The decisions of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Which.
    pub segment: Segment,
    /// All decisions about verbs, labelled ones left out.
    pub decisions: u64,
    /// Those of labelled cases.
    pub labelled: u64,
    /// How many of all could be compared.
    pub compared: u64,
    /// How many of those were allowed before.
    pub allowed: u64,
    /// How many of those needed an approval before.
    pub waiting: u64,
}

impl Counted {
    pub(super) fn of(segment: Segment) -> Self {
        Self { segment, decisions: 0, labelled: 0, compared: 0, allowed: 0, waiting: 0 }
    }
}

/// Decisions that come out otherwise, all alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// A stable name, by which it can be accepted: `chg_` and 12 hex digits.
    pub id: String,
    /// Where.
    pub segment: Segment,
    /// The verb, as `github/issues.write`.
    pub verb: String,
    /// The outcome before. Allow to allow is on other conditions.
    pub from: Outcome,
    /// The outcome now.
    pub to: Outcome,
    /// How many.
    pub decisions: u64,
    /// The first cases.
    pub cases: Vec<String>,
}

impl Change {
    /// Whether somebody gets without an approval what they did not get before.
    #[must_use]
    pub fn is_newly_allowed(&self) -> bool {
        self.to == Outcome::Allow && self.from != Outcome::Allow
    }

    /// Whether somebody does not get what they did.
    #[must_use]
    pub fn is_newly_withheld(&self) -> bool {
        self.from == Outcome::Allow && self.to != Outcome::Allow
    }

    /// What changed, in words.
    #[must_use]
    pub fn words(&self) -> String {
        if self.from == self.to {
            return "allow, on other conditions".to_owned();
        }
        format!("{} -> {}", self.from.as_str(), self.to.as_str())
    }
}

impl Segment {
    /// The segment in a line: `workflow:release-notes, intent triage, github, write`.
    #[must_use]
    pub fn words(&self) -> String {
        let intent = match self.intent.as_deref() {
            None => "any other intent".to_owned(),
            Some("undeclared") => "no intent".to_owned(),
            Some(intent) => format!("intent {intent}"),
        };
        let access = self.access.map_or("unknown", Access::as_str);
        format!("{}, {intent}, {}, {access}", self.principal, self.tool)
    }
}
