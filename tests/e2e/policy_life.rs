//! A policy's life: taken in, put in force by operators, felt by the very next request, kept over restarts.

use serde_json::{Value, json};
use shortbread_tests::{Answer, POLICY, World};

const PATH: &str = "/api/v1/policy";

async fn activate(world: &World, name: &str, body: Value) -> Answer {
    world.admin_as(name, "policy.activate", "/api/v1/policy/activate", &body).await
}

async fn roll_back(world: &World, name: &str, body: Value) -> Answer {
    world.admin_as(name, "policy.rollback", "/api/v1/policy/rollback", &body).await
}

fn write(world: &World, policy: &str) {
    std::fs::write(world.path("policy.toml"), policy).unwrap();
}

/// Version numbers, newest first, and which of them is in force.
fn versions(answer: &Answer) -> (Vec<u64>, u64) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.body["versions"].as_array().unwrap();
    let active: Vec<u64> =
        list.iter().filter(|v| v["active"] == true).map(|v| v["version"].as_u64().unwrap()).collect();
    assert_eq!(active.len(), 1, "{answer:?}");
    (list.iter().map(|v| v["version"].as_u64().unwrap()).collect(), active[0])
}

/// A policy under which `demo` may not write issues.
fn narrower() -> String {
    let granted = "verbs = [\"issues.read\", \"issues.write\"]\n";
    let constraints = POLICY.lines().find(|line| line.starts_with("constraints.\"issues.write\"")).unwrap();
    POLICY.replacen(granted, "verbs = [\"issues.read\"]\n", 1).replacen(constraints, "", 1)
}

/// A policy under which `bob` may read the log too.
fn other_operators() -> String {
    let granted = "operator = \"bob\"\ntool = \"shortbread\"\nverbs = [\"policy.*\"]";
    POLICY.replacen(granted, &granted.replace("policy.*\"", "policy.*\", \"audit.read\""), 1)
}

#[tokio::test]
async fn a_change_is_felt_by_the_very_next_request() {
    let world = World::start().await;
    assert_eq!(world.demo("github:issues.write").await.status, 200);
    write(&world, &narrower());
    assert_eq!(world.demo("github:issues.write").await.status, 200, "a file is not yet a policy");
    assert_eq!(versions(&activate(&world, "alice", json!({})).await), (vec![2, 1], 2));
    let refused = world.demo("github:issues.write").await;
    assert_eq!(refused.refusal(), (400, "access_denied", "policy.not_granted"));
    let back = roll_back(&world, "bob", json!({})).await;
    assert_eq!(versions(&back), (vec![2, 1], 1));
    assert_eq!(world.demo("github:issues.write").await.status, 200);
    assert_eq!(versions(&activate(&world, "bob", json!({ "version": 2 })).await), (vec![2, 1], 2));
}

#[tokio::test]
async fn an_unchanged_file_is_no_new_version() {
    let world = World::start().await;
    assert_eq!(versions(&activate(&world, "alice", json!({})).await), (vec![1], 1));
    write(&world, &narrower());
    activate(&world, "alice", json!({})).await;
    write(&world, POLICY);
    assert_eq!(versions(&activate(&world, "alice", json!({})).await), (vec![2, 1], 1), "known by its digest");
}

