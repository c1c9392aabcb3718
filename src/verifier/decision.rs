//! What is asked about a call, and what is answered.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use shortbread_protocol::access::Access;
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::{self, Step};

/// What came with a call to show who makes it.
#[derive(Clone, Copy, Default)]
pub struct Presented<'a> {
    /// The text after `Bearer` or `DPoP` in the `Authorization` header; `None` when there was none.
    pub token: Option<&'a str>,
    /// The proof of the key that the token is bound to, if one was sent.
    pub proof: Option<SentProof<'a>>,
    /// The W3C trace id of the request; without one the decision begins a trace of its own.
    pub trace: Option<[u8; 16]>,
}

/// A DPoP proof as it came, and what it has to be about (RFC 9449, section 4.3).
#[derive(Clone, Copy)]
pub struct SentProof<'a> {
    /// The text of the one `DPoP` header.
    pub text: &'a str,
    /// The method of the HTTP request.
    pub method: &'a str,
    /// The URL of the request as clients write it: by this service's configuration, never by the `Host` header.
    /// Query and fragment do not count. Empty where the service was not told its URL: then no proof is accepted.
    pub url: &'a str,
}

impl<'a> Presented<'a> {
    /// A token and no proof.
    #[must_use]
    pub const fn bearer(token: &'a str) -> Self {
        Self { token: Some(token), proof: None, trace: None }
    }
}

/// Says what there is, never the token or the proof.
impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, proof, .. } = self;
        f.debug_struct("Presented")
            .field("token", &token.is_some())
            .field("proof", proof)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SentProof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, url, .. } = self;
        f.debug_struct("SentProof").field("method", method).field("url", url).finish_non_exhaustive()
    }
}

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

/// Whom a token stands for: its names and ids, once it is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The workflow.
    pub workflow: Option<String>,
    /// The operator.
    pub operator: Option<String>,
    /// The declared intent.
    pub intent: Option<String>,
    /// The task.
    pub task: Option<String>,
    /// The token's id.
    pub token: Option<String>,
}

/// The id of a decision, under which it is recorded: a random series for each verifier, then a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecisionId {
    series: u64,
    count: u64,
}

impl DecisionId {
    /// The `count`th decision of a series.
    #[must_use]
    pub const fn new(series: u64, count: u64) -> Self {
        Self { series, count }
    }

    /// The id of a record that says how this decision's call came out. No decision has it, for none counts that far: the
    /// bits above the count say what is said, so that the same words about one decision are one record.
    #[cfg(feature = "report")]
    #[must_use]
    pub(crate) const fn of_result(self, word: u64) -> Self {
        Self { series: self.series, count: (1 << 59) | ((word & 3) << 57) | (self.count & ((1 << 57) - 1)) }
    }

    /// The trace that this decision begins where the request named none: as unique as the id.
    #[must_use]
    pub fn trace(self) -> [u8; 16] {
        let mut trace = [0; 16];
        let (series, count) = trace.split_at_mut(8);
        series.copy_from_slice(&self.series.to_be_bytes());
        count.copy_from_slice(&self.count.to_be_bytes());
        trace
    }

    /// The W3C parent id of this decision: its record has the same.
    #[must_use]
    pub fn span(self) -> [u8; 8] {
        verifiers::span(self.series, self.count)
    }
}

/// As in `dec_9f3c0a7be1d2446b0000000000000001`.
impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dec_{:016x}{:016x}", self.series, self.count)
    }
}

/// The part of a check in which a decision fell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The request was not read as a call.
    Call,
    /// The token: its bytes, its profile, its signatures.
    Token,
    /// The age of the revocation list, or its absence.
    List,
    /// What the list says.
    Revocation,
    /// Rights, conditions, arguments, the use of a token that is good once; an allowed call was allowed here.
    Evaluate,
    /// The proof of the key.
    Proof,
    /// The decision could not be recorded where that is required.
    Record,
}

impl Stage {
    /// The word for it, in records and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Token => "token",
            Self::List => "list",
            Self::Revocation => "revocation",
            Self::Evaluate => "evaluate",
            Self::Proof => "proof",
            Self::Record => "record",
        }
    }
}

/// The answer about one call. It holds names and ids, never the token itself.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Whether the call may happen.
    pub outcome: Outcome,
    /// Why not; `None` when it may.
    pub reason: Option<Reason>,
    /// Why it would not be, were its tool enforced: it may only because the tool is observed for now.
    pub observed: Option<Reason>,
    /// More about the reason, in words that the caller may read.
    pub detail: Option<String>,
    /// The id of this decision; `None` where nothing records it.
    pub id: Option<DecisionId>,
    /// The W3C trace id that the decision belongs to.
    pub trace: [u8; 16],
    /// When it was made.
    pub at: Timestamp,
    /// Where it fell.
    pub stage: Stage,
    /// Where on its fallback ladder the verifier stood.
    pub step: Step,
    /// Whom the token stands for, once it is believed.
    pub caller: Option<Arc<Caller>>,
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
    pub const fn denied(id: Option<DecisionId>, reason: Reason) -> Self {
        Self {
            outcome: Outcome::Deny,
            reason: Some(reason),
            observed: None,
            detail: None,
            id,
            trace: [0; 16],
            at: Timestamp::from_seconds(0),
            stage: Stage::Call,
            step: Step::Deny,
            caller: None,
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

    /// The W3C `traceparent` of this decision, for the answer and for whatever is called next; `None` where it belongs
    /// to no trace.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let span = self.id?.span();
        let known = self.trace != [0; 16];
        known.then(|| format!("00-{}-{}-01", hex::encode(self.trace), hex::encode(span)))
    }
}

/// A check under way; see [`Checker::check_claiming`].
pub type Checking<'a> = Pin<Box<dyn Future<Output = Decision> + Send + 'a>>;

/// Who decides about calls.
pub trait Checker: Send + Sync {
    /// Decides about one call by what came with it.
    fn check(&self, presented: &Presented<'_>, call: &Call<'_>) -> Decision;

    /// As [`check`](Self::check), and waits where something has to be asked of others: whether a token that is good once
    /// was used. As provided it waits for nobody.
    fn check_claiming<'a>(&'a self, presented: &'a Presented<'a>, call: &'a Call<'a>) -> Checking<'a> {
        Box::pin(std::future::ready(self.check(presented, call)))
    }

    /// Numbers and records a refusal of a request that could not be read as a call, such as one with two tokens. `trace`
    /// is the request's, as in [`Presented`]. The decision is a denial with this reason, whatever the implementation
    /// does. As provided it has no id and is not recorded.
    fn refuse(&self, reason: Reason, detail: &str, trace: Option<[u8; 16]>) -> Decision {
        let denied = Decision::denied(None, reason);
        Decision { detail: Some(detail.to_owned()), trace: trace.unwrap_or_default(), ..denied }
    }
}
