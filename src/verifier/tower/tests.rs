//! One answer for each class of decision, through a real router.

mod once;
mod proof;
mod stage;

use std::convert::Infallible;
use std::sync::Mutex;

use axum::body::{Body, to_bytes};
use axum::routing::any;
use axum::{Extension, Router};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;
use tower::ServiceExt as _;

use super::*;
use crate::decision::{DecisionId, Outcome};

/// Answers what a test tells it to, and remembers what it was asked.
struct Fake {
    answer: Option<Reason>,
    asked: Mutex<Vec<String>>,
}

impl Checker for Fake {
    fn check(&self, presented: &Presented<'_>, call: &Call<'_>) -> Decision {
        let token = presented.token;
        let names: Vec<_> =
            call.args.map(|args| args.names().map(str::to_owned).collect()).unwrap_or_default();
        self.asked.lock().unwrap().push(format!("{token:?} {}/{} {names:?}", call.tool, call.verb));
        let reason = token.map_or(Some(Reason::TokenMissing), |_| self.answer);
        let outcome = if reason.is_none() { Outcome::Allow } else { Outcome::Deny };
        let held = vec!["github:issues.read".to_owned()];
        let (id, trace) = (DecisionId::new(1, 1), presented.trace.unwrap_or_default());
        Decision { outcome, reason, held, trace, ..Decision::denied(Some(id), Reason::Internal) }
    }

    fn refuse(&self, reason: Reason, detail: &str, trace: Option<[u8; 16]>) -> Decision {
        // Even a checker that answers nonsense opens nothing.
        let denied = Decision::denied(Some(DecisionId::new(1, 2)), reason);
        let trace = trace.unwrap_or_default();
        Decision { outcome: Outcome::Allow, detail: Some(detail.to_owned()), trace, ..denied }
    }
}

