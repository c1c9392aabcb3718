//! `/console/activity/{id}`: the whole story of a decision, an approval or a trace, from the request to the tool call.

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;
use serde_json::Value;
use shortbread_protocol::admin::AuditEntryBody;

use super::tone;
use super::window::{Window, window};
use crate::console::frame::Frame;
use crate::console::show::{When, html};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::policy::builtin;
use crate::store::StoredEntry;
use crate::story::{self, Told};
use crate::text::{escape, escape_json};

struct Step {
    /// How deep it stands, 0 to 6.
    depth: usize,
    since: String,
    marked: bool,
    outcome: String,
    tone: &'static str,
    happened: String,
    what: String,
    subject: String,
    particulars: String,
    why: String,
    id: String,
    /// What can be revoked from here: kind and value.
    stops: Vec<(&'static str, String)>,
    approval: String,
    whole: String,
}

#[derive(Template)]
#[template(path = "activity/story.html")]
struct Story {
    frame: Frame,
    trace: String,
    begins: Option<When>,
    steps: Vec<Step>,
    /// How many more entries there are.
    hidden: usize,
    revokes: bool,
}

impl Step {
    fn query(stop: &(&'static str, String)) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("kind", stop.0).append_pair("value", &stop.1).finish()
    }
}

/// The story that an id belongs to.
#[utoipa::path(get, path = "/console/activity/{id}", tag = "console", params(("id" = String, Path, description = "A decision, an approval or a trace")),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 403, body = String, content_type = "text/html"), (status = 404, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(visit: Visit, id: Result<Path<String>, PathRejection>) -> Response {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let made = made(&visit, &id).await;
    visit.shown(made)
}

async fn made(visit: &Visit, id: &str) -> Result<Response, Trouble> {
    visit.must(&["audit.read"]).await?;
    let named = entries(visit, id).await?;
    let first = named.first().map(AuditEntryBody::from).and_then(|entry| story::trace(&entry.event));
    // An approval's story is its own: its votes are traces of their own.
    let whole = first.clone().filter(|trace| trace != id && !id.starts_with("apr_"));
    let trace = match &whole {
        Some(trace) => entries(visit, trace).await?,
        None => Vec::new(),
    };
    let Window { entries, hidden } = window(trace, named);
    let entries: Vec<AuditEntryBody> = entries.iter().map(AuditEntryBody::from).collect();
    let frame = Frame::of(visit, "A decision's story", "Activity").await;
    let now = visit.broker.clock.now().seconds();
    let page = Story {
        // A long one is not looked at again and again.
        frame: if hidden == 0 { frame.live(3) } else { frame },
        hidden,
        trace: if id.starts_with("apr_") { id.to_owned() } else { first.unwrap_or_default() },
        begins: story::begins(&entries).map(|at| When::new(at.seconds(), now)),
        steps: story::tell(&entries, id).iter().map(step).collect(),
        revokes: visit.may(builtin::REVOKE),
    };
    Ok(html(&page))
}

async fn entries(visit: &Visit, id: &str) -> Result<Vec<StoredEntry>, Trouble> {
    let entries = visit.broker.store.audit_about(id).await?;
    if entries.is_empty() {
        let detail = "no entry of the log has this decision id, approval id or trace id";
        return Err(Trouble::absent(detail).next("/console/activity", "Look at all of them"));
    }
    Ok(entries)
}

fn step(told: &Told<'_>) -> Step {
    let text = |pointer: &str| {
        let value = told.event.pointer(pointer).and_then(Value::as_str);
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let minted = story::kind(told.event) == "token.minted";
    let workflow = told.subject.strip_prefix("workflow/").map(str::to_owned);
    let stops = [("token", text("/data/token")), ("task", text("/data/task")), ("workflow", workflow)];
    let stops = stops.into_iter().filter_map(|(kind, value)| Some((kind, value.filter(|_| minted)?)));
    let pretty = serde_json::to_string_pretty(told.event).unwrap_or_default();
    Step {
        depth: told.depth.min(6),
        since: story::relative(told.since),
        marked: told.marked,
        outcome: escape(told.outcome).into_owned(),
        tone: tone(told.outcome),
        happened: escape(&told.happened).into_owned(),
        what: escape(&told.what).into_owned(),
        subject: escape(&told.subject.replacen('/', " ", 1)).into_owned(),
        particulars: escape(&told.particulars).into_owned(),
        why: escape(&told.why).into_owned(),
        id: told.id.to_owned(),
        stops: stops.collect(),
        approval: text("/data/approval").unwrap_or_default(),
        whole: escape_json(&pretty).into_owned(),
    }
}
