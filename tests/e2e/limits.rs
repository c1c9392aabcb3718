//! Nobody asks without end: limits by address, by grant and for failed authentication, and a log that strangers
//! cannot fill.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shortbread_tests::{Answer, POLICY, World};
use tokio::task::JoinSet;

const SCOPE: [(&str, &str); 1] = [("scope", "github:issues.read")];
const LIMITED: (u16, &str, &str) = (429, "slow_down", "rate.limited");

async fn with(config: &str) -> World {
    World::builder().config(config).start().await
}

/// Asks with a sound assertion, as if a proxy forwarded it for this address.
async fn forwarded(world: &World, address: &str) -> Answer {
    let assertion = world.assertion("workflow:demo", "demo");
    let body = format!(
        "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer\
         &scope=github:issues.read&client_assertion={assertion}"
    );
    let request = world.http.post(format!("{}/oauth/token", world.issuer)).header("x-forwarded-for", address);
    world.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
}

async fn bad(world: &World) -> Answer {
    world.exchange("workflow:demo", "other", &SCOPE).await
}

fn wait(answer: &Answer) -> Duration {
    let seconds: u64 =
        answer.header("retry-after").parse().unwrap_or_else(|_| panic!("no time in {answer:?}"));
    assert!((1..=60).contains(&seconds), "{seconds}");
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn an_address_asks_so_often_a_second() {
    let world = with("[limits]\nexchanges_per_second = 3").await;
    for _ in 0..3 {
        assert_eq!(world.demo("github:issues.read").await.status, 200);
    }
    let limited = world.demo("github:issues.read").await;
    assert_eq!(limited.refusal(), LIMITED);
    assert_eq!(limited.body["shortbread"]["retryable"], true);
    world.clock.advance(wait(&limited));
    assert_eq!(world.demo("github:issues.read").await.status, 200);
    assert_eq!(world.get("/revocations/head").await.status, 200, "verifiers are not held up");
}

#[tokio::test]
async fn a_grant_is_used_so_often() {
    let rated = POLICY.replacen("max_ttl = \"10m\"", "max_ttl = \"10m\"\nrate = \"2/min\"", 1);
    let world = World::builder().policy(&rated).start().await;
    for _ in 0..2 {
        assert_eq!(world.demo("github:issues.read").await.status, 200);
    }
    let limited = world.demo("github:issues.read").await;
    assert_eq!(limited.refusal(), LIMITED);
    assert!(limited.text("/error_description").contains("the rate of grant:1"), "{limited:?}");
    assert_eq!(world.exchange("workflow:other", "other", &SCOPE).await.status, 200, "another's grant");
    assert_eq!(world.demo("payments:refunds.read").await.status, 200, "another grant");
    world.clock.advance(wait(&limited));
    assert_eq!(world.demo("github:issues.read").await.status, 200);
    assert_eq!(world.demo("github:issues.read").await.refusal(), LIMITED, "one came back, not all");
}

#[tokio::test]
async fn failed_authentications_are_counted_by_address_and_hold_up_no_sound_one() {
    let world = with("[limits]\nfailures_per_minute = 3").await;
    for _ in 0..3 {
        assert_eq!(bad(&world).await.refusal(), (401, "invalid_client", "identity.invalid"));
    }
    let limited = bad(&world).await;
    assert_eq!(limited.refusal(), LIMITED);
    assert_eq!(world.demo("github:issues.read").await.status, 200);
    world.clock.advance(wait(&limited));
    assert_eq!(bad(&world).await.status, 401);
}

#[tokio::test]
async fn a_used_assertion_counts_as_a_failure() {
    let world = with("[limits]\nfailures_per_minute = 2").await;
    let used = world.assertion("workflow:demo", "demo");
    assert_eq!(world.present(&used, &SCOPE).await.status, 200);
    for _ in 0..2 {
        assert_eq!(world.present(&used, &SCOPE).await.status, 401);
    }
    assert_eq!(world.present(&used, &SCOPE).await.refusal(), LIMITED);
}

#[tokio::test]
async fn tokens_are_given_back_so_often() {
    let world = with("[limits]\nexchanges_per_second = 2").await;
    for _ in 0..2 {
        assert_eq!(world.form("/oauth/revoke", &[("token", "x")]).await.status, 200);
    }
    let limited = world.form("/oauth/revoke", &[("token", "x")]).await;
    assert_eq!(limited.refusal(), LIMITED);
    wait(&limited);
}

#[tokio::test]
async fn only_a_trusted_proxy_says_who_asks() {
    let world = with("[limits]\nexchanges_per_second = 1").await;
    assert_eq!(forwarded(&world, "192.0.2.1").await.status, 200);
    assert_eq!(
        forwarded(&world, "192.0.2.2").await.refusal(),
        LIMITED,
        "a stranger's header counts for nothing"
    );
    let behind = with(
        "[limits]\nexchanges_per_second = 1\n[network]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]",
    )
    .await;
    assert_eq!(forwarded(&behind, "192.0.2.1").await.status, 200);
    assert_eq!(forwarded(&behind, "192.0.2.2").await.status, 200);
    assert_eq!(forwarded(&behind, "192.0.2.2").await.refusal(), LIMITED);
    assert_eq!(forwarded(&behind, "6.6.6.6, 192.0.2.2").await.refusal(), LIMITED, "what a client made up");
    assert_eq!(forwarded(&behind, "192.0.2.2, 10.1.2.3").await.refusal(), LIMITED, "a chain of proxies");
    assert_eq!(forwarded(&behind, "2001:db8::1").await.status, 200);
    assert_eq!(forwarded(&behind, "2001:db8::ffff").await.refusal(), LIMITED, "one neighbourhood");
    assert_eq!(forwarded(&behind, "2001:db8:0:1::1").await.status, 200);
}

#[tokio::test]
async fn so_many_requests_are_in_flight() {
    let world = Arc::new(with("[limits]\nin_flight = 1").await);
    // All at once: whoever finds the one place taken is told so.
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let world = Arc::clone(&world);
        asking.spawn(async move { world.demo("github:issues.read").await });
    }
    let answers = asking.join_all().await;
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(!refused.is_empty() && refused.len() < 20, "{}", refused.len());
    for answer in refused {
        assert_eq!(answer.refusal(), (503, "temporarily_unavailable", "overloaded"));
        wait(answer);
    }
    assert_eq!(world.demo("github:issues.read").await.status, 200);
}

