//! `/api/v1/workflows`: who may do what, and what lives of it now.

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use shortbread_protocol::admin::{Problem, WorkflowAnswer, WorkflowsAnswer};
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit, answer};
use crate::exchange::Context;
use crate::workflows::{self, WorkflowsError};

/// Every workflow of the policy in force: its identity, its owners, what stops it and how many tokens of it live.
#[utoipa::path(get, path = "/api/v1/workflows", tag = "admin", security(("operator" = ["policy.read"])),
    responses((status = 200, body = WorkflowsAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "policy.read").await?;
        Ok::<_, Failure>(workflows::list(&app.broker).await?)
    };
    answer(done.await, &context)
}

/// One workflow with its grants, by the version of the policy that rules it.
#[utoipa::path(get, path = "/api/v1/workflows/{name}", tag = "admin", security(("operator" = ["policy.read"])),
    params(("name" = String, Path, description = "The workflow's name")),
    responses((status = 200, body = WorkflowAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn show(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    name: Result<Path<String>, PathRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "policy.read").await?;
        let name = name.ok().and_then(|Path(name)| name.parse().ok()).ok_or(WorkflowsError::Unknown)?;
        Ok::<_, Failure>(workflows::show(&app.broker, &name).await?)
    };
    answer(done.await, &context)
}

impl From<WorkflowsError> for Failure {
    fn from(error: WorkflowsError) -> Self {
        match error {
            WorkflowsError::Unknown => Self::new(Reason::NotFound, error.to_string()),
            WorkflowsError::Store(error) => error.into(),
        }
    }
}
