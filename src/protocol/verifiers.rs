//! What verifiers tell their broker: that they run, how far their list has come, what they decided.
//!
//! A registered verifier (`[[identities]] verifier = …`) takes a lease for each running instance, naming a key that the
//! instance made for itself. Everything it says then is a message that this key signed (see [`jws`](crate::jws)).

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::names::{ToolName, VerbName, VerifierName};

/// Where a lease is asked for: the body is a [`LeaseBody`].
pub const LEASE: &str = "/verifiers/lease";
/// Where reports go: the body is a signed [`Message`] of a [`Report`].
pub const REPORT: &str = "/verifiers/report";
/// Where call decisions go: the body is a signed [`Message`] of a [`Batch`].
pub const DECISIONS: &str = "/verifiers/decisions";
/// Where an instance says that it stops: the body is a signed [`Message`] of a [`Goodbye`].
pub const GOODBYE: &str = "/verifiers/goodbye";

/// Where the one use of a token is claimed: the body is a signed [`Message`] of a [`Claim`].
pub const CLAIMS: &str = "/verifiers/claims";

/// The `typ` of a signed [`Message`] of each kind, so that none passes for another.
pub const REPORT_TYPE: &str = "shortbread-report+jwt";
/// See [`REPORT_TYPE`].
pub const DECISIONS_TYPE: &str = "shortbread-decisions+jwt";
/// See [`REPORT_TYPE`].
pub const GOODBYE_TYPE: &str = "shortbread-goodbye+jwt";
/// See [`REPORT_TYPE`].
pub const CLAIM_TYPE: &str = "shortbread-claim+jwt";

/// How often an instance reports when nothing changes, in seconds.
pub const REPORT_EVERY: u64 = 15;
/// After how long without a report an instance is silent, in seconds: two may be lost.
pub const SILENT_AFTER: u64 = 3 * REPORT_EVERY;
/// The most records in one batch of call decisions.
pub const MAX_BATCH: usize = 64;
/// The most bytes of one signed message.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// The stage of a record that says how an earlier call came out. It is no call of its own.
pub const RESULT_STAGE: &str = "result";
/// The most that one record may say something cost, in millionths of the unit that the team counts in: 2^53, the last
/// number up to which JSON keeps every one.
pub const MAX_COST_MICROS: u64 = 1 << 53;

/// How a task came out, as is known once it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOutcome {
    /// It did what it was for.
    Completed,
    /// It did, after somebody put right what it had done.
    Corrected,
    /// It did not.
    Failed,
}

impl TaskOutcome {
    /// All of them, best first.
    pub const ALL: [Self; 3] = [Self::Completed, Self::Corrected, Self::Failed];

    /// The word for it, in records and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Corrected => "corrected",
            Self::Failed => "failed",
        }
    }
}

/// On which step of its fallback ladder a verifier stands, from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Step {
    /// The broker pushes each head.
    Stream,
    /// The broker is asked for the head.
    Poll,
    /// A mirror is asked for the head.
    Mirror,
    /// Nobody answers: the list in memory, or the one on disk, is used while it is young enough.
    #[default]
    Disk,
    /// The list is too old for calls that write; calls that read pass.
    ReadsOnly,
    /// There is no list, or it is too old for everything.
    Deny,
}

impl Step {
    /// All steps, best first.
    pub const ALL: [Self; 6] =
        [Self::Stream, Self::Poll, Self::Mirror, Self::Disk, Self::ReadsOnly, Self::Deny];

    /// The word for it, in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Poll => "poll",
            Self::Mirror => "mirror",
            Self::Disk => "disk",
            Self::ReadsOnly => "reads_only",
            Self::Deny => "deny",
        }
    }
}

/// `POST /verifiers/lease`: an instance begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseBody {
    /// Proof of the verifier's identity: an RFC 7523 assertion by its registered key, or its issuer's token.
    pub assertion: String,
    /// The instance's own Ed25519 key, 32 bytes in base64url; new for each start.
    pub key: String,
    /// What people call the instance, such as a host name: 1 to 64 printable ASCII characters.
    #[serde(default)]
    pub label: Option<String>,
}

/// The answer to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseAnswer {
    /// The instance: the RFC 7638 thumbprint of its key, and the `kid` of its messages.
    pub instance: String,
    /// The verifier.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub verifier: VerifierName,
    /// The tools whose calls it decides.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub tools: Vec<ToolName>,
    /// How often to report when nothing changes, in seconds.
    pub report_every: u64,
    /// After how long without a report the instance counts as silent, in seconds.
    pub silent_after: u64,
    /// The signed [`Statement`](crate::observe::Statement) of those tools that are not enforced for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<String>,
}

