//! What the API's description says is what is served, and the description in the repository is the one generated.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use shortbread_broker::http::document;
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::key_document::Rotation;
use shortbread_protocol::oauth::{CLIENT_ASSERTION, CLIENT_CREDENTIALS};
use shortbread_tests::{Answer, POLICY, World};

fn described() -> Value {
    serde_json::to_value(document()).unwrap()
}

#[test]
fn the_description_in_the_repository_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/openapi.json");
    let generated = document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("SHORTBREAD_BLESS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == generated,
        "schema/openapi.json is stale; run scripts/gen-schema and look at the difference"
    );
}

#[test]
fn every_reference_leads_somewhere() {
    let document = described();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

/// Holds answers against the description, and remembers which operations it saw.
struct Checker {
    document: Value,
    seen: BTreeSet<String>,
}

impl Checker {
    fn new() -> Self {
        Self { document: described(), seen: BTreeSet::new() }
    }

    /// The answer's status is described for the operation, and its body has the described form.
    fn check(&mut self, method: &str, path: &str, answer: &Answer) {
        let at = format!("{method} {path} {}", answer.status);
        let responses = &self.document["paths"][path][method]["responses"];
        assert!(responses.is_object(), "{method} {path} is not described");
        let described =
            responses.get(answer.status.to_string()).unwrap_or_else(|| panic!("{at}: {answer:?}"));
        match described.get("content").and_then(Value::as_object) {
            None => assert!(answer.bytes.is_empty(), "{at} has a body: {answer:?}"),
            Some(content) => {
                let (kind, media) = content.iter().next().unwrap();
                let served = answer.header("content-type").split(';').next().unwrap_or_default();
                let problem = kind == "application/json" && served == "application/problem+json";
                assert!(served == kind || problem, "{at} is {served}, not {kind}");
                if served.ends_with("/json") || served.ends_with("+json") {
                    self.fits(&answer.body, &media["schema"], &at);
                }
            }
        }
        self.seen.insert(format!("{method} {path}"));
    }

    /// A small check of structure: types, required members, no member that is not described.
    fn fits(&self, value: &Value, schema: &Value, at: &str) {
        let schema = match schema["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => schema,
        };
        if let Some(either) = schema["oneOf"].as_array() {
            let null = value.is_null() && either.iter().any(|one| one["type"] == "null");
            let other = either.iter().find(|one| one["type"] != "null");
            if !null {
                other.into_iter().for_each(|one| self.fits(value, one, at));
            }
            return;
        }
        assert!(is_one_of(value, &schema["type"]), "{at} is {value}, not {}", schema["type"]);
        for (place, item) in value.as_array().into_iter().flatten().enumerate() {
            self.fits(item, &schema["items"], &format!("{at}/{place}"));
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for (name, members) in required.map(|name| (name, value.as_object())) {
            assert!(members.is_none_or(|members| members.contains_key(name)), "{at} lacks {name}: {value}");
        }
        let Some(properties) = schema["properties"].as_object() else { return };
        for (name, member) in value.as_object().into_iter().flatten() {
            let known =
                properties.get(name).unwrap_or_else(|| panic!("{at} has {name}, which is not described"));
            self.fits(member, known, &format!("{at}/{name}"));
        }
    }
}

fn is_one_of(value: &Value, types: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => false,
    };
    match types {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is),
        kind => is(kind),
    }
}

