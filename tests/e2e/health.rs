//! What the broker says of its own health is what is the matter, and `/readyz` says the same where they overlap.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_tests::{POLICY, World};

use crate::workflows::{page, signed_in};

const PATH: &str = "/api/v1/health";

async fn look(world: &World) -> Value {
    let answer = world.admin_read("status.read", PATH).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn steps(health: &Value) -> Vec<&str> {
    health["findings"].as_array().unwrap().iter().map(|found| found["step"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_broker_that_is_well_says_so_with_the_age_of_all() {
    let world = World::start().await;
    world.clock.advance(Duration::from_secs(2));
    let health = look(&world).await;
    assert_eq!((&health["state"], &health["findings"]), (&json!("good"), &json!([])), "{health:#}");
    assert_eq!(health["store"], json!({ "state": "healthy" }));
    let policy = &health["policy"];
    assert_eq!((&policy["version"], &policy["trial"]), (&json!(1), &json!(null)));
    assert_eq!(policy["since"].as_u64().unwrap() + 2, health["now"].as_u64().unwrap());
    assert_eq!((&health["head"]["age"], &health["head"]["period"]), (&json!(2), &json!(5)));
    let keys = health["keys"].as_array().unwrap();
    for purpose in ["token", "revocation", "audit"] {
        let key = keys.iter().find(|key| key["purpose"] == purpose).unwrap();
        assert_eq!(key["state"], "signs", "{key}");
        assert!(key["days_left"].as_u64().unwrap() > 14, "{key}");
    }
    assert_eq!(health["webhook"], json!(null));
    assert_eq!(health["unreported"], json!(["github", "payments"]));
    assert_eq!(world.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_late_head_fails_here_and_at_readyz_alike() {
    let world = World::start().await;
    world.clock.advance(Duration::from_secs(14));
    assert_eq!(
        (&look(&world).await["head"]["late"], world.get("/readyz").await.status),
        (&json!(false), 200)
    );
    world.clock.advance(Duration::from_secs(1));
    let (health, ready) = (look(&world).await, world.get("/readyz").await);
    assert_eq!((&health["state"], steps(&health)), (&json!("failing"), vec!["head"]), "{health:#}");
    assert_eq!((ready.status, ready.text("/revocation_head")), (503, "failing"));
    world.broker.publish().await.unwrap();
    assert_eq!((&look(&world).await["state"], world.get("/readyz").await.status), (&json!("good"), 200));
}

#[tokio::test]
async fn what_is_stopped_or_not_enforced_is_said_with_what_to_do() {
    let policy = POLICY.replace(
        "audience = \"https://tools.acme.example/payments\"",
        "audience = \"https://tools.acme.example/payments\"\nmode = \"observe\"\nuntil = \"2026-12-01T00:00:00Z\"",
    );
    let world = World::builder().policy(&policy).start().await;
    let health = look(&world).await;
    assert_eq!((&health["state"], steps(&health)), (&json!("degraded"), vec!["tool"]), "{health:#}");
    assert_eq!(health["findings"][0]["about"], "the tool payments");
    assert_eq!(world.revoke_with(json!({ "all": true })).await.status, 200);
    // Nobody but whoever holds a switch gets in now.
    let health = serde_json::to_value(shortbread_broker::health::look(&world.broker).await).unwrap();
    assert_eq!(steps(&health), ["stop", "tool"]);
    assert_eq!(health["findings"][0]["about"], "everything is revoked by alice");
    assert!(health["findings"][0]["fix"].as_str().unwrap().contains("shortbread lift --all"));
}

#[tokio::test]
async fn a_version_on_trial_is_shown_beside_the_one_in_force() {
    let world = World::start().await;
    std::fs::write(world.path("policy.toml"), POLICY.replace("max_ttl = \"10m\"", "max_ttl = \"7m\""))
        .unwrap();
    let wish = json!({ "workflows": ["demo"], "watch": 600 });
    assert_eq!(world.admin("policy.activate", "/api/v1/policy/activate", &wish).await.status, 200);
    let policy = look(&world).await["policy"].clone();
    assert_eq!((&policy["version"], &policy["trial"]["version"]), (&json!(1), &json!(2)));
    assert_eq!((&policy["trial"]["workflows"], &policy["trial"]["by"]), (&json!(["demo"]), &json!("alice")));
}

#[tokio::test]
async fn the_console_shows_the_same_health_and_what_to_do() {
    let world = World::start().await;
    let cookie = signed_in(&world).await;
    let (status, well) = page(&world, &cookie, "/console/health").await;
    assert_eq!(status, 200, "{well}");
    for says in ["All is well.", "version 1", "Nobody reports for github, payments", "token", "signs"] {
        assert!(well.contains(says), "{says}: {well}");
    }
    world.clock.advance(Duration::from_secs(20));
    let (_, late) = page(&world, &cookie, "/console/health").await;
    for says in ["the revocation list", "failing", "it is 20s old", "What to do:"] {
        assert!(late.contains(says), "{says}: {late}");
    }
}
