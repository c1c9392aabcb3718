//! Tokens of issuers: GitHub Actions as the tried case, Kubernetes for nested claims.

use super::*;

#[tokio::test]
async fn a_github_actions_token_becomes_its_workflow() {
    let world = World::new();
    let verified =
        world.identities.verify(&rs256(json!({}), &github_claims()), &notes(github())).await.unwrap();
    assert_eq!(verified.entry, "release-notes");
    assert_eq!(verified.issuer, GITHUB);
    assert_eq!(verified.subject, "repo:acme@1234/web@456789:environment:prod");
    assert_eq!(
        verified.principal(Some("workflow:release-notes")).unwrap().to_string(),
        "workflow:release-notes"
    );
    assert_eq!(verified.principal(Some("release-notes")), Err(IdentityError::WorkflowUnlisted));
    assert_eq!(verified.claims["repository"], "acme/web");
    assert_eq!(verified.key_thumbprint, None);
    assert_eq!(verified.replay.keep_until, Timestamp::from_seconds(NOW + 330));
}

#[tokio::test]
async fn every_served_algorithm_verifies() {
    let world = World::new();
    for token in [
        rs256(json!({}), &github_claims()),
        es256(json!({}), &github_claims()),
        eddsa(json!({ "kid": "ed" }), &github_claims()),
        eddsa(json!({ "kid": "ed", "alg": "Ed25519" }), &github_claims()),
    ] {
        world.identities.verify(&token, &notes(github())).await.unwrap();
    }
    assert_eq!(world.net.count(JWKS), 1);
}

#[tokio::test]
async fn the_key_pins_the_algorithm() {
    let world = World::new();
    for (header, token) in [("ec", rs256 as fn(Value, &Value) -> String), ("rsa", es256), ("rsa", eddsa)] {
        let token = token(json!({ "kid": header }), &github_claims());
        assert_eq!(world.cause(&token, &notes(github())).await, Cause::OtherAlgorithm);
    }
    let lying = rs256(json!({ "alg": "ES256", "kid": "ec" }), &github_claims());
    assert_eq!(world.cause(&lying, &notes(github())).await, Cause::Signature);
}

#[tokio::test]
async fn the_issuer_is_compared_exactly_before_any_fetch() {
    let world = World::new();
    for issuer in [
        format!("{GITHUB}/"),
        GITHUB.to_uppercase(),
        format!("{GITHUB}.evil.example"),
        "https://evil.example".to_owned(),
    ] {
        let token = rs256(json!({}), &with(github_claims(), json!({ "iss": issuer })));
        assert_eq!(world.cause(&token, &notes(github())).await, Cause::UnknownIssuer, "{issuer}");
    }
    assert_eq!(world.cause(&rs256(json!({}), &github_claims()), &[]).await, Cause::UnknownIssuer);
    assert_eq!(world.net.total(), 0);
}

#[tokio::test]
async fn times_and_audience_of_a_token() {
    let world = World::new();
    for (change, cause) in [
        (json!({ "exp": null }), Cause::Missing("exp")),
        (json!({ "iat": null }), Cause::Missing("iat")),
        (json!({ "sub": null }), Cause::Missing("sub")),
        (json!({ "sub": "" }), Cause::Malformed("sub")),
        (json!({ "aud": null }), Cause::Missing("aud")),
        (json!({ "aud": 5 }), Cause::Malformed("aud")),
        (json!({ "aud": [BROKER, "https://other.example"] }), Cause::Audience),
        (json!({ "aud": "https://other.example" }), Cause::Audience),
        (json!({ "aud": format!("{BROKER}/oauth/token") }), Cause::Audience),
        (json!({ "iat": NOW + 31 }), Cause::FromTheFuture),
        (json!({ "nbf": NOW + 31 }), Cause::NotYetValid),
        (json!({ "iss": null }), Cause::NoIssuer),
        (json!({ "iat": NOW - 601 }), Cause::TooOld),
        (json!({ "iat": NOW - 100, "exp": NOW - 30 }), Cause::Expired),
        (json!({ "iat": NOW, "exp": NOW - 1 }), Cause::Lifetime),
        (json!({ "jti": [] }), Cause::Malformed("jti")),
    ] {
        let token = rs256(json!({}), &with(github_claims(), change.clone()));
        assert_eq!(world.cause(&token, &notes(github())).await, cause, "{change}");
    }
    for change in
        [json!({ "aud": [BROKER] }), json!({ "iat": NOW - 600 }), json!({ "nbf": null, "jti": null })]
    {
        let token = rs256(json!({}), &with(github_claims(), change.clone()));
        assert!(world.identities.verify(&token, &notes(github())).await.is_ok(), "{change}");
    }
}

