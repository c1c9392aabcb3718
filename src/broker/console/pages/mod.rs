//! The pages, one folder for each place.

pub(super) mod activity;
pub(super) mod approvals;
pub(super) mod health;
pub(super) mod policy;
pub(super) mod sessions;
pub(super) mod signals;
pub(super) mod switch;
pub(super) mod workflows;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use shortbread_protocol::reason::Reason;

use super::frame;
use super::trouble::Trouble;
use super::visit::Visit;

/// Nothing is at this address.
#[utoipa::path(get, path = "/console/{*path}", tag = "console", params(("path" = String, Path)), responses((status = 303), (status = 404, body = String, content_type = "text/html")))]
pub(super) async fn lost(visit: Visit) -> Response {
    let trouble = Trouble::absent("there is no page at this address").next("/console", "To the console");
    trouble.answer(&visit.context)
}

/// To the first page that whoever asks may look at.
#[utoipa::path(get, path = "/console", tag = "console", responses((status = 303), (status = 403, body = String, content_type = "text/html")))]
pub(super) async fn home(visit: Visit) -> Response {
    match frame::first(&visit) {
        Some(path) => Redirect::to(path).into_response(),
        None => {
            let detail = "the policy grants you nothing that the console shows";
            let trouble = Trouble::new(StatusCode::FORBIDDEN, Reason::NotPermitted, detail);
            trouble.answer(&visit.context)
        }
    }
}
