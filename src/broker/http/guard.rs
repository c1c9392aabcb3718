//! The last resort: a request that takes too long, or a handler that panics, is still answered in a form that can be
//! traced.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{Extension, Request};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt as _;
use shortbread_protocol::reason::Reason;

use super::failure::{self, Failure};
use crate::exchange::{Context, Patience, Refusal};

/// How long a request may take, its body included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the rest within the time limit and catches its panics.
pub(super) async fn guard(
    Extension(context): Extension<Context>,
    mut request: Request,
    next: Next,
) -> Response {
    let oauth = request.uri().path().starts_with("/oauth/");
    let patience = Patience::default();
    request.extensions_mut().insert(patience.clone());
    let running = AssertUnwindSafe(next.run(request)).catch_unwind();
    let (reason, detail) = match within(patience, running).await {
        Ok(Ok(response)) => return response,
        Ok(Err(_)) => {
            // Without the panic's message, which could hold anything.
            tracing::error!(decision_id = context.decision.id, "a request handler panicked");
            (Reason::Internal, Reason::Internal.meaning())
        }
        Err(TimeOver) => {
            (Reason::Overloaded, "the request was not done within 10 s; send it whole, and try again")
        }
    };
    let wait = Duration::from_secs(1);
    if oauth {
        failure::oauth(&Refusal::new(reason, detail).after(wait), &context.decision)
    } else {
        Failure { retry_after: Some(wait), ..Failure::new(reason, detail) }.answer(&context.decision)
    }
}

struct TimeOver;

// What a request is given more of counts from where its time is over.
async fn within<T>(patience: Patience, running: impl Future<Output = T>) -> Result<T, TimeOver> {
    let (mut limit, mut running) = (TIMEOUT, std::pin::pin!(running));
    loop {
        if let Ok(done) = tokio::time::timeout(limit, &mut running).await {
            return Ok(done);
        }
        limit = patience.take();
        if limit.is_zero() {
            return Err(TimeOver);
        }
    }
}
