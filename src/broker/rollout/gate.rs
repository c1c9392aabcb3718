//! Before a version comes into force: its labelled cases, and what it makes of what was asked for lately, by the limits of
//! the version that it replaces.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::WorkflowName;

use super::RolloutError;
use crate::broker::Broker;
use crate::cases::check::{Checked, check};
use crate::cases::gate::{GateResult, Rule, judge};
use crate::cases::read::{Fault, ReadError};
use crate::cases::replay::{Before, Replay};
use crate::cases::{Case, labelled_by, lets_through};
use crate::inputs::{self, CaseError};
use crate::policy::Policy;
use crate::policy::diff::{Effect, diff};
use crate::policy::model::Principal;

/// Recorded requests of so long ago are replayed.
const SINCE: Duration = Duration::from_secs(7 * 86_400);
/// And at most so many, the newest, so that an activation takes seconds.
const MAX_RECORDED: u64 = 200_000;
/// Cases of one page.
const PAGE: usize = 1000;
/// How many findings are told.
const TOLD: usize = 20;

/// What was found, for the audit log.
#[derive(Clone, Debug)]
pub(super) struct Passed(pub(super) Value);

/// Judges a version for these workflows, or for everyone. Labelled cases of both versions always count; the other rules
/// where the version in force has a `[gate]`.
///
/// # Errors
/// With what does not hold; when the cases cannot be read; or when others are being judged.
pub(super) async fn pass(
    broker: &Broker,
    next: &Policy,
    workflows: Option<&BTreeSet<WorkflowName>>,
    accepted: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Passed, RolloutError> {
    let before = broker.policy.in_force();
    let (kept, proposed) = labelled(before.as_ref(), next)?;
    let limits = before.as_ref().and_then(|policy| policy.gate().cloned());
    let (Some(before), Some(limits)) = (before, limits) else {
        return labels_alone(next, kept.iter().chain(&proposed));
    };
    let Ok(_turn) = broker.gates.try_acquire() else { return Err(RolloutError::Busy) };
    let mut replay = Replay::new(next.clone(), Before::Policy(before.clone()));
    let faulty = |case: &Case, fault: Fault| {
        RolloutError::Cases(format!("{}: {}; {}", case.id, fault.message, fault.fix))
    };
    for case in kept.iter().chain(&proposed) {
        replay.case(case).map_err(|fault| faulty(case, fault))?;
    }
    let (replay, fed) = recorded(broker, replay, workflows, now).await?;
    let (next, accepted, workflows) = (next.clone(), accepted.clone(), workflows.cloned());
    let judged = tokio::task::spawn_blocking(move || {
        let mut diff = diff(&before, &next);
        diff.effects.retain(|effect| of_workflows(effect, workflows.as_ref()));
        judge(&replay.finish(), Some(&diff), &limits, &accepted)
    });
    let result = judged.await.map_err(|_| RolloutError::Cases("the replay broke off".to_owned()))?;
    if result.passed { Ok(Passed(told(&result, fed))) } else { Err(RolloutError::Gate(findings(&result))) }
}

/// Labelled cases that withhold something: what an incident taught must hold under an earlier version as well. Gives those
/// whose request it would let through and that are accepted.
///
/// # Errors
/// With the others that it would let through.
pub(super) fn incidents(
    current: Option<&Policy>,
    earlier: &Policy,
    accepted: &BTreeSet<String>,
) -> Result<Vec<String>, RolloutError> {
    let (kept, proposed) = labelled(current, earlier)?;
    let through = kept.iter().chain(&proposed).filter(|case| lets_through(earlier, case));
    let (meant, failed): (Vec<String>, Vec<String>) =
        through.map(|case| case.id.clone()).partition(|id| accepted.contains(id));
    if failed.is_empty() { Ok(meant) } else { Err(RolloutError::Incidents(failed)) }
}

fn unread(error: CaseError) -> RolloutError {
    match error {
        CaseError::Store(error) => error.into(),
        error => RolloutError::Cases(error.to_string()),
    }
}

/// The labelled cases of the version in force, and those that the other one adds: it does not label a case anew.
fn labelled(current: Option<&Policy>, other: &Policy) -> Result<(Vec<Case>, Vec<Case>), RolloutError> {
    let unreadable = |error: ReadError| RolloutError::Cases(error.to_string());
    let kept = current.map(labelled_by).transpose().map_err(unreadable)?.unwrap_or_default();
    let known: BTreeSet<&String> = kept.iter().map(|case| &case.id).collect();
    let mut added = labelled_by(other).map_err(unreadable)?;
    added.retain(|case| !known.contains(&case.id));
    Ok((kept, added))
}

fn labels_alone<'c>(next: &Policy, labelled: impl Iterator<Item = &'c Case>) -> Result<Passed, RolloutError> {
    let checked: Vec<Checked> = labelled.filter_map(|case| check(next, case)).collect();
    let failed = checked.iter().filter(|checked| !checked.passed);
    let failed: Vec<String> = failed.take(TOLD).map(words).collect();
    if failed.is_empty() {
        return Ok(Passed(json!({ "labelled": checked.len() })));
    }
    Err(RolloutError::Gate(failed))
}

