//! `/console/approvals/{id}`: one request, whole, and what to do about it.

use askama::Template;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;
use shortbread_protocol::admin::{ApprovalAnswer, ApprovalState};
use shortbread_protocol::approval::{ShownCall, ShownRight};
use shortbread_protocol::constraint::Constraint;
use shortbread_protocol::names::ArgName;

use super::like::{AMONG, Like, like};
use super::{LOOK, Next, next, tone, who};
use crate::approvals;
use crate::console::frame::Frame;
use crate::console::show::{Value, When, html, value};
use crate::console::trouble::{Trouble, Wrong};
use crate::console::visit::{Form, Visit};
use crate::policy::builtin;
use crate::text::{escape, span};
use crate::words;

/// What was done just now.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub(in crate::console) struct Done {
    /// `approved` or `denied`.
    done: Option<String>,
}

struct Call {
    place: u32,
    operation: String,
    access: &'static str,
    args: Vec<Value>,
}

struct Right {
    operation: String,
    access: &'static str,
    /// `None`: any arguments.
    rules: Option<Vec<Rule>>,
}

struct Rule {
    field: String,
    name: String,
    words: String,
}

struct Vote {
    operator: String,
    at: When,
    note: String,
    counts: bool,
}

/// What went wrong with a vote, and what had been filled in.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) form: Form,
    /// The field, what is wrong, and the code.
    pub(super) wrong: Option<Wrong>,
}

#[derive(Template)]
#[template(path = "approvals/detail.html")]
struct Detail {
    frame: Frame,
    answer: ApprovalAnswer,
    who: String,
    tone: &'static str,
    asked: When,
    expires: When,
    closed: Option<When>,
    next: Next,
    life: String,
    facts: Vec<(&'static str, String)>,
    calls: Vec<Call>,
    rights: Vec<Right>,
    votes: Vec<Vote>,
    like: Vec<Like>,
    among: usize,
    decides: bool,
    is_open: bool,
    is_pending: bool,
    done: &'static str,
    draft: Draft,
}

impl Detail {
    fn wrong(&self, field: &str) -> Option<&Wrong> {
        self.draft.wrong.as_ref().filter(|(wrong, ..)| *wrong == field)
    }

    /// Whether the form had filled in something that narrows.
    fn narrows(&self) -> bool {
        let form = &self.draft.form;
        let filled = |name: &str| form.all(name).next().is_some();
        let only = form.under("only ").any(|(_, text)| !text.is_empty());
        filled("drop") || filled("drop_call") || only || !form.text("ttl").is_empty()
    }

    fn ticked(&self, name: &str, value: impl ToString) -> bool {
        let value = value.to_string();
        self.draft.form.all(name).any(|one| one == value)
    }

    fn sla(seconds: &u64) -> String {
        span(*seconds)
    }
}

/// One request.
#[utoipa::path(get, path = "/console/approvals/{id}", tag = "console", params(("id" = String, Path), Done),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 403, body = String, content_type = "text/html"), (status = 404, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(
    visit: Visit,
    id: Result<Path<String>, PathRejection>,
    done: Result<Query<Done>, QueryRejection>,
) -> Response {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let done = done.ok().and_then(|Query(done)| done.done).is_some();
    let made = made(&visit, &id, done, Draft::default()).await;
    visit.shown(made)
}

/// The page, with what is wrong with a vote where something is.
///
/// # Errors
/// When there is no such request, or whoever asks may not look at it.
pub(super) async fn made(visit: &Visit, id: &str, done: bool, draft: Draft) -> Result<Response, Trouble> {
    visit.must(&LOOK).await?;
    let answer = approvals::find(&visit.broker, id).await?;
    let like = like(visit, &answer).await?;
    let now = answer.now;
    let (body, shown) = (&answer.approval, &answer.shown);
    let votes = answer.votes.iter().map(|vote| Vote {
        operator: vote.operator.clone(),
        at: When::new(vote.at, now),
        note: escape(vote.note.as_deref().unwrap_or_default()).into_owned(),
        counts: vote.counts,
    });
    let is_pending = body.state == ApprovalState::Pending;
    let title = format!("{} for {}", body.verbs.join(", "), who(&body.principal));
    let frame = Frame::of(visit, title, "Approvals").await;
    let detail = Detail {
        frame: if body.state.is_open() { frame.live(3) } else { frame },
        who: who(&body.principal),
        tone: tone(body.state),
        asked: When::new(body.asked, now),
        expires: When::new(body.expires, now),
        closed: answer.closed.as_ref().map(|closed| When::new(closed.at, now)),
        next: next(body, now),
        life: span(shown.ttl),
        facts: facts(&answer),
        calls: shown.calls.iter().map(call).collect(),
        rights: shown.rights.iter().map(right).collect(),
        votes: votes.collect(),
        like,
        among: AMONG,
        decides: visit.may(builtin::DECIDE),
        is_open: body.state.is_open(),
        is_pending,
        done: if done { said(visit, &answer) } else { "" },
        draft,
        answer,
    };
    Ok(html(&detail))
}

// Said where it is so: whoever writes a link must not have the page say something else.
fn said(visit: &Visit, answer: &ApprovalAnswer) -> &'static str {
    let own = visit.session.who.operator.as_str();
    let denied = answer.approval.state == ApprovalState::Denied;
    if denied && answer.closed.as_ref().and_then(|closed| closed.by.as_deref()) == Some(own) {
        return "You denied this request.";
    }
    match answer.votes.iter().find(|vote| vote.operator == own) {
        Some(vote) if vote.counts => "Your vote counts.",
        _ => "",
    }
}

fn facts(answer: &ApprovalAnswer) -> Vec<(&'static str, String)> {
    let shown = &answer.shown;
    let mut facts = vec![("Intent", shown.intent.to_string()), ("Task", shown.task.to_string())];
    facts.extend(shown.release.as_ref().map(|release| ("Release", release.to_string())));
    facts.extend(shown.audiences.iter().map(|(tool, url)| ("Good at", format!("{url} ({tool})"))));
    facts.push(("Bound to the key", shown.holder.clone()));
    facts
}

fn call(call: &ShownCall) -> Call {
    Call {
        place: call.place,
        operation: call.operation.to_string(),
        access: call.access.as_str(),
        args: call.args.iter().map(|(name, json)| value(name, json)).collect(),
    }
}

fn right(right: &ShownRight) -> Right {
    let operation = right.operation.to_string();
    let rules = right.constraints.as_ref().map(|rules| {
        let rule = |(name, rule): (&ArgName, &Constraint)| Rule {
            field: format!("only {operation} {name}"),
            name: name.to_string(),
            words: escape(&words::constraint(rule)).into_owned(),
        };
        rules.iter().map(rule).collect()
    });
    Right { operation, access: right.access.as_str(), rules }
}
