//! `/console/oidc`: in by an identity provider. It leads to the provider and keeps in the browser what the answer is compared
//! with; `/console/oidc/callback` takes the answer. That page comes from another site, without the session's cookie, so that
//! it leads on by itself.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use serde_json::json;
use shortbread_protocol::event::EventType;
use shortbread_protocol::reason::Reason;

use super::enter::enter;
use super::{bounce, cookie, sign_in};
use crate::approvals;
use crate::audit::{Counted, range};
use crate::broker::Broker;
use crate::console::trouble::Trouble;
use crate::console::visit::Found;
use crate::exchange::Context;
use crate::limits::Limited;
use crate::oidc::{Begun, LIFE, Pending, RelyingParty, SignInError, SignedIn, Wish};
use crate::policy::Policy;
use crate::policy::builtin;
use crate::revoke::Caller;
use crate::sessions::{Means, Session, SignIn};
use crate::store::{RecordError, Replay};

/// Where to go from there.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub(in crate::console) struct Then {
    /// A path of the console.
    #[serde(default)]
    to: String,
}

/// Where a sign-in begins that leads to this page.
pub(in crate::console) fn path(to: &str) -> String {
    let to = form_urlencoded::Serializer::new(String::new()).append_pair("to", to).finish();
    format!("/console/oidc?{to}")
}