/// What an instance signs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message<T> {
    /// The broker's public URL.
    pub aud: String,
    /// Rises with every message of the instance; a lower or equal one is refused. Reports and goodbyes only: batches
    /// may come again, for their records are told apart by their ids.
    pub n: u64,
    /// When it was signed, in seconds since the epoch.
    pub iat: u64,
    /// What it says.
    #[serde(flatten)]
    pub said: T,
}

/// How far an instance is: on each change of its list, and every [`REPORT_EVERY`] seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The sequence of the last head whose entries are applied; 0 for none.
    pub seq: u64,
    /// The sequence of the last change those entries hold; 0 for none.
    pub contents: u64,
    /// The version of the key document in force; 0 for none.
    pub keys_version: u64,
    /// The sequence of the break-glass head in force; 0 for none.
    pub break_glass: u64,
    /// The age of the list in seconds; absent while it cannot be known.
    pub age: Option<u64>,
    /// When `contents` was applied, in milliseconds since the epoch; absent when nothing is.
    pub applied_at: Option<u64>,
    /// Where on its ladder it stands.
    pub step: Step,
    /// Call decisions that wait to be uploaded.
    pub waiting: u64,
    /// Call decisions that were lost for want of room since the instance began.
    pub lost: u64,
    /// The tools whose would-be denials it lets pass now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observing: Vec<ToolName>,
    /// Who keeps the uses of tokens that are good once.
    #[serde(default)]
    pub uses: Uses,
}

/// Who keeps which tokens were used, of those that are good once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Uses {
    /// Nobody: such tokens are refused.
    #[default]
    Nobody,
    /// The instance by itself: right only where it is the one instance of its tools.
    Local,
    /// The broker, for all instances.
    Broker,
}

/// The one use of a token is claimed, for a call that is allowed in everything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The token's id.
    pub token: String,
    /// Names this attempt at the call: 32 hex digits, drawn anew for each. The same attempt may claim again, when the
    /// answer was lost; another one may not.
    pub attempt: String,
    /// The tool that is called.
    pub tool: ToolName,
    /// Its verb.
    pub verb: VerbName,
    /// SHA-256 of the arguments in canonical JSON, in hex; absent where the call was not read or has no such hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args_sha256: Option<String>,
}

/// The answer to a claim that holds: the call may run. One that does not is refused with `approval.used`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClaimAnswer {
    /// Whether this attempt had claimed it before: the answer was lost.
    pub again: bool,
}

/// An instance stops: it is gone, not silent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {}

/// Call decisions, at most [`MAX_BATCH`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The decisions, oldest first.
    pub decisions: Vec<CallRecord>,
}

/// One decision about one call. Names and ids; never the token, never an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The decision's id, `dec_…`: the same record sent twice is one.
    #[serde(default)]
    pub id: String,
    /// When, in milliseconds since the epoch.
    #[serde(default)]
    pub at: u64,
    /// The W3C trace id in hex. A record without it is refused, as it is without intent, stage or outcome.
    #[serde(default)]
    pub trace_id: Option<String>,
    /// The declared intent; `undeclared` where there is none, `unknown` where the token was not believed.
    #[serde(default)]
    pub intent: Option<String>,
    /// Where the decision fell: `token`, `list`, `revocation`, `evaluate`, `proof`, `call` or `record`; [`RESULT_STAGE`]
    /// where this is the result of a call that was decided before.
    #[serde(default)]
    pub stage: Option<String>,
    /// `allow` or `deny`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// The reason code of a denial.
    #[serde(default)]
    pub reason: Option<String>,
    /// The reason code for which an allowed call would have been denied, had its tool been enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
    /// The tool and verb that were called; empty where the call could not be read.
    #[serde(default)]
    pub tool: String,
    /// See `tool`.
    #[serde(default)]
    pub verb: String,
    /// The verb's access as granted.
    #[serde(default)]
    pub access: Option<Access>,
    /// Whom the token stands for, once it is believed.
    #[serde(default)]
    pub workflow: Option<String>,
    /// See `workflow`.
    #[serde(default)]
    pub operator: Option<String>,
    /// The task.
    #[serde(default)]
    pub task: Option<String>,
    /// The token's id.
    #[serde(default)]
    pub token: Option<String>,
    /// The sequence of the list that was looked at.
    #[serde(default)]
    pub list_seq: u64,
    /// Its age in seconds, when known.
    #[serde(default)]
    pub list_age: Option<u64>,
    /// Where on its ladder the verifier stood.
    #[serde(default)]
    pub step: Step,
    /// How the task of an allowed call came out, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_outcome: Option<TaskOutcome>,
    /// What an allowed call cost, in millionths of the unit that the team counts in; at most [`MAX_COST_MICROS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
}

