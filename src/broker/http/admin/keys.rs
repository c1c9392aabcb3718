//! `/api/v1/keys`: the key document in force, and the next one.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use shortbread_protocol::admin::{KeyDocumentBody, KeysAnswer, Problem};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, answer, to_the_end};
use crate::exchange::Context;
use crate::rotation::{self, RotationError};
use crate::store::KeyError;

/// The keys of the document in force: which signs, which waits and why.
#[utoipa::path(get, path = "/api/v1/keys", tag = "admin", security(("operator" = ["keys.read"])),
    responses((status = 200, body = KeysAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "keys.read").await?;
        Ok::<_, Failure>(rotation::describe(&app.broker))
    };
    answer(done.await, &context)
}

/// Puts a key document in force that the offline root key signed, and publishes a head that names it before it answers.
#[utoipa::path(post, path = "/api/v1/keys/document", tag = "admin", security(("operator" = ["keys.rotate"])), request_body = KeyDocumentBody,
    responses((status = 200, body = KeysAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn activate(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        let operator = admit(&app.broker, &context, &sent, "keys.rotate").await?;
        let body = sent.read::<KeyDocumentBody>()?;
        let (broker, decision) = (Arc::clone(&app.broker), context.decision.clone());
        let change = async move {
            let done = rotation::activate(&broker, &body.document, &operator, &decision).await;
            done.map_err(Failure::from)
        };
        to_the_end(change).await
    };
    answer(done.await, &context)
}

impl From<RotationError> for Failure {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Refused(refused) => Self::new(Reason::Conflict, refused.to_string()),
            RotationError::Store(KeyError::Store(error)) => error.into(),
            RotationError::Store(error) => Self::new(Reason::Conflict, error.to_string()),
            RotationError::BrokeOff => Self::new(Reason::Internal, error.to_string()),
            RotationError::Publish(error) => {
                tracing::error!(error = %error, "a key document is in force but its head is not published yet");
                Self::new(
                    Reason::StoreUnavailable,
                    "the key document is in force, but no head could be published yet; the broker keeps trying, look at `revocations status`",
                )
            }
        }
    }
}
