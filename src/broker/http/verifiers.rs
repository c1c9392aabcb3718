//! `/verifiers/*`: what running verifiers tell.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use shortbread_protocol::admin::Problem;
use shortbread_protocol::verifiers::{ClaimAnswer, LeaseAnswer, LeaseBody, ReportAnswer};

use super::App;
use super::body::{self, answer, to_the_end};
use super::failure::Failure;
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
        let body: LeaseBody = body::read(body::of_type(&headers, &body, "application/json")?)?;
        let (broker, context) = (Arc::clone(&app.broker), context.clone());
        // To its end, even when the caller hangs up: what is recorded must be known here too.
        to_the_end(async move { verifiers::lease(&broker, &body, &context).await }).await
    };
    answer(done.await, &context)
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
    let done = body::of_type(&headers, &body, "application/jose")
        .and_then(|body| Ok(verifiers::report(&app.broker, body, &context)?));
    answer(done, &context)
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
    let done = body::of_type(&headers, &body, "application/jose")
        .and_then(|body| Ok(verifiers::goodbye(&app.broker, body, &context)?));
    answer(done, &context)
}

/// Takes a verifier's signed claim of the one use of a token: a JWS in compact form. The same attempt may claim again.
#[utoipa::path(post, path = "/verifiers/claims", tag = "verifiers", request_body(content = String, content_type = "application/jose"),
    responses((status = 200, body = ClaimAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn claim(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let done = async {
        let body = body::of_type(&headers, &body, "application/jose")?.clone();
        let (broker, context) = (Arc::clone(&app.broker), context.clone());
        // To its end, even when the caller hangs up.
        to_the_end(async move { verifiers::claim(&broker, &body, &context).await }).await
    };
    answer(done.await, &context)
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { retry_after: refusal.retry_after, ..Self::new(refusal.reason, refusal.detail) }
    }
}
