//! Takes back what passed a limit, and ends what was watched for long enough.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use metrics::counter;
use serde_json::json;
use tokio::sync::mpsc;

use super::follow;
use super::gate::incidents;
use crate::activation::{Actor, Found, OnTrial};
use crate::broker::Broker;
use crate::notices::Notice;
use crate::store::{PolicyAction, TrialOutcome};
use crate::watch::{Breach, Breached};

/// How often a store that fails is tried, and the pause between.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);
/// How often the end of a watch is looked for.
const LOOK: Duration = Duration::from_secs(5);

/// Who takes a version back by itself.
const WATCH: Actor = Actor::Host("watch");

/// Takes versions back when they pass a limit and ends watches on time, until the broker is dropped.
pub(super) async fn run(broker: Weak<Broker>, mut breached: mpsc::Receiver<Breached>) {
    if let Some(broker) = broker.upgrade() {
        drop_unusable(&broker).await;
    }
    loop {
        let next = tokio::time::timeout(LOOK, breached.recv()).await;
        let Some(broker) = broker.upgrade() else { return };
        match next {
            Ok(Some(breached)) => take_back(&broker, &breached).await,
            Ok(None) => return,
            Err(_) => {
                settle(&broker).await;
                drop_unusable(&broker).await;
            }
        }
    }
}

async fn take_back(broker: &Broker, breached: &Breached) {
    for left in (0..TRIES).rev() {
        let Some(open) = broker.policy.on_trial().filter(|open| open.trial.n == breached.trial) else {
            return;
        };
        match try_take_back(broker, &open, breached).await {
            Ok(()) => return,
            Err(error) => {
                tracing::error!(
                    policy.version = open.trial.version,
                    error,
                    tries.left = left,
                    "a watched policy version passed a limit and could not be taken back"
                );
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn try_take_back(broker: &Broker, open: &OnTrial, breached: &Breached) -> Result<(), String> {
    let decision = broker.decision(None).map_err(|error| error.to_string())?;
    let version = open.trial.version;
    let now = broker.policy.in_force();
    if let (None, Some(now)) = (&open.trial.workflows, &now) {
        let before = broker.policy.compiled(open.trial.before).await.map_err(|error| error.to_string())?;
        // Whoever wants an incident back, or an operator, could bring a breach about.
        incidents(Some(now), &before, &BTreeSet::new()).map_err(|error| error.to_string())?;
        if now.admin_surface() != before.admin_surface() {
            return Err("it has other operators or approvers than the version before; roll it back by hand"
                .to_owned());
        }
    }
    let breach = &breached.breach;
    let (found, monotonic) = (found(breach), broker.clock.monotonic());
    let taken = broker.policy.take_back(&open.trial, found, &WATCH, &decision, monotonic).await;
    let to = taken.map_err(|error| error.to_string())?;
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
    broker.notices.tell(&Notice::PolicyTakenBack {
        version,
        to,
        workflow: breach.segment.workflow.clone(),
        tool: breach.segment.tool.clone(),
        access: breach.segment.access,
        what: breach.what,
        requests: breach.requests,
        hits: breach.hits,
        decision: decision.id,
    });
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

// Which segment passed which limit.
fn found(breach: &Breach) -> Found {
    let Breach { segment, what, requests, hits, before, limit } = breach;
    let breach = json!({
        "workflow": segment.workflow, "intent": segment.intent, "tool": segment.tool, "access": segment.access,
        "calls": segment.call, "what": what, "requests": requests, "hits": hits, "before": before, "limit": limit,
    });
    Found::from_iter([("breach".to_owned(), breach)])
}
