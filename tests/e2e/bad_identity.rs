//! An identity that does not hold gets one answer, whatever is wrong with it; the log tells operators what it was.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::oauth::{JWT, JWT_BEARER, TOKEN_EXCHANGE};
use shortbread_tests::{Answer, FakeIssuer, POLICY, World, assertion, jws};

use crate::bad_input::{SCOPE, is_refusal, nothing_changed};

/// What everyone is told of an identity that does not hold.
const DESCRIPTION: &str =
    "the identity was not accepted: unreadable, expired, replayed, or not meant for this broker";

/// The last character of a base64url text of 64 bytes holds four bits that say nothing: one of them set.
fn respelled(jws: &str) -> String {
    let (body, last) = jws.split_at(jws.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    format!("{body}{}", alphabet.chars().nth(place ^ 1).unwrap())
}

/// Bad assertions of workflow `demo`: a name, the assertion, and what the log says of it.
type Cases = Vec<(&'static str, String, &'static str)>;

/// A sound assertion but for one claim.
fn changed(world: &World, name: &str, value: Value) -> String {
    let mut claims = world.claims("workflow:demo");
    claims[name] = value;
    assertion(&world.key("demo"), &claims)
}

fn without(world: &World, name: &str) -> String {
    let mut claims = world.claims("workflow:demo");
    claims.as_object_mut().unwrap().remove(name);
    assertion(&world.key("demo"), &claims)
}

fn badly_written(world: &World) -> Cases {
    let sound = world.assertion("workflow:demo", "demo");
    let (_, rest) = sound.split_once('.').unwrap();
    let under = |header: Value| jws(&world.key("demo"), &header, &world.claims("workflow:demo"));
    let headed = |header: &str| format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
    vec![
        ("not a JWS", "nonsense".to_owned(), "three parts"),
        ("four parts", format!("{sound}.x"), "three parts"),
        ("too long", "a".repeat(17_000), "longer than 16 KiB"),
        ("padded", format!("{sound}=="), "canonical"),
        ("signature spelled anew", respelled(&sound), "canonical"),
        ("header with a member twice", headed(r#"{"alg":"EdDSA","alg":"none"}"#), "stands twice"),
        ("deep header", headed(&r#"{"a":"#.repeat(500)), "nested"),
        ("alg none", under(json!({ "alg": "none" })), "`alg` is not"),
        ("alg HS256", under(json!({ "alg": "HS256" })), "`alg` is not"),
        ("alg of another key type", under(json!({ "alg": "RS256" })), "another algorithm"),
        ("crit", under(json!({ "alg": "EdDSA", "crit": ["x"], "x": 1 })), "`crit`"),
        ("a DPoP proof", under(json!({ "alg": "EdDSA", "typ": "dpop+jwt" })), "`typ`"),
        ("a logout token", under(json!({ "alg": "EdDSA", "typ": "logout+jwt" })), "`typ`"),
        ("another's key", world.assertion("workflow:demo", "other"), "signature"),
    ]
}

fn badly_claimed(world: &World) -> Cases {
    let now = world.clock.now().seconds();
    let lived = |from: u64, to: u64| {
        let mut claims = world.claims("workflow:demo");
        (claims["iat"], claims["exp"]) = (json!(from), json!(to));
        assertion(&world.key("demo"), &claims)
    };
    let two = json!([world.issuer, "https://other.example"]);
    vec![
        ("unknown iss", changed(world, "iss", json!("workflow:nobody")), "names this `iss`"),
        ("iss of another", changed(world, "iss", json!("workflow:other")), "signature"),
        ("other sub", changed(world, "sub", json!("workflow:other")), "`sub` is not equal"),
        ("other aud", changed(world, "aud", json!("https://broker.example")), "`aud`"),
        ("several aud", changed(world, "aud", two), "`aud`"),
        ("no iss", without(world, "iss"), "`iss` is missing"),
        ("no sub", without(world, "sub"), "`sub` is missing"),
        ("no aud", without(world, "aud"), "`aud` is missing"),
        ("no exp", without(world, "exp"), "`exp` is missing"),
        ("no iat", without(world, "iat"), "`iat` is missing"),
        ("no jti", without(world, "jti"), "`jti` is missing"),
        ("empty jti", changed(world, "jti", json!("")), "`jti` is malformed"),
        ("exp as text", changed(world, "exp", json!((now + 60).to_string())), "`exp` is malformed"),
        ("exp as a fraction", changed(world, "exp", json!(1e300)), "`exp` is malformed"),
        ("exp too far", changed(world, "exp", json!(now + 3600)), "longer than allowed"),
        ("nbf ahead", changed(world, "nbf", json!(now + 3000)), "not valid yet"),
        ("iat ahead", lived(now + 3000, now + 3060), "in the future"),
        ("expired", lived(now - 200, now - 140), "has expired"),
        ("exp before iat", lived(now, now - 10), "not positive"),
    ]
}

#[tokio::test]
async fn every_bad_assertion_reads_the_same_and_is_told_apart_in_the_log() {
    let world = World::start().await;
    let now = world.clock.now();
    for (name, assertion, cause) in badly_written(&world).into_iter().chain(badly_claimed(&world)) {
        let answer = world.present(&assertion, &[SCOPE]).await;
        is_refusal(&answer, (401, "invalid_client", "identity.invalid"), DESCRIPTION);
        assert_eq!(answer.text("/error_description"), DESCRIPTION, "{name}");
        let recorded = world.audited(&answer).await;
        assert!(recorded["cause"].as_str().unwrap().contains(cause), "{name}: {recorded}");
        assert_eq!((&recorded["outcome"], &recorded["stage"]), (&json!("deny"), &json!("identity")));
        // A minute later, so that each refusal of a stranger has an entry of its own; but not by the wall clock.
        world.clock.advance(Duration::from_secs(61));
        world.clock.jump_to(now);
    }
    nothing_changed(&world).await;
}

#[tokio::test]
async fn every_grant_type_says_it_by_its_own_code() {
    let world = World::start().await;
    let used = world.assertion("workflow:demo", "demo");
    assert_eq!(world.present(&used, &[SCOPE]).await.status, 200);
    for bad in ["x.y.z", &used] {
        let invalid_grant = (400, "invalid_grant", "identity.invalid");
        let bearer = [("grant_type", JWT_BEARER), ("assertion", bad), SCOPE];
        is_refusal(&world.form("/oauth/token", &bearer).await, invalid_grant, DESCRIPTION);
        let subject =
            [("grant_type", TOKEN_EXCHANGE), ("subject_token", bad), ("subject_token_type", JWT), SCOPE];
        is_refusal(&world.form("/oauth/token", &subject).await, invalid_grant, DESCRIPTION);
        is_refusal(
            &world.present(bad, &[SCOPE]).await,
            (401, "invalid_client", "identity.invalid"),
            DESCRIPTION,
        );
    }
}

#[tokio::test]
async fn an_assertion_is_taken_once_whatever_came_of_it() {
    let world = World::start().await;
    let replayed = (401, "invalid_client", "identity.invalid");
    let granted = world.assertion("workflow:demo", "demo");
    assert_eq!(world.present(&granted, &[SCOPE]).await.status, 200);
    is_refusal(&world.present(&granted, &[SCOPE]).await, replayed, DESCRIPTION);
    let refused = world.assertion("workflow:demo", "demo");
    assert_eq!(world.present(&refused, &[("scope", "github:repo.delete")]).await.status, 400);
    is_refusal(&world.present(&refused, &[SCOPE]).await, replayed, DESCRIPTION);
    // Its id counts, not its bytes; and only for its own issuer.
    let mut claims = world.claims("workflow:demo");
    claims["jti"] = "one".into();
    assert_eq!(world.present(&assertion(&world.key("demo"), &claims), &[SCOPE]).await.status, 200);
    claims["more"] = "bytes".into();
    is_refusal(
        &world.present(&assertion(&world.key("demo"), &claims), &[SCOPE]).await,
        replayed,
        DESCRIPTION,
    );
    let mut other = world.claims("workflow:other");
    other["jti"] = "one".into();
    assert_eq!(world.present(&assertion(&world.key("other"), &other), &[SCOPE]).await.status, 200);
    // And after a restart.
    let world = world.restart().await;
    is_refusal(&world.present(&granted, &[SCOPE]).await, replayed, DESCRIPTION);
}

#[tokio::test]
async fn two_at_once_with_one_assertion_get_one_token() {
    let world = World::start().await;
    let assertion = world.assertion("workflow:demo", "demo");
    let scope = [SCOPE];
    let ask = || world.present(&assertion, &scope);
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    let granted = [a, b, c].iter().filter(|answer| answer.status == 200).count();
    assert_eq!(granted, 1);
    assert_eq!(world.broker.store.counts().await.unwrap().tokens, 1);
}

/// A world with workflows that an issuer vouches for: `web` by one claim, `prod` by another, and one worker for two.
async fn with_issuer() -> (World, Arc<FakeIssuer>) {
    let issuer = FakeIssuer::start();
    let (url, mut policy) = (FakeIssuer::URL, POLICY.to_owned());
    for (who, claims) in [
        ("workflow = \"web\"", r#"{ repo = "web" }"#),
        ("workflow = \"prod\"", r#"{ environment = "prod" }"#),
        ("workflows = [\"enrich\", \"merge\"]", r#"{ pool = "workers" }"#),
    ] {
        policy += &format!(
            "[[identities]]\n{who}\nissuer = \"{url}\"\naudience = \"shortbread\"\nclaims = {claims}\n"
        );
    }
    for name in ["web", "prod", "enrich", "merge"] {
        policy +=
            &format!("[[grants]]\nworkflow = \"{name}\"\ntool = \"github\"\nverbs = [\"issues.read\"]\n");
    }
    (World::builder().policy(&policy).fetch(issuer.clone()).start().await, issuer)
}

async fn with_token(world: &World, issuer: &FakeIssuer, change: Value, more: &[(&str, &str)]) -> Answer {
    let mut claims = world.claims("job");
    (claims["iss"], claims["aud"]) = (FakeIssuer::URL.into(), "shortbread".into());
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let token = issuer.token(&claims);
    let mut form = vec![
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token_type", JWT),
        ("subject_token", token.as_str()),
        SCOPE,
    ];
    form.extend_from_slice(more);
    world.form("/oauth/token", &form).await
}

#[tokio::test]
async fn exactly_one_entry_must_want_an_identity() {
    let (world, issuer) = with_issuer().await;
    let unmatched = (400, "unauthorized_client", "identity.unmatched");
    let web = with_token(&world, &issuer, json!({ "repo": "web" }), &[]).await;
    assert_eq!(world.audited(&web).await["workflow"], "web");
    for claims in [
        json!({}),
        json!({ "repo": "docs" }),
        json!({ "repo": ["web"] }),
        json!({ "repo": "web", "environment": "prod" }),
    ] {
        let answer = with_token(&world, &issuer, claims, &[]).await;
        is_refusal(&answer, unmatched, "no identity entry of the policy matches exactly once");
    }
    for aud in [json!("other"), json!(["shortbread", "other"]), json!(world.issuer)] {
        let answer = with_token(&world, &issuer, json!({ "repo": "web", "aud": aud }), &[]).await;
        is_refusal(&answer, (400, "invalid_grant", "identity.invalid"), DESCRIPTION);
    }
    assert_eq!(issuer.asked(), 2, "one discovery document, one key set");
}

#[tokio::test]
async fn a_worker_of_several_workflows_says_which() {
    let (world, issuer) = with_issuer().await;
    let unlisted = (400, "unauthorized_client", "identity.workflow_unlisted");
    let pool = || json!({ "pool": "workers" });
    for wrong in [None, Some("workflow:demo"), Some("operator:alice"), Some("enrich")] {
        let more: Vec<_> = wrong.map(|id| ("client_id", id)).into_iter().collect();
        is_refusal(&with_token(&world, &issuer, pool(), &more).await, unlisted, "client_id");
    }
    let right = with_token(&world, &issuer, pool(), &[("client_id", "workflow:merge")]).await;
    assert_eq!(world.audited(&right).await["workflow"], "merge");
    let other = world.exchange("workflow:demo", "demo", &[SCOPE, ("client_id", "operator:alice")]).await;
    is_refusal(&other, unlisted, "client_id");
}

#[tokio::test]
async fn an_issuer_that_is_down_is_waited_for() {
    let (world, issuer) = with_issuer().await;
    issuer.set_down(true);
    let down = with_token(&world, &issuer, json!({ "repo": "web" }), &[]).await;
    is_refusal(
        &down,
        (503, "temporarily_unavailable", "identity.issuer_unavailable"),
        "cannot be had right now",
    );
    assert_eq!(down.body["shortbread"]["retryable"], true);
    let wait: u64 = down.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    issuer.set_down(false);
    let early = with_token(&world, &issuer, json!({ "repo": "web" }), &[]).await;
    assert_eq!((early.status, issuer.asked()), (503, 1), "not asked again before its time");
    world.clock.advance(Duration::from_secs(wait));
    assert_eq!(with_token(&world, &issuer, json!({ "repo": "web" }), &[]).await.status, 200);
    // Its keys are at hand now.
    issuer.set_down(true);
    assert_eq!(with_token(&world, &issuer, json!({ "repo": "web" }), &[]).await.status, 200);
}
