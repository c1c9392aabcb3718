//! Takes back what passed a limit, and ends what was watched for long enough.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use metrics::counter;
use serde_json::json;
use shortbread_protocol::event::EventType;
use shortbread_protocol::reason::Reason;
use tokio::sync::mpsc;

use super::follow;
use super::gate::incidents;
use crate::activation::{ActivationError, Actor, Found, OnTrial, loosened_by};
use crate::broker::Broker;
use crate::notices::{Notice, PastLimit};
use crate::policy::Policy;
use crate::policy::diff::readmitted;
use crate::store::{PolicyAction, TrialOutcome};
use crate::watch::{Breach, Breached};

/// How often a store that fails is tried, and the pause between.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);
/// How many entries a refusal names.
const MOST_NAMED: usize = 5;
/// How often the end of a watch is looked for.
const LOOK: Duration = Duration::from_secs(5);

/// Who takes a version back by itself.
const WATCH: Actor = Actor::Host("watch");

/// A breach that is being dealt with, and how often that may still fail.
struct Open {
    breached: Breached,
    left: u32,
}

/// Why a version that passed a limit was not taken back.
enum Hindrance {
    /// It does not go back by itself.
    Refused(Reason, String),
    /// It could not be done now.
    Failed(String),
    /// Somebody ended its watch.
    Over,
}

impl From<ActivationError> for Hindrance {
    fn from(error: ActivationError) -> Self {
        match error {
            ActivationError::Over(_) | ActivationError::Moved(_) => Self::Over,
            error => Self::Failed(error.to_string()),
        }
    }
}

/// Takes versions back when they pass a limit and ends watches on time, until the broker is dropped.
pub(super) async fn run(broker: Weak<Broker>, mut breached: mpsc::Receiver<Breached>) {
    if let Some(broker) = broker.upgrade() {
        drop_unusable(&broker).await;
    }
    let mut open = None;
    loop {
        let heard = if open.is_some() {
            tokio::time::sleep(PAUSE).await;
            None
        } else {
            match tokio::time::timeout(LOOK, breached.recv()).await {
                Ok(Some(breached)) => Some(Open { breached, left: TRIES }),
                Ok(None) => return,
                Err(_) => None,
            }
        };
        let Some(broker) = broker.upgrade() else { return };
        if let Some(next) = heard.or(open.take()) {
            open = take_back(&broker, next).await;
        }
        // What passed a limit in time is taken back, though the watch ended while the store failed.
        if open.is_none() {
            settle(&broker).await;
            drop_unusable(&broker).await;
        }
    }
}

// Gives what is to be tried again.
async fn take_back(broker: &Broker, breach: Open) -> Option<Open> {
    let Open { breached, left } = breach;
    let open = broker.policy.on_trial().filter(|open| open.trial.n == breached.trial)?;
    // More of one segment may have waited when the first one was told.
    if broker.outcomes.is_left(open.trial.n, &breached.breach.segment) {
        return None;
    }
    let hindrance = match try_take_back(broker, &open, &breached).await {
        Ok(()) | Err(Hindrance::Over) => return None,
        Err(hindrance) => hindrance,
    };
    let error = match hindrance {
        Hindrance::Refused(reason, why) => leave(broker, &open, &breached, (reason, why)).await.err()?,
        Hindrance::Failed(error) => error,
        Hindrance::Over => return None,
    };
    let left = left.saturating_sub(1);
    tracing::error!(
        policy.version = open.trial.version,
        error,
        tries.left = left,
        "a watched policy version passed a limit and could not be taken back"
    );
    (left > 0).then_some(Open { breached, left })
}

/// Why a breach would not take this trial back. What an operator may not do alone, or only by naming it, does not happen by
/// itself: a breach can be brought about.
pub(super) async fn hindered(open: &OnTrial, before: &Policy) -> Option<(Reason, String)> {
    let again = readmitted(&open.policy, before, open.trial.workflows.as_ref());
    if !again.is_empty() {
        let why = format!(
            "the version before recognises credentials that this one withdrew: {}",
            again.get(..MOST_NAMED).unwrap_or(&again).join(", ")
        );
        return Some((Reason::GateRefused, why));
    }
    if open.trial.workflows.is_some() {
        return None;
    }
    let (now, back) = (open.policy.clone(), before.clone());
    let checked =
        tokio::task::spawn_blocking(move || incidents(Some(&now), &back, &BTreeSet::new()).map(|_| ()));
    match checked.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Some((Reason::GateRefused, error.to_string())),
        Err(_) => return Some((Reason::GateRefused, "comparing labelled cases broke off".to_owned())),
    }
    if open.policy.admin_surface() != before.admin_surface() {
        let why = "the version before has other operators or approvers, or grants of operators";
        return Some((Reason::SecondOperator, why.to_owned()));
    }
    if !open.policy.takes_two() {
        return None;
    }
    let why = loosened_by(&open.policy, before).await;
    let told = || format!("the version before {}", why.join("; "));
    (!why.is_empty()).then(|| (Reason::SecondOperator, told()))
}

