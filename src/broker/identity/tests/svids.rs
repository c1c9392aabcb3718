//! JWT-SVIDs: a trust domain's bundle alone vouches for its names.

use super::*;
use crate::policy::model::Spiffe;

const ID: &str = "spiffe://acme.example/agents/worker";
const BUNDLE: &str = "https://spire.acme.example/bundle";

fn spiffe(id: &str, bundle: KeySource) -> Spiffe {
    Spiffe {
        id: id.parse().unwrap(),
        issuer: None,
        audience: BROKER.to_owned(),
        bundle,
        allow_private: false,
        reuse_until_expiry: false,
        max_age: None,
    }
}

fn worker() -> Spiffe {
    spiffe(ID, KeySource::Url(BUNDLE.to_owned()))
}

fn entries(spiffe: Spiffe) -> Vec<Identity> {
    vec![workflow("worker", Proof::Spiffe(spiffe))]
}

fn svid_key(jwk: Value) -> Value {
    with(jwk, json!({ "use": "jwt-svid", "alg": null }))
}

/// A bundle as SPIRE publishes it: certificates beside the keys of tokens.
fn bundle(keys: &[Value]) -> Value {
    let certificate = with(rsa_jwk("x509"), json!({ "use": "x509-svid", "kid": null, "x5c": ["AAAA"] }));
    let keys: Vec<Value> = [certificate].into_iter().chain(keys.iter().cloned()).collect();
    json!({ "keys": keys, "spiffe_sequence": 7, "spiffe_refresh_hint": 300 })
}

fn world() -> World {
    let world = World::new();
    world.net.serve(BUNDLE, &bundle(&[svid_key(ec_jwk("ec"))]));
    world
}

/// What SPIRE says by default; `iss` and `jti` are absent.
fn svid_claims() -> Value {
    json!({ "sub": ID, "aud": [BROKER], "iat": NOW - 5, "exp": NOW + 295 })
}

fn svid(change: Value) -> String {
    es256(json!({}), &with(svid_claims(), change))
}

#[tokio::test]
async fn a_jwt_svid_becomes_its_workflow() {
    let world = world();
    for header in [json!({}), json!({ "typ": "JWT" }), json!({ "typ": "JOSE" }), json!({ "kid": null })] {
        let token = es256(header, &svid_claims());
        let verified = world.identities.verify(&token, &entries(worker())).await.unwrap();
        assert_eq!((verified.entry.as_str(), verified.subject.as_str()), ("worker", ID));
        assert_eq!(verified.issuer, "spiffe://acme.example");
        assert_eq!((verified.jti, verified.key_thumbprint, verified.reuse), (None, None, false));
        assert_eq!(verified.replay.keep_until.seconds(), NOW + 325);
    }
    assert_eq!((world.net.count(BUNDLE), world.net.total()), (1, 1));
    let mut reused = worker();
    reused.reuse_until_expiry = true;
    assert!(world.identities.verify(&svid(json!({})), &entries(reused)).await.unwrap().reuse);
}

#[tokio::test]
async fn rsa_signs_svids_too_and_ed25519_never() {
    let world = World::new();
    world.net.serve(BUNDLE, &bundle(&[svid_key(rsa_jwk("rsa")), svid_key(ed_jwk("ed"))]));
    let token = rs256(json!({}), &svid_claims());
    world.identities.verify(&token, &entries(worker())).await.unwrap();
    let token = eddsa(json!({ "kid": "ed" }), &svid_claims());
    assert_eq!(world.cause(&token, &entries(worker())).await, Cause::UnknownKey);
    for alg in ["none", "HS256", "HS512"] {
        let token = rs256(json!({ "alg": alg }), &svid_claims());
        assert_eq!(world.cause(&token, &entries(worker())).await, Cause::Algorithm);
    }
    let lying = es256(json!({ "kid": "rsa" }), &svid_claims());
    assert_eq!(world.cause(&lying, &entries(worker())).await, Cause::OtherAlgorithm);
}

