//! Whatever is sent, the answer is a clear refusal with a stable reason, and nothing has changed.

use serde_json::json;
use shortbread_protocol::oauth::{CLIENT_CREDENTIALS, JWT_BEARER, TOKEN_EXCHANGE};
use shortbread_tests::{Answer, World};

pub(crate) const SCOPE: (&str, &str) = ("scope", "github:issues.read");

/// The form of every refusal on `/oauth/*` (RFC 6749, section 5.2).
pub(crate) fn is_refusal(answer: &Answer, expected: (u16, &str, &str), says: &str) {
    assert_eq!(answer.refusal(), expected, "{answer:?}");
    let words = answer.text("/error_description");
    assert!(words.contains(says), "{says:?} is not in {words:?}");
    assert!(
        words.len() <= 500 && words.bytes().all(|b| matches!(b, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~'))
    );
    assert_eq!(answer.text("/shortbread/decision_id"), answer.decision());
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("www-authenticate").is_empty(), answer.status != 401);
    assert!(answer.body.get("access_token").is_none());
}

/// Neither a token nor a task nor a revocation has come to be.
pub(crate) async fn nothing_changed(world: &World) {
    let counts = world.broker.store.counts().await.unwrap();
    assert_eq!((counts.tokens, counts.tasks, counts.revocations, counts.blocks), (0, 0, 0, 0));
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused() {
    let world = World::start().await;
    let form = "application/x-www-form-urlencoded";
    let malformed = (400, "invalid_request", "request.malformed");
    for (kind, body, says) in [
        (form, "".to_owned(), "grant_type is missing"),
        (form, "grant_type".to_owned(), "grant_type is missing"),
        (form, "%ff=%ff&\u{fffd}".to_owned(), "grant_type is missing"),
        (form, format!("grant_type={CLIENT_CREDENTIALS}&grant_type={CLIENT_CREDENTIALS}"), "given twice"),
        (form, "a=1&".repeat(10_000), "'a' is given twice"),
        (form, format!("grant_type={CLIENT_CREDENTIALS}"), "client_assertion_type is missing"),
        ("application/json", r#"{"grant_type":"client_credentials"}"#.to_owned(), form),
        ("multipart/form-data; boundary=x", "--x--".to_owned(), form),
        ("", "grant_type=x".to_owned(), form),
    ] {
        is_refusal(&world.post("/oauth/token", kind, body.clone()).await, malformed, says);
        let given = world.post("/oauth/revoke", kind, body).await;
        is_refusal(&given, malformed, if kind == form { "parameter token once" } else { form });
    }
    let raw = world.post("/oauth/token", form, vec![b'a', b'=', 0xff]).await;
    is_refusal(&raw, malformed, "not UTF-8");
    nothing_changed(&world).await;
}

#[tokio::test]
async fn a_huge_body_is_refused_unread() {
    let world = World::start().await;
    for size in [64 * 1024 + 1, 10 * 1024 * 1024] {
        for path in ["/oauth/token", "/oauth/revoke"] {
            let answer = world.post(path, "application/x-www-form-urlencoded", vec![b'a'; size]).await;
            is_refusal(&answer, (413, "invalid_request", "request.malformed"), "more than 64 KiB");
        }
        let token = world.operator("alice", "revocations.revoke").await;
        let request = world.signed("post", "/api/v1/revocations", &token, &vec![b'['; size]);
        let answer = world.send(request.header("content-type", "application/json")).await;
        assert_eq!((answer.status, answer.reason()), (413, "request.malformed"));
    }
}

#[tokio::test]
async fn an_unknown_way_to_ask_is_refused() {
    let world = World::start().await;
    for (grant_type, expected, says) in [
        ("password", (400, "unsupported_grant_type", "request.grant_type"), "'password' is not served"),
        (
            "urn:ietf:params:oauth:grant-type:deferred",
            (400, "invalid_request", "request.malformed"),
            "scope does not go with this request",
        ),
        (JWT_BEARER, (400, "invalid_request", "request.malformed"), "assertion is missing"),
        (TOKEN_EXCHANGE, (400, "invalid_request", "request.malformed"), "subject_token_type is missing"),
    ] {
        is_refusal(&world.form("/oauth/token", &[("grant_type", grant_type), SCOPE]).await, expected, says);
    }
    let malformed = (400, "invalid_request", "request.malformed");
    for (name, value, says) in [
        ("actor_token", "x", "actor_token is not served"),
        ("subject_token", "x", "subject_token does not go with this grant_type"),
        ("authorization_details", "[]", "not both"),
        ("ttl", "0", "without any life"),
        ("ttl", "-1", "parameter ttl"),
        ("ttl", "4294967296", "parameter ttl"),
        ("ttl", "ten", "parameter ttl"),
        ("delegation", "everything", "none or attenuate"),
        ("intent", "Über", "parameter intent"),
        ("task", "a b", "parameter task"),
        ("release", "\u{0}", "parameter release"),
    ] {
        is_refusal(&world.exchange("workflow:demo", "demo", &[SCOPE, (name, value)]).await, malformed, says);
    }
    is_refusal(
        &world.exchange("workflow:demo", "demo", &[]).await,
        malformed,
        "nothing is granted by default",
    );
    nothing_changed(&world).await;
}

#[tokio::test]
async fn unknown_tools_and_verbs_are_named() {
    let world = World::start().await;
    let unknown = (400, "invalid_scope", "scope.unknown");
    for (scope, says) in [
        ("gitlab:issues.read", "gitlab"),
        ("github:issues.reed", "issues.reed"),
        ("github", "tool:verb"),
        (":", "tool"),
        ("github:", "verb"),
        ("github:issues.*", "issues.*"),
        ("GITHUB:issues.read", "GITHUB"),
        (" ", "1 to 64"),
    ] {
        is_refusal(&world.demo(scope).await, unknown, says);
    }
    let many = (0..65).map(|n| format!("github:v{n}")).collect::<Vec<_>>().join(" ");
    is_refusal(&world.demo(&many).await, unknown, "1 to 64");
    let denied = world.demo("github:repo.delete").await;
    is_refusal(&denied, (400, "access_denied", "policy.not_granted"), "github/repo.delete");
    is_refusal(
        &world.demo("shortbread:audit.read").await,
        (400, "access_denied", "policy.not_granted"),
        "audit.read",
    );
    let two = world.demo("github:issues.read payments:refunds.read").await;
    is_refusal(&two, (400, "invalid_target", "target.unknown"), "for one tool");
    let elsewhere = [SCOPE, ("resource", "https://tools.acme.example/payments")];
    let other = world.exchange("workflow:demo", "demo", &elsewhere).await;
    is_refusal(&other, (400, "invalid_target", "target.unknown"), "https://tools.acme.example/github");
    nothing_changed(&world).await;
}

#[tokio::test]
async fn authorization_details_are_read_strictly() {
    let world = World::start().await;
    let sound = r#"{"type":"shortbread_tool_call","tool":"github","actions":["issues.write"]}"#;
    let with = |member: &str| format!("[{},{member}}}]", sound.trim_end_matches('}'));
    let long = "x".repeat(15_000);
    for (details, says) in [
        ("[".to_owned(), "authorization_details"),
        ("[".repeat(15_000), "recursion limit"),
        (r#"{"a":"#.repeat(3_000), "recursion limit"),
        ("null".to_owned(), "authorization_details"),
        ("[]".to_owned(), "is empty"),
        ("[{}]".to_owned(), "missing field"),
        (format!("[{}]", [sound; 17].join(",")), "more than 16"),
        (format!("[{}]", sound.replace("tool_call", "other")), "is not served"),
        (format!("[{}]", sound.replace(r#"["issues.write"]"#, "[]")), "actions of github is empty"),
        (format!("[{}]", sound.replace("issues.write", "issues write")), "issues write"),
        (with(r#""tool":"payments""#), "twice"),
        (with(r#""colour":"red""#), "unknown field"),
        (with(&format!(r#""{long}":1"#)), "unknown field"),
        (with(r#""constraints":{"issues.write":{"repo":{"regex":"."}}}"#), "unknown field"),
        (with(r#""constraints":{"issues.read":{}}"#), "not among the actions"),
        (with(r#""constraints":{"issues.write":{"repo":{"eq":["acme/web"]}}}"#), "authorization_details"),
        (with(r#""constraints":{"issues.write":{"repo":{"eq":1.5}}}"#), "authorization_details"),
        (with(r#""constraints":{"issues.write":{"repo":{"eq":"a","eq":"b"}}}"#), "twice"),
        (with(r#""call":{"verb":"issues.write","more":1}"#), "unknown field"),
        (with(r#""ttl":1e99"#), "authorization_details"),
    ] {
        let answer = world.exchange("workflow:demo", "demo", &[("authorization_details", &details)]).await;
        is_refusal(&answer, (400, "invalid_authorization_details", "request.malformed"), says);
    }
    for (constraint, expected, says) in [
        (json!({}), (400, "invalid_scope", "scope.unknown"), "repo"),
        (json!({ "min": 2, "max": 1 }), (400, "invalid_scope", "scope.unknown"), "repo"),
        (json!({ "eq": "acme/secret" }), (400, "access_denied", "policy.constraint"), "github/issues.write"),
    ] {
        let member = format!(r#""constraints":{{"issues.write":{{"repo":{constraint}}}}}"#);
        let answer =
            world.exchange("workflow:demo", "demo", &[("authorization_details", &with(&member))]).await;
        is_refusal(&answer, expected, says);
    }
    let place = with(r#""locations":["https://elsewhere.example"]"#);
    let answer = world.exchange("workflow:demo", "demo", &[("authorization_details", &place)]).await;
    is_refusal(
        &answer,
        (400, "invalid_target", "target.unknown"),
        "not the audience of a tool that is asked for: https://tools.acme.example/github",
    );
    nothing_changed(&world).await;
}

#[tokio::test]
async fn a_task_belongs_to_the_workflow_that_used_it_first() {
    let world = World::start().await;
    let task = ("task", "tsk_of_demo");
    assert_eq!(world.exchange("workflow:demo", "demo", &[SCOPE, task]).await.status, 200);
    let taken = world.exchange("workflow:other", "other", &[SCOPE, task]).await;
    is_refusal(&taken, (400, "invalid_request", "request.malformed"), "belongs to another workflow");
    assert_eq!(world.exchange("workflow:demo", "demo", &[SCOPE, task]).await.status, 200);
}

#[tokio::test]
async fn an_operator_may_not_send_just_anything() {
    let world = World::start().await;
    let sound = r#"{"selectors":[{"kind":"workflow","value":"demo"}],"reason":"r"}"#;
    let json = "application/json";
    for (status, kind, body, says) in [
        (400, json, "".to_owned(), "not read"),
        (400, json, "{".to_owned(), "not read"),
        (400, json, "[]".to_owned(), "not read"),
        (400, json, "[".repeat(60_000), "recursion limit"),
        (400, json, format!("{sound} {sound}"), "trailing"),
        (400, json, sound.replace("\"reason\":\"r\"", "\"reason\":\"r\",\"reason\":\"r\""), "twice"),
        (
            400,
            json,
            sound.replace("\"kind\":\"workflow\"", "\"kind\":\"workflow\",\"kind\":\"tool\""),
            "twice",
        ),
        (400, json, sound.replace("selectors", "selector"), "unknown field"),
        (400, json, sound.replace("reason", &"x".repeat(50_000)), "unknown field"),
        (400, json, sound.replace(",\"reason\":\"r\"", ""), "missing field"),
        (415, "text/plain", sound.to_owned(), "application/json"),
        (415, "application/x-www-form-urlencoded", sound.to_owned(), "application/json"),
    ] {
        let token = world.operator("alice", "revocations.revoke").await;
        let request = world.signed("post", "/api/v1/revocations", &token, body.as_bytes());
        let answer = world.send(request.header("content-type", kind)).await;
        assert_eq!((answer.status, answer.reason()), (status, "request.malformed"), "{answer:?}");
        assert!(answer.text("/detail").contains(says) && answer.bytes.len() < 1000, "{says}: {answer:?}");
    }
    assert_eq!(world.broker.store.counts().await.unwrap().revocations, 0);
}
