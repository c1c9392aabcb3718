//! `/a/{id}`: where an approver is sent. A browser is led to the console; whoever else asks is told how to look, and nothing of
//! what waits.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};

/// How to look at a request for approval. It is the same for every id, whether or not there is such a request.
#[utoipa::path(get, path = "/a/{id}", tag = "health", params(("id" = String, Path)),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 303), (status = 404, body = String, content_type = "text/plain")))]
pub(super) async fn look(id: Result<Path<String>, PathRejection>, headers: HeaderMap) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if !id.strip_prefix("apr_").is_some_and(|rest| (1..=64).contains(&rest.len()) && rest.bytes().all(plain))
    {
        return (StatusCode::NOT_FOUND, kind, "This is no id of a request for approval.\n").into_response();
    }
    if is_browser(&headers) {
        return Redirect::to(&format!("/console/approvals/{id}")).into_response();
    }
    let text = format!(
        "A request waits for approval. Look at it and decide with:\n\n    shortbread approvals show {id}\n\n\
         Sign in first with `shortbread login`, if you have not. `shortbread approvals list` shows everything that waits.\n"
    );
    (kind, text).into_response()
}

fn is_browser(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.flat_map(|line| line.split(',')).any(|kind| kind.trim().starts_with("text/html"))
}
