//! Key sets through time, on a fake network with counters.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn unavailable(seconds: u64) -> IdentityError {
    IdentityError::Unavailable { retry_after: Duration::from_secs(seconds) }
}

/// A token that is fresh whenever the clock says.
fn fresh(world: &World, kid: &str) -> String {
    let now = world.clock.now().seconds();
    rs256(json!({ "kid": kid }), &with(github_claims(), json!({ "iat": now, "nbf": now, "exp": now + 300 })))
}

async fn verify(world: &World, kid: &str) -> Result<Verified, IdentityError> {
    world.identities.verify(&fresh(world, kid), &notes(github())).await
}

/// Lets background tasks come to rest.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_warm_path_fetches_nothing() {
    let world = World::new();
    for _ in 0..5 {
        verify(&world, "rsa").await.unwrap();
    }
    assert_eq!((world.net.count(DISCOVERY), world.net.count(JWKS)), (1, 1));
}

#[tokio::test]
async fn the_cool_down_counts_attempts_that_fail() {
    let world = World::new();
    world.net.fail(JWKS, FetchError::Failed);
    assert_eq!(verify(&world, "rsa").await.unwrap_err(), unavailable(30));
    world.clock.advance(Duration::from_millis(9_500));
    assert_eq!(verify(&world, "rsa").await.unwrap_err(), unavailable(21), "rounded up");
    world.net.serve(JWKS, &json!({ "keys": [rsa_jwk("rsa")] }));
    world.clock.advance(Duration::from_secs(20));
    assert_eq!(verify(&world, "rsa").await.unwrap_err(), unavailable(1));
    assert_eq!(world.net.count(JWKS), 1, "nothing is fetched while cooling down");
    world.clock.advance(Duration::from_secs(1));
    verify(&world, "rsa").await.unwrap();
    assert_eq!(world.net.count(JWKS), 2);
}

