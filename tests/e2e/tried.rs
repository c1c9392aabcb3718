//! A policy version is tried on a part, watched, and taken back by itself when it makes things worse.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_tests::{Answer, Loopback, POLICY, World};

use crate::paged::{paging, told};

const PATH: &str = "/api/v1/policy";

async fn activate(world: &World, body: Value) -> Answer {
    world.admin_as("alice", "policy.activate", "/api/v1/policy/activate", &body).await
}

async fn roll_back(world: &World, body: Value) -> Answer {
    world.admin_as("alice", "policy.rollback", "/api/v1/policy/rollback", &body).await
}

async fn ask(world: &World, workflow: &str, scope: &str) -> Answer {
    world.exchange(&format!("workflow:{workflow}"), workflow, &[("scope", scope)]).await
}

/// A policy under which no workflow may write issues.
fn narrower() -> String {
    POLICY
        .lines()
        .filter(|line| !line.starts_with("constraints.\"issues.write\""))
        .map(|line| line.replace("\"issues.read\", \"issues.write\"", "\"issues.read\""))
        .collect::<Vec<_>>()
        .join("\n")
}

fn write(world: &World, policy: &str) {
    std::fs::write(world.path("policy.toml"), policy).unwrap();
}

async fn in_force(world: &World) -> (u64, Value) {
    let answer = world.admin_read("policy.read", PATH).await;
    let list = answer.body["versions"].as_array().unwrap();
    let active = list.iter().find(|version| version["active"] == true).unwrap();
    (active["version"].as_u64().unwrap(), answer.body["trial"].clone())
}

