//! `/console/health`: how the broker and what hangs on it stands.

use askama::Template;
use axum::response::Response;
use shortbread_protocol::admin::{BreakerBody, FindingBody, HealthAnswer, HealthState, KeyHealthBody};
use shortbread_protocol::clock::FOREVER;

use crate::console::frame::Frame;
use crate::console::show::{When, html};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::health;
use crate::text::{count, escape, grouped, span};

struct Found {
    about: String,
    tone: &'static str,
    state: &'static str,
    meaning: String,
    fix: String,
    since: Option<When>,
}

struct Key {
    purpose: String,
    name: String,
    tone: &'static str,
    state: String,
    age: String,
    left: String,
    /// Absent of one that has no end, as `dev` makes them.
    ends: Option<When>,
}

struct Breaker {
    kind: String,
    source: String,
    tone: &'static str,
    state: String,
    retry: String,
    since: Option<When>,
    keys: String,
}

#[derive(Template)]
#[template(path = "health.html")]
struct Page {
    frame: Frame,
    tone: &'static str,
    found: Vec<Found>,
    since: Option<When>,
    keys: Vec<Key>,
    breakers: Vec<Breaker>,
    answer: HealthAnswer,
}

impl Page {
    fn span(seconds: &u64) -> String {
        span(*seconds)
    }

    fn grouped(number: &u64) -> String {
        grouped(*number)
    }
}

/// How the broker stands.
#[utoipa::path(get, path = "/console/health", tag = "console",
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 403, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(visit: Visit) -> Response {
    made(&visit).await.unwrap_or_else(|trouble| trouble.answer(&visit.context))
}

async fn made(visit: &Visit) -> Result<Response, Trouble> {
    visit.must(&["status.read"]).await?;
    let answer = health::look(&visit.broker).await;
    let now = answer.now;
    let page = Page {
        frame: Frame::of(visit, "Health", "Health").await.live(5),
        tone: tone(answer.state),
        found: answer.findings.iter().map(|body| found(body, now)).collect(),
        since: answer.policy.since.map(|at| When::new(at, now)),
        keys: answer.keys.iter().map(|body| key(body, now)).collect(),
        breakers: answer.breakers.iter().map(|body| breaker(body, &answer)).collect(),
        answer,
    };
    Ok(html(&page))
}

const fn tone(state: HealthState) -> &'static str {
    match state {
        HealthState::Good => "good",
        HealthState::Degraded => "warn",
        HealthState::Failing => "bad",
    }
}

fn found(body: &FindingBody, now: u64) -> Found {
    Found {
        about: escape(&body.about).into_owned(),
        tone: tone(body.state),
        state: body.state.as_str(),
        meaning: escape(&body.meaning).into_owned(),
        fix: body.fix.clone(),
        since: body.since.map(|at| When::new(at, now)),
    }
}

fn key(body: &KeyHealthBody, now: u64) -> Key {
    let tone = match body.key.state.as_str() {
        "signs" => "good",
        "waits" => "warn",
        "revoked" | "no private half here" => "bad",
        _ => "dim",
    };
    let endless = body.key.not_after >= FOREVER;
    Key {
        purpose: body.key.purpose.clone(),
        name: body.key.name.clone(),
        tone,
        state: body.key.state.clone(),
        age: span(body.age),
        left: if endless { "no end".to_owned() } else { count(body.days_left, "day") },
        ends: (!endless).then(|| When::new(body.key.not_after, now)),
    }
}

fn breaker(body: &BreakerBody, answer: &HealthAnswer) -> Breaker {
    let tone = match body.state.as_str() {
        "closed" => "good",
        "open" => "bad",
        _ => "warn",
    };
    let issuer = answer.issuers.iter().find(|issuer| body.kind == "issuer" && issuer.issuer == body.source);
    let age = issuer.and_then(|issuer| issuer.keys_age);
    Breaker {
        kind: body.kind.clone(),
        source: escape(&body.source).into_owned(),
        tone,
        state: body.state.clone(),
        retry: body.retry_in.map(|left| format!("tried again in {}", span(left))).unwrap_or_default(),
        since: body.since.map(|at| When::new(at, answer.now)),
        keys: age.map(|age| format!("{} old", span(age))).unwrap_or_default(),
    }
}
