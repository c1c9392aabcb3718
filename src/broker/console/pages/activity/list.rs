//! `/console/activity`: what was decided, the newest first.

use askama::Template;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use shortbread_protocol::clock::Timestamp;

use super::find::{Found, find};
use super::tone;
use crate::console::frame::Frame;
use crate::console::show::{When, html};
use crate::console::trouble::{Trouble, query};
use crate::console::visit::Visit;
use crate::story::{Filter, decider, kind, outcome, reasons, what};
use crate::text::escape;

/// Which entries.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
pub(in crate::console) struct Wanted {
    /// Only of this workflow.
    workflow: String,
    /// Only with this declared purpose.
    intent: String,
    /// Only about this tool.
    tool: String,
    /// Only with this access: read, write or privileged.
    access: String,
    /// Only of this release.
    release: String,
    /// Only with this outcome: allow, deny or done.
    outcome: String,
    /// Only of this type, such as call.decision.
    #[serde(rename = "type")]
    kind: String,
    /// Only with this reason code.
    reason: String,
    /// Where the page before ended.
    before: String,
}

impl Wanted {
    fn filter(&self, reader: &str) -> Filter {
        let some = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Filter {
            workflow: some(&self.workflow),
            intent: some(&self.intent),
            tool: some(&self.tool),
            access: some(&self.access),
            release: some(&self.release),
            outcome: some(&self.outcome),
            kind: some(&self.kind),
            reason: some(&self.reason),
            reader: Some(format!("operator/{reader}")),
        }
    }

    fn query(&self, before: u64) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("workflow", &self.workflow),
            ("intent", &self.intent),
            ("tool", &self.tool),
            ("access", &self.access),
            ("release", &self.release),
            ("outcome", &self.outcome),
            ("type", &self.kind),
            ("reason", &self.reason),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("before", &before.to_string()).finish()
    }
}

struct Row {
    at: Option<When>,
    outcome: String,
    tone: &'static str,
    subject: String,
    happened: String,
    what: String,
    by: String,
    why: String,
    id: String,
}

#[derive(Template)]
#[template(path = "activity/list.html")]
struct List {
    frame: Frame,
    rows: Vec<Row>,
    wanted: Wanted,
    narrows: bool,
    newest: bool,
    more: Option<String>,
    cut: bool,
}

impl List {
    fn has(value: &str, option: &str) -> bool {
        value == option
    }
}

/// What was decided.
#[utoipa::path(get, path = "/console/activity", tag = "console", params(Wanted),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 400, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(
    visit: Visit,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let made = async { made(&visit, query(wanted)?).await };
    visit.shown(made.await)
}

async fn made(visit: &Visit, wanted: Wanted) -> Result<Response, Trouble> {
    visit.must(&["audit.read"]).await?;
    let before = match wanted.before.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| {
            let detail = "before: a place in the log, as the page before named it";
            Trouble::malformed(detail)
        })?),
    };
    let filter = wanted.filter(visit.session.who.operator.as_str());
    let Found { events, next, cut } = find(&visit.broker, &filter, before).await?;
    let now = visit.broker.clock.now().seconds();
    let frame = Frame::of(visit, "Activity", "Activity").await;
    let page = List {
        frame: if before.is_none() { frame.live(2) } else { frame },
        rows: events.iter().map(|event| row(event, now)).collect(),
        narrows: filter.narrows(),
        newest: before.is_none(),
        more: next.map(|next| wanted.query(next)),
        wanted,
        cut,
    };
    Ok(html(&page))
}

fn row(event: &Value, now: u64) -> Row {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let at = text("/time").parse::<Timestamp>().ok();
    let outcome = outcome(event);
    Row {
        at: at.map(|at| When::new(at.seconds(), now)),
        tone: tone(outcome),
        outcome: escape(outcome).into_owned(),
        subject: escape(&text("/subject").replacen('/', " ", 1)).into_owned(),
        happened: escape(&kind(event).replace(['.', '_'], " ")).into_owned(),
        what: escape(&what(event)).into_owned(),
        by: escape(decider(event).unwrap_or_default()).into_owned(),
        why: escape(&reasons(event)).into_owned(),
        id: text("/id").to_owned(),
    }
}
