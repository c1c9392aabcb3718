//! `/console/switch/revoke`: what it would hit, and the button.

use std::sync::Arc;

use askama::Template;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use shortbread_protocol::admin::{ChangeAnswer, RevokeBody};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::Cause;

use super::{Named, What, list};
use crate::console::admit::caller;
use crate::console::frame::Frame;
use crate::console::show::html;
use crate::console::trouble::{Refused, Trouble, Wrong, beside, once_more, query};
use crate::console::visit::{Form, Posted, Visit};
use crate::policy::builtin;
use crate::revoke;

/// Why, for the public list: the causes that people give.
const CAUSES: [(&str, Cause, &str); 4] = [
    ("incident", Cause::Incident, "something bad is happening"),
    ("compromise", Cause::Compromise, "a key or token leaked"),
    ("freeze", Cause::Freeze, "a planned stop"),
    ("retired", Cause::Retired, "no longer needed"),
];

#[derive(Template)]
#[template(path = "switch/revoke.html")]
struct Preview {
    frame: Frame,
    named: Named,
    what: What,
    hits: ChangeAnswer,
    causes: [(&'static str, Cause, &'static str); 4],
    form: Form,
    /// The field and what is wrong with it, and the code.
    wrong: Option<Wrong>,
}

impl Preview {
    fn wrong(&self, field: &str) -> Option<&Wrong> {
        self.wrong.as_ref().filter(|(wrong, ..)| *wrong == field)
    }
}

/// What a revocation would hit.
#[utoipa::path(get, path = "/console/switch/revoke", tag = "console", params(Named),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 400, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn preview(
    visit: Visit,
    named: Result<Query<Named>, QueryRejection>,
) -> Response {
    let made = async { made(&visit, query(named)?, Form::default(), None).await };
    visit.shown(made.await)
}

async fn made(visit: &Visit, named: Named, form: Form, wrong: Option<Wrong>) -> Result<Response, Trouble> {
    visit.must(&[builtin::REVOKE]).await?;
    let what = match named.check() {
        Ok(what) => what,
        Err(detail) => {
            let mut page = list::made(visit, named, detail).await?;
            *page.status_mut() = StatusCode::BAD_REQUEST;
            return Ok(page);
        }
    };
    let body = RevokeBody {
        selectors: what.selectors.clone(),
        all: what.all,
        issued_so_far: false,
        cause: Cause::Incident,
        reason: "preview".to_owned(),
        dry_run: true,
    };
    let who = caller(&visit.session);
    let hits = revoke::revoke(&visit.broker, &body, &who, &visit.context.decision).await?;
    let frame = Frame::of(visit, format!("Revoke {}", what.words), "Switch").await;
    Ok(html(&Preview { frame, named, what, hits, causes: CAUSES, form, wrong }))
}

/// Revokes.
#[utoipa::path(post, path = "/console/switch/revoke", tag = "console",
    responses((status = 303), (status = 400, body = String, content_type = "text/html"), (status = 401, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn pull(posted: Posted) -> Response {
    let Posted { mut visit, form } = posted;
    let named = Named { kind: form.text("kind").to_owned(), value: form.text("value").to_owned() };
    visit.here = "/console/switch".to_owned();
    let done = pulled(&visit, &named, &form).await;
    match done {
        Ok(answer) => {
            let seq = answer.seq.unwrap_or_default();
            Redirect::to(&format!("/console/switch/changes/{seq}")).into_response()
        }
        Err(refused) => match beside(refused) {
            Ok((wrong, status)) => once_more(&visit, made(&visit, named, form, Some(wrong)).await, status),
            Err(trouble) => trouble.answer(&visit.context),
        },
    }
}

async fn pulled(visit: &Visit, named: &Named, form: &Form) -> Result<ChangeAnswer, Refused> {
    visit.must(&[builtin::REVOKE]).await.map_err(|trouble| ("", trouble))?;
    let what = named.check().map_err(|detail| ("value", Trouble::malformed(detail)))?;
    if form.text("confirm").trim() != what.name {
        return Err(("confirm", Trouble::malformed(format!("type {:?} to confirm", what.name))));
    }
    let cause = CAUSES.into_iter().find(|(word, ..)| *word == form.text("cause"));
    let (_, cause, _) = cause.ok_or_else(|| ("cause", Trouble::malformed("choose a cause")))?;
    let body = RevokeBody {
        selectors: what.selectors,
        all: what.all,
        issued_so_far: form.text("mode") == "issued",
        cause,
        reason: form.text("reason").to_owned(),
        dry_run: false,
    };
    let (broker, decision) = (Arc::clone(&visit.broker), visit.context.decision.clone());
    let who = caller(&visit.session);
    // Whoever hangs up does not take half of it back.
    let pull = tokio::spawn(async move { revoke::revoke(&broker, &body, &who, &decision).await });
    match pull.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error @ revoke::RevokeError::Malformed(_))) => Err(("reason", error.into())),
        Ok(Err(error)) => Err(("", error.into())),
        Err(_) => Err(("", Trouble::plain(Reason::Internal))),
    }
}
