//! `/console/policy/{n}`: who gains or loses what by a version, and its text.

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;
use shortbread_protocol::admin::PolicyText;

use crate::console::frame::Frame;
use crate::console::show::{When, html};
use crate::console::trouble::{Trouble, Wrong};
use crate::console::visit::{Form, Visit};
use crate::policy::builtin;
use crate::policy::diff::{Class, Diff, diff};
use crate::rollout;
use crate::text::{escape, escape_json};

struct Effect {
    class: &'static str,
    tone: &'static str,
    words: String,
}

#[derive(Template)]
#[template(path = "policy/version.html")]
struct Version {
    frame: Frame,
    text: PolicyText,
    author: String,
    source: String,
    at: When,
    /// What it is held against: the version in force, or for that one the one before.
    against: Option<u64>,
    in_force: bool,
    active: u64,
    effects: Vec<Effect>,
    widens: usize,
    narrows: usize,
    activates: bool,
    form: Form,
    wrong: Option<Wrong>,
}

impl Version {
    fn wrong(&self, field: &str) -> Option<&Wrong> {
        self.wrong.as_ref().filter(|(wrong, ..)| *wrong == field)
    }

    fn watched(&self, seconds: &str) -> bool {
        self.form.text("watch") == seconds
    }
}

/// One version.
#[utoipa::path(get, path = "/console/policy/{n}", tag = "console", params(("n" = u64, Path, description = "The version's number")),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 403, body = String, content_type = "text/html"), (status = 404, body = String, content_type = "text/html"), (status = 409, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(visit: Visit, number: Result<Path<u64>, PathRejection>) -> Response {
    let made = match number {
        Ok(Path(number)) => made(&visit, number, Form::default(), None).await,
        Err(_) => Err(Trouble::absent("a version is named by its number")),
    };
    visit.shown(made)
}

/// The page, with what is wrong with an activation where something is.
///
/// # Errors
/// When there is no such version, or whoever asks may not look at it.
pub(super) async fn made(
    visit: &Visit,
    number: u64,
    form: Form,
    wrong: Option<Wrong>,
) -> Result<Response, Trouble> {
    visit.must(&["policy.read"]).await?;
    let broker = &visit.broker;
    let text = rollout::version(broker, number).await?;
    let text = text.ok_or_else(|| {
        Trouble::absent(format!("there is no policy version {number}"))
            .next("/console/policy", "The versions")
    })?;
    let active = broker.policy.version();
    let in_force = active == number;
    let against = if in_force { broker.policy.earlier(None).await.ok() } else { Some(active) };
    let against = against.filter(|against| *against > 0);
    let diff = match against {
        Some(against) => Some(compared(visit, against, number).await?),
        None => None,
    };
    let count = |class: Class| {
        diff.iter().flat_map(|diff| &diff.effects).filter(|effect| effect.class == class).count()
    };
    let page = Version {
        frame: Frame::of(visit, format!("Policy version {number}"), "Policy").await,
        author: escape(&text.author).into_owned(),
        source: escape_json(&text.source).into_owned(),
        at: When::new(text.at, broker.clock.now().seconds()),
        against,
        in_force,
        active,
        widens: count(Class::Widens),
        narrows: count(Class::Narrows),
        effects: diff.iter().flat_map(|diff| &diff.effects).map(effect).collect(),
        activates: visit.may(builtin::ACTIVATE),
        text,
        form,
        wrong,
    };
    Ok(html(&page))
}

// Away from the threads that answer: large policies take a while.
async fn compared(visit: &Visit, old: u64, new: u64) -> Result<Diff, Trouble> {
    let policy = &visit.broker.policy;
    let (old, new) = (policy.compiled(old).await?, policy.compiled(new).await?);
    let compared = tokio::task::spawn_blocking(move || diff(&old, &new)).await;
    compared.map_err(|_| Trouble::plain(shortbread_protocol::reason::Reason::Internal))
}

fn effect(effect: &crate::policy::diff::Effect) -> Effect {
    let tone = match effect.class {
        Class::Widens => "bad",
        Class::Narrows => "good",
        Class::Changes => "dim",
    };
    Effect { class: effect.class.as_str(), tone, words: escape(&effect.sentence).into_owned() }
}
