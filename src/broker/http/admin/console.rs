//! `/api/v1/console`: a link that signs its operator in to the console, and their sessions there.

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use shortbread_protocol::admin::{ConsoleLinkAnswer, ConsoleSessionsAnswer, Problem};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Admitted, Sent, admit_any, answer};
use crate::approvals;
use crate::broker::Broker;
use crate::console;
use crate::exchange::Context;
use crate::revoke::Caller;
use crate::sessions::{Links, Means, SignIn};

/// Opens a link that signs the caller in to the console, once, within a minute.
#[utoipa::path(post, path = "/api/v1/console/links", tag = "admin", security(("operator" = [])),
    responses((status = 200, body = ConsoleLinkAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn link(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        let broker = &app.broker;
        let Admitted { caller, key } = admit_any(broker, &context, &sent).await?;
        let now = broker.clock.now();
        let marks = approvals::marks(broker, &caller).await?;
        let proofs = proofs(broker, &caller).await?;
        let operator = caller.operator.to_string();
        let who = SignIn {
            operator: caller.operator,
            means: Means::Link,
            at: now,
            token: caller.token,
            holder: caller.holder,
            key,
            proofs,
            marks,
        };
        let code = broker.links.open(who, now, &*broker.random);
        let code = code.map_err(|_| Failure::plain(Reason::Internal))?;
        let url = format!("{}/console/link/{}", broker.issuer.trim_end_matches('/'), code.reveal());
        Ok(ConsoleLinkAnswer { url, expires_in: Links::LIFE.as_secs(), operator })
    };
    answer(done.await, &context)
}

/// The caller's sessions of the console.
#[utoipa::path(get, path = "/api/v1/console/sessions", tag = "admin", security(("operator" = [])),
    responses((status = 200, body = ConsoleSessionsAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn sessions(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        let Admitted { caller, .. } = admit_any(&app.broker, &context, &sent).await?;
        Ok(console::sessions(&app.broker, &caller.operator))
    };
    answer(done.await, &context)
}

/// Ends one of the caller's sessions of the console.
#[utoipa::path(delete, path = "/api/v1/console/sessions/{id}", tag = "admin", security(("operator" = [])), params(("id" = String, Path, description = "The session, `ses_…`")),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn end(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    id: Result<Path<String>, PathRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        let Admitted { caller, .. } = admit_any(&app.broker, &context, &sent).await?;
        let id = id.map(|Path(id)| id).unwrap_or_default();
        match console::end(&app.broker, &context, &caller.operator, &id).await? {
            true => Ok::<_, Failure>(()),
            false => Err(Failure::new(
                Reason::NotFound,
                "you have no session of this id; `shortbread console sessions` lists them",
            )),
        }
    };
    done.await
        .map_or_else(|failure| failure.answer(&context.decision), |()| StatusCode::NO_CONTENT.into_response())
}

// The identity entries that the caller's token was got by.
async fn proofs(broker: &Broker, caller: &Caller) -> Result<Vec<String>, Failure> {
    let marks = approvals::proved(broker, caller).await?;
    let policy = broker.policy.in_force().or_else(|| broker.policy.switch_only());
    let entries = policy.map(|policy| policy.proofs_of(&caller.operator)).unwrap_or_default();
    let by = entries.into_iter().filter(|entry| match &entry.key {
        Some(key) => marks.contains(&format!("key:{key}")),
        None => marks.iter().any(|mark| mark.starts_with("identity:")),
    });
    Ok(by.map(|entry| entry.line).collect())
}
