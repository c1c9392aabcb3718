//! The break-glass head, for verifiers and mirrors.

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use shortbread_protocol::admin::Problem;
use shortbread_protocol::reason::Reason;

use super::App;
use super::failure::Failure;
use super::lists::signed;
use crate::exchange::Context;

/// What the offline root key said last; 404 when it never spoke.
#[utoipa::path(get, path = "/revocations/break-glass", tag = "revocations", params(("If-None-Match" = Option<String>, Header, description = "The entity tag that the reader has")),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 304), (status = 404, body = Problem)))]
pub(super) async fn head(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
) -> Response {
    let Some(current) = app.broker.break_glass.current() else {
        return Failure::new(Reason::NotFound, "there is no break-glass head").answer(&context.decision);
    };
    signed(&headers, &current.etag, current.bytes.clone())
}
