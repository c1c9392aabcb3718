//! Who has a say in whether a watched version stays: nobody who is revoked, and nobody twice with the same assertion.

use serde_json::json;
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::{Answer, World, holder};

use super::{activate, ask, narrower, stays, taken_back};

const WRITE: [(&str, &str); 1] = [("scope", "github:issues.write")];

/// A world where what `demo` writes is withheld by the version that is watched.
async fn watched() -> World {
    let world = World::start().await;
    assert_eq!(activate(&world, &narrower(), json!({ "watch": 1800 })).await.status, 200);
    world
}

#[tokio::test]
async fn whoever_is_revoked_has_no_say() {
    let key = holder();
    for (kind, value) in [
        ("workflow", "demo"),
        ("intent", "triage"),
        ("task", "tsk_1"),
        ("holder", key.thumbprint()),
        ("tool", "github"),
        ("verb", "github/issues.write"),
        ("access", "github/write"),
    ] {
        let world = watched().await;
        assert_eq!(world.revoke(kind, value).await.status, 200, "{kind}");
        let form = [WRITE[0], ("intent", "triage"), ("task", "tsk_1")];
        for _ in 0..30 {
            let refused = world.bound("workflow:demo", "demo", &form).await;
            assert_eq!(refused.reason(), "policy.not_granted", "{kind}: {refused:?}");
        }
        assert!(stays(&world, 2).await, "{kind}");
    }
}

#[tokio::test]
async fn a_revocation_that_new_tokens_outlive_takes_nobodys_say() {
    let world = watched().await;
    assert_eq!(world.revoke("workflow", "other").await.status, 200);
    for _ in 0..20 {
        ask(&world, "demo", "github:issues.write").await;
    }
    assert!(taken_back(&world, 1).await);
}

#[tokio::test]
async fn an_assertion_has_one_say() {
    let world = World::start().await;
    let spent: Vec<String> = (0..25).map(|_| world.assertion("workflow:demo", "demo")).collect();
    for assertion in &spent {
        assert_eq!(world.present(assertion, &WRITE).await.status, 200);
    }
    assert_eq!(activate(&world, &narrower(), json!({ "watch": 1800 })).await.status, 200);
    for assertion in &spent {
        assert_eq!(world.present(assertion, &WRITE).await.reason(), "policy.not_granted");
    }
    let fresh = world.assertion("workflow:demo", "demo");
    for _ in 0..30 {
        assert_eq!(world.present(&fresh, &WRITE).await.reason(), "policy.not_granted");
    }
    let world = world.restart().await;
    for _ in 0..30 {
        assert_eq!(world.present(&fresh, &WRITE).await.reason(), "policy.not_granted");
    }
    assert!(stays(&world, 2).await);
}

fn proof(world: &World, token: &str, heir: &ProofKey) -> String {
    let url = format!("{}/oauth/token", world.issuer);
    let (token, holder_of) = (Some(token_hash(token)), Some(heir.thumbprint()));
    let statement = Statement { method: "POST", url: &url, token, holder: holder_of, ..Statement::default() };
    holder().prove(&statement, world.clock.now(), &SystemRandom).unwrap()
}

async fn pass_on(world: &World, token: &str, proof: &str) -> Answer {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ];
    world.form_with("/oauth/token", &form, &[proof]).await
}

#[tokio::test]
async fn a_parent_that_is_revoked_and_a_proof_that_comes_again_have_no_say() {
    let heir = ProofKey::new(PrivateKey::from_seed(&[1; 32]));
    for (revoked, again, may) in [(true, false, false), (false, true, false), (false, false, true)] {
        let world = World::start().await;
        let parent = world.bound("workflow:demo", "demo", &WRITE).await;
        assert_eq!(activate(&world, &narrower(), json!({ "watch": 1800 })).await.status, 200);
        if revoked {
            let id = parent.text("/shortbread/token_id");
            assert_eq!(world.revoke("token", id).await.status, 200);
        }
        let one = proof(&world, parent.token(), &heir);
        for _ in 0..20 {
            let proof = if again { one.clone() } else { proof(&world, parent.token(), &heir) };
            let refused = pass_on(&world, parent.token(), &proof).await;
            assert_eq!(refused.reason(), "policy.not_granted", "{refused:?}");
        }
        if may {
            assert!(taken_back(&world, 1).await);
        } else {
            assert!(stays(&world, 2).await, "revoked: {revoked}, again: {again}");
        }
    }
}
