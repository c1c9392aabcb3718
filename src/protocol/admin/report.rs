//! `/api/v1/report`: figures of the audit log, each beside the period before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A span of time, in seconds since the epoch: from `since`, and up to but not including `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeriodBody {
    /// Where it begins.
    pub since: u64,
    /// Where it ends.
    pub until: u64,
}

/// So many of so many, with the bounds between which the true share lies in 95 of 100 cases (Wilson).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShareBody {
    /// How many it is true of.
    pub hits: u64,
    /// Of how many.
    pub of: u64,
    /// The lower bound, from 0 to 1.
    pub low: f64,
    /// The upper bound, from 0 to 1.
    pub high: f64,
}

/// A quantile with the bounds between which the true one lies in 95 of 100 cases (order statistics).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuantileBody {
    /// The quantile.
    pub value: u64,
    /// The lower bound; absent where there are too few to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<u64>,
    /// The upper bound; absent where there are too few to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<u64>,
}

/// How long something took. Values are kept within one part in 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimesBody {
    /// How many were measured.
    pub n: u64,
    /// Half took no longer.
    pub p50: QuantileBody,
    /// Nine of ten took no longer.
    pub p90: QuantileBody,
    /// 99 of 100 took no longer.
    pub p99: QuantileBody,
}

/// What was counted in one segment and one period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FiguresBody {
    /// Requests for tokens, an answer that was given once more left out.
    pub exchanges: u64,
    /// Tokens that were granted.
    pub granted: u64,
    /// Requests that were refused, by reason code; those that lacked an approval among them.
    pub refused: BTreeMap<String, u64>,
    /// Requests that needed an approval first.
    pub needs_approval: u64,
    /// Calls that verifiers decided.
    pub calls: u64,
    /// Calls that were allowed, those that were let pass in observe mode among them.
    pub allowed: u64,
    /// Calls that were denied, by reason code.
    pub denied: BTreeMap<String, u64>,
    /// Calls that would have been denied and were let pass in observe mode, by reason code.
    pub observed: BTreeMap<String, u64>,
    /// Results that were said to be complete.
    pub completed: u64,
    /// Results that a person had to correct.
    pub corrected: u64,
    /// Results that failed.
    pub failed: u64,
    /// How long the broker took for an exchange, in microseconds; absent where nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<TimesBody>,
    /// What the calls cost, in millionths of the unit that the team counts in.
    pub cost_micros: u64,
    /// How many calls said what they cost.
    pub costed: u64,
    /// Shares by name: `refused`, `needs_approval`, `denied`, `observed`, `corrected`, `failed`; only those of something.
    pub shares: BTreeMap<String, ShareBody>,
}

/// How a figure moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Verdict {
    /// It rose, by more than chance explains.
    Up,
    /// It fell, by more than chance explains.
    Down,
    /// Chance explains it, and there is enough to say so.
    Same,
    /// There is not enough to tell.
    Unclear,
}

/// One figure against the period before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DriftBody {
    /// Which: the name of a share, or `latency_p50`, `latency_p99` in microseconds.
    pub figure: String,
    /// What it was.
    pub before: f64,
    /// What it is.
    pub now: f64,
    /// For a share: the lower bound of the difference (Newcombe, 95 %).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// For a share: the upper bound of the difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Of how many, before.
    pub n_before: u64,
    /// Of how many, now.
    pub n_now: u64,
    /// What follows.
    pub verdict: Verdict,
    /// For a share that moved: about when, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset: Option<u64>,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SegmentBody {
    /// What it is: by the name of each part that was asked for. `other` is the rest, `unknown` what nobody said.
    pub segment: BTreeMap<String, String>,
    /// The period.
    pub now: FiguresBody,
    /// The period before.
    pub before: FiguresBody,
    /// Each figure that stands in both, against the period before.
    pub drift: Vec<DriftBody>,
}

/// A part of the time axis: both periods are cut into equal parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepBody {
    /// Where it begins, in seconds since the epoch.
    pub at: u64,
    /// Requests for tokens.
    pub exchanges: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those that needed an approval.
    pub needs_approval: u64,
    /// Calls.
    pub calls: u64,
    /// Those that were denied.
    pub denied: u64,
    /// Those that would have been.
    pub observed: u64,
    /// Results of which something was said.
    pub results: u64,
    /// Those that a person had to correct.
    pub corrected: u64,
    /// What the calls cost, in millionths.
    pub cost_micros: u64,
    /// Half the exchanges took no longer, in microseconds; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<u64>,
    /// 99 of 100 exchanges took no longer, in microseconds; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<u64>,
    /// Refusals and denials by reason code: those that both periods had most of, the rest as `other`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, u64>,
    /// Approvals that were decided, either way.
    #[serde(default)]
    pub decided: u64,
    /// Those that were decided within the time that the policy allows for it.
    #[serde(default)]
    pub in_time: u64,
    /// Approvals that were over before anyone decided.
    #[serde(default)]
    pub expired: u64,
    /// Half the decisions on approvals took no longer, in seconds; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_p50: Option<u64>,
    /// Nine of ten took no longer, in seconds; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_p90: Option<u64>,
    /// The shortest time that was allowed for a decision, in seconds; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla_seconds: Option<u64>,
}