#[tokio::test]
async fn a_key_file_is_part_of_the_version() {
    let world = World::start().await;
    let granted = world.demo("github:issues.read").await;
    std::fs::copy(world.path("keys/other.pub.pem"), world.path("keys/spare.pub.pem")).unwrap();
    std::fs::copy(world.path("keys/second.pub.pem"), world.path("keys/other.pub.pem")).unwrap();
    // Two principals with one key would be one proof for two.
    let refused = activate(&world, "alice", json!({})).await;
    assert_eq!((refused.status, refused.reason()), (409, "admin.conflict"), "{refused:?}");
    std::fs::remove_file(world.path("keys/other.pub.pem")).unwrap();
    let gone = activate(&world, "alice", json!({})).await;
    assert!(gone.text("/detail").contains("keys/other.pub.pem"), "{gone:?}");
    std::fs::copy(world.path("keys/spare.pub.pem"), world.path("keys/other.pub.pem")).unwrap();
    assert_eq!(versions(&activate(&world, "alice", json!({})).await), (vec![1], 1));
    assert_eq!(
        world.demo("github:issues.read").await.text("/shortbread/policy"),
        granted.text("/shortbread/policy")
    );
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_explained() {
    let world = World::start().await;
    for (policy, says) in [
        ("[[grants".to_owned(), "policy.toml:1"),
        (POLICY.replacen("tool = \"payments\"", "tool = \"paiments\"", 1), "paiments"),
        (POLICY.replacen("access = \"read\"", "access = \"reading\"", 1), "reading"),
        (format!("colour = 1\n{POLICY}"), "colour"),
        (POLICY.replace("approval = \"none\"\n", ""), "approval"),
        (POLICY.replacen("\"revocations.*\", \"policy.*\"", "\"policy.*\"", 1), "revocations.revoke"),
    ] {
        write(&world, &policy);
        let refused = activate(&world, "alice", json!({})).await;
        assert_eq!((refused.status, refused.reason()), (409, "admin.conflict"), "{says}: {refused:?}");
        let detail = refused.text("/detail");
        assert!(
            detail.contains(says) && detail.contains("policy.toml:") && detail.contains("fix:"),
            "{says}: {detail}"
        );
    }
    std::fs::remove_file(world.path("policy.toml")).unwrap();
    let refused = activate(&world, "alice", json!({})).await;
    assert!(refused.text("/detail").contains("policy.toml cannot be read"), "{refused:?}");
    assert_eq!(versions(&world.admin_read("policy.read", PATH).await), (vec![1], 1));
    assert_eq!(world.demo("github:issues.read").await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_is_not_put_in_force() {
    let world = World::start().await;
    for version in [0, 7, 1_u64 << 53] {
        let absent = activate(&world, "alice", json!({ "version": version })).await;
        assert_eq!((absent.status, absent.reason()), (404, "not_found"));
    }
    // No proof can speak of such a number.
    let beyond = activate(&world, "alice", json!({ "version": u64::MAX })).await;
    assert_eq!((beyond.status, beyond.reason()), (400, "request.malformed"));
    let nothing = roll_back(&world, "alice", json!({})).await;
    assert_eq!((nothing.status, nothing.reason()), (409, "admin.conflict"));
    // Taken in, but refused for want of a second operator: it was never in force.
    write(&world, &other_operators());
    assert_eq!(activate(&world, "alice", json!({})).await.reason(), "admin.second_operator");
    let never = roll_back(&world, "alice", json!({ "version": 2 })).await;
    assert_eq!((never.status, never.reason()), (409, "admin.conflict"));
    assert!(never.text("/detail").contains("was never in force"), "{never:?}");
}

#[tokio::test]
async fn operators_are_changed_by_two() {
    let world = World::start().await;
    write(&world, &other_operators());
    for _ in 0..2 {
        let first = activate(&world, "alice", json!({})).await;
        assert_eq!(
            (first.status, first.reason()),
            (409, "admin.second_operator"),
            "once or twice, one is one"
        );
    }
    assert_eq!(world.sign_in("bob", "audit.read").await.reason(), "policy.not_granted");
    assert_eq!(versions(&activate(&world, "bob", json!({ "version": 2 })).await).1, 2);
    assert_eq!(world.sign_in("bob", "audit.read").await.status, 200);
    // The way back takes two as well.
    assert_eq!(roll_back(&world, "bob", json!({})).await.reason(), "admin.second_operator");
    assert_eq!(versions(&roll_back(&world, "alice", json!({})).await).1, 1);
}

#[tokio::test]
async fn a_proposal_is_for_one_version_and_one_hour() {
    let world = World::start().await;
    write(&world, &other_operators());
    assert_eq!(activate(&world, "alice", json!({})).await.status, 409);
    // Another version in the meantime: what alice proposed is not what bob puts in force.
    write(&world, &other_operators().replacen("\"audit.read\"", "\"audit.read\", \"keys.read\"", 1));
    assert_eq!(activate(&world, "bob", json!({})).await.reason(), "admin.second_operator");
    assert_eq!(activate(&world, "bob", json!({ "version": 2 })).await.reason(), "admin.second_operator");
    world.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(activate(&world, "alice", json!({ "version": 2 })).await.reason(), "admin.second_operator");
    assert_eq!(versions(&activate(&world, "bob", json!({ "version": 2 })).await).1, 2);
}

#[tokio::test]
async fn the_last_who_can_activate_acts_alone() {
    let alone = POLICY.replacen(
        "operator = \"bob\"\ntool = \"shortbread\"\nverbs = [\"policy.*\"]",
        "operator = \"bob\"\ntool = \"shortbread\"\nverbs = [\"policy.read\"]",
        1,
    );
    let world = World::builder().policy(&alone).start().await;
    write(&world, POLICY);
    assert_eq!(versions(&activate(&world, "alice", json!({})).await).1, 2);
}

#[tokio::test]
async fn a_restart_keeps_what_was_in_force() {
    let world = World::start().await;
    write(&world, &narrower());
    activate(&world, "alice", json!({})).await;
    write(&world, "broken");
    let world = world.restart().await;
    assert_eq!(versions(&world.admin_read("policy.read", PATH).await), (vec![2, 1], 2));
    assert_eq!(world.demo("github:issues.write").await.reason(), "policy.not_granted");
    assert_eq!(world.demo("github:issues.read").await.status, 200);
}

#[tokio::test]
async fn who_changed_what_is_in_the_log() {
    let world = World::start().await;
    write(&world, &narrower());
    let done = activate(&world, "alice", json!({})).await;
    let entries = world.admin_read("audit.read", &format!("/api/v1/audit/{}", done.decision())).await;
    assert_eq!(entries.text("/entries/0/event/type"), "dev.shortbread.policy.added.v1");
    assert_eq!(entries.text("/entries/1/event/type"), "dev.shortbread.policy.activated.v1");
    assert_eq!(entries.text("/entries/1/event/subject"), "operator/alice");
    let data = &entries.body["entries"][1]["event"]["data"];
    assert_eq!((&data["version"], &data["before"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn a_version_is_read_with_all_that_compiles_it_again() {
    let world = World::start().await;
    let read = world.admin_read("policy.read", "/api/v1/policy/versions/1").await;
    assert_eq!(read.status, 200, "{read:?}");
    let (source, files) = (read.text("/source").to_owned(), read.body["files"].clone());
    let load = |name: &str| files[name].as_str().map(str::to_owned).ok_or_else(String::new);
    let options = shortbread_broker::policy::Options { issuer: world.issuer.clone() };
    let policy = shortbread_broker::policy::Policy::compile(&source, "policy.toml", &load, &options).unwrap();
    assert_eq!(policy.digest(), read.text("/digest"));
    assert!(!read.body.to_string().contains("PRIVATE KEY"));
    for absent in ["0", "9", "-1", "x", "18446744073709551616"] {
        let path = format!("/api/v1/policy/versions/{absent}");
        let answer = world.admin_read("policy.read", &path).await;
        assert_eq!((answer.status, answer.reason()), (404, "not_found"), "{path}");
    }
}
