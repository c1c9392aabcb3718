//! `/oauth/*`.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shortbread_protocol::oauth::{Introspection, OAuthError, TokenAnswer};
use shortbread_protocol::reason::Reason;

use super::{App, Unclear, dpop, failure, is_of_type, single};
use crate::exchange::{Context, Refusal, Sent, exchange, is_operators};
use crate::introspect::introspect as introspection;
use crate::revoke::give_back;
use crate::telemetry;

/// Exchanges an identity for a token (RFC 6749, 7523, 8693, 9396, 9449).
#[utoipa::path(post, path = "/oauth/token", tag = "oauth",
    params(("DPoP" = Option<String>, Header, description = "A proof of the key that the token is to be bound to. Operators need one.")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = TokenAnswer), (status = 400, body = OAuthError), (status = 401, body = OAuthError),
        (status = 413, body = OAuthError), (status = 429, body = OAuthError), (status = 500, body = OAuthError), (status = 503, body = OAuthError),
    ))]
pub(super) async fn token(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let crowded = || {
        let refusal = Refusal::plain(Reason::Overloaded).after(Duration::from_secs(1));
        failure::oauth(&refusal, &context.decision)
    };
    let place = app.in_flight.try_acquire().ok();
    if place.is_none() && app.aside.available_permits() == 0 {
        return crowded();
    }
    let body = match form(&headers, body, &context) {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let idempotency_key = idempotency_key(&headers);
    let mut sent = Sent { body: &body, dpop: dpop(&headers), idempotency_key, aside: false };
    sent.aside = place.is_none() && is_operators(&app.broker, &sent);
    let aside = if sent.aside { app.aside.try_acquire().ok() } else { None };
    let Some(_place) = place.or(aside) else {
        return crowded();
    };
    let outcome = exchange(&app.broker, &sent, &context).await;
    telemetry::exchanged(&app.broker, &context, &outcome);
    match outcome {
        Ok(answer) => no_store(Json(answer).into_response()),
        Err(refusal) => failure::oauth(&refusal, &context.decision),
    }
}

/// Gives a token back (RFC 7009): the answer is 200 whatever it was.
#[utoipa::path(post, path = "/oauth/revoke", tag = "oauth",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200), (status = 400, body = OAuthError), (status = 413, body = OAuthError), (status = 429, body = OAuthError), (status = 503, body = OAuthError)))]
pub(super) async fn revoke(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match form(&headers, body, &context) {
        Ok(body) => body,
        Err(response) => return *response,
    };
    match give_back(&app.broker, &body, &context).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => failure::oauth(&refusal, &context.decision),
    }
}

/// Answers a registered verifier about a token (RFC 7662): for the call given by `tool`, `verb` and `args`, or for the
/// verbs that it allows whatever the arguments are.
#[utoipa::path(post, path = "/oauth/introspect", tag = "oauth",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = Introspection), (status = 400, body = OAuthError), (status = 401, body = OAuthError),
        (status = 413, body = OAuthError), (status = 429, body = OAuthError), (status = 503, body = OAuthError),
    ))]
pub(super) async fn introspect(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match form(&headers, body, &context) {
        Ok(body) => body,
        Err(response) => return *response,
    };
    match introspection(&app.broker, &body, &context).await {
        Ok(answer) => no_store(Json(answer).into_response()),
        Err(refusal) => failure::oauth(&refusal, &context.decision),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    single(headers, "idempotency-key").map_err(|unclear| match unclear {
        Unclear::NotAscii => "the Idempotency-Key is not ASCII",
        Unclear::Several => "there is more than one Idempotency-Key header",
    })
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

// The body of a form, or the answer to what is none.
fn form(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    context: &Context,
) -> Result<Bytes, Box<Response>> {
    let refused = |detail: &str, status| {
        let refusal = Refusal::new(Reason::RequestMalformed, detail);
        let mut response = failure::oauth(&refusal, &context.decision);
        *response.status_mut() = status;
        Box::new(response)
    };
    if !is_of_type(headers, "application/x-www-form-urlencoded") {
        let detail = "send the parameters as application/x-www-form-urlencoded";
        return Err(refused(detail, StatusCode::BAD_REQUEST));
    }
    body.map_err(|rejection| match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => refused("the body has more than 64 KiB", status),
        status => refused("the body could not be read", status),
    })
}
