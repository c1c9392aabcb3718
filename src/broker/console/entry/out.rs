//! `/console/sign-out`.

use axum::response::{IntoResponse as _, Redirect, Response};
use shortbread_protocol::event::EventType;

use super::{cookie, enter};
use crate::console::trouble::Trouble;
use crate::console::visit::Posted;

/// Ends the session.
#[utoipa::path(post, path = "/console/sign-out", tag = "console", responses((status = 303), (status = 403, body = String, content_type = "text/html")))]
pub(in crate::console) async fn sign_out(posted: Posted) -> Response {
    let visit = posted.visit;
    let (broker, context) = (&visit.broker, &visit.context);
    // It ends whether or not that can be written down.
    let _ = broker.sessions.end(&visit.session.id);
    let recorded = enter::record(broker, context, &visit.session, EventType::ConsoleSignedOut, None).await;
    let answer = match recorded {
        Ok(()) => Redirect::to("/console/sign-in").into_response(),
        Err(error) => Trouble::from(error).answer(context),
    };
    cookie::clear(answer, &broker.issuer)
}
