//! `/console/switch/changes/{seq}`: how far a change got. The bar fills as verifiers say that they enforce it; past the bound
//! no conforming verifier allows what it revokes, whatever it has heard.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;

use super::Reached;
use crate::console::frame::Frame;
use crate::console::show::{Until, When, html};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::revoke;
use crate::verifiers::{self, LISTED, Question};

#[derive(Template)]
#[template(path = "switch/change.html")]
struct Change {
    frame: Frame,
    seq: u64,
    what: Vec<String>,
    reached: Reached,
    /// Of a revocation: by access, until when who hears nothing may still allow.
    bounds: Vec<(&'static str, Until, bool)>,
    bounded: bool,
}

/// How far a change got.
#[utoipa::path(get, path = "/console/switch/changes/{seq}", tag = "console", params(("seq" = u64, Path, description = "The sequence of the change")),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 400, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 404, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(visit: Visit, seq: Result<Path<u64>, PathRejection>) -> Response {
    let made = made(&visit, seq).await;
    visit.shown(made)
}

async fn made(visit: &Visit, seq: Result<Path<u64>, PathRejection>) -> Result<Response, Trouble> {
    visit.must(&["revocations.read"]).await?;
    let Path(seq) = seq.map_err(|_| Trouble::malformed("a change is named by its number"))?;
    let question = Question { seq: Some(seq), wait: Duration::ZERO, listed: LISTED };
    let status = verifiers::status(&visit.broker, &question).await;
    let status = status.map_err(|error| Trouble::absent(error.to_string()))?;
    let change = revoke::changed(&visit.broker, seq).await;
    let now = status.now;
    let bounds = [
        ("privileged", change.bounds.privileged),
        ("write", change.bounds.write),
        ("read", change.bounds.read),
    ];
    let bounds = bounds.into_iter().filter_map(|(access, at)| {
        let at = at?;
        Some((access, Until(When::new(at, now)), at <= now))
    });
    let bounds: Vec<_> = bounds.collect();
    let page = Change {
        frame: Frame::of(visit, format!("Change {seq}"), "Switch").await.live(1),
        seq,
        what: change.what,
        reached: Reached::of(&status),
        bounded: !bounds.is_empty() && bounds.iter().all(|(_, _, over)| *over),
        bounds,
    };
    Ok(html(&page))
}
