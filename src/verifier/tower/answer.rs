//! What a refused caller is told, and in which words of HTTP.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;
use shortbread_protocol::dpop::ALGORITHMS;
use shortbread_protocol::reason::Reason;

use super::Unmapped;
use super::credentials::{Scheme, Unclear};
use crate::decision::{Call, Checker, Decision, DecisionId};

const DECISION_ID: HeaderName = HeaderName::from_static("shortbread-decision-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

// A head is due every five seconds.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

// By then every proof that is remembered now is forgotten.
const RETRY_PROOFS: HeaderValue = HeaderValue::from_static("60");

// Longer lists are left out: servers in between cut or refuse header lines of more than 4 or 8 KiB.
const MAX_SCOPE: usize = 2048;

/// A refusal on its way out. Its status is never a success.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    error: &'static str,
    challenge: Option<Challenge>,
    reason: Reason,
    detail: Option<String>,
    stamp: Stamp,
}

/// What ties an answer to its record.
#[derive(Debug)]
pub(super) struct Stamp {
    id: Option<DecisionId>,
    traceparent: Option<String>,
}

impl Stamp {
    pub(super) fn of(decision: &Decision) -> Self {
        Self { id: decision.id, traceparent: decision.traceparent() }
    }

    /// Writes the headers. A `traceparent` that the service answers by itself stands.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        if let Some(value) = self.id.and_then(|id| HeaderValue::from_str(&id.to_string()).ok()) {
            headers.insert(DECISION_ID, value);
        }
        if let Some(value) = self.traceparent.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.entry(TRACEPARENT).or_insert(value);
        }
    }
}

/// Who refuses what cannot be read as a call, and the trace that the request is part of.
#[derive(Clone, Copy)]
pub(super) struct Refuser<'a> {
    pub(super) checker: &'a dyn Checker,
    pub(super) trace: Option<[u8; 16]>,
}

#[derive(Debug)]
struct Challenge {
    scheme: Scheme,
    error: Option<&'static str>,
    scope: Option<String>,
}

/// What a client can do about a reason.
enum Class {
    /// Come with a token.
    Missing,
    /// Get another token.
    Token,
    /// Prove the key of this token, or get another one.
    Key,
    /// Make another proof.
    Proof,
    /// Get a token that holds more.
    Scope,
    /// Nothing that an exchange could help with.
    Final,
    /// Correct the request.
    Request,
    /// Wait.
    Wait,
}

impl Class {
    fn of(reason: Reason) -> Self {
        match reason {
            Reason::TokenMissing => Self::Missing,
            Reason::TokenMalformed
            | Reason::ProfileViolation
            | Reason::UnknownKey
            | Reason::BadSignature
            | Reason::Expired
            | Reason::NotYetValid
            | Reason::WrongAudience => Self::Token,
            Reason::ProofRequired | Reason::WrongHolder => Self::Key,
            Reason::ProofMalformed
            | Reason::ProofMismatch
            | Reason::ProofStale
            | Reason::ProofSignature
            | Reason::ProofReplayed => Self::Proof,
            Reason::NotGranted => Self::Scope,
            Reason::CallMalformed => Self::Request,
            Reason::ListMissing
            | Reason::ListTooOld
            | Reason::ClockUnsure
            | Reason::ProofsFull
            | Reason::RecordUnavailable
            | Reason::ClaimUnavailable
            | Reason::Internal => Self::Wait,
            // Revoked, narrowed, refused by its arguments, approved for another call: asking again changes nothing.
            _ => Self::Final,
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Token | Self::Key | Self::Proof => StatusCode::UNAUTHORIZED,
            Self::Scope | Self::Final => StatusCode::FORBIDDEN,
            Self::Request => StatusCode::BAD_REQUEST,
            Self::Wait => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn error(&self) -> &'static str {
        match self {
            Self::Missing => "unauthorized",
            Self::Token | Self::Key => "invalid_token",
            Self::Proof => "invalid_dpop_proof",
            Self::Scope => "insufficient_scope",
            Self::Final => "access_denied",
            Self::Request => "invalid_request",
            Self::Wait => "temporarily_unavailable",
        }
    }

    /// `sent` is how the token came: the next one is asked for in the same way.
    fn challenge(&self, decision: &Decision, call: &Call<'_>, sent: Scheme) -> Option<Challenge> {
        let (scheme, error, scope) = match self {
            Self::Missing => (Scheme::Bearer, None, scope(&[], call)),
            Self::Token => (sent, Some(self.error()), None),
            Self::Key | Self::Proof => (Scheme::DPoP, Some(self.error()), None),
            Self::Scope => (sent, Some(self.error()), scope(&decision.held, call)),
            Self::Final | Self::Request | Self::Wait => return None,
        };
        Some(Challenge { scheme, error, scope })
    }
}

impl Answer {
    /// For a call that was denied. A denial without a reason is a failure of ours.
    pub(super) fn denied(decision: &Decision, call: &Call<'_>, sent: Scheme) -> Self {
        let reason = decision.reason.unwrap_or(Reason::Internal);
        let class = Class::of(reason);
        Self {
            status: class.status(),
            error: class.error(),
            challenge: class.challenge(decision, call, sent),
            reason,
            detail: decision.detail.clone(),
            stamp: Stamp::of(decision),
        }
    }

