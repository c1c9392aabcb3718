//! `/console/approvals`: the queue.

use askama::Template;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use serde::Deserialize;
use shortbread_protocol::admin::ApprovalBody;

use super::{LOOK, Next, next, tone, who};
use crate::approvals::{self, ListError, Page};
use crate::console::frame::Frame;
use crate::console::show::{When, html};
use crate::console::trouble::{Trouble, query};
use crate::console::visit::Visit;

/// How many stand on a page.
const LIMIT: usize = 50;

/// Which of them.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub(in crate::console) struct Wanted {
    /// `open`, `closed`, or one state; open ones unless told.
    state: Option<String>,
    /// Where the page before said that this one begins.
    after: Option<String>,
}

struct Row {
    body: ApprovalBody,
    who: String,
    tone: &'static str,
    asked: When,
    next: Next,
}

#[derive(Template)]
#[template(path = "approvals/list.html")]
struct List {
    frame: Frame,
    rows: Vec<Row>,
    open: u64,
    closed: bool,
    more: Option<String>,
}

/// What waits for a person.
#[utoipa::path(get, path = "/console/approvals", tag = "console", params(Wanted),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 400, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(
    visit: Visit,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let made = async { made(&visit, query(wanted)?).await };
    visit.shown(made.await)
}

async fn made(visit: &Visit, wanted: Wanted) -> Result<Response, Trouble> {
    visit.must(&LOOK).await?;
    let state = wanted.state.filter(|state| !state.is_empty());
    let closed = state.as_deref().is_some_and(|state| !["open", "pending", "approved"].contains(&state));
    let page = Page { state: state.clone(), principal: None, after: wanted.after, limit: Some(LIMIT) };
    let answer = approvals::list(&visit.broker, &page).await.map_err(|error| match error {
        ListError::Malformed(detail) => Trouble::malformed(detail),
        ListError::Decide(error) => error.into(),
    })?;
    let now = answer.now;
    let row = |body: ApprovalBody| Row {
        who: who(&body.principal),
        tone: tone(body.state),
        asked: When::new(body.asked, now),
        next: next(&body, now),
        body,
    };
    let more = answer.next.map(|after| {
        let state = state.as_deref().unwrap_or("open");
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("state", state).append_pair("after", &after).finish()
    });
    let frame = Frame::of(visit, "Approvals", "Approvals").await.live(3);
    let rows = answer.approvals.into_iter().map(row).collect();
    Ok(html(&List { frame, rows, open: answer.open, closed, more }))
}