#[tokio::test]
async fn a_token_of_a_year_is_remembered_no_longer_than_it_is_taken() {
    let world = World::new();
    let token = rs256(json!({}), &with(github_claims(), json!({ "iat": NOW, "exp": NOW + 31_536_000 })));
    let verified = world.identities.verify(&token, &notes(github())).await.unwrap();
    assert_eq!(verified.replay.keep_until.seconds(), NOW + 630);
    world.clock.advance(Duration::from_millis(600_001));
    assert_eq!(world.cause(&token, &notes(github())).await, Cause::TooOld);
}

#[tokio::test]
async fn an_entry_says_how_old_a_token_may_be() {
    let year = |age: u64| {
        rs256(
            json!({}),
            &with(github_claims(), json!({ "iat": NOW - age, "nbf": null, "exp": NOW + 31_536_000 })),
        )
    };
    let hour = Some(Duration::from_secs(3600));
    for (max_age, reuse, longest) in
        [(None, false, 600), (hour, false, 3600), (None, true, 86_400), (hour, true, 3600)]
    {
        let world = World::new();
        let mut oidc = github();
        (oidc.max_age, oidc.reuse_until_expiry) = (max_age, reuse);
        let verified = world.identities.verify(&year(longest), &notes(oidc.clone())).await.unwrap();
        assert_eq!(verified.reuse, reuse);
        assert_eq!(verified.replay.keep_until.seconds(), NOW + 30, "remembered for as long as it is taken");
        assert_eq!(world.cause(&year(longest + 1), &notes(oidc)).await, Cause::TooOld);
    }
}

#[tokio::test]
async fn the_handed_in_clock_decides() {
    let world = World::new();
    let token = rs256(json!({}), &github_claims());
    world.identities.verify(&token, &notes(github())).await.unwrap();
    world.clock.advance(Duration::from_millis(329_999));
    world.identities.verify(&token, &notes(github())).await.unwrap();
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.cause(&token, &notes(github())).await, Cause::Expired);
}

#[tokio::test]
async fn an_identity_that_matches_none_or_two_is_refused() {
    let world = World::new();
    for change in [
        json!({ "environment": "staging" }),
        json!({ "environment": null }),
        json!({ "repository_id": 456_789 }),
        json!({ "repository_id": "4567890" }),
        json!({ "environment": ["prod"] }),
    ] {
        let token = rs256(json!({}), &with(github_claims(), change.clone()));
        let refused = world.identities.verify(&token, &notes(github())).await;
        assert_eq!(refused.unwrap_err(), IdentityError::Unmatched, "{change}");
    }
    let mut wider = github();
    wider.claims.remove("environment");
    let entries = [notes(github()), vec![workflow("wider", Proof::Oidc(wider))]].concat();
    let refused = world.identities.verify(&rs256(json!({}), &github_claims()), &entries).await;
    assert_eq!(refused.unwrap_err(), IdentityError::Ambiguous);
    let staging = rs256(json!({}), &with(github_claims(), json!({ "environment": "staging" })));
    assert_eq!(world.identities.verify(&staging, &entries).await.unwrap().entry, "wider");
}