fn map(parts: &Parts, body: &[u8]) -> Result<Mapped, Unmapped> {
    match parts.uri.path() {
        "/health" => return Ok(Mapped::Public),
        "/none" => return Err(Unmapped::NotFound),
        _ => {}
    }
    let args = Args::from_json(body).map_err(|e| Unmapped::Malformed(e.to_string()))?;
    let verb = parts.uri.path().trim_start_matches('/').to_owned();
    Ok(Mapped::Call { tool: "github".to_owned(), verb, args: Some(args) })
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

async fn send(answer: Option<Reason>, request: Request<Body>) -> (Reply, Vec<String>) {
    let checker = Arc::new(Fake { answer, asked: Mutex::default() });
    let seen = Arc::clone(&checker);
    let layer = CheckLayer::new(checker, map).resource_metadata("https://tools.acme.example/.well-known/x");
    let handler = |decision: Option<Extension<Decision>>, headers: HeaderMap, body: String| async move {
        let id =
            decision.and_then(|Extension(decision)| decision.id).map(|id| id.to_string()).unwrap_or_default();
        assert!(id.is_empty() || !headers.contains_key("authorization") && !headers.contains_key("dpop"));
        format!("{id} {body}")
    };
    let router: Router = Router::new().fallback(any(handler)).layer(layer);
    let response: Result<_, Infallible> = router.oneshot(request).await;
    let (parts, body) = response.unwrap().into_parts();
    let text = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    let asked = seen.asked.lock().unwrap().clone();
    (Reply { status: parts.status, headers: parts.headers, text }, asked)
}

fn post(uri: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method("POST").uri(uri).header("authorization", "Bearer abc");
    request.body(body.into()).unwrap()
}

#[tokio::test]
async fn what_is_allowed_goes_on_with_its_decision_and_its_body() {
    let (reply, asked) = send(None, post("/issues.write", r#"{"title":"x","repo":"acme/web"}"#)).await;
    assert_eq!(
        (reply.status, reply.text.as_str()),
        (StatusCode::OK, r#"dec_00000000000000010000000000000001 {"title":"x","repo":"acme/web"}"#)
    );
    assert_eq!(asked, [r#"Some("abc") github/issues.write ["repo", "title"]"#]);
}

/// Lets pass what it would deny; whom a token stands for it knows or not.
struct Observing(bool);

impl Checker for Observing {
    fn check(&self, _: &Presented<'_>, _: &Call<'_>) -> Decision {
        let (outcome, observed) = (Outcome::Allow, Some(Reason::NotGranted));
        let caller = self.0.then(Arc::default);
        Decision { outcome, reason: None, observed, caller, ..Decision::denied(None, Reason::Internal) }
    }
}

#[tokio::test]
async fn what_is_observed_goes_on_and_what_is_no_token_of_ours_goes_along() {
    for believed in [true, false] {
        let layer = CheckLayer::new(Arc::new(Observing(believed)), map);
        let handler = |Extension(decision): Extension<Decision>, headers: HeaderMap| async move {
            let sent = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
            format!("{} {sent}", decision.observed.unwrap())
        };
        let router: Router = Router::new().fallback(any(handler)).layer(layer);
        let response = router.oneshot(post("/issues.write", "{}")).await.unwrap();
        let status = response.status();
        let text = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let sent = if believed { "" } else { "Bearer abc" };
        assert_eq!((status, &text[..]), (StatusCode::OK, format!("not_granted {sent}").as_bytes()));
    }
}

#[tokio::test]
async fn every_answer_to_a_call_names_its_decision_and_its_trace() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let sent = |uri| {
        let mut request = post(uri, "{}");
        let value = format!("00-{trace}-b7ad6b7169203331-01");
        request.headers_mut().insert("traceparent", value.parse().unwrap());
        request
    };
    for (request, answer, count) in [
        (sent("/issues.write"), None, 1),
        (sent("/issues.write"), Some(Reason::NotGranted), 1),
        (sent("/none"), None, 2),
        (sent("/issues.write?access_token=abc"), None, 2),
    ] {
        let (reply, _) = send(answer, request).await;
        let id = DecisionId::new(1, count);
        assert_eq!(reply.header("shortbread-decision-id"), id.to_string());
        assert_eq!(reply.header("traceparent"), format!("00-{trace}-{}-01", hex::encode(id.span())));
    }
}

#[tokio::test]
async fn what_is_public_needs_no_token() {
    let (reply, asked) =
        send(Some(Reason::Internal), Request::get("/health").body(Body::empty()).unwrap()).await;
    assert_eq!((reply.status, reply.text.as_str(), asked.len()), (StatusCode::OK, " ", 0));
}

#[tokio::test]
async fn each_reason_has_its_answer() {
    let metadata = r#"resource_metadata="https://tools.acme.example/.well-known/x""#;
    let token = format!(r#"Bearer error="invalid_token", {metadata}"#);
    let algs = r#"algs="EdDSA Ed25519 ES256""#;
    let key = format!(r#"DPoP error="invalid_token", {algs}, {metadata}"#);
    let proof = format!(r#"DPoP error="invalid_dpop_proof", {algs}, {metadata}"#);
    let scope = format!(
        r#"Bearer error="insufficient_scope", scope="github:issues.read github:issues.write", {metadata}"#
    );
    let cases = [
        (Reason::Expired, 401, "invalid_token", token.as_str()),
        (Reason::BadSignature, 401, "invalid_token", &token),
        (Reason::WrongAudience, 401, "invalid_token", &token),
        (Reason::ProofRequired, 401, "invalid_token", &key),
        (Reason::WrongHolder, 401, "invalid_token", &key),
        (Reason::ProofMalformed, 401, "invalid_dpop_proof", &proof),
        (Reason::ProofMismatch, 401, "invalid_dpop_proof", &proof),
        (Reason::ProofStale, 401, "invalid_dpop_proof", &proof),
        (Reason::ProofSignature, 401, "invalid_dpop_proof", &proof),
        (Reason::ProofReplayed, 401, "invalid_dpop_proof", &proof),
        (Reason::NotGranted, 403, "insufficient_scope", &scope),
        (Reason::Revoked(SelectorKind::Workflow), 403, "access_denied", ""),
        (Reason::RevokedAll, 403, "access_denied", ""),
        (Reason::ArgumentRefused, 403, "access_denied", ""),
        (Reason::Narrowed, 403, "access_denied", ""),
        (Reason::AlreadyUsed, 403, "access_denied", ""),
        (Reason::CallMalformed, 400, "invalid_request", ""),
        (Reason::ListMissing, 503, "temporarily_unavailable", ""),
        (Reason::ListTooOld, 503, "temporarily_unavailable", ""),
        (Reason::ClockUnsure, 503, "temporarily_unavailable", ""),
        (Reason::ProofsFull, 503, "temporarily_unavailable", ""),
        (Reason::RecordUnavailable, 503, "temporarily_unavailable", ""),
        (Reason::ClaimUnavailable, 503, "temporarily_unavailable", ""),
    ];
    for (reason, status, error, challenge) in cases {
        let (reply, _) = send(Some(reason), post("/issues.write", "{}")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("www-authenticate")),
            (status, challenge),
            "{reason}"
        );
        let wait = if reason == Reason::ProofsFull { "60" } else { "5" };
        assert_eq!(reply.header("retry-after"), if status == 503 { wait } else { "" }, "{reason}");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("shortbread-decision-id"), "dec_00000000000000010000000000000001");
        let body = reply.json();
        assert_eq!(body["error"], error, "{reason}");
        assert_eq!(body["shortbread"]["reason"], reason.code());
        assert_eq!(body["shortbread"]["decision_id"], "dec_00000000000000010000000000000001");
        assert_eq!(body["shortbread"]["retryable"], reason.retryable());
        assert!(body["error_description"].as_str().unwrap().contains(reason.meaning()));
    }
}

#[tokio::test]
async fn no_reason_is_a_success() {
    for reason in Reason::all() {
        let (reply, _) = send(Some(reason), post("/issues.write", "{}")).await;
        assert!(reply.status.is_client_error() || reply.status.is_server_error(), "{reason}");
    }
}

#[tokio::test]
async fn a_missing_token_is_challenged_without_an_error() {
    for scheme in [None, Some("Basic abc")] {
        let mut request = post("/issues.write", "{}");
        request.headers_mut().remove(AUTHORIZATION);
        if let Some(scheme) = scheme {
            request.headers_mut().insert(AUTHORIZATION, scheme.parse().unwrap());
        }
        let (reply, asked) = send(None, request).await;
        let challenge = r#"Bearer scope="github:issues.write", resource_metadata="https://tools.acme.example/.well-known/x""#;
        assert_eq!((reply.status.as_u16(), reply.header("www-authenticate")), (401, challenge));
        assert_eq!(reply.json()["shortbread"]["reason"], "token.missing");
        assert_eq!(asked.len(), 1);
    }
}

#[tokio::test]
async fn two_tokens_or_one_in_the_address_are_refused_unchecked() {
    let mut twice = post("/issues.write", "{}");
    twice.headers_mut().append(AUTHORIZATION, "Bearer def".parse().unwrap());
    for request in [twice, post("/issues.write?access_token=abc", "{}")] {
        let (reply, asked) = send(None, request).await;
        assert_eq!((reply.status.as_u16(), asked.len()), (400, 0));
        assert_eq!(reply.json()["shortbread"]["reason"], "token.malformed");
        assert_eq!(reply.header("shortbread-decision-id"), "dec_00000000000000010000000000000002");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let stream = |size: usize| {
        // Without a length, so that only reading finds out.
        let body =
            http_body_util::BodyExt::boxed_unsync(http_body_util::Full::new(Bytes::from(vec![b' '; size])));
        Body::new(http_body_util::BodyExt::map_frame(body, |frame| frame))
    };
    let cases = [
        (post("/x", vec![b' '; MAX_BODY + 1]), 413, "call.malformed"),
        (post("/x", stream(MAX_BODY + 1)), 413, "call.malformed"),
        (post("/x", r#"{"a":1,"a":2}"#), 400, "call.malformed"),
        (post("/none", "{}"), 404, "not_found"),
    ];
    for (request, status, reason) in cases {
        let (reply, asked) = send(None, request).await;
        assert_eq!((reply.status.as_u16(), asked.len()), (status, 0));
        assert_eq!(reply.json()["shortbread"]["reason"], reason);
    }
    let whole = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BODY - 8));
    assert_eq!(send(None, post("/x", whole)).await.0.status, StatusCode::OK);
}

#[tokio::test]
async fn what_a_caller_names_cannot_write_headers() {
    for verb in ["a%22,evil=%22", "a\"b", "a\\b", "\u{e9}", "a b"] {
        let call = Call { tool: "github", verb, args: None };
        let denied = Decision::denied(None, Reason::NotGranted);
        let response: Response<Bytes> =
            Answer::denied(&denied, &call, Scheme::Bearer).into_response(Some("https://x\"y"));
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert_eq!(challenge.matches('"').count() % 2, 0, "{challenge}");
        assert!(!challenge.contains('\\') && !challenge.contains("resource_metadata"), "{challenge}");
        assert!(!response.headers().contains_key("shortbread-decision-id"));
    }
}