#[tokio::test]
async fn the_subject_is_the_spiffe_id_and_no_other() {
    let world = world();
    for sub in [
        "spiffe://acme.example/agents/other",
        "spiffe://acme.example/agents/worker/",
        "spiffe://acme.example/agents/Worker",
        "spiffe://acme.example/agents/worker/child",
        "spiffe://acme.example/agents/x/../worker",
        "spiffe://acme.example/agents/%77orker",
        "spiffe://acme.example/",
    ] {
        let refused = world.identities.verify(&svid(json!({ "sub": sub })), &entries(worker())).await;
        assert_eq!(refused.unwrap_err(), IdentityError::Unmatched, "{sub}");
    }
    for sub in [
        "spiffe://other.example/agents/worker",
        "spiffe://ACME.example/agents/worker",
        "spiffe://acme.example:443/agents/worker",
        "spiffe://acme.example.evil.example/agents/worker",
    ] {
        assert_eq!(world.cause(&svid(json!({ "sub": sub })), &entries(worker())).await, Cause::UnknownIssuer);
    }
    for sub in
        [json!("agents/worker"), json!("SPIFFE://acme.example/agents/worker"), json!([ID]), json!(null)]
    {
        assert_eq!(world.cause(&svid(json!({ "sub": sub })), &entries(worker())).await, Cause::NoIssuer);
    }
}

#[tokio::test]
async fn no_other_domains_key_vouches_for_a_name() {
    let world = World::new();
    let pinned = |jwk: Value| KeySource::Pinned(bundle(&[svid_key(jwk)]).to_string());
    let foreign = "spiffe://foreign.example/agents/worker";
    let both = [
        workflow("worker", Proof::Spiffe(spiffe(ID, pinned(ec_jwk("ec"))))),
        workflow("foreign", Proof::Spiffe(spiffe(foreign, pinned(rsa_jwk("rsa"))))),
    ];
    let by = |sub: &str, sign: fn(Value, &Value) -> String, kid: Value| {
        sign(json!({ "kid": kid }), &with(svid_claims(), json!({ "sub": sub })))
    };
    let ours = world.identities.verify(&by(ID, es256, json!("ec")), &both).await.unwrap();
    let theirs = world.identities.verify(&by(foreign, rs256, json!("rsa")), &both).await.unwrap();
    assert_eq!((ours.entry.as_str(), theirs.entry.as_str()), ("worker", "foreign"));
    assert_eq!(world.cause(&by(ID, rs256, json!("rsa")), &both).await, Cause::UnknownKey);
    assert_eq!(world.cause(&by(ID, rs256, json!("ec")), &both).await, Cause::OtherAlgorithm);
    assert_eq!(world.cause(&by(ID, rs256, Value::Null), &both).await, Cause::UnclearKey);
    assert_eq!(world.cause(&by(foreign, es256, json!("ec")), &both).await, Cause::UnknownKey);
    assert_eq!(world.net.total(), 0);
}

#[tokio::test]
async fn an_issuer_cannot_speak_for_a_trust_domain() {
    let world = world();
    // GitHub's own key, and an entry that would take whatever GitHub says of this subject.
    let mut oidc = github();
    oidc.claims = members(json!({ "sub": ID }));
    let token = rs256(json!({}), &with(github_claims(), json!({ "sub": ID })));
    let alone = notes(oidc.clone());
    assert_eq!(world.identities.verify(&token, &alone).await.unwrap().entry, "release-notes");
    let both = [notes(oidc), entries(worker())].concat();
    assert_eq!(world.cause(&token, &both).await, Cause::UnknownKey, "the bundle alone counts");
    // Nor does a registered key under its own name.
    let both = [demo(), entries(worker())].concat();
    let assertion = eddsa(json!({}), &with(demo_claims(), json!({ "sub": ID })));
    assert_eq!(world.cause(&assertion, &both).await, Cause::UnclearKey);
}

