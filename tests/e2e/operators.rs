//! Operators can never lock themselves out of the switch; one who is revoked has none.

use serde_json::json;
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::World;

use crate::revoked::one;

const READ: (&str, &str) = ("scope", "shortbread:audit.read");

#[tokio::test]
async fn operators_keep_the_switch_whatever_else_is_revoked() {
    for (kind, value) in [
        ("all", ""),
        ("issuer", ""),
        ("tool", "shortbread"),
        ("verb", "shortbread/revocations.revoke"),
        ("access", "write"),
        ("access", "shortbread/privileged"),
        ("intent", "undeclared"),
    ] {
        let world = World::start().await;
        let before = world.operator("alice", "revocations.revoke").await;
        let value = if kind == "issuer" { world.issuer.clone() } else { value.to_owned() };
        let body = if kind == "all" { json!({ "all": true }) } else { one(kind, &value) };
        assert_eq!(world.revoke_with(body.clone()).await.status, 200);
        assert_eq!(world.revoke("workflow", "other").await.status, 200, "under {kind} {value}");
        let more = json!({ "selectors": [{ "kind": "user", "value": "u" }], "reason": "a test" });
        let held = world.call("post", "/api/v1/revocations", Some(&before), Some(&more)).await;
        assert_eq!(held.status, 200, "a token from before, under {kind} {value}: {held:?}");
        assert_eq!(world.lift_with(body).await.status, 200, "{kind} {value} is lifted");
    }
}

#[tokio::test]
async fn a_stop_of_everything_reaches_operators_elsewhere() {
    let world = World::start().await;
    let reader = world.operator("alice", "audit.read").await;
    world.revoke_with(json!({ "all": true })).await;
    assert_eq!(world.sign_in("alice", "audit.read").await.reason(), "revoked.all");
    let held = world.call("get", "/api/v1/audit", Some(&reader), None).await;
    assert_eq!((held.status, held.reason()), (403, "revoked.all"));
}

#[tokio::test]
async fn a_revoked_operator_has_no_switch() {
    let world = World::start().await;
    let held = world.operator("alice", "revocations.lift").await;
    assert_eq!(world.revoke("operator", "alice").await.status, 200);
    assert_eq!(world.sign_in("alice", "revocations.revoke").await.reason(), "revoked.operator");
    let lift = json!({ "selectors": [{ "kind": "operator", "value": "alice" }], "reason": "a test" });
    let refused = world.call("post", "/api/v1/revocations/lift", Some(&held), Some(&lift)).await;
    assert_eq!((refused.status, refused.reason()), (403, "revoked.operator"));
    assert_eq!(world.sign_in("bob", "policy.read").await.status, 200);
}

#[tokio::test]
async fn a_revoked_operator_token_is_dead_alone() {
    let world = World::start().await;
    let held = world.sign_in("alice", "revocations.read").await;
    world.revoke("token", held.text("/shortbread/token_id")).await;
    let refused = world.call("get", "/api/v1/revocations", Some(held.token()), None).await;
    assert_eq!((refused.status, refused.reason()), (403, "revoked.token"));
    assert_eq!(world.admin_read("revocations.read", "/api/v1/revocations").await.status, 200);
}

#[tokio::test]
async fn a_refusal_of_whoever_holds_a_token_is_recorded() {
    let world = World::start().await;
    let held = world.operator("bob", "policy.read").await;
    let refused = world.call("get", "/api/v1/audit", Some(&held), None).await;
    assert_eq!((refused.status, refused.reason()), (403, "admin.not_permitted"));
    let id = refused.text("/decision_id");
    let entries = world.admin_read("audit.read", &format!("/api/v1/audit/{id}")).await;
    assert_eq!(entries.text("/entries/0/event/subject"), "operator/bob");
    assert_eq!(entries.text("/entries/0/event/data/reasons/0"), "admin.not_permitted");
    assert_eq!(entries.text("/entries/0/event/data/requested/0"), "shortbread/audit.read");
}

#[tokio::test]
async fn an_operator_without_a_proof_gets_no_token() {
    let world = World::start().await;
    let bare = world.present(&world.assertion("operator:alice", "operator"), &[READ]).await;
    assert_eq!(bare.refusal(), (400, "invalid_dpop_proof", "proof.required"));
    assert!(bare.text("/error_description").contains("send a DPoP proof"), "{bare:?}");
    for (asked, given) in [(None, 300), (Some("60"), 60), (Some("3600"), 900)] {
        let more: Vec<_> = std::iter::once(READ).chain(asked.map(|ttl| ("ttl", ttl))).collect();
        let answer = world.exchange("operator:alice", "operator", &more).await;
        assert_eq!(answer.body["expires_in"], json!(given));
    }
}

