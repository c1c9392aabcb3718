//! A watched version is taken back for what it makes worse, and for nothing that a workflow could bring about by itself.

mod left;
mod usual;
mod votes;

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::audit::begin;
use shortbread_broker::store::{Activate, NewPolicy, PolicyAction, TrialOutcome};
use shortbread_protocol::access::Access;
use shortbread_protocol::clock::{Clock as _, Timestamp};
use shortbread_protocol::event::{EventType, Segment};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::CallRecord;
use shortbread_tests::{Answer, Loopback, POLICY, World};

use crate::paged::{paging, told};

async fn activate(world: &World, policy: &str, body: Value) -> Answer {
    std::fs::write(world.path("policy.toml"), policy).unwrap();
    world.admin_as("alice", "policy.activate", "/api/v1/policy/activate", &body).await
}

async fn ask(world: &World, workflow: &str, scope: &str) -> Answer {
    world.exchange(&format!("workflow:{workflow}"), workflow, &[("scope", scope)]).await
}

/// The same rights, for a shorter time.
fn shorter() -> String {
    POLICY.replacen("\"10m\"", "\"9m\"", 1)
}

/// `demo` may not write issues.
fn narrower() -> String {
    let lines = POLICY.lines().filter(|line| !line.starts_with("constraints.\"issues.write\""));
    let lines = lines.map(|line| line.replace("\"issues.read\", \"issues.write\"", "\"issues.read\""));
    lines.collect::<Vec<_>>().join("\n")
}

fn version(world: &World) -> u64 {
    world.broker.policy.version()
}

