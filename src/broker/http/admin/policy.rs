//! `/api/v1/policy`: versions and what is in force.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use shortbread_protocol::admin::{ActivateBody, PolicyAnswer, PolicyText, Problem, RollbackBody};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, answer, to_the_end};
use crate::activation::{ActivationError, Actor};
use crate::exchange::Context;
use crate::rollout::{self, RolloutError, Wish};

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
        Ok::<_, Failure>(rollout::versions(&app.broker).await?)
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
        rollout::version(&app.broker, number).await?.ok_or_else(absent)
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
            let malformed = |detail| Failure::new(Reason::RequestMalformed, detail);
            let wish = Wish::of(asked).map_err(malformed)?;
            rollout::activate(&broker, wish, &actor, &decision).await?;
            Ok::<_, Failure>(rollout::versions(&broker).await?)
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
            Ok::<_, Failure>(rollout::versions(&broker).await?)
        };
        to_the_end(change).await
    };
    answer(done.await, &context)
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
