//! `/console/workflows/{name}`: one workflow with its grants.

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;
use shortbread_protocol::admin::{GrantBody, IdentityBody, StoppedBody, WorkflowAnswer};
use shortbread_protocol::clock::FOREVER;

use super::used::{Used, used};
use super::{LOOK, standing, tokens};
use crate::console::frame::Frame;
use crate::console::show::{When, html};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::policy::builtin;
use crate::text::{escape, span};
use crate::workflows::{self, WorkflowsError};

struct Stop {
    what: &'static str,
    how: &'static str,
    by: String,
    at: When,
    reason: String,
    lift: String,
    holds: bool,
}

struct Grant {
    id: String,
    tool: String,
    intents: String,
    conditions: Vec<String>,
    approval: Option<String>,
    verbs: Vec<Verb>,
}

struct Verb {
    operation: String,
    access: &'static str,
    arguments: String,
    approval: bool,
    forbidden: String,
}

#[derive(Template)]
#[template(path = "workflows/detail.html")]
struct Detail {
    frame: Frame,
    name: String,
    tone: &'static str,
    state: String,
    tokens: String,
    last: Option<When>,
    policy: u64,
    on_trial: bool,
    owners: String,
    identities: Vec<IdentityBody>,
    stops: Vec<Stop>,
    grants: Vec<Grant>,
    /// For whoever may read the log.
    used: Option<Used>,
    revokes: bool,
    lifts: bool,
}

impl Detail {
    /// Whether whoever looks may look there too.
    fn has(&self, path: &str) -> bool {
        self.frame.links.iter().any(|link| link.path == path)
    }

    fn proof(identity: &IdentityBody) -> String {
        escape(&identity.proof).into_owned()
    }
}

/// One workflow.
#[utoipa::path(get, path = "/console/workflows/{name}", tag = "console", params(("name" = String, Path)),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 403, body = String, content_type = "text/html"), (status = 404, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(visit: Visit, name: Result<Path<String>, PathRejection>) -> Response {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    visit.shown(made(&visit, &name).await)
}

async fn made(visit: &Visit, name: &str) -> Result<Response, Trouble> {
    visit.must(&[LOOK]).await?;
    let name = name.parse().map_err(|_| WorkflowsError::Unknown)?;
    let WorkflowAnswer { now, workflow, granted } = workflows::show(&visit.broker, &name).await?;
    let (tone, state) = standing(&workflow);
    // Why is for the log, and for whoever may look at the switch.
    let reads = visit.may("revocations.read");
    let page = Detail {
        frame: Frame::of(visit, format!("Workflow {name}"), "Workflows").await.live(10),
        used: visit.may("audit.read").then(|| used(visit, &name)),
        name: name.to_string(),
        tone,
        state,
        tokens: tokens(&workflow.tokens),
        last: workflow.last_granted.map(|at| When::new(at, now)),
        policy: workflow.policy,
        on_trial: workflow.on_trial,
        owners: workflow.owners.join(", "),
        identities: workflow.identities,
        stops: workflow.stopped.iter().map(|body| stop(body, now, reads)).collect(),
        grants: granted.into_iter().map(grant).collect(),
        revokes: visit.may(builtin::REVOKE),
        lifts: visit.may(builtin::LIFT),
    };
    Ok(html(&page))
}

fn stop(body: &StoppedBody, now: u64, reads: bool) -> Stop {
    let mut lift = form_urlencoded::Serializer::new(String::new());
    let (kind, value) = body.what.split_once('/').unwrap_or((&body.what, ""));
    let until_lifted = body.before == FOREVER;
    Stop {
        what: if kind == "all" { "Everything is revoked" } else { "This workflow is revoked" },
        how: if until_lifted { "until it is lifted" } else { "for what was issued before" },
        by: escape(&body.operator).into_owned(),
        at: When::new(body.at, now),
        reason: if reads { escape(&body.reason).into_owned() } else { String::new() },
        lift: lift.append_pair("kind", kind).append_pair("value", value).finish(),
        holds: body.holds,
    }
}

fn grant(body: GrantBody) -> Grant {
    let mut conditions = vec![format!("tokens live {} at most", span(body.max_ttl))];
    conditions.extend(body.rate.map(|rate| format!("{rate} requests at most")));
    conditions.extend(body.budget.map(|budget| format!("{budget} at most")));
    conditions.extend(body.proof.then(|| "bound to a key".to_owned()));
    let verb = |verb: shortbread_protocol::admin::GrantVerbBody| Verb {
        operation: verb.operation,
        access: verb.access.as_str(),
        arguments: escape(&verb.arguments).into_owned(),
        approval: verb.approval,
        forbidden: verb.forbidden.join(", "),
    };
    Grant {
        id: body.grant,
        tool: body.tool,
        intents: body.intents.join(", "),
        conditions,
        approval: body.approval.map(|approval| approval.words),
        verbs: body.verbs.into_iter().map(verb).collect(),
    }
}