#[tokio::test]
async fn public_answers_are_as_described() {
    let (world, mut checker) = (World::start().await, Checker::new());
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
        "/.well-known/biscuit-web-keys",
        "/healthz",
        "/readyz",
        "/revocations/head",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        checker.check("get", path, &answer);
    }
    checker.check("get", "/revocations/keys/{version}", &world.get("/revocations/keys/1").await);
    checker.check("get", "/revocations/keys/{version}", &world.get("/revocations/keys/7").await);
    checker.check("get", "/revocations/break-glass", &world.get("/revocations/break-glass").await);
    let decision = world.demo("github:issues.read").await.decision().to_owned();
    for (path, sound, wrong) in [
        ("/log/checkpoint", String::new(), String::new()),
        ("/log/consistency/{from}", "/1".to_owned(), "/999".to_owned()),
        ("/log/proof/{id}", format!("/{decision}"), format!("/{decision}?at=1")),
        ("/log/tile/{*path}", "/0/000.p/1".to_owned(), "/x".to_owned()),
    ] {
        let at = path.split("/{").next().unwrap();
        let answer = world.get(&format!("{at}{sound}")).await;
        assert_eq!(answer.status, 200, "{at}{sound}: {answer:?}");
        checker.check("get", path, &answer);
        checker.check("get", path, &world.get(&format!("{at}{wrong}")).await);
    }
    let head = world.head().await;
    let text = String::from_utf8(head.bytes.clone()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("snapshot ")).unwrap();
    assert_eq!(line.split(' ').count(), 3);
    let current = world.broker.publisher.current().unwrap();
    let reference = &current.snapshots.first().unwrap().reference;
    let hash = reference.sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let snapshot = world.get(&format!("/revocations/snapshot/{}-{hash}", reference.seq)).await;
    assert_eq!((snapshot.status, snapshot.bytes.len() as u64), (200, reference.bytes));
    checker.check("get", "/revocations/snapshot/{name}", &snapshot);
    checker.check("get", "/revocations/snapshot/{name}", &world.get("/revocations/snapshot/x").await);
    world.clock.advance(std::time::Duration::from_secs(60));
    let late = world.get("/readyz").await;
    assert_eq!((late.status, late.text("/revocation_head")), (503, "failing"));
    checker.check("get", "/readyz", &late);
}

#[tokio::test]
async fn the_metadata_leads_to_what_is_served() {
    let world = World::start().await;
    let metadata = world.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.text("/issuer"), world.issuer);
    for pointer in [
        "/jwks_uri",
        "/shortbread/biscuit_web_keys_uri",
        "/shortbread/revocations_head_uri",
        "/shortbread/audit_checkpoint_uri",
    ] {
        let path = metadata.text(pointer).strip_prefix(&world.issuer).unwrap().to_owned();
        assert_eq!(world.get(&path).await.status, 200, "{pointer}");
    }
    assert_eq!(metadata.text("/token_endpoint"), format!("{}/oauth/token", world.issuer));
    assert_eq!(metadata.text("/revocation_endpoint"), format!("{}/oauth/revoke", world.issuer));
    let scopes: Vec<&str> =
        metadata.body["scopes_supported"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(
        scopes.contains(&"github:issues.read") && !scopes.iter().any(|scope| scope.starts_with("shortbread"))
    );
}

#[tokio::test]
async fn answers_of_the_exchange_are_as_described() {
    let (world, mut checker) = (World::start().await, Checker::new());
    let details = json!([{ "type": "shortbread_tool_call", "tool": "github", "actions": ["issues.read", "issues.write"],
        "constraints": { "issues.write": { "repo": { "eq": "acme/web" }, "title": { "any": true } } },
        "task": "tsk_1", "intent": "triage", "release": "v1", "ttl": 60, "delegation": "none" }]);
    let granted =
        world.exchange("workflow:demo", "demo", &[("authorization_details", &details.to_string())]).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    checker.check("post", "/oauth/token", &granted);
    checker.check("post", "/oauth/token", &world.demo("github:issues.read github:repo.delete").await);
    checker.check("post", "/oauth/token", &world.demo("github:repo.delete").await);
    checker.check(
        "post",
        "/oauth/token",
        &world.exchange("workflow:demo", "other", &[("scope", "a:b")]).await,
    );
    let large = "x".repeat(100_000);
    let form =
        [("grant_type", CLIENT_CREDENTIALS), ("client_assertion_type", CLIENT_ASSERTION), ("scope", &large)];
    for path in ["/oauth/token", "/oauth/revoke"] {
        let answer = world.form(path, &form).await;
        assert_eq!(answer.status, 413);
        checker.check("post", path, &answer);
        checker.check("post", path, &world.post(path, "text/plain", "x").await);
    }
    checker.check("post", "/oauth/revoke", &world.form("/oauth/revoke", &[("token", granted.token())]).await);
}

