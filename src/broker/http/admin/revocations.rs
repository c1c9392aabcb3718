//! `/api/v1/revocations`: the switch.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use shortbread_protocol::admin::{ChangeAnswer, LiftBody, Problem, RevocationsAnswer, RevokeBody};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, admit_caller, answer, to_the_end};
use crate::exchange::Context;
use crate::revoke;

/// What is revoked.
#[utoipa::path(get, path = "/api/v1/revocations", tag = "admin", security(("operator" = ["revocations.read"])),
    responses((status = 200, body = RevocationsAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "revocations.read").await?;
        Ok::<_, Failure>(revoke::list(&app.broker).await?)
    };
    answer(done.await, &context)
}

/// Revokes, and publishes a head that carries it before it answers.
#[utoipa::path(post, path = "/api/v1/revocations", tag = "admin", security(("operator" = ["revocations.revoke"])), request_body = RevokeBody,
    responses((status = 200, body = ChangeAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn revoke(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        let caller = admit_caller(&app.broker, &context, &sent, "revocations.revoke").await?;
        let body = sent.read::<RevokeBody>()?;
        let (broker, decision) = (Arc::clone(&app.broker), context.decision.clone());
        let change =
            async move { revoke::revoke(&broker, &body, &caller, &decision).await.map_err(Failure::from) };
        to_the_end(change).await
    };
    answer(done.await, &context)
}

/// Lifts a revocation.
#[utoipa::path(post, path = "/api/v1/revocations/lift", tag = "admin", security(("operator" = ["revocations.lift"])), request_body = LiftBody,
    responses((status = 200, body = ChangeAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn lift(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        let caller = admit_caller(&app.broker, &context, &sent, "revocations.lift").await?;
        let body = sent.read::<LiftBody>()?;
        let (broker, decision) = (Arc::clone(&app.broker), context.decision.clone());
        let change =
            async move { revoke::lift(&broker, &body, &caller, &decision).await.map_err(Failure::from) };
        to_the_end(change).await
    };
    answer(done.await, &context)
}

impl From<revoke::RevokeError> for Failure {
    fn from(error: revoke::RevokeError) -> Self {
        match error {
            revoke::RevokeError::Malformed(detail) => Self::new(Reason::RequestMalformed, detail),
            revoke::RevokeError::Conflict(detail) => Self::new(Reason::Conflict, detail),
            revoke::RevokeError::Store(error) => error.into(),
            revoke::RevokeError::Publish(error) => {
                tracing::error!(error = %error, "a change is stored but its head is not published yet");
                Self::new(
                    Reason::StoreUnavailable,
                    "the change is stored, but no head could be published yet; the broker keeps trying, look at `revocations status`",
                )
            }
        }
    }
}
