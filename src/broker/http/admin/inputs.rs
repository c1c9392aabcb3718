//! `/api/v1/audit/cases` and `/api/v1/audit/erase`: what decisions depended on.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use shortbread_protocol::admin::{EraseAnswer, EraseBody, Problem};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, answer, to_the_end};
use crate::exchange::Context;
use crate::inputs::{self, Asked, CaseError, EraseError, Page};
use crate::policy::builtin;

const JSON_LINES: &str = "application/x-ndjson";
/// Where the next page begins.
const NEXT: &str = "shortbread-next";
const MAX_CASES: usize = 1000;

/// Which cases.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Wanted {
    /// Of decisions from this moment on (unix seconds).
    since: Option<u64>,
    /// From this place of the log on: what `shortbread-next` said.
    from: Option<u64>,
    /// At most so many; 500 unless told, 1000 at most.
    limit: Option<usize>,
    /// With operators' own exchanges.
    #[serde(default)]
    operators: bool,
}

/// Recorded requests as cases, oldest first: one JSON object a line. A page may be empty and not the last: as long as
/// there may be more, the header `shortbread-next` says where to go on.
#[utoipa::path(get, path = "/api/v1/audit/cases", tag = "admin", security(("operator" = ["audit.read"])), params(Wanted),
    responses((status = 200, body = String, content_type = "application/x-ndjson", headers(("shortbread-next" = u64, description = "where the next page begins; absent on the last"))), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn cases(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "audit.read").await?;
        let Query(wanted) =
            wanted.map_err(|error| Failure::new(Reason::RequestMalformed, error.body_text()))?;
        let asked = Asked {
            since: wanted.since.map(Timestamp::from_seconds),
            from: wanted.from,
            limit: wanted.limit.unwrap_or(500).clamp(1, MAX_CASES),
            operators: wanted.operators,
        };
        Ok::<_, Failure>(inputs::page(&app.broker, asked).await?)
    };
    match done.await {
        Ok(Page { lines, next }) => {
            let mut response = ([(header::CONTENT_TYPE, JSON_LINES)], lines).into_response();
            if let Some(next) = next {
                response.headers_mut().insert(NEXT, HeaderValue::from(next));
            }
            response
        }
        Err(failure) => failure.answer(&context.decision),
    }
}

/// The recorded request of one decision as a case.
#[utoipa::path(get, path = "/api/v1/audit/cases/{id}", tag = "admin", security(("operator" = ["audit.read"])), params(("id" = String, Path)),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn case(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    id: Result<Path<String>, PathRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "audit.read").await?;
        let id = id.map(|Path(id)| id).unwrap_or_default();
        Ok::<_, Failure>(inputs::of_decision(&app.broker, &id).await?)
    };
    match done.await {
        Ok(case) => {
            // What was read from JSON can be written as JSON.
            let line = serde_json::to_string(&case).unwrap_or_default() + "\n";
            ([(header::CONTENT_TYPE, JSON_LINES)], line).into_response()
        }
        Err(failure) => failure.answer(&context.decision),
    }
}

/// Erases what decisions about one subject depended on. The log stays provable.
#[utoipa::path(post, path = "/api/v1/audit/erase", tag = "admin", security(("operator" = ["audit.erase"])), request_body = EraseBody,
    responses((status = 200, body = EraseAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn erase(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        let operator = admit(&app.broker, &context, &sent, builtin::ERASE).await?;
        let body = sent.read::<EraseBody>()?;
        let (broker, decision) = (Arc::clone(&app.broker), context.decision.clone());
        to_the_end(async move { inputs::erase(&broker, &body, &operator, &decision).await }).await
    };
    answer(done.await, &context)
}

impl From<CaseError> for Failure {
    fn from(error: CaseError) -> Self {
        match error {
            CaseError::Unknown => Self::new(Reason::NotFound, error.to_string()),
            CaseError::NoCase(detail) => Self::new(Reason::NoCase, detail),
            CaseError::Store(error) => error.into(),
            CaseError::Broken => Self::new(Reason::Internal, error.to_string()),
        }
    }
}

impl From<EraseError> for Failure {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Malformed(detail) => Self::new(Reason::RequestMalformed, detail),
            EraseError::Store(error) => error.into(),
        }
    }
}
