//! A proof binds a token to its key; a bad one, one for another request and one that was used give nothing.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::dpop::{ProofKey, Statement};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_tests::{Answer, POLICY, World, holder, jws};
use shortbread_verifier::chain::{Token, decode};

use crate::bad_input::{SCOPE, is_refusal};

const BAD: &str = "invalid_dpop_proof";

async fn with(world: &World, proofs: &[&str]) -> Answer {
    world.present_with(&world.assertion("workflow:demo", "demo"), &[SCOPE], proofs).await
}

/// What a sound proof for the token endpoint says.
fn claims(world: &World) -> Value {
    let url = format!("{}/oauth/token", world.issuer);
    json!({ "jti": "one", "htm": "POST", "htu": url, "iat": world.clock.now().seconds() })
}

fn header(key: &PrivateKey) -> Value {
    let x =
        base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, key.public().as_bytes());
    json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": { "kty": "OKP", "crv": "Ed25519", "x": x } })
}

fn changed(mut value: Value, pointer: &str, to: Value) -> Value {
    *value.pointer_mut(pointer).unwrap() = to;
    value
}

#[tokio::test]
async fn a_token_is_bound_to_the_key_of_the_proof() {
    let world = World::start().await;
    let answer = world.bound("workflow:demo", "demo", &[SCOPE]).await;
    assert_eq!((answer.status, answer.text("/token_type")), (200, "DPoP"), "{answer:?}");
    assert_eq!(world.demo("github:issues.read").await.text("/token_type"), "Bearer");
    let token = Token::open(&decode(answer.token()).unwrap(), &*world.broker.keyring).unwrap();
    assert_eq!(token.scope().id(SelectorKind::Holder), Some(holder().thumbprint()));
    let record = world.broker.store.token(answer.text("/shortbread/token_id")).await.unwrap().unwrap();
    assert_eq!(record.holder.as_deref(), Some(holder().thumbprint()));
    assert_eq!(world.audited(&answer).await["holder"], holder().thumbprint());
    let mut tool = world.tool("github");
    tool.poll().await;
    assert_eq!(tool.check(answer.token(), "issues.read", &json!({})), "proof.required");
    let metadata = world.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.body["dpop_signing_alg_values_supported"], json!(["EdDSA", "Ed25519", "ES256"]));
}

#[tokio::test]
async fn a_bad_proof_gives_nothing() {
    let world = World::start().await;
    let (key, other) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]));
    let (header, claims) = (header(&key), claims(&world));
    let now = world.clock.now().seconds();
    let said = |pointer: &str, to: Value| jws(&key, &header, &changed(claims.clone(), pointer, to));
    let headed = |pointer: &str, to: Value| jws(&key, &changed(header.clone(), pointer, to), &claims);
    let cases = [
        ("nonsense".to_owned(), "proof.malformed"),
        (String::new(), "proof.malformed"),
        ("A".repeat(5000), "proof.malformed"),
        (headed("/typ", json!("JWT")), "proof.malformed"),
        (headed("/alg", json!("none")), "proof.malformed"),
        (headed("/alg", json!("HS256")), "proof.malformed"),
        (headed("/alg", json!("ES256")), "proof.malformed"),
        (headed("/jwk", json!({})), "proof.malformed"),
        (headed("/jwk/x", json!("AA")), "proof.malformed"),
        (said("/jti", json!("")), "proof.malformed"),
        (said("/jti", json!(7)), "proof.malformed"),
        (said("/htm", json!("GET")), "proof.mismatch"),
        (said("/htm", json!("post")), "proof.mismatch"),
        (said("/htu", json!("https://broker.acme.example/oauth/token")), "proof.mismatch"),
        (said("/htu", json!(format!("{}/oauth/revoke", world.issuer))), "proof.mismatch"),
        (said("/iat", json!(now - 61)), "proof.stale"),
        (said("/iat", json!(now + 6)), "proof.stale"),
        (jws(&other, &header, &claims), "proof.bad_signature"),
    ];
    for (proof, reason) in cases {
        is_refusal(&with(&world, &[&proof]).await, (400, BAD, reason), "");
    }
    let sound = jws(&key, &header, &claims);
    is_refusal(&with(&world, &[&sound, &sound]).await, (400, BAD, "proof.malformed"), "more than one");
    assert_eq!(with(&world, &[&sound]).await.status, 200);
    assert_eq!(world.broker.store.counts().await.unwrap().tokens, 1);
}

#[tokio::test]
async fn a_proof_is_used_once() {
    let world = World::start().await;
    let proof = world.proof_for("/oauth/token");
    // What was refused for another reason did not use it up.
    let dropped = world
        .present_with(
            &world.assertion("workflow:demo", "demo"),
            &[("scope", "github:repo.delete")],
            &[&proof],
        )
        .await;
    assert_eq!(dropped.reason(), "policy.not_granted");
    assert_eq!(with(&world, &[&proof]).await.status, 200);
    is_refusal(&with(&world, &[&proof]).await, (400, BAD, "proof.replayed"), "used before");
    world.clock.advance(Duration::from_secs(61));
    is_refusal(&with(&world, &[&proof]).await, (400, BAD, "proof.stale"), "60 seconds");
}

#[tokio::test]
async fn a_proof_from_before_the_start_is_refused() {
    let world = World::start().await;
    let before = world.proof_for("/oauth/token");
    world.clock.advance(Duration::from_secs(1));
    let world = world.restart().await;
    is_refusal(&with(&world, &[&before]).await, (400, BAD, "proof.stale"), "started");
}