async fn soon(world: &World, wanted: impl Fn(u64, &Value) -> bool) -> bool {
    for _ in 0..400 {
        let (version, trial) = in_force(world).await;
        if wanted(version, &trial) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn a_version_that_is_tried_rules_its_workflows_alone() {
    let world = World::start().await;
    write(&world, &narrower());
    let tried = activate(&world, json!({ "workflows": ["demo"] })).await;
    assert_eq!(tried.status, 200, "{tried:?}");
    assert_eq!(tried.body["trial"]["workflows"], json!(["demo"]));
    assert_eq!(in_force(&world).await.0, 1, "for everyone else nothing changed");
    let refused = ask(&world, "demo", "github:issues.write").await;
    assert_eq!(refused.reason(), "policy.not_granted");
    let granted = ask(&world, "demo", "github:issues.read").await;
    let policy = world.broker.policy.on_trial().unwrap().policy.digest().to_owned();
    assert_eq!(
        granted.text("/shortbread/policy"),
        policy,
        "the answer and the log name the one that decided"
    );
    assert_ne!(world.broker.policy.in_force().unwrap().digest(), policy);
    let world = world.restart().await;
    assert_eq!(ask(&world, "demo", "github:issues.write").await.reason(), "policy.not_granted");
    assert_eq!(roll_back(&world, json!({})).await.status, 200);
    assert_eq!(in_force(&world).await, (1, Value::Null));
    assert_eq!(ask(&world, "demo", "github:issues.write").await.status, 200);
}

#[tokio::test]
async fn what_was_tried_is_put_in_force_for_everyone() {
    let world = World::start().await;
    write(&world, &narrower());
    activate(&world, json!({ "workflows": ["other"] })).await;
    for (workflows, how) in [(json!(["demo"]), "replaced"), (json!([]), "activated")] {
        let next = activate(&world, json!({ "version": 2, "workflows": workflows })).await;
        assert_eq!(next.status, 200, "{next:?}");
        let entries = world.admin_read("audit.read", &format!("/api/v1/audit/{}", next.decision())).await;
        let ended = &entries.body["entries"][1]["event"];
        assert_eq!(ended["type"], "dev.shortbread.policy.trial_ended.v1", "{entries:?}");
        assert_eq!(ended["data"]["ended"], how);
    }
    assert_eq!(in_force(&world).await, (2, Value::Null));
    let trials = world.broker.store.trials().await.unwrap();
    assert_eq!(trials.last().unwrap().ended.map(|(_, how)| how.as_str()), Some("activated"));
}

#[tokio::test]
async fn a_watched_version_that_denies_more_is_taken_back_and_told() {
    let server = Loopback::start().await;
    let world = paging(&server, "").start().await;
    for _ in 0..30 {
        assert_eq!(ask(&world, "demo", "github:issues.write").await.status, 200);
    }
    write(&world, &narrower());
    let watched = activate(&world, json!({ "watch": 1800 })).await;
    assert_eq!(watched.status, 200, "{watched:?}");
    assert_eq!(in_force(&world).await.0, 2);
    for _ in 0..19 {
        assert_eq!(ask(&world, "demo", "github:issues.write").await.reason(), "policy.not_granted");
    }
    assert_eq!(in_force(&world).await.0, 2, "nineteen prove nothing");
    ask(&world, "demo", "github:issues.write").await;
    assert!(soon(&world, |version, trial| version == 1 && trial.is_null()).await);
    assert_eq!(ask(&world, "demo", "github:issues.write").await.status, 200);
    let notice = told(&server, "policy.taken_back").await;
    assert_eq!((&notice["data"]["version"], &notice["data"]["to"]), (&json!(2), &json!(1)));
    assert_eq!((&notice["data"]["workflow"], &notice["data"]["hits"]), (&json!("demo"), &json!(20)));
    let decision = notice["data"]["decision_id"].as_str().unwrap();
    let entry = world.admin_read("audit.read", &format!("/api/v1/audit/{decision}")).await;
    let event = &entry.body["entries"][0]["event"];
    assert_eq!(event["type"], "dev.shortbread.policy.activated.v1");
    assert_eq!((&event["data"]["action"], &event["data"]["operator"]), (&json!("rollback"), &json!("watch")));
    let breach = &event["data"]["breach"];
    assert_eq!(
        (&breach["workflow"], &breach["tool"], &breach["access"]),
        (&json!("demo"), &json!("github"), &json!("write"))
    );
    assert_eq!(
        (&breach["what"], &breach["hits"], &breach["limit"]),
        (&json!("denied"), &json!(20), &json!(0.1))
    );
    let ended = &entry.body["entries"][1]["event"];
    assert_eq!(ended["type"], "dev.shortbread.policy.trial_ended.v1");
    assert_eq!(ended["data"]["ended"], "rolled_back");
}

#[tokio::test]
async fn a_trial_on_a_part_is_taken_back_without_touching_the_rest() {
    let world = World::start().await;
    write(&world, &narrower());
    activate(&world, json!({ "workflows": ["demo"], "watch": 1800 })).await;
    for _ in 0..25 {
        ask(&world, "demo", "github:issues.write").await;
    }
    assert!(soon(&world, |version, trial| version == 1 && trial.is_null()).await);
    assert_eq!(ask(&world, "demo", "github:issues.write").await.status, 200);
    let trials = world.broker.store.trials().await.unwrap();
    assert_eq!(trials.last().unwrap().ended.map(|(_, how)| how.as_str()), Some("rolled_back"));
    let last = world.broker.store.audit_tail(0, 500).await.unwrap();
    let mut events = last.iter().filter_map(|entry| serde_json::from_slice::<Value>(&entry.body).ok());
    let ended = events.rfind(|event| event["type"] == "dev.shortbread.policy.trial_ended.v1").unwrap();
    assert_eq!(ended["data"]["breach"]["workflow"], "demo");
}

#[tokio::test]
async fn the_limits_are_those_of_the_version_before() {
    let lenient = format!("{POLICY}\n[rollback]\nmax_denied = 1.0\n");
    let world = World::builder().policy(&lenient).start().await;
    write(&world, &format!("{}\n[rollback]\nmax_denied = 0.0\n", narrower()));
    activate(&world, json!({ "watch": 1800 })).await;
    for _ in 0..40 {
        ask(&world, "demo", "github:issues.write").await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(in_force(&world).await.0, 2, "every request may be refused, said the version before");
}

#[tokio::test]
async fn a_watch_ends_on_time_and_the_version_stays() {
    let world = World::start().await;
    write(&world, &narrower());
    activate(&world, json!({ "watch": 60 })).await;
    world.clock.advance(Duration::from_secs(61));
    for _ in 0..40 {
        assert_eq!(ask(&world, "demo", "github:issues.write").await.reason(), "policy.not_granted");
    }
    assert!(soon(&world, |version, trial| version == 2 && trial.is_null()).await, "ended, and kept");
    let trials = world.broker.store.trials().await.unwrap();
    assert_eq!(trials.last().unwrap().ended.map(|(_, how)| how.as_str()), Some("kept"));
}

#[tokio::test]
async fn nonsense_is_refused_and_changes_nothing() {
    let world = World::start().await;
    write(&world, &narrower());
    for (body, status, reason) in [
        (json!({ "workflows": ["nobody"] }), 409, "admin.conflict"),
        (json!({ "workflows": ["../etc"] }), 400, "request.malformed"),
        (json!({ "version": 1, "workflows": ["demo"] }), 409, "admin.conflict"),
        (json!({ "watch": 0 }), 400, "request.malformed"),
        (json!({ "watch": 604_801 }), 400, "request.malformed"),
        (json!({ "watched": 1 }), 400, "request.malformed"),
    ] {
        let refused = activate(&world, body.clone()).await;
        assert_eq!((refused.status, refused.reason()), (status, reason), "{body}: {refused:?}");
    }
    assert_eq!(in_force(&world).await, (1, Value::Null));
}

#[tokio::test]
async fn whom_the_tried_version_does_not_know_as_the_same_is_refused() {
    let world = World::start().await;
    // The key of `demo` is another's in the version that is tried.
    let swapped = POLICY
        .replace("keys/demo.pub.pem", "keys/third.pub.pem")
        .replace("keys/other.pub.pem", "keys/demo.pub.pem")
        .replace("keys/third.pub.pem", "keys/other.pub.pem");
    write(&world, &swapped);
    assert_eq!(activate(&world, json!({ "workflows": ["demo"] })).await.status, 200);
    let refused = ask(&world, "demo", "github:issues.read").await;
    assert_eq!((refused.status, refused.reason()), (401, "identity.invalid"), "{refused:?}");
    assert_eq!(roll_back(&world, json!({})).await.status, 200);
    assert_eq!(ask(&world, "demo", "github:issues.read").await.status, 200);
}
