//! `/console/switch/lift`: what a lift would bring back, and the button.

use std::sync::Arc;

use askama::Template;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse as _, Redirect, Response};
use shortbread_protocol::admin::{ChangeAnswer, LiftBody};
use shortbread_protocol::reason::Reason;

use super::{Named, What};
use crate::console::admit::caller;
use crate::console::frame::Frame;
use crate::console::show::html;
use crate::console::trouble::{Refused, Trouble, Wrong, beside, once_more, query};
use crate::console::visit::{Form, Posted, Visit};
use crate::policy::builtin;
use crate::revoke;

#[derive(Template)]
#[template(path = "switch/lift.html")]
struct Preview {
    frame: Frame,
    named: Named,
    what: What,
    /// How many living tokens would come back; absent where none may stay dead, as for a key.
    keep: Option<u64>,
    revive: u64,
    form: Form,
    wrong: Option<Wrong>,
}

impl Preview {
    fn wrong(&self, field: &str) -> Option<&Wrong> {
        self.wrong.as_ref().filter(|(wrong, ..)| *wrong == field)
    }
}

/// What a lift would bring back.
#[utoipa::path(get, path = "/console/switch/lift", tag = "console", params(Named),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 400, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn preview(
    visit: Visit,
    named: Result<Query<Named>, QueryRejection>,
) -> Response {
    let made = async { made(&visit, query(named)?, Form::default(), None).await };
    visit.shown(made.await)
}

fn body(what: &What, form: &Form, dry_run: bool) -> LiftBody {
    LiftBody {
        selectors: what.selectors.clone(),
        all: what.all,
        revive: form.text("mode") == "revive",
        reason: if dry_run { "preview".to_owned() } else { form.text("reason").to_owned() },
        dry_run,
    }
}

async fn made(visit: &Visit, named: Named, form: Form, wrong: Option<Wrong>) -> Result<Response, Trouble> {
    visit.must(&[builtin::LIFT]).await?;
    let what = named.check().map_err(Trouble::malformed)?;
    let who = caller(&visit.session);
    let dry = body(&what, &form, true);
    let answer = revoke::lift(&visit.broker, &dry, &who, &visit.context.decision).await?;
    let frame = Frame::of(visit, format!("Lift {}", what.words), "Switch").await;
    let (keep, revive) = answer.lift.map_or((Some(0), 0), |lift| (lift.keep_old_dead, lift.revive));
    Ok(html(&Preview { frame, named, what, keep, revive, form, wrong }))
}

/// Lifts.
#[utoipa::path(post, path = "/console/switch/lift", tag = "console",
    responses((status = 303), (status = 400, body = String, content_type = "text/html"), (status = 401, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 409, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn lift(posted: Posted) -> Response {
    let Posted { mut visit, form } = posted;
    let named = Named { kind: form.text("kind").to_owned(), value: form.text("value").to_owned() };
    visit.here = "/console/switch".to_owned();
    let done = lifted(&visit, &named, &form).await;
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

async fn lifted(visit: &Visit, named: &Named, form: &Form) -> Result<ChangeAnswer, Refused> {
    visit.must_fresh(builtin::LIFT).await.map_err(|trouble| ("", trouble))?;
    let what = named.check().map_err(|detail| ("", Trouble::malformed(detail)))?;
    if form.text("confirm").trim() != what.name {
        return Err(("confirm", Trouble::malformed(format!("type {:?} to confirm", what.name))));
    }
    if !["keep", "revive"].contains(&form.text("mode")) {
        return Err((
            "mode",
            Trouble::malformed("choose what becomes of the tokens that were issued before"),
        ));
    }
    let body = body(&what, form, false);
    let (broker, decision) = (Arc::clone(&visit.broker), visit.context.decision.clone());
    let who = caller(&visit.session);
    let lift = tokio::spawn(async move { revoke::lift(&broker, &body, &who, &decision).await });
    match lift.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error @ revoke::RevokeError::Malformed(_))) => Err(("reason", error.into())),
        Ok(Err(error)) => Err(("", error.into())),
        Err(_) => Err(("", Trouble::plain(Reason::Internal))),
    }
}
