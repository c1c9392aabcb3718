//! Every identity that orchestrators really have is accepted: a CI job, a pod, a workload of a trust domain, a key.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use shortbread_broker::policy::{Options, Policy};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::oauth::{JWT, JWT_BEARER, TOKEN_EXCHANGE};
use shortbread_tests::{Answer, FakeIssuer, POLICY, World};

use crate::bad_input::{SCOPE, is_refusal};

const INVALID: (u16, &str, &str) = (400, "invalid_grant", "identity.invalid");
const UNMATCHED: (u16, &str, &str) = (400, "unauthorized_client", "identity.unmatched");
const UNLISTED: (u16, &str, &str) = (400, "unauthorized_client", "identity.workflow_unlisted");

/// Entries for one token each: a pod of a cluster whose keys are pinned, a workload of a trust domain, a CI job.
const ENTRIES: &str = r#"
[[identities]]
workflows = ["enrich", "merge"]
issuer = "https://kubernetes.default.svc"
jwks_file = "keys/cluster.jwks.json"
audience = "https://broker.acme.example"
claims = { "kubernetes.io" = { namespace = "agents", serviceaccount = { name = "worker", uid = "8a3f" } } }
[[identities]]
workflow = "indexer"
trust_domain = "acme.example"
spiffe_id = "spiffe://acme.example/agents/indexer"
bundle_url = "https://spire.acme.example/bundle"
audience = "https://broker.acme.example"
[[identities]]
workflow = "notes"
issuer = "https://ci.acme.example"
audience = "https://broker.acme.example"
claims = { repository_id = "456789", environment = "prod", event_name = "push" }
"#;

async fn start() -> (World, Arc<FakeIssuer>) {
    let issuer = FakeIssuer::start();
    let mut policy = format!("{POLICY}{ENTRIES}");
    for name in ["enrich", "merge", "indexer", "notes"] {
        policy +=
            &format!("[[grants]]\nworkflow = \"{name}\"\ntool = \"github\"\nverbs = [\"issues.read\"]\n");
    }
    let world = World::builder()
        .policy(&policy)
        .file("keys/cluster.jwks.json", &issuer.cluster_keys().to_string())
        .fetch(issuer.clone());
    (world.start().await, issuer)
}

fn with(mut claims: Value, changes: Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            change => claims[name] = change.clone(),
        }
    }
    claims
}

/// What a projected service-account token says: an hour long, one audience in an array.
fn pod(world: &World, change: Value) -> Value {
    let now = world.clock.now().seconds();
    let claims = json!({
        "iss": FakeIssuer::CLUSTER, "aud": ["https://broker.acme.example"], "iat": now, "nbf": now,
        "exp": now + 3607, "sub": "system:serviceaccount:agents:worker",
        "kubernetes.io": {
            "namespace": "agents", "node": { "name": "n1", "uid": "1" }, "pod": { "name": "p1", "uid": "2" },
            "serviceaccount": { "name": "worker", "uid": "8a3f" }, "warnafter": now + 3607,
        },
    });
    with(claims, change)
}

/// What a JWT-SVID says: no `iss`, no `jti`.
fn workload(world: &World, change: Value) -> Value {
    let now = world.clock.now().seconds();
    let claims = json!({ "sub": "spiffe://acme.example/agents/indexer", "iat": now, "exp": now + 300,
        "aud": ["https://broker.acme.example"] });
    with(claims, change)
}

/// What a CI job's token says.
fn job(world: &World, change: Value) -> Value {
    let claims = with(
        world.claims("repo:acme@1/web@456789:environment:prod"),
        json!({ "iss": FakeIssuer::URL, "aud": "https://broker.acme.example", "repository": "acme/web",
            "repository_id": "456789", "environment": "prod", "event_name": "push" }),
    );
    with(claims, change)
}

async fn exchange(world: &World, token: &str, client: Option<&str>) -> Answer {
    let mut form =
        vec![("grant_type", TOKEN_EXCHANGE), ("subject_token_type", JWT), ("subject_token", token), SCOPE];
    form.extend(client.map(|client| ("client_id", client)));
    world.form("/oauth/token", &form).await
}

async fn is(world: &World, answer: &Answer, workflow: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(world.audited(answer).await["workflow"], workflow);
}

#[tokio::test]
async fn a_pod_is_known_by_its_service_account() {
    let (world, issuer) = start().await;
    let enrich = Some("workflow:enrich");
    let token = issuer.service_account(&pod(&world, json!({})));
    is(&world, &exchange(&world, &token, enrich).await, "enrich").await;
    is_refusal(&exchange(&world, &token, enrich).await, INVALID, "replayed");
    let account = |namespace: &str, name: &str, uid: &str| {
        json!({ "jti": uid, "kubernetes.io": { "namespace": namespace,
            "serviceaccount": { "name": name, "uid": uid } } })
    };
    for change in [
        account("default", "worker", "8a3f"),
        account("agents", "other", "8a3f"),
        account("agents", "worker", "0000"),
        json!({ "jti": "x", "kubernetes.io": null }),
    ] {
        let token = issuer.service_account(&pod(&world, change));
        is_refusal(&exchange(&world, &token, enrich).await, UNMATCHED, "matches exactly once");
    }
    let now = world.clock.now().seconds();
    for change in [
        json!({ "exp": null }),
        json!({ "iat": now - 601, "nbf": now - 601 }),
        json!({ "aud": ["https://broker.acme.example", "https://kubernetes.default.svc"] }),
        json!({ "aud": ["https://kubernetes.default.svc"] }),
    ] {
        let token = issuer.service_account(&pod(&world, change));
        is_refusal(&exchange(&world, &token, enrich).await, INVALID, "not accepted");
    }
    let forged = issuer.token(&pod(&world, json!({})));
    is_refusal(&exchange(&world, &forged, enrich).await, INVALID, "not accepted");
    assert_eq!(issuer.asked(), 0, "the cluster's keys are pinned");
}

