//! HTTP: translates, decides nothing. Every route goes through one documented router.

mod admin;
mod body;
mod break_glass;
mod connections;
mod context;
mod decisions;
mod failure;
mod guard;
mod health;
mod lists;
mod log;
mod look;
mod oauth;
mod serve;
mod stream;
mod verifiers;
mod well_known;

pub use serve::{ServeError, Server};

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::Response;
use shortbread_protocol::dpop::ProofError;
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::connections::Connections;
use crate::broker::Broker;
use crate::console;

/// The largest request body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// How many exchanges of operators may be in flight beyond what the configuration lets everyone have.
const ASIDE: usize = 16;

/// What handlers share.
#[derive(Clone)]
pub struct App {
    broker: Arc<Broker>,
    in_flight: Arc<Semaphore>,
    // Places for operators when no other is left.
    aside: Arc<Semaphore>,
    streams: Arc<Connections>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Shortbread",
        description = "A credential broker for agent workflows.",
        license(name = "Apache-2.0")
    ),
    components(schemas(shortbread_protocol::admin::Problem, shortbread_protocol::oauth::OAuthError))
)]
struct Document;

/// All routes, and their description.
fn documented() -> (OpenApiRouter<App>, OpenApiRouter<App>) {
    let public = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(oauth::token))
        .routes(routes!(oauth::revoke))
        .routes(routes!(oauth::introspect))
        .routes(routes!(oauth::cancel))
        .routes(routes!(well_known::metadata))
        .routes(routes!(well_known::metadata_oidc))
        .routes(routes!(well_known::jwks))
        .routes(routes!(well_known::biscuit_keys))
        .routes(routes!(lists::head))
        .routes(routes!(lists::snapshot))
        .routes(routes!(lists::delta))
        .routes(routes!(lists::keys))
        .routes(routes!(break_glass::head))
        .routes(routes!(log::checkpoint))
        .routes(routes!(log::tile))
        .routes(routes!(log::proof))
        .routes(routes!(log::consistency))
        .routes(routes!(stream::stream))
        .routes(routes!(verifiers::lease))
        .routes(routes!(verifiers::report))
        .routes(routes!(verifiers::goodbye))
        .routes(routes!(verifiers::claim))
        .routes(routes!(decisions::take))
        .routes(routes!(look::look))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz));
    let admin = OpenApiRouter::new()
        .routes(routes!(admin::revocations::list, admin::revocations::revoke))
        .routes(routes!(admin::revocations::lift))
        .routes(routes!(admin::verifiers::status))
        .routes(routes!(admin::verifiers::ages))
        .routes(routes!(admin::verifiers::forget))
        .routes(routes!(admin::policy::history))
        .routes(routes!(admin::policy::version))
        .routes(routes!(admin::policy::activate))
        .routes(routes!(admin::policy::rollback))
        .routes(routes!(admin::approvals::list))
        .routes(routes!(admin::approvals::show))
        .routes(routes!(admin::approvals::approve))
        .routes(routes!(admin::approvals::deny))
        .routes(routes!(admin::keys::list))
        .routes(routes!(admin::keys::activate))
        .routes(routes!(admin::audit::tail))
        .routes(routes!(admin::export::export))
        .routes(routes!(admin::audit::show))
        .routes(routes!(admin::inputs::cases))
        .routes(routes!(admin::inputs::case))
        .routes(routes!(admin::inputs::erase))
        .routes(routes!(log::entries))
        .routes(routes!(admin::console::link))
        .routes(routes!(admin::console::sessions))
        .routes(routes!(admin::console::end))
        .routes(routes!(admin::notices::dropped))
        .routes(routes!(admin::report::report))
        .routes(routes!(admin::health::look))
        .routes(routes!(admin::workflows::list))
        .routes(routes!(admin::workflows::show));
    (public, admin)
}

/// The description of the HTTP interface.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let (public, admin) = documented();
    let (_, pages) = console::documented().split_for_parts();
    let mut document = public.merge(admin).into_openapi();
    document.merge(pages);
    document
}

/// The broker's HTTP service.
pub fn router(broker: Arc<Broker>) -> Router {
    let in_flight = Arc::new(Semaphore::new(broker.config.limits.in_flight));
    let streams = Connections::new(serve::MAX_CONNECTIONS / 2, broker.config.limits.streams);
    let pages = console::routes(&broker);
    let app = App { broker, in_flight, aside: Arc::new(Semaphore::new(ASIDE)), streams };
    let (public, admin) = documented();
    let (router, _) = public.merge(admin).split_for_parts();
    router
        .with_state(app.clone())
        .merge(pages)
        .fallback(failure::no_route)
        .method_not_allowed_fallback(failure::no_method)
        .layer(from_fn(guard::guard))
        .layer(map_response(harden))
        .layer(from_fn_with_state(app, context::attach))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

// Nothing the broker answers is a page but those of the console, which say for themselves what they may do.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(nothing);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The text of the `DPoP` header, if there is one.
fn dpop(headers: &HeaderMap) -> Result<Option<&str>, ProofError> {
    single(headers, "dpop").map_err(|unclear| match unclear {
        Unclear::NotAscii => ProofError::Malformed("the header is not ASCII"),
        Unclear::Several => ProofError::Malformed("there is more than one DPoP header"),
    })
}

/// Why a header that may stand once does not say one thing.
enum Unclear {
    NotAscii,
    Several,
}

/// The text of a header that may stand once, if it is there.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unclear::NotAscii),
        (Some(_), Some(_)) => Err(Unclear::Several),
    }
}

/// Whether the body is said to be of this media type, whatever its parameters.
fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}