#[tokio::test]
async fn entries_of_one_issuer_differ_by_audience() {
    let world = World::new();
    let mut other = github();
    other.audience = "https://other.example".to_owned();
    let entries = [notes(github()), vec![workflow("other", Proof::Oidc(other))]].concat();
    let verified = world.identities.verify(&rs256(json!({}), &github_claims()), &entries).await.unwrap();
    assert_eq!(verified.entry, "release-notes");
}

#[tokio::test]
async fn nested_claims_match_member_by_member() {
    let world = World::new();
    let mut cluster = github();
    cluster.reuse_until_expiry = true;
    cluster.claims = members(
        json!({ "kubernetes.io": { "namespace": "agents", "serviceaccount": { "name": "worker" } } }),
    );
    let mut entry = workflow("enrich", Proof::Oidc(cluster));
    entry.principals =
        ["enrich", "mail-merge"].map(|name| Principal::Workflow(name.parse().unwrap())).to_vec();
    let entries = [entry];
    let token = |namespace: &str, name: &str| {
        let pod = json!({ "kubernetes.io": { "namespace": namespace, "pod": { "uid": "1" },
            "serviceaccount": { "name": name, "uid": "2" } } });
        rs256(json!({}), &with(github_claims(), pod))
    };
    let verified = world.identities.verify(&token("agents", "worker"), &entries).await.unwrap();
    assert!(verified.reuse);
    assert_eq!(verified.principal(Some("workflow:enrich")).unwrap().to_string(), "workflow:enrich");
    for unlisted in [None, Some("workflow:other"), Some("enrich"), Some("")] {
        assert_eq!(verified.principal(unlisted), Err(IdentityError::WorkflowUnlisted));
    }
    for (namespace, name) in [("agents", "other"), ("kube-system", "worker")] {
        let refused = world.identities.verify(&token(namespace, name), &entries).await;
        assert_eq!(refused.unwrap_err(), IdentityError::Unmatched);
    }
}

#[test]
fn claims_are_compared_exactly() {
    let equal = |claim: Value, wanted: Value| {
        claims::matches(json!({ "c": claim }).as_object().unwrap(), &members(json!({ "c": wanted })))
    };
    assert!(
        equal(json!(1), json!(1))
            && equal(json!(true), json!(true))
            && equal(json!([1, "a"]), json!([1, "a"]))
    );
    for (claim, wanted) in [
        (json!(1), json!("1")),
        (json!(1), json!(1.0)),
        (json!(1.0), json!(1)),
        (json!(1.5), json!(1.5)),
        (json!(null), json!(null)),
        (json!("true"), json!(true)),
        (json!(["a", "b"]), json!(["b", "a"])),
        (json!(["a", "b"]), json!("a")),
        (json!("Prod"), json!("prod")),
        (json!({}), json!({ "a": 1 })),
    ] {
        assert!(!equal(claim.clone(), wanted.clone()), "{claim} {wanted}");
    }
}

#[tokio::test]
async fn without_a_jti_the_signing_input_is_the_replay_key() {
    let world = World::new();
    let claims = with(github_claims(), json!({ "jti": null }));
    let hash =
        async |token: &str| world.identities.verify(token, &notes(github())).await.unwrap().replay.hash;
    let (first, second) = (es256(json!({}), &claims), es256(json!({}), &claims));
    assert_ne!(first, second, "ECDSA signatures differ each time");
    assert_eq!(hash(&first).await, hash(&second).await);
    assert_eq!(hash(&first).await, hash(&mirrored(&first)).await, "(r, n - s) is a signature too");
    let later = with(claims, json!({ "iat": NOW - 4 }));
    assert_ne!(hash(&first).await, hash(&es256(json!({}), &later)).await);
}

/// The other valid ECDSA signature over the same bytes.
fn mirrored(token: &str) -> String {
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(order[at]) - i16::from(signature[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        signature[32 + at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}
