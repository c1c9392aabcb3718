//! `/console/policy/{n}/activate` and `/console/policy/rollback`.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use shortbread_protocol::admin::ActivateBody;
use shortbread_protocol::reason::Reason;

use super::{list, version};
use crate::activation::Actor;
use crate::console::trouble::{Refused, Trouble, beside, once_more};
use crate::console::visit::{Form, Posted, Visit};
use crate::policy::builtin;
use crate::rollout::{self, RolloutError, Wish};

/// Puts a version in force, for everyone or on trial.
#[utoipa::path(post, path = "/console/policy/{n}/activate", tag = "console", params(("n" = u64, Path, description = "The version's number")),
    responses((status = 303), (status = 400, body = String, content_type = "text/html"), (status = 401, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 404, body = String, content_type = "text/html"), (status = 409, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn activate(
    number: Result<Path<u64>, PathRejection>,
    posted: Posted,
) -> Response {
    let Posted { mut visit, form } = posted;
    let Ok(Path(number)) = number else {
        return Trouble::absent("a version is named by its number").answer(&visit.context);
    };
    visit.here = format!("/console/policy/{number}");
    match activated(&visit, number, &form).await {
        Ok(done) => Redirect::to(&format!("/console/policy?done={done}&version={number}")).into_response(),
        Err(refused) => match beside(refused) {
            Ok((wrong, status)) => {
                once_more(&visit, version::made(&visit, number, form, Some(wrong)).await, status)
            }
            Err(trouble) => trouble.answer(&visit.context),
        },
    }
}

async fn activated(visit: &Visit, number: u64, form: &Form) -> Result<&'static str, Refused> {
    visit.must_fresh(builtin::ACTIVATE).await.map_err(|trouble| ("", trouble))?;
    confirmed(form, &format!("version {number}"))?;
    let words = |text: &str| {
        text.split([',', ' ', '\n', '\r']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let watch = match form.text("watch") {
        "" => None,
        text => {
            Some(text.parse().map_err(|_| ("watch", Trouble::malformed("choose how long it is watched")))?)
        }
    };
    let workflows: Vec<String> = words(form.text("workflows"));
    let done = if workflows.is_empty() { "activated" } else { "tried" };
    let asked = ActivateBody { version: Some(number), workflows, watch, accept: words(form.text("accept")) };
    let wish = Wish::of(asked).map_err(|detail| ("workflows", Trouble::malformed(detail)))?;
    // Who gains or loses what was looked at against this one.
    let against = form
        .text("against")
        .parse()
        .map_err(|_| ("change", Trouble::malformed("look at the version anew")))?;
    let wish = Wish { against: Some(against), ..wish };
    let actor = Actor::Operator(visit.session.who.operator.clone());
    let (broker, decision) = (Arc::clone(&visit.broker), visit.context.decision.clone());
    to_the_end(async move { rollout::activate(&broker, wish, &actor, &decision).await }).await?;
    Ok(done)
}

/// Takes a trial back, or puts the version in force that was before.
#[utoipa::path(post, path = "/console/policy/rollback", tag = "console",
    responses((status = 303), (status = 400, body = String, content_type = "text/html"), (status = 401, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 409, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn rollback(posted: Posted) -> Response {
    let Posted { mut visit, form } = posted;
    visit.here = "/console/policy".to_owned();
    match rolled_back(&visit, &form).await {
        Ok(done) => Redirect::to(&format!("/console/policy?done={done}")).into_response(),
        Err(refused) => match beside(refused) {
            Ok((wrong, status)) => {
                let page = list::made(&visit, list::Done::default(), form, Some(wrong)).await;
                once_more(&visit, page, status)
            }
            Err(trouble) => trouble.answer(&visit.context),
        },
    }
}

async fn rolled_back(visit: &Visit, form: &Form) -> Result<String, Refused> {
    visit.must_fresh("policy.rollback").await.map_err(|trouble| ("", trouble))?;
    confirmed(form, "roll back")?;
    let number = |name: &str| form.text(name).parse::<u64>().ok();
    let actor = Actor::Operator(visit.session.who.operator.clone());
    let (broker, decision) = (Arc::clone(&visit.broker), visit.context.decision.clone());
    // What was looked at, and nothing else: a trial, or the version before the one in force.
    match (number("trial"), number("since"), number("version"), number("in_force")) {
        (Some(trial), Some(since), ..) => {
            let end = async move { rollout::end_trial(&broker, (trial, since), &actor, &decision).await };
            to_the_end(end).await.map(|_| format!("ended&version={trial}"))
        }
        (.., Some(version), seen) => {
            if seen != Some(broker.policy.version()) {
                let detail = "something else was activated meanwhile; look at what is in force now";
                return Err(("change", Trouble::new(StatusCode::CONFLICT, Reason::Conflict, detail)));
            }
            let accept = form.text("accept").split_whitespace().map(str::to_owned).collect();
            let back =
                async move { rollout::roll_back(&broker, Some(version), &accept, &actor, &decision).await };
            to_the_end(back).await.map(|version| format!("back&version={version}"))
        }
        _ => Err(("change", Trouble::malformed("look at the page anew: it does not say what is taken back"))),
    }
}

fn confirmed(form: &Form, name: &str) -> Result<(), Refused> {
    if form.text("confirm").trim() == name {
        return Ok(());
    }
    Err(("confirm", Trouble::malformed(format!("type {name:?} to confirm"))))
}

async fn to_the_end(
    change: impl Future<Output = Result<u64, RolloutError>> + Send + 'static,
) -> Result<u64, Refused> {
    match tokio::spawn(change).await {
        Ok(Ok(version)) => Ok(version),
        Ok(Err(error)) => Err(("change", error.into())),
        Err(_) => Err(("change", Trouble::plain(Reason::Internal))),
    }
}
