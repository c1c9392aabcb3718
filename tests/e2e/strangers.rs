//! Every route but the public ones refuses a stranger, proved from the API's own description.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::http::document;
use shortbread_broker::mint::{Minting, mint};
use shortbread_broker::policy::model::{Principal, Windows};
use shortbread_broker::policy::{Alternative, Right};
use shortbread_protocol::access::Access;
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::normalise::Forms;
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::{Answer, POLICY, World, holder};
use shortbread_verifier::narrow::{NarrowError, seal};

/// What anyone may ask. `/oauth/*` check what they are sent: see `bad_input`; so do `/verifiers/*`: see
/// `acknowledged`.
const PUBLIC: [&str; 26] = [
    "/.well-known/biscuit-web-keys",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/a/{id}",
    "/healthz",
    "/log/checkpoint",
    "/log/consistency/{from}",
    "/log/proof/{id}",
    "/log/tile/{*path}",
    "/oauth/deferral/cancel",
    "/oauth/introspect",
    "/oauth/revoke",
    "/oauth/token",
    "/readyz",
    "/revocations/break-glass",
    "/revocations/delta/{name}",
    "/revocations/head",
    "/revocations/keys/{version}",
    "/revocations/snapshot/{name}",
    "/revocations/stream",
    "/verifiers/claims",
    "/verifiers/decisions",
    "/verifiers/goodbye",
    "/verifiers/lease",
    "/verifiers/report",
];

/// A world whose operator alice has every verb of the admin API.
async fn world() -> World {
    let all = POLICY.replace("\"status.read\"]", "\"status.read\", \"approvals.*\"]");
    World::builder().policy(&all).start().await
}

/// A route of the admin API.
struct Route {
    method: String,
    path: String,
    verb: String,
    /// Another one that opens it too, or the same.
    or: String,
    /// Whether every verb opens it.
    any: bool,
}

/// Every route of the description that is not public.
fn guarded() -> Vec<Route> {
    let document = serde_json::to_value(document()).unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        // Pages have sessions instead of tokens: see `console`.
        if PUBLIC.contains(&path.as_str()) || path.starts_with("/console") {
            continue;
        }
        for (method, operation) in methods.as_object().unwrap() {
            let scopes = operation["security"][0]["operator"].as_array();
            // Any operator may, whatever else they are granted.
            let any = scopes.is_some_and(Vec::is_empty);
            let verb = if any { Some("status.read") } else { scopes.and_then(|all| all[0].as_str()) };
            let or = operation["security"][1]["operator"][0].as_str().or(verb).unwrap_or_default().to_owned();
            let verb =
                verb.unwrap_or_else(|| panic!("{method} {path} names no verb that it wants")).to_owned();
            let path = path
                .replace("{id}", "dec_01KB0ZQ2D7Z0J4M1")
                .replace("{*path}", "000")
                .replace("{n}", "1")
                .replace("{name}", "demo");
            found.push(Route { method: method.clone(), path, verb, or, any });
        }
    }
    assert!(found.len() >= 8, "{}", found.len());
    found
}

impl Route {
    async fn ask(&self, world: &World, token: Option<&str>) -> Answer {
        let body = (self.method == "post").then(|| json!({ "all": true, "reason": "a stranger" }));
        world.call(&self.method, &self.path, token, body.as_ref()).await
    }

    async fn refuses(&self, world: &World, token: Option<&str>, status: u16, reason: &str) {
        let answer = self.ask(world, token).await;
        let (method, path) = (&self.method, &self.path);
        assert_eq!((answer.status, answer.reason()), (status, reason), "{method} {path}: {answer:?}");
        is_problem(&answer);
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge.starts_with("DPoP realm=\"shortbread\""), status == 401, "{challenge}");
    }
}

fn is_problem(answer: &Answer) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    assert_eq!(answer.body["status"], json!(answer.status), "{answer:?}");
    assert_eq!(answer.text("/type"), format!("urn:shortbread:problem:{}", answer.reason()));
    assert_eq!(answer.text("/decision_id"), answer.decision());
    assert!(!answer.text("/title").is_empty() && !answer.text("/detail").is_empty());
    assert_eq!(answer.header("cache-control"), "no-store");
    is_traced(answer);
}

fn is_traced(answer: &Answer) {
    assert!(answer.decision().starts_with("dec_"), "{answer:?}");
    let parts: Vec<&str> = answer.header("traceparent").split('-').collect();
    assert!(
        matches!(parts[..], ["00", trace, span, _] if trace.len() == 32 && span.len() == 16),
        "{parts:?}"
    );
}

#[tokio::test]
async fn without_a_token_nothing_is_told() {
    let world = world().await;
    for route in guarded() {
        route.refuses(&world, None, 401, "admin.unauthenticated").await;
        route.refuses(&world, Some(""), 401, "admin.unauthenticated").await;
        route.refuses(&world, Some("nonsense"), 401, "token.malformed").await;
        route.refuses(&world, Some(&"A".repeat(12_000)), 401, "profile_violation").await;
    }
}

