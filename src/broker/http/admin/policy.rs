//! `/api/v1/policy`: versions and what is in force.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use shortbread_protocol::admin::{
    ActivateBody, PolicyAnswer, PolicyText, PolicyVersionBody, Problem, RollbackBody, TrialBody,
};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, answer, to_the_end};
use crate::activation::{ActivationError, Actor};
use crate::broker::Broker;
use crate::exchange::Context;
use crate::rollout::{self, MAX_WATCH, RolloutError, Wish};
use crate::store::{PolicyVersion, Trial};

/// All versions, newest first.
#[utoipa::path(get, path = "/api/v1/policy", tag = "admin", security(("operator" = ["policy.read"])),
    responses((status = 200, body = PolicyAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn history(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "policy.read").await?;
        versions(&app.broker).await
    };
    answer(done.await, &context)
}

/// One version, with all that is needed to compile it again. Key files are public halves.
#[utoipa::path(get, path = "/api/v1/policy/versions/{n}", tag = "admin", security(("operator" = ["policy.read"])),
    params(("n" = u64, Path, description = "The version's number")),
    responses((status = 200, body = PolicyText), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn version(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    number: Result<Path<u64>, PathRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "policy.read").await?;
        let absent = || {
            let detail = "there is no policy version of this number; `shortbread policy history` lists them";
            Failure::new(Reason::NotFound, detail)
        };
        let Path(number) = number.map_err(|_| absent())?;
        let known = app.broker.store.policy_versions().await?;
        let known = known.into_iter().find(|version| version.n == number).ok_or_else(absent)?;
        let written = app.broker.policy.written(number).await?;
        Ok(PolicyText {
            version: number,
            digest: format!("sha256:{}", hex::encode(known.digest)),
            author: known.author,
            at: known.at.seconds(),
            file: written.file,
            source: written.source,
            files: written.files,
        })
    };
    answer(done.await, &context)
}

/// Puts a version in force, for everyone or for some workflows on trial: the one named, or the policy file, taken in first.
#[utoipa::path(post, path = "/api/v1/policy/activate", tag = "admin", security(("operator" = ["policy.activate"])), request_body = ActivateBody,
    responses((status = 200, body = PolicyAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn activate(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        let actor = Actor::Operator(admit(&app.broker, &context, &sent, "policy.activate").await?);
        let (broker, asked) = (Arc::clone(&app.broker), sent.read::<ActivateBody>()?);
        let decision = context.decision.clone();
        let change = async move {
            rollout::activate(&broker, wish(asked)?, &actor, &decision).await?;
            versions(&broker).await
        };
        to_the_end(change).await
    };
    answer(done.await, &context)
}

/// Takes an open trial back, or puts a version in force again that was in force before.
#[utoipa::path(post, path = "/api/v1/policy/rollback", tag = "admin", security(("operator" = ["policy.rollback"])), request_body = RollbackBody,
    responses((status = 200, body = PolicyAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn rollback(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        let actor = Actor::Operator(admit(&app.broker, &context, &sent, "policy.rollback").await?);
        let (broker, asked) = (Arc::clone(&app.broker), sent.read::<RollbackBody>()?);
        let decision = context.decision.clone();
        let change = async move {
            rollout::roll_back(
                &broker,
                asked.version,
                &asked.accept.into_iter().collect(),
                &actor,
                &decision,
            )
            .await?;
            versions(&broker).await
        };
        to_the_end(change).await
    };
    answer(done.await, &context)
}

fn wish(asked: ActivateBody) -> Result<Wish, Failure> {
    let refused = |detail: String| Failure::new(Reason::RequestMalformed, detail);
    let named = |name: &String| {
        name.parse().map_err(|error| refused(format!("{name:?} is no name of a workflow: {error}")))
    };
    let workflows: BTreeSet<_> = asked.workflows.iter().map(named).collect::<Result<_, _>>()?;
    let watch = asked.watch.map(Duration::from_secs);
    if watch.is_some_and(|span| span.is_zero() || span > MAX_WATCH) {
        let most = MAX_WATCH.as_secs();
        return Err(refused(format!("`watch` is none of 1 to {most} seconds (seven days)")));
    }
    let workflows = Some(workflows).filter(|some| !some.is_empty());
    Ok(Wish { version: asked.version, workflows, watch, accept: asked.accept.into_iter().collect() })
}

async fn versions(broker: &Broker) -> Result<PolicyAnswer, Failure> {
    let (versions, history) = (broker.store.policy_versions().await?, broker.store.policy_history().await?);
    let active = broker.policy.version();
    let open = broker.policy.on_trial();
    let body = |version: &PolicyVersion| PolicyVersionBody {
        version: version.n,
        digest: format!("sha256:{}", hex::encode(version.digest)),
        author: version.author.clone(),
        at: version.at.seconds(),
        active: version.n == active,
        was_active: history.iter().any(|activation| activation.version == version.n),
    };
    let told_only = rollout::left_to_a_person(broker).await;
    let trial = open.as_ref().map(|open| trial(&open.trial, told_only));
    Ok(PolicyAnswer { versions: versions.iter().rev().map(body).collect(), trial })
}

fn trial(trial: &Trial, told_only: Option<String>) -> TrialBody {
    TrialBody {
        version: trial.version,
        before: trial.before,
        workflows: trial.workflows.iter().flatten().map(ToString::to_string).collect(),
        since: trial.at.seconds(),
        watched_until: trial.until.map(|until| until.seconds()),
        told_only,
        by: trial.operator.clone(),
    }
}

impl From<RolloutError> for Failure {
    fn from(error: RolloutError) -> Self {
        match error {
            RolloutError::Activation(error) => error.into(),
            RolloutError::Gate(_) | RolloutError::Incidents(_) => {
                Self::new(Reason::GateRefused, error.to_string())
            }
            RolloutError::Busy => {
                let retry_after = Some(Duration::from_secs(3));
                Self { retry_after, ..Self::new(Reason::Overloaded, error.to_string()) }
            }
            RolloutError::Cases(_) => Self::new(Reason::Conflict, error.to_string()),
        }
    }
}

impl From<ActivationError> for Failure {
    fn from(error: ActivationError) -> Self {
        match error {
            ActivationError::Store(error) => error.into(),
            ActivationError::SecondOperator { .. } => Self::new(Reason::SecondOperator, error.to_string()),
            ActivationError::Unknown(_) => Self::new(Reason::NotFound, error.to_string()),
            _ => Self::new(Reason::Conflict, error.to_string()),
        }
    }
}
