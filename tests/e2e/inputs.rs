//! What a decision depended on is kept beside the log: it fits the entry's hash, is decided again alike, and can be erased
//! without a trace while the log stays as it is.

mod cases;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shortbread_broker::cases::decide::decide;
use shortbread_broker::cases::{Case, Input, Outcome};
use shortbread_broker::policy::Policy;
use shortbread_broker::store::{ErasableInput, StoredEntry};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::event::EventType;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::oauth::{JWT, TOKEN_EXCHANGE};
use shortbread_tests::{Answer, FakeIssuer, POLICY, World};

const READ: &str = "github:issues.read";
const CASES: &str = "/api/v1/audit/cases";
const ERASE: &str = "/api/v1/audit/erase";
/// A claim of the CI job that no policy reads: whose it is must not stay when it is erased.
const NAME: &str = "ada.of.the.mailroom";

const MORE: &str = r#"
[[identities]]
workflow = "notes"
issuer = "https://ci.acme.example"
audience = "https://broker.acme.example"
claims = { environment = "prod" }
[[identities]]
workflows = ["enrich", "merge"]
issuer = "https://kubernetes.default.svc"
jwks_file = "keys/cluster.jwks.json"
audience = "https://broker.acme.example"
claims = { sub = "system:serviceaccount:agents:worker" }
reuse = "until_expiry"
[[grants]]
workflow = "notes"
intents = ["triage"]
tool = "github"
verbs = ["issues.*"]
constraints."issues.write" = { repo = { claim = "repository" }, title = { any = true }, body = { any = true } }
[[grants]]
workflow = "enrich"
tool = "github"
verbs = ["issues.*"]
any_arguments = true
[[grants]]
workflow = "other"
tool = "payments"
verbs = ["refunds.create"]
any_arguments = true
approval = { access = ["privileged"], approvers = "oncall", quorum = 1, sla = "5m", expires = "15m" }
[[forbids]]
workflows = ["demo"]
tool = "payments"
verbs = ["refunds.read"]
[approvers.oncall]
members = ["bob"]
"#;

async fn start() -> (World, Arc<FakeIssuer>) {
    let issuer = FakeIssuer::start();
    let own = "verbs = [\"policy.*\"]";
    assert!(POLICY.contains(own));
    let policy = POLICY.replace(own, "verbs = [\"policy.*\", \"approvals.decide\"]") + MORE;
    let world = World::builder()
        .policy(&policy)
        .file("keys/cluster.jwks.json", &issuer.cluster_keys().to_string())
        .fetch(issuer.clone());
    (world.start().await, issuer)
}

/// A CI job's token with these claims besides its own.
fn job(world: &World, issuer: &FakeIssuer, more: &Value) -> String {
    let mut claims = world.claims("repo:acme/web:environment:prod");
    let own = json!({
        "iss": FakeIssuer::URL, "aud": "https://broker.acme.example", "repository": "acme/web",
        "environment": "prod", "nonce": "a-nonce-of-one-request", "actor": NAME,
    });
    for (name, value) in own.as_object().unwrap().iter().chain(more.as_object().unwrap()) {
        claims[name] = value.clone();
    }
    issuer.token(&claims)
}

/// A pod's token, the same for an hour.
fn pod(world: &World, issuer: &FakeIssuer) -> String {
    let now = world.clock.now().seconds();
    issuer.service_account(&json!({
        "iss": FakeIssuer::CLUSTER, "aud": ["https://broker.acme.example"], "iat": now, "exp": now + 3600,
        "sub": "system:serviceaccount:agents:worker", "jti": now.to_string(),
    }))
}

async fn exchange(world: &World, token: &str, more: &[(&str, &str)], proofs: &[&str]) -> Answer {
    let own = [("grant_type", TOKEN_EXCHANGE), ("subject_token_type", JWT), ("subject_token", token)];
    world.form_with("/oauth/token", &[&own, more].concat(), proofs).await
}

/// The same request twice, under one key.
async fn repeated(world: &World) -> [Answer; 2] {
    let ask = || {
        let body = format!(
            "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion={}&scope={READ}",
            world.assertion("workflow:demo", "demo")
        );
        let request = world.http.post(format!("{}/oauth/token", world.issuer)).body(body);
        let kind = "application/x-www-form-urlencoded";
        world.send(request.header("content-type", kind).header("idempotency-key", "once"))
    };
    [ask().await, ask().await]
}

