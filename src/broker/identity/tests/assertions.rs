//! Registered keys: RFC 7523 assertions of workflows, operators and verifiers.

use super::*;

#[tokio::test]
async fn a_registered_key_signs_for_itself() {
    let world = World::new();
    let assertion = eddsa(json!({ "typ": "client-authentication+jwt", "kid": "whatever" }), &demo_claims());
    let verified = world.identities.verify(&assertion, &demo()).await.unwrap();
    assert_eq!(verified.entry, "demo");
    assert_eq!(verified.principal(None).unwrap().to_string(), "workflow:demo");
    assert_eq!(verified.key_thumbprint, Some(private().public().thumbprint()));
    assert_eq!((verified.issued.unwrap().seconds(), verified.expires.seconds()), (NOW, NOW + 60));
    assert_eq!(verified.replay.keep_until, Timestamp::from_seconds(NOW + 90));
    assert!(!verified.reuse);
    assert_eq!(world.net.total(), 0);
}

#[tokio::test]
async fn operators_and_verifiers_are_spelled_with_their_kind() {
    let world = World::new();
    let mut alice = workflow("alice", Proof::Key(private().public()));
    alice.principals = vec![Principal::Operator("alice".parse().unwrap())];
    let mut github = workflow("github", Proof::Key(private().public()));
    github.principals = vec![Principal::Verifier("github".parse().unwrap())];
    github.tools = vec!["github".parse().unwrap()];
    let entries = [alice, github];
    for name in ["operator:alice", "verifier:github"] {
        let claims = with(demo_claims(), json!({ "iss": name, "sub": name }));
        let verified = world.identities.verify(&eddsa(json!({}), &claims), &entries).await.unwrap();
        assert_eq!(verified.principal(Some(name)).unwrap().to_string(), name);
        assert_eq!(verified.tools.len(), usize::from(name == "verifier:github"));
    }
    for name in ["alice", "workflow:alice", "Operator:alice", "operator:alice ", "operator:bob"] {
        let claims = with(demo_claims(), json!({ "iss": name, "sub": name }));
        assert_eq!(world.cause(&eddsa(json!({}), &claims), &entries).await, Cause::UnknownIssuer, "{name}");
    }
}

#[tokio::test]
async fn the_audience_is_the_broker_or_its_token_endpoint_alone() {
    let world = World::new();
    let endpoint = format!("{BROKER}/oauth/token");
    for aud in [json!(BROKER), json!([BROKER]), json!(endpoint), json!([endpoint])] {
        let claims = with(demo_claims(), json!({ "aud": aud }));
        assert!(world.identities.verify(&eddsa(json!({}), &claims), &demo()).await.is_ok(), "{aud}");
    }
    for aud in [
        json!([BROKER, endpoint]),
        json!([BROKER, BROKER]),
        json!([]),
        json!(format!("{BROKER}/")),
        json!(format!("{BROKER}/api/v1")),
        json!("https://BROKER.acme.example"),
        json!(""),
        json!([[BROKER]]),
    ] {
        let claims = with(demo_claims(), json!({ "aud": aud }));
        assert_eq!(world.cause(&eddsa(json!({}), &claims), &demo()).await, Cause::Audience, "{aud}");
    }
    let claims = with(demo_claims(), json!({ "aud": null }));
    assert_eq!(world.cause(&eddsa(json!({}), &claims), &demo()).await, Cause::Missing("aud"));
}