const BUNDLE: &str = "/api/v1/log/tile/entries/{*path}";
const CASES: &str = "/api/v1/audit/cases";
const STATUS: &str = "/api/v1/revocations/status";
const SESSIONS: &str = "/api/v1/console/sessions";
const LINKS: &str = "/api/v1/console/links";
const AGES: &str = "/api/v1/verifiers/ages";
const NOTICES: &str = "/api/v1/notices/dropped";
const WORKFLOWS: &str = "/api/v1/workflows";
const APPROVALS: &str = "/api/v1/approvals";
const EXPORT: &str = "/api/v1/audit/export";
/// The key document that may follow the one in force, signed.
fn following(world: &World) -> String {
    let current = world.broker.keyring.current().document.clone();
    let now = world.clock.now().seconds();
    current.next(&Rotation::default(), now).unwrap().sign(&world.key("root"))
}

/// A world whose operator alice has every verb of the admin API.
async fn everything() -> World {
    let all = POLICY.replace("\"status.read\"]", "\"status.read\", \"approvals.*\"]");
    World::builder().policy(&all).start().await
}

#[tokio::test]
async fn answers_of_the_admin_api_are_as_described() {
    let (world, mut checker) = (everything().await, Checker::new());
    let json = "application/json";
    for (verb, path, bodies) in [
        (
            "revocations.revoke",
            "/api/v1/revocations",
            vec![
                json!({ "selectors": [{ "kind": "key", "value": "old" }], "reason": "r", "issued_so_far": true }),
                json!({ "selectors": [{ "kind": "workflow", "value": "a" }], "reason": "r", "dry_run": true }),
                json!({ "selectors": [{ "kind": "workflow", "value": "a" }], "reason": "r" }),
                json!({ "all": true, "reason": "r", "issued_so_far": true }),
            ],
        ),
        (
            "revocations.lift",
            "/api/v1/revocations/lift",
            vec![
                json!({ "selectors": [{ "kind": "workflow", "value": "a" }], "reason": "r" }),
                json!({ "selectors": [{ "kind": "workflow", "value": "b" }], "reason": "r" }),
            ],
        ),
        ("policy.activate", "/api/v1/policy/activate", vec![json!({}), json!({ "version": 9 })]),
        ("policy.rollback", "/api/v1/policy/rollback", vec![json!({}), json!({ "version": 9 })]),
        (
            "audit.erase",
            "/api/v1/audit/erase",
            vec![
                json!({ "subject": "nobody", "reason": "r", "dry_run": true }),
                json!({ "subject": "nobody", "workflow": "demo", "before": 1, "reason": "r" }),
                json!({ "subject": "", "reason": "r" }),
            ],
        ),
        (
            "keys.rotate",
            "/api/v1/keys/document",
            vec![
                json!({ "document": "x" }),
                json!({ "document": following(&world) }),
                json!({ "documents": 1 }),
            ],
        ),
    ] {
        for body in bodies {
            checker.check("post", path, &world.admin(verb, path, &body).await);
        }
        let token = world.operator("alice", verb).await;
        for (kind, body) in
            [(json, "{".to_owned()), ("text/plain", "{}".to_owned()), (json, "[".repeat(100_000))]
        {
            let request = world.signed("post", path, &token, body.as_bytes()).header("content-type", kind);
            checker.check("post", path, &world.send(request).await);
        }
        checker.check("post", path, &world.call("post", path, None, None).await);
    }
    let decision = world.demo("github:issues.read").await.decision().to_owned();
    let revocation = world.revoke("workflow", "other").await.decision().to_owned();
    for (verb, path, asked) in [
        ("revocations.read", "/api/v1/revocations", "/api/v1/revocations".to_owned()),
        ("revocations.read", STATUS, STATUS.to_owned()),
        ("revocations.read", STATUS, format!("{STATUS}?wait=9")),
        ("keys.read", "/api/v1/keys", "/api/v1/keys".to_owned()),
        ("status.read", AGES, AGES.to_owned()),
        ("status.read", NOTICES, format!("{NOTICES}?limit=5")),
        ("status.read", NOTICES, format!("{NOTICES}?colour=red")),
        ("approvals.read", APPROVALS, format!("{APPROVALS}?state=closed&limit=5")),
        ("approvals.read", APPROVALS, format!("{APPROVALS}?state=lost")),
        ("approvals.read", "/api/v1/approvals/{id}", format!("{APPROVALS}/none")),
        ("policy.read", "/api/v1/policy", "/api/v1/policy".to_owned()),
        ("status.read", SESSIONS, SESSIONS.to_owned()),
        ("policy.read", "/api/v1/policy/versions/{n}", "/api/v1/policy/versions/1".to_owned()),
        ("status.read", "/api/v1/health", "/api/v1/health".to_owned()),
        ("policy.read", WORKFLOWS, WORKFLOWS.to_owned()),
        ("policy.read", "/api/v1/workflows/{name}", format!("{WORKFLOWS}/demo")),
        ("policy.read", "/api/v1/workflows/{name}", format!("{WORKFLOWS}/nobody")),
        ("audit.read", "/api/v1/audit", "/api/v1/audit?after=0&limit=5".to_owned()),
        ("audit.read", "/api/v1/audit", "/api/v1/audit?colour=red".to_owned()),
        ("audit.read", EXPORT, format!("{EXPORT}?from=0&limit=5")),
        ("audit.read", EXPORT, format!("{EXPORT}?colour=red")),
        ("audit.read", BUNDLE, "/api/v1/log/tile/entries/000".to_owned()),
        ("audit.read", CASES, format!("{CASES}?since=0&from=0&limit=5&operators=true")),
        ("audit.read", CASES, format!("{CASES}?limit=many")),
        ("audit.read", "/api/v1/audit/cases/{id}", format!("{CASES}/{decision}")),
        ("audit.read", "/api/v1/audit/cases/{id}", format!("{CASES}/{revocation}")),
        ("audit.read", "/api/v1/audit/cases/{id}", format!("{CASES}/none")),
        ("audit.read", "/api/v1/audit/{id}", format!("/api/v1/audit/{decision}")),
        ("audit.read", "/api/v1/audit/{id}", "/api/v1/audit/none".to_owned()),
        ("audit.read", "/api/v1/report", "/api/v1/report?kind=review".to_owned()),
        ("audit.read", "/api/v1/report", "/api/v1/report?kind=cake".to_owned()),
    ] {
        checker.check("get", path, &world.admin_read(verb, &asked).await);
        checker.check("get", path, &world.call("get", &asked, None, None).await);
    }
    for (step, body) in
        [("approve", json!({ "digest": "x" })), ("deny", json!({ "digest": "x", "reason": "r" }))]
    {
        let (asked, path) = (format!("{APPROVALS}/none/{step}"), format!("{APPROVALS}/{{id}}/{step}"));
        checker.check("post", &path, &world.admin("approvals.decide", &asked, &body).await);
        checker.check("post", &path, &world.admin("approvals.decide", &asked, &json!({ "x": 1 })).await);
        checker.check("post", &path, &world.call("post", &asked, None, None).await);
    }
    checker.check("post", LINKS, &world.admin("status.read", LINKS, &json!({})).await);
    checker.check("post", LINKS, &world.call("post", LINKS, None, None).await);
    let token = world.operator("alice", "revocations.revoke").await;
    for token in [Some(token.as_str()), None] {
        let answer = world.call("delete", &format!("{SESSIONS}/none"), token, None).await;
        checker.check("delete", &format!("{SESSIONS}/{{id}}"), &answer);
        let answer = world.call("delete", "/api/v1/verifiers/none", token, None).await;
        checker.check("delete", "/api/v1/verifiers/{id}", &answer);
    }
    let described = checker.document["paths"].as_object().unwrap();
    let all = described.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
    });
    let missed: Vec<_> = all.filter(|one| one.contains("/api/") && !checker.seen.contains(one)).collect();
    assert!(missed.is_empty(), "no answer of {missed:?} was looked at");
}
