//! `/console/approvals/{id}/approve` and `/deny`.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse as _, Redirect, Response};
use shortbread_protocol::admin::{ApprovalAnswer, ApproveBody, DenyBody};
use shortbread_protocol::reason::Reason;

use super::detail::{self, Draft};
use super::narrow;
use crate::approvals::{self, DecideError};
use crate::console::admit::caller;
use crate::console::trouble::{Refused, Trouble, beside, once_more};
use crate::console::visit::{Form, Posted, Visit};
use crate::policy::builtin;

/// Approves what is shown, or less of it.
#[utoipa::path(post, path = "/console/approvals/{id}/approve", tag = "console", params(("id" = String, Path)),
    responses((status = 303), (status = 401, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 404, body = String, content_type = "text/html"), (status = 409, body = String, content_type = "text/html")))]
pub(in crate::console) async fn approve(id: Result<Path<String>, PathRejection>, posted: Posted) -> Response {
    let Posted { mut visit, form } = posted;
    let id = id.map(|Path(id)| id).unwrap_or_default();
    visit.here = format!("/console/approvals/{id}");
    if let Err(trouble) = visit.must_fresh(builtin::DECIDE).await {
        return trouble.answer(&visit.context);
    }
    let done = agree(&visit, &id, &form).await;
    settle(&visit, &id, "approved", done, form).await
}

async fn agree(visit: &Visit, id: &str, form: &Form) -> Result<ApprovalAnswer, Refused> {
    let shown = approvals::find(&visit.broker, id).await.map_err(|error| ("approve", error.into()))?.shown;
    let narrow = narrow::body(form, &shown).map_err(|(field, detail)| (field, Trouble::malformed(detail)))?;
    let note = Some(form.text("note").trim().to_owned()).filter(|note| !note.is_empty());
    let body = ApproveBody { digest: form.text("digest").to_owned(), narrow, note };
    let (broker, decision) = (Arc::clone(&visit.broker), visit.context.decision.clone());
    let (id, caller) = (id.to_owned(), caller(&visit.session));
    let vote = async move { approvals::approve(&broker, &id, &body, &caller, &decision).await };
    to_the_end(vote, "approve", "note").await
}

/// Denies it.
#[utoipa::path(post, path = "/console/approvals/{id}/deny", tag = "console", params(("id" = String, Path)),
    responses((status = 303), (status = 401, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 404, body = String, content_type = "text/html"), (status = 409, body = String, content_type = "text/html")))]
pub(in crate::console) async fn deny(id: Result<Path<String>, PathRejection>, posted: Posted) -> Response {
    let Posted { mut visit, form } = posted;
    let id = id.map(|Path(id)| id).unwrap_or_default();
    visit.here = format!("/console/approvals/{id}");
    // To deny is always safe, so that an old sign-in is good enough.
    if let Err(trouble) = visit.must(&[builtin::DECIDE]).await {
        return trouble.answer(&visit.context);
    }
    let done = refuse(&visit, &id, &form).await;
    settle(&visit, &id, "denied", done, form).await
}

async fn refuse(visit: &Visit, id: &str, form: &Form) -> Result<ApprovalAnswer, Refused> {
    let body = DenyBody { digest: form.text("digest").to_owned(), reason: form.text("reason").to_owned() };
    let (broker, decision) = (Arc::clone(&visit.broker), visit.context.decision.clone());
    let (id, caller) = (id.to_owned(), caller(&visit.session));
    let vote = async move { approvals::deny(&broker, &id, &body, &caller, &decision).await };
    to_the_end(vote, "deny", "reason").await
}

// Whoever hangs up does not take half a vote back. What is said of words stands beside their field.
async fn to_the_end(
    vote: impl Future<Output = Result<ApprovalAnswer, DecideError>> + Send + 'static,
    whole: &'static str,
    words: &'static str,
) -> Result<ApprovalAnswer, Refused> {
    match tokio::spawn(vote).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            let field = match &error {
                DecideError::Malformed(_) => words,
                DecideError::Narrow(_) => "narrow",
                _ => whole,
            };
            Err((field, error.into()))
        }
        Err(_) => Err((whole, Trouble::plain(Reason::Internal))),
    }
}

async fn settle(
    visit: &Visit,
    id: &str,
    done: &'static str,
    result: Result<ApprovalAnswer, Refused>,
    form: Form,
) -> Response {
    match result {
        Ok(_) => Redirect::to(&format!("/console/approvals/{id}?done={done}")).into_response(),
        Err(refused) => match beside(refused) {
            Ok((wrong, status)) => {
                let draft = Draft { form, wrong: Some(wrong) };
                once_more(visit, detail::made(visit, id, false, draft).await, status)
            }
            Err(trouble) => trouble.answer(&visit.context),
        },
    }
}
