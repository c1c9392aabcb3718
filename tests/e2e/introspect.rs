//! RFC 7662: registered verifiers are told what is for sure, everyone else nothing.

use serde_json::{Value, json};
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::{Answer, POLICY, World, holder};
use shortbread_verifier::narrow::{Narrowing, narrow};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

async fn world() -> World {
    let verifier =
        "[[identities]]\nverifier = \"github\"\ntools = [\"github\"]\nkey = \"keys/other.pub.pem\"\n";
    let policy =
        POLICY.replace("[[identities]]\nworkflow = \"other\"\nkey = \"keys/other.pub.pem\"\n", verifier);
    let other = "[[grants]]\nworkflow = \"other\"\ntool = \"github\"\nverbs = [\"issues.read\"]\n";
    World::builder().policy(&policy.replace(other, "")).start().await
}

async fn ask(world: &World, token: &str, more: &[(&str, &str)]) -> Answer {
    let assertion = world.assertion("verifier:github", "other");
    let own = [("client_assertion_type", ASSERTION), ("client_assertion", &assertion), ("token", token)];
    world.form("/oauth/introspect", &[&own, more].concat()).await
}

async fn active(world: &World, token: &str, more: &[(&str, &str)]) -> bool {
    let answer = ask(world, token, more).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let active = answer.body["active"].as_bool().unwrap();
    assert!(active || answer.body == json!({ "active": false }), "nothing else is said");
    active
}

const READ: [(&str, &str); 2] = [("tool", "github"), ("verb", "issues.read")];

fn write(args: &str) -> [(&str, &str); 3] {
    [("tool", "github"), ("verb", "issues.write"), ("args", args)]
}

#[tokio::test]
async fn without_a_call_only_what_holds_for_any_arguments_is_told() {
    let world = world().await;
    let token = world.demo("github:issues.read github:issues.write").await;
    let answer = ask(&world, token.token(), &[]).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let told = &answer.body;
    assert_eq!((&told["active"], &told["scope"]), (&json!(true), &json!("github:issues.read")));
    assert_eq!((&told["sub"], &told["client_id"]), (&json!("workflow:demo"), &json!("workflow:demo")));
    assert_eq!(told["iss"], world.issuer);
    assert_eq!(told["aud"], json!(["https://tools.acme.example/github"]));
    assert_eq!(told["jti"], token.text("/shortbread/token_id"));
    assert_eq!(told["exp"].as_u64().unwrap() - told["iat"].as_u64().unwrap(), 300);
    assert_eq!(told["authorization_details"][0]["actions"], json!(["issues.read"]));
    assert_eq!((&told["cnf"], &told["token_type"]), (&Value::Null, &json!("Bearer")));
    let writes = world.demo("github:issues.write").await;
    assert!(!active(&world, writes.token(), &[]).await);
}

