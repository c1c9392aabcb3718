//! `/oauth/*`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shortbread_protocol::oauth::{Introspection, OAuthError, TokenAnswer};
use shortbread_protocol::reason::Reason;

use super::serve::Stopping;
use super::{App, Unclear, dpop, failure, is_of_type, single};
use crate::exchange::{
    Asked, Context, LONGEST_WAIT, Patience, Place, Refusal, Sent, cancel as deferral_cancel, exchange,
    is_operators,
};
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
    Extension(patience): Extension<Patience>,
    stopping: Option<Extension<Stopping>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match form(&headers, body, &context) {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let wait = preferred_wait(&headers);
    let mut asked = Asked {
        body: &body,
        dpop: dpop(&headers),
        idempotency_key: idempotency_key(&headers),
        aside: false,
        wait: wait.unwrap_or_default(),
    };
    let Some(place) = place(&app, &mut asked, patience) else {
        let refusal = Refusal::plain(Reason::Overloaded).after(Duration::from_secs(1));
        return failure::oauth(&refusal, &context.decision);
    };
    let place = place.until(stopping.map(|Extension(stopping)| stopping.watch()));
    let outcome = exchange(&app.broker, &Sent { asked, place: &place }, &context).await;
    telemetry::exchanged(&app.broker, &context, &outcome);
    let mut response = match outcome {
        Ok(answer) => no_store(Json(answer).into_response()),
        Err(refusal) => failure::oauth(&refusal, &context.decision),
    };
    if let Some(wait) = wait
        && let Ok(applied) = HeaderValue::try_from(format!("wait={}", wait.as_secs()))
    {
        response.headers_mut().insert("preference-applied", applied);
    }
    response
}

// A place in flight; operators have some more.
fn place(app: &App, asked: &mut Asked<'_>, patience: Patience) -> Option<Place> {
    if let Ok(permit) = Arc::clone(&app.in_flight).try_acquire_owned() {
        return Some(Place::held(Arc::clone(&app.in_flight), permit, patience));
    }
    asked.aside = app.aside.available_permits() > 0 && is_operators(&app.broker, asked);
    let permit = if asked.aside { Arc::clone(&app.aside).try_acquire_owned().ok()? } else { return None };
    Some(Place::held(Arc::clone(&app.aside), permit, patience))
}

/// Takes back a request that waits for a person. It takes the deferral code and the client's proof, as fetching its answer
/// does.
#[utoipa::path(post, path = "/oauth/deferral/cancel", tag = "oauth",
    params(("DPoP" = Option<String>, Header, description = "A proof of the key that the request was bound to.")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200), (status = 400, body = OAuthError), (status = 401, body = OAuthError), (status = 413, body = OAuthError), (status = 429, body = OAuthError), (status = 503, body = OAuthError)))]
pub(super) async fn cancel(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match form(&headers, body, &context) {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let (broker, decision) = (Arc::clone(&app.broker), context.decision.clone());
    // To its end, even when the caller hangs up.
    let change = async move {
        let (dpop, idempotency_key) = (dpop(&headers), Ok(None));
        let asked = Asked { body: &body, dpop, idempotency_key, aside: false, wait: Duration::ZERO };
        deferral_cancel(&broker, &asked, &context).await
    };
    match tokio::spawn(change).await {
        Ok(Ok(())) => StatusCode::OK.into_response(),
        Ok(Err(refusal)) => failure::oauth(&refusal, &decision),
        Err(_) => failure::oauth(&Refusal::plain(Reason::Internal), &decision),
    }
}

// RFC 7240, section 4.3: how long the client would wait, in seconds; 55 at most.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split([',', ';'])).map(str::trim);
    let wait = preferences.find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let seconds: u64 = value.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then_some(seconds)
    });
    wait.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT))
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