/// Whether the version is taken back soon.
async fn taken_back(world: &World, to: u64) -> bool {
    for _ in 0..200 {
        if version(world) == to && world.broker.policy.on_trial().is_none() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

/// Whether the version is still watched after whoever takes back had the time to.
async fn stays(world: &World, in_force: u64) -> bool {
    tokio::time::sleep(Duration::from_millis(300)).await;
    version(world) == in_force && world.broker.policy.on_trial().is_some()
}

async fn hostile(world: &World) {
    for _ in 0..30 {
        assert_eq!(ask(world, "other", "github:issues.write").await.reason(), "policy.not_granted");
        assert_eq!(ask(world, "other", "github:issues.burn").await.reason(), "scope.unknown");
        let elsewhere = [("scope", "github:issues.read"), ("resource", "https://elsewhere.example")];
        let elsewhere = world.exchange("workflow:other", "other", &elsewhere).await;
        assert_eq!(elsewhere.reason(), "target.unknown", "{elsewhere:?}");
    }
    // An assertion that was used already is no other policy's doing either.
    let assertion = world.assertion("workflow:other", "other");
    for n in 0..30 {
        let again = world.present(&assertion, &[("scope", "github:issues.read")]).await;
        assert_eq!(again.status == 200, n == 0, "{again:?}");
    }
}

#[tokio::test]
async fn a_workflow_that_asks_for_what_it_never_had_brings_nothing_about() {
    let world = World::start().await;
    assert_eq!(activate(&world, &shorter(), json!({ "watch": 1800 })).await.status, 200);
    hostile(&world).await;
    assert!(stays(&world, 2).await);
    let world = world.restart().await;
    hostile(&world).await;
    assert!(stays(&world, 2).await, "nor after a restart, of which nothing is remembered");
}

#[tokio::test]
async fn what_is_worse_is_taken_back_after_a_restart_and_without_any_past() {
    let world = World::start().await;
    assert_eq!(activate(&world, &narrower(), json!({ "watch": 1800 })).await.status, 200);
    let world = world.restart().await;
    for _ in 0..20 {
        assert_eq!(ask(&world, "demo", "github:issues.write").await.reason(), "policy.not_granted");
    }
    assert!(taken_back(&world, 1).await);
}

#[tokio::test]
async fn who_is_a_stranger_to_the_new_version_alone_is_none_to_the_watch() {
    let server = Loopback::start().await;
    let world = paging(&server, "").start().await;
    let without = POLICY.split("\n[[").filter(|part| !part.contains("workflow = \"other\""));
    let without = without.collect::<Vec<_>>().join("\n[[");
    assert_eq!(activate(&world, &without, json!({ "watch": 1800 })).await.status, 200);
    // A stranger to both versions counts nowhere.
    for _ in 0..30 {
        assert_ne!(
            world.exchange("workflow:nobody", "second", &[("scope", "github:issues.read")]).await.status,
            200
        );
        assert_ne!(
            world.exchange("workflow:other", "second", &[("scope", "github:issues.read")]).await.status,
            200
        );
        assert_ne!(ask(&world, "other", "github:issues.write").await.status, 200, "it never had that");
    }
    assert!(stays(&world, 2).await);
    for _ in 0..20 {
        assert_eq!(ask(&world, "other", "github:issues.read").await.reason(), "identity.invalid");
    }
    let notice = told(&server, "policy.breached").await;
    assert_eq!(notice["data"]["workflow"], "other", "{notice}");
    assert!(stays(&world, 2).await, "whom it withdrew is not let in again by itself");
    assert_ne!(ask(&world, "other", "github:issues.read").await.status, 200);
}

#[tokio::test]
async fn a_version_that_is_watched_anew_goes_back_to_what_was_before_it() {
    let world = World::start().await;
    let first = activate(&world, POLICY, json!({ "watch": 1800 })).await;
    assert_eq!((first.status, first.reason()), (409, "admin.conflict"), "{first:?}");
    assert!(first.text("/detail").contains("nothing was before it"), "{first:?}");
    assert_eq!(activate(&world, &narrower(), json!({})).await.status, 200);
    assert_eq!(activate(&world, &narrower(), json!({ "watch": 1800 })).await.status, 200);
    let trial = world.broker.policy.on_trial().unwrap();
    assert_eq!((trial.trial.version, trial.trial.before), (2, 1));
    for _ in 0..20 {
        ask(&world, "demo", "github:issues.write").await;
    }
    assert!(taken_back(&world, 1).await);
}

/// The id of a token that was made at this moment.
fn token(at: Timestamp) -> String {
    format!("tok_{:012x}700080000000000000ff", at.millis())
}

fn record(token: &str, verb: &str, reason: Option<Reason>) -> CallRecord {
    CallRecord {
        intent: Some("undeclared".to_owned()),
        stage: Some("evaluate".to_owned()),
        outcome: Some(if reason.is_some() { "deny" } else { "allow" }.to_owned()),
        reason: reason.map(|reason| reason.code().to_owned()),
        tool: "github".to_owned(),
        verb: verb.to_owned(),
        access: Some(Access::Write),
        workflow: Some("demo".to_owned()),
        token: Some(token.to_owned()),
        ..CallRecord::default()
    }
}

/// Writes calls into the log as an upload does.
async fn recorded(world: &World, records: &[CallRecord]) {
    let entries = records.iter().map(|record| {
        let decision = begin(&*world.clock, &*world.broker.random, None).unwrap();
        let data = json!({
            "outcome": record.outcome, "reasons": record.reason.iter().collect::<Vec<_>>(), "workflow": record.workflow,
            "intent": record.intent, "token": record.token, "tool": record.tool, "verb": record.verb,
            "access": record.access, "stage": record.stage, "segment": Segment::default(), "verifier": "github",
        });
        world.broker.scribe.entry(EventType::CallDecision, &decision, "workflow/demo".to_owned(), data)
    });
    world.broker.store.record_calls(entries.collect(), |_| true).await.unwrap();
}

/// `demo` may write to one repository alone.
fn one_repository() -> String {
    POLICY.replacen("in = [\"acme/web\", \"acme/docs\"]", "in = [\"acme/web\"]", 1)
}

fn call(world: &World, count: usize, of: &CallRecord) {
    let now = world.clock.now();
    world.broker.outcomes.note_calls(std::iter::repeat_n(of, count), now);
}

#[tokio::test]
async fn calls_are_held_against_what_the_log_says_of_the_day_before() {
    for known in [0, 40] {
        let world = World::start().await;
        let before = token(world.clock.now());
        recorded(&world, &vec![record(&before, "issues.write", None); known]).await;
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(activate(&world, &one_repository(), json!({ "watch": 1800 })).await.status, 200);
        let world = world.restart().await;
        assert!(stays(&world, 2).await);
        let now = token(world.clock.now());
        // With a token from before, or for what is as it was, refusals say nothing of the version.
        call(&world, 100, &record(&before, "issues.write", Some(Reason::ArgumentRefused)));
        call(&world, 100, &record(&now, "repo.delete", Some(Reason::NotGranted)));
        assert!(stays(&world, 2).await);
        call(&world, 200, &record(&now, "issues.write", Some(Reason::ArgumentRefused)));
        if known == 0 {
            assert!(stays(&world, 2).await, "of calls without a past nothing is known");
        } else {
            assert!(taken_back(&world, 1).await);
        }
    }
}

#[tokio::test]
async fn a_trial_whose_policy_cannot_be_used_any_more_is_ended_and_recorded() {
    let world = World::start().await;
    let (store, at) = (world.broker.store.clone(), world.clock.now());
    let entry = || {
        let decision = begin(&*world.clock, &*world.broker.random, None).unwrap();
        world.broker.scribe.entry(EventType::PolicyAdded, &decision, "policy".to_owned(), json!({}))
    };
    let damaged = NewPolicy { bundle: b"{".to_vec(), digest: [1; 32], author: "file".to_owned(), at };
    let version = store.add_policy(damaged, entry()).await.unwrap().n;
    let activate = Activate {
        version,
        workflows: Some(["demo".parse().unwrap()].into()),
        until: None,
        back_to: None,
        operator: "alice".to_owned(),
        action: PolicyAction::Activate,
        at,
        ended: None,
    };
    store.activate_policy(activate, entry()).await.unwrap();
    drop(store);
    let world = world.restart().await;
    for _ in 0..200 {
        let trials = world.broker.store.trials().await.unwrap();
        if let Some((_, outcome)) = trials.last().unwrap().ended {
            assert_eq!(outcome, TrialOutcome::RolledBack);
            let last = world.broker.store.audit_size() - 1;
            let entries = world.broker.store.audit_tail(last.saturating_sub(20), 21).await.unwrap();
            let ended = |body: &[u8]| String::from_utf8_lossy(body).contains("policy.trial_ended");
            assert!(entries.iter().any(|entry| ended(&entry.body)));
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the trial is open still");
}

#[tokio::test]
async fn the_end_of_a_trial_is_told_as_such() {
    let server = Loopback::start().await;
    let world = paging(&server, "").start().await;
    assert_eq!(activate(&world, &narrower(), json!({ "workflows": ["demo"] })).await.status, 200);
    let path = "/api/v1/policy/rollback";
    assert_eq!(world.admin_as("alice", "policy.rollback", path, &json!({})).await.status, 200);
    let notice = told(&server, "policy.trial_ended").await;
    assert_eq!((&notice["data"]["version"], &notice["data"]["workflows"]), (&json!(2), &json!(["demo"])));
    let heard =
        |kind: &str| server.heard().iter().any(|heard| String::from_utf8_lossy(&heard.body).contains(kind));
    assert!(!heard("\"policy.activated\""), "no policy came into force");
}