#[tokio::test]
async fn a_call_is_answered_for_with_its_arguments() {
    let world = world().await;
    let token = world.demo("github:issues.read github:issues.write").await;
    let token = token.token();
    assert!(active(&world, token, &READ).await);
    assert!(active(&world, token, &write(r#"{"repo":"acme/web","title":"x"}"#)).await);
    for args in [r#"{"repo":"evil/x"}"#, r#"{"repo":"acme/web","other":1}"#, "{}"] {
        assert!(!active(&world, token, &write(args)).await, "{args}");
    }
    assert!(
        !active(&world, token, &[("tool", "github"), ("verb", "issues.write")]).await,
        "arguments unread"
    );
    assert!(!active(&world, token, &[("tool", "github"), ("verb", "repo.delete")]).await);
    assert!(!active(&world, token, &[("tool", "payments"), ("verb", "refunds.read")]).await);
}

#[tokio::test]
async fn later_blocks_count() {
    let world = world().await;
    let token = world.demo("github:issues.read github:issues.write").await;
    let by =
        Narrowing { operations: Some(vec!["github/issues.write".parse().unwrap()]), ..Narrowing::default() };
    let narrowed = narrow(token.token(), &by, &SystemRandom).unwrap();
    assert!(!active(&world, &narrowed, &READ).await && !active(&world, &narrowed, &[]).await);
    assert!(active(&world, &narrowed, &write(r#"{"repo":"acme/web"}"#)).await);
    world.form("/oauth/revoke", &[("token", &narrowed)]).await;
    assert!(!active(&world, &narrowed, &write(r#"{"repo":"acme/web"}"#)).await);
    assert!(active(&world, token.token(), &READ).await);
}

#[tokio::test]
async fn a_bound_token_names_its_key() {
    let world = world().await;
    let token = world.bound("workflow:demo", "demo", &[("scope", "github:issues.read")]).await;
    let told = ask(&world, token.token(), &READ).await;
    assert_eq!(told.body["cnf"]["jkt"], holder().thumbprint());
    assert_eq!(told.body["token_type"], "DPoP");
}

#[tokio::test]
async fn what_is_dead_forged_or_anothers_is_inactive() {
    let world = world().await;
    let token = world.demo("github:issues.read").await;
    let payments = world.demo("payments:refunds.read").await;
    assert!(!active(&world, payments.token(), &[]).await, "another verifier's tool");
    let operator = world.operator("alice", "audit.read").await;
    assert!(!active(&world, &operator, &[]).await);
    for nonsense in ["x", "a.b.c", token.token().get(..200).unwrap()] {
        assert!(!active(&world, nonsense, &[]).await);
    }
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    assert!(!active(&world, token.token(), &[]).await);
    world.lift_with(json!({ "selectors": [{ "kind": "workflow", "value": "demo" }], "revive": true })).await;
    assert!(active(&world, token.token(), &[]).await);
    world.clock.advance(std::time::Duration::from_secs(301));
    assert!(!active(&world, token.token(), &[]).await);
}

#[tokio::test]
async fn only_registered_verifiers_are_told() {
    let world = world().await;
    let token = world.demo("github:issues.read").await;
    let form = |assertion: &str| {
        let pairs = [
            ("client_assertion_type", ASSERTION.to_owned()),
            ("client_assertion", assertion.to_owned()),
            ("token", token.token().to_owned()),
        ];
        pairs.map(|(name, value)| (name, value))
    };
    let send = async |assertion: &str| {
        let pairs = form(assertion);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        world.form("/oauth/introspect", &pairs).await
    };
    let once = world.assertion("verifier:github", "other");
    assert_eq!(send(&once).await.status, 200);
    assert_eq!(send(&once).await.refusal(), (401, "invalid_client", "identity.invalid"), "used up");
    let workflow = world.assertion("workflow:demo", "demo");
    assert_eq!(send(&workflow).await.refusal(), (400, "unauthorized_client", "identity.unmatched"));
    let forged = world.assertion("verifier:github", "demo");
    assert_eq!(send(&forged).await.refusal(), (401, "invalid_client", "identity.invalid"));
    let none = world.form("/oauth/introspect", &[("token", token.token())]).await;
    assert_eq!(none.refusal(), (400, "invalid_request", "request.malformed"));
    let half = ask(&world, token.token(), &[("tool", "github")]).await;
    assert_eq!(half.refusal(), (400, "invalid_request", "request.malformed"));
    let doubled = ask(&world, token.token(), &write(r#"{"repo":"a","repo":"b"}"#)).await;
    assert_eq!(doubled.refusal(), (400, "invalid_request", "request.malformed"));
}

#[tokio::test]
async fn every_answer_is_recorded() {
    let world = world().await;
    let token = world.demo("github:issues.read").await;
    let entry = world.audited(&ask(&world, token.token(), &READ).await).await;
    assert_eq!((&entry["outcome"], &entry["stage"]), (&json!("allow"), &json!("introspect")));
    assert_eq!(entry["requested"], "github/issues.read");
    let entry = world.audited(&ask(&world, "nonsense", &[]).await).await;
    assert_eq!((&entry["outcome"], &entry["reasons"]), (&json!("deny"), &json!(["token.malformed"])));
}