async fn try_take_back(broker: &Broker, open: &OnTrial, breached: &Breached) -> Result<(), Hindrance> {
    let decision = broker.decision(None).map_err(|error| Hindrance::Failed(error.to_string()))?;
    let version = open.trial.version;
    if let Some(before) = &open.before
        && let Some((reason, why)) = hindered(open, before).await
    {
        return Err(Hindrance::Refused(reason, why));
    }
    let breach = &breached.breach;
    let (found, monotonic) = (found(breach), broker.clock.monotonic());
    let to = broker.policy.take_back(&open.trial, found, &WATCH, &decision, monotonic).await?;
    follow(broker).await;
    counter!("shortbread_policy_taken_back_total", "what" => breach.what).increment(1);
    tracing::warn!(
        policy.version = version, policy.to = to, workflow = %breach.segment.workflow, tool = %breach.segment.tool,
        what = breach.what, requests = breach.requests, hits = breach.hits, decision_id = decision.id,
        "a watched policy version passed a limit and was taken back"
    );
    if open.trial.workflows.is_none() {
        broker.policy_changed(&WATCH, PolicyAction::Rollback, &decision);
    }
    broker.notices.tell(&Notice::PolicyTakenBack { version, to, past: past(breach), decision: decision.id });
    Ok(())
}

// Records and tells, once for a segment, that a person must decide.
async fn leave(
    broker: &Broker,
    open: &OnTrial,
    breached: &Breached,
    (reason, why): (Reason, String),
) -> Result<(), String> {
    let decision = broker.decision(None).map_err(|error| error.to_string())?;
    let (version, breach) = (open.trial.version, &breached.breach);
    let mut data = json!({
        "outcome": "deny", "reasons": [reason.code()], "detail": why, "operator": WATCH.name(),
        "requested": ["shortbread/policy.rollback"], "granted": [], "policy": open.policy.digest(),
        "version": version, "before": open.trial.before, "trial": open.trial.n,
        "workflows": open.trial.workflows, "stage": "rollback", "error_class": "refusal",
    });
    if let Some(data) = data.as_object_mut() {
        data.extend(found(breach));
    }
    let subject = format!("operator/{}", WATCH.name());
    let audit = broker.scribe.entry(EventType::Decision, &decision, subject, data);
    broker.store.record_denial(None, audit).await.map_err(|error| error.to_string())?;
    broker.outcomes.leave(open.trial.n, &breach.segment);
    counter!("shortbread_policy_breached_total", "what" => breach.what).increment(1);
    tracing::warn!(
        policy.version = version, workflow = %breach.segment.workflow, tool = %breach.segment.tool, why,
        what = breach.what, requests = breach.requests, hits = breach.hits, decision_id = decision.id,
        "a watched policy version passed a limit and is not taken back by itself; decide whether it stays"
    );
    broker.notices.tell(&Notice::PolicyBreached { version, why, past: past(breach), decision: decision.id });
    Ok(())
}

// A version that is tried on a part goes on until an operator decides, unwatched.
async fn settle(broker: &Broker) {
    let Some(open) = broker.policy.on_trial() else { return };
    let over = open.trial.until.is_some_and(|until| until <= broker.clock.now());
    if !over || open.trial.workflows.is_some() {
        return;
    }
    let Ok(decision) = broker.decision(None) else { return };
    let ended =
        broker.policy.end_trial(open.trial.n, TrialOutcome::Kept, Found::new(), &WATCH, &decision).await;
    match ended {
        Ok(true) => {
            follow(broker).await;
            broker.forget_issuers();
            tracing::info!(
                policy.version = open.trial.version,
                "a policy version was watched for as long as it should be, and stays in force"
            );
        }
        // Somebody else ended it at the same moment, and is recorded.
        Ok(false) => follow(broker).await,
        Err(error) => {
            tracing::error!(policy.version = open.trial.version, error = %error, "the end of a watch could not be recorded");
        }
    }
}

// What cannot be used is tried on nobody, and nothing can be held against it: it does not stay open.
async fn drop_unusable(broker: &Broker) {
    let Some(open) = broker.policy.unusable() else { return };
    let Ok(decision) = broker.decision(None) else { return };
    let outcome = if open.workflows.is_some() { TrialOutcome::RolledBack } else { TrialOutcome::Kept };
    let why = Found::from_iter([("cause".to_owned(), "the policy cannot be used any more".into())]);
    if let Err(error) = broker.policy.end_trial(open.n, outcome, why, &WATCH, &decision).await {
        tracing::error!(policy.version = open.version, error = %error, "the end of a trial could not be recorded");
    }
}

fn past(breach: &Breach) -> PastLimit {
    let Breach { segment, what, requests, hits, .. } = breach;
    PastLimit {
        workflow: segment.workflow.clone(),
        tool: segment.tool.clone(),
        access: segment.access,
        what,
        requests: *requests,
        hits: *hits,
    }
}

// Which segment passed which limit.
fn found(breach: &Breach) -> Found {
    let Breach { segment, what, requests, hits, before, limit } = breach;
    let breach = json!({
        "workflow": segment.workflow, "intent": segment.intent, "tool": segment.tool, "access": segment.access,
        "calls": segment.call, "what": what, "requests": requests, "hits": hits, "before": before, "limit": limit,
    });
    Found::from_iter([("breach".to_owned(), breach)])
}
