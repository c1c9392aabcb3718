//! A policy version on its way into force: held against cases, tried on a part, watched, and taken back.

mod act;
mod gate;
mod versions;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shortbread_protocol::admin::ActivateBody;
use shortbread_protocol::event::Decision;
use shortbread_protocol::names::WorkflowName;
use thiserror::Error;

pub use self::versions::{describe, version, versions};

use crate::activation::{ActivationError, Actor, Found, Judged, OnTrial, Scope};
use crate::broker::Broker;
use crate::notices::Notice;
use crate::store::{PolicyAction, StoreError, Trial};
use crate::watch::Usual;

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
    /// Others are being judged.
    #[error("two versions are being held against the recorded requests already; try again in a few seconds")]
    Busy,
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
    /// The version that it was held against by whoever wishes it, and that has to be in force still; `None`: any may be.
    pub against: Option<u64>,
}

impl Wish {
    /// As it is asked for.
    ///
    /// # Errors
    /// What of it makes no sense.
    pub fn of(asked: ActivateBody) -> Result<Self, String> {
        let named = |name: &String| {
            name.parse().map_err(|error| format!("{name:?} is no name of a workflow: {error}"))
        };
        let workflows: BTreeSet<_> = asked.workflows.iter().map(named).collect::<Result<_, _>>()?;
        let watch = asked.watch.map(Duration::from_secs);
        if watch.is_some_and(|span| span.is_zero() || span > MAX_WATCH) {
            let most = MAX_WATCH.as_secs();
            return Err(format!("`watch` is none of 1 to {most} seconds (seven days)"));
        }
        let workflows = Some(workflows).filter(|some| !some.is_empty());
        let accept = asked.accept.into_iter().collect();
        Ok(Self { version: asked.version, workflows, watch, accept, against: None })
    }
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
    let base = wish.against.unwrap_or_else(|| broker.policy.version());
    if base != broker.policy.version() {
        return Err(ActivationError::Moved(base).into());
    }
    let gate::Passed(found) =
        gate::pass(broker, &next, wish.workflows.as_ref(), &wish.accept, decision.at).await?;
    let found = Found::from_iter([("gate".to_owned(), found)]);
    let until = wish.watch.map(|span| decision.at.plus(span.min(MAX_WATCH)));
    let scope = Scope { workflows: wish.workflows, until };
    let workflows: Vec<String> = scope.workflows.iter().flatten().map(ToString::to_string).collect();
    broker
        .policy
        .activate_judged(
            version,
            scope,
            Judged { base, trial: None, found },
            actor,
            decision,
            broker.clock.monotonic(),
        )
        .await?;
    follow(broker).await;
    if workflows.is_empty() {
        broker.policy_changed(actor, PolicyAction::Activate, decision);
    } else {
        let (by, decision) = (actor.name().to_owned(), decision.id.clone());
        broker.notices.tell(&Notice::PolicyTried { version, workflows, by, decision });
    }
    Ok(version)
}

/// Why a breach would not take what is watched back by itself, but be told for a person to decide; `None` where it would, or
/// nothing is watched.
async fn left_to_a_person(broker: &Broker) -> Option<String> {
    let open = broker.policy.on_trial().filter(|open| open.trial.until.is_some())?;
    let hindered = act::hindered(&open, open.before.as_ref()?).await;
    hindered.map(|(_, why)| why)
}

/// Takes a trial back, or puts a version in force that was in force before. Gives the version that is in force then.
/// `accept` names labelled cases that it may let through all the same.
///
/// # Errors
/// When there is none, it was never in force, it would let through what labelled cases withhold, or a second operator is
/// needed.
pub async fn roll_back(
    broker: &Broker,
    version: Option<u64>,
    accept: &BTreeSet<String>,
    actor: &Actor,
    decision: &Decision,
) -> Result<u64, RolloutError> {
    let open = broker.policy.on_trial();
    if let (None, Some(part)) = (version, open.filter(|open| open.trial.workflows.is_some())) {
        return take_off(broker, &part.trial, actor, decision).await;
    }
    let base = broker.policy.version();
    let earlier = broker.policy.earlier(version).await?;
    let policy = broker.policy.compiled(earlier).await?;
    let let_through = gate::incidents(broker.policy.in_force().as_ref(), &policy, accept)?;
    let found = json!({ "accepted": let_through });
    let judged = Judged { base, trial: None, found: Found::from_iter([("gate".to_owned(), found)]) };
    let monotonic = broker.clock.monotonic();
    let version = broker.policy.roll_back_judged(earlier, judged, actor, decision, monotonic).await?;
    follow(broker).await;
    broker.policy_changed(actor, PolicyAction::Rollback, decision);
    Ok(version)
}

/// Takes this very trial on some workflows back, and nothing else: the version that was tried since this second. Gives the
/// version that is in force then.
///
/// # Errors
/// When it is over, or the store fails.
pub async fn end_trial(
    broker: &Broker,
    (version, since): (u64, u64),
    actor: &Actor,
    decision: &Decision,
) -> Result<u64, RolloutError> {
    let open = broker.policy.on_trial().filter(|open| {
        let trial = &open.trial;
        trial.workflows.is_some() && (trial.version, trial.at.seconds()) == (version, since)
    });
    let open = open.ok_or(ActivationError::Over(version))?;
    take_off(broker, &open.trial, actor, decision).await
}

// What is in force for all stays, so no policy is told to have come into force.
async fn take_off(
    broker: &Broker,
    trial: &Trial,
    actor: &Actor,
    decision: &Decision,
) -> Result<u64, RolloutError> {
    let in_force = broker.policy.take_off(trial, Found::new(), actor, decision).await?;
    follow(broker).await;
    let workflows = trial.workflows.iter().flatten().map(ToString::to_string).collect();
    let (by, decision) = (actor.name().to_owned(), decision.id.clone());
    broker.notices.tell(&Notice::PolicyTrialEnded { version: trial.version, workflows, by, decision });
    Ok(in_force)
}

/// Goes on watching what the store says is on trial, takes back what passes a limit and ends watches on time, until the
/// broker is dropped.
pub async fn chores(broker: Arc<Broker>) {
    follow(&broker).await;
    let Some(breached) = broker.breached() else { return };
    let watched = Arc::downgrade(&broker);
    drop(broker);
    act::run(watched, breached).await;
}

/// Has requests watched for what is on trial now, and reads what calls usually come to.
async fn follow(broker: &Broker) {
    let open = loop {
        let open = broker.policy.on_trial();
        broker.outcomes.follow(open.as_deref());
        let n = |open: Option<&OnTrial>| open.map(|open| open.trial.n);
        // Another one may have come in between.
        if n(open.as_deref()) == n(broker.policy.on_trial().as_deref()) {
            break open;
        }
    };
    if let Some(open) = open.filter(|open| broker.outcomes.wants_usual(open.trial.n)) {
        let usual = usual(broker, &open).await;
        broker.outcomes.take_usual(open.trial.n, usual);
    }
}

async fn usual(broker: &Broker, open: &OnTrial) -> Usual {
    let version = open.trial.version;
    match Usual::read(&broker.store, open, &*broker.clock).await {
        Ok(usual) => {
            if usual.is_cut() {
                tracing::warn!(
                    policy.version = version,
                    "there were more calls in the day before than could be counted in time: this watched version is held against the newest"
                );
            }
            usual
        }
        Err(error) => {
            tracing::warn!(
                policy.version = version,
                error = %error,
                "what calls usually come to could not be read: of this watched version requests alone are judged"
            );
            Usual::default()
        }
    }
}
