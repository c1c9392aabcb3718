//! Refusals as HTTP answers: RFC 6749 bodies on `/oauth/*`, RFC 9457 on the admin API.

use std::time::Duration;

use axum::Json;
use axum::extract::Extension;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shortbread_protocol::admin::Problem;
use shortbread_protocol::dpop;
use shortbread_protocol::event::Decision;
use shortbread_protocol::oauth::{ErrorExtras, OAuthError};
use shortbread_protocol::reason::Reason;

use crate::exchange::{Context, Refusal};

/// The longest description, in characters: what was sent is never sent back at length.
const MAX_DESCRIPTION: usize = 500;

/// The answer to a refused exchange.
pub(super) fn oauth(refusal: &Refusal, decision: &Decision) -> Response {
    let (error, status) = refusal.code();
    let waiting = refusal.waiting.as_deref().cloned().unwrap_or_default();
    let body = OAuthError {
        error: error.to_owned(),
        error_description: describe(&refusal.detail),
        deferral_code: waiting.code,
        expires_in: waiting.expires_in,
        interval: waiting.interval,
        shortbread: ErrorExtras {
            approval_id: Some(waiting.approval_id).filter(|id| !id.is_empty()),
            sla_seconds: waiting.sla_seconds,
            approvers: waiting.approvers,
            status_uri: waiting.status_uri,
            degraded: refusal.degraded.map(|degraded| degraded.code().to_owned()),
            ..ErrorExtras::new(refusal.reason, decision.id.clone(), decision.request_id())
        },
    };
    let mut response = (status_of(status), Json(body)).into_response();
    if status == 401 {
        let challenge = HeaderValue::from_static("Bearer realm=\"shortbread\", error=\"invalid_client\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    no_store(retry(response, refusal.retry_after))
}

/// A refusal on the admin API.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) detail: String,
    pub(super) retry_after: Option<Duration>,
    /// Where the reason alone does not decide it.
    pub(super) status: Option<StatusCode>,
}

impl Failure {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), retry_after: None, status: None }
    }

    pub(super) fn plain(reason: Reason) -> Self {
        Self::new(reason, reason.meaning())
    }

    /// With another status than the reason has by itself.
    pub(super) fn status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    const fn status_of_reason(&self) -> StatusCode {
        match self.reason {
            Reason::Unauthenticated
            | Reason::Expired
            | Reason::TokenMissing
            | Reason::TokenMalformed
            | Reason::ProofRequired
            | Reason::ProofMalformed
            | Reason::ProofMismatch
            | Reason::ProofStale
            | Reason::ProofSignature
            | Reason::ProofReplayed
            | Reason::WrongHolder
            | Reason::BadSignature
            | Reason::UnknownKey
            | Reason::ProfileViolation
            | Reason::InstanceUnknown
            | Reason::IdentityInvalid => StatusCode::UNAUTHORIZED,
            Reason::NotPermitted
            | Reason::NotGranted
            | Reason::Revoked(_)
            | Reason::RevokedAll
            | Reason::RevokedBlock
            | Reason::WrongAudience
            | Reason::NotAsked
            | Reason::OwnRequest
            | Reason::NotYetValid
            | Reason::IdentityUnmatched => StatusCode::FORBIDDEN,
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::Conflict
            | Reason::ApprovalChanged
            | Reason::ApprovalClosed
            | Reason::AlreadyUsed
            | Reason::BudgetSpent
            | Reason::NoCase
            | Reason::SecondOperator
            | Reason::GateRefused
            | Reason::MessageReplayed => StatusCode::CONFLICT,
            Reason::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Reason::StoreUnavailable
            | Reason::ProofsFull
            | Reason::Overloaded
            | Reason::PolicyMissing
            | Reason::IssuerUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn answer(&self, decision: &Decision) -> Response {
        let status = self.status.unwrap_or(self.status_of_reason());
        let body = Problem {
            kind: format!("urn:shortbread:problem:{}", self.reason.code()),
            title: self.reason.meaning().to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            reason: self.reason.code().to_owned(),
            decision_id: decision.id.clone(),
            request_id: decision.request_id(),
            retryable: self.reason.retryable(),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.extend(challenge(self.reason).map(|challenge| (header::WWW_AUTHENTICATE, challenge)));
        }
        no_store(retry(response, self.retry_after))
    }
}

// RFC 9449, section 7.1; whoever showed nothing is told no error (RFC 6750, section 3.1).
fn challenge(reason: Reason) -> Option<HeaderValue> {
    let error = match reason {
        // An instance of a verifier, which has a key of its own and no token.
        Reason::InstanceUnknown | Reason::IdentityInvalid => {
            let challenge = "Bearer realm=\"shortbread\", error=\"invalid_client\"";
            return Some(HeaderValue::from_static(challenge));
        }
        Reason::Unauthenticated => "",
        Reason::Expired
        | Reason::TokenMissing
        | Reason::TokenMalformed
        | Reason::BadSignature
        | Reason::UnknownKey
        | Reason::ProfileViolation => ", error=\"invalid_token\"",
        _ => ", error=\"invalid_dpop_proof\"",
    };
    let algorithms = dpop::ALGORITHMS.join(" ");
    HeaderValue::try_from(format!("DPoP realm=\"shortbread\"{error}, algs=\"{algorithms}\"")).ok()
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        tracing::error!(error = %error, "the store failed");
        Self { retry_after: Some(Duration::from_secs(1)), ..Self::plain(Reason::StoreUnavailable) }
    }
}

pub(super) async fn no_route(Extension(context): Extension<Context>) -> Response {
    Failure::new(
        Reason::NotFound,
        "there is nothing at this address; /.well-known/oauth-authorization-server says what there is",
    )
    .answer(&context.decision)
}

pub(super) async fn no_method(Extension(context): Extension<Context>) -> Response {
    Failure::new(Reason::RequestMalformed, "this address does not take this method")
        .status(StatusCode::METHOD_NOT_ALLOWED)
        .answer(&context.decision)
}

pub(super) fn no_randomness() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the system's random source is not available").into_response()
}

// RFC 6749, section 5.2: printable ASCII without quotes and backslashes.
fn describe(detail: &str) -> String {
    let plain = |c: char| match c {
        '"' | '`' => '\'',
        '\\' => '/',
        ' '..='~' => c,
        _ => '?',
    };
    detail.chars().take(MAX_DESCRIPTION).map(plain).collect()
}

fn retry(mut response: Response, after: Option<Duration>) -> Response {
    if let Some(after) = after {
        // Rounded up: a client that comes back too early is refused again.
        let seconds = after.as_millis().div_ceil(1000).max(1).to_string();
        if let Ok(value) = HeaderValue::try_from(seconds) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
    }
    response
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
