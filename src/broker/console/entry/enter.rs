//! A session begins: recorded first, told to the browser then.

use std::time::Duration;

use axum::response::Response;
use serde_json::json;
use shortbread_protocol::event::EventType;
use shortbread_protocol::reason::Reason;

use super::cookie;
use crate::broker::Broker;
use crate::console::admit;
use crate::console::trouble::Trouble;
use crate::exchange::Context;
use crate::sessions::{HOLD, Session, SignIn};
use crate::store::StoreError;

/// Begins a session for whoever proved to be an operator, in place of the one that the browser had.
///
/// # Errors
/// When what the sign-in rests on is revoked, or it cannot be recorded.
pub(in crate::console) async fn enter(
    broker: &Broker,
    context: &Context,
    who: SignIn,
    before: Option<&Session>,
    response: Response,
) -> Result<Response, Trouble> {
    if let Err(reason) = admit::stands(broker, &who) {
        admit::record(broker, context, &who, "console", reason).await?;
        return Err(Trouble::signed_out(reason));
    }
    let now = broker.clock.now();
    let begun = broker.sessions.begin(who, before, now, &*broker.random);
    let begun = begun.map_err(|_| Trouble::plain(Reason::Internal))?;
    if let Some(before) = before {
        record(broker, context, before, EventType::ConsoleSignedOut, Some("signed in again")).await?;
    }
    if let Err(error) = record(broker, context, &begun.session, EventType::ConsoleSignedIn, None).await {
        let _ = broker.sessions.end(&begun.session.id);
        return Err(error.into());
    }
    // The browser forgets it no later than we do.
    let life = HOLD.saturating_sub(Duration::from_secs(1));
    Ok(cookie::set(response, &broker.issuer, &begun.cookie, life))
}

/// Writes down that a session began or ended.
///
/// # Errors
/// When the store fails.
pub(in crate::console) async fn record(
    broker: &Broker,
    context: &Context,
    session: &Session,
    kind: EventType,
    cause: Option<&str>,
) -> Result<(), StoreError> {
    let who = &session.who;
    let data = json!({
        "outcome": "done", "operator": who.operator, "cause": cause, "session": session.id, "means": who.means.as_str(),
        "token": who.token, "holder": who.holder, "identity": who.marks, "stage": "console", "error_class": null,
    });
    let entry = broker.scribe.entry(kind, &context.decision, format!("operator/{}", who.operator), data);
    broker.store.record_denial(None, entry).await.map(drop)
}