    /// For credentials of which it cannot be said which token is meant (RFC 6750, section 3.1: `invalid_request`), or
    /// which proof (RFC 9449, section 7.1).
    pub(super) fn unclear(refuser: Refuser<'_>, unclear: Unclear) -> Self {
        let Unclear { reason, cause } = unclear;
        let refused = Self::refused(refuser, StatusCode::BAD_REQUEST, reason, cause);
        let class @ Class::Proof = Class::of(reason) else { return refused };
        let (error, scheme) = (class.error(), Scheme::DPoP);
        let challenge = Some(Challenge { scheme, error: Some(error), scope: None });
        Self { status: class.status(), error, challenge, ..refused }
    }

    pub(super) fn unmapped(refuser: Refuser<'_>, cause: &Unmapped) -> Self {
        match cause {
            Unmapped::NotFound => Self {
                error: "not_found",
                ..Self::refused(refuser, StatusCode::NOT_FOUND, Reason::NotFound, "")
            },
            Unmapped::Malformed(cause) => {
                Self::refused(refuser, StatusCode::BAD_REQUEST, Reason::CallMalformed, cause)
            }
        }
    }

    pub(super) fn too_large(refuser: Refuser<'_>) -> Self {
        let cause = "The body has more than 64 KiB.";
        Self::refused(refuser, StatusCode::PAYLOAD_TOO_LARGE, Reason::CallMalformed, cause)
    }

    /// Only id and trace are taken from the checker, so that nothing it answers can turn this into an allowance.
    fn refused(refuser: Refuser<'_>, status: StatusCode, reason: Reason, cause: &str) -> Self {
        let stamp = Stamp::of(&refuser.checker.refuse(reason, cause, refuser.trace));
        let detail = (!cause.is_empty()).then(|| cause.to_owned());
        Self { status, error: "invalid_request", challenge: None, reason, detail, stamp }
    }

    pub(super) fn into_response<R: From<Bytes>>(self, metadata: Option<&str>) -> Response<R> {
        let mut response = Response::new(R::from(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let full = self.reason == Reason::ProofsFull;
            headers.insert(RETRY_AFTER, if full { RETRY_PROOFS } else { RETRY_SECONDS });
        }
        if let Some(value) = self.challenge.and_then(|challenge| challenge.header(metadata)) {
            headers.insert(WWW_AUTHENTICATE, value);
        }
        self.stamp.put(headers);
        response
    }

    fn body(&self) -> Bytes {
        let (meaning, action) = (self.reason.meaning(), self.reason.action());
        let description = match self.detail.as_deref().and_then(sentence) {
            Some(detail) => format!("{meaning} {detail} {action}"),
            None => format!("{meaning} {action}"),
        };
        let body = json!({
            "error": self.error,
            "error_description": description,
            "shortbread": {
                "reason": self.reason.code(),
                "decision_id": self.stamp.id.map(|id| id.to_string()),
                "retryable": self.reason.retryable(),
            },
        });
        Bytes::from(body.to_string())
    }
}

impl Challenge {
    fn header(&self, metadata: Option<&str>) -> Option<HeaderValue> {
        let metadata = metadata.filter(|url| quotable(url));
        let algorithms = (self.scheme == Scheme::DPoP).then(|| ALGORITHMS.join(" "));
        let parameters: Vec<String> = [
            ("error", self.error),
            ("scope", self.scope.as_deref()),
            ("algs", algorithms.as_deref()),
            ("resource_metadata", metadata),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}=\"{value}\"")))
        .collect();
        // A scheme alone is a challenge too.
        let value = format!("{} {}", self.scheme.as_str(), parameters.join(", "));
        HeaderValue::from_str(value.trim_end()).ok()
    }
}

/// A detail as a sentence of its own, so that it reads well between two others; `None` when nothing is said.
fn sentence(detail: &str) -> Option<String> {
    let mut rest = detail.trim().chars();
    let mut text: String = rest.next()?.to_uppercase().chain(rest).collect();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    Some(text)
}

/// What the token holds and what the call needs: clients replace the scope they have by the one they are told.
/// `None` when that cannot be said whole.
fn scope(held: &[String], call: &Call<'_>) -> Option<String> {
    let missing = format!("{}:{}", call.tool, call.verb);
    let mut scopes: Vec<&str> = held.iter().map(String::as_str).filter(|held| *held != missing).collect();
    scopes.push(&missing);
    let sound = scopes.iter().all(|scope| quotable(scope) && !scope.contains(' '));
    let scope = scopes.join(" ");
    (sound && scope.len() <= MAX_SCOPE).then_some(scope)
}

/// Whether a text can stand in quotes as it is: printable ASCII without `"` and `\`.
fn quotable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_a_sentence_of_its_own() {
        let decision = Decision {
            detail: Some("argument \"repo\" is not the granted one".to_owned()),
            ..Decision::denied(None, Reason::ArgumentRefused)
        };
        let call = Call { tool: "github", verb: "issues.write", args: None };
        let body = Answer::denied(&decision, &call, Scheme::Bearer).body();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let (meaning, action) = (Reason::ArgumentRefused.meaning(), Reason::ArgumentRefused.action());
        assert_eq!(
            body["error_description"],
            format!("{meaning} Argument \"repo\" is not the granted one. {action}")
        );
        assert_eq!(sentence("The body has more than 64 KiB.").unwrap(), "The body has more than 64 KiB.");
        assert_eq!((sentence(" "), sentence("")), (None, None));
    }
}