#[tokio::test]
async fn claims_of_an_assertion_are_all_required_and_bounded() {
    let world = World::new();
    for (change, cause) in [
        (json!({ "jti": null }), Cause::Missing("jti")),
        (json!({ "jti": "" }), Cause::Malformed("jti")),
        (json!({ "jti": "x".repeat(129) }), Cause::Malformed("jti")),
        (json!({ "jti": "a\nb" }), Cause::Malformed("jti")),
        (json!({ "jti": 7 }), Cause::Malformed("jti")),
        (json!({ "exp": null }), Cause::Missing("exp")),
        (json!({ "iat": null }), Cause::Missing("iat")),
        (json!({ "exp": NOW + 61 }), Cause::Lifetime),
        (json!({ "exp": NOW }), Cause::Lifetime),
        (json!({ "exp": "soon" }), Cause::Malformed("exp")),
        (json!({ "exp": 1e300 }), Cause::Malformed("exp")),
        (json!({ "exp": u64::MAX }), Cause::Malformed("exp")),
        (json!({ "iat": -1 }), Cause::Malformed("iat")),
        (json!({ "iat": NOW + 31, "exp": NOW + 60 }), Cause::FromTheFuture),
        (json!({ "nbf": NOW + 31 }), Cause::NotYetValid),
        (json!({ "nbf": "x" }), Cause::Malformed("nbf")),
        (json!({ "iat": NOW - 90, "exp": NOW - 30 }), Cause::Expired),
        (json!({ "sub": null }), Cause::Missing("sub")),
        (json!({ "sub": "workflow:other" }), Cause::Subject),
        (json!({ "sub": "demo" }), Cause::Subject),
    ] {
        let claims = with(demo_claims(), change.clone());
        assert_eq!(world.cause(&eddsa(json!({}), &claims), &demo()).await, cause, "{change}");
    }
    for change in [
        json!({ "iat": NOW + 30, "nbf": NOW + 30, "exp": NOW + 90 }),
        json!({ "iat": NOW - 89, "exp": NOW - 29 }),
        json!({ "jti": "x".repeat(128) }),
    ] {
        let claims = with(demo_claims(), change.clone());
        assert!(world.identities.verify(&eddsa(json!({}), &claims), &demo()).await.is_ok(), "{change}");
    }
}

#[tokio::test]
async fn only_the_registered_key_and_only_ed25519() {
    let world = World::new();
    let claims = demo_claims();
    let other = [workflow("demo", Proof::Key(PrivateKey::from_seed(&[8; 32]).public()))];
    assert_eq!(world.cause(&eddsa(json!({}), &claims), &other).await, Cause::Signature);
    assert_eq!(world.cause(&rs256(json!({}), &claims), &demo()).await, Cause::OtherAlgorithm);
    assert_eq!(world.cause(&es256(json!({}), &claims), &demo()).await, Cause::OtherAlgorithm);
    assert!(world.identities.verify(&eddsa(json!({ "alg": "Ed25519" }), &claims), &demo()).await.is_ok());
    let short = format!("{}.AAAA", input(&json!({ "alg": "EdDSA" }), &claims));
    assert_eq!(world.cause(&short, &demo()).await, Cause::Signature);
}

#[tokio::test]
async fn two_keys_of_one_name_both_work_and_one_key_twice_is_ambiguous() {
    let world = World::new();
    let next = workflow("demo", Proof::Key(PrivateKey::from_seed(&[8; 32]).public()));
    let rotated = [demo(), vec![next]].concat();
    assert!(world.identities.verify(&eddsa(json!({}), &demo_claims()), &rotated).await.is_ok());
    let twice = [demo(), demo()].concat();
    let refused = world.identities.verify(&eddsa(json!({}), &demo_claims()), &twice).await;
    assert_eq!(refused.unwrap_err(), IdentityError::Ambiguous);
}

#[tokio::test]
async fn the_replay_key_is_issuer_and_jti() {
    let world = World::new();
    let hash = async |claims: &Value| {
        world.identities.verify(&eddsa(json!({}), claims), &demo()).await.unwrap().replay.hash
    };
    let first = hash(&demo_claims()).await;
    let again = hash(&with(demo_claims(), json!({ "exp": NOW + 30, "more": true }))).await;
    let other = hash(&with(demo_claims(), json!({ "jti": "01KB0ZQ2D7Z0J4M2" }))).await;
    assert_eq!(first, again, "the same jti is the same use");
    assert_ne!(first, other);
    let split = |iss, jti| claims::replay(&Name::Issuer(iss), Some(jti), b"", NEVER).hash;
    assert_ne!(split("ab", "c"), split("a", "bc"), "parts are not run together");
}

#[tokio::test]
async fn an_assertion_says_jose_no_more_than_another_kind() {
    let world = World::new();
    let assertion = eddsa(json!({ "typ": "JOSE" }), &demo_claims());
    assert_eq!(world.cause(&assertion, &demo()).await, Cause::Type);
    let token = rs256(json!({ "typ": "JOSE" }), &github_claims());
    assert_eq!(world.cause(&token, &notes(github())).await, Cause::Type);
}

#[tokio::test]
async fn a_key_for_several_workflows_names_one_in_its_assertion() {
    let world = World::new();
    let mut entries = demo();
    entries[0].principals.push(Principal::Workflow("other".parse().unwrap()));
    let verified = world.identities.verify(&eddsa(json!({}), &demo_claims()), &entries).await.unwrap();
    assert_eq!(verified.principal(None).unwrap().to_string(), "workflow:demo");
    assert_eq!(verified.principal(Some("workflow:other")), Err(IdentityError::WorkflowUnlisted));
}
