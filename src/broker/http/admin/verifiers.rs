//! `/api/v1/revocations/status` and `/api/v1/verifiers`: who enforces the list already.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use shortbread_protocol::admin::{AgesAnswer, Problem, StatusAnswer};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, answer, to_the_end};
use crate::exchange::Context;
use crate::verifiers::{self, ForgetError, LISTED, MAX_WAIT, Question};

/// About which change, and how patiently.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Asked {
    /// The sequence of a change; absent: the last one.
    seq: Option<u64>,
    /// Wait so many seconds, 8 at most, until no instance that lives is behind.
    wait: Option<u64>,
    /// List so many instances; 1,000 unless told.
    limit: Option<usize>,
}

/// Who enforces the list already, who is behind, who is silent, who is gone.
#[utoipa::path(get, path = "/api/v1/revocations/status", tag = "admin", security(("operator" = ["revocations.read"])), params(Asked),
    responses((status = 200, body = StatusAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn status(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    asked: Result<Query<Asked>, QueryRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "revocations.read").await?;
        let malformed = |detail: String| Failure::new(Reason::RequestMalformed, detail);
        let Query(asked) = asked.map_err(|error| malformed(error.body_text()))?;
        let wait = Duration::from_secs(asked.wait.unwrap_or_default());
        if wait > MAX_WAIT {
            return Err(malformed("wait: at most 8 seconds; ask again after them".to_owned()));
        }
        let question = Question { seq: asked.seq, wait, listed: asked.limit.unwrap_or(LISTED) };
        verifiers::status(&app.broker, &question).await.map_err(|error| malformed(error.to_string()))
    };
    answer(done.await, &context)
}

/// How old the lists of verifiers were, minute by minute, for a day at most; known since the broker started.
#[utoipa::path(get, path = "/api/v1/verifiers/ages", tag = "admin", security(("operator" = ["status.read"])),
    responses((status = 200, body = AgesAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn ages(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "status.read").await?;
        Ok::<_, Failure>(verifiers::ages(&app.broker))
    };
    answer(done.await, &context)
}

/// Forgets an instance that is silent or gone, so that nobody waits for it.
#[utoipa::path(delete, path = "/api/v1/verifiers/{id}", tag = "admin", security(("operator" = ["revocations.revoke"])),
    params(("id" = String, Path, description = "The instance: the thumbprint of its key")),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn forget(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    id: Result<Path<String>, PathRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        let operator = admit(&app.broker, &context, &sent, "revocations.revoke").await?;
        let id = id.map(|Path(id)| id).unwrap_or_default();
        let (broker, decision) = (Arc::clone(&app.broker), context.decision.clone());
        let forget =
            async move { verifiers::forget(&broker, &id, &operator, &decision).await.map_err(Failure::from) };
        to_the_end(forget).await
    };
    done.await
        .map_or_else(|failure| failure.answer(&context.decision), |()| StatusCode::NO_CONTENT.into_response())
}

impl From<ForgetError> for Failure {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Unknown => Self::new(Reason::NotFound, error.to_string()),
            ForgetError::Lives => Self::new(Reason::Conflict, error.to_string()),
            ForgetError::Store(error) => error.into(),
        }
    }
}