#[tokio::test]
async fn a_stolen_operator_token_is_useless_without_its_key() {
    let world = World::start().await;
    let token = world.operator("alice", "audit.read").await;
    let path = "/api/v1/audit";
    let url = format!("{}{path}", world.issuer);
    let ask = |scheme: &str, proofs: Vec<String>| {
        let request = world.http.get(&url).header("authorization", format!("{scheme} {token}"));
        world.send(proofs.into_iter().fold(request, |request, proof| request.header("dpop", proof)))
    };
    let thief = |statement: Statement<'_>| {
        let key = ProofKey::new(PrivateKey::from_seed(&[13; 32]));
        key.prove(&statement, world.clock.now(), &SystemRandom).unwrap()
    };
    let own = Statement { method: "GET", url: &url, token: Some(token_hash(&token)), ..Statement::default() };
    let elsewhere = format!("{}/api/v1/policy", world.issuer);
    let sound = world.prove(&own);
    for (scheme, proofs, reason) in [
        ("Bearer", vec![sound.clone()], "admin.unauthenticated"),
        ("DPoP", vec![], "proof.required"),
        ("DPoP", vec!["nonsense".to_owned()], "proof.malformed"),
        ("DPoP", vec![thief(own)], "proof.wrong_key"),
        ("DPoP", vec![world.prove(&Statement { method: "POST", ..own })], "proof.mismatch"),
        ("DPoP", vec![world.prove(&Statement { url: &elsewhere, ..own })], "proof.mismatch"),
        ("DPoP", vec![world.prove(&Statement { token: None, ..own })], "proof.mismatch"),
        ("DPoP", vec![world.prove(&Statement { token: Some([0; 32]), ..own })], "proof.mismatch"),
        (
            "DPoP",
            vec![world.prove(&Statement { operation: Some("shortbread/policy.read"), ..own })],
            "proof.mismatch",
        ),
        ("DPoP", vec![world.prove(&Statement { args: Some([0; 32]), ..own })], "proof.mismatch"),
        ("DPoP", vec![sound.clone(), sound.clone()], "proof.malformed"),
    ] {
        let answer = ask(scheme, proofs).await;
        assert_eq!((answer.status, answer.reason()), (401, reason), "{answer:?}");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("DPoP") && challenge.ends_with("algs=\"EdDSA Ed25519 ES256\""));
        assert_eq!(challenge.contains("invalid_dpop_proof"), reason.starts_with("proof."), "{challenge}");
    }
    assert_eq!(ask("DPoP", vec![sound.clone()]).await.status, 200);
    let again = ask("DPoP", vec![sound]).await;
    assert_eq!((again.status, again.reason()), (401, "proof.replayed"));
    // Whoever holds a token of ours and is refused is on record.
    assert_eq!(world.audited(&again).await["reasons"][0], "proof.replayed");
}

#[tokio::test]
async fn the_proof_of_a_privileged_call_is_for_that_call_alone() {
    let world = World::start().await;
    let token = world.operator("alice", "policy.rollback").await;
    let path = "/api/v1/policy/rollback";
    let url = format!("{}{path}", world.issuer);
    let meant = Args::from_json(br#"{"version":1}"#).unwrap().digest();
    let rollback = Some("shortbread/policy.rollback");
    let send = |operation: Option<&'static str>, args: Option<[u8; 32]>, body: &'static str| {
        let proof = world.prove(&Statement {
            method: "POST",
            url: &url,
            token: Some(token_hash(&token)),
            operation,
            args,
            holder: None,
        });
        let request = world.http.post(&url).header("authorization", format!("DPoP {token}"));
        world.send(request.header("dpop", proof).header("content-type", "application/json").body(body))
    };
    for (operation, args, body) in [
        (None, None, r#"{"version":1}"#),
        (rollback, None, r#"{"version":1}"#),
        (None, meant, r#"{"version":1}"#),
        (Some("shortbread/policy.activate"), meant, r#"{"version":1}"#),
        (rollback, meant, r#"{"version":2}"#),
        (rollback, meant, "{}"),
    ] {
        let answer = send(operation, args, body).await;
        assert_eq!((answer.status, answer.reason()), (401, "proof.mismatch"), "{answer:?}");
    }
    // Another spelling of the same body is the same call.
    let done = send(rollback, meant, "{ \"version\": 1 }").await;
    assert_eq!(done.status, 200, "{done:?}");
}