/// What the log has of refusals for this reason.
async fn entries(world: &World, reason: &str) -> Vec<Value> {
    let all = world.broker.store.audit_tail(0, 500).await.unwrap();
    let data = all.iter().map(|entry| serde_json::from_slice::<Value>(&entry.body).unwrap()["data"].clone());
    data.filter(|data| data["reasons"][0] == reason).collect()
}

#[tokio::test]
async fn strangers_write_one_line_a_minute() {
    let world = World::start().await;
    for _ in 0..30 {
        assert_eq!(bad(&world).await.status, 401);
        assert_eq!(world.form("/oauth/token", &[("grant_type", "x")]).await.status, 400);
    }
    for (reason, count) in [("identity.invalid", 1), ("request.grant_type", 1)] {
        let found = entries(&world, reason).await;
        assert_eq!(
            (found.len(), &found[0]["count"], &found[0]["from"]),
            (count, &1.into(), &"127.0.0.0".into())
        );
    }
    world.clock.advance(Duration::from_secs(60));
    bad(&world).await;
    let found = entries(&world, "identity.invalid").await;
    assert_eq!((found.len(), &found[1]["count"]), (2, &30.into()), "and none is forgotten");
    // Whoever proved who they are has an entry for each refusal.
    for _ in 0..3 {
        world.demo("github:repo.delete").await;
    }
    assert_eq!(entries(&world, "policy.not_granted").await.len(), 3);
}

#[tokio::test]
async fn what_is_too_often_is_counted_too() {
    let world = with("[limits]\nexchanges_per_second = 1").await;
    for _ in 0..10 {
        world.demo("github:issues.read").await;
    }
    assert_eq!(entries(&world, "rate.limited").await.len(), 1);
}

#[tokio::test]
async fn the_admin_api_has_a_budget_of_its_own() {
    let world = with("[limits]\nadmin_per_second = 2").await;
    let held = world.operator("alice", "revocations.read").await;
    for _ in 0..2 {
        assert_eq!(world.call("get", "/api/v1/revocations", Some(&held), None).await.status, 200);
    }
    let limited = world.call("get", "/api/v1/revocations", Some("no token at all"), None).await;
    assert_eq!((limited.status, limited.reason()), (429, "rate.limited"));
    assert_eq!(world.demo("github:issues.read").await.status, 200, "exchanges go on");
    world.clock.advance(wait(&limited));
    assert_eq!(world.call("get", "/api/v1/revocations", Some(&held), None).await.status, 200);
}