#[tokio::test]
async fn unsound_key_sets_are_refused_and_cool_down_too() {
    let many: Vec<Value> = (0..257).map(|n| rsa_jwk(&n.to_string())).collect();
    let huge = format!(r#"{{"keys":[{}],"x":"{}"}}"#, rsa_jwk("rsa"), "x".repeat(256 * 1024));
    for body in [
        json!({ "keys": [] }).to_string(),
        json!({ "keys": [rsa_jwk("rsa"), ec_jwk("rsa")] }).to_string(),
        json!({ "keys": [rsa_jwk("rsa"), { "kty": "oct", "kid": "rsa", "k": "AAAA" }] }).to_string(),
        json!({ "keys": [rsa_jwk("rsa"), 5] }).to_string(),
        json!({ "keys": [with(rsa_jwk("rsa"), json!({ "kid": 5 })), rsa_jwk("rsa")] }).to_string(),
        json!({ "keys": { "rsa": rsa_jwk("rsa") } }).to_string(),
        json!({ "keys": many }).to_string(),
        format!(r#"{{"keys":[],"keys":[{}]}}"#, rsa_jwk("rsa")),
        "<html>".to_owned(),
        String::new(),
        huge,
    ] {
        let world = World::new();
        world.net.serve_bytes(JWKS, body.clone().into_bytes(), None);
        assert_eq!(verify(&world, "rsa").await.unwrap_err(), unavailable(30));
        assert_eq!(verify(&world, "rsa").await.unwrap_err(), unavailable(30));
        assert_eq!(world.net.count(JWKS), 1, "{}", body.chars().take(60).collect::<String>());
    }
}

#[test]
fn unusable_keys_are_passed_over() {
    let usable = |jwk: Value| KeySet::read(json!({ "keys": [jwk] }).to_string().as_bytes());
    assert!(usable(rsa_jwk("a")).is_ok() && usable(ec_jwk("a")).is_ok() && usable(ed_jwk("a")).is_ok());
    for change in [
        json!({ "use": "enc" }),
        json!({ "key_ops": ["sign"] }),
        json!({ "alg": "RS512" }),
        json!({ "alg": "ES256" }),
        json!({ "alg": 5 }),
        json!({ "kty": "oct" }),
        json!({ "kty": "rsa" }),
        json!({ "n": keys::TEST_ONLY_SMALL_N }),
        json!({ "n": "!" }),
        json!({ "e": "AQ" }),
        json!({ "e": "Ag" }),
        json!({ "e": "" }),
        json!({ "d": "AAAA" }),
    ] {
        assert_eq!(usable(with(rsa_jwk("a"), change.clone())).unwrap_err(), KeySetError::Empty, "{change}");
    }
    for jwk in [
        with(ec_jwk("a"), json!({ "crv": "P-384" })),
        with(ec_jwk("a"), json!({ "x": "AAAA" })),
        with(ed_jwk("a"), json!({ "crv": "Ed448" })),
        with(ed_jwk("a"), json!({ "x": URL_SAFE_NO_PAD.encode([0; 32]) })),
        json!({ "kty": "oct", "k": "AAAA" }),
    ] {
        assert_eq!(usable(jwk.clone()).unwrap_err(), KeySetError::Empty, "{jwk}");
    }
    assert!(usable(with(rsa_jwk("a"), json!({ "key_ops": ["verify"], "alg": null, "use": null }))).is_ok());
}

#[tokio::test]
async fn a_point_off_the_curve_verifies_nothing() {
    let world = World::new();
    let off = with(ec_jwk("ec"), json!({ "y": keys::TEST_ONLY_P256_X }));
    world.net.serve(JWKS, &json!({ "keys": [off] }));
    assert_eq!(world.cause(&es256(json!({}), &github_claims()), &notes(github())).await, Cause::Signature);
}

#[tokio::test]
async fn an_unknown_kid_is_looked_for_once() {
    let world = World::new();
    verify(&world, "rsa").await.unwrap();
    world.clock.advance(Duration::from_secs(29));
    assert_eq!(verify(&world, "new").await.unwrap_err(), Cause::UnknownKey.into());
    assert_eq!(world.net.count(JWKS), 1, "the set is fresh enough to say no");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(verify(&world, "new").await.unwrap_err(), Cause::UnknownKey.into());
    assert_eq!(world.net.count(JWKS), 2);
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(verify(&world, "new").await.unwrap_err(), Cause::UnknownKey.into());
    assert_eq!(world.net.count(JWKS), 2, "remembered as missing beyond the cool-down");
    world.clock.advance(Duration::from_secs(1));
    world.net.serve(JWKS, &json!({ "keys": [rsa_jwk("new")] }));
    verify(&world, "new").await.unwrap();
    assert_eq!(verify(&world, "rsa").await.unwrap_err(), Cause::UnknownKey.into());
    assert_eq!(world.net.count(JWKS), 3);
}

#[tokio::test]
async fn a_strangers_kids_do_not_hide_a_new_key() {
    let world = World::new();
    verify(&world, "rsa").await.unwrap();
    for n in 0..400 {
        let _ = verify(&world, &format!("stranger-{n}")).await;
    }
    assert_eq!(verify(&world, "new").await.unwrap_err(), Cause::UnknownKey.into());
    assert_eq!(world.net.count(JWKS), 1);
    world.net.serve(JWKS, &json!({ "keys": [rsa_jwk("new")] }));
    world.clock.advance(Duration::from_secs(30));
    verify(&world, "new").await.unwrap();
}

#[tokio::test]
async fn a_bad_answer_never_evicts_good_keys() {
    let world = World::new();
    verify(&world, "rsa").await.unwrap();
    for (n, bad) in [json!({ "keys": [] }), json!([]), json!({ "keys": [ec_jwk("a"), ec_jwk("a")] })]
        .into_iter()
        .enumerate()
    {
        world.net.serve(JWKS, &bad);
        world.clock.advance(10 * MINUTE);
        verify(&world, "rsa").await.unwrap();
        settle().await;
        assert_eq!(world.net.count(JWKS), n + 2, "tried in the background");
        verify(&world, "rsa").await.unwrap();
        assert_eq!(
            verify(&world, "new").await.unwrap_err(),
            unavailable(30),
            "nobody knows whether it is new"
        );
    }
}

#[tokio::test]
async fn an_old_set_is_refreshed_behind_the_back_of_requests() {
    let world = World::new();
    verify(&world, "rsa").await.unwrap();
    world.net.serve(JWKS, &json!({ "keys": [rsa_jwk("new")] }));
    world.clock.advance(5 * MINUTE - Duration::from_millis(1));
    verify(&world, "rsa").await.unwrap();
    settle().await;
    assert_eq!(world.net.count(JWKS), 1, "five minutes are the default");
    world.clock.advance(Duration::from_millis(1));
    verify(&world, "rsa").await.unwrap();
    settle().await;
    assert_eq!(world.net.count(JWKS), 2);
    verify(&world, "new").await.unwrap();
    assert_eq!(verify(&world, "rsa").await.unwrap_err(), Cause::UnknownKey.into(), "withdrawn");
}

#[tokio::test]
async fn cache_control_counts_within_bounds() {
    let body = || json!({ "keys": [rsa_jwk("rsa")] }).to_string().into_bytes();
    for (said, kept) in [(0, 60), (600, 600), (1_000_000, 3600)] {
        let world = World::new();
        world.net.serve_bytes(JWKS, body(), Some(Duration::from_secs(said)));
        verify(&world, "rsa").await.unwrap();
        for (step, fetches) in [(kept - 1, 1), (1, 2)] {
            world.clock.advance(Duration::from_secs(step));
            verify(&world, "rsa").await.unwrap();
            settle().await;
            assert_eq!(world.net.count(JWKS), fetches, "max-age={said}");
        }
    }
}

#[tokio::test]
async fn after_a_day_a_set_is_used_no_more() {
    let world = World::new();
    verify(&world, "rsa").await.unwrap();
    world.net.fail(JWKS, FetchError::TimedOut);
    world.clock.advance(24 * 60 * MINUTE - Duration::from_millis(1));
    verify(&world, "rsa").await.unwrap();
    settle().await;
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(verify(&world, "rsa").await.unwrap_err(), unavailable(30));
    world.net.serve(JWKS, &json!({ "keys": [rsa_jwk("rsa")] }));
    world.clock.advance(Duration::from_secs(30));
    verify(&world, "rsa").await.unwrap();
}

#[tokio::test]
async fn those_who_ask_at_once_share_one_fetch() {
    let world = World::new();
    let closed = world.net.gate.acquire_many(1000).await.unwrap();
    let token = fresh(&world, "rsa");
    let ask = || {
        let (identities, token) = (Arc::clone(&world.identities), token.clone());
        tokio::spawn(async move { identities.verify(&token, &notes(github())).await })
    };
    let first = ask();
    settle().await;
    let others: Vec<_> = (0..20).map(|_| ask()).collect();
    settle().await;
    first.abort();
    settle().await;
    drop(closed);
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!((world.net.count(DISCOVERY), world.net.count(JWKS)), (1, 1), "though the first hung up");
}

#[tokio::test]
async fn a_slow_issuer_holds_up_only_so_many() {
    let world = World::new();
    let closed = world.net.gate.acquire_many(1000).await.unwrap();
    let token = fresh(&world, "rsa");
    let ask = || {
        let (identities, token) = (Arc::clone(&world.identities), token.clone());
        tokio::spawn(async move { identities.verify(&token, &notes(github())).await })
    };
    let waiting: Vec<_> = (0..64).map(|_| ask()).collect();
    settle().await;
    let turned_away = ask().await.unwrap().unwrap_err();
    assert_eq!(turned_away, IdentityError::Unavailable { retry_after: Duration::from_secs(1) });
    drop(closed);
    for waiter in waiting {
        waiter.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_slow_refresh_holds_nobody_up() {
    let world = World::new();
    verify(&world, "rsa").await.unwrap();
    let _closed = world.net.gate.acquire_many(1000).await.unwrap();
    world.clock.advance(10 * MINUTE);
    for _ in 0..3 {
        verify(&world, "rsa").await.unwrap();
        settle().await;
        world.clock.advance(MINUTE);
    }
    assert_eq!(world.net.count(DISCOVERY), 2, "one refresh runs at a time");
}

#[tokio::test]
async fn discovery_must_name_the_issuer_and_a_public_https_key_set() {
    for (document, fetched) in [
        (json!({ "issuer": format!("{GITHUB}/"), "jwks_uri": JWKS }), 0),
        (json!({ "issuer": "https://evil.example", "jwks_uri": JWKS }), 0),
        (json!({ "jwks_uri": JWKS }), 0),
        (json!({ "issuer": GITHUB }), 0),
        (json!({ "issuer": GITHUB, "jwks_uri": "http://keys.example/jwks" }), 0),
        (json!({ "issuer": GITHUB, "jwks_uri": "https://169.254.169.254/latest" }), 0),
        (json!({ "issuer": GITHUB, "jwks_uri": "https://[::ffff:10.0.0.1]/jwks" }), 0),
        (json!({ "issuer": GITHUB, "jwks_uri": "file:///etc/passwd" }), 0),
        (json!({ "issuer": GITHUB, "jwks_uri": "https://other.example/404" }), 1),
        (json!({ "issuer": GITHUB, "jwks_uri": JWKS, "x": "x".repeat(256 * 1024) }), 0),
    ] {
        let world = World::new();
        world.net.serve(DISCOVERY, &document);
        assert_eq!(verify(&world, "rsa").await.unwrap_err(), unavailable(30));
        assert_eq!(world.net.total(), 1 + fetched, "{}", document["jwks_uri"]);
    }
    let world = World::new();
    world.net.serve(DISCOVERY, &json!({ "issuer": GITHUB, "jwks_uri": "https://cdn.example/jwks" }));
    world.net.serve("https://cdn.example/jwks", &json!({ "keys": [rsa_jwk("rsa")] }));
    verify(&world, "rsa").await.unwrap();
}

#[tokio::test]
async fn a_key_set_url_or_a_pinned_set_needs_no_discovery() {
    let world = World::new();
    let mut direct = github();
    direct.keys = KeySource::Url(JWKS.to_owned());
    world.identities.verify(&fresh(&world, "rsa"), &notes(direct)).await.unwrap();
    assert_eq!((world.net.count(DISCOVERY), world.net.count(JWKS)), (0, 1));

    let mut pinned = github();
    pinned.keys = KeySource::Pinned(json!({ "keys": [rsa_jwk("rsa")] }).to_string());
    for _ in 0..2 {
        world.identities.verify(&fresh(&world, "rsa"), &notes(pinned.clone())).await.unwrap();
        assert_eq!(world.cause(&fresh(&world, "new"), &notes(pinned.clone())).await, Cause::UnknownKey);
        world.clock.advance(48 * 60 * MINUTE);
    }
    assert_eq!(world.net.total(), 1);
    pinned.keys = KeySource::Pinned("{}".to_owned());
    let refused = world.identities.verify(&fresh(&world, "rsa"), &notes(pinned)).await;
    assert_eq!(refused.unwrap_err(), unavailable(30));
}

#[tokio::test]
async fn entries_are_bound_to_their_own_source_of_keys() {
    let world = World::new();
    let mut pinned = github();
    pinned.keys = KeySource::Pinned(json!({ "keys": [ec_jwk("ec")] }).to_string());
    let entries = [notes(github()), vec![workflow("pinned", Proof::Oidc(pinned))]].concat();
    let verified = world.identities.verify(&fresh(&world, "rsa"), &entries).await.unwrap();
    assert_eq!(verified.entry, "release-notes", "the pinned set has no such key");
    let both = world.identities.verify(&es256(json!({}), &github_claims()), &entries).await;
    assert_eq!(both.unwrap_err(), IdentityError::Ambiguous);
}

#[tokio::test]
async fn without_a_kid_exactly_one_key_must_fit() {
    let world = World::new();
    let token = rs256(json!({ "kid": null }), &github_claims());
    world.identities.verify(&token, &notes(github())).await.unwrap();
    for keys in [json!([rsa_jwk("a"), rsa_jwk("b")]), json!([ec_jwk("ec")])] {
        let world = World::new();
        world.net.serve(JWKS, &json!({ "keys": keys }));
        assert_eq!(world.cause(&token, &notes(github())).await, Cause::UnclearKey);
    }
}

#[tokio::test]
async fn allow_private_is_handed_to_the_fetch_and_kept_apart() {
    let world = World::new();
    let mut inside = github();
    inside.allow_private = true;
    world.identities.verify(&fresh(&world, "rsa"), &notes(inside)).await.unwrap();
    verify(&world, "rsa").await.unwrap();
    let flags: Vec<bool> = world.net.requests.lock().unwrap().iter().map(|(_, private)| *private).collect();
    assert_eq!(flags, [true, true, false, false]);
}

#[tokio::test]
async fn issuers_that_the_policy_dropped_are_forgotten() {
    let world = World::new();
    verify(&world, "rsa").await.unwrap();
    world.identities.retain(&notes(github()));
    verify(&world, "rsa").await.unwrap();
    assert_eq!(world.net.count(JWKS), 1);
    world.identities.retain(&demo());
    verify(&world, "rsa").await.unwrap();
    assert_eq!(world.net.count(JWKS), 2);
}