#[tokio::test]
async fn a_token_of_a_workflow_opens_nothing() {
    let world = world().await;
    let bearer = world.demo("github:issues.read").await.token().to_owned();
    let bound = world.bound("workflow:demo", "demo", &[("scope", "github:issues.read")]).await;
    for route in guarded() {
        route.refuses(&world, Some(&bearer), 401, "proof.required").await;
        route.refuses(&world, Some(bound.token()), 403, "admin.not_permitted").await;
    }
}

#[tokio::test]
async fn a_token_for_another_verb_opens_nothing_and_the_right_one_does() {
    let world = world().await;
    let verbs: Vec<String> = guarded().into_iter().map(|route| route.verb).collect();
    let mut tokens = BTreeMap::new();
    for verb in &verbs {
        tokens.insert(verb.clone(), world.operator("alice", verb).await);
    }
    for route in guarded() {
        for (verb, token) in &tokens {
            if !route.any && *verb != route.verb && *verb != route.or {
                route.refuses(&world, Some(token), 403, "admin.not_permitted").await;
            }
        }
    }
    for route in guarded() {
        let token = world.operator("alice", &route.verb).await;
        let answer = route.ask(&world, Some(&token)).await;
        assert!(![401, 403].contains(&answer.status), "{} {}: {answer:?}", route.method, route.path);
        is_traced(&answer);
    }
}

#[tokio::test]
async fn an_operator_token_lives_five_minutes_and_cannot_be_passed_on() {
    let world = world().await;
    for route in guarded() {
        let answer = world.sign_in("alice", &route.verb).await;
        assert_eq!((&answer.body["expires_in"], answer.text("/token_type")), (&json!(300), "DPoP"));
        assert_eq!(seal(answer.token()), Err(NarrowError::Sealed));
        world.clock.advance(Duration::from_secs(300));
        route.refuses(&world, Some(answer.token()), 401, "token.expired").await;
    }
}

#[tokio::test]
async fn a_token_for_another_audience_opens_nothing() {
    let world = world().await;
    let operator = Principal::Operator("alice".parse().unwrap());
    let now = world.clock.now().seconds();
    for route in guarded() {
        let right = Right {
            operation: format!("shortbread/{}", route.verb).parse().unwrap(),
            access: Access::Read,
            windows: Windows::default(),
            forms: Forms::new(),
            alternatives: vec![Alternative { grant: "grant:1".into(), arguments: None }],
        };
        let holder = holder();
        let for_audience = |audience: &str| {
            let minting = Minting {
                issuer: &world.issuer,
                principal: &operator,
                intent: &"undeclared".parse().unwrap(),
                task: &"tsk_1".parse().unwrap(),
                token: "tok_1",
                holder: Some(holder.thumbprint()),
                issued: now,
                expires: now + 60,
                rights: std::slice::from_ref(&right),
                audiences: &[("shortbread".to_owned(), audience.to_owned())],
                sealed: true,
                approval: None,
                once: None,
            };
            mint(&minting, &*world.broker.keyring.token_signers()[0], &SystemRandom).unwrap()
        };
        let elsewhere = for_audience("https://tools.acme.example/github");
        route.refuses(&world, Some(&elsewhere), 403, "token.wrong_audience").await;
        let here = for_audience(&format!("{}/api/v1", world.issuer));
        assert!(![401, 403].contains(&route.ask(&world, Some(&here)).await.status), "{}", route.path);
        world.lift_with(json!({ "all": true, "revive": true })).await;
    }
}

#[tokio::test]
async fn a_token_of_another_broker_opens_nothing() {
    let (world, other) = (world().await, world().await);
    for route in guarded() {
        let token = other.operator("alice", &route.verb).await;
        route.refuses(&world, Some(&token), 401, "profile_violation").await;
    }
}

#[tokio::test]
async fn one_header_with_one_scheme_is_read() {
    let world = world().await;
    let token = world.operator("alice", "audit.read").await;
    let url = format!("{}/api/v1/audit", world.issuer);
    let ask = |values: Vec<String>| {
        let proof = world.proof_of_call("get", "/api/v1/audit", &token, b"");
        let request = world.http.get(&url).header("dpop", proof);
        world.send(values.into_iter().fold(request, |r, value| r.header("authorization", value)))
    };
    let sound = format!("DPoP {token}");
    assert_eq!(ask(vec![sound.clone()]).await.status, 200);
    for wrong in [
        vec![sound.clone(), sound.clone()],
        vec![format!("Basic {token}")],
        vec![token.clone()],
        vec![format!("Bearer {token}")],
        vec!["DPoP".to_owned()],
        vec!["DPoP  ".to_owned()],
    ] {
        let answer = ask(wrong).await;
        assert_eq!((answer.status, answer.reason()), (401, "admin.unauthenticated"));
        is_problem(&answer);
    }
    let twice = ask(vec![format!("{sound}, {sound}")]).await;
    assert_eq!((twice.status, twice.reason()), (401, "token.malformed"));
}