#[tokio::test]
async fn one_worker_says_which_of_its_workflows_asks() {
    let (world, issuer) = start().await;
    let fresh = |jti: &str| issuer.service_account(&pod(&world, json!({ "jti": jti })));
    for (jti, name) in [("1", "enrich"), ("2", "merge")] {
        let client = format!("workflow:{name}");
        is(&world, &exchange(&world, &fresh(jti), Some(&client)).await, name).await;
    }
    for (jti, wrong) in
        [("3", None), ("4", Some("workflow:notes")), ("5", Some("enrich")), ("6", Some("operator:alice"))]
    {
        is_refusal(&exchange(&world, &fresh(jti), wrong).await, UNLISTED, "client_id");
    }
}

#[tokio::test]
async fn a_workload_is_known_by_its_spiffe_id() {
    let (world, issuer) = start().await;
    let token = issuer.svid(&workload(&world, json!({})));
    is(&world, &exchange(&world, &token, None).await, "indexer").await;
    is_refusal(&exchange(&world, &token, None).await, INVALID, "replayed");
    let undated = workload(&world, json!({ "iat": null, "iss": "https://spire.acme.example" }));
    let assertion = issuer.svid(&undated);
    let bearer = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str()), SCOPE];
    is(&world, &world.form("/oauth/token", &bearer).await, "indexer").await;
    let other = json!({ "sub": "spiffe://acme.example/agents/other" });
    let other = exchange(&world, &issuer.svid(&workload(&world, other)), None).await;
    is_refusal(&other, UNMATCHED, "matches exactly once");
    let now = world.clock.now().seconds();
    for (change, cause) in [
        (json!({ "sub": "spiffe://other.example/agents/indexer" }), "or trust domain"),
        (json!({ "exp": null }), "`exp` is missing"),
        (json!({ "iat": null, "exp": now + 3601 }), "longer than allowed"),
        (json!({ "aud": ["https://broker.acme.example", "x"] }), "`aud`"),
    ] {
        let answer = exchange(&world, &issuer.svid(&workload(&world, change)), None).await;
        is_refusal(&answer, INVALID, "not accepted");
        let audited = world.audited(&answer).await;
        assert!(audited["cause"].as_str().unwrap().contains(cause), "{audited}");
        world.clock.advance(std::time::Duration::from_secs(61));
        world.clock.jump_to(shortbread_protocol::clock::Timestamp::from_seconds(now));
    }
    // The key of the domain's certificates, and an issuer that the policy trusts, cannot speak for it.
    for foreign in
        [issuer.service_account(&undated), issuer.token(&job(&world, json!({ "sub": undated["sub"] })))]
    {
        is_refusal(&exchange(&world, &foreign, None).await, INVALID, "not accepted");
    }
}

#[tokio::test]
async fn a_ci_job_is_known_by_ids_and_never_by_names() {
    let (world, issuer) = start().await;
    let token = issuer.token(&job(&world, json!({})));
    is(&world, &exchange(&world, &token, None).await, "notes").await;
    let renamed = json!({ "repository": "acme/renamed", "sub": "anything at all" });
    is(&world, &exchange(&world, &issuer.token(&job(&world, renamed)), None).await, "notes").await;
    for change in [
        json!({ "repository_id": "999999" }),
        json!({ "event_name": "pull_request_target" }),
        json!({ "environment": null }),
    ] {
        let token = issuer.token(&job(&world, change));
        is_refusal(&exchange(&world, &token, None).await, UNMATCHED, "matches exactly once");
    }
}

#[test]
fn every_identity_of_the_readme_is_a_sound_policy() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let blocks: Vec<&str> =
        readme.split("```toml policy\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(
        blocks.len(),
        12,
        "GitHub, GitLab, Kubernetes, SPIFFE, Google, AWS, Azure, a key, a group; a tripwire, gate and rollback, a tool that is observed"
    );
    let key = |path: &str| PrivateKey::from_seed(&[u8::try_from(path.len()).unwrap(); 32]).public().to_pem();
    let issuer = FakeIssuer::start();
    let files = |path: &str| match path {
        "keys/cluster.jwks.json" => Ok(issuer.cluster_keys().to_string()),
        "keys/acme.bundle.json" => Ok(issuer.bundle().to_string()),
        path => Ok(key(path)),
    };
    let options = Options { issuer: "https://broker.acme.example".to_owned() };
    for block in blocks.iter().copied().chain([blocks.concat().as_str()]) {
        let policy = format!("{POLICY}{}", block.replace("keys/demo.pub.pem", "keys/of-the-readme.pub.pem"));
        let compiled = Policy::compile(&policy, "README.md", &files, &options);
        compiled.unwrap_or_else(|problems| {
            panic!("{block}\n{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
    }
}
