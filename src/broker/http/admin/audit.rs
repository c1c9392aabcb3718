//! `/api/v1/audit`: the log.

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use shortbread_protocol::admin::{AuditAnswer, AuditEntryBody, Problem};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, answer};
use crate::exchange::Context;

const MAX_ENTRIES: usize = 500;

/// Which entries.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Page {
    /// From this place on; absent: the newest.
    after: Option<u64>,
    /// At most so many; 100 unless told, 500 at most.
    limit: Option<usize>,
}

/// Entries in order.
#[utoipa::path(get, path = "/api/v1/audit", tag = "admin", security(("operator" = ["audit.read"])), params(Page),
    responses((status = 200, body = AuditAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn tail(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "audit.read").await?;
        let Query(page) = page.map_err(|error| Failure::new(Reason::RequestMalformed, error.body_text()))?;
        let limit = page.limit.unwrap_or(100).min(MAX_ENTRIES);
        let newest = app.broker.store.audit_size().saturating_sub(limit as u64);
        let entries = app.broker.store.audit_tail(page.after.unwrap_or(newest), limit).await?;
        let next = entries.last().map(|entry| entry.idx + 1).or(page.after);
        Ok::<_, Failure>(AuditAnswer { entries: entries.iter().map(AuditEntryBody::from).collect(), next })
    };
    answer(done.await, &context)
}

/// The entries of a decision (`dec_…`), of an approval (`apr_…`: all that became of it) or of a trace (32 hex digits).
#[utoipa::path(get, path = "/api/v1/audit/{id}", tag = "admin", security(("operator" = ["audit.read"])), params(("id" = String, Path)),
    responses((status = 200, body = AuditAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn show(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    id: Result<Path<String>, PathRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "audit.read").await?;
        let id = id.map(|Path(id)| id).unwrap_or_default();
        let entries = app.broker.store.audit_about(&id).await?;
        if entries.is_empty() {
            let detail = "no entry has this decision id, approval id or trace id; refusals of strangers are counted, not all written";
            return Err(Failure::new(Reason::NotFound, detail));
        }
        Ok(AuditAnswer { entries: entries.iter().map(AuditEntryBody::from).collect(), next: None })
    };
    answer(done.await, &context)
}