/// Leads to the identity provider. Whoever is signed in has to sign in there anew.
#[utoipa::path(get, path = "/console/oidc", tag = "console", params(Then),
    responses((status = 303), (status = 403, body = String, content_type = "text/html"), (status = 404, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn begin(
    State(broker): State<Arc<Broker>>,
    Extension(context): Extension<Context>,
    Extension(Found(before)): Extension<Found>,
    then: Result<Query<Then>, QueryRejection>,
) -> Response {
    let done = async {
        let (party, policy) = ready(&broker)?;
        let then = landing(then.map(|Query(then)| then.to).unwrap_or_default());
        let wish = Wish { then, replaces: before.map(|session| session.id) };
        let begun = party.begin(policy.identities(), &*broker.random, &wish).await;
        let Begun { url, pending } = begun.map_err(|error| {
            tracing::warn!(oidc.cause = %error.cause(), "a sign-in by the identity provider could not begin");
            trouble(&error, &wish.then)
        })?;
        Ok(cookie::set_away(Redirect::to(&url).into_response(), &broker.issuer, &pending.to_cookie(), LIFE))
    };
    let done: Result<Response, Trouble> = done.await;
    done.unwrap_or_else(|trouble| trouble.answer(&context))
}

/// What the identity provider sends a browser back with.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read strictly, from the query as it came")]
struct Callback {
    /// As it was sent.
    state: String,
    /// What an ID token is given for.
    code: Option<String>,
    /// Why there is no code.
    error: Option<String>,
    /// The provider (RFC 9207).
    iss: Option<String>,
}

/// Takes the identity provider's answer and signs in.
#[utoipa::path(get, path = "/console/oidc/callback", tag = "console", params(Callback),
    responses((status = 200, body = String, content_type = "text/html"), (status = 401, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 404, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn finish(
    State(broker): State<Arc<Broker>>,
    Extension(context): Extension<Context>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let pending = cookie::read_away(&headers, &broker.issuer).and_then(Pending::from_cookie);
    let done = signed_in(&broker, &context, pending, query.unwrap_or_default()).await;
    let answer = done.unwrap_or_else(|trouble| trouble.answer(&context));
    // One answer, whatever it is.
    cookie::set_away(answer, &broker.issuer, "", Duration::ZERO)
}

async fn signed_in(
    broker: &Broker,
    context: &Context,
    pending: Option<Pending>,
    query: String,
) -> Result<Response, Trouble> {
    let (party, policy) = ready(broker)?;
    let Some(pending) = pending else { return Err(refused(broker, context, &SignInError::Foreign).await) };
    let found = party.finish(&broker.identities, policy.identities(), &pending, &query).await;
    let found = match found {
        Ok(found) => found,
        Err(error) => return Err(refused(broker, context, &error).await),
    };
    use_up(broker, context, &found).await?;
    let then = landing(found.then);
    let caller =
        Caller { operator: found.operator, token: None, holder: None, marks: found.marks, session: None };
    let proofs = policy.proof_of(&found.entry).into_iter().collect();
    let marks = approvals::marks(broker, &caller).await?;
    // What the browser kept is its word alone: nobody ends another's session by it.
    let before = found.replaces.and_then(|id| session(broker, &id));
    let before = before.filter(|before| before.who.operator == caller.operator);
    let who = SignIn {
        operator: caller.operator,
        means: Means::Oidc,
        at: found.auth_time,
        token: None,
        holder: None,
        key: None,
        proofs,
        marks,
    };
    enter(broker, context, who, before.as_ref(), bounce::to(&then)).await
}

fn ready(broker: &Broker) -> Result<(&RelyingParty, Policy), Trouble> {
    let absent =
        || Trouble::absent("Operators sign in here by link alone; broker.toml has no [console.oidc].");
    let party = broker.oidc.as_ref().ok_or_else(absent)?;
    let policy = broker.policy.in_force().ok_or_else(|| Trouble::plain(Reason::PolicyMissing))?;
    Ok((party, policy))
}

// The sign-in itself would go round in circles.
fn landing(to: String) -> String {
    let leads =
        sign_in::is_ours(&to) && !to.starts_with("/console/oidc") && !to.starts_with("/console/sign-in");
    if leads { to } else { sign_in::HOME.to_owned() }
}

fn session(broker: &Broker, id: &str) -> Option<Session> {
    broker.sessions.all(broker.clock.now()).into_iter().find(|session| session.id == id)
}

/// An ID token is taken once, here and at the token endpoint together.
async fn use_up(broker: &Broker, context: &Context, found: &SignedIn) -> Result<(), Trouble> {
    let (keep_until, made) = (found.replay.keep_until.seconds(), found.replay.made.seconds());
    let replay = Replay { hash: found.replay.hash, keep_until, made, holder: None };
    match broker.store.use_assertion(replay).await {
        Ok(()) => Ok(()),
        Err(RecordError::Store(error)) => Err(error.into()),
        Err(error) => {
            record(broker, context, Reason::IdentityInvalid, &error.to_string()).await?;
            Err(again(Trouble::plain(Reason::IdentityInvalid), &found.then))
        }
    }
}

/// Counted and recorded as the failed sign-in of a stranger, and then told.
async fn refused(broker: &Broker, context: &Context, error: &SignInError) -> Trouble {
    if let Err(Limited(wait)) = broker.limits.failure(context.address) {
        return Trouble::plain(Reason::RateLimited).after(wait);
    }
    match record(broker, context, error.reason(), &error.cause()).await {
        Ok(()) => trouble(error, ""),
        Err(trouble) => trouble,
    }
}

async fn record(broker: &Broker, context: &Context, reason: Reason, cause: &str) -> Result<(), Trouble> {
    let now = broker.clock.monotonic();
    let Counted::Write(count) = broker.strangers.count(context.address, reason, now) else { return Ok(()) };
    tracing::warn!(decision_id = %context.decision.id, oidc.cause = %cause, "a sign-in to the console was refused");
    let latency = now.saturating_sub(context.begun).as_micros();
    let data = json!({
        "outcome": "deny", "reasons": [reason.code()], "detail": reason.meaning(), "cause": cause,
        "workflow": null, "token": null, "holder": null, "requested": [], "granted": [],
        "policy": broker.policy.in_force().map(|policy| policy.digest().to_owned()),
        "revocation_seq": broker.store.mirror().changed_seq(), "approval": null,
        "segment": builtin::segment("unknown", "console"), "count": count, "from": range(context.address).to_string(),
        "stage": "console", "error_class": "refusal", "latency_us": u64::try_from(latency).unwrap_or(u64::MAX),
        "degraded": null,
    });
    let entry = broker.scribe.entry(EventType::Decision, &context.decision, "unknown".to_owned(), data);
    broker.store.record_denial(None, entry).await?;
    Ok(())
}

fn trouble(error: &SignInError, then: &str) -> Trouble {
    let status = match error.reason() {
        Reason::IssuerUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::FORBIDDEN,
    };
    again(Trouble::new(status, error.reason(), error.to_string()), then)
}

fn again(trouble: Trouble, then: &str) -> Trouble {
    let to = form_urlencoded::Serializer::new(String::new())
        .append_pair("to", if then.is_empty() { sign_in::HOME } else { then })
        .finish();
    trouble.next(format!("/console/sign-in?{to}"), "Begin again")
}