impl CallRecord {
    /// The two halves of its id, a random series and a count below 2^60; `None` when it is not of that form. What the
    /// broker gives its own decisions never is: its ids have a digit above 7 there (RFC 9562, section 4.1).
    #[must_use]
    pub fn halves(&self) -> Option<(u64, u64)> {
        let digits = self.id.strip_prefix("dec_").filter(|digits| digits.len() == 32)?;
        let lower = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let (series, count) = digits.split_at_checked(16).filter(|_| lower)?;
        let half = |text| u64::from_str_radix(text, 16).ok();
        half(series).zip(half(count).filter(|count| count >> 60 == 0))
    }

    /// Whether it says how an earlier call came out, and is no call of its own.
    #[must_use]
    pub fn is_result(&self) -> bool {
        self.stage.as_deref() == Some(RESULT_STAGE)
    }

    /// What a record lacks without which it is refused: the first of id, `trace_id`, `intent`, `stage`, `outcome`.
    #[must_use]
    pub fn lacks(&self) -> Option<&'static str> {
        let present = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let trace = self.trace_id.as_ref().is_some_and(|trace| {
            trace.len() == 32
                && trace.bytes().all(|b| b.is_ascii_hexdigit())
                && trace.bytes().any(|b| b != b'0')
        });
        let outcome = self.outcome.as_ref().is_some_and(|outcome| outcome == "allow" || outcome == "deny");
        let checks = [
            (self.id.starts_with("dec_") && self.id.len() <= 64, "id"),
            (trace, "trace_id"),
            (present(&self.intent), "intent"),
            (present(&self.stage), "stage"),
            (outcome, "outcome"),
        ];
        checks.into_iter().find(|(there, _)| !there).map(|(_, what)| what)
    }
}

/// The W3C parent id of a verifier's decision, by the two halves of its id: a random series, and a count in it.
#[must_use]
pub const fn span(series: u64, count: u64) -> [u8; 8] {
    // W3C knows no span of zeros.
    match series.wrapping_add(count) {
        0 => 1_u64.to_be_bytes(),
        span => span.to_be_bytes(),
    }
}

/// The answer to a batch: what is not refused here is in the audit log, and must not be sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchAnswer {
    /// How many are recorded now.
    pub recorded: u64,
    /// How many were recorded before.
    pub known: u64,
    /// Those that are refused for good; sending them again is in vain.
    pub refused: Vec<RefusedRecord>,
}

/// A record that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedRecord {
    /// Its id, as it was sent.
    pub id: String,
    /// What is wrong: what it lacks, such as `trace_id`, or `tool` for one that the verifier does not serve.
    pub wrong: String,
}

/// The answer to a report or a goodbye.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportAnswer {
    /// The sequence of the last change of the broker's list: whoever is below it is behind.
    pub contents: u64,
    /// The signed [`Statement`](crate::observe::Statement) of those tools that are not enforced for now; without it all
    /// are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jws;
    use crate::keys::PrivateKey;

    #[test]
    fn a_message_is_read_as_it_was_signed_and_no_other() {
        let key = PrivateKey::from_seed(&[1; 32]);
        let said = Report { seq: 4, contents: 3, step: Step::Stream, ..Report::default() };
        let message = Message { aud: "https://b.example".to_owned(), n: 1, iat: 2, said };
        let text = jws::sign(REPORT_TYPE, "i", &message, &key);
        let read: Message<Report> = jws::open(&text, REPORT_TYPE, "i", &key.public()).unwrap();
        assert_eq!((read.said, read.n), (message.said, 1));
        assert!(jws::open::<Message<Goodbye>>(&text, GOODBYE_TYPE, "i", &key.public()).is_err());
    }

    #[test]
    fn a_record_that_cannot_be_traced_is_told_what_it_lacks() {
        let text = |text: &str| Some(text.to_owned());
        let whole = CallRecord {
            id: "dec_1".to_owned(),
            trace_id: text(&"a".repeat(32)),
            intent: text("triage"),
            stage: text("evaluate"),
            outcome: text("deny"),
            ..CallRecord::default()
        };
        assert_eq!(whole.lacks(), None);
        for (bad, what) in [
            (CallRecord { id: String::new(), ..whole.clone() }, "id"),
            (CallRecord { trace_id: None, ..whole.clone() }, "trace_id"),
            (CallRecord { trace_id: text(&"0".repeat(32)), ..whole.clone() }, "trace_id"),
            (CallRecord { intent: text(""), ..whole.clone() }, "intent"),
            (CallRecord { stage: None, ..whole.clone() }, "stage"),
            (CallRecord { outcome: text("maybe"), ..whole.clone() }, "outcome"),
        ] {
            assert_eq!(bad.lacks(), Some(what));
        }
    }
}
