//! A sub-agent's token: for its own key, never wider than its parent, dead with its parent.

use serde_json::json;
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_tests::{Answer, POLICY, World, holder};
use shortbread_verifier::chain;
use shortbread_verifier::narrow::{Narrowing, narrow};
use shortbread_verifier::scope::Scope;

use shortbread_protocol::clock::Clock as _;

const BOTH: &str = "github:issues.read github:issues.write";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const OURS: &str = "urn:ietf:params:oauth:token-type:access_token";

fn key(seed: u8) -> ProofKey {
    ProofKey::new(PrivateKey::from_seed(&[seed; 32]))
}

async fn parent(world: &World) -> Answer {
    world.bound("workflow:demo", "demo", &[("scope", BOTH)]).await
}

fn proof(world: &World, by: &ProofKey, token: &str, heir: Option<&str>) -> String {
    let url = format!("{}/oauth/token", world.issuer);
    let token = Some(token_hash(token));
    let statement = Statement { method: "POST", url: &url, token, holder: heir, ..Statement::default() };
    by.prove(&statement, world.clock.now(), &SystemRandom).unwrap()
}

async fn pass_on_with(world: &World, token: &str, proofs: &[&str], more: &[(&str, &str)]) -> Answer {
    let own = [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", OURS)];
    world.form_with("/oauth/token", &[&own, more].concat(), proofs).await
}

async fn pass_on(world: &World, by: &ProofKey, token: &str, to: &ProofKey, more: &[(&str, &str)]) -> Answer {
    pass_on_with(world, token, &[&proof(world, by, token, Some(to.thumbprint()))], more).await
}

fn scope(answer: &Answer) -> Scope {
    chain::peek(&chain::decode(answer.token()).unwrap()).unwrap()
}

fn dead(world: &World, answer: &Answer) -> bool {
    let mirror = world.broker.store.mirror();
    mirror.entry(SelectorKind::Token, answer.text("/shortbread/token_id")).is_some_and(|entry| entry.listed)
}

#[tokio::test]
async fn a_child_says_what_its_parent_says_for_another_key() {
    let world = World::start().await;
    let parent = parent(&world).await;
    world.clock.advance(std::time::Duration::from_secs(10));
    let child = pass_on(&world, &holder(), parent.token(), &key(1), &[]).await;
    assert_eq!((child.status, child.text("/token_type"), child.text("/scope")), (200, "DPoP", BOTH));
    let (old, new) = (scope(&parent), scope(&child));
    assert_eq!((new.issued(), new.window()), (old.issued(), old.window()), "never later, never longer");
    assert_eq!(new.rights().collect::<Vec<_>>(), old.rights().collect::<Vec<_>>());
    assert_eq!(new.audiences().collect::<Vec<_>>(), old.audiences().collect::<Vec<_>>());
    assert_eq!(new.id(SelectorKind::Holder), Some(key(1).thumbprint()));
    for kind in [SelectorKind::Workflow, SelectorKind::Intent, SelectorKind::Task, SelectorKind::Issuer] {
        assert_eq!(new.id(kind), old.id(kind));
    }
    assert_ne!(new.id(SelectorKind::Token), old.id(SelectorKind::Token));
    let told = |answer: &Answer| answer.body["authorization_details"].clone();
    assert!(told(&child)[0]["constraints"]["issues.write"]["repo"]["in"].is_array());
    assert_eq!(told(&child), told(&parent), "the arguments are those of the parent, and so is the rest");
    let grandchild = pass_on(&world, &key(1), child.token(), &key(2), &[]).await;
    assert_eq!(told(&grandchild), told(&parent));
    assert_eq!(new.program().checks.len(), old.program().checks.len());
    let entry = world.audited(&child).await;
    assert_eq!(entry["identity"]["parent"], parent.text("/shortbread/token_id"));
    assert_eq!(entry["holder"], key(1).thumbprint());
}

#[tokio::test]
async fn a_narrowed_parent_has_a_narrowed_child() {
    let world = World::start().await;
    let parent = parent(&world).await;
    let end = scope(&parent).window().1 - 100;
    let by = Narrowing {
        operations: Some(vec!["github/issues.read".parse().unwrap()]),
        until: Some(end),
        note: Some("for the reader".to_owned()),
        ..Narrowing::default()
    };
    let narrowed = narrow(parent.token(), &by, &SystemRandom).unwrap();
    let child = pass_on(&world, &holder(), &narrowed, &key(1), &[]).await;
    assert_eq!(child.status, 200, "{child:?}");
    assert_eq!(scope(&child).end(), end);
    assert_eq!(scope(&child).narrowings(), 1);
    let sealed = pass_on(&world, &holder(), &narrowed, &key(1), &[("delegation", "none")]).await;
    assert!(narrow(sealed.token(), &by, &SystemRandom).is_err());
}

#[tokio::test]
async fn a_child_may_ask_for_less_and_never_for_more() {
    let world = World::start().await;
    let parent = world.bound("workflow:demo", "demo", &[("scope", "github:issues.read")]).await;
    let less = pass_on(&world, &holder(), parent.token(), &key(1), &[("ttl", "30")]).await;
    assert_eq!(less.body["expires_in"], 30);
    let more = pass_on(&world, &holder(), parent.token(), &key(1), &[("scope", BOTH)]).await;
    assert_eq!(more.reason(), "policy.not_granted");
    for (foreign, reason) in [
        (("client_id", "workflow:other"), "request.malformed"),
        (("ttl", "0"), "request.malformed"),
        (("resource", "https://tools.acme.example/payments"), "target.unknown"),
    ] {
        let refused = pass_on(&world, &holder(), parent.token(), &key(1), &[foreign]).await;
        assert_eq!(refused.reason(), reason);
    }
    let longer = pass_on(&world, &holder(), parent.token(), &key(1), &[("ttl", "3600")]).await;
    assert_eq!(scope(&longer).window(), scope(&parent).window());
    for foreign in [("intent", "triage"), ("task", "tsk_1")] {
        let refused = pass_on(&world, &holder(), parent.token(), &key(1), &[foreign]).await;
        assert_eq!(refused.reason(), "request.malformed");
    }
}

#[tokio::test]
async fn a_child_is_for_the_resource_that_it_was_asked_for() {
    let world = World::start().await;
    let scopes = [("scope", "github:issues.read payments:refunds.read")];
    let parent = world.bound("workflow:demo", "demo", &scopes).await;
    let (github, payments) = ("https://tools.acme.example/github", "https://tools.acme.example/payments");
    let one = pass_on(&world, &holder(), parent.token(), &key(1), &[("resource", github)]).await;
    assert_eq!(one.text("/scope"), "github:issues.read", "{one:?}");
    let named = [("resource", payments), ("scope", "github:issues.read")];
    let refused = pass_on(&world, &holder(), parent.token(), &key(1), &named).await;
    assert_eq!(refused.refusal(), (400, "invalid_target", "target.unknown"));
    let both = [("resource", github), ("resource", payments)];
    let both = pass_on(&world, &holder(), parent.token(), &key(1), &both).await;
    assert_eq!(both.text("/scope"), "github:issues.read payments:refunds.read");
}

#[tokio::test]
async fn passing_on_counts_against_the_rates_of_the_policy() {
    let slow = POLICY.replace("max_ttl = \"10m\"", "max_ttl = \"10m\"\nrate = \"2/min\"");
    let world = World::builder().policy(&slow).start().await;
    let parent = parent(&world).await;
    assert_eq!(pass_on(&world, &holder(), parent.token(), &key(1), &[]).await.status, 200);
    let refused = pass_on(&world, &holder(), parent.token(), &key(2), &[]).await;
    assert_eq!(refused.refusal(), (429, "slow_down", "rate.limited"));
}

#[tokio::test]
async fn the_switch_ends_hundreds_of_descendants_at_once() {
    let world = World::start().await;
    let mut children = Vec::new();
    for _ in 0..4 {
        let parent = parent(&world).await;
        for _ in 0..240 {
            children.push(pass_on(&world, &holder(), parent.token(), &key(1), &[]).await);
        }
    }
    let revoked = world.revoke("holder", holder().thumbprint()).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    assert!(children.iter().all(|child| dead(&world, child)));
    let entry = world.audited(&revoked).await;
    assert_eq!(entry["entries"].as_array().map(Vec::len), Some(200));
    let first = format!("holder {}", holder().thumbprint());
    assert_eq!((&entry["entries"][0]["what"], &entry["unnamed"]), (&json!(first), &json!(761)));
}

#[tokio::test]
async fn whoever_sees_a_token_fills_no_log_with_it() {
    let world = World::start().await;
    let parent = parent(&world).await;
    let before = world.broker.store.counts().await.unwrap().audit;
    for _ in 0..20 {
        let refused = pass_on(&world, &key(9), parent.token(), &key(1), &[]).await;
        assert_eq!(refused.reason(), "proof.wrong_key");
    }
    assert_eq!(world.broker.store.counts().await.unwrap().audit, before + 1);
}

#[tokio::test]
async fn what_the_policy_would_not_give_now_is_not_passed_on() {
    let world = World::start().await;
    let parent = parent(&world).await;
    let approval = r#"approval = { verbs = ["issues.write"], approvers = "oncall", quorum = 1, sla = "5m", expires = "15m" }"#;
    let ttl = "max_ttl = \"10m\"";
    let stricter = POLICY
        .replace(ttl, &format!("{ttl}\n{approval}"))
        .replace("verbs = [\"policy.*\"]", "verbs = [\"policy.*\", \"approvals.decide\"]")
        + "[approvers.oncall]\nmembers = [\"bob\"]\n";
    let write = "verbs.\"issues.write\" = { access = \"write\"";
    let dearer = POLICY
        .replace(write, &write.replace("\"write\"", "\"privileged\""))
        .replace(ttl, &format!("{ttl}\napproval = \"none\""));
    let dropped = json!({ "verb": "github/issues.write", "reason": "policy.not_granted" });
    for policy in [stricter, dearer] {
        std::fs::write(world.path("policy.toml"), policy).unwrap();
        let path = "/api/v1/policy/activate";
        world.admin_as("alice", "policy.activate", path, &json!({})).await;
        let active = world.admin_as("bob", "policy.activate", path, &json!({})).await;
        assert_eq!(active.status, 200, "{active:?}");
        let child = pass_on(&world, &holder(), parent.token(), &key(1), &[]).await;
        assert_eq!(child.text("/scope"), "github:issues.read", "{child:?}");
        assert_eq!(child.text("/shortbread/dropped/github~1issues.write"), "policy.not_granted");
        assert_eq!(world.audited(&child).await["dropped"], json!([dropped]));
    }
}

#[tokio::test]
async fn descendants_die_with_their_parent() {
    let world = World::start().await;
    let parent = parent(&world).await;
    let child = pass_on(&world, &holder(), parent.token(), &key(1), &[]).await;
    let grandchild = pass_on(&world, &key(1), child.token(), &key(2), &[]).await;
    assert_eq!(grandchild.status, 200, "{grandchild:?}");
    assert_eq!(world.revoke("token", parent.text("/shortbread/token_id")).await.status, 200);
    assert!(dead(&world, &parent) && dead(&world, &child) && dead(&world, &grandchild));
    for (by, token) in [(holder(), &parent), (key(1), &child)] {
        let refused = pass_on(&world, &by, token.token(), &key(3), &[]).await;
        assert_eq!(refused.reason(), "revoked.token");
    }
}

#[tokio::test]
async fn no_child_slips_past_the_switch() {
    let world = World::start().await;
    for round in 0..12 {
        let parent = parent(&world).await;
        let child = pass_on(&world, &holder(), parent.token(), &key(1), &[]).await;
        let (id, own, heirs, heir) = (parent.text("/shortbread/token_id"), holder(), key(1), key(2));
        let (late, later, revoked) = tokio::join!(
            pass_on(&world, &heirs, child.token(), &heir, &[]),
            pass_on(&world, &own, parent.token(), &heir, &[]),
            world.revoke("token", id),
        );
        assert_eq!(revoked.status, 200);
        assert!(dead(&world, &child), "round {round}");
        for made in [late, later] {
            assert!(made.reason() == "revoked.token" || dead(&world, &made), "round {round}: {made:?}");
        }
    }
}

#[tokio::test]
async fn a_restart_forgets_no_descent() {
    let world = World::start().await;
    let parent = parent(&world).await;
    let child = pass_on(&world, &holder(), parent.token(), &key(1), &[]).await;
    let world = world.restart().await;
    let grandchild = pass_on(&world, &key(1), child.token(), &key(2), &[]).await;
    let world = world.restart().await;
    assert_eq!(world.revoke("token", parent.text("/shortbread/token_id")).await.status, 200);
    let world = world.restart().await;
    assert!(dead(&world, &child) && dead(&world, &grandchild));
    assert_eq!(pass_on(&world, &key(2), grandchild.token(), &key(3), &[]).await.reason(), "revoked.token");
}

#[tokio::test]
async fn descendants_die_with_the_key_and_the_copy_they_were_made_of() {
    let world = World::start().await;
    let parent = parent(&world).await;
    let by = Narrowing {
        note: Some("copy".to_owned()),
        until: Some(scope(&parent).end() - 5),
        ..Narrowing::default()
    };
    let copy = narrow(parent.token(), &by, &SystemRandom).unwrap();
    let of_copy = pass_on(&world, &holder(), &copy, &key(1), &[]).await;
    let of_parent = pass_on(&world, &holder(), parent.token(), &key(2), &[]).await;
    world.form("/oauth/revoke", &[("token", &copy)]).await;
    assert!(dead(&world, &of_copy) && !dead(&world, &of_parent));
    assert_eq!(world.revoke("holder", holder().thumbprint()).await.status, 200);
    assert!(dead(&world, &of_parent));
}

#[tokio::test]
async fn only_the_holder_passes_a_token_on() {
    let world = World::start().await;
    let parent = parent(&world).await;
    let token = parent.token();
    let heir = key(1);
    let refused = |proofs: Vec<String>, token: String| {
        let world = &world;
        async move {
            let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
            pass_on_with(world, &token, &proofs, &[]).await.reason().to_owned()
        }
    };
    let good = |by: &ProofKey| proof(&world, by, token, Some(heir.thumbprint()));
    assert_eq!(refused(vec![], token.to_owned()).await, "proof.required");
    assert_eq!(refused(vec![good(&heir)], token.to_owned()).await, "proof.wrong_key");
    assert_eq!(refused(vec![good(&holder()), good(&holder())], token.to_owned()).await, "proof.malformed");
    let unnamed = proof(&world, &holder(), token, None);
    assert_eq!(refused(vec![unnamed], token.to_owned()).await, "exchange.parent");
    for bad in [holder().thumbprint(), "short", &"!".repeat(43)] {
        let named = proof(&world, &holder(), token, Some(bad));
        assert_eq!(refused(vec![named], token.to_owned()).await, "exchange.parent", "{bad}");
    }
    let elsewhere = proof(&world, &holder(), "another token", Some(heir.thumbprint()));
    assert_eq!(refused(vec![elsewhere], token.to_owned()).await, "proof.mismatch");
    let once = good(&holder());
    assert_eq!(refused(vec![once.clone()], token.to_owned()).await, "");
    assert_eq!(refused(vec![once], token.to_owned()).await, "proof.replayed");
    let other = parent_of(&world).await;
    let stolen = proof(&world, &holder(), token, Some(heir.thumbprint()));
    assert_eq!(refused(vec![stolen], other).await, "proof.mismatch");
}

async fn parent_of(world: &World) -> String {
    parent(world).await.token().to_owned()
}

#[tokio::test]
async fn what_cannot_be_passed_on_is_refused() {
    let world = World::start().await;
    let bearer = world.demo("github:issues.read").await;
    let sealed = world.bound("workflow:demo", "demo", &[("scope", BOTH), ("delegation", "none")]).await;
    let operator = world.operator("alice", "audit.read").await;
    for (token, reason) in [
        (bearer.token(), "exchange.parent"),
        (sealed.token(), "exchange.parent"),
        (operator.as_str(), "exchange.parent"),
        ("nonsense", "identity.invalid"),
        (&format!("{}AAAA", bearer.token()), "identity.invalid"),
    ] {
        let refused = pass_on(&world, &holder(), token, &key(1), &[]).await;
        assert_eq!(
            (refused.status, refused.text("/error"), refused.reason()),
            (400, "invalid_grant", reason)
        );
    }
    let parent = parent(&world).await;
    world.clock.advance(std::time::Duration::from_secs(601));
    let refused = pass_on(&world, &holder(), parent.token(), &key(1), &[]).await;
    assert_eq!(refused.reason(), "identity.invalid", "its life is over");
}

#[tokio::test]
async fn what_the_policy_took_back_is_not_passed_on() {
    let world = World::start().await;
    let parent = parent(&world).await;
    assert_eq!(
        world
            .revoke_with(json!({ "selectors": [{ "kind": "verb", "value": "github/issues.write" }] }))
            .await
            .status,
        200
    );
    let refused = pass_on(&world, &holder(), parent.token(), &key(1), &[]).await;
    assert_eq!(refused.reason(), "revoked.verb");
    let read = pass_on(&world, &holder(), parent.token(), &key(1), &[("scope", "github:issues.read")]).await;
    assert_eq!(read.status, 200, "the other verb stands: {read:?}");
}
