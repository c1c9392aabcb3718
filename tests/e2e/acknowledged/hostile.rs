//! Messages that are forged, old, another's, or nonsense.

use serde_json::{Value, json};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::jws;
use shortbread_protocol::verifiers::{
    GOODBYE, GOODBYE_TYPE, Goodbye, LEASE, Message, REPORT, REPORT_TYPE, Report,
};
use shortbread_tests::{World, assertion, jws as any_jws};

use super::client::{
    Instance, ask, both, github, instance_key, lease, lease_body, send, states, status, two, world,
};

async fn refused(world: &World, text: String, status: u16, reason: &str) {
    let answer = send(world, REPORT, text.clone()).await;
    assert_eq!((answer.status, answer.reason()), (status, reason), "{text}: {answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("www-authenticate").starts_with("Bearer "), status == 401, "{answer:?}");
}

async fn two_instances() -> (World, Instance, Instance) {
    let world = world(&two()).await;
    let one = lease(&world, "github", &github(), 1).await;
    let other = lease(&world, "both", &both(), 2).await;
    (world, one, other)
}

#[tokio::test]
async fn only_its_own_key_speaks_for_an_instance() {
    let (world, one, other) = two_instances().await;
    let message = one.message(&world, one.at(&world, 0));
    for key in [&other.key, &github(), &instance_key(99)] {
        refused(&world, jws::sign(REPORT_TYPE, &one.id, &message, key), 401, "identity.invalid").await;
    }
    let strange = instance_key(99);
    let text = jws::sign(REPORT_TYPE, &strange.public().thumbprint(), &message, &strange);
    refused(&world, text, 401, "verifier.unknown").await;
    let sound = one.signed(&message);
    let (signed, signature) = sound.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let (_, claims) = one
        .signed(&one.message(&world, one.at(&world, 0)))
        .split_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let claims = claims.split('.').next().unwrap().to_owned();
    refused(&world, format!("{header}.{claims}.{signature}"), 401, "identity.invalid").await;
    // The message that all this was made of is still good.
    assert_eq!(send(&world, REPORT, sound).await.status, 200);
}

#[tokio::test]
async fn a_message_counts_once_here_and_now() {
    let (world, one, other) = two_instances().await;
    let now = world.clock.now().seconds();
    let said = |message: Message<Report>| one.signed(&message);
    let fresh = || one.message(&world, one.at(&world, 0));
    let sound = fresh();
    assert_eq!(send(&world, REPORT, said(sound.clone())).await.status, 200);
    refused(&world, said(sound.clone()), 409, "verifier.replayed").await;
    refused(&world, said(Message { n: 0, ..sound.clone() }), 409, "verifier.replayed").await;
    refused(&world, said(Message { iat: now - 61, ..fresh() }), 401, "identity.invalid").await;
    refused(&world, said(Message { iat: now + 61, ..fresh() }), 401, "identity.invalid").await;
    let elsewhere = Message { aud: "https://other.example".to_owned(), ..fresh() };
    refused(&world, said(elsewhere), 401, "identity.invalid").await;
    refused(&world, said(Message { n: 1 << 53, ..fresh() }), 400, "request.malformed").await;
    let ahead = Message { said: one.at(&world, 1_000_000), ..fresh() };
    refused(&world, said(ahead), 400, "request.malformed").await;
    // One instance's number is not another's.
    assert_eq!(other.report(&world, 0).await.status, 200);
    let message = one.message(&world, one.at(&world, 0));
    assert_eq!(send(&world, REPORT, said(Message { iat: now - 60, ..message })).await.status, 200);
}

#[tokio::test]
async fn one_kind_of_message_is_not_another() {
    let (world, one, _) = two_instances().await;
    let (report, goodbye) = (one.message(&world, one.at(&world, 0)), one.message(&world, Goodbye {}));
    let goodbye = jws::sign(GOODBYE_TYPE, &one.id, &goodbye, &one.key);
    refused(&world, goodbye.clone(), 400, "request.malformed").await;
    let answer = send(&world, GOODBYE, one.signed(&report)).await;
    assert_eq!((answer.status, answer.reason()), (400, "request.malformed"));
    let empty = jws::sign(REPORT_TYPE, &one.id, &one.message(&world, Goodbye {}), &one.key);
    refused(&world, empty, 400, "request.malformed").await;
    assert_eq!(states(&world).await, [2, 0, 0, 0]);
    assert_eq!(send(&world, GOODBYE, goodbye).await.reason(), "", "its number is above all that was taken");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let (world, one, _) = two_instances().await;
    let sound = serde_json::to_value(one.message(&world, one.at(&world, 0))).unwrap();
    let header = json!({ "alg": "EdDSA", "typ": REPORT_TYPE, "kid": one.id });
    let said = |header: &Value, claims: &Value| any_jws(&one.key, header, claims);
    for (name, value) in [("extra", json!(1)), ("n", json!(-1)), ("n", json!("2")), ("step", json!("fast"))] {
        let mut claims = sound.clone();
        claims[name] = value;
        refused(&world, said(&header, &claims), 400, "request.malformed").await;
    }
    for name in ["aud", "n", "iat", "seq", "step"] {
        let mut claims = sound.clone();
        claims.as_object_mut().unwrap().remove(name);
        refused(&world, said(&header, &claims), 400, "request.malformed").await;
    }
    for (name, value) in
        [("alg", json!("none")), ("alg", json!("HS256")), ("typ", json!("JWT")), ("crit", json!(["x"]))]
    {
        let mut header = header.clone();
        header[name] = value;
        refused(&world, said(&header, &sound), 400, "request.malformed").await;
    }
    for text in ["", "a", "a.b.c", "..", "\u{e9}.\u{e9}.\u{e9}"] {
        refused(&world, text.to_owned(), 400, "request.malformed").await;
    }
    let large = send(&world, REPORT, "a".repeat(64 * 1024 + 1)).await;
    assert_eq!((large.status, large.reason()), (413, "request.malformed"));
    let typed = world.post(REPORT, "application/json", said(&header, &sound)).await;
    assert_eq!(typed.status, 415);
}

#[tokio::test]
async fn an_instance_has_a_budget_of_its_own() {
    let (world, one, other) = two_instances().await;
    for _ in 0..10 {
        assert_eq!(one.report(&world, 0).await.status, 200);
    }
    let limited = one.report(&world, 0).await;
    assert_eq!((limited.status, limited.reason(), limited.header("retry-after")), (429, "rate.limited", "1"));
    assert_eq!(other.report(&world, 0).await.status, 200);
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(one.report(&world, 0).await.status, 200);
}

#[tokio::test]
async fn only_a_verifier_takes_a_lease() {
    let world = world(&two()).await;
    let refused = async |body: Value, status: u16, reason: &str| {
        let answer = ask(&world, &body).await;
        assert_eq!((answer.status, answer.reason()), (status, reason), "{body}: {answer:?}");
    };
    let proof = |who: &str| assertion(&github(), &world.claims(who));
    let once = proof("verifier:github");
    assert_eq!(ask(&world, &lease_body(&once, 1, "host")).await.status, 200);
    refused(lease_body(&once, 1, "host"), 401, "identity.invalid").await;
    refused(lease_body(&proof("verifier:both"), 1, "host"), 401, "identity.invalid").await;
    refused(lease_body(&world.assertion("workflow:demo", "demo"), 2, "host"), 403, "identity.unmatched")
        .await;
    refused(lease_body(&world.assertion("operator:alice", "operator"), 2, "x"), 403, "identity.unmatched")
        .await;
    refused(lease_body("nonsense", 2, "host"), 401, "identity.invalid").await;
    // A key that another verifier's instance has is nobody else's.
    let other = assertion(&both(), &world.claims("verifier:both"));
    refused(lease_body(&other, 1, "host"), 400, "request.malformed").await;
    let unused = proof("verifier:github");
    let body = lease_body(&unused, 2, "host");
    let with = |name: &str, value: Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };
    for bad in [
        with("key", json!("AAAA")),
        with("key", json!("A".repeat(43))),
        with("label", json!("")),
        with("label", json!("x".repeat(65))),
        with("label", json!("a\u{1b}[31m")),
        with("more", json!(1)),
        json!({}),
    ] {
        refused(bad, 400, "request.malformed").await;
    }
    assert_eq!(world.post(LEASE, "text/plain", body.to_string()).await.status, 415);
    assert_eq!(ask(&world, &body).await.status, 200, "none of these used the assertion up");
    assert_eq!(status(&world, "").await["verifiers"][1]["instances"]["enforcing"], 2);
}
