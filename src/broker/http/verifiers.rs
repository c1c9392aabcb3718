//! `/verifiers/*`: what running verifiers tell.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use shortbread_protocol::admin::Problem;
use shortbread_protocol::json as strict;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::{LeaseAnswer, LeaseBody, ReportAnswer};

use super::failure::Failure;
use super::{App, is_of_type};
use crate::exchange::{Context, Refusal};
use crate::verifiers;

/// Gives an instance of a registered verifier its lease.
#[utoipa::path(post, path = "/verifiers/lease", tag = "verifiers", request_body = LeaseBody,
    responses((status = 200, body = LeaseAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn lease(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let done = async {
        let body = body_of(&headers, &body, "application/json")?;
        let body: LeaseBody = strict::read_as(body).map_err(|error| unread(&error))?;
        let (broker, context) = (Arc::clone(&app.broker), context.clone());
        // To its end, even when the caller hangs up: what is recorded must be known here too.
        let lease = async move { verifiers::lease(&broker, &body, &context).await };
        let leased = tokio::spawn(lease).await.map_err(|_| Failure::plain(Reason::Internal))?;
        Ok::<_, Failure>(leased?)
    };
    done.await.map_or_else(|failure| failure.answer(&context.decision), |answer| Json(answer).into_response())
}

/// Takes the signed report of an instance: a JWS in compact form.
#[utoipa::path(post, path = "/verifiers/report", tag = "verifiers", request_body(content = String, content_type = "application/jose"),
    responses((status = 200, body = ReportAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn report(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let done = body_of(&headers, &body, "application/jose")
        .and_then(|body| Ok(verifiers::report(&app.broker, body, &context)?));
    done.map_or_else(|failure| failure.answer(&context.decision), |answer| Json(answer).into_response())
}

/// Takes the signed goodbye of an instance: a JWS in compact form.
#[utoipa::path(post, path = "/verifiers/goodbye", tag = "verifiers", request_body(content = String, content_type = "application/jose"),
    responses((status = 200, body = ReportAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn goodbye(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let done = body_of(&headers, &body, "application/jose")
        .and_then(|body| Ok(verifiers::goodbye(&app.broker, body, &context)?));
    done.map_or_else(|failure| failure.answer(&context.decision), |answer| Json(answer).into_response())
}

/// The body of a request that says it is of this media type.
pub(super) fn body_of<'b>(
    headers: &HeaderMap,
    body: &'b Result<Bytes, BytesRejection>,
    kind: &str,
) -> Result<&'b Bytes, Failure> {
    if !is_of_type(headers, kind) {
        let failure = Failure::new(Reason::RequestMalformed, format!("send the body as {kind}"));
        return Err(failure.status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    body.as_ref().map_err(|rejection| match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            Failure::new(Reason::RequestMalformed, "the body has more than 64 KiB").status(status)
        }
        _ => Failure::new(Reason::RequestMalformed, "the body could not be read"),
    })
}

fn unread(error: &serde_json::Error) -> Failure {
    // An unknown member is named, and may be long.
    let error: String = error.to_string().chars().take(300).collect();
    Failure::new(Reason::RequestMalformed, format!("the body is not read: {error}"))
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { retry_after: refusal.retry_after, ..Self::new(refusal.reason, refusal.detail) }
    }
}
