//! `/api/v1/report`: figures of the audit log.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::response::Response;
use serde::Deserialize;
use shortbread_protocol::admin::{FiguresAnswer, Problem};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, answer};
use crate::exchange::Context;
use crate::report::Ask;
use crate::reports::{self, ReportError};

/// A week, in seconds.
const WEEK: u64 = 7 * 86_400;

/// Which report.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Wanted {
    /// `segments`, `rights`, `approvals`, `latency` or `review`.
    kind: String,
    /// Where the period begins, in seconds since the epoch; a week before it ends unless told.
    since: Option<u64>,
    /// Where it ends; now unless told.
    until: Option<u64>,
    /// What segments are told apart by: `workflow`, `intent`, `tool`, `access`, `release`, `stage`, with commas between.
    by: Option<String>,
    /// What alone is counted: parts and the values that they must have, as `workflow=release-notes,tool=github`.
    only: Option<String>,
}

/// Figures of a period, each beside the period before.
#[utoipa::path(get, path = "/api/v1/report", tag = "admin", security(("operator" = ["audit.read"])), params(Wanted),
    responses((status = 200, body = FiguresAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn report(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "audit.read").await?;
        let Query(wanted) =
            wanted.map_err(|error| Failure::new(Reason::RequestMalformed, error.body_text()))?;
        // The present second belongs to the period too.
        let until = wanted.until.unwrap_or_else(|| app.broker.clock.now().seconds() + 1);
        let since = wanted.since.unwrap_or_else(|| until.saturating_sub(WEEK));
        let ask = Ask::new(&wanted.kind, since, until, wanted.by.as_deref())
            .and_then(|ask| ask.only(wanted.only.as_deref()))
            .map_err(ReportError::from)?;
        Ok::<_, Failure>(reports::make(&app.broker, ask).await?)
    };
    answer(done.await, &context)
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        let retry_after = matches!(error, ReportError::Busy).then_some(Duration::from_secs(3));
        match error {
            ReportError::Store(error) => error.into(),
            error => Self { retry_after, ..Self::new(error.reason(), error.to_string()) },
        }
    }
}
