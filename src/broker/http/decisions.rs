//! `/verifiers/decisions`: what running verifiers decided.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use shortbread_protocol::admin::Problem;
use shortbread_protocol::verifiers::BatchAnswer;

use super::App;
use super::body::{self, answer, to_the_end};
use crate::decisions;
use crate::exchange::Context;

/// Takes a signed batch of call decisions: a JWS in compact form. The same batch may come again.
#[utoipa::path(post, path = "/verifiers/decisions", tag = "verifiers", request_body(content = String, content_type = "application/jose"),
    responses((status = 200, body = BatchAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn take(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let done = async {
        let body = body::of_type(&headers, &body, "application/jose")?.clone();
        let (broker, context) = (Arc::clone(&app.broker), context.clone());
        // To its end, even when the caller hangs up: what is recorded is counted once.
        to_the_end(async move { decisions::take(&broker, &body, &context).await }).await
    };
    answer(done.await, &context)
}
