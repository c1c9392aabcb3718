//! A link from another site comes without our cookie, which is `SameSite=Strict`. A page of ours that leads on at once has
//! the browser come again with it.

use askama::Template;
use axum::response::Response;

use crate::console::assets;
use crate::console::show::html;

#[derive(Template)]
#[template(path = "bounce.html")]
struct Page<'a> {
    css: &'static str,
    to: &'a str,
}

/// Leads on to a path of ours.
pub(in crate::console) fn to(path: &str) -> Response {
    html(&Page { css: assets::css(), to: path })
}
