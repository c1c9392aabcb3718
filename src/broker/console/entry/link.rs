//! `/console/link/{code}`: a one-time link. To look at it says whom it signs in and changes nothing, so that whatever looks
//! at links before people do uses none up; the button does.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use shortbread_protocol::reason::Reason;

use super::enter::enter;
use super::sign_in;
use crate::broker::Broker;
use crate::console::show::html;
use crate::console::trouble::Trouble;
use crate::console::visit::Found;
use crate::console::{assets, origin};
use crate::exchange::Context;
use crate::limits::Limited;

/// Where to go from there.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub(in crate::console) struct Then {
    /// A path of the console.
    #[serde(default)]
    to: String,
}

#[derive(Template)]
#[template(path = "link.html")]
struct Page<'a> {
    css: &'static str,
    operator: &'a str,
    action: &'a str,
    issuer: &'a str,
}

/// Says whom a link signs in.
#[utoipa::path(get, path = "/console/link/{code}", tag = "console", params(("code" = String, Path), Then),
    responses((status = 200, body = String, content_type = "text/html"), (status = 410, body = String, content_type = "text/html")))]
pub(in crate::console) async fn look(
    State(broker): State<Arc<Broker>>,
    Extension(context): Extension<Context>,
    code: Result<Path<String>, PathRejection>,
    then: Result<Query<Then>, QueryRejection>,
) -> Response {
    let code = code.map(|Path(code)| code).unwrap_or_default();
    let Some(who) = broker.links.look(&code, broker.clock.now()) else {
        return spent(&broker, &context).answer(&context);
    };
    let to = then.ok().map(|Query(then)| then.to).filter(|to| sign_in::is_ours(to));
    let to = to.map(|to| form_urlencoded::Serializer::new(String::new()).append_pair("to", &to).finish());
    let action = format!("/console/link/{code}{}", to.map(|to| format!("?{to}")).unwrap_or_default());
    html(&Page {
        css: assets::css(),
        operator: who.operator.as_str(),
        action: &action,
        issuer: &broker.issuer,
    })
}

/// Signs in, and uses the link up.
#[utoipa::path(post, path = "/console/link/{code}", tag = "console", params(("code" = String, Path), Then),
    responses((status = 303), (status = 403, body = String, content_type = "text/html"), (status = 410, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn spend(
    State(broker): State<Arc<Broker>>,
    Extension(context): Extension<Context>,
    Extension(Found(before)): Extension<Found>,
    code: Result<Path<String>, PathRejection>,
    then: Result<Query<Then>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let done = async {
        if !origin::is_ours(&headers, &broker.issuer) {
            return Err(Trouble::foreign_form(&origin::of(&broker.issuer)));
        }
        let code = code.map(|Path(code)| code).unwrap_or_default();
        let who = broker.links.spend(&code, broker.clock.now());
        let who = who.ok_or_else(|| spent(&broker, &context))?;
        let to = then.ok().map(|Query(then)| then.to).filter(|to| sign_in::is_ours(to));
        let to = Redirect::to(to.as_deref().unwrap_or(sign_in::HOME)).into_response();
        enter(&broker, &context, who, before.as_ref(), to).await
    };
    done.await.unwrap_or_else(|trouble| trouble.answer(&context))
}

// Guessing is counted like failed sign-ins.
fn spent(broker: &Broker, context: &Context) -> Trouble {
    match broker.limits.failure(context.address) {
        Err(Limited(wait)) => Trouble::plain(Reason::RateLimited).after(wait),
        Ok(()) => Trouble::spent_link(),
    }
}
