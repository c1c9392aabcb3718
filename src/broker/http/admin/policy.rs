//! `/api/v1/policy`: versions and what is in force.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use shortbread_protocol::admin::{ActivateBody, PolicyAnswer, PolicyVersionBody, Problem};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, answer, to_the_end};
use crate::activation::{ActivationError, Actor};
use crate::broker::Broker;
use crate::exchange::Context;
use crate::store::PolicyAction;

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

/// Puts a version in force: the newest, or the one named. The policy file is taken in first.
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
            let version = match asked.version {
                Some(version) => version,
                None => broker.policy.take_in(&broker.config.policy, "file", &decision).await?.n,
            };
            broker.policy.activate(Some(version), &actor, &decision, broker.clock.monotonic()).await?;
            broker.policy_changed(&actor, PolicyAction::Activate, &decision);
            versions(&broker).await
        };
        to_the_end(change).await
    };
    answer(done.await, &context)
}

/// Puts a version in force again that was in force before.
#[utoipa::path(post, path = "/api/v1/policy/rollback", tag = "admin", security(("operator" = ["policy.rollback"])), request_body = ActivateBody,
    responses((status = 200, body = PolicyAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn rollback(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        let actor = Actor::Operator(admit(&app.broker, &context, &sent, "policy.rollback").await?);
        let (broker, asked) = (Arc::clone(&app.broker), sent.read::<ActivateBody>()?);
        let decision = context.decision.clone();
        let change = async move {
            broker.policy.roll_back(asked.version, &actor, &decision, broker.clock.monotonic()).await?;
            broker.policy_changed(&actor, PolicyAction::Rollback, &decision);
            versions(&broker).await
        };
        to_the_end(change).await
    };
    answer(done.await, &context)
}

async fn versions(broker: &Broker) -> Result<PolicyAnswer, Failure> {
    let (versions, history) = (broker.store.policy_versions().await?, broker.store.policy_history().await?);
    let active = broker.policy.version();
    let body = |version: &crate::store::PolicyVersion| PolicyVersionBody {
        version: version.n,
        digest: format!("sha256:{}", hex::encode(version.digest)),
        author: version.author.clone(),
        at: version.at.seconds(),
        active: version.n == active,
        was_active: history.iter().any(|activation| activation.version == version.n),
    };
    Ok(PolicyAnswer { versions: versions.iter().rev().map(body).collect() })
}

impl From<ActivationError> for Failure {
    fn from(error: ActivationError) -> Self {
        match error {
            ActivationError::Store(error) => error.into(),
            ActivationError::SecondOperator(_) => Self::new(Reason::SecondOperator, error.to_string()),
            ActivationError::Unknown(_) => Self::new(Reason::NotFound, error.to_string()),
            _ => Self::new(Reason::Conflict, error.to_string()),
        }
    }
}
