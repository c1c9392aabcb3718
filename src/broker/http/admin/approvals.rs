//! `/api/v1/approvals`: what waits for a person, and the votes.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use shortbread_protocol::admin::{ApprovalAnswer, ApprovalsAnswer, ApproveBody, DenyBody, Problem};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit_caller, admit_either, answer, to_the_end};
use crate::approvals::{self, DecideError, ListError, Page};
use crate::exchange::Context;
use crate::policy::builtin;

/// Either of these lets an operator look: whoever decides has to see what.
const LOOK: [&str; 2] = ["approvals.read", builtin::DECIDE];

/// Which requests.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Wanted {
    /// `open`, `closed`, or one of pending, approved, denied, expired, cancelled, redeemed; open ones unless told.
    state: Option<String>,
    /// Of this principal alone, as `workflow:refund-desk`.
    principal: Option<String>,
    /// Where the page before said that this one begins.
    after: Option<String>,
    /// At most so many: 1 to 500, 100 unless told.
    limit: Option<usize>,
}

/// Requests that wait for a person, the first that is due first; of closed ones the newest first.
#[utoipa::path(get, path = "/api/v1/approvals", tag = "admin", security(("operator" = ["approvals.read"]), ("operator" = ["approvals.decide"])), params(Wanted),
    responses((status = 200, body = ApprovalsAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit_either(&app.broker, &context, &sent, LOOK).await?;
        let wanted = wanted.map_err(|error| Failure::new(Reason::RequestMalformed, error.body_text()))?;
        let Query(Wanted { state, principal, after, limit }) = wanted;
        let page = Page { state, principal, after, limit };
        approvals::list(&app.broker, &page).await.map_err(|error| match error {
            ListError::Malformed(detail) => Failure::new(Reason::RequestMalformed, detail),
            ListError::Decide(error) => error.into(),
        })
    };
    answer(done.await, &context)
}

/// One request: exactly what would run, what it takes, who voted.
#[utoipa::path(get, path = "/api/v1/approvals/{id}", tag = "admin", security(("operator" = ["approvals.read"]), ("operator" = ["approvals.decide"])), params(("id" = String, Path)),
    responses((status = 200, body = ApprovalAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn show(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    id: Result<Path<String>, PathRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit_either(&app.broker, &context, &sent, LOOK).await?;
        Ok::<_, Failure>(approvals::find(&app.broker, &named(id)?).await?)
    };
    answer(done.await, &context)
}

/// Approves a request, or less of it.
#[utoipa::path(post, path = "/api/v1/approvals/{id}/approve", tag = "admin", security(("operator" = ["approvals.decide"])), params(("id" = String, Path)), request_body = ApproveBody,
    responses((status = 200, body = ApprovalAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn approve(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    id: Result<Path<String>, PathRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        let caller = admit_caller(&app.broker, &context, &sent, builtin::DECIDE).await?;
        let (id, body) = (named(id)?, sent.read::<ApproveBody>()?);
        let (broker, decision) = (Arc::clone(&app.broker), context.decision.clone());
        to_the_end(async move { approvals::approve(&broker, &id, &body, &caller, &decision).await }).await
    };
    answer(done.await, &context)
}

/// Denies a request. One denial is enough.
#[utoipa::path(post, path = "/api/v1/approvals/{id}/deny", tag = "admin", security(("operator" = ["approvals.decide"])), params(("id" = String, Path)), request_body = DenyBody,
    responses((status = 200, body = ApprovalAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn deny(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    id: Result<Path<String>, PathRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        let caller = admit_caller(&app.broker, &context, &sent, builtin::DECIDE).await?;
        let (id, body) = (named(id)?, sent.read::<DenyBody>()?);
        let (broker, decision) = (Arc::clone(&app.broker), context.decision.clone());
        to_the_end(async move { approvals::deny(&broker, &id, &body, &caller, &decision).await }).await
    };
    answer(done.await, &context)
}

fn named(id: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    id.map(|Path(id)| id).map_err(|_| DecideError::Unknown.into())
}

impl From<DecideError> for Failure {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Store(error) => error.into(),
            DecideError::Budget(spent) => {
                Self { retry_after: spent.frees, ..Self::new(Reason::BudgetSpent, spent.to_string()) }
            }
            error => Self::new(error.reason(), error.to_string()),
        }
    }
}
