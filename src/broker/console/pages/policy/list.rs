//! `/console/policy`: the versions.

use askama::Template;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use serde::Deserialize;
use shortbread_protocol::admin::{PolicyVersionBody, TrialBody};

use crate::console::frame::Frame;
use crate::console::show::{When, html};
use crate::console::trouble::{Trouble, Wrong};
use crate::console::visit::{Form, Visit};
use crate::rollout;
use crate::text::escape;

/// What was done just now.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub(in crate::console) struct Done {
    /// `activated`, `tried`, `back` or `ended`.
    done: Option<String>,
    /// Which version.
    version: Option<u64>,
}

impl Done {
    // Said where it is so: whoever writes a link must not have the page say something else.
    fn words(&self, in_force: u64, tried: Option<u64>) -> String {
        let Some(version) = self.version else { return String::new() };
        match self.done.as_deref() {
            Some("activated" | "back") if version == in_force => format!("Version {version} is in force."),
            Some("tried") if tried == Some(version) => format!("Version {version} is on trial."),
            Some("ended") if tried != Some(version) => format!("Version {version} is not on trial any more."),
            _ => String::new(),
        }
    }
}

struct Row {
    body: PolicyVersionBody,
    author: String,
    at: When,
    tried: bool,
}

struct Trial {
    body: TrialBody,
    since: When,
    until: Option<When>,
}

#[derive(Template)]
#[template(path = "policy/list.html")]
struct List {
    frame: Frame,
    rows: Vec<Row>,
    trial: Option<Trial>,
    done: String,
    rolls_back: bool,
    /// The version that a rollback goes to.
    earlier: Option<u64>,
    in_force: u64,
    form: Form,
    wrong: Option<Wrong>,
}

impl List {
    fn wrong(&self, field: &str) -> Option<&Wrong> {
        self.wrong.as_ref().filter(|(wrong, ..)| *wrong == field)
    }
}

/// The versions of the policy.
#[utoipa::path(get, path = "/console/policy", tag = "console", params(Done),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 403, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(visit: Visit, done: Result<Query<Done>, QueryRejection>) -> Response {
    let done = done.map(|Query(done)| done).unwrap_or_default();
    let made = made(&visit, done, Form::default(), None).await;
    visit.shown(made)
}

/// The page, with what is wrong with a rollback where something is.
///
/// # Errors
/// When whoever asks may not look at it, or the store fails.
pub(super) async fn made(
    visit: &Visit,
    done: Done,
    form: Form,
    wrong: Option<Wrong>,
) -> Result<Response, Trouble> {
    visit.must(&["policy.read"]).await?;
    let broker = &visit.broker;
    let answer = rollout::versions(broker).await?;
    let now = broker.clock.now().seconds();
    let tried = answer.trial.as_ref().map(|trial| trial.version);
    let trial = answer.trial.map(|body| Trial {
        since: When::new(body.since, now),
        until: body.watched_until.map(|until| When::new(until, now)),
        body,
    });
    let on_part = trial.as_ref().is_some_and(|trial| !trial.body.workflows.is_empty());
    let row = |body: PolicyVersionBody| Row {
        author: escape(&body.author).into_owned(),
        at: When::new(body.at, now),
        tried: tried == Some(body.version),
        body,
    };
    let page = List {
        frame: Frame::of(visit, "Policy", "Policy").await,
        rows: answer.versions.into_iter().map(row).collect(),
        earlier: if on_part { None } else { broker.policy.earlier(None).await.ok() },
        trial,
        done: done.words(broker.policy.version(), tried),
        rolls_back: visit.may("policy.rollback"),
        in_force: broker.policy.version(),
        form,
        wrong,
    };
    Ok(html(&page))
}
