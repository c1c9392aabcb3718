//! `/api/v1/notices/dropped`: what operators were never told over the webhook.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use shortbread_protocol::admin::{DroppedNoticeBody, DroppedNoticesAnswer, Problem};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, answer};
use crate::exchange::Context;
use crate::store::{DROPPED_NOTICES, DroppedNotice};

/// How many.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Wanted {
    /// At most so many; 100 unless told, 1000 at most.
    limit: Option<usize>,
}

/// Notices that did not reach the webhook, with why: what was given up last comes first.
#[utoipa::path(get, path = "/api/v1/notices/dropped", tag = "admin", security(("operator" = ["status.read"])), params(Wanted),
    responses((status = 200, body = DroppedNoticesAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn dropped(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "status.read").await?;
        let Query(wanted) =
            wanted.map_err(|error| Failure::new(Reason::RequestMalformed, error.body_text()))?;
        let limit = wanted.limit.unwrap_or(100).min(DROPPED_NOTICES);
        let dropped = app.broker.store.dropped_notices(limit).await?;
        Ok::<_, Failure>(DroppedNoticesAnswer { dropped: dropped.into_iter().map(body).collect() })
    };
    answer(done.await, &context)
}

fn body(dropped: DroppedNotice) -> DroppedNoticeBody {
    DroppedNoticeBody {
        id: dropped.id,
        kind: dropped.kind,
        at: dropped.at.seconds(),
        dropped: dropped.dropped.seconds(),
        why: dropped.why,
        notice: serde_json::from_slice(&dropped.body).unwrap_or(Value::Null),
    }
}