async fn passed_on(world: &World, parent: &Answer) -> Answer {
    let heir = ProofKey::new(PrivateKey::from_seed(&[5; 32]));
    let url = format!("{}/oauth/token", world.issuer);
    let (token, holder) = (Some(token_hash(parent.token())), Some(heir.thumbprint()));
    let proof = world.prove(&Statement { method: "POST", url: &url, token, holder, ..Statement::default() });
    let ours = "urn:ietf:params:oauth:token-type:access_token";
    let form =
        [("grant_type", TOKEN_EXCHANGE), ("subject_token", parent.token()), ("subject_token_type", ours)];
    world.form_with("/oauth/token", &form, &[&proof]).await
}

fn details(verb: &str, constraints: &Value) -> String {
    json!([{ "type": "shortbread_tool_call", "tool": "github", "actions": [verb], "intent": "triage",
        "release": "v7", "ttl": 60, "constraints": { verb: constraints } }])
    .to_string()
}

/// Requests of every kind that get as far as a proved identity, and the reason each is refused for, if it is.
async fn busy(world: &World, issuer: &FakeIssuer) -> Vec<(Answer, &'static str)> {
    let (web, pay) = (
        details("issues.write", &json!({ "repo": { "eq": "acme/web" } })),
        details("issues.write", &json!({ "repo": { "eq": "acme/pay" } })),
    );
    let proof = world.proof_for("/oauth/token");
    let pod = pod(world, issuer);
    let job = |more: Value| job(world, issuer, &more);
    let parent =
        world.bound("workflow:demo", "demo", &[("scope", "github:issues.read github:issues.write")]).await;
    let [first, again] = repeated(world).await;
    let mut done = vec![
        (world.demo("github:issues.read github:repo.delete").await, ""),
        (first, ""),
        (again, ""),
        (exchange(world, &job(json!({})), &[("authorization_details", &web)], &[]).await, ""),
        (
            exchange(
                world,
                &job(json!({ "groups": "g".repeat(9000) })),
                &[("authorization_details", &web)],
                &[],
            )
            .await,
            "",
        ),
        (exchange(world, &pod, &[("scope", READ), ("client_id", "workflow:enrich")], &[&proof]).await, ""),
        (passed_on(world, &parent).await, ""),
        (world.sign_in("alice", "audit.read").await, ""),
        (world.demo("github:repo.delete").await, "policy.not_granted"),
        (world.demo("github:unheard.of").await, "scope.unknown"),
        (world.demo("payments:refunds.read").await, "policy.forbidden"),
        (
            world.exchange("workflow:other", "other", &[("scope", "payments:refunds.create")]).await,
            "approval.required",
        ),
        (
            exchange(world, &job(json!({})), &[("authorization_details", &pay)], &[]).await,
            "policy.constraint",
        ),
        (
            exchange(world, &job(json!({})), &[("scope", READ), ("intent", "chat")], &[]).await,
            "policy.intent",
        ),
        (exchange(world, &job(json!({})), &[("scope", READ)], &[]).await, "policy.intent"),
        (world.sign_in("bob", "audit.read").await, "policy.not_granted"),
    ];
    let write = [("scope", "github:issues.write"), ("client_id", "workflow:enrich")];
    world.clock.advance(Duration::from_secs(1));
    let pod = self::pod(world, issuer);
    done.push((exchange(world, &pod, &write, &[]).await, "proof.required"));
    // What others than the policy refuse.
    let alice = world.assertion("operator:alice", "operator");
    let unbound = world.present(&alice, &[("scope", "shortbread:audit.read")]).await;
    done.push((unbound, "proof.required"));
    let elsewhere = [("scope", READ), ("resource", "https://elsewhere.example")];
    done.push((world.exchange("workflow:demo", "demo", &elsewhere).await, "target.unknown"));
    world.revoke("verb", "github/issues.write").await;
    done.push((world.demo("github:issues.read github:issues.write").await, ""));
    world.revoke("workflow", "other").await;
    done.push((world.exchange("workflow:other", "other", &[("scope", READ)]).await, "revoked.workflow"));
    done.push((parent, ""));
    for (answer, reason) in &done {
        assert_eq!(answer.reason(), *reason, "{answer:?}");
    }
    done
}

async fn entry(world: &World, decision: &str) -> StoredEntry {
    let entries = world.broker.store.audit_by_decision(decision).await.unwrap();
    assert_eq!(entries.len(), 1, "{decision}");
    entries.into_iter().next().unwrap()
}