/// Something that happened and may matter to the figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MarkBody {
    /// When, in seconds since the epoch.
    pub at: u64,
    /// `policy`, `release`, `revocation`, `lift`, `breaker`, `keys` or `restore`.
    pub kind: String,
    /// In words.
    pub what: String,
    /// Whom alone it concerns; absent: everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
}

/// One verb of one workflow and intent: what was granted against what was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RightBody {
    /// The workflow, or `operator:NAME`.
    pub workflow: String,
    /// The declared purpose.
    pub intent: String,
    /// As `github/issues.write`.
    pub verb: String,
    /// The grants that the tokens rested on, as `grant:3`, by the policy of their time.
    pub grants: Vec<String>,
    /// How many tokens had it.
    pub granted: u64,
    /// How many calls of it were allowed because it was granted.
    pub used: u64,
    /// How many calls of it would have been denied and were let pass in observe mode, by reason code.
    pub observed: BTreeMap<String, u64>,
    /// How many calls of it were denied, by reason code.
    pub denied: BTreeMap<String, u64>,
    /// The last call that was allowed, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<u64>,
    /// Whether anyone reports calls of this tool. Where nobody does, nothing can be said of what is used.
    pub reported: bool,
}

/// How approvals went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalsBody {
    /// How many were asked for.
    pub requested: u64,
    /// How many were decided, by outcome.
    pub decided: BTreeMap<String, u64>,
    /// How many were over before anyone decided.
    pub expired: u64,
    /// Which share was decided within its time; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_time: Option<ShareBody>,
    /// How long decisions took, in seconds; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<TimesBody>,
}

/// A figure that moved, and what it coincides with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeBody {
    /// Where.
    pub segment: BTreeMap<String, String>,
    /// Which figure, and how.
    pub drift: DriftBody,
    /// What happened about when it began. None of it is said to be the cause.
    pub coincides: Vec<MarkBody>,
}

/// A reason that was often given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DenialBody {
    /// The reason code.
    pub reason: String,
    /// How often, exchanges and calls together.
    pub count: u64,
    /// How often in the period before.
    pub before: u64,
    /// What it means.
    pub meaning: String,
    /// What to do about it.
    pub action: String,
}

/// Something to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NextBody {
    /// Why.
    pub why: String,
    /// With which command.
    pub command: String,
}

/// A labelled case that the policy in force does not keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenCaseBody {
    /// The case.
    pub id: String,
    /// The outcome that its label asks for: `allow`, `deny` or `needs_approval`.
    pub expected: String,
    /// The outcome under the policy in force.
    pub got: String,
    /// What went wrong in the incident that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<String>,
    /// Why it was labelled so, such as the incident's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The labelled cases of the policy in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CasesBody {
    /// How many there are.
    pub labelled: u64,
    /// How many of them come from incidents, by what went wrong.
    pub mechanisms: BTreeMap<String, u64>,
    /// Those that the policy in force does not keep.
    pub open: Vec<OpenCaseBody>,
    /// How many more it does not keep.
    pub unnamed: u64,
}

/// The weekly page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReviewBody {
    /// How many figures had enough in both periods to be compared.
    pub compared: u64,
    /// What moved, the largest first.
    pub changes: Vec<ChangeBody>,
    /// How many more moved and do not stand there.
    pub unnamed: u64,
    /// What was refused or denied most often.
    pub denials: Vec<DenialBody>,
    /// How the labelled cases stand; absent where no policy is in force, or its cases cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cases: Option<CasesBody>,
    /// What to do next.
    pub next: Vec<NextBody>,
}

/// `GET /api/v1/report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FiguresAnswer {
    /// `segments`, `rights`, `approvals`, `latency` or `review`.
    pub kind: String,
    /// What the segments are told apart by.
    pub by: Vec<String>,
    /// What alone was counted: the value of each part that was asked for; of all segments where there is none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub only: BTreeMap<String, String>,
    /// The period.
    pub period: PeriodBody,
    /// As long a period, right before it.
    pub before: PeriodBody,
    /// How many entries of the log were looked at.
    pub entries: u64,
    /// How many of them could not be read, and count nowhere.
    pub unread: u64,
    /// What is missing, in words; absent when nothing is. Nothing is then compared with the period before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// All segments together.
    pub total: SegmentBody,
    /// The largest segments; the rest is summed up in one whose every part is `other`.
    pub segments: Vec<SegmentBody>,
    /// How many segments are summed up there, as far as they were told apart.
    pub folded: u64,
    /// All segments over time.
    pub series: Vec<StepBody>,
    /// What happened meanwhile.
    pub marks: Vec<MarkBody>,
    /// Granted against used: of the kinds `rights` and `review`.
    pub rights: Vec<RightBody>,
    /// How many rights do not stand there, for want of room.
    pub rights_left_out: u64,
    /// How approvals went: of the kinds `approvals` and `review`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<ApprovalsBody>,
    /// The weekly page: of the kind `review`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewBody>,
}
