//! A platform that hands out the same token again: good again for the key that presented it first, and for no other.

use serde_json::{Value, json};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::dpop::{ProofKey, Statement};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::oauth::{JWT, TOKEN_EXCHANGE};
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::{Answer, FakeIssuer, POLICY, World};
use std::sync::Arc;
use std::time::Duration;

const READ: &str = "github:issues.read";
const WRITE: &str = "github:issues.write";
const REFUSED: (u16, &str, &str) = (400, "invalid_grant", "identity.invalid");

async fn world(issuer: &Arc<FakeIssuer>, reuse: bool) -> World {
    let reuse = if reuse { "reuse = \"until_expiry\"" } else { "" };
    let policy = format!(
        "{POLICY}\n[[identities]]\nworkflow = \"pod\"\nissuer = \"{}\"\naudience = \"broker\"\n\
         claims = {{ namespace = \"agents\" }}\n{reuse}\n\
         [[grants]]\nworkflow = \"pod\"\ntool = \"github\"\nverbs = [\"issues.*\"]\nany_arguments = true\n",
        FakeIssuer::URL
    );
    World::builder().policy(&policy).fetch(Arc::clone(issuer) as _).start().await
}

/// The platform's token, good for ten minutes.
fn platform(world: &World, issuer: &FakeIssuer) -> String {
    let now = world.clock.now().seconds();
    issuer.token(&json!({
        "iss": FakeIssuer::URL, "sub": "pod-1", "aud": "broker", "namespace": "agents", "jti": now.to_string(),
        "iat": now, "exp": now + 600,
    }))
}

/// Presents it with a proof of this key, or with none.
async fn present(world: &World, token: &str, key: Option<u8>, scope: &str) -> Answer {
    let form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", JWT),
        ("scope", scope),
    ];
    let url = format!("{}/oauth/token", world.issuer);
    let statement = Statement { method: "POST", url: &url, ..Statement::default() };
    let key = key.map(|seed| ProofKey::new(PrivateKey::from_seed(&[seed; 32])));
    let proof = key.map(|key| key.prove(&statement, world.clock.now(), &SystemRandom).unwrap());
    world.form_with("/oauth/token", &form, &proof.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn the_key_that_came_first_comes_again_until_expiry() {
    let issuer = FakeIssuer::start();
    let world = world(&issuer, true).await;
    let token = platform(&world, &issuer);
    for scope in [READ, WRITE, READ] {
        let answer = present(&world, &token, Some(1), scope).await;
        assert_eq!((answer.status, answer.text("/token_type")), (200, "DPoP"), "{answer:?}");
        world.clock.advance(Duration::from_secs(200));
    }
    world.clock.advance(Duration::from_secs(31));
    assert_eq!(present(&world, &token, Some(1), READ).await.refusal(), REFUSED, "it has expired");
}

#[tokio::test]
async fn another_key_is_told_no_more_than_a_stranger() {
    let issuer = FakeIssuer::start();
    let world = world(&issuer, true).await;
    let token = platform(&world, &issuer);
    assert_eq!(present(&world, &token, Some(1), READ).await.status, 200);
    for key in [Some(2), None] {
        let refused = present(&world, &token, key, READ).await;
        assert_eq!(refused.refusal(), REFUSED);
        assert_eq!(world.audited(&refused).await["cause"], "another key presented it first");
    }
    // Also where it was refused: what came first has it.
    let second = platform_later(&world, &issuer);
    assert_eq!(present(&world, &second, Some(1), "github:repo.delete").await.reason(), "policy.not_granted");
    assert_eq!(present(&world, &second, Some(2), READ).await.refusal(), REFUSED);
    assert_eq!(present(&world, &second, Some(1), READ).await.status, 200);
    let world = world.restart().await;
    assert_eq!(present(&world, &token, Some(2), READ).await.refusal(), REFUSED);
    assert_eq!(present(&world, &token, Some(1), READ).await.status, 200);
}

fn platform_later(world: &World, issuer: &FakeIssuer) -> String {
    world.clock.advance(Duration::from_secs(1));
    platform(world, issuer)
}

#[tokio::test]
async fn without_a_key_it_reads_once() {
    let issuer = FakeIssuer::start();
    let world = world(&issuer, true).await;
    let token = platform(&world, &issuer);
    let read = present(&world, &token, None, &format!("{READ} {WRITE}")).await;
    assert_eq!(read.text("/scope"), READ, "{read:?}");
    assert_eq!(read.text("/shortbread/dropped/github~1issues.write"), "proof.required");
    for key in [None, Some(1)] {
        assert_eq!(present(&world, &token, key, READ).await.refusal(), REFUSED);
    }
    let second = platform_later(&world, &issuer);
    let refused = present(&world, &second, None, WRITE).await;
    assert_eq!(refused.refusal(), (400, "invalid_dpop_proof", "proof.required"));
    assert_eq!(present(&world, &second, Some(1), WRITE).await.status, 200, "it does what it was told");
    assert_eq!(present(&world, &second, Some(2), WRITE).await.refusal(), REFUSED);
}

#[tokio::test]
async fn a_bad_proof_does_not_burn_it() {
    let issuer = FakeIssuer::start();
    let world = world(&issuer, true).await;
    let token = platform(&world, &issuer);
    let form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", token.as_str()),
        ("subject_token_type", JWT),
        ("scope", READ),
    ];
    let elsewhere = world.proof_for("/oauth/revoke");
    let refused = world.form_with("/oauth/token", &form, &[&elsewhere]).await;
    assert_eq!(refused.reason(), "proof.mismatch");
    assert_eq!(present(&world, &token, Some(1), READ).await.status, 200);
}

#[tokio::test]
async fn what_an_entry_does_not_say_does_not_hold() {
    let issuer = FakeIssuer::start();
    let world = world(&issuer, false).await;
    let token = platform(&world, &issuer);
    assert_eq!(present(&world, &token, Some(1), WRITE).await.status, 200);
    let refused = present(&world, &token, Some(1), WRITE).await;
    assert_eq!(refused.refusal(), REFUSED);
    assert_eq!(world.audited(&refused).await["cause"], Value::from("the assertion was used before"));
}
