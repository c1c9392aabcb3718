//! The gate: whether a policy may take the place of another one, by what it makes of cases. Pure: the same policies, cases
//! and limits give the same result, in a pipeline and in the broker.
//!
//! 1. Every labelled case comes out as its label says.
//! 2. Nothing that writes or worse is newly allowed, unless it is accepted by name.
//! 3. In no segment more than a small share of what was allowed is denied, or needs an approval, from now on. Where little
//!    was seen the upper bound of the share counts (Wilson, 95 %).
//! 4. The share of decisions that need an approval stays about as it was.
//! 5. Every segment that changes was tried by enough cases.

use std::collections::BTreeSet;

use serde::Serialize;
use shortbread_protocol::access::Access;

use super::Case;
use super::read::Fault;
use super::replay::{Before, Change, Counted, Replay, Report, Segment};
use crate::interval::{self, wilson};
use crate::policy::Policy;
use crate::policy::diff::{Diff, Effect, diff};
use crate::policy::model::{Gate, GateSegment, PerMille};

/// Below so many decisions a share is judged by its upper bound.
const FEW: u64 = 1000;

/// What the gate says.
#[derive(Clone, Debug, Serialize)]
pub struct GateResult {
    /// Whether the policy may come into force.
    pub passed: bool,
    /// The digest of the policy that was judged.
    pub policy: String,
    /// The digest of the policy that it was compared with; absent: with what was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// How many cases it rests on.
    pub cases: u64,
    /// SHA-256 over them.
    pub digest: String,
    /// Each rule, in order.
    pub rules: Vec<Ruled>,
    /// Changes that were accepted by name: they count for no rule but the first.
    pub accepted: Vec<Change>,
    /// Accepted names that no change has.
    pub unused: Vec<String>,
}

/// What a rule says.
#[derive(Clone, Debug, Serialize)]
pub struct Ruled {
    /// Which.
    pub rule: Rule,
    /// Whether it holds.
    pub passed: bool,
    /// Where it does not.
    pub findings: Vec<Finding>,
}

/// One of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Labelled cases.
    Labels,
    /// What is newly allowed.
    NewlyAllowed,
    /// What is newly denied, or needs an approval now.
    NewlyWithheld,
    /// How much needs an approval.
    ApprovalLoad,
    /// Whether enough was tried.
    Evidence,
}

impl Rule {
    /// The word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::NewlyAllowed => "newly_allowed",
            Self::NewlyWithheld => "newly_withheld",
            Self::ApprovalLoad => "approval_load",
            Self::Evidence => "evidence",
        }
    }

    /// What it demands.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Labels => "every labelled case holds",
            Self::NewlyAllowed => "nothing that writes or worse is newly allowed",
            Self::NewlyWithheld => "little is newly withheld, in each segment",
            Self::ApprovalLoad => "about as much needs an approval as before",
            Self::Evidence => "every segment that changes was tried",
        }
    }
}

/// Where a rule does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// In a sentence.
    pub message: String,
    /// The change, by the name by which it can be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// The segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
    /// The labelled case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
}

/// Replays the cases under both policies and judges.
///
/// # Errors
/// When a case says what cannot be, or two have one id.
pub fn gate<'c>(
    new: &Policy,
    old: &Policy,
    cases: impl IntoIterator<Item = &'c Case>,
    limits: &Gate,
    accepted: &BTreeSet<String>,
) -> Result<GateResult, Fault> {
    let mut replay = Replay::new(new.clone(), Before::Policy(old.clone()));
    cases.into_iter().try_for_each(|case| replay.case(case))?;
    Ok(judge(&replay.finish(), Some(&diff(old, new)), limits, accepted))
}

/// Judges what a replay found. With `diff`, what the policies say of themselves, a change that no case tried shows too.
#[must_use]
pub fn judge(report: &Report, diff: Option<&Diff>, limits: &Gate, accepted: &BTreeSet<String>) -> GateResult {
    let (taken, open): (Vec<&Change>, Vec<&Change>) =
        report.changes.iter().partition(|change| accepted.contains(&change.id));
    let rules = vec![
        ruled(Rule::Labels, labels(report)),
        ruled(Rule::NewlyAllowed, newly_allowed(&open)),
        ruled(Rule::NewlyWithheld, newly_withheld(report, &open, limits)),
        ruled(Rule::ApprovalLoad, approval_load(report, &open, limits)),
        ruled(Rule::Evidence, evidence(report, diff, limits)),
    ];
    let known = |id: &&String| !report.changes.iter().any(|change| change.id == **id);
    GateResult {
        passed: rules.iter().all(|rule| rule.passed),
        policy: report.policy.clone(),
        against: report.against.clone(),
        cases: report.cases,
        digest: report.digest.clone(),
        rules,
        accepted: taken.into_iter().cloned().collect(),
        unused: accepted.iter().filter(known).cloned().collect(),
    }
}

fn ruled(rule: Rule, findings: Vec<Finding>) -> Ruled {
    Ruled { rule, passed: findings.is_empty(), findings }
}

impl Finding {
    fn new(message: String) -> Self {
        Self { message, change: None, segment: None, case: None }
    }

    fn of_segment(message: String, segment: &Segment) -> Self {
        Self { segment: Some(segment.clone()), ..Self::new(format!("{}: {message}", segment.words())) }
    }
}

fn labels(report: &Report) -> Vec<Finding> {
    let failed = report.labels.iter().filter(|checked| !checked.passed);
    let found = failed.map(|checked| {
        let differs = checked.differs.iter();
        let differs: Vec<String> =
            differs.map(|one| format!("{}: expected {}, got {}", one.what, one.expected, one.got)).collect();
        let message = format!("{}: {}", checked.id, differs.join("; "));
        Finding { case: Some(checked.id.clone()), ..Finding::new(message) }
    });
    found.collect()
}

