//! Style and script: two files of ours, kept by browsers for as long as they stay the same.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");

static CSS: LazyLock<String> = LazyLock::new(|| path(STYLE, "console", "css"));
static JS: LazyLock<String> = LazyLock::new(|| path(SCRIPT, "console", "js"));

/// Where the style is.
pub(super) fn css() -> &'static str {
    &CSS
}

/// Where the script is.
pub(super) fn js() -> &'static str {
    &JS
}

// Another text has another address.
fn path(text: &str, name: &str, kind: &str) -> String {
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    format!("/console/assets/{name}-{}.{kind}", digest.get(..12).unwrap_or_default())
}

/// A file of ours.
#[utoipa::path(get, path = "/console/assets/{name}", tag = "console", params(("name" = String, Path)),
    responses((status = 200, body = String, content_type = "text/css"), (status = 404)))]
pub(super) async fn asset(name: Result<Path<String>, PathRejection>) -> Response {
    let name = name.map(|Path(name)| format!("/console/assets/{name}")).unwrap_or_default();
    let (kind, text) = match name.as_str() {
        name if name == css() => ("text/css; charset=utf-8", STYLE),
        name if name == js() => ("text/javascript; charset=utf-8", SCRIPT),
        "/console/assets/icon.svg" => ("image/svg+xml", ICON),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let kept = "public, max-age=31536000, immutable";
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)], text).into_response()
}