#[tokio::test]
async fn only_keys_that_are_for_jwt_svids_count() {
    for key in [
        ec_jwk("ec"),
        with(ec_jwk("ec"), json!({ "use": "sig" })),
        with(ec_jwk("ec"), json!({ "use": "x509-svid" })),
        with(ec_jwk("ec"), json!({ "use": "JWT-SVID" })),
        with(svid_key(ec_jwk("ec")), json!({ "d": "AAAA" })),
    ] {
        let world = World::new();
        world.net.serve(BUNDLE, &bundle(std::slice::from_ref(&key)));
        assert_eq!(world.cause(&svid(json!({})), &entries(worker())).await, Cause::UnknownKey, "{key}");
    }
    let world = World::new();
    world.net.serve(BUNDLE, &bundle(&[with(svid_key(ec_jwk("ec")), json!({ "kid": null }))]));
    let token = es256(json!({ "kid": null }), &svid_claims());
    assert_eq!(world.cause(&token, &entries(worker())).await, Cause::UnclearKey, "a key must have a kid");
    // And the other way round: an issuer's set has no use for them.
    let world = World::new();
    world.net.serve(JWKS, &json!({ "keys": [svid_key(ec_jwk("ec")), rsa_jwk("rsa")] }));
    let token = es256(json!({}), &github_claims());
    assert_eq!(world.cause(&token, &notes(github())).await, Cause::UnknownKey);
}

#[tokio::test]
async fn times_and_audience_of_an_svid() {
    let world = world();
    for (change, cause) in [
        (json!({ "exp": null }), Cause::Missing("exp")),
        (json!({ "exp": NOW - 30, "iat": NOW - 60 }), Cause::Expired),
        (json!({ "iat": NOW - 601 }), Cause::TooOld),
        (json!({ "iat": NOW + 31 }), Cause::FromTheFuture),
        (json!({ "iat": null, "exp": NOW + 3601 }), Cause::Lifetime),
        (json!({ "iat": null, "exp": NOW - 30 }), Cause::Expired),
        (json!({ "nbf": NOW + 31 }), Cause::NotYetValid),
        (json!({ "aud": null }), Cause::Missing("aud")),
        (json!({ "aud": [] }), Cause::Audience),
        (json!({ "aud": [BROKER, "https://other.example"] }), Cause::Audience),
        (json!({ "aud": "https://other.example" }), Cause::Audience),
        (json!({ "iss": "" }), Cause::NoIssuer),
        (json!({ "iss": 5 }), Cause::NoIssuer),
    ] {
        assert_eq!(world.cause(&svid(change.clone()), &entries(worker())).await, cause, "{change}");
    }
    for change in [
        json!({ "iat": null, "exp": NOW + 3600 }),
        json!({ "iat": NOW - 600 }),
        json!({ "aud": BROKER }),
        json!({ "iss": "https://anything.example" }),
    ] {
        let verified = world.identities.verify(&svid(change.clone()), &entries(worker())).await.unwrap();
        assert_eq!(verified.issued.is_none(), change["iat"].is_null() && change.get("iat").is_some());
        // Without `iat`: the first moment at which it could be taken, an hour before its end.
        let first = verified.issued.map_or(verified.expires.seconds() - 3600, Timestamp::seconds);
        assert_eq!(verified.replay.made.seconds(), first);
    }
    let mut young = worker();
    young.max_age = Some(Duration::from_secs(60));
    assert_eq!(world.cause(&svid(json!({ "iat": null })), &entries(young)).await, Cause::Missing("iat"));
    for typ in ["dpop+jwt", "wpt+jwt", "logout+jwt", "client-authentication+jwt"] {
        let token = es256(json!({ "typ": typ }), &svid_claims());
        assert_eq!(world.cause(&token, &entries(worker())).await, Cause::Type, "{typ}");
    }
    let token = es256(json!({ "crit": ["x"] }), &svid_claims());
    assert_eq!(world.cause(&token, &entries(worker())).await, Cause::Critical);
}

#[tokio::test]
async fn an_entry_may_pin_the_issuer_too() {
    let world = world();
    let mut pinned = worker();
    pinned.issuer = Some("https://spire.acme.example".to_owned());
    let right = svid(json!({ "iss": "https://spire.acme.example" }));
    assert!(world.identities.verify(&right, &entries(pinned.clone())).await.is_ok());
    for iss in [json!(null), json!("https://spire.acme.example/"), json!(GITHUB)] {
        let refused = world.identities.verify(&svid(json!({ "iss": iss })), &entries(pinned.clone())).await;
        assert_eq!(refused.unwrap_err(), IdentityError::Unmatched, "{iss}");
    }
    let both = [entries(pinned), entries(worker())].concat();
    let refused = world.identities.verify(&right, &both).await;
    assert_eq!(refused.unwrap_err(), IdentityError::Ambiguous);
}