async fn kept(world: &World, answer: &Answer) -> Option<ErasableInput> {
    let entry = entry(world, answer.decision()).await;
    world.broker.store.audit_input(entry.idx).await.unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Which files of the world have a text in them.
fn files_with(world: &World, text: &str) -> Vec<String> {
    let files = std::fs::read_dir(world.path("")).unwrap().map(|file| file.unwrap().path());
    let found = files.filter(|path| path.is_file() && contains(&std::fs::read(path).unwrap(), text));
    found.map(|path| path.display().to_string()).collect()
}

#[tokio::test]
async fn every_exchange_of_a_proved_identity_leaves_an_input_that_fits_its_entry() {
    let (world, issuer) = start().await;
    let mut salts = std::collections::BTreeSet::new();
    for (answer, reason) in busy(&world, &issuer).await {
        let data = world.audited(&answer).await;
        let input = kept(&world, &answer).await.unwrap_or_else(|| panic!("no input of {answer:?}"));
        let hash = Sha256::new().chain_update(input.salt).chain_update(&input.body).finalize();
        assert_eq!(data["input"]["sha256"], hex(&hash), "{data}");
        assert!(salts.insert(input.salt), "a salt twice");
        let read: Input = serde_json::from_slice(&input.body).unwrap();
        let asked: Vec<Value> = read.request.iter().map(|one| one.verb.to_string().into()).collect();
        assert_eq!(data["requested"], json!(asked));
        if data["identity"].get("parent").is_none() {
            assert_eq!(data["identity"]["sub_sha256"], hex(&input.subject));
        }
        assert_eq!(read.identity.principal.split(':').nth(1), data["workflow"].as_str());
        for name in
            ["policy", "revocation_seq", "segment", "stage", "latency_us", "outcome", "granted", "reasons"]
        {
            assert!(data.get(name).is_some_and(|value| !value.is_null()), "{name}: {data}");
        }
        assert!(
            data.get("approval").is_some()
                && data.get("degraded").is_some()
                && data.get("error_class").is_some()
        );
        for name in ["workflow", "intent", "tool"] {
            assert!(data["segment"][name].is_string(), "{name}: {data}");
        }
        assert_eq!(data["segment"]["access"].is_string(), reason != "scope.unknown", "{data}");
        assert_eq!(data["outcome"] == "allow", reason.is_empty());
    }
    let job = issuer_case(&world, &issuer).await;
    assert_eq!(world.audited(&job).await["segment"]["release"], "v7");
}

async fn issuer_case(world: &World, issuer: &FakeIssuer) -> Answer {
    let web = details("issues.read", &json!({}));
    exchange(world, &job(world, issuer, &json!({})), &[("authorization_details", &web)], &[]).await
}

#[tokio::test]
async fn nothing_is_kept_of_strangers_nor_of_what_is_used_once() {
    let (world, issuer) = start().await;
    let foreign = world.exchange("workflow:demo", "other", &[("scope", READ)]).await;
    assert_eq!((foreign.reason(), kept(&world, &foreign).await), ("identity.invalid", None));
    assert!(world.audited(&foreign).await.get("input").is_none());
    let token =
        job(&world, &issuer, &json!({ "jti": "the-one-id-of-this-token", "at_hash": "the-hash-of-a-token" }));
    let answer = exchange(&world, &token, &[("scope", READ), ("intent", "triage")], &[]).await;
    let input = kept(&world, &answer).await.unwrap();
    let read: Value = serde_json::from_slice(&input.body).unwrap();
    assert_eq!(read["identity"]["claims"]["actor"], NAME);
    for secret in ["the-one-id-of-this-token", "the-hash-of-a-token", "a-nonce-of-one-request", "the-one-id"]
    {
        assert!(files_with(&world, secret).is_empty(), "{secret}");
    }
    // Of many claims, those that the policy reads.
    let token = job(&world, &issuer, &json!({ "groups": "g".repeat(9000) }));
    let answer = exchange(&world, &token, &[("scope", READ), ("intent", "triage")], &[]).await;
    let read: Value = serde_json::from_slice(&kept(&world, &answer).await.unwrap().body).unwrap();
    let names: Vec<&String> = read["identity"]["claims"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["aud", "environment", "iss", "repository", "sub"]);
}

async fn erase(world: &World, body: Value) -> Answer {
    let answer = world.admin("audit.erase", ERASE, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

#[tokio::test]
async fn erasing_leaves_the_log_byte_for_byte_and_no_trace_in_the_files() {
    let (world, issuer) = start().await;
    let done = busy(&world, &issuer).await;
    let before = world.broker.store.audit_tail(0, 1000).await.unwrap();
    assert!(!files_with(&world, NAME).is_empty());
    let subject = "repo:acme/web:environment:prod";
    let wanted = json!({ "subject": subject, "reason": "request 17", "dry_run": true });
    let many = erase(&world, wanted).await.body["inputs"].as_u64().unwrap();
    assert!(many >= 5, "{many}");
    assert!(!files_with(&world, NAME).is_empty(), "a dry run erases nothing");
    let erased = erase(&world, json!({ "subject": subject, "reason": "request 17" })).await;
    assert_eq!((&erased.body["inputs"], &erased.body["more"]), (&json!(many), &json!(false)));
    assert_eq!(erased.body["traces"], false);
    for text in [NAME, subject] {
        assert_eq!(files_with(&world, text), Vec::<String>::new(), "{text}");
    }
    let after = world.broker.store.audit_tail(0, 1000).await.unwrap();
    assert_eq!(after[..before.len()], before[..], "no entry is another");
    let told = world.audited(&erased).await;
    assert_eq!(
        (&told["count"], &told["reason"], &told["operator"]),
        (&json!(many), &json!("request 17"), &json!("alice"))
    );
    assert_eq!(told["sub_sha256"], hex(&Sha256::digest(subject)));
    assert_eq!(told["segment"]["access"], "privileged");
    for (answer, _) in &done {
        let data = world.audited(answer).await;
        let of_job = data["workflow"] == "notes";
        assert_eq!(kept(&world, answer).await.is_none(), of_job, "{data}");
        assert!(data["input"]["sha256"].is_string(), "the hash stays");
    }
    let again = erase(&world, json!({ "subject": subject, "reason": "request 17" })).await;
    assert_eq!(again.body["inputs"], 0);
    let world = world.restart().await;
    assert!(files_with(&world, NAME).is_empty());
}

#[tokio::test]
async fn a_part_is_erased_by_workflow_and_time() {
    let (world, _) = start().await;
    world.demo(READ).await;
    world.clock.advance(Duration::from_secs(60));
    let late = world.demo(READ).await;
    let at = world.clock.now().seconds();
    let subject = "workflow:demo";
    let of = |more: Value| {
        let mut body = json!({ "subject": subject, "reason": "r" });
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    assert_eq!(erase(&world, of(json!({ "workflow": "other" }))).await.body["inputs"], 0);
    assert_eq!(erase(&world, of(json!({ "before": at - 60 }))).await.body["inputs"], 0);
    assert_eq!(erase(&world, of(json!({ "before": at, "workflow": "demo" }))).await.body["inputs"], 1);
    assert!(kept(&world, &late).await.is_some());
    assert_eq!(erase(&world, of(json!({}))).await.body["inputs"], 1);
}

#[tokio::test]
async fn only_who_may_erase_does_and_their_own_trace_stays() {
    let (world, _) = start().await;
    let body = json!({ "subject": "operator:alice", "reason": "r" });
    assert_eq!(world.sign_in("bob", "audit.erase").await.reason(), "policy.not_granted");
    let read = world.operator("alice", "audit.read").await;
    let refused = world.call("post", ERASE, Some(&read), Some(&body)).await;
    assert_eq!((refused.status, refused.reason()), (403, "admin.not_permitted"));
    let data = world.audited(&refused).await;
    assert_eq!(
        data["segment"],
        json!({ "workflow": "alice", "intent": "undeclared", "tool": "shortbread", "access": "privileged" })
    );
    assert!(data["policy"].is_string() && data["latency_us"].is_u64() && data["revocation_seq"].is_u64());
    for wrong in [
        json!({ "subject": "operator:alice", "reason": " " }),
        json!({ "subject": "x".repeat(2049), "reason": "r" }),
        json!({ "subject": "x", "reason": "r", "workflow": "No Name" }),
        json!({ "subject": "x", "reason": "r", "everyone": true }),
    ] {
        let answer = world.admin("audit.erase", ERASE, &wrong).await;
        assert_eq!((answer.status, answer.reason()), (400, "request.malformed"), "{wrong}");
    }
    let before = world.broker.store.audit_tail(0, 1000).await.unwrap();
    let erased = erase(&world, body).await;
    assert!(erased.body["inputs"].as_u64().unwrap() >= 2, "{erased:?}");
    let after = world.broker.store.audit_tail(0, 1000).await.unwrap();
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(world.audited(&erased).await["operator"], "alice");
}
