//! `/console/workflows`: every workflow in short.

use askama::Template;
use axum::response::Response;
use shortbread_protocol::admin::WorkflowBody;

use super::{LOOK, standing, tokens};
use crate::console::frame::Frame;
use crate::console::show::{When, html};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::workflows;

struct Row {
    name: String,
    tone: &'static str,
    state: String,
    tokens: String,
    last: Option<When>,
    owners: String,
    tools: String,
    grants: u64,
    identities: Vec<String>,
}

#[derive(Template)]
#[template(path = "workflows/list.html")]
struct List {
    frame: Frame,
    rows: Vec<Row>,
    policy: u64,
}

/// Every workflow of the policy in force.
#[utoipa::path(get, path = "/console/workflows", tag = "console",
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 403, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(visit: Visit) -> Response {
    made(&visit).await.unwrap_or_else(|trouble| trouble.answer(&visit.context))
}

async fn made(visit: &Visit) -> Result<Response, Trouble> {
    visit.must(&[LOOK]).await?;
    let answer = workflows::list(&visit.broker).await?;
    let frame = Frame::of(visit, "Workflows", "Workflows").await.live(10);
    let rows = answer.workflows.iter().map(|body| row(body, answer.now)).collect();
    Ok(html(&List { frame, rows, policy: answer.policy }))
}

fn row(body: &WorkflowBody, now: u64) -> Row {
    let (tone, state) = standing(body);
    Row {
        name: body.workflow.clone(),
        tone,
        state,
        tokens: tokens(&body.tokens),
        last: body.last_granted.map(|at| When::new(at, now)),
        owners: body.owners.join(", "),
        tools: body.tools.join(", "),
        grants: body.grants,
        identities: body.identities.iter().map(|identity| kind(&identity.kind).to_owned()).collect(),
    }
}

fn kind(kind: &str) -> &'static str {
    match kind {
        "key" => "a registered key",
        "oidc" => "a token of an issuer",
        _ => "a SPIFFE identity",
    }
}
