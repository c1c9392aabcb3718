//! A policy version on its way into force: held against cases, tried on a part, watched, and taken back.

mod act;
mod gate;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::event::Decision;
use shortbread_protocol::names::WorkflowName;
use thiserror::Error;

use crate::activation::{ActivationError, Actor, Judged, Scope};
use crate::broker::Broker;
use crate::notices::Notice;
use crate::policy::model::Rollback;
use crate::store::{PolicyAction, StoreError};

/// The longest that a version is watched.
pub const MAX_WATCH: Duration = Duration::from_secs(7 * 86_400);

/// Why a version was not put in force.
#[derive(Debug, Error)]
pub enum RolloutError {
    /// It could not be.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// The gate says no.
    #[error("the gate refuses this version:\n{}", .0.join("\n"))]
    Gate(Vec<String>),
    /// An earlier version would let through what incidents taught to deny.
    #[error(
        "that version would let through what these cases deny: {}; name another version, or accept them by their ids",
        .0.join(", ")
    )]
    Incidents(Vec<String>),
    /// Labelled cases cannot be read or decided.
    #[error("the labelled cases cannot be used: {0}")]
    Cases(String),
}

impl From<StoreError> for RolloutError {
    fn from(error: StoreError) -> Self {
        Self::Activation(error.into())
    }
}

/// What an operator wishes to put in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The version; `None`: the policy file, taken in first.
    pub version: Option<u64>,
    /// For these workflows alone; `None`: for everyone.
    pub workflows: Option<BTreeSet<WorkflowName>>,
    /// For how long it is watched: [`MAX_WATCH`] at most; `None`: it is not.
    pub watch: Option<Duration>,
    /// Changed decisions that are meant, by the ids that a replay gives them.
    pub accept: BTreeSet<String>,
}

/// Puts a version in force, for everyone or on trial, once it passed the gate.
///
/// # Errors
/// When the file or the version does not pass its checks or the gate, or a second operator is needed. Nothing is changed
/// then.
pub async fn activate(
    broker: &Broker,
    wish: Wish,
    actor: &Actor,
    decision: &Decision,
) -> Result<u64, RolloutError> {
    let version = match wish.version {
        Some(version) => version,
        None => broker.policy.take_in(&broker.config.policy, "file", decision).await?.n,
    };
    let next = broker.policy.compiled(version).await?;
    let base = broker.policy.version();
    let gate::Passed(found) =
        gate::pass(broker, &next, wish.workflows.as_ref(), &wish.accept, decision.at).await?;
    let limits = limits(broker);
    let until = wish.watch.map(|span| decision.at.plus(span.min(MAX_WATCH)));
    let scope = Scope { workflows: wish.workflows, until };
    let workflows: Vec<String> = scope.workflows.iter().flatten().map(ToString::to_string).collect();
    broker
        .policy
        .activate_judged(version, scope, Judged { base, found }, actor, decision, broker.clock.monotonic())
        .await?;
    follow(broker, limits.as_ref());
    if workflows.is_empty() {
        broker.policy_changed(actor, PolicyAction::Activate, decision);
    } else {
        let (by, decision) = (actor.name().to_owned(), decision.id.clone());
        broker.notices.tell(&Notice::PolicyTried { version, workflows, by, decision });
    }
    Ok(version)
}

/// Takes a trial back, or puts a version in force that was in force before. Gives the version that is in force then.
/// `accept` names labelled cases that it may let through all the same.
///
/// # Errors
/// When there is none, it was never in force, it would let through what labelled cases deny, or a second operator is
/// needed.
pub async fn roll_back(
    broker: &Broker,
    version: Option<u64>,
    accept: &BTreeSet<String>,
    actor: &Actor,
    decision: &Decision,
) -> Result<u64, RolloutError> {
    let on_part = broker.policy.on_trial().is_some_and(|open| open.trial.workflows.is_some());
    if version.is_some() || !on_part {
        let earlier = broker.policy.earlier(version).await?;
        let earlier = broker.policy.compiled(earlier).await?;
        gate::incidents(broker.policy.in_force().as_ref(), &earlier, accept)?;
    }
    let limits = limits(broker);
    let version = broker.policy.roll_back(version, actor, decision, broker.clock.monotonic()).await?;
    follow(broker, limits.as_ref());
    broker.policy_changed(actor, PolicyAction::Rollback, decision);
    Ok(version)
}

/// Goes on watching what the store says is on trial, takes back what passes a limit and ends watches on time, until the
/// broker is dropped.
pub async fn chores(broker: Arc<Broker>) {
    if let Some(open) = broker.policy.on_trial() {
        // Where what was in force before cannot be read any more, the usual limits hold.
        let before = broker.policy.compiled(open.trial.before).await.ok();
        follow(&broker, before.and_then(|policy| policy.rollback().cloned()).as_ref());
    }
    let Some(breached) = broker.breached() else { return };
    let watched = Arc::downgrade(&broker);
    drop(broker);
    act::run(watched, breached).await;
}

fn limits(broker: &Broker) -> Option<Rollback> {
    broker.policy.in_force().and_then(|policy| policy.rollback().cloned())
}

fn follow(broker: &Broker, limits: Option<&Rollback>) {
    let trial = broker.policy.on_trial();
    if let Some(policy) = broker.policy.in_force() {
        broker.outcomes.follow(&policy, trial.as_deref(), limits);
    }
}
