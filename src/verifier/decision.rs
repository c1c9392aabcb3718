//! What is asked about a call, and what is answered.

use shortbread_protocol::access::Access;
use shortbread_protocol::call::Args;
use shortbread_protocol::reason::Reason;

/// One call of a tool, as the tool service understood it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The tool, such as `github`.
    pub tool: &'a str,
    /// The verb, such as `issues.write`.
    pub verb: &'a str,
    /// All arguments, or `None` when the call was not read whole: then no condition on arguments can be met.
    pub args: Option<&'a Args>,
}

/// Whether a call may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// The answer about one call. It holds names and ids, never the token itself.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Whether the call may happen.
    pub outcome: Outcome,
    /// Why not; `None` when it may.
    pub reason: Option<Reason>,
    /// More about the reason, in words that the caller may read.
    pub detail: Option<String>,
    /// The id of this decision, under which it is recorded.
    pub id: String,
    /// The workflow that the token stands for, once the token is believed.
    pub workflow: Option<String>,
    /// The operator that the token stands for, once the token is believed.
    pub operator: Option<String>,
    /// The declared intent.
    pub intent: Option<String>,
    /// The task.
    pub task: Option<String>,
    /// The token's id.
    pub token: Option<String>,
    /// The access of the verb that was called, as granted.
    pub access: Option<Access>,
    /// For a denied call, the scopes that the token holds, as `tool:verb`; empty when it is not believed.
    pub held: Vec<String>,
    /// The sequence of the revocation list that was looked at; 0 for none.
    pub list_seq: u64,
    /// The age of that list in seconds, when it is known.
    pub list_age: Option<u64>,
}

impl Decision {
    /// A denial about which nothing but its reason is known.
    #[must_use]
    pub fn denied(id: String, reason: Reason) -> Self {
        Self {
            outcome: Outcome::Deny,
            reason: Some(reason),
            detail: None,
            id,
            workflow: None,
            operator: None,
            intent: None,
            task: None,
            token: None,
            access: None,
            held: Vec::new(),
            list_seq: 0,
            list_age: None,
        }
    }

    /// Whether the call may happen.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allow
    }
}

/// Who decides about calls.
pub trait Checker: Send + Sync {
    /// Decides about one call. `token` is the text after `Bearer` or `DPoP`; `None` when there was none.
    fn check(&self, token: Option<&str>, call: &Call<'_>) -> Decision;

    /// Numbers and records a refusal of a request that could not be read as a call, such as one with two tokens.
    /// The decision is a denial with this reason, whatever the implementation does. As provided it has no id and is
    /// not recorded.
    fn refuse(&self, reason: Reason, detail: &str) -> Decision {
        Decision { detail: Some(detail.to_owned()), ..Decision::denied(String::new(), reason) }
    }
}
