//! `/api/v1/health`: how the broker and what hangs on it stands.

use axum::extract::{Extension, State};
use axum::response::Response;
use shortbread_protocol::admin::{HealthAnswer, Problem};

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, answer};
use crate::exchange::Context;
use crate::health;

/// How the broker and what hangs on it stands, with what works on less than usual and what to do about it.
#[utoipa::path(get, path = "/api/v1/health", tag = "admin", security(("operator" = ["status.read"])),
    responses((status = 200, body = HealthAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn look(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "status.read").await?;
        Ok::<_, Failure>(health::look(&app.broker).await)
    };
    answer(done.await, &context)
}