// What is tried on some workflows changes nothing for the others.
fn of_workflows(effect: &Effect, workflows: Option<&BTreeSet<WorkflowName>>) -> bool {
    let Some(workflows) = workflows else { return true };
    let whose = effect.right().map(|(principal, _)| principal);
    matches!(whose, Some(Principal::Workflow(workflow)) if workflows.contains(workflow))
}

fn words(checked: &Checked) -> String {
    let differs = checked.differs.iter();
    let differs: Vec<String> =
        differs.map(|one| format!("{}: expected {}, got {}", one.what, one.expected, one.got)).collect();
    format!("case {}: {}", checked.id, differs.join("; "))
}

/// How many recorded requests were replayed, and how many could not be read.
#[derive(Clone, Copy, Debug, Default)]
struct Fed {
    replayed: u64,
    unread: u64,
}

/// Feeds what was recorded lately.
async fn recorded(
    broker: &Broker,
    mut replay: Replay,
    workflows: Option<&BTreeSet<WorkflowName>>,
    now: Timestamp,
) -> Result<(Replay, Fed), RolloutError> {
    let since = now.minus(SINCE);
    let first = broker.store.audit_place(since).await?.max(broker.store.inputs_place(MAX_RECORDED).await?);
    let (mut from, mut fed) = (Some(first), Fed::default());
    loop {
        let asked = inputs::Asked { since: Some(since), from, limit: PAGE, operators: false };
        let page = inputs::page(broker, asked).await.map_err(unread)?;
        let concerned = workflows.cloned();
        let feeding = tokio::task::spawn_blocking(move || {
            let lines = page.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            for line in lines.filter(|line| concerns(line, concerned.as_ref())) {
                let count = if replay.line(line).is_ok() { &mut fed.replayed } else { &mut fed.unread };
                *count += 1;
            }
            (replay, fed, page.next)
        });
        let broke = |_| RolloutError::Cases("the replay broke off".to_owned());
        let (fuller, so_far, next) = feeding.await.map_err(broke)?;
        (replay, fed) = (fuller, so_far);
        match next {
            Some(next) if fed.replayed < MAX_RECORDED => from = Some(next),
            _ => break,
        }
    }
    if fed.unread > 0 {
        tracing::warn!(
            unread = fed.unread,
            "recorded requests could not be replayed; the entry of the activation counts them"
        );
    }
    Ok((replay, fed))
}

fn concerns(line: &[u8], workflows: Option<&BTreeSet<WorkflowName>>) -> bool {
    #[derive(Deserialize)]
    struct Line {
        input: Input,
    }
    #[derive(Deserialize)]
    struct Input {
        identity: Identity,
    }
    #[derive(Deserialize)]
    struct Identity {
        principal: String,
    }
    let Some(workflows) = workflows else { return true };
    serde_json::from_slice::<Line>(line).is_ok_and(|line| {
        let name = line.input.identity.principal.strip_prefix("workflow:");
        name.is_some_and(|name| workflows.iter().any(|workflow| workflow.as_str() == name))
    })
}

fn findings(result: &GateResult) -> Vec<String> {
    let failed = result.rules.iter().filter(|rule| !rule.passed);
    let lines = failed.flat_map(|rule| {
        let head = match rule.rule {
            Rule::Labels => "case ",
            _ => "",
        };
        rule.findings.iter().map(move |finding| format!("{head}{}", finding.message))
    });
    let all: Vec<String> = lines.collect();
    let more = all.len().saturating_sub(TOLD);
    let mut told: Vec<String> = all.into_iter().take(TOLD).collect();
    if more > 0 {
        told.push(format!("and {more} more; `shortbread policy replay` shows all"));
    }
    told
}

fn told(result: &GateResult, fed: Fed) -> Value {
    let accepted: Vec<&String> = result.accepted.iter().map(|change| &change.id).collect();
    let mut told = json!({
        "cases": result.cases, "recorded": fed.replayed, "digest": result.digest, "accepted": accepted,
    });
    if let Some(told) = told.as_object_mut().filter(|_| fed.unread > 0) {
        told.insert("unread".to_owned(), fed.unread.into());
    }
    told
}