#[tokio::test]
async fn ids_of_a_trust_domain_are_remembered_apart() {
    let world = world();
    let hash = async |change: Value| {
        world.identities.verify(&svid(change), &entries(worker())).await.unwrap().replay.hash
    };
    let first = hash(json!({ "jti": "one" })).await;
    assert_eq!(first, hash(json!({ "jti": "one", "more": true })).await);
    assert_eq!(first, hash(json!({ "jti": "one", "iss": "https://spire.acme.example" })).await);
    assert_ne!(first, hash(json!({ "jti": "two" })).await);
    assert_eq!(hash(json!({})).await, hash(json!({})).await, "without jti the signing input");
    assert_ne!(hash(json!({})).await, hash(json!({ "iat": NOW - 4 })).await);
    let of = |by: &Name<'_>| claims::replay(by, Some("one"), b"", NEVER).hash;
    let domain = "spiffe://acme.example";
    assert_eq!(first, of(&Name::TrustDomain(domain.to_owned())));
    assert_ne!(first, of(&Name::Issuer(domain)), "an issuer of that very name");
    assert_ne!(first, of(&Name::Issuer("jwt-svid")));
}

#[tokio::test]
async fn an_empty_bundle_takes_every_key_back() {
    let world = world();
    world.identities.verify(&svid(json!({})), &entries(worker())).await.unwrap();
    world.net.serve(BUNDLE, &bundle(&[]));
    world.clock.advance(Duration::from_secs(299));
    let later = || {
        let now = world.clock.now().seconds();
        svid(json!({ "iat": now, "exp": now + 300 }))
    };
    world.identities.verify(&later(), &entries(worker())).await.unwrap();
    assert_eq!(world.net.count(BUNDLE), 1, "not before the bundle's own hint");
    world.clock.advance(Duration::from_secs(1));
    world.identities.verify(&later(), &entries(worker())).await.unwrap();
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.net.count(BUNDLE), 2, "the hint");
    assert_eq!(world.cause(&later(), &entries(worker())).await, Cause::UnknownKey);
    // A bundle that cannot be read takes nothing back and gives nothing.
    let world = World::new();
    for bad in [json!({}), json!([]), bundle(&[svid_key(ec_jwk("ec")), svid_key(rsa_jwk("ec"))])] {
        world.net.serve(BUNDLE, &bad);
        world.clock.advance(Duration::from_secs(30));
        let refused = world.identities.verify(&svid(json!({})), &entries(worker())).await;
        assert_eq!(refused.unwrap_err(), IdentityError::Unavailable { retry_after: Duration::from_secs(30) });
    }
}

#[tokio::test]
async fn a_bundle_is_fetched_with_the_same_guards() {
    for url in ["http://spire.acme.example/b", "https://10.0.0.1/b", "https://169.254.169.254/b"] {
        let world = World::new();
        let token = svid(json!({}));
        let there = spiffe(ID, KeySource::Url(url.to_owned()));
        let refused = world.identities.verify(&token, &entries(there)).await;
        assert!(matches!(refused, Err(IdentityError::Unavailable { .. })), "{url}");
        assert_eq!(world.net.total(), 0);
    }
    let world = world();
    world.net.fail(BUNDLE, FetchError::Redirected);
    let refused = world.identities.verify(&svid(json!({})), &entries(worker())).await;
    assert!(matches!(refused, Err(IdentityError::Unavailable { .. })));
    let huge = with(bundle(&[svid_key(ec_jwk("ec"))]), json!({ "x": "x".repeat(256 * 1024) }));
    assert_eq!(KeySet::bundle(huge.to_string().as_bytes()).unwrap_err(), KeySetError::TooLarge);
    world.identities.retain(&demo());
    world.net.serve(BUNDLE, &bundle(&[svid_key(ec_jwk("ec"))]));
    world.identities.verify(&svid(json!({})), &entries(worker())).await.unwrap();
    assert_eq!(world.net.count(BUNDLE), 2, "forgotten with its entry");
}
