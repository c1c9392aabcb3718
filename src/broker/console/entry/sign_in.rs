//! `/console/sign-in`: how to get in.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::oidc;
use crate::broker::Broker;
use crate::console::assets;
use crate::console::show::html;

/// Where to go from there.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub(in crate::console) struct Then {
    /// A path of the console.
    #[serde(default)]
    to: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page<'a> {
    css: &'static str,
    issuer: &'a str,
    page: &'a str,
    approval: &'a str,
    /// The identity provider's name, and where it is gone to.
    provider: Option<(&'a str, String)>,
}

/// Says how to sign in.
#[utoipa::path(get, path = "/console/sign-in", tag = "console", params(Then), responses((status = 200, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(
    State(broker): State<Arc<Broker>>,
    then: Result<Query<Then>, QueryRejection>,
) -> Response {
    let to = then.map(|Query(then)| then.to).unwrap_or_default();
    let to = if is_ours(&to) { to.as_str() } else { HOME };
    let page = in_a_command(to);
    let approval = page.strip_prefix("approvals/").filter(|id| id.starts_with("apr_")).unwrap_or_default();
    let provider = broker.oidc.as_ref().map(|party| (party.label(), oidc::path(to)));
    html(&Page { css: assets::css(), issuer: &broker.issuer, page, approval, provider })
}

/// The page as a command names it: nothing that a shell would take for something else. One that has a query is begun from
/// its place.
fn in_a_command(to: &str) -> &str {
    let page = to.strip_prefix("/console/").unwrap_or_default();
    let page = match page.split_once('?') {
        Some((path, _)) => path.split('/').next().unwrap_or_default(),
        None => page,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.".contains(&b);
    if page.bytes().all(plain) && !page.starts_with('-') { page } else { "" }
}

/// The page where everybody begins.
pub(in crate::console) const HOME: &str = "/console";

/// To the page that says how to sign in, and from there back.
pub(in crate::console) fn redirect(here: &str) -> Response {
    let to: String = form_urlencoded::Serializer::new(String::new()).append_pair("to", here).finish();
    Redirect::to(&format!("/console/sign-in?{to}")).into_response()
}

/// Whether this is the path of one of our pages, and leads nowhere else whatever a browser makes of it.
pub(in crate::console) fn is_ours(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~?=&%:+".contains(&b);
    (path == HOME || path.starts_with("/console/") || path.starts_with("/console?"))
        && path.len() <= 500
        && path.bytes().all(plain)
        && !path.contains("//")
        && !path.split(['/', '?']).any(is_dots)
}

// Browsers climb by these, spelled either way.
fn is_dots(part: &str) -> bool {
    [".", ".."].contains(&part.to_ascii_lowercase().replace("%2e", ".").as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_holds_nothing_for_the_shell() {
        for (to, page) in [
            ("/console", ""),
            ("/console/approvals/apr_1", "approvals/apr_1"),
            ("/console/switch/lift?kind=workflow&value=demo", "switch"),
            ("/console/approvals/apr_1&reboot", ""),
            ("/console/approvals/apr_1%26reboot", ""),
            ("/console/--help", ""),
        ] {
            assert_eq!(in_a_command(to), page, "{to}");
        }
    }

    #[test]
    fn nobody_is_led_away() {
        for good in ["/console", "/console/approvals/apr_0198", "/console/activity?workflow=a%20b&tool=x"] {
            assert!(is_ours(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "//evil.example",
            "/console//evil.example",
            "https://evil.example/console/",
            "/consoles",
            "/console/../oauth/token",
            "/console/approvals/.%2E/%2e./a",
            "/console/\\evil",
            "/console/\r\nSet-Cookie: a=b",
            "/console/\u{202e}",
            "javascript:/console/",
        ] {
            assert!(!is_ours(bad), "{bad:?}");
        }
    }
}