#[tokio::test]
async fn there_is_nothing_elsewhere() {
    let world = world().await;
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/key",
        "/metrics",
        "/oauth",
        "/oauth/token/",
        "/admin",
        "//",
        "/%00",
        "/..%2f",
    ] {
        let answer = world.get(path).await;
        assert_eq!((answer.status, answer.reason()), (404, "not_found"), "{path}: {answer:?}");
        is_problem(&answer);
    }
    for path in [
        "/revocations/keys/2",
        "/revocations/keys/x",
        "/revocations/snapshot/0-00",
        "/revocations/snapshot/%ff",
    ] {
        let answer = world.get(path).await;
        assert_eq!((answer.status, answer.reason()), (404, "not_found"), "{path}: {answer:?}");
        is_problem(&answer);
    }
    let hidden = world.call("get", "/api/v1/audit/%ff", None, None).await;
    assert_eq!((hidden.status, hidden.reason()), (401, "admin.unauthenticated"), "{hidden:?}");
    let token = world.operator("alice", "audit.read").await;
    let absent = world.call("get", "/api/v1/audit/%ff", Some(&token), None).await;
    assert_eq!((absent.status, absent.reason()), (404, "not_found"), "{absent:?}");
    is_problem(&absent);
    let beyond = world.call("get", &format!("/api/v1/audit?after={}", u64::MAX), Some(&token), None).await;
    assert_eq!((beyond.status, &beyond.body["entries"]), (200, &json!([])));
}

#[tokio::test]
async fn a_route_takes_its_own_methods_alone() {
    let world = world().await;
    let document = serde_json::to_value(document()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace(['{', '}'], "");
        for method in ["get", "post", "put", "patch", "delete", "options"] {
            if methods.get(method).is_none() {
                let answer = world.call(method, &path, None, None).await;
                assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
                assert!(!answer.header("allow").is_empty(), "{method} {path}");
                is_problem(&answer);
            }
        }
    }
}

#[tokio::test]
async fn every_answer_is_traced_and_hardened() {
    let world = world().await;
    let mut seen = BTreeMap::new();
    for path in PUBLIC {
        let url = format!("{}{path}", world.issuer);
        // A stream has no end that could be waited for.
        let endless = path == "/revocations/stream";
        let answer = world.send(if endless { world.http.head(url) } else { world.http.get(url) }).await;
        is_traced(&answer);
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert_eq!(seen.insert(answer.decision().to_owned(), path), None, "a decision id twice");
    }
}

#[tokio::test]
async fn a_trace_is_continued_and_a_broken_one_replaced() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let world = world().await;
    let with = |traceparent: String| {
        world.send(world.http.get(format!("{}/healthz", world.issuer)).header("traceparent", traceparent))
    };
    let continued = with(format!("00-{TRACE}-b7ad6b7169203331-00")).await;
    let parent = continued.header("traceparent").to_owned();
    assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-00"), "{parent}");
    assert!(!parent.contains("b7ad6b7169203331"), "a span of its own: {parent}");
    for broken in [
        "nonsense".to_owned(),
        format!("00-{TRACE}"),
        format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
        format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
        format!("ff-{TRACE}-b7ad6b7169203331-01"),
        format!("00-{TRACE}-b7ad6b7169203331-01-{}", "a".repeat(2000)),
    ] {
        let answer = with(broken).await;
        is_traced(&answer);
        assert!(!answer.header("traceparent").to_lowercase().contains(TRACE), "{answer:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_never_sent_whole_is_answered() {
    let world = world().await;
    let body = reqwest::Body::wrap(Never);
    let slow = world.post("/oauth/token", "application/x-www-form-urlencoded", body).await;
    assert_eq!(slow.refusal(), (503, "temporarily_unavailable", "overloaded"), "{slow:?}");
    is_traced(&slow);
    assert_eq!((slow.header("retry-after"), slow.text("/shortbread/decision_id")), ("1", slow.decision()));
}

/// A body that never comes.
struct Never;

impl http_body::Body for Never {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[test]
fn the_public_routes_are_those_and_no_more() {
    let document: Value = serde_json::to_value(document()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        if path.starts_with("/console") {
            continue;
        }
        for operation in methods.as_object().unwrap().values() {
            let wants = operation["security"][0]["operator"].is_array();
            assert_eq!(wants, !PUBLIC.contains(&path.as_str()), "{path}");
            assert_eq!(wants, path.starts_with("/api/"), "{path}");
        }
    }
}
