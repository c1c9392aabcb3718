//! A tripwire revokes the task that was refused too often, and can do nothing else.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_tests::{Answer, Loopback, POLICY, World};

use crate::paged::{paging, told};

const WIRE: &str = "[[tripwires]]\nname = \"writes\"\naccess = \"write\"\nrefusals = 3\nwithin = \"1m\"\n";

async fn world(wire: &str) -> World {
    World::builder().policy(&format!("{POLICY}{wire}")).start().await
}

/// Asks for a token of a task as a workflow, for one verb.
async fn ask(world: &World, workflow: &str, task: &str, scope: &str) -> Answer {
    world.exchange(&format!("workflow:{workflow}"), workflow, &[("scope", scope), ("task", task)]).await
}

/// Asks for what is not granted, so many times.
async fn overreach(world: &World, workflow: &str, task: &str, times: usize) -> Vec<Answer> {
    let mut refused = Vec::new();
    for _ in 0..times {
        refused.push(ask(world, workflow, task, "github:repo.delete").await);
    }
    refused
}

fn is_revoked(world: &World, task: &str) -> bool {
    let list = world.broker.store.mirror();
    list.entry(SelectorKind::Task, task).is_some_and(|entry| entry.before == FOREVER)
}

async fn tripped(world: &World, task: &str) -> bool {
    for _ in 0..200 {
        if is_revoked(world, task) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

/// Long enough for a tripwire to do what it must not.
async fn stays(world: &World, task: &str) -> bool {
    tokio::time::sleep(Duration::from_millis(100)).await;
    !is_revoked(world, task)
}

#[tokio::test]
async fn too_many_refusals_revoke_the_task_and_the_log_says_why() {
    let server = Loopback::start().await;
    let world = paging(&server, "").policy(&format!("{POLICY}{WIRE}")).start().await;
    assert_eq!(ask(&world, "demo", "nightly", "github:issues.read").await.status, 200);
    let refused = overreach(&world, "demo", "nightly", 3).await;
    assert!(refused.iter().all(|answer| answer.reason() == "policy.not_granted"), "{refused:?}");
    assert!(tripped(&world, "nightly").await);
    let again = ask(&world, "demo", "nightly", "github:issues.read").await;
    assert_eq!(again.reason(), "revoked.task");
    assert_eq!(
        ask(&world, "demo", "daily", "github:issues.read").await.status,
        200,
        "one task, not the workflow"
    );
    let notice = told(&server, "tripwire.tripped").await;
    let data = &notice["data"];
    assert_eq!(
        (&data["tripwire"], &data["task"], &data["refusals"]),
        (&json!("writes"), &json!("nightly"), &json!(3))
    );
    let decision = data["decision_id"].as_str().unwrap();
    let entries = world.broker.store.audit_by_decision(decision).await.unwrap();
    let event: Value = serde_json::from_slice(&entries[0].body).unwrap();
    assert_eq!(
        (&event["type"], &event["subject"]),
        (&json!("dev.shortbread.revocation.set.v1"), &json!("tripwire/writes"))
    );
    let told = &event["data"];
    assert_eq!(
        (&told["count"], &told["workflow"], &told["tripwire"]["within"]),
        (&json!(3), &json!("demo"), &json!(60))
    );
    let led: Vec<_> =
        told["refusals"].as_array().unwrap().iter().map(|one| one["decision"].as_str().unwrap()).collect();
    assert_eq!(led, refused.iter().map(Answer::decision).collect::<Vec<_>>(), "the decisions that led to it");
    let listed = world.admin_read("revocations.read", "/api/v1/revocations").await;
    let entry = &listed.body["revocations"][0];
    assert_eq!((&entry["operator"], &entry["cause"]), (&json!("tripwire/writes"), &json!("incident")));
    assert!(listed.body["head"].as_u64() >= entry["seq"].as_u64(), "a head carries it: {listed:?}");
}

#[tokio::test]
async fn it_is_off_unless_the_policy_has_one() {
    let world = world("").await;
    ask(&world, "demo", "nightly", "github:issues.read").await;
    overreach(&world, "demo", "nightly", 20).await;
    assert!(stays(&world, "nightly").await);
}

#[tokio::test]
async fn nobody_trips_another_workflows_task() {
    let world = world(WIRE).await;
    ask(&world, "demo", "nightly", "github:issues.read").await;
    overreach(&world, "other", "nightly", 5).await;
    overreach(&world, "other", "tomorrow", 5).await;
    assert!(stays(&world, "nightly").await);
    assert!(!is_revoked(&world, "tomorrow"), "a task that nobody has yet is nobody's to revoke");
    assert_eq!(ask(&world, "demo", "tomorrow", "github:issues.read").await.status, 200);
}

#[tokio::test]
async fn strangers_and_operators_trip_nothing() {
    let world = world(&WIRE.replace("write", "read").replace("refusals = 3", "refusals = 1")).await;
    ask(&world, "demo", "nightly", "github:issues.read").await;
    let more = [("scope", "payments:refunds.read"), ("task", "nightly")];
    for _ in 0..3 {
        // The key of another workflow: the identity is not proved.
        let forged = world.present(&world.assertion("workflow:demo", "other"), &more).await;
        assert_eq!(forged.reason(), "identity.invalid");
        let operator = world.bound("operator:alice", "operator", &more).await;
        assert_eq!(operator.reason(), "policy.not_granted", "{operator:?}");
    }
    assert!(stays(&world, "nightly").await);
    ask(&world, "other", "mine", "github:issues.read").await;
    ask(&world, "other", "mine", "payments:refunds.read").await;
    assert!(tripped(&world, "mine").await, "the same by a workflow trips it");
}

#[tokio::test]
async fn it_does_no_more_in_an_hour_than_it_may_and_says_so_once() {
    let server = Loopback::start().await;
    let policy = format!("{POLICY}{WIRE}max_per_hour = 1\n");
    let world = paging(&server, "").policy(&policy).start().await;
    for task in ["a", "b", "c"] {
        ask(&world, "demo", task, "github:issues.read").await;
        overreach(&world, "demo", task, 3).await;
        let done = if task == "a" { tripped(&world, task).await } else { stays(&world, task).await };
        assert!(done, "{task}");
    }
    let notice = told(&server, "tripwire.capped").await;
    assert_eq!(notice["data"], json!({ "tripwire": "writes", "max_per_hour": 1 }));
    let capped = || {
        server
            .heard()
            .iter()
            .filter(|heard| String::from_utf8_lossy(&heard.body).contains("tripwire.capped"))
            .count()
    };
    assert_eq!(capped(), 1, "b and c were held back, and it is told once");
    world.clock.advance(Duration::from_secs(3600));
    overreach(&world, "demo", "b", 3).await;
    assert!(tripped(&world, "b").await, "an hour later");
}

#[tokio::test]
async fn refusals_of_the_past_and_of_what_is_revoked_do_not_count() {
    let world = world(WIRE).await;
    ask(&world, "demo", "nightly", "github:issues.read").await;
    for _ in 0..4 {
        overreach(&world, "demo", "nightly", 1).await;
        world.clock.advance(Duration::from_secs(31));
    }
    assert!(stays(&world, "nightly").await, "never three within a minute");
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(world.revoke("verb", "github/issues.write").await.status, 200);
    for _ in 0..5 {
        let refused = ask(&world, "demo", "nightly", "github:issues.write").await;
        assert_eq!(refused.reason(), "revoked.verb");
    }
    assert!(stays(&world, "nightly").await);
}
