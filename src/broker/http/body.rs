//! The body of a request, and what its handler comes to, as the admin API and `/verifiers/*` have them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shortbread_protocol::json;
use shortbread_protocol::reason::Reason;

use super::failure::Failure;
use super::is_of_type;
use crate::exchange::Context;

/// The body of a request that has one and says that it is of this media type.
pub(super) fn of_type<'b>(
    headers: &HeaderMap,
    body: &'b Result<Bytes, BytesRejection>,
    kind: &str,
) -> Result<&'b Bytes, Failure> {
    let malformed = |detail: String| Failure::new(Reason::RequestMalformed, detail);
    let body = body.as_ref().map_err(|rejection| match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            malformed("the body has more than 64 KiB".to_owned()).status(status)
        }
        _ => malformed("the body could not be read".to_owned()),
    })?;
    if is_of_type(headers, kind) {
        return Ok(body);
    }
    Err(malformed(format!("send the body as {kind}")).status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

/// Reads JSON strictly.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    json::read_as(body).map_err(|error| unread(&error))
}

/// What is said of JSON that is not what it should be.
pub(super) fn unread(error: &impl std::fmt::Display) -> Failure {
    // An unknown member is named, and may be long.
    let error: String = error.to_string().chars().take(300).collect();
    Failure::new(Reason::RequestMalformed, format!("the body is not read: {error}"))
}

/// The answer to a request that could be done, or could not.
pub(super) fn answer<T: Serialize>(done: Result<T, Failure>, context: &Context) -> Response {
    match done {
        Ok(answer) => Json(answer).into_response(),
        Err(failure) => failure.answer(&context.decision),
    }
}

/// Runs a change to its end, even when the caller hangs up or their time is over: what the store holds and what this
/// process works with must not part.
pub(super) async fn to_the_end<T, E>(
    change: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, Failure>
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
{
    match tokio::spawn(change).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(Failure::plain(Reason::Internal)),
    }
}
