//! The console: pages for operators, made on the server and good without a script. Each page reads rights and revocations
//! anew, and does what it does through the functions that the admin API calls.

mod abilities;
mod admit;
mod assets;
mod entry;
mod frame;
mod origin;
mod pages;
mod show;
mod trouble;
mod visit;

pub use self::abilities::{ABILITIES, Ability, OWN};
pub(crate) use self::entry::sessions::{end, sessions};

use std::sync::Arc;

use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::entry::{link, oidc, out, sign_in};
use self::pages::{activity, approvals, health, policy, signals, switch, workflows};
use crate::broker::Broker;

/// All pages and what they are made of.
pub(crate) fn routes(broker: &Arc<Broker>) -> axum::Router {
    let (router, _) = documented().split_for_parts();
    router
        .layer(from_fn_with_state(Arc::clone(broker), visit::attach))
        .layer(map_response(harden))
        .with_state(Arc::clone(broker))
}

/// The routes and their description.
pub(crate) fn documented() -> OpenApiRouter<Arc<Broker>> {
    OpenApiRouter::new()
        .routes(routes!(assets::asset))
        .routes(routes!(sign_in::page))
        .routes(routes!(link::look, link::spend))
        .routes(routes!(oidc::begin))
        .routes(routes!(oidc::finish))
        .routes(routes!(out::sign_out))
        .routes(routes!(pages::home))
        .routes(routes!(pages::lost))
        .routes(routes!(approvals::list::page))
        .routes(routes!(approvals::detail::page))
        .routes(routes!(approvals::vote::approve))
        .routes(routes!(approvals::vote::deny))
        .routes(routes!(switch::list::page))
        .routes(routes!(switch::revoke::preview, switch::revoke::pull))
        .routes(routes!(switch::lift::preview, switch::lift::lift))
        .routes(routes!(switch::change::page))
        .routes(routes!(activity::list::page))
        .routes(routes!(activity::story::page))
        .routes(routes!(policy::list::page))
        .routes(routes!(policy::version::page))
        .routes(routes!(policy::change::activate))
        .routes(routes!(policy::change::rollback))
        .routes(routes!(pages::sessions::page))
        .routes(routes!(pages::sessions::end))
        .routes(routes!(workflows::list::page))
        .routes(routes!(workflows::detail::page))
        .routes(routes!(health::page))
        .routes(routes!(signals::page::page))
}

// Nothing inline, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        // The origin is what forms are known by, so it has to be sent to ourselves.
        (header::REFERRER_POLICY, "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
