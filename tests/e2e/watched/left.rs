//! What a breach does not bring about by itself: it is told and recorded once, and a person decides.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::activation::{ActivationError, Actor, Found};
use shortbread_broker::audit::begin;
use shortbread_broker::store::TrialOutcome;
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::keys::PrivateKey;
use shortbread_tests::{Loopback, POLICY, World};

use super::{activate, ask, narrower, stays, version};
use crate::paged::{paging, told};

/// Whether the breach was told once, with these words, and stands in the log; and the version stays.
async fn left(world: &World, server: &Loopback, says: &str, reason: &str) {
    let notice = told(server, "policy.breached").await;
    assert!(notice["data"]["why"].as_str().unwrap().contains(says), "{says}: {notice}");
    let decision = notice["data"]["decision_id"].as_str().unwrap();
    let entry = world.admin_read("audit.read", &format!("/api/v1/audit/{decision}")).await;
    let data = &entry.body["entries"][0]["event"]["data"];
    assert_eq!((&data["outcome"], &data["reasons"]), (&json!("deny"), &json!([reason])), "{entry:?}");
    assert_eq!((&data["operator"], &data["version"]), (&json!("watch"), &json!(2)));
    assert!(data["breach"]["hits"].as_u64().unwrap() >= 20, "{data}");
    assert!(stays(world, version(world)).await);
    let heard = server.heard();
    let kinds = heard.iter().filter_map(|heard| serde_json::from_slice::<Value>(&heard.body).ok());
    assert_eq!(kinds.filter(|body| body["type"] == "policy.breached").count(), 1);
}

/// `demo` has another key.
fn rotated() -> String {
    POLICY.replacen("keys/demo.pub.pem", "keys/renewed.pub.pem", 1)
}

#[tokio::test]
async fn a_key_that_was_withdrawn_is_not_let_in_again() {
    for workflows in [json!([]), json!(["demo"])] {
        let server = Loopback::start().await;
        let renewed = PrivateKey::from_seed(&[9; 32]).public().to_pem();
        let world = paging(&server, "").file("keys/renewed.pub.pem", &renewed).start().await;
        let body = json!({ "watch": 1800, "workflows": workflows });
        let watched = activate(&world, &rotated(), body).await;
        assert_eq!(watched.status, 200, "{watched:?}");
        // With the key that leaked.
        for _ in 0..25 {
            assert_ne!(ask(&world, "demo", "github:issues.read").await.status, 200);
        }
        left(&world, &server, "recognises credentials that this one withdrew: demo", "admin.gate").await;
        assert_ne!(ask(&world, "demo", "github:issues.read").await.status, 200);
        world.clock.advance(Duration::from_secs(1801));
        for _ in 0..200 {
            if world.broker.policy.on_trial().is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let over = workflows == json!([]);
        assert_eq!(world.broker.policy.on_trial().is_none(), over, "the watch ends on time all the same");
    }
}

#[tokio::test]
async fn what_takes_two_operators_is_not_loosened() {
    let server = Loopback::start().await;
    let world = paging(&server, "").start().await;
    let tighter = format!("{}\n[rollback]\nmax_denied = 0.05\n", narrower());
    assert_eq!(activate(&world, &tighter, json!({ "watch": 1800 })).await.status, 200);
    for _ in 0..25 {
        assert_eq!(ask(&world, "demo", "github:issues.write").await.reason(), "policy.not_granted");
    }
    left(&world, &server, "raises max_denied of [rollback]", "admin.second_operator").await;
}

#[tokio::test]
async fn a_watch_that_was_ended_takes_nothing_back() {
    let world = World::start().await;
    assert_eq!(activate(&world, &narrower(), json!({ "watch": 1800 })).await.status, 200);
    let trial = world.broker.policy.on_trial().unwrap().trial.clone();
    let decision = || begin(&*world.clock, &*world.broker.random, None).unwrap();
    let (host, now) = (Actor::Host("watch"), world.clock.monotonic());
    let policy = &world.broker.policy;
    let ended = policy.end_trial(trial.n, TrialOutcome::Kept, Found::new(), &host, &decision()).await;
    assert_eq!(ended, Ok(true));
    for _ in 0..2 {
        let late = policy.take_back(&trial, Found::new(), &host, &decision(), now).await;
        assert!(matches!(late, Err(ActivationError::Over(2))), "{late:?}");
        assert_eq!(version(&world), 2);
        // Nor where the same version is watched anew.
        assert_eq!(activate(&world, &narrower(), json!({ "version": 2, "watch": 1800 })).await.status, 200);
    }
}