#[tokio::test]
async fn a_stranger_is_told_of_the_identity_and_not_of_the_proof() {
    let world = World::start().await;
    let key = PrivateKey::from_seed(&[1; 32]);
    let forged = jws(&PrivateKey::from_seed(&[2; 32]), &header(&key), &claims(&world));
    let stranger = world.assertion("workflow:demo", "other");
    let answer = world.present_with(&stranger, &[SCOPE], &[&forged]).await;
    assert_eq!(answer.refusal(), (401, "invalid_client", "identity.invalid"));
}

#[tokio::test]
async fn a_key_that_is_revoked_gets_nothing_and_its_tokens_are_dead() {
    let world = World::start().await;
    let held = world.bound("workflow:demo", "demo", &[SCOPE]).await;
    let lost = ProofKey::new(PrivateKey::from_seed(&[5; 32]));
    let url = format!("{}/oauth/token", world.issuer);
    let proof = || {
        let statement = Statement { method: "POST", url: &url, ..Statement::default() };
        lost.prove(&statement, world.clock.now(), &SystemRandom).unwrap()
    };
    let dead = with(&world, &[&proof()]).await;
    let done = world.revoke("holder", lost.thumbprint()).await;
    assert_eq!((done.status, &done.body["touched"]["tokens"]), (200, &json!(1)), "{done:?}");
    assert_eq!(with(&world, &[&proof()]).await.reason(), "revoked.holder");
    let mut tool = world.tool("github");
    tool.poll().await;
    assert_eq!(tool.check(dead.token(), "issues.read", &json!({})), "revoked.holder");
    assert_eq!(tool.check(held.token(), "issues.read", &json!({})), "proof.required");
    assert_eq!(world.bound("workflow:demo", "demo", &[SCOPE]).await.status, 200);
}

#[tokio::test]
async fn a_grant_that_wants_a_proof_gives_nothing_without_one() {
    let policy = POLICY.replace("max_ttl = \"10m\"", "max_ttl = \"10m\"\nproof = \"required\"");
    let world = World::builder().policy(&policy).start().await;
    is_refusal(&world.demo("github:issues.read").await, (400, BAD, "proof.required"), "wants a DPoP proof");
    assert_eq!(world.bound("workflow:demo", "demo", &[SCOPE]).await.status, 200);
    assert_eq!(world.demo("payments:refunds.read").await.status, 200);
    let both = "github:issues.read github:issues.write";
    let policy = format!(
        "{POLICY}\n[[grants]]\nworkflow = \"demo\"\ntool = \"github\"\nverbs = [\"issues.write\"]\n\
         any_arguments = true\nproof = \"required\"\n"
    );
    let world = World::builder().policy(&policy).start().await;
    let bearer = world.demo(both).await;
    assert_eq!(bearer.text("/scope"), "github:issues.read");
    assert_eq!(bearer.text("/shortbread/dropped/github~1issues.write"), "proof.required");
    assert_eq!(world.bound("workflow:demo", "demo", &[("scope", both)]).await.text("/scope"), both);
}

const GITHUB: &str = "https://tools.acme.example/github";
const PAYMENTS: &str = "https://tools.acme.example/payments";
const SEVERAL: (&str, &str) = ("scope", "github:issues.read payments:refunds.read");

#[tokio::test]
async fn a_bound_token_is_for_several_tools_each_at_its_own_audience() {
    let world = World::start().await;
    let bearer = world.exchange("workflow:demo", "demo", &[SEVERAL]).await;
    is_refusal(&bearer, (400, "invalid_target", "target.unknown"), "not bound to a key is for one tool");
    let bound = world.bound("workflow:demo", "demo", &[SEVERAL]).await;
    assert_eq!(bound.text("/scope"), SEVERAL.1, "{bound:?}");
    assert_eq!(bound.text("/authorization_details/0/locations/0"), GITHUB);
    assert_eq!(bound.text("/authorization_details/1/locations/0"), PAYMENTS);
    let token = Token::open(&decode(bound.token()).unwrap(), &*world.broker.keyring).unwrap();
    let demand = |audience, tool, verb| shortbread_verifier::scope::Demand {
        now: world.clock.now().seconds(),
        audience,
        tool,
        verb,
        args: None,
        holder: token.scope().id(SelectorKind::Holder),
        unused: None,
        revocation_age: Some(0),
        args_sha256: None,
    };
    let passes = |audience, tool, verb| token.scope().evaluate(&demand(audience, tool, verb)).is_ok();
    assert!(passes(GITHUB, "github", "issues.read") && passes(PAYMENTS, "payments", "refunds.read"));
    assert!(!passes(PAYMENTS, "github", "issues.read") && !passes(GITHUB, "payments", "refunds.read"));
}

#[tokio::test]
async fn resources_name_every_tool_and_no_other() {
    let world = World::start().await;
    let form = |resources: &[&str]| {
        let assertion = world.assertion("workflow:demo", "demo");
        let more: Vec<_> =
            std::iter::once(SEVERAL).chain(resources.iter().map(|r| ("resource", *r))).collect();
        let more: Vec<(String, String)> = more.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        let (world, proof) = (&world, world.proof_for("/oauth/token"));
        async move {
            let more: Vec<(&str, &str)> = more.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            world.present_with(&assertion, &more, &[&proof]).await
        }
    };
    assert_eq!(form(&[GITHUB, PAYMENTS]).await.status, 200);
    let target = (400, "invalid_target", "target.unknown");
    is_refusal(&form(&[GITHUB]).await, target, "is not among the resources");
    is_refusal(&form(&[GITHUB, PAYMENTS, "https://elsewhere.example"]).await, target, "elsewhere");
    is_refusal(&form(&["https://elsewhere.example"]).await, target, "elsewhere");
}