fn newly_allowed(open: &[&Change]) -> Vec<Finding> {
    let dangerous = |change: &&&Change| change.segment.access != Some(Access::Read);
    let found = open.iter().filter(|change| change.is_newly_allowed()).filter(dangerous).map(|change| {
        let message = format!(
            "{} {}, {} of them; take it out, or accept it with --accept {}",
            change.verb,
            change.words(),
            change.decisions,
            change.id
        );
        Finding { change: Some(change.id.clone()), ..Finding::of_segment(message, &change.segment) }
    });
    found.collect()
}

fn newly_withheld(report: &Report, open: &[&Change], limits: &Gate) -> Vec<Finding> {
    let found = report.segments.iter().filter_map(|counted| {
        let here = open.iter().filter(|change| change.segment == counted.segment);
        let withheld: u64 =
            here.filter(|change| change.is_newly_withheld()).map(|change| change.decisions).sum();
        let limit = of(limits, &counted.segment).map_or(limits.max_newly_denied, |own| own.max_newly_denied);
        let (share, how) = share(withheld, counted.allowed);
        (withheld > 0 && share > limit.share()).then(|| {
            let message = format!(
                "{withheld} of {} that were allowed are not any more, {how}{}; {} is the limit",
                counted.allowed,
                percent(share),
                shown(limit)
            );
            Finding::of_segment(message, &counted.segment)
        })
    });
    found.collect()
}

// The share itself, or what it may well be where little was seen.
fn share(hits: u64, all: u64) -> (f64, &'static str) {
    if all < FEW {
        return (wilson(hits, all).1, "which may well be as much as ");
    }
    (interval::share(hits, all), "")
}

fn approval_load(report: &Report, open: &[&Change], limits: &Gate) -> Vec<Finding> {
    use super::Outcome::NeedsApproval;
    let sum = |of: &dyn Fn(&Counted) -> u64| -> u64 { report.segments.iter().map(of).sum() };
    let (all, before) = (sum(&|one| one.compared), sum(&|one| one.waiting));
    let moved = |wanted: &dyn Fn(&Change) -> bool| -> u64 {
        open.iter().filter(|change| wanted(change)).map(|change| change.decisions).sum()
    };
    let more = moved(&|change| change.to == NeedsApproval && change.from != NeedsApproval);
    let fewer = moved(&|change| change.from == NeedsApproval && change.to != NeedsApproval);
    let after = (before + more).saturating_sub(fewer);
    let (was, is) = (interval::share(before, all), interval::share(after, all));
    if (is - was).abs() <= limits.max_approval_load.share() {
        return Vec::new();
    }
    vec![Finding::new(format!(
        "{} of all decisions needed an approval and {} would; the limit is a change of {}",
        percent(was),
        percent(is),
        shown(limits.max_approval_load)
    ))]
}

fn evidence(report: &Report, diff: Option<&Diff>, limits: &Gate) -> Vec<Finding> {
    let mut found = seen(report, limits);
    let effects = diff.iter().flat_map(|diff| &diff.effects);
    found.extend(effects.filter_map(|effect| untried(report, effect, limits)));
    found
}

// Of what the policies say changes: what was tried of it, in all segments that it is about.
fn untried(report: &Report, effect: &Effect, limits: &Gate) -> Option<Finding> {
    let ((principal, verbs), intents) = effect.right().zip(effect.intents.as_ref())?;
    let principal = principal.to_string();
    let concerned = |segment: &Segment| {
        let intent = segment.intent.as_ref().and_then(|intent| intent.parse().ok());
        segment.principal == principal
            && intents.contains(intent.as_ref())
            && verbs.iter().any(|verb| verb.tool.as_str() == segment.tool)
    };
    let segments: Vec<&Counted> = report.segments.iter().filter(|one| concerned(&one.segment)).collect();
    let tried: u64 = segments.iter().map(|counted| counted.decisions + counted.labelled).sum();
    let own = segments.iter().filter_map(|counted| of(limits, &counted.segment)).map(|own| own.min_cases);
    let least = own.max().unwrap_or(limits.min_cases);
    (tried < least).then(|| Finding::new(format!("{}: {}", effect.sentence, too_little(tried, least))))
}

// Of what came out otherwise.
fn seen(report: &Report, limits: &Gate) -> Vec<Finding> {
    let changed: BTreeSet<&Segment> = report.changes.iter().map(|change| &change.segment).collect();
    let touched = report.segments.iter().filter(|counted| changed.contains(&counted.segment));
    let found = touched.filter_map(|counted| {
        let least = of(limits, &counted.segment).map_or(limits.min_cases, |own| own.min_cases);
        let tried = counted.decisions + counted.labelled;
        (tried < least).then(|| Finding::of_segment(too_little(tried, least), &counted.segment))
    });
    found.collect()
}

fn too_little(tried: u64, least: u64) -> String {
    format!("not enough evidence: {tried} decisions were tried and {least} are wanted")
}

/// The first segment of the limits that fits.
fn of<'l>(limits: &'l Gate, segment: &Segment) -> Option<&'l GateSegment> {
    limits.segments.iter().find(|own| {
        let workflow = segment.principal.strip_prefix("workflow:");
        own.workflow.as_ref().is_none_or(|name| workflow == Some(name.as_str()))
            && own.intent.as_ref().is_none_or(|intent| segment.intent.as_deref() == Some(intent.as_str()))
            && own.tool.as_ref().is_none_or(|tool| tool.as_str() == segment.tool)
            && own.access.is_none_or(|access| segment.access.is_some_and(|other| access.covers(other)))
    })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn shown(limit: PerMille) -> String {
    percent(limit.share())
}

#[cfg(test)]
mod tests;
