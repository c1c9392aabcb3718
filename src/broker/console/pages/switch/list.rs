//! `/console/switch`: what is revoked, since when, by whom, and why.

use askama::Template;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use shortbread_protocol::admin::RevocationBody;
use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::revocations::SelectorKind;

use super::{Named, Reached};
use crate::console::frame::Frame;
use crate::console::show::{When, html};
use crate::console::trouble::{Trouble, query};
use crate::console::visit::Visit;
use crate::policy::builtin;
use crate::policy::model::Principal;
use crate::revoke;
use crate::text::escape;
use crate::verifiers::{self, LISTED, Question};

struct Row {
    kind: String,
    shown: String,
    how: String,
    at: When,
    by: String,
    cause: String,
    reason: String,
    until: Option<When>,
    seq: u64,
    lift: String,
}

#[derive(Template)]
#[template(path = "switch/list.html")]
struct List {
    frame: Frame,
    rows: Vec<Row>,
    stopped: bool,
    reached: Option<Reached>,
    change: u64,
    named: Named,
    /// What is wrong with what was named, if it was sent.
    wrong: String,
    kinds: Vec<&'static str>,
    known: Vec<String>,
    revokes: bool,
    lifts: bool,
}

/// What is revoked.
#[utoipa::path(get, path = "/console/switch", tag = "console", params(Named),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 403, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(visit: Visit, named: Result<Query<Named>, QueryRejection>) -> Response {
    let made = async { made(&visit, query(named)?, String::new()).await };
    visit.shown(made.await)
}

/// The page, with what is wrong with what was named.
///
/// # Errors
/// When whoever asks may not look at it, or the store fails.
pub(super) async fn made(visit: &Visit, named: Named, wrong: String) -> Result<Response, Trouble> {
    visit.must(&["revocations.read"]).await?;
    let broker = &visit.broker;
    let revoked = revoke::list(broker).await?;
    let now = broker.clock.now().seconds();
    let question = Question { seq: None, wait: std::time::Duration::ZERO, listed: LISTED };
    let status = verifiers::status(broker, &question).await.ok();
    let frame = Frame::of(visit, "The switch", "Switch").await.live(3);
    let page = List {
        stopped: revoked.revocations.iter().any(|one| one.kind == "all" && one.before > now),
        rows: revoked.revocations.iter().map(|one| row(one, now)).collect(),
        change: status.as_ref().map_or(0, |status| status.change),
        reached: status.as_ref().map(Reached::of).filter(|reached| reached.running > 0),
        named,
        wrong,
        kinds: kinds(),
        known: known(visit),
        revokes: visit.may(builtin::REVOKE),
        lifts: visit.may(builtin::LIFT),
        frame,
    };
    Ok(html(&page))
}

fn row(body: &RevocationBody, now: u64) -> Row {
    let dated = body.before != FOREVER;
    let mut lift = form_urlencoded::Serializer::new(String::new());
    let lift = lift.append_pair("kind", &body.kind).append_pair("value", &body.value).finish();
    Row {
        shown: if body.kind == "all" { "everything".to_owned() } else { escape(&body.value).into_owned() },
        kind: body.kind.clone(),
        how: if dated { "what was issued before".to_owned() } else { "until it is lifted".to_owned() },
        at: When::new(body.at, now),
        by: escape(&body.operator).into_owned(),
        cause: serde_json::to_value(body.cause)
            .ok()
            .and_then(|cause| cause.as_str().map(str::to_owned))
            .unwrap_or_default(),
        reason: escape(&body.reason).into_owned(),
        until: body.until.map(|until| When::new(until, now)),
        seq: body.seq,
        lift,
    }
}

// What is pulled most often comes first.
fn kinds() -> Vec<&'static str> {
    let first = [SelectorKind::Workflow, SelectorKind::Tool, SelectorKind::Access, SelectorKind::Verb];
    let rest = SelectorKind::ALL.into_iter().filter(|kind| !first.contains(kind));
    first.into_iter().chain(rest).map(SelectorKind::as_str).collect()
}

// Names that the policy in force knows, offered while one is typed.
fn known(visit: &Visit) -> Vec<String> {
    let Some(policy) = visit.broker.policy.in_force() else { return Vec::new() };
    let mut names = Vec::new();
    for identity in policy.identities() {
        names.extend(identity.principals.iter().filter_map(|principal| match principal {
            Principal::Verifier(_) => None,
            named => Some(named.name().to_owned()),
        }));
    }
    for (tool, listed) in policy.catalogue().tools.iter().filter(|(tool, _)| !builtin::is(tool)) {
        names.push(tool.to_string());
        names.extend(listed.verbs.keys().map(|verb| format!("{tool}/{verb}")));
        names.extend(["write", "privileged"].map(|access| format!("{tool}/{access}")));
    }
    names.extend(["read", "write", "privileged"].map(str::to_owned));
    names.sort_unstable();
    names.dedup();
    names.truncate(500);
    names
}
