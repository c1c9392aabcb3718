//! `/console/sessions`: where whoever asks is signed in.

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse as _, Redirect, Response};
use shortbread_protocol::admin::ConsoleSessionBody;

use crate::console::entry::cookie;
use crate::console::entry::sessions::{end as ended, sessions};
use crate::console::frame::Frame;
use crate::console::show::{When, html};
use crate::console::trouble::Trouble;
use crate::console::visit::{Posted, Visit};

struct Row {
    body: ConsoleSessionBody,
    signed_in: When,
    used: When,
    ends: When,
    this: bool,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct Sessions {
    frame: Frame,
    rows: Vec<Row>,
}

/// The sessions of whoever asks.
#[utoipa::path(get, path = "/console/sessions", tag = "console", responses((status = 200, body = String, content_type = "text/html"), (status = 303)))]
pub(in crate::console) async fn page(visit: Visit) -> Response {
    let answer = sessions(&visit.broker, &visit.session.who.operator);
    let row = |body: ConsoleSessionBody| Row {
        signed_in: When::new(body.signed_in, answer.now),
        used: When::new(body.used, answer.now),
        ends: When::new(body.ends, answer.now),
        this: body.session == visit.session.id,
        body,
    };
    let frame = Frame::of(&visit, "Your sessions", "Sessions").await;
    html(&Sessions { frame, rows: answer.sessions.into_iter().map(row).collect() })
}

/// Ends one of them.
#[utoipa::path(post, path = "/console/sessions/{id}/end", tag = "console", params(("id" = String, Path)),
    responses((status = 303), (status = 401, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 404, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn end(id: Result<Path<String>, PathRejection>, posted: Posted) -> Response {
    let Posted { visit, .. } = posted;
    let (broker, context) = (&visit.broker, &visit.context);
    let id = id.map(|Path(id)| id).unwrap_or_default();
    match ended(broker, context, &visit.session.who.operator, &id).await {
        Ok(true) if id == visit.session.id => {
            cookie::clear(Redirect::to("/console/sign-in").into_response(), &broker.issuer)
        }
        Ok(true) => Redirect::to("/console/sessions").into_response(),
        Ok(false) => Trouble::absent("you have no session of this id").answer(context),
        Err(error) => Trouble::from(error).answer(context),
    }
}
