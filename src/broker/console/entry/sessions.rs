//! An operator's sessions, for themselves: listed, and ended one by one.

use shortbread_protocol::admin::{ConsoleSessionBody, ConsoleSessionsAnswer};
use shortbread_protocol::event::EventType;
use shortbread_protocol::names::OperatorName;

use super::enter;
use crate::broker::Broker;
use crate::exchange::Context;
use crate::sessions::Session;
use crate::store::StoreError;

/// Their sessions, the one that was used last first.
pub(crate) fn sessions(broker: &Broker, operator: &OperatorName) -> ConsoleSessionsAnswer {
    let now = broker.clock.now();
    let own = broker.sessions.all(now).into_iter().filter(|session| session.who.operator == *operator);
    let body = |session: Session| ConsoleSessionBody {
        operator: session.who.operator.to_string(),
        means: session.who.means.as_str().to_owned(),
        begun: session.begun.seconds(),
        signed_in: session.who.at.seconds(),
        used: session.used.seconds(),
        ends: session.ends().seconds(),
        session: session.id,
    };
    ConsoleSessionsAnswer { sessions: own.map(body).collect(), now: now.seconds() }
}

/// Ends one of them; false where they have none of this id. It is over even where that cannot be written down.
///
/// # Errors
/// When the store fails.
pub(crate) async fn end(
    broker: &Broker,
    context: &Context,
    operator: &OperatorName,
    id: &str,
) -> Result<bool, StoreError> {
    let own = broker.sessions.all(broker.clock.now()).into_iter();
    let own = own.filter(|session| session.who.operator == *operator).any(|session| session.id == id);
    let ended = if own { broker.sessions.end(id) } else { None };
    let Some(session) = ended else { return Ok(false) };
    enter::record(broker, context, &session, EventType::ConsoleSignedOut, None).await?;
    Ok(true)
}
